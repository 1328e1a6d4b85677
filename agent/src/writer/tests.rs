//! What the writer promises, on a store of its own and without HTTP.

mod attacks;
mod rig;
mod slices;
mod snapshots;

use crate::intake::request::{WorkloadOp, WriterRequest};
use crate::metering::Recount;
use crate::partition::PartitionStatus;
use crate::staging::STEP_ROWS;
use crate::store::Row;
use conductor_shared::clock::Clock as _;
use conductor_shared::command::{Operation, ops};
use conductor_shared::fact::Outcome;
use conductor_shared::http::CommandStatus;
use conductor_shared::ids::{PartitionId, RunId};
use conductor_shared::meter::HOUR_US;
use conductor_shared::profile::Setting;
use conductor_shared::quota::QuotaKind;
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::UntrustedText;
use rig::*;
use std::time::Duration;
use tokio::sync::oneshot;

/// docs/design/write-path.md, one step: no step of the writer touches more rows than its bound. Longer work (many tenants at
/// once, their checkpoints, the end of a run with every step open beside others, a window that freezes all) is staged in
/// slices.
#[test]
fn no_step_touches_more_rows_than_its_bound() {
    const TENANTS: u32 = 500;
    let mut node = Node::start();
    node.create(0..TENANTS).unwrap();
    assert!(node.largest_step() > STEP_ROWS / 4, "a step is used: {}", node.largest_step());
    node.wait_for("all are signed", |b| b.all().iter().all(|c| c.view.load().backlog() == 0));

    let log = first(0);
    let set = |kind| Operation::QuotaSet(ops::QuotaSet { kind, limit: 1_000_000 });
    node.change(log, Operation::WorkflowRegister(ops::WorkflowRegister { workflow: ident("etl") }));
    for quota in [QuotaKind::StepRate, QuotaKind::StepBurst, QuotaKind::ReceiptBacklog] {
        node.change(log, set(quota));
    }
    let runs: Vec<RunId> =
        (0..3).map(|_| node.ask(log, run()).blocking_recv().unwrap().unwrap().run_id).collect();
    for run in &runs {
        for _ in 0..4 {
            let start = || WorkloadOp::StartStep { run: *run, name: UntrustedText::new("s") };
            let asked: Vec<_> = (0..250).map(|_| node.ask(log, start())).collect();
            all_allowed(asked);
        }
    }
    let finish = |run: &RunId| WorkloadOp::FinishRun { run: *run, outcome: Outcome::Succeeded };
    let asked: Vec<_> = runs.iter().map(|run| node.ask(log, finish(run))).collect();
    all_allowed(asked);
    assert_eq!(node.board.get(log.tenant).unwrap().view.load().open_runs, 0);
    assert!(node.largest_step() <= STEP_ROWS, "{}", node.largest_step());
    node.stop();
}

/// docs/design/write-path.md, when something fails: a partition that was damaged while it served does not keep the store
/// from being opened again after a failure, nor the signer from being asked.
#[test]
fn a_damaged_partition_holds_nothing_up() {
    let mut node = Node::start();
    node.create(0..2).unwrap();
    let (bad, good) = (first(0), first(1));
    let register = || Operation::WorkflowRegister(ops::WorkflowRegister { workflow: ident("etl") });
    node.change(bad, register());
    let run = node.ask(bad, run()).blocking_recv().unwrap().unwrap().run_id;
    let finish = || WorkloadOp::FinishRun { run, outcome: Outcome::Succeeded };
    node.ask(bad, finish()).blocking_recv().unwrap().unwrap();
    node.wait_for("all are signed", |b| b.all().iter().all(|c| c.view.load().backlog() == 0));
    damage(&node, bad, Row::EndedRun(run.0));
    let denied = node.ask(bad, finish()).blocking_recv().unwrap().unwrap_err();
    assert_eq!(denied.reasons, Reason::PartitionDamaged.into());
    // A loosening waits for a signature.
    node.change(good, register());
    let store = node.board.store.load_full().unwrap();
    store.fail();
    drop(store);
    node.wait_for("the store is open again", |b| b.store.load().as_ref().is_some_and(|s| !s.has_failed()));
    let kill = Operation::KillSet(ops::KillSet { selector: "*/*".parse().unwrap(), drain: false });
    node.change(good, kill);
    node.stop_damaged();
}

/// docs/design/write-path.md, when something fails: a start that cannot write its own receipt serves nobody, and leaves no
/// log with a hole in it.
#[test]
fn a_start_that_fails_is_tried_again() {
    let mut node = Node::start();
    node.create(0..1).unwrap();
    let (units, away) = (node.folder.path().join("keys/units"), node.folder.path().join("away"));
    std::fs::rename(&units, &away).unwrap();
    let store = node.board.store.load_full().unwrap();
    store.fail();
    drop(store);
    node.wait_for("the start fails", |b| b.store_error().contains("units"));
    let denied = node.ask(first(0), run()).blocking_recv().unwrap().unwrap_err();
    assert_eq!(denied.reasons, Reason::StoreUnavailable.into());
    std::fs::rename(&away, &units).unwrap();
    node.wait_for("the store is open again", |b| b.store.load().as_ref().is_some_and(|s| !s.has_failed()));
    node.change(first(0), Operation::WorkflowRegister(ops::WorkflowRegister { workflow: ident("etl") }));
    node.stop();
}

