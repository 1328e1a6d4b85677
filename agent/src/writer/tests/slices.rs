//! Work that takes several steps: jobs take turns, and each slice is judged by the state it meets, not by the one that
//! its job began with. The writer runs in the test's own thread, one step at a time.

use super::rig::{Node, Signer, first, ident};
use crate::command::policy_input;
use crate::intake::reply::Answers;
use crate::intake::request::{CommandReply, WriterRequest};
use crate::partition::PartitionState;
use crate::policy::Query;
use crate::rollout::controller::{Judgement, Pace, Tick};
use crate::staging::{BatchBuilder, STEP_ROWS};
use crate::writer::Writer;
use crate::writer::timers::Round;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::checkpoint::Checkpoint;
use conductor_shared::clock::micros;
use conductor_shared::command::{Operation, ops};
use conductor_shared::fail_closed::{Class, Outage};
use conductor_shared::http::CommandStatus;
use conductor_shared::ids::{Ident, PartitionId, TenantUid};
use conductor_shared::ramp::Selector;
use conductor_shared::slo::Tally;
use conductor_shared::stream::SignerState;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Rows left in a step that others have nearly filled: room for one or two items of a job.
const ROOM: usize = 64;

/// A step with little room left.
fn small_step(w: &mut Writer) -> BatchBuilder {
    let mut st = w.stage().unwrap();
    st.owe(STEP_ROWS - ROOM);
    st
}

/// What a pass does for jobs, with little room before its requests and none after them.
fn small_slice(w: &mut Writer) {
    let (st, mut answers) = (small_step(w), Answers::default());
    let mut st = w.left_over(st, &mut answers).unwrap();
    st.owe(STEP_ROWS);
    w.fill_with_jobs(&mut st, &mut answers).unwrap();
    w.finish(st, &mut answers);
}

fn live(w: &mut Writer, id: PartitionId) -> &mut PartitionState {
    w.open.as_mut().unwrap().partitions.get_mut(id).unwrap()
}

fn tenants(numbers: std::ops::Range<u32>) -> Vec<(TenantUid, Ident)> {
    numbers.map(|n| (first(n).tenant, ident(&format!("tenant-{n}")))).collect()
}

/// Passes until a command that waits for its checkpoint is answered.
fn effective(w: &mut Writer, signer: &Signer, mut answer: oneshot::Receiver<CommandReply>) {
    for _ in 0..3_000 {
        if let Ok(reply) = answer.try_recv() {
            let outcome = reply.unwrap();
            assert_eq!(outcome.status, CommandStatus::Effective, "{:?}", outcome.reasons);
            return;
        }
        let signed = signer.jobs.recv_timeout(Duration::from_millis(20)).map(|job| signer.sign(job));
        w.pass(signed.into_iter().collect());
    }
    panic!("no checkpoint lets the command take effect");
}

fn change(node: &mut Node, w: &mut Writer, signer: &Signer, operation: Operation) {
    let log = first(0);
    let signed = node.command(log, operation);
    let (to, answer) = oneshot::channel();
    w.pass(vec![WriterRequest::Command(log, Box::new(signed), to)]);
    effective(w, signer, answer);
}

fn create(w: &mut Writer, numbers: std::ops::Range<u32>) {
    let (to, answer) = oneshot::channel();
    w.pass(vec![WriterRequest::CreateTenants(tenants(numbers), to)]);
    answer.blocking_recv().unwrap().unwrap();
}

fn end(node: &Node, w: Writer) {
    node.queues.close();
    w.run();
}

