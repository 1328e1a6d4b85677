//! Privileged changes: commands and approvals of operators, and what a checkpoint that came back lets take effect.

use super::jobs::{Job, SignedLogs};
use super::{Open, Writer};
use crate::command::{EvalCtx, Outgoing, Pending};
use crate::freeze::calendar::alone_today;
use crate::incident;
use crate::intake::reply::{Answer, Answers};
use crate::intake::request::{CommandReply, Denial, Signed, SignedApproval};
use crate::ledger::ReadError;
use crate::partition::{PartitionState, PartitionStatus, Partitions};
use crate::platform::open_files;
use crate::policy::Policy;
use crate::staging::BatchBuilder;
use crate::store::Row;
use conductor_shared::cause::IncidentCause;
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::clock::WallTime;
use conductor_shared::command::{Operation, ops};
use conductor_shared::control::ControlState;
use conductor_shared::fail_closed::{Class, Outage};
use conductor_shared::http::CommandStatus;
use conductor_shared::ids::{NodeId, PartitionId, PersonId};
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::UntrustedText;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Rows that an effect touches, at most: receipts, citations and incidents that come with it, and counters.
const EFFECT: usize = 32;

impl Writer {
    /// Judges a command of an operator.
    pub(super) fn command(
        &mut self,
        st: &mut BatchBuilder,
        log: PartitionId,
        signed: Box<Signed>,
        reply: oneshot::Sender<CommandReply>,
        answers: &mut Answers,
    ) -> Result<(), ReadError> {
        let outage = self.outage();
        let here = self.parts.node_id;
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Some(reason) = refuses_changes(open, log) {
            answers.push(log, Answer::Command(reply, Err(Denial::bare(reason))));
            return Ok(());
        }
        self.calendar.bring_up_to_date(&mut open.partitions, st, log)?;
        let Some(node) = open.partitions.node_control() else {
            return Ok(());
        };
        let mut ctx = eval_ctx(open, here, &node, outage, st.now.wall, &self.parts.policy, signed.person);
        ctx.cuts.extend(self.proposals.cuts_of(signed.person));
        let Some(live) = open.partitions.get_mut(log) else { return Ok(()) };
        let out = self.proposals.command(live, st, &ctx, signed, reply)?;
        if let Some((to, answer)) = out {
            answers.push(log, Answer::Command(to, answer));
        }
        Ok(())
    }

    /// Judges what an operator says to another's request.
    pub(super) fn approval(
        &mut self,
        st: &mut BatchBuilder,
        log: PartitionId,
        approval: &SignedApproval,
        reply: oneshot::Sender<CommandReply>,
        answers: &mut Answers,
    ) -> Result<(), ReadError> {
        let outage = self.outage();
        let here = self.parts.node_id;
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Some(reason) = refuses_changes(open, log) {
            answers.push(log, Answer::Command(reply, Err(Denial::bare(reason))));
            return Ok(());
        }
        self.calendar.bring_up_to_date(&mut open.partitions, st, log)?;
        let Some(node) = open.partitions.node_control() else {
            return Ok(());
        };
        let ctx = eval_ctx(open, here, &node, outage, st.now.wall, &self.parts.policy, approval.person);
        // It was approved: nobody opens anything alone here.
        let ctx = EvalCtx { alone_today: conductor_shared::profile::ALONE_A_DAY, ..of_effect(&ctx) };
        let store = Arc::clone(&open.store);
        let Some(live) = open.partitions.get_mut(log) else { return Ok(()) };
        let out = self.proposals.approve(live, st, &store, &ctx, approval, reply)?;
        if let Some((to, answer)) = out {
            answers.push(log, Answer::Command(to, answer));
        }
        Ok(())
    }

    /// Checkpoints came back from the signer; they are taken over in this step and those after it.
    pub(super) fn signed(&mut self, key: &str, list: Vec<(PartitionId, Checkpoint, SignedCheckpoint)>) {
        self.jobs.push_back(Job::Signed(SignedLogs { key: key.to_owned(), left: list.into() }));
    }

    /// Backlogs shrink, and proposals that a checkpoint covers take effect: one after the other, as far as this step
    /// allows.
    pub(super) fn take_signed(
        &mut self,
        st: &mut BatchBuilder,
        logs: &mut SignedLogs,
        answers: &mut Answers,
    ) -> Result<(), ReadError> {
        // It may have been replaced while it signed, or since the last slice.
        if self.open.as_ref().is_none_or(|o| o.signer_key.as_deref() != Some(&logs.key)) {
            logs.left.clear();
        }
        while let Some((id, checkpoint, signed)) = logs.left.pop_front() {
            let touch = self
                .open
                .as_ref()
                .and_then(|o| o.partitions.get(id))
                .map_or(0, PartitionState::rows_of_touch);
            let whole =
                st.fits(EFFECT + touch) && self.log_signed(st, id, (&checkpoint, &signed), answers)?;
            if !whole {
                logs.left.push_front((id, checkpoint, signed));
                return Ok(());
            }
        }
        Ok(())
    }

    /// All that the signer answered is taken over, or cannot be: it is asked about the next logs.
    pub(super) fn may_ask_signer_again(&mut self) {
        if let Some(open) = &mut self.open {
            open.checkpoints.answered(&mut open.partitions);
        }
    }

