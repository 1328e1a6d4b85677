//! The wall clock of a real agent is moved under it. Debian's libfaketime stands between the agent and the kernel's
//! wall clock and leaves the monotonic one alone, as a step by hand or by NTP would.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Command, Operation, ops};
use conductor_shared::http::RequestList;
use conductor_shared::ids::{TenantUid, unhex};
use conductor_tests::{Node, Tenant, wait_for};

const NODE: TenantUid = TenantUid::NODE;

/// Where libfaketime is; `make setup` installs it.
fn library() -> String {
    let places = std::fs::read_dir("/usr/lib").expect("/usr/lib").filter_map(Result::ok);
    let found = places.map(|p| p.path().join("faketime/libfaketimeMT.so.1")).find(|p| p.exists());
    found.expect("libfaketimeMT.so.1 (Debian: libfaketime); run make setup").display().to_string()
}

/// A node whose agent's wall clock can be moved.
fn node() -> Node {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben", "cleo:operator,approver"]);
    node.stop_agent();
    step(&node, 0);
    let file = node.path("wall").display().to_string();
    for (k, v) in [
        ("LD_PRELOAD", library()),
        ("FAKETIME_TIMESTAMP_FILE", file),
        ("FAKETIME_NO_CACHE", "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
    ] {
        node.env.push((k.into(), v));
    }
    node.start_agent();
    node
}

/// Moves the agent's wall clock to so many seconds from the right time.
fn step(node: &Node, seconds: i64) {
    let (new, file) = (node.path("wall.new"), node.path("wall"));
    std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// The incident that says that the clock is doubted, in hex.
fn doubted(node: &Node) -> Option<String> {
    let all = node.control(NODE).incidents;
    let found = all.iter().find(|(_, i)| i.cause.to_string() == "clock");
    found.map(|(id, _)| id.to_string())
}

fn wait_until_doubted(node: &Node) -> String {
    wait_for("the step is noticed", 20, || doubted(node))
}

fn raise(tenant: &Tenant, node: &Node, hundredths: u16) -> Vec<String> {
    let op = Operation::RampSet(ops::RampSet {
        selector: "run/other".parse().unwrap(),
        hundredths: BasisPoints::saturating(hundredths),
    });
    node.send(&node.compose(tenant.uid, op)).reasons()
}

/// Admitting, settling and tightening go on; nothing is loosened, 1, 30 and 300 times in a row.
fn only_safer(node: &Node, a: &Tenant) {
    let mut c = node.client(&a.token);
    let started = c.start_run(a, None);
    assert_eq!(started.status, 200, "admit goes on");
    assert_eq!(c.finish_run(a, started.decided().run_id).status, 200, "settle goes on");
    node.command(
        a.uid,
        ops::RampCap { selector: "run/other".parse().unwrap(), hundredths: BasisPoints::saturating(100) },
    );
    for n in 0..30 {
        assert_eq!(raise(a, node, 200), ["clock_untrusted"], "{n}");
    }
}

fn confirm(node: &Node, incident: &str) -> Command {
    let now_us = node.now_us();
    node.compose(NODE, ops::TimeConfirm { incident: unhex(incident).unwrap(), now_us })
}

/// What is confirmed is the time now: neither another one, nor one from before a further step.
fn only_the_time_now_is_confirmed(node: &Node, incident: &str) {
    let mut wrong = confirm(node, incident);
    if let Operation::TimeConfirm(ops::TimeConfirm { now_us, .. }) = &mut wrong.operation {
        *now_us -= 7_200_000_000;
    }
    assert_eq!(node.send(&wrong).reasons(), ["command_expired"]);
    let before = confirm(node, incident);
    assert_eq!(node.send(&before).came_to(), ["requested"]);
    step(node, 30);
    wait_for("the request is closed", 10, || {
        node.operator().get("/v1/approvals").read::<RequestList>().requests.is_empty().then_some(())
    });
    step(node, 0);
    node.wait_us(300_000);
    assert_eq!(node.approve("ben", &before), ["object_unknown"]);
}

/// Time, and invariant 3: a step in either direction, while the agent runs, opens one incident and stops what loosens;
/// two admins on the node itself confirm the time, with the signer dead too, and nobody else does.
#[test]
fn a_step_of_the_clock_stops_what_loosens() {
    let mut node = node();
    let a = node.tenant("acme");
    node.command(
        a.uid,
        ops::RampSet { selector: "run/other".parse().unwrap(), hundredths: BasisPoints::saturating(5_000) },
    );
    assert_eq!(doubted(&node), None);
    for seconds in [3_600, -3_600] {
        step(&node, seconds);
        let incident = wait_until_doubted(&node);
        only_safer(&node, &a);
        // An operator cannot talk it away.
        let comment = conductor_shared::untrusted::UntrustedText::new("it is fine");
        let close =
            Operation::IncidentClose(ops::IncidentClose { incident: unhex(&incident).unwrap(), comment });
        assert_eq!(node.send(&node.compose(NODE, close)).reasons(), ["clock_untrusted"]);
        // The right time again: another step, the same incident.
        step(&node, 0);
        node.wait_us(300_000);
        assert_eq!(doubted(&node).as_deref(), Some(incident.as_str()));
        only_safer(&node, &a);
        only_the_time_now_is_confirmed(&node, &incident);
        node.kill_signer();
        let c = confirm(&node, &incident);
        assert_eq!(node.send(&c).came_to(), ["requested"]);
        assert_eq!(node.approve("ana", &c), ["self_approval"]);
        // Somebody who is no admin ends the request, and confirms nothing.
        assert_eq!(node.approve("cleo", &c), ["abandoned"]);
        assert_eq!(doubted(&node).as_deref(), Some(incident.as_str()));
        let c = confirm(&node, &incident);
        assert_eq!(node.send(&c).came_to(), ["requested"]);
        assert_eq!(node.approve("ben", &c), ["effective"]);
        assert_eq!(doubted(&node), None);
        node.start_signer();
        node.all_signed(NODE);
        node.command(
            a.uid,
            ops::RampSet { selector: "run/other".parse().unwrap(), hundredths: BasisPoints::saturating(300) },
        );
        // The next round begins where a restart would.
        node.stop_agent();
        node.start_agent();
        assert_eq!(doubted(&node), None, "what was confirmed stays confirmed");
    }
    let all = node.control(NODE).incidents;
    assert_eq!(all.values().filter(|i| i.cause.to_string() == "time-confirmed").count(), 2, "{all:?}");
    node.stop_agent();
    node.check();
}

/// Time: neither a step forward nor one back ends a freeze or prolongs break-glass, and an agent that finds itself
/// before its own newest receipt doubts the clock from the start.
#[test]
fn a_restart_into_the_past_is_noticed_and_freezes_stay() {
    let mut node = node();
    let a = node.tenant("acme");
    let now = node.now_us();
    let freeze = conductor_shared::ids::Ident::new("rush").unwrap();
    let until_us = Some(now + 600_000_000);
    node.command(a.uid, ops::FreezeSet { freeze, until_us });
    let frozen = |node: &Node| !node.control(a.uid).freezes.is_empty();
    assert!(frozen(&node));
    step(&node, 7_200);
    let first = wait_until_doubted(&node);
    node.wait_us(600_000);
    assert!(frozen(&node), "a clock that nobody believes ends no freeze");
    // Receipts of the wrong time are written; the right time is before them.
    assert_eq!(node.client(&a.token).start_run(&a, None).status, 200);
    node.stop_agent();
    step(&node, 0);
    node.start_agent();
    assert_eq!(doubted(&node).as_deref(), Some(first.as_str()));
    let c = confirm(&node, &first);
    assert_eq!(node.send(&c).came_to(), ["requested"]);
    assert_eq!(node.approve("ben", &c), ["effective"]);
    assert!(frozen(&node), "by the right time it is not over");
    node.stop_agent();
    node.start_agent();
    assert_eq!(doubted(&node), None, "the receipts that are ahead were known when the time was confirmed");
    // Now the clock of the machine is set back while the agent is stopped.
    node.stop_agent();
    step(&node, -86_400);
    node.start_agent();
    assert!(doubted(&node).is_some(), "it is before the time that was confirmed");
    node.stop_agent();
    node.check();
}

/// Time: an agent that starts before its own newest receipt doubts the clock before it decides anything.
#[test]
fn a_clock_set_back_while_the_agent_was_stopped() {
    let mut node = node();
    let a = node.tenant("acme");
    node.stop_agent();
    step(&node, -600);
    node.start_agent();
    assert!(doubted(&node).is_some());
    only_safer(&node, &a);
    // Within the tolerance nothing is said.
    let mut fresh = self::node();
    fresh.stop_agent();
    step(&fresh, -1);
    fresh.start_agent();
    assert_eq!(doubted(&fresh), None);
    node.stop_agent();
    node.check();
}

/// Invariant 3, a stolen backup or a hostile network: what somebody captured while the clock was wrong, or since it was put
/// right, does not work again, whatever was changed and changed back in between.
#[test]
fn a_captured_command_does_not_work_again_after_the_clock_was_put_right() {
    let node = node();
    let a = node.tenant("acme");
    let selector = || "*/*".parse().unwrap();
    let kill = || ops::KillSet { selector: selector(), drain: false };
    step(&node, 3_600);
    let incident = wait_until_doubted(&node);
    // A receipt of the wrong time: no later one is before it.
    only_safer(&node, &a);
    step(&node, 0);
    node.wait_us(300_000);
    let c = confirm(&node, &incident);
    assert_eq!(node.send(&c).came_to(), ["requested"]);
    assert_eq!(node.approve("ben", &c), ["effective"]);

    node.command(a.uid, kill());
    let captured = wait_for("it is unkilled", 60, || {
        let clear = node.compose(a.uid, ops::KillClear { selector: selector() });
        (node.send(&clear).came_to() == ["effective"]).then_some(clear)
    });
    node.command(a.uid, kill());
    node.command(
        a.uid,
        ops::RampCap { selector: "run/another".parse().unwrap(), hundredths: BasisPoints::saturating(100) },
    );
    assert_eq!(node.send(&captured).reasons(), ["command_replayed"]);
    // As one that nobody remembers: the kill that it would clear is not the one that it was made for.
    let again = Command { command_id: conductor_shared::ids::CommandId([7; 16]), ..captured };
    assert_eq!(node.send(&again).reasons(), ["base_stale"]);
    assert_eq!(node.client(&a.token).start_run(&a, None).reasons(), ["killed"]);
}