/// docs/design/write-path.md, one step: jobs take turns. A short one that came later ends while a long one has hardly
/// begun.
#[test]
fn a_long_job_does_not_hold_up_others() {
    const LONG: u32 = 40;
    let (node, mut w, _signer) = Node::by_hand();
    let (mut st, mut answers) = (w.stage().unwrap(), Answers::default());
    let (to_long, long) = oneshot::channel();
    let (to_short, short) = oneshot::channel();
    w.create_tenants(&mut st, tenants(0..LONG), to_long).unwrap();
    w.create_tenants(&mut st, tenants(LONG..LONG + 1), to_short).unwrap();
    w.finish(st, &mut answers);
    small_slice(&mut w);
    small_slice(&mut w);
    assert!(w.open.as_ref().unwrap().partitions.contains(first(LONG)), "the short one has ended");
    short.blocking_recv().unwrap().unwrap();
    assert!(!w.jobs.is_empty(), "the long one goes on");
    while !w.jobs.is_empty() {
        small_slice(&mut w);
    }
    long.blocking_recv().unwrap().unwrap();
    end(&node, w);
    node.stop();
}

/// Invariant 6: whose signatures count is looked up in each slice. What an earlier signer signed is not taken over after
/// another one was pinned, and that one is asked about every log.
#[test]
fn checkpoints_of_a_replaced_signer_are_dropped_between_slices() {
    const LOGS: u32 = 12;
    let (node, mut w, signer) = Node::by_hand();
    create(&mut w, 0..LOGS);
    let list = (0..LOGS).map(|n| {
        let log = live(&mut w, first(n));
        let c = Checkpoint { origin: log.p.origin, size: log.log.size(), root: log.log.root() };
        (first(n), c, signer.key.checkpoint(&c).unwrap())
    });
    let list = list.collect();
    w.signed(&signer.key.public.base64, list);
    let signed = |w: &mut Writer| (0..LOGS).filter(|n| live(w, first(*n)).log.signed > 0).count();
    small_slice(&mut w);
    let taken = signed(&mut w);
    assert!(taken > 0 && taken < LOGS as usize, "{taken}");

    let control = &mut live(&mut w, PartitionId::NODE).control;
    Arc::make_mut(control).signer_key = Some("another".to_owned());
    w.follow_signer();
    small_slice(&mut w);
    assert_eq!(signed(&mut w), taken, "what the earlier one signed counts no more");
    assert!(w.jobs.is_empty());
    assert!((0..LOGS).all(|n| live(&mut w, first(n)).unproved), "the new one is asked about all");
    end(&node, w);
}

/// A ramp whose plan goes on as soon as it is judged: healthy counts, a bake that is over, and a proof.
struct Ramp {
    selector: Selector,
    next: Operation,
}

const LOG: u32 = 0;

impl Ramp {
    fn new(node: &mut Node, w: &mut Writer, signer: &Signer) -> Self {
        create(w, LOG..1);
        let selector: Selector = "*/etl".parse().unwrap();
        let workflow = ident("etl");
        change(node, w, signer, Operation::WorkflowRegister(ops::WorkflowRegister { workflow }));
        let plan = "1%@60s 5%@60s 100%".parse().unwrap();
        change(node, w, signer, Operation::PlanSet(ops::PlanSet { selector: selector.clone(), plan }));
        let hundredths = BasisPoints::saturating(500);
        let next = Operation::RampSet(ops::RampSet { selector: selector.clone(), hundredths });
        Self { selector, next }
    }

    /// As judged next: so many of 1,000 runs failed.
    fn seen(&self, node: &Node, w: &mut Writer, signer: &Signer, errors: u64) {
        let of_node = live(w, PartitionId::NODE).control.clone();
        let tenant = live(w, first(LOG));
        let input =
            policy_input(&self.next, Class::Loosen, tenant.shared.name.as_str(), &tenant.control, &of_node);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(node.policy.prepare(Class::Loosen, Query::of(first(LOG).tenant, &input)));
        let c = Checkpoint { origin: tenant.p.origin, size: tenant.log.size(), root: tenant.log.root() };
        let watch = tenant.ramp_stats.ramps.get_mut(&self.selector).unwrap();
        watch.row.counts.all = Tally { settled: 1_000, errors };
        watch.row.up_us = micros(Duration::from_secs(60));
        watch.proof = Some(Box::new((c, signer.key.checkpoint(&c).unwrap())));
    }

