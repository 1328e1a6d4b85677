//! Metered events on their way out: to a real receiver that fails, hangs, answers late and restarts, and to files.
//! Nothing is lost, and what comes twice has the same id.

use conductor_shared::cloudevents::schema;
use conductor_shared::meter::EventType;
use conductor_tests::events::{by_id, on_tape};
use conductor_tests::fake_sink::{Behavior, FakeSink};
use conductor_tests::workload::work;
use conductor_tests::{Node, Tenant, wait_for};
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

/// Sinks: at least once with stable ids, through every bad behavior of the receiver, kills of the agent included; the
/// events that arrived add up to what usage says, and each keeps its schema.
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

/// Sinks: an event that the receiver refuses is set aside and holds nothing up; it is looked at, and delivered again on
/// an operator's word.
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
    let letters = wait_for("each step is set aside", 20, || Some(dead(&node)).filter(|l| l.len() >= 6));
    assert_eq!(letters.len(), 6, "and nothing else: {letters:?}");
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

/// What a sink says of itself.
fn status(node: &Node, sink: &str) -> Value {
    let (ok, list, said) = node.cli(&["sink", "list"]);
    assert!(ok, "{said}");
    list["sinks"].as_array().unwrap().iter().find(|s| s["name"] == sink).unwrap().clone()
}

/// Receipts of a tenant whose events arrived.
fn arrived(r: &FakeSink, tenant: &Tenant) -> i64 {
    let mut events = by_id(&r.taken());
    events.retain(|_, e| e["subject"] == tenant.name.as_str());
    total(&events, "receipt_emitted")
}

fn all_arrive(node: &Node, r: &FakeSink, tenant: &Tenant) {
    let usage = node.operator().get(&format!("/v1/tenants/{}/usage?range=24h", tenant.uid)).json();
    let emitted = usage["totals"]["receipts_emitted"].as_i64().unwrap();
    wait_for("all events arrive", 90, || (arrived(r, tenant) == emitted).then_some(()));
}

/// A receiver that refuses all events of one tenant gets those of the others; nothing of the refused tenant becomes a
/// dead letter, it waits and is told of, and comes once it is taken.
#[test]
fn refused_events_of_one_tenant_stop_nobody_else() {
    let r = FakeSink::start(Behavior::RejectTenant("acme"));
    let dir = tempfile::tempdir().unwrap();
    let tables = with_sinks(&r, dir.path());
    let node = Node::start_after(dir, &tables);
    let (a, b) = (node.tenant("acme"), node.tenant("globex"));
    work(&node, &a, 2);
    wait_for("acme is held", 30, || (status(&node, "warehouse")["tenants_held"] == 1).then_some(()));
    work(&node, &b, 2);
    all_arrive(&node, &r, &b);
    work(&node, &b, 2);
    all_arrive(&node, &r, &b);
    let s = status(&node, "warehouse");
    assert!(s["trouble"].as_str().unwrap().starts_with("acme: the receiver answered 422"), "{s}");
    assert_eq!((&s["dead_letters"], arrived(&r, &a)), (&json!(0), 0), "{s}");
    r.behave(Behavior::Accept);
    all_arrive(&node, &r, &a);
    wait_for("no trouble is left", 30, || (status(&node, "warehouse")["trouble"] == "").then_some(()));
}

/// No answer but 400, 413 and 422 is about an event, and these are not when all events get them alike: the sink waits,
/// says why, and sets nothing aside.
#[test]
fn answers_that_are_not_about_an_event_set_nothing_aside() {
    let r = FakeSink::start(Behavior::Answer(410));
    let dir = tempfile::tempdir().unwrap();
    let tables = with_sinks(&r, dir.path()).replace("batch = 7", "batch = 200");
    let node = Node::start_after(dir, &tables);
    let a = node.tenant("acme");
    work(&node, &a, 6);
    // The pauses get longer: the statuses that were made dead letters come first.
    for refused in [410, 415, 406, 400] {
        r.behave(Behavior::Answer(refused));
        let told = format!("the receiver answered {refused}");
        wait_for("it is told", 60, || {
            let s = status(&node, "warehouse");
            s["trouble"].as_str().unwrap().contains(&told).then_some(s)
        });
        let s = status(&node, "warehouse");
        assert_eq!((&s["dead_letters"], &s["delivers"]), (&json!(0), &json!(false)), "{s}");
    }
    assert!(node.metrics().contains("conductor_sink_up{sink=\"warehouse\"} 0"));
    r.behave(Behavior::Accept);
    all_arrive(&node, &r, &a);
}