    /// False: more proposals are covered than this step allows.
    fn log_signed(
        &mut self,
        st: &mut BatchBuilder,
        id: PartitionId,
        (cp, signed): (&Checkpoint, &SignedCheckpoint),
        answers: &mut Answers,
    ) -> Result<bool, ReadError> {
        let Some(open) = &mut self.open else { return Ok(true) };
        if !open.partitions.contains(id) {
            return Ok(true);
        }
        if self.proposals.waits(id) {
            self.calendar.bring_up_to_date(&mut open.partitions, st, id)?;
        }
        let Some(live) = open.partitions.get_mut(id) else { return Ok(true) };
        live.unproved = false;
        live.ramp_stats.covered(cp, signed);
        live.log.set_checkpoint(&mut st.rows, &live.p, cp.size, signed.clone());
        live.unsigned_since = (live.unsigned() > 0).then_some(st.now.mono);
        live.touch(st);
        while let Some(p) = self.proposals.next_covered(id, cp.size) {
            if !st.fits(self.rows_of_effect(p)) {
                return Ok(false);
            }
            if let Some(p) = self.proposals.take_covered(id, cp.size) {
                self.take_effect(st, p, (cp, signed), answers)?;
            }
        }
        Ok(true)
    }

    /// Rows that an effect touches, at most.
    fn rows_of_effect(&self, p: &Pending) -> usize {
        let live = self.open.as_ref().and_then(|o| o.partitions.get(p.partition));
        match (&p.signed.content.operation, live) {
            (Operation::UsageCorrect(ops::UsageCorrect { adjustments }), Some(live)) => {
                EFFECT + live.meters.rows_to_correct(adjustments)
            }
            _ => EFFECT,
        }
    }

    /// Everything is checked again, and the proposal takes effect or never will.
    fn take_effect(
        &mut self,
        st: &mut BatchBuilder,
        p: Pending,
        (cp, signed): (&Checkpoint, &SignedCheckpoint),
        answers: &mut Answers,
    ) -> Result<(), ReadError> {
        let (id, outage, now) = (p.partition, self.outage(), st.now.wall);
        let Some(open) = &mut self.open else { return Ok(()) };
        let Some(node) = open.partitions.node_control() else { return Ok(()) };
        let here = self.parts.node_id;
        let ctx = of_effect(&eval_ctx(open, here, &node, outage, now, &self.parts.policy, p.signed.person));
        let Some(live) = open.partitions.get_mut(id) else { return Ok(()) };
        let operation = p.signed.content.operation.clone();
        let out: Outgoing = p.take_effect(live, st, &ctx, (cp.size, cp.root))?;
        let effective = out.1.as_ref().is_ok_and(|o| o.status == CommandStatus::Effective);
        answers.push(id, Answer::Command(out.0, out.1));
        if !effective {
            return Ok(());
        }
        // What a change rests on is kept for ever.
        let key = Row::CitedCheckpoint(cp.size).key();
        st.rows.put(&live.p, &key, &serde_json::to_vec(signed).unwrap_or_default());
        match operation {
            Operation::TenantCreate(ops::TenantCreate { tenant_uid, tenant_id }) => {
                self.plan(st, &[(tenant_uid, tenant_id.clone())])?;
                self.begin(st, tenant_uid, &tenant_id)
            }
            Operation::UsageCorrect(ops::UsageCorrect { adjustments }) => {
                live.correct(&open.store, st, &adjustments)
            }
            _ => Ok(()),
        }
    }

    /// The signer knows a longer or another log: this one is only read from now on.
    pub(super) fn rolled_back(
        &mut self,
        st: &mut BatchBuilder,
        id: PartitionId,
        detail: &str,
    ) -> Result<(), ReadError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let Some(live) = open.partitions.get_mut(id).filter(|l| l.status.serves()) else {
            return Ok(());
        };
        live.stop(PartitionStatus::RolledBack);
        live.signing = false;
        live.unproved = false;
        live.touch(st);
        let origin = live.p.origin;
        tracing::error!("{origin} was rolled back: {detail}");
        if id.tenant.is_node() {
            return Ok(());
        }
        if let Some(node) = open.partitions.node_mut().filter(|n| n.status.serves()) {
            let detail = UntrustedText::new(format!("{origin}: {detail}"));
            let now = st.now.wall;
            incident::open_incident(node, st, IncidentCause::LogRolledBack, detail, (now, now), vec![])?;
        }
        Ok(())
    }
}

/// Why nothing of this partition can be changed now, if so. The class does not matter here: every change writes.
fn refuses_changes(open: &Open, log: PartitionId) -> Option<Reason> {
    open.partitions.refuses(log, Class::Tighten)
}

/// What a command is judged by.
fn eval_ctx<'a>(
    open: &Open,
    here: NodeId,
    node: &'a ControlState,
    outage: Outage,
    now: WallTime,
    policy: &'a Policy,
    person: PersonId,
) -> EvalCtx<'a> {
    let since = now - open.tighten.window;
    let cuts = open.partitions.iter().flat_map(|l| l.cuts.since(person, since)).collect();
    EvalCtx {
        here,
        node,
        outage,
        now,
        policy,
        node_size: open.partitions.node().map_or(0, |n| n.log.size()),
        node_doubted: open.partitions.node_doubted(),
        cuts,
        most_cuts: open.tighten.most,
        sockets_left: sockets(&open.partitions) < open_files::now().tenant_sockets,
        alone_today: alone_today(&open.partitions, person, now),
    }
}

/// Tenants that let local users in: each has a socket.
fn sockets(partitions: &Partitions) -> usize {
    partitions.iter().filter(|l| !l.control.peers.is_empty()).count()
}

/// The same where no command comes in: what one person may take away was judged when it did.
fn of_effect<'a>(ctx: &EvalCtx<'a>) -> EvalCtx<'a> {
    EvalCtx { cuts: BTreeSet::new(), most_cuts: usize::MAX, ..*ctx }
}
