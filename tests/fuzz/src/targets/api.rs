//! Bodies and queries of requests, by the types that the agent reads them with.

use std::fmt::Debug;

use axum::extract::Query;
use axum::http::Uri;
use conductor_shared::command::Operation;
use conductor_shared::control::ControlState;
use conductor_shared::http::{
    BundleFiles, CostAsked, DecideApproval, ExplainAsked, ExplainRequest, FinishRun, FinishStep,
    HistoryAsked, LettersAsked, OfTenant, PreviewRequest, RangeAsked, ReceiptsAsked, RunAsked, SignedText,
    StartRun, StartStep, TimelineAsked, UsageAsked,
};
use conductor_shared::ofrep::{Flag, FlagContext, evaluate};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{KIB_8, SMALL, assert_same};
use crate::corpus::Example;
use crate::target::{Memory, Outcome, Target};

/// Reads a body; true when it is one of the type.
pub(super) type Reader = fn(&[u8]) -> bool;

pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

/// What is read survives being written.
pub(super) fn survives<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) -> bool {
    let Some(body) = read::<T>(bytes) else { return false };
    let written = serde_json::to_vec(&body).expect("JSON");
    assert_same(&body, read(&written));
    true
}

fn preview(bytes: &[u8]) -> bool {
    let asked = read::<PreviewRequest>(bytes);
    if let Some(operation) = asked.and_then(|asked| Operation::from_list(&asked.operation)) {
        operation.sentence();
        drop(ControlState::default().after(&operation));
    }
    survives::<PreviewRequest>(bytes)
}

