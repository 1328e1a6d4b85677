//! What one person tries alone: all at once, so that nothing of it counts yet when the next of it is judged.

use super::*;
use crate::command::{MAX_PENDING, MAX_REQUESTS};
use crate::intake::request::{CommandReply, Denial, Unscoped};
use crate::partition::published::Registry;
use crate::writer::TightenLimit;
use conductor_shared::http::CommandOutcome;
use conductor_shared::ids::PersonId;
use std::sync::Arc;

fn answers(sent: Vec<oneshot::Receiver<CommandReply>>) -> Vec<CommandOutcome> {
    sent.into_iter().map(|answer| answer.blocking_recv().unwrap().unwrap()).collect()
}

fn with(outcomes: &[CommandOutcome], status: CommandStatus) -> usize {
    outcomes.iter().filter(|o| o.status == status).count()
}

/// Waits until so many proposals of these logs are on record.
fn wait_until_pending(node: &Node, logs: u32, proposals: usize) {
    let pending = |b: &Registry| {
        let of = |n| b.get(first(n).tenant).map_or(0, |cell| cell.view.load().control.pending.len());
        (0..logs).map(of).sum::<usize>()
    };
    node.wait_for("they wait for the signer", |b| pending(b) >= proposals);
}

/// Invariant 3, a stolen key: what a person takes away by changes that wait for the signer counts from the moment they
/// wait. Whoever sends all of them at once takes no more than whoever sends them one by one.
#[test]
fn what_waits_for_the_signer_counts_against_the_limit() {
    let mut node = Node::start_limited(TightenLimit { most: 2, window: Duration::from_secs(3_600) });
    node.create(0..6).unwrap();
    let plan = || {
        let (selector, plan) = ("*/*".parse().unwrap(), "0.01%@2592000s 100%".parse().unwrap());
        Operation::PlanSet(ops::PlanSet { selector, plan })
    };
    let signed: Vec<_> = (0..6).map(|n| (first(n), node.command(first(n), plan()))).collect();
    let held = Arc::clone(&node.signer);
    let held = held.lock();
    let mut sent: Vec<_> = signed.into_iter().map(|(log, signed)| node.send(log, signed)).collect();
    wait_until_pending(&node, 6, 2);
    let refused = answers(sent.split_off(2));
    drop(held);
    let by_limit =
        |o: &CommandOutcome| o.status == CommandStatus::Requested && o.reasons == [Reason::TightenLimit];
    assert!(refused.iter().all(by_limit), "{refused:?}");
    let both = answers(sent);
    assert_eq!(with(&both, CommandStatus::Requested), 0, "{both:?}");
    node.stop();
}

/// Bounds hold for what takes effect, however much of it waited at a time: a proposal that was within a bound when it came
/// in never takes effect once others filled it.
#[test]
fn what_waits_for_the_signer_goes_past_no_bound() {
    const PEERS: u32 = 256;
    let mut node = Node::start();
    node.create(0..1).unwrap();
    let log = first(0);
    let send = |node: &mut Node, users: std::ops::Range<u32>| -> Vec<_> {
        let allow = |uid| Operation::PeerAllow(ops::PeerAllow { uid });
        let signed: Vec<_> = users.map(|uid| node.command(log, allow(uid))).collect();
        signed.into_iter().map(|signed| node.send(log, signed)).collect()
    };
    for begin in (0..PEERS - 16).step_by(60) {
        let all = answers(send(&mut node, begin..begin + 60));
        assert_eq!(with(&all, CommandStatus::Effective), 60, "{all:?}");
    }
    let held = Arc::clone(&node.signer);
    let held = held.lock();
    let sent = send(&mut node, PEERS - 16..PEERS + 16);
    wait_until_pending(&node, 1, 32);
    drop(held);
    let all = answers(sent);
    assert!(with(&all, CommandStatus::Effective) <= 16, "{all:?}");
    let full = node.board.get(log.tenant).unwrap().view.load().control.peers.len();
    assert!(full <= PEERS as usize, "{full}");
    node.stop();
}

/// Proposals that wait have an end, and so have requests: one more is refused, and what tightens goes on.
#[test]
fn what_waits_for_others_is_bounded() {
    let mut node = Node::start();
    node.create(0..1).unwrap();
    let log = first(0);
    node.change(PartitionId::NODE, Operation::ProfileCreate(ops::ProfileCreate { profile: ident("strict") }));
    let denied =
        |node: &Node, log, signed| node.send(log, signed).blocking_recv().unwrap().unwrap_err().reasons;
    for n in 0..=MAX_REQUESTS {
        let setting = Setting::parse("last_known_s", &(100 + n).to_string()).unwrap();
        let set = ops::ProfileSet { profile: ident("strict"), setting };
        let signed = node.command(PartitionId::NODE, Operation::ProfileSet(set));
        if n < MAX_REQUESTS {
            let asked = answers(vec![node.send(PartitionId::NODE, signed)]);
            assert_eq!(with(&asked, CommandStatus::Requested), 1, "{n}: {asked:?}");
        } else {
            assert_eq!(denied(&node, PartitionId::NODE, signed), Reason::QueueFull.into());
        }
    }
    // On a machine so busy that the first ones are given up before the last one waits, once more.
    let refused = (0..3).any(|round| one_proposal_too_many(&mut node, log, round));
    assert!(refused, "a proposal more than {MAX_PENDING} is refused");
    node.stop();
}

fn one_proposal_too_many(node: &mut Node, log: PartitionId, round: usize) -> bool {
    let register = |n| {
        let workflow = ident(&format!("w{round}-{n}"));
        Operation::WorkflowRegister(ops::WorkflowRegister { workflow })
    };
    let signed: Vec<_> = (0..=MAX_PENDING).map(|n| node.command(log, register(n))).collect();
    let held = Arc::clone(&node.signer);
    let held = held.lock();
    let mut sent = vec![];
    for signed in signed {
        sent.push(node.send(log, signed));
        if sent.len() % 32 == 0 {
            node.wait_for("they are taken", |_| node.queues.waiting() == 0);
        }
    }
    let last = sent.pop().unwrap().blocking_recv().unwrap();
    let tighter = Operation::KillSet(ops::KillSet { selector: "*/*".parse().unwrap(), drain: false });
    node.change(log, tighter);
    drop(held);
    answers(sent);
    last.is_err_and(|denial| denial.reasons == Reason::QueueFull.into())
}

/// What a person is denied before the writer spends their own budget of receipts, and is never folded into what another
/// person was denied, nor into what the tenant's own workloads are.
#[test]
fn what_persons_are_denied_is_kept_apart() {
    let node = Node::start();
    node.create(0..1).unwrap();
    let (ana, ben) = (node.person("ana").1, node.person("ben").1);
    let denied = |person: Option<PersonId>, n: u32| -> Denial {
        let unscoped = Unscoped {
            log: first(0),
            principal: person.map_or("token:1".to_owned(), |p| format!("person:{p}")),
            person,
            peer: format!("tcp {n}"),
            operation: "command",
            named: UntrustedText::default(),
            reasons: Reason::CommandExpired.into(),
        };
        let (to, answer) = oneshot::channel();
        node.queues.push(WriterRequest::Unscoped(unscoped, to)).unwrap();
        answer.blocking_recv().unwrap()
    };
    for n in 0..600 {
        denied(Some(ana), n);
    }
    let theirs = [denied(Some(ben), 0), denied(None, 0)];
    assert!(theirs.iter().all(|d| !d.folded && d.receipt.is_some()), "{theirs:?}");
    node.stop();
}
