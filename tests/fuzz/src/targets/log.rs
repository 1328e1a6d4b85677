//! A small log and what can be proved of it, for the examples of other targets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::codec::Value;
use conductor_shared::fact::{SCHEMAS, Schema, schema};
use conductor_shared::http::{FieldEvidence, ReceiptEvidence};
use conductor_shared::ids::{NodeId, Origin, TenantUid};
use conductor_shared::merkle::{Hash, Nodes};
use conductor_shared::record::{Body, Disclosed, Header, PolicyVersion, Sealed, salt};
use conductor_shared::verify::root_of;

pub(super) const NODE: NodeId = NodeId([1; 16]);
pub(super) const TENANT: TenantUid = TenantUid([2; 16]);
pub(super) const ORIGIN: Origin = Origin { node: NODE, tenant: TENANT, epoch: 1 };
/// 2023-11-14, microseconds since the Unix epoch.
pub(super) const NOW_US: u64 = 1_700_000_000_000_000;

/// Values that a field of a fact may have, one for each type and word list that occurs.
fn candidates() -> Vec<Value> {
    let words = ["etl", "production", "service", "succeeded", "allow", "tighten", "signer", "errors", "run"];
    let texts = words.map(|w| Value::Text(w.to_owned()));
    let bytes = [16, 32, 8].map(|n| Value::Bytes(vec![7; n]));
    let lists = [Value::List(vec![]), Value::List(vec![Value::U64(1)])];
    [Value::U64(1), Value::I64(-1)].into_iter().chain(texts).chain(bytes).chain(lists).collect()
}

/// Values of a fact of a kind, found by trying: each field in turn takes the first value that its reader takes.
pub(super) fn values_of(s: &Schema) -> Vec<Value> {
    let sizes: Vec<usize> = s.groups.map_or(vec![s.fields.len()], |groups| groups.map(<[_]>::len).into());
    let whole = |lists: &[Vec<Value>]| match s.groups {
        Some(_) => lists.iter().cloned().map(Value::List).collect(),
        None => lists.concat(),
    };
    let mut lists: Vec<Vec<Value>> = vec![vec![]; sizes.len()];
    for (group, size) in sizes.iter().enumerate() {
        for field in 0..*size {
            let fits = candidates().into_iter().find(|value| {
                let mut lists = lists.clone();
                lists[group].push(value.clone());
                let read = conductor_shared::fact::Fact::from_values(s.kind, &whole(&lists));
                // The fields after it are missing still; a wrong one is told before.
                read.is_ok() || read.is_err_and(|e| e.to_string() == "expected more fields")
            });
            lists[group].push(fits.unwrap_or_else(|| panic!("{} {field}: no value fits it", s.name)));
        }
    }
    whole(&lists)
}

/// A record with everything that is committed to.
pub(super) fn record(index: u64) -> (Sealed, Body, &'static Schema) {
    let s = &SCHEMAS[usize::try_from(index).expect("a small log") * 5 % SCHEMAS.len()];
    let body = Body { seed: [9; 32], values: values_of(s) };
    let digests = body.digests(s.fields);
    let header = Header {
        origin: ORIGIN,
        index,
        time_us: NOW_US + index,
        kind: s.kind,
        policy: PolicyVersion::built_in(),
        commitments: u16::try_from(digests.len()).expect("few fields"),
    };
    (Sealed { header, digests }, body, s)
}

pub(super) fn disclosed(body: &Body, s: &Schema) -> Vec<Disclosed> {
    let field = |(name, value): (&&str, &Value)| Disclosed {
        name: (*name).to_owned(),
        value: value.clone(),
        salt: salt(&body.seed, name),
    };
    s.fields.iter().zip(&body.values).map(field).collect()
}

/// A receipt of sealed bytes and disclosed fields, as it is sent. What stands beside the header is taken from it.
pub(super) fn receipt(sealed: &[u8], fields: &[&[u8]]) -> ReceiptEvidence {
    let header = Sealed::from_bytes(sealed).ok().map(|s| s.header);
    let name = |bytes: &[u8]| Disclosed::from_bytes(bytes).map_or_else(|_| String::new(), |d| d.name);
    ReceiptEvidence {
        index: header.map_or(0, |h| h.index),
        time_us: header.map_or(0, |h| h.time_us),
        kind: header.map_or(0, |h| h.kind),
        sealed: STANDARD.encode(sealed),
        fields: fields
            .iter()
            .map(|bytes| FieldEvidence { name: name(bytes), disclosure: STANDARD.encode(bytes) })
            .collect(),
    }
}

/// The receipt at a place of the log.
pub(super) fn entry(index: u64) -> ReceiptEvidence {
    let (sealed, body, s) = record(index);
    let fields: Vec<Vec<u8>> = disclosed(&body, s).iter().map(Disclosed::to_bytes).collect();
    receipt(&sealed.to_bytes(), &fields.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// The leaves of a log.
pub(super) struct Leaves(pub(super) Vec<Hash>);

impl Leaves {
    pub(super) fn of_log(size: u64) -> Self {
        Self((0..size).map(|i| record(i).0.leaf()).collect())
    }
}

impl Nodes for Leaves {
    type Error = std::convert::Infallible;
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let width = 1_usize << level;
        let at = usize::try_from(index).expect("a small log") * width;
        Ok(root_of(self.0[at..at + width].iter().copied()))
    }
}

/// Whether a schema is that of a kind, for those who only have the number.
pub(super) fn is_known(kind: u16) -> bool {
    schema(kind).is_some()
}
