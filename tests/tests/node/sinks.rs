//! Metered events on their way out (SPEC 2.1): to a real receiver that fails, hangs, answers late and restarts, and to
//! files. Nothing is lost, and what comes twice has the same id.

use conductor_shared::cloudevents::schema;
use conductor_shared::meter::EventType;
use conductor_tests::events::{by_id, on_tape};
use conductor_tests::fake_sink::{Behavior, FakeSink};
use conductor_tests::workload::work;
use conductor_tests::{Node, wait_for};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

fn with_sinks(r: &FakeSink, dir: &std::path::Path) -> String {
    let folder = dir.join("tape");
    std::fs::write(dir.join("token"), "s3cret-of-the-receiver\n").unwrap();
    format!(
        "[[sink]]\nname = \"warehouse\"\nurl = \"{}\"\nallow_plain = true\ntoken_file = \"{}\"\nbatch = 7\ntimeout_ms = 500\n[[sink]]\nname = \"tape\"\nfolder = \"{}\"\nmax_file_bytes = 8000\n",
        r.url(),
        dir.join("token").display(),
        folder.display()
    )
}

/// Sums of the events of a type.
fn total(events: &BTreeMap<String, Value>, of: &str) -> i64 {
    let each = events.values().filter(|e| e["type"] == format!("conductor.{of}.v1"));
    each.map(|e| e["data"]["quantity"].as_i64().unwrap()).sum()
}

/// Each event is what its schema says, and the schema refuses one without a label.
fn assert_schemas(all: &BTreeMap<String, Value>) {
    for &e in EventType::ALL {
        let validator = jsonschema::validator_for(&schema(e)).unwrap();
        let of: Vec<_> = all.values().filter(|v| v["type"] == format!("conductor.{e}.v1")).collect();
        assert_eq!(of.is_empty(), e == EventType::EvidenceExported, "{e}");
        for event in of {
            assert!(validator.is_valid(event), "{event}");
            for label in ["tenant_id", "env", "actor_type", "workflow_type"] {
                let mut without = event.clone();
                without["data"].as_object_mut().unwrap().remove(label);
                assert!(!validator.is_valid(&without), "{label}");
            }
        }
    }
}

/// The token is sent, the media type is that of a batch, and neither the log nor the metrics tell the token.
fn assert_token_is_kept(node: &Node, r: &FakeSink) {
    let headers: BTreeSet<String> = r.headers().iter().map(|h| h.to_lowercase()).collect();
    assert!(headers.contains("content-type: application/cloudevents-batch+json"));
    assert!(headers.contains("authorization: bearer s3cret-of-the-receiver"));
    let metrics = node.metrics();
    assert!(
        metrics.contains("sink=\"warehouse\"") && metrics.contains("conductor_sink_lag_seconds"),
        "{metrics}"
    );
    assert!(!metrics.contains("s3cret") && !node.log().contains("s3cret"));
}

