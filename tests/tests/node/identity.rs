//! What names a command, what remembers it, what a denied one costs, and how much one person takes away alone.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Command, Operation, ops};
use conductor_shared::fact::Outcome;
use conductor_shared::http::{CommandStatus, RequestList};
use conductor_shared::ids::{Ident, TenantUid};
use conductor_shared::ramp::Selector;
use conductor_shared::reason::Reason;
use conductor_tests::{Node, Tenant, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

const NODE: TenantUid = TenantUid::NODE;

fn node(persons: &[&str]) -> Node {
    Node::start_with(tempfile::tempdir().unwrap(), "", persons)
}

fn selector(text: &str) -> Selector {
    text.parse().unwrap()
}

fn ramp(rule: &str, percent: u16) -> Operation {
    let hundredths = BasisPoints::saturating(percent * 100);
    ops::RampSet { selector: selector(rule), hundredths }.into()
}

fn kill_all() -> Operation {
    ops::KillSet { selector: selector("*/*"), drain: false }.into()
}

/// Invariant 4: two persons propose under one id while the signer pauses. Each hears what became of their own change, and
/// the log says the same.
#[test]
fn two_persons_may_use_one_command_id() {
    let mut node = node(&["ben"]);
    let a = node.tenant("acme");
    node.command(a.uid, ramp("run/a", 1));
    node.command(a.uid, ramp("run/b", 1));
    node.all_signed(a.uid);
    let of_ana = node.compose(a.uid, ramp("run/a", 50));
    let of_ben = Command { command_id: of_ana.command_id, ..node.compose(a.uid, ramp("run/b", 90)) };
    let signer = Pid::from_raw(node.signer.as_ref().unwrap().id().cast_signed());
    kill(signer, Signal::SIGSTOP).unwrap();
    std::thread::scope(|s| {
        let ana = s.spawn(|| node.send(&of_ana).outcome());
        let ben = s.spawn(|| node.send_as("ben", &of_ben).outcome());
        wait_for("both are proposed", 10, || (node.control(a.uid).pending.len() == 2).then_some(()));
        kill(signer, Signal::SIGCONT).unwrap();
        let (ana, ben) = (ana.join().unwrap(), ben.join().unwrap());
        let ramps = node.control(a.uid).ramps;
        for (outcome, rule, percent) in [(ana, "run/a", 50), (ben, "run/b", 90)] {
            let effective = outcome.status == CommandStatus::Effective;
            let value = ramps[&selector(rule)].hundredths.get() / 100;
            assert_eq!(value, if effective { percent } else { 1 }, "{outcome:?}");
        }
    });
    node.stop_agent();
    node.check();
}

/// Invariant 4: what somebody does under the id of another's request leaves the request alone.
#[test]
fn a_request_stays_whatever_another_person_calls_theirs() {
    let node = node(&["ben", "cleo", "dan"]);
    let cleo = node.person("cleo");
    node.command(NODE, ops::OperatorSuspend { person: cleo });
    let request = node.request(NODE, ops::OperatorResume { person: cleo });
    let same_id = Command {
        command_id: request.command_id,
        ..node.compose(NODE, ops::OperatorSuspend { person: cleo })
    };
    assert_eq!(node.send_as("ben", &same_id).outcome().status, CommandStatus::Effective);
    let list: RequestList = node.operator().get("/v1/approvals").read();
    assert_eq!(list.requests.iter().map(|r| r.command_id).collect::<Vec<_>>(), [request.command_id]);
    // Another's exact text, signed once more, is not a second request that shares in the approvals.
    assert_eq!(node.send_as("ben", &request).reasons(), ["command_replayed"]);
}

/// Invariant 3: a command that counted costs no receipt, whoever sends it and however often; one that was denied is folded by
/// person.
#[test]
fn replays_and_denied_commands_cost_next_to_nothing() {
    let node = node(&["ben"]);
    let a = node.tenant("acme");
    let done = node.compose(a.uid, kill_all());
    assert_eq!(node.send(&done).outcome().status, CommandStatus::Effective);
    let before = node.head(a.uid).0;
    let body = node.signed(&done.text());
    let mut client = node.client("");
    for _ in 0..300 {
        assert_eq!(client.post("/v1/commands", &body).reasons(), ["command_replayed"]);
    }
    assert_eq!(node.head(a.uid).0, before);
    assert!(node.metrics().contains("conductor_commands_replayed_total 300"), "{}", node.metrics());
    // Never the same command, and always denied for the same reason about the same object.
    for person in ["ana", "ben"] {
        for n in 0..30 {
            let denied = node.absolute(a.uid, ops::KillClear { selector: selector("*/*") });
            let answer = node.send_as(person, &denied);
            assert_eq!(answer.reasons(), [Reason::WouldLoosen.code()], "{n}: {answer}");
        }
    }
    let grown = node.head(a.uid).0 - before;
    assert!(grown >= 2, "each person has a receipt of their own");
    assert!(grown < 60, "{grown} receipts for 60 denied commands");
    // What is over, or for elsewhere, is denied without the operators' lane.
    let now = node.now_us();
    let over =
        Command { issued_at_us: now - 9_000_000, expires_at_us: now - 1, ..node.compose(a.uid, kill_all()) };
    assert_eq!(node.send(&over).reasons(), ["command_expired"]);
}

/// Invariant 3: what one person takes away alone is counted by what it does, whatever it is called; persons count as well,
/// and nobody alone leaves fewer than two admins.
#[test]
fn one_person_takes_away_only_so_much() {
    let node = node(&["ben", "cleo", "dan"]);
    let plan = |t: &Tenant| {
        let plan = ops::PlanSet { selector: selector("*/*"), plan: "0.01%@2592000s 100%".parse().unwrap() };
        node.send_as("ben", &node.compose(t.uid, plan)).outcome()
    };
    let tenants: Vec<_> = (0..6).map(|i| node.tenant(&format!("t{i}"))).collect();
    for t in &tenants[..5] {
        assert_eq!(plan(t).status, CommandStatus::Effective);
    }
    let sixth = plan(&tenants[5]);
    assert_eq!((sixth.status, sixth.reasons), (CommandStatus::Requested, vec![Reason::TightenLimit]));
    assert_eq!(plan(&tenants[0]).status, CommandStatus::Effective, "from whom they took, they may take more");

    let suspend = |name: &str| {
        let person = node.person(name);
        node.send(&node.compose(NODE, ops::OperatorSuspend { person })).outcome().status
    };
    assert_eq!(suspend("cleo"), CommandStatus::Effective);
    assert_eq!(suspend("dan"), CommandStatus::Effective);
    assert_eq!(suspend("ben"), CommandStatus::Requested, "one admin would remain");
    assert_eq!(suspend("ana"), CommandStatus::Requested, "not oneself either");
}

/// Invariant 3: whatever an operator can add to a log ends somewhere, and it is told.
#[test]
fn what_a_log_holds_is_bounded() {
    let node = node(&[]);
    let a = node.tenant("acme");
    let replay = |n: usize| ops::SinkReplay { sink: Ident::new(&format!("s{n}")).unwrap() };
    for n in 0..256 {
        assert_eq!(node.send(&node.absolute(a.uid, replay(n))).came_to(), ["effective"], "{n}");
    }
    assert_eq!(node.send(&node.absolute(a.uid, replay(256))).reasons(), ["rules_too_many"]);
    assert_eq!(node.send(&node.absolute(a.uid, replay(7))).came_to(), ["effective"], "what is there already");
}

/// Invariant 1: heartbeats within half a lease share a receipt; the same approval and the same end are answered with the
/// first one's; one late settle is recorded; a lost run tells how many heartbeats it had.
#[test]
fn what_an_admitted_run_may_write_is_bounded() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    let mut c = node.client(&a.token);
    let run = c.start_run(&a, None).decided().run_id;
    let beat = json!({"tenant_id": a.name});
    let first = c.post(&format!("/v1/runs/{run}/heartbeat"), &beat).decided();
    let size = node.head(a.uid).0;
    for _ in 0..50 {
        let again = c.post(&format!("/v1/runs/{run}/heartbeat"), &beat).decided();
        assert_eq!((again.receipt, again.folded), (first.receipt, true));
    }
    assert_eq!(node.head(a.uid).0, size, "no row, no receipt");

    let approve =
        |n: usize| json!({"tenant_id": a.name, "name": format!("n{n}"), "approver": "x", "approved": true});
    let path = format!("/v1/runs/{run}/approvals");
    let firsts: Vec<_> = (0..100).map(|n| c.post(&path, &approve(n)).decided()).collect();
    assert_eq!(c.post(&path, &approve(100)).reasons(), ["approvals_too_many"]);
    let again = c.post(&path, &approve(7)).decided();
    assert_eq!((again.receipt, again.folded), (firsts[7].receipt, true));
    node.kill_agent();
    node.start_agent();
    let mut c = node.client(&a.token);
    let again = c.post(&path, &approve(99)).decided();
    assert_eq!((again.receipt, again.folded), (firsts[99].receipt, true), "a restart forgets none");
    assert_eq!(c.post(&path, &approve(101)).reasons(), ["approvals_too_many"]);

    let finish = |outcome: &str| json!({"tenant_id": a.name, "outcome": outcome});
    let path = format!("/v1/runs/{run}/finish");
    let ended = c.post(&path, &finish("succeeded")).decided();
    let same = c.post(&path, &finish("succeeded")).decided();
    assert_eq!((same.receipt, same.folded, same.late), (ended.receipt, true, None));
    let late = c.post(&path, &finish("failed")).decided();
    assert_eq!((late.folded, late.late), (false, Some(Outcome::Succeeded)));
    let size = node.head(a.uid).0;
    for _ in 0..20 {
        let again = c.post(&path, &finish("failed")).decided();
        assert_eq!((again.receipt, again.folded), (late.receipt, true));
    }
    assert_eq!(node.head(a.uid).0, size);
    node.stop_agent();
    node.check();
}

