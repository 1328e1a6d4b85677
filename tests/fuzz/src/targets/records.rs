//! Values and records as they are stored, sent and committed to.

use conductor_shared::codec::{Reader, Value};
use conductor_shared::command::Operation;
use conductor_shared::control::{At, ControlState};
use conductor_shared::describe::summary;
use conductor_shared::fact::{Fact, SCHEMAS, Schema};
use conductor_shared::record::{Body, Disclosed, Sealed};

use super::{KIB_8, SMALL, assert_same, assert_shown, log};
use crate::corpus::Example;
use crate::target::{Memory, Outcome, Target};

/// A value of a list takes five bytes on the wire and many times that in memory.
const VALUES_TAKE: Memory = Memory { base: 64 << 10, each: 128 };
/// A fact is held as values and as itself, in words, and in the states that it is folded into.
const FACTS_TAKE: Memory = Memory { base: 1 << 20, each: 256 };

pub(super) const VALUES: Target = Target {
    name: "values",
    reads: "values of the canonical encoding: `shared/src/codec.rs`",
    law: "each value has one encoding",
    max_len: KIB_8,
    memory: VALUES_TAKE,
    inputs: 1_000,
    examples: || {
        let deep = (0..7).fold(Value::U64(1), |inner, _| Value::List(vec![inner]));
        let mixed =
            Value::List(vec![Value::I64(-1), Value::Bytes(vec![0; 40]), Value::Text("é".into()), deep]);
        let encoded = |v: &Value| {
            let mut out = vec![];
            v.put(&mut out);
            out
        };
        let most = Value::List(vec![Value::List(vec![]); 400]);
        vec![Example::new("mixed", encoded(&mixed)), Example::new("wide", encoded(&most))]
    },
    read: |bytes| {
        let mut r = Reader(bytes);
        let Ok(value) = Value::read(&mut r) else { return Outcome::Refused };
        let mut again = vec![];
        value.put(&mut again);
        assert_eq!(again, bytes[..bytes.len() - r.0.len()]);
        assert_same(&value, Value::from_content(value.code(), &value.to_content()).ok());
        assert_shown(&value.to_string());
        Outcome::Read
    },
};

pub(super) const SEALED: Target = Target {
    name: "sealed",
    reads: "header and digests of a record: `shared/src/record.rs`",
    law: "one encoding",
    max_len: KIB_8,
    memory: SMALL,
    inputs: 1_000,
    examples: || (0..4).map(|n| Example::new(format!("record-{n}"), log::record(n).0.to_bytes())).collect(),
    read: |bytes| {
        let read = Sealed::from_bytes(bytes).ok();
        if let Some(sealed) = &read {
            assert_eq!(sealed.to_bytes(), bytes);
        }
        Outcome::of(read)
    },
};

/// Two bytes of the number of commitments, then the body.
pub(super) const BODIES: Target = Target {
    name: "bodies",
    reads: "the erasable part of a record: `shared/src/record.rs`",
    law: "one encoding",
    max_len: KIB_8,
    memory: VALUES_TAKE,
    inputs: 1_000,
    examples: || {
        let body = |n| {
            let (sealed, body, _) = log::record(n);
            [&sealed.header.commitments.to_be_bytes()[..], &body.to_bytes()].concat()
        };
        (0..6).map(|n| Example::new(format!("record-{n}"), body(n))).collect()
    },
    read: |bytes| {
        let Some((count, body)) = bytes.split_first_chunk() else { return Outcome::Refused };
        let read = Body::from_bytes(body, u16::from_be_bytes(*count)).ok();
        if let Some(read) = &read {
            assert_eq!(read.to_bytes(), body);
        }
        Outcome::of(read)
    },
};

pub(super) const DISCLOSURES: Target = Target {
    name: "disclosures",
    reads: "disclosed fields: `shared/src/record.rs`",
    law: "one encoding",
    max_len: KIB_8,
    memory: VALUES_TAKE,
    inputs: 1_000,
    examples: || {
        let all = (0..6).flat_map(|n| {
            let (_, body, s) = log::record(n);
            log::disclosed(&body, s)
        });
        all.enumerate().map(|(n, d)| Example::new(format!("field-{n}"), d.to_bytes())).collect()
    },
    read: |bytes| {
        let read = Disclosed::from_bytes(bytes).ok();
        if let Some(d) = &read {
            assert_eq!(d.to_bytes(), bytes);
            d.digest();
        }
        Outcome::of(read)
    },
};

/// Two bytes of the kind, then the values.
pub(super) const FACTS: Target = Target {
    name: "facts",
    reads: "facts of records, folded and in words: `shared/src/fact.rs`, `control`, `describe`",
    law: "a fact has one set of values; its words are safe to show; folding gives what folding again gives",
    max_len: KIB_8,
    memory: FACTS_TAKE,
    inputs: 1_000,
    examples: || {
        let mut all: Vec<Example> =
            SCHEMAS.iter().map(|s| Example::new(s.name, encoded(s, &log::values_of(s)))).collect();
        let changed = SCHEMAS.iter().find(|s| s.name == "Changed").expect("the kind of changes");
        let at = changed.fields.iter().position(|f| *f == "change").expect("what changed");
        for op in Operation::ALL.iter().filter_map(|kind| kind.samples().next()) {
            let mut values = log::values_of(changed);
            values[at] = Value::List(op.to_list().into_iter().map(Value::Text).collect());
            all.push(Example::new(format!("Changed-{}", op.name()), encoded(changed, &values)));
        }
        all
    },
    read: |bytes| {
        let Some((kind, rest)) = bytes.split_first_chunk() else { return Outcome::Refused };
        let (kind, mut r) = (u16::from_be_bytes(*kind), Reader(rest));
        let mut values = vec![];
        while !r.0.is_empty() {
            let Ok(value) = Value::read(&mut r) else { return Outcome::Refused };
            values.push(value);
        }
        let Ok(Some(fact)) = Fact::from_values(kind, &values) else { return Outcome::Refused };
        assert!(log::is_known(kind) && fact.kind() == kind);
        assert_eq!(fact.values(), values);
        assert_shown(&summary(&fact));
        fold(kind, &fact);
        Outcome::Read
    },
};

fn encoded(s: &Schema, values: &[Value]) -> Vec<u8> {
    let mut out = s.kind.to_be_bytes().to_vec();
    for value in values {
        value.put(&mut out);
    }
    out
}

/// What a fact makes of a state depends on both alone, and its state survives JSON.
fn fold(kind: u16, fact: &Fact) {
    let mut state = ControlState::default();
    for index in 0..2 {
        let (mut one, mut two) = (state.clone(), state);
        let at = At { index, time_us: log::NOW_US };
        assert_eq!(one.apply_receipt(at, kind, Some(fact)), two.apply_receipt(at, kind, Some(fact)));
        assert_eq!(one, two);
        state = one;
    }
    let text = serde_json::to_string(&state).expect("a state is JSON");
    assert_same(&state, serde_json::from_str(&text).ok());
}