/// Types by name, each with a body of it.
const REQUESTS: [(&str, Reader, &str); 10] = [
    (
        "StartRun",
        survives::<StartRun>,
        r#"{"tenant_id":"acme","workflow_type":"etl","env":"production","actor_type":"service","action":"run","subject":"customer-1","prompt_sha256":"abababababababababababababababababababababababababababababababab"}"#,
    ),
    ("StartStep", survives::<StartStep>, r#"{"tenant_id":"acme","name":"load \u00e9"}"#),
    (
        "FinishStep",
        survives::<FinishStep>,
        r#"{"tenant_id":"acme","outcome":"succeeded","duration_us":1,"bytes_in":2.0,"bytes_out":3}"#,
    ),
    ("FinishRun", survives::<FinishRun>, r#"{"tenant_id":"acme","outcome":"failed"}"#),
    ("OfTenant", survives::<OfTenant>, r#"{"tenant_id":"acme"}"#),
    (
        "DecideApproval",
        survives::<DecideApproval>,
        r#"{"tenant_id":"acme","name":"release","approver":"ana","approved":true}"#,
    ),
    ("SignedText", survives::<SignedText>, r#"{"text":"a\n","signature":"b\n","public_key":"c"}"#),
    ("PreviewRequest", preview, r#"{"operation":["ramp.set","selector","run/etl","hundredths","1000"]}"#),
    ("BundleFiles", survives::<BundleFiles>, r#"{"archive":"H4sIAAAAAAAAAwMAAAAAAAAAAAA="}"#),
    ("ExplainRequest", survives::<ExplainRequest>, r#"{"input":{"class":"admit","version":1,"work":null}}"#),
];

pub(super) fn named(types: &[(&str, Reader, &str)]) -> Vec<Example> {
    types.iter().map(|(name, _, body)| Example::new(*name, format!("{name}\n{body}"))).collect()
}

/// The first line names the type, the rest is the body.
pub(super) fn body(types: &[(&str, Reader, &str)], bytes: &[u8]) -> Outcome {
    let at = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    let (name, body) = (&bytes[..at], bytes.get(at + 1..).unwrap_or_default());
    let known = types.iter().find(|(known, ..)| known.as_bytes() == name);
    Outcome::of(known.filter(|(_, reader, _)| reader(body)))
}

/// A JSON value takes many times its bytes.
const BODIES_TAKE: Memory = Memory { base: 64 << 10, each: 256 };

pub(super) const BODIES: Target = Target {
    name: "request_bodies",
    reads: "bodies of requests: the types of `shared/src/http`",
    law: "what is read survives being written",
    max_len: KIB_8,
    memory: BODIES_TAKE,
    inputs: 1_000,
    examples: || named(&REQUESTS),
    read: |bytes| body(&REQUESTS, bytes),
};

fn asked<T: DeserializeOwned>(query: &[u8]) -> bool {
    let uri = Uri::try_from([b"/?", query].concat());
    uri.is_ok_and(|uri| Query::<T>::try_from_uri(&uri).is_ok())
}

const ASKED: [(&str, Reader, &str); 9] = [
    ("RunAsked", asked::<RunAsked>, "tenant_id=acme"),
    ("ReceiptsAsked", asked::<ReceiptsAsked>, "from=-20&limit=500"),
    ("RangeAsked", asked::<RangeAsked>, "from=0&to=18446744073709551615"),
    ("HistoryAsked", asked::<HistoryAsked>, "before=9&limit=1"),
    (
        "UsageAsked",
        asked::<UsageAsked>,
        "range=2026-10-01T00%3A00%3A00%2B02%3A00%2FP7D&step=1h&group_by=none&tz=Europe/Berlin&format=csv",
    ),
    ("CostAsked", asked::<CostAsked>, "range=2026-10&format=focus"),
    (
        "ExplainAsked",
        asked::<ExplainAsked>,
        "bucket=compute&workflow_type=etl&env=production&actor_type=service&after=7",
    ),
    ("LettersAsked", asked::<LettersAsked>, "sink=s&after=0&limit=200"),
    ("TimelineAsked", asked::<TimelineAsked>, "from=1&to=2&after=3"),
];

pub(super) const QUERIES: Target = Target {
    name: "queries",
    reads: "query parameters: `shared/src/http/query.rs`",
    law: "refused or read",
    max_len: 2_048,
    memory: SMALL,
    inputs: 1_000,
    examples: || named(&ASKED),
    read: |bytes| body(&ASKED, bytes),
};

/// The context of a body, read as the agent does: whatever else is in it, it is an object.
fn context(body: &str) -> Option<FlagContext> {
    let mut asked: serde_json::Map<String, serde_json::Value> = read(body.as_bytes())?;
    asked.remove("context").map_or_else(|| Some(FlagContext::default()), |c| serde_json::from_value(c).ok())
}

/// The flag's key, then the body.
pub(super) const FLAGS: Target = Target {
    name: "flags",
    reads: "flags asked for by OFREP: `shared/src/ofrep.rs`",
    law: "the answer is about the flag that was asked for, and the same each time",
    max_len: KIB_8,
    memory: BODIES_TAKE,
    inputs: 400,
    examples: || {
        let bodies = [
            ("run/etl", r#"{"context":{"targetingKey":"customer-1"}}"#),
            ("etl", "{}"),
            (
                "test/ml",
                r#"{"context":{"targetingKey":"customer-1","tenant_id":"acme","other":[1]},"more":null}"#,
            ),
        ];
        bodies
            .iter()
            .enumerate()
            .map(|(n, (key, body))| Example::new(format!("flag-{n}"), format!("{key}\n{body}")))
            .collect()
    },
    read: |bytes| {
        let Some((key, body)) = std::str::from_utf8(bytes).ok().and_then(|t| t.split_once('\n')) else {
            return Outcome::Refused;
        };
        let (Some(flag), Some(asked)) = (Flag::parse(key), context(body)) else { return Outcome::Refused };
        assert!(flag.to_string().ends_with(key));
        let subject = asked.targeting_key.as_deref();
        let ask = || evaluate(state(), &[7; 32], &flag, subject);
        let answer = ask();
        assert!(answer == ask() && answer.is_ok_and(|a| a.key.ends_with(key)) || ask().is_err());
        Outcome::Read
    },
};

/// A state in which flags are known, ramped and killed.
fn state() -> &'static ControlState {
    static STATE: std::sync::OnceLock<ControlState> = std::sync::OnceLock::new();
    STATE.get_or_init(|| {
        let changes = [
            "workflow.register workflow etl",
            "workflow.register workflow ml",
            "ramp.set selector run/etl hundredths 5000",
            "kill.set selector */ml drain true",
        ];
        changes.iter().fold(ControlState::default(), |state, change| {
            let list: Vec<String> = change.split(' ').map(str::to_owned).collect();
            state.after(&Operation::from_list(&list).expect("an operation"))
        })
    })
}