/// Invariant 6: a database that was put back is found at the start while the signer is away; the node's own log rules no
/// more: nothing is loosened or admitted, and a token that was revoked in what is missing does not come back.
#[test]
fn a_database_that_was_put_back_is_found_without_the_signer() {
    let mut node = node(&["ben"]);
    let (a, b) = (node.tenant("acme"), node.tenant("globex"));
    node.command(a.uid, ramp("run/etl", 1));
    for log in [NODE, a.uid, b.uid] {
        node.all_signed(log);
    }
    node.stop_agent();
    let (db, old) = (node.path("data/db"), node.path("old"));
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
        assert!(done.success());
    };
    copy(&db, &old);
    node.start_agent();
    let token = *node.control(b.uid).tokens.keys().next().unwrap();
    node.command(b.uid, ops::TokenRevoke { token });
    node.command(NODE, ops::ProfileCreate { profile: Ident::new("careful").unwrap() });
    for log in [NODE, b.uid] {
        node.all_signed(log);
    }
    node.stop_agent();
    std::fs::remove_dir_all(&db).unwrap();
    copy(&old, &db);
    node.kill_signer();
    node.spawn_agent();
    let told = wait_for("it answers", 30, || {
        let r = node.client(&b.token).once(
            "POST",
            "/v1/runs",
            conductor_tests::run_body(&b, None).to_string().as_bytes(),
            &[],
        );
        r.ok()
    });
    assert_eq!(told.reasons(), ["log_rolled_back"]);
    assert_eq!(
        node.client(&a.token).start_run(&a, None).reasons(),
        ["log_rolled_back"],
        "acme's own log is whole"
    );
    let answer = node.send_as("ben", &node.absolute(a.uid, kill_all()));
    assert_eq!(answer.came_to(), ["effective"], "tightening goes on: {answer}");
    node.start_signer();
    node.wait_signer(true);
    let raise = node.send_as("ben", &node.compose(a.uid, ramp("run/etl", 100)));
    assert!(raise.reasons().contains(&"log_rolled_back".to_owned()), "{raise}");
}