/// docs/design/write-path.md, when something fails: a checkpoint whose effect meets a damaged row stops that partition, and
/// all others are signed on.
#[test]
fn signing_goes_on_past_a_damaged_effect() {
    let mut node = Node::start();
    node.create(0..2).unwrap();
    let (bad, good) = (first(0), first(1));
    let register = || Operation::WorkflowRegister(ops::WorkflowRegister { workflow: ident("etl") });
    node.change(bad, register());
    let two_days_ago = node.clock.now().wall - Duration::from_secs(48 * 3_600);
    let hour = two_days_ago.as_micros() / HOUR_US;
    damage(&node, bad, Row::Quarters(hour.try_into().unwrap()));
    let word = format!("run_started {} production service etl 1 1", hour * HOUR_US);
    let correct = ops::UsageCorrect { adjustments: vec![word.parse().unwrap()] };
    let signed = node.command(bad, Operation::UsageCorrect(correct));
    let denied = node.send(bad, signed).blocking_recv().unwrap().unwrap_err();
    assert_eq!(denied.reasons, Reason::StoreUnavailable.into());
    assert_eq!(node.board.get(bad.tenant).unwrap().status(), PartitionStatus::Damaged);
    node.change(good, register());
    node.stop_damaged();
}

/// docs/design/write-path.md, rows that are not in the store yet: a request is approved in the moment it was made, before
/// anything of it is durable.
#[test]
fn a_request_is_approved_before_it_is_in_the_store() {
    let mut node = Node::start();
    let profile = ops::ProfileCreate { profile: ident("strict") };
    node.change(PartitionId::NODE, Operation::ProfileCreate(profile));
    for seconds in 100..110 {
        let setting = Setting::parse("last_known_s", &seconds.to_string()).unwrap();
        let set = ops::ProfileSet { profile: ident("strict"), setting };
        let signed = node.command(PartitionId::NODE, Operation::ProfileSet(set));
        let approval = node.approval(&signed);
        let requested = node.send(PartitionId::NODE, signed);
        let (to, approved) = oneshot::channel();
        node.queues.push(WriterRequest::Approval(PartitionId::NODE, Box::new(approval), to)).unwrap();
        assert_eq!(requested.blocking_recv().unwrap().unwrap().status, CommandStatus::Requested);
        let outcome = approved.blocking_recv().unwrap().unwrap();
        assert_eq!(outcome.status, CommandStatus::Effective, "{:?}", outcome.reasons);
    }
    node.stop();
}

/// docs/design/write-path.md, incarnations: what was taken for one incarnation of a partition is refused by another.
#[test]
fn another_incarnation_is_refused() {
    let mut node = Node::start();
    node.create(0..1).unwrap();
    let (now, then) = (first(0), PartitionId { epoch: 2, ..first(0) });
    let denied = node.ask(then, run()).blocking_recv().unwrap().unwrap_err();
    assert_eq!(denied.reasons, Reason::PartitionReplaced.into());
    let kill = Operation::KillSet(ops::KillSet { selector: "*/*".parse().unwrap(), drain: false });
    let signed = node.command(now, kill.clone());
    let denied = node.send(then, signed).blocking_recv().unwrap().unwrap_err();
    assert_eq!(denied.reasons, Reason::PartitionReplaced.into());
    assert!(node.board.get(now.tenant).unwrap().view.load().control.kills.is_empty());
    node.change(now, kill);
    node.stop();
}

/// Invariant 5 and docs/design/write-path.md, leases: a recount reads slice after slice and holds nothing in between. A
/// store that fails meanwhile is open again at once; what is left of the recount is refused, and the next one is whole.
#[test]
fn a_recount_does_not_hold_up_reopening() {
    let mut node = Node::start();
    node.create(0..1).unwrap();
    let log = first(0);
    node.change(log, Operation::WorkflowRegister(ops::WorkflowRegister { workflow: ident("etl") }));
    all_allowed((0..9).map(|_| node.ask(log, run())).collect());
    let cell = node.board.get(log.tenant).unwrap();
    let mut recount = {
        let lease = cell.lease().unwrap();
        let mut recount = Recount::begin(lease.store(), lease.partition(), cell.view.load().signed).unwrap();
        assert!(recount.slice(lease.store(), lease.partition(), 3).unwrap(), "it has just begun");
        recount
    };
    let store = node.board.store.load_full().unwrap();
    store.fail();
    drop(store);
    node.wait_for("the store is open again", |b| b.store.load().as_ref().is_some_and(|s| !s.has_failed()));
    assert_eq!(cell.lease().err(), Some(Reason::StoreUnavailable), "what was lent before is lent no more");
    let cell = node.board.get(log.tenant).unwrap();
    let lease = cell.lease().unwrap();
    while recount.slice(lease.store(), lease.partition(), 3).unwrap() {}
    assert_eq!(recount.end().differences, []);
    drop(lease);
    node.stop();
}