    fn at(&self, w: &mut Writer) -> u64 {
        live(w, first(LOG)).control.plans[&self.selector].at
    }

    fn value(&self, w: &mut Writer) -> BasisPoints {
        live(w, first(LOG)).control.ramps[&self.selector].hundredths
    }
}

/// How ramps are judged, as of now and with nothing out.
fn judgement(node: &Node, w: &mut Writer) -> Judgement {
    let mut st = w.stage().unwrap();
    let health = Arc::clone(&w.parts.health);
    let pace = Pace { every: Duration::ZERO, bake: Duration::ZERO };
    let (outage, since) = (Outage::default(), Duration::ZERO);
    let tick = Tick { pace, outage, disk_critical: false, since, health: &health };
    node.board.set_signer(SignerState::Up, "");
    let open = w.open.as_mut().unwrap();
    let judgement = w.eval.begin_round(&mut open.partitions, &mut st, tick).unwrap();
    w.finish(st, &mut Answers::default());
    judgement
}

/// The slice of a round that looks at the ramp.
fn judge(w: &mut Writer, judgement: Judgement) {
    let (mut st, mut answers) = (w.stage().unwrap(), Answers::default());
    w.round = Some(Round { left: vec![first(LOG)], judgement });
    w.go_on_with_round(&mut st, &mut answers).unwrap();
    w.finish(st, &mut answers);
}

/// Invariant 3: a round over all partitions takes several steps. A plan whose turn comes after the signer
/// was lost, or after its author was suspended, does not go on, whatever was so when the round began.
#[test]
fn a_round_that_was_overtaken_loosens_nothing() {
    let (mut node, mut w, signer) = Node::by_hand();
    let ramp = Ramp::new(&mut node, &mut w, &signer);

    ramp.seen(&node, &mut w, &signer, 0);
    let begun = judgement(&node, &mut w);
    node.board.set_signer(SignerState::Down, "gone");
    judge(&mut w, begun);
    assert_eq!(ramp.at(&mut w), 0, "nothing is loosened without a signer");

    ramp.seen(&node, &mut w, &signer, 0);
    let begun = judgement(&node, &mut w);
    let author = live(&mut w, first(LOG)).control.plans[&ramp.selector].key.unwrap();
    let suspend = |w: &mut Writer, yes: bool| {
        let control = &mut live(w, PartitionId::NODE).control;
        Arc::make_mut(control).operators.get_mut(&author).unwrap().suspended = yes;
    };
    suspend(&mut w, true);
    judge(&mut w, begun);
    assert_eq!(ramp.at(&mut w), 0, "a suspended author signs nothing");
    suspend(&mut w, false);

    ramp.seen(&node, &mut w, &signer, 0);
    let begun = judgement(&node, &mut w);
    judge(&mut w, begun);
    assert_eq!(ramp.at(&mut w), 1, "with nothing against it the plan goes on");
    end(&node, w);
}

/// A breach that is found after the signer was lost in the middle of a round is the platform's, and marks no
/// revision bad.
#[test]
fn a_breach_in_an_outage_that_began_within_the_round_blames_no_revision() {
    let (mut node, mut w, signer) = Node::by_hand();
    let ramp = Ramp::new(&mut node, &mut w, &signer);
    // It fell before it was judged healthy: from 1 % to none.
    ramp.seen(&node, &mut w, &signer, 900);
    let begun = judgement(&node, &mut w);
    node.board.set_signer(SignerState::Down, "gone");
    judge(&mut w, begun);
    assert_eq!(ramp.value(&mut w), BasisPoints::ZERO);
    assert!(!live(&mut w, first(LOG)).control.bad.contains_key(&ramp.selector));
    end(&node, w);
}