/// What a sink is configured with is read when it is there and again when it changes; until then the sink says that it
/// does not deliver, and what waits gets older.
#[test]
fn a_token_that_comes_late_and_changes_is_read() {
    let r = FakeSink::start(Behavior::Accept);
    let dir = tempfile::tempdir().unwrap();
    let tables = with_sinks(&r, dir.path());
    let token = dir.path().join("token");
    std::fs::remove_file(&token).unwrap();
    let node = Node::start_after(dir, &tables);
    let a = node.tenant("acme");
    work(&node, &a, 1);
    let waits = |s: &Value| s["waiting_receipts"].as_u64().unwrap() > 10;
    let first = wait_for("it waits", 30, || Some(status(&node, "warehouse")).filter(waits));
    let trouble = first["trouble"].as_str().unwrap();
    assert!(trouble.starts_with("not delivering: ") && trouble.contains("token: No such file"), "{trouble}");
    assert!(node.metrics().contains("conductor_sink_up{sink=\"warehouse\"} 0"));
    wait_for("what waits gets older", 30, || {
        let lag = |s: &Value| s["lag_us"].as_u64().unwrap();
        (lag(&status(&node, "warehouse")) > lag(&first) + 1_000_000).then_some(())
    });
    let sent = |token: &str| {
        r.headers().iter().any(|h| h.eq_ignore_ascii_case(&format!("authorization: bearer {token}")))
    };
    std::fs::write(&token, "the-first\n").unwrap();
    all_arrive(&node, &r, &a);
    assert!(sent("the-first"));
    std::fs::write(&token, "the-second\n").unwrap();
    work(&node, &a, 1);
    all_arrive(&node, &r, &a);
    assert!(sent("the-second"));
    wait_for("nothing waits", 30, || (status(&node, "warehouse")["lag_us"] == 0).then_some(()));
    assert!(node.metrics().contains("conductor_sink_up{sink=\"warehouse\"} 1"));
}

/// A file that is moved or removed while the sink writes takes no event with it that was not there already, and its
/// number is not given out again, also not after a restart.
#[test]
fn files_may_be_moved_away() {
    let dir = tempfile::tempdir().unwrap();
    let (tape, collected) = (dir.path().join("tape"), dir.path().join("collected"));
    std::fs::create_dir(&collected).unwrap();
    let tables = format!("[[sink]]\nname = \"tape\"\nfolder = \"{}\"\n", tape.display());
    let mut node = Node::start_after(dir, &tables);
    let a = node.tenant("acme");
    let written = || {
        let mut files: Vec<_> = std::fs::read_dir(&collected).unwrap().map(|f| f.unwrap().path()).collect();
        files.extend(std::fs::read_dir(&tape).into_iter().flatten().map(|f| f.unwrap().path()));
        let text: String = files.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
        by_id(&text.lines().map(|l| serde_json::from_str(l).unwrap()).collect::<Vec<_>>())
    };
    let mut numbers = vec![];
    for round in 0..4 {
        work(&node, &a, 1);
        let usage = node.operator().get(&format!("/v1/tenants/{}/usage?range=24h", a.uid)).json();
        let emitted = usage["totals"]["receipts_emitted"].as_i64().unwrap();
        wait_for("all is written", 30, || (total(&written(), "receipt_emitted") == emitted).then_some(()));
        for file in std::fs::read_dir(&tape).unwrap() {
            let name = file.unwrap().file_name();
            std::fs::rename(tape.join(&name), collected.join(&name)).unwrap();
            numbers.push(name.into_string().unwrap());
        }
        if round == 1 {
            node.stop_agent();
            node.start_agent();
        }
        if round == 2 {
            std::fs::remove_dir(&tape).unwrap();
        }
    }
    let expected: Vec<_> = (1..=4).map(|n| format!("tape-{n:06}.jsonl")).collect();
    assert_eq!(numbers, expected);
}

/// An operator has the events of a range of receipts delivered again: those, and no others.
#[test]
fn a_range_of_receipts_is_delivered_again() {
    let r = FakeSink::start(Behavior::Accept);
    let dir = tempfile::tempdir().unwrap();
    let tables = with_sinks(&r, dir.path());
    let node = Node::start_after(dir, &tables);
    let a = node.tenant("acme");
    work(&node, &a, 2);
    all_arrive(&node, &r, &a);
    let before = r.taken().len();
    let (from, to) = (8, 13);
    let (ok, _, said) = node.cli(&["sink", "redeliver", "acme", "warehouse", "8", "13"]);
    assert!(ok, "{said}");
    let in_range = |e: &&Value| (from..=to).contains(&e["data"]["receipt_index"].as_u64().unwrap());
    let ids = |events: &[Value]| {
        let mut ids: Vec<_> = events.iter().filter(in_range).map(|e| e["id"].clone()).collect();
        ids.sort_by_key(ToString::to_string);
        ids
    };
    let first = ids(&r.taken()[..before]);
    assert!(!first.is_empty());
    wait_for("they come again", 30, || (ids(&r.taken()[before..]) == first).then_some(()));
    work(&node, &a, 1);
    all_arrive(&node, &r, &a);
    assert_eq!(ids(&r.taken()[before..]), first, "once");
    let old = |e: &&Value| e["data"]["receipt_index"].as_u64().unwrap() < from;
    assert_eq!(r.taken()[before..].iter().filter(old).count(), 0);
    let (ok, _, said) = node.cli(&["sink", "redeliver", "acme", "warehose", "8", "13"]);
    assert!(!ok && said.contains("warehouse"), "{said}");
}