/// SPEC 2.1, Sinks: at least once with stable ids, through every bad behavior of the receiver, kills of the agent included;
/// the events that arrived add up to what usage says, and each keeps its schema.
#[test]
fn nothing_is_lost_on_the_way_out() {
    let mut r = FakeSink::start(Behavior::Accept);
    let dir = tempfile::tempdir().unwrap();
    let tables = with_sinks(&r, dir.path());
    let mut node = Node::start_after(dir, &tables);
    let a = node.tenant("acme");
    work(&node, &a, 2);
    for behavior in [Behavior::Fail, Behavior::Hang, Behavior::AnswerLate] {
        let before = r.taken().len();
        r.behave(behavior);
        let tried = r.requests();
        work(&node, &a, 2);
        wait_for("a delivery is tried", 30, || (r.requests() > tried).then_some(()));
        if behavior == Behavior::AnswerLate {
            // After the failures before it, the next try is a while away.
            wait_for("a delivery that is answered late", 30, || (r.taken().len() > before).then_some(()));
            node.kill_agent();
            node.start_agent();
        }
    }
    r.stop();
    work(&node, &a, 2);
    r.restart();
    r.behave(Behavior::Accept);
    let u = node.operator().get(&format!("/v1/tenants/{}/usage?range=24h", a.uid)).json()["totals"].clone();
    let receipts = u["receipts_emitted"].as_i64().unwrap();
    assert_eq!(receipts, 110);
    wait_for("all events arrive", 60, || {
        let all = by_id(&r.taken());
        (total(&all, "receipt_emitted") == receipts).then_some(())
    });
    let all = by_id(&r.taken());
    assert!(r.taken().len() > all.len(), "an answer that came too late makes a second delivery");
    for (kind, name) in [
        ("run_started", "runs_started"),
        ("step_executed", "step_us"),
        ("approval_decision", "approval_decisions"),
        ("storage_bytes_written", "storage_bytes_written"),
    ] {
        assert_eq!(total(&all, kind), u[name].as_i64().unwrap(), "{kind}");
    }
    assert_schemas(&all);
    // The files have the same events, in several of them.
    wait_for("all events are on tape", 20, || (by_id(&on_tape(&node)) == all).then_some(()));
    assert!(std::fs::read_dir(node.path("tape")).unwrap().count() > 2, "rotated");
    assert_token_is_kept(&node, &r);
    // After a clean restart nothing comes again: what comes next is new.
    let before = r.taken().len();
    node.stop_agent();
    node.start_agent();
    work(&node, &a, 1);
    let new = |event: &Value| !all.contains_key(event["id"].as_str().unwrap());
    wait_for("a new event", 20, || (r.taken().len() > before).then_some(()));
    assert!(r.taken()[before..].iter().all(new), "delivered again after a clean stop");
    // The stopped agent's rows are those of the receipts, the places of sinks beside them.
    node.stop_agent();
    node.check();
}

/// SPEC 2.1, Sinks: an event that the receiver refuses is set aside and holds nothing up; it is looked at, and delivered
/// again on an operator's word.
#[test]
fn dead_letters_are_seen_and_replayed() {
    let r = FakeSink::start(Behavior::RejectSteps);
    let dir = tempfile::tempdir().unwrap();
    let tables = with_sinks(&r, dir.path());
    let node = Node::start_after(dir, &tables);
    let a = node.tenant("acme");
    work(&node, &a, 2);
    let dead = |node: &Node| -> Vec<Value> {
        let (ok, v, said) = node.cli(&["sink", "dead", "acme", "warehouse"]);
        assert!(ok, "{said}");
        v["letters"].as_array().unwrap().clone()
    };
    wait_for("the rest arrives", 20, || (total(&by_id(&r.taken()), "receipt_emitted") == 22).then_some(()));
    let letters = dead(&node);
    assert_eq!(letters.len(), 6, "each step, and nothing else: {letters:?}");
    assert!(letters.iter().all(|l| l["why"].as_str().unwrap().contains("422")));
    assert_eq!(total(&by_id(&r.taken()), "step_executed"), 0);
    let replay = ["sink", "replay", "acme", "warehouse"];
    // Refused again: they stay.
    let tried = r.requests();
    let (ok, _, said) = node.cli(&replay);
    assert!(ok, "{said}");
    wait_for("it is tried again", 20, || (r.requests() > tried).then_some(()));
    wait_for("all are set aside again", 20, || (dead(&node).len() == 6).then_some(()));
    r.behave(Behavior::Accept);
    let (ok, _, said) = node.cli(&replay);
    assert!(ok, "{said}");
    wait_for("they arrive", 20, || (total(&by_id(&r.taken()), "step_executed") == 9_000_000).then_some(()));
    wait_for("none is left", 20, || dead(&node).is_empty().then_some(()));
    let (ok, list, said) = node.cli(&["sink", "list"]);
    assert!(ok, "{said}");
    let warehouse = list["sinks"].as_array().unwrap().iter().find(|s| s["name"] == "warehouse").unwrap();
    assert_eq!((&warehouse["dead_letters"], &warehouse["trouble"]), (&json!(0), &json!("")));
}
