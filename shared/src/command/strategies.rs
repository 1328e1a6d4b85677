//! Any operation, for properties that hold for every one: each argument takes values that meet those of other
//! operations. An operation with an argument that stands not here fails the test that draws it.

use super::spec::Kind;
use super::{Operation, ops};
use crate::checkpoint::key_id;
use crate::cost;
use crate::ids::hex;
use crate::quota::QuotaKind;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

/// The shape of a minisign public key, with its number as key id.
pub(crate) fn public_key(n: u8) -> String {
    STANDARD.encode([&b"Ed"[..], &[n; 8], &[n; 32]].concat())
}

/// Any operation of any kind.
pub(crate) fn operations() -> impl Strategy<Value = Operation> {
    let rollback = proptest::collection::vec(configurations(), 1..4)
        .prop_map(|changes| Operation::from(ops::ConfigRollback { revision: 1, changes }));
    let others = Operation::ALL.iter().filter(|k| k.name != "config.rollback");
    Union::new(others.flat_map(Kind::samples).map(|s| like(&s)).chain([rollback.boxed()]))
}

/// Any change of configuration.
pub(crate) fn configurations() -> impl Strategy<Value = Operation> {
    Union::new(Operation::ALL.iter().filter(|k| k.config).flat_map(Kind::samples).map(|s| like(&s)))
}

/// Operations of the same kind, with other values.
fn like(sample: &Operation) -> BoxedStrategy<Operation> {
    let name = sample.name();
    let each: Vec<BoxedStrategy<String>> = sample.args().into_iter().map(|(k, v)| values(k, v)).collect();
    let read =
        move |v: Vec<String>| Operation::parse(name, &v.iter().map(String::as_str).collect::<Vec<_>>());
    each.prop_filter_map("values that do not fit together", read).boxed()
}

/// Values of an argument.
fn values(argument: &str, sample: String) -> BoxedStrategy<String> {
    let words = |of: &[&str]| select(of.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()).boxed();
    let texts = |of: Vec<String>| select(of).boxed();
    let number = |of: std::ops::RangeInclusive<u64>| of.prop_map(|n| n.to_string()).boxed();
    match argument {
        "selector" => words(&["*/*", "run/*", "*/etl", "run/etl", "run/ml", "*/ml", "test/*"]),
        "hundredths" => number(0..=10_000),
        "drain" => words(&["true", "false"]),
        "quota" => texts(QuotaKind::ALL.iter().map(|k| k.as_str().to_owned()).collect()),
        "limit" => number(0..=1_000),
        "workflow" => words(&["etl", "ml", "x"]),
        "token" | "person" | "incident" | "tenant_uid" | "grant" => {
            texts((0..3).map(|n| hex(&[n; 16])).collect())
        }
        "prompt_sha256" | "digest" => texts((0..3).map(|n| hex(&[n; 32])).collect()),
        "uid" => number(0..=2),
        "public_key" => texts((0..4).map(public_key).collect()),
        "key" => texts((0..4).filter_map(|n| key_id(&public_key(n))).map(|id| id.to_string()).collect()),
        "roles" => words(&["none", "admin", "admin operator", "approver", "operator viewer", "viewer"]),
        "revision" => number(1..=3),
        "errors_hundredths" => number(1..=100),
        "p99_us" => number(0..=2),
        "backlog" => words(&["0", "40000", "80000"]),
        "min_settled" => words(&["150", "300"]),
        "steps" => words(&["1%@60s 100%", "5%@1s 25%@1s 50%", "100%"]),
        "profile" => words(&["default", "strict"]),
        "value" => words(&["true", "false", "deny", "last_known", "1", "60", "300"]),
        "window" | "freeze" => words(&["w", "v"]),
        "when" => words(&[
            "weekly fri 18:00 for 62h00m Europe/Berlin",
            "once 2026-12-19T00:00:00Z to 2027-01-04T06:00:00Z",
        ]),
        "until_us" => words(&["none", "0", "7", "50", "99"]),
        "minutes" => number(1..=60),
        "from" => number(98..=100),
        "to" => number(250..=252),
        "card" => texts((1..=3).map(rate_card).collect()),
        "month" => words(&["2026-09", "2026-10"]),
        "compute" | "storage" | "signing" => words(&["-1", "0", "7"]),
        // Of these no other value means more to the state.
        "name" | "tenant_id" | "secret_sha256" | "proof" | "signature" | "built_at_us" | "expires_at_us"
        | "comment" | "now_us" | "setting" | "ticket" | "adjustment" | "invoice_sha256" | "sink" => {
            Just(sample).boxed()
        }
        other => panic!("say in command/strategies.rs which values the argument {other} takes"),
    }
}

fn rate_card(version: u8) -> String {
    STANDARD.encode(cost::tests::CARD.replace("version = 1", &format!("version = {version}")))
}
