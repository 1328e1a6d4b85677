//! Configuration over time, and the way back, with real processes and the plain commands.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Operation, ops};
use conductor_shared::config::way_back;
use conductor_shared::control::ControlState;
use conductor_shared::fact::ChangeClass;
use conductor_shared::http::{ConfigHistory, ConfigRevision, ConfigRow};
use conductor_shared::ids::Ident;
use conductor_shared::quota::QuotaKind;
use conductor_tests::{Node, Tenant};
use serde_json::json;

fn ramp(hundredths: u16) -> Operation {
    Operation::RampSet(ops::RampSet {
        selector: "run/etl".parse().unwrap(),
        hundredths: BasisPoints::saturating(hundredths),
    })
}

fn kill() -> Operation {
    Operation::KillSet(ops::KillSet { selector: "*/etl".parse().unwrap(), drain: true })
}

fn control(node: &Node, a: &Tenant) -> ControlState {
    node.control(a.uid)
}

fn revision(node: &Node, a: &Tenant, n: u64) -> ControlState {
    let revision: ConfigRevision = node.operator().get(&format!("/v1/tenants/{}/config/{n}", a.uid)).read();
    revision.control
}

fn back_to(node: &Node, a: &Tenant, n: u64) -> Operation {
    Operation::ConfigRollback(ops::ConfigRollback {
        revision: n,
        changes: way_back(&control(node, a), &revision(node, a, n)),
    })
}

/// Every change is a revision with who, why and what differed; any of them can be gone back to in one change that is a
/// receipt; nobody who was shut out comes back that way. It survives a restart.
#[test]
fn any_revision_can_be_gone_back_to() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    node.command(a.uid, ops::QuotaCap { kind: QuotaKind::StepRate, limit: 50 });
    node.command(a.uid, ramp(1_000));
    let then = control(&node, &a);
    let n = then.revision;
    node.command(a.uid, ramp(500));
    node.command(a.uid, kill());
    node.command(a.uid, ops::WorkflowRegister { workflow: Ident::new("ml").unwrap() });
    let token = *then.tokens.keys().next().unwrap();
    node.command(a.uid, ops::TokenRevoke { token });
    assert_eq!(revision(&node, &a, n), then, "as it was");
    // Who, why and what: newest first, by pages.
    let path = format!("/v1/tenants/{}/config", a.uid);
    let page: ConfigHistory = node.operator().get(&format!("{path}?limit=3")).read();
    assert_eq!((page.revision, page.next, page.rows.len()), (n + 4, Some(n + 2), 3));
    let [issued, register, killed] = page.rows.as_slice() else { panic!("three rows") };
    assert!(issued.differences.is_empty(), "a token is no configuration");
    let words = |row: &ConfigRow| json!([row.person, row.why]);
    assert_eq!(words(register), json!(["ana", "test"]));
    assert_eq!(json!(killed.differences), json!([{"name": "kill */etl", "before": null, "after": "drain"}]));
    let older: ConfigHistory = node.operator().get(&format!("{path}?limit=500&before={}", n + 2)).read();
    assert_eq!(older.rows.len() as u64, n + 1);
    assert_eq!(
        json!(older.rows[0].differences),
        json!([{"name": "ramp run/etl", "before": "10 %", "after": "5 %"}])
    );
    // Back, in one change.
    let done = node.command(a.uid, back_to(&node, &a, n));
    assert_eq!(done.class, ChangeClass::Loosen, "it raises a ramp and lifts a kill switch");
    let now = control(&node, &a);
    assert_eq!(conductor_shared::config::config(&now), conductor_shared::config::config(&then));
    assert_eq!(now.revision, n + 5, "one receipt, one revision");
    assert!(now.tokens[&token].revoked, "who was shut out stays out");
    node.stop_agent();
    node.start_agent();
    assert_eq!(control(&node, &a), now);
    assert_eq!(node.operator().get(&format!("{path}/{}", n + 9)).status, 404);
    assert_eq!(node.operator().get(&format!("{path}/x")).status, 400);
    node.stop_agent();
    node.check();
}

/// Invariant 3: a rollback has the class of what it changes. One that only lowers works with the signer dead; one that
/// raises waits for its checkpoint, is denied without, and does not pass a value that was rolled back from, nor a state
/// that has moved on.
#[test]
fn a_rollback_has_the_class_of_what_it_changes() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    node.command(a.uid, ramp(500));
    let low = control(&node, &a).revision;
    node.command(a.uid, ramp(4_000));
    let high = control(&node, &a).revision;
    // What was shown is not what there is any more.
    let stale = node.compose(a.uid, back_to(&node, &a, low));
    assert_eq!(stale.base, None, "it lowers");
    node.command(a.uid, ramp(100));
    assert_eq!(node.send(&stale).reasons(), ["would_loosen"]);
    let raise = node.compose(a.uid, back_to(&node, &a, high));
    assert!(raise.base.is_some());
    node.command(a.uid, kill());
    assert_eq!(node.send(&raise).reasons(), ["base_stale"]);
    node.command(a.uid, ops::KillClear { selector: "*/etl".parse().unwrap() });
    node.command(a.uid, ramp(4_000));
    node.kill_signer();
    node.client(&a.token).start_run(&a, None);
    node.wait_signer(false);
    let done = node.command(a.uid, back_to(&node, &a, low));
    assert_eq!(
        (done.class, control(&node, &a).ramps.values().next().unwrap().hundredths.get()),
        (ChangeClass::Tighten, 500)
    );
    let raise = node.compose(a.uid, back_to(&node, &a, high));
    assert_eq!(node.send(&raise).reasons(), ["signer_unavailable"]);
}

/// Tenant administration: the plain commands: history, differences, a look before it is done, and done.
#[test]
fn the_plain_commands() {
    let node = Node::start();
    let a = node.tenant("acme");
    node.command(a.uid, ramp(1_000));
    let n = control(&node, &a).revision;
    node.command(a.uid, ramp(200));
    node.command(a.uid, kill());
    let (ok, h, said) = node.cli(&["tenant", "history", "acme", "--last", "2"]);
    assert!(ok && h["rows"].as_array().unwrap().len() == 2, "{said}");
    let (ok, d, said) = node.cli(&["tenant", "diff", "acme", &n.to_string()]);
    assert!(ok && d["differences"].as_array().unwrap().len() == 2, "{said}");
    let back = ["tenant", "rollback", "acme", &n.to_string(), "--reason", "it was better"];
    let (ok, dry, said) = node.cli(&[&back[..], &["--dry-run"]].concat());
    assert!(ok && dry["preview"]["class"] == "loosen", "{said}");
    assert!(dry["text"].as_str().unwrap().contains("arg change: ramp.set run/etl 1000\n"), "{said}");
    assert_eq!(control(&node, &a).revision, n + 2, "a look changes nothing");
    let (ok, done, said) = node.cli(&[&back[..], &["--yes"]].concat());
    assert!(ok && done["status"] == "effective", "{said}");
    assert_eq!(control(&node, &a).ramps.values().next().unwrap().hundredths.get(), 1_000);
    let (ok, again, said) = node.cli(&[&back[..], &["--yes"]].concat());
    assert!(ok && again["changes"] == 0, "{said}");
    let (ok, _, said) = node.cli(&["tenant", "rollback", "acme", "999", "--reason", "x", "--yes"]);
    assert!(!ok && said.contains("no revision 999"), "{said}");
}
