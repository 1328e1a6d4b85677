//! Privileged changes: commands and approvals of operators, and what a checkpoint that came back lets take effect.

use super::{Open, Writer, provision};
use crate::command::{EvalCtx, Outgoing};
use crate::freeze::calendar::alone_today;
use crate::incident;
use crate::intake::reply::{Answer, Answers};
use crate::intake::request::{CommandReply, Denial, Signed, SignedApproval};
use crate::ledger::ReadError;
use crate::partition::PartitionStatus;
use crate::policy::Policy;
use crate::staging::BatchBuilder;
use crate::store::FamilyId;
use conductor_shared::cause::IncidentCause;
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::command::{Operation, ops};

use conductor_shared::control::ControlState;
use conductor_shared::fail_closed::{Class, Outage};
use conductor_shared::http::CommandStatus;
use conductor_shared::ids::{NodeId, PersonId, TenantUid};
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::UntrustedText;
use std::sync::Arc;
use tokio::sync::oneshot;

impl Writer {
    /// Judges a command of an operator.
    pub(super) fn command(
        &mut self,
        st: &mut BatchBuilder,
        signed: Box<Signed>,
        reply: oneshot::Sender<CommandReply>,
        answers: &mut Answers,
    ) -> Result<(), ReadError> {
        let outage = self.outage();
        let here = self.parts.node_id;
        let Some(open) = &mut self.open else { return Ok(()) };
        self.calendar.bring_up_to_date(&mut open.partitions, st, Some(signed.content.tenant))?;
        let Some(node) = open.partitions.node_control() else {
            return Ok(());
        };
        let who = (signed.person, signed.content.tenant);
        let judge = judge(open, here, &node, outage, st.now.wall_us, &self.parts.policy, who);
        // A command about a tenant that is not here is denied in the node's log.
        let log = signed.content.tenant;
        let log = if open.partitions.status(log).is_some() { log } else { TenantUid::NODE };
        if let Some(reason) = refuses_changes(open, log) {
            answers.push(log, Answer::Command(reply, Err(Denial::bare(reason))));
            return Ok(());
        }
        let Some(live) = open.partitions.get_mut(log) else { return Ok(()) };
        let out = self.proposals.command(live, st, &judge, signed, reply)?;
        if let Some((to, answer)) = out {
            answers.push(log, Answer::Command(to, answer));
        }
        Ok(())
    }

    /// Judges what an operator says to another's request.
    pub(super) fn approval(
        &mut self,
        st: &mut BatchBuilder,
        approval: &SignedApproval,
        reply: oneshot::Sender<CommandReply>,
        answers: &mut Answers,
    ) -> Result<(), ReadError> {
        let outage = self.outage();
        let here = self.parts.node_id;
        let Some(open) = &mut self.open else { return Ok(()) };
        self.calendar.bring_up_to_date(&mut open.partitions, st, Some(approval.content.tenant))?;
        let Some(node) = open.partitions.node_control() else {
            return Ok(());
        };
        // It was approved: nobody opens anything alone here.
        let alone = conductor_shared::profile::ALONE_A_DAY;
        let judge = judge_effect(here, &node, outage, st.now.wall_us, &self.parts.policy, alone);
        let log = approval.content.tenant;
        let log = if open.partitions.status(log).is_some() { log } else { TenantUid::NODE };
        if let Some(reason) = refuses_changes(open, log) {
            answers.push(log, Answer::Command(reply, Err(Denial::bare(reason))));
            return Ok(());
        }
        let store = Arc::clone(&open.store);
        let Some(live) = open.partitions.get_mut(log) else { return Ok(()) };
        let out = self.proposals.approve(live, st, &store, &judge, approval, reply)?;
        if let Some((to, answer)) = out {
            answers.push(log, Answer::Command(to, answer));
        }
        Ok(())
    }

    /// Checkpoints came back from the signer: backlogs shrink, and proposals they cover take effect.
    pub(super) fn signed(
        &mut self,
        st: &mut BatchBuilder,
        key: &str,
        mut list: Vec<(FamilyId, Checkpoint, SignedCheckpoint)>,
        answers: &mut Answers,
    ) -> Result<(), ReadError> {
        let outage = self.outage();
        let random = Arc::clone(&self.parts.random);
        let here = self.parts.node_id;
        let Some(open) = &mut self.open else { return Ok(()) };
        open.checkpoints.answered(&mut open.partitions);
        if open.signer_key.as_deref() != Some(key) {
            // It was replaced while it signed.
            list.clear();
        }
        let mut made = Vec::new();
        for (id, cp, signed) in list {
            if !open.partitions.contains(id.tenant) {
                continue;
            }
            if self.proposals.waits(id.tenant) {
                self.calendar.bring_up_to_date(&mut open.partitions, st, Some(id.tenant))?;
            }
            let covered = self.proposals.covered(id.tenant, cp.size);
            let alone: Vec<u64> = covered
                .iter()
                .map(|p| alone_today(&open.partitions, p.signed.person, st.now.wall_us))
                .collect();
            let node = open.partitions.node_control();
            let (Some(node), Some(live)) = (node, open.partitions.get_mut(id.tenant)) else { continue };
            live.unproved = false;
            live.ramp_stats.covered(&cp, &signed);
            live.log.set_checkpoint(&mut st.rows, &live.p, cp.size, signed.clone());
            live.unsigned_since = (live.unsigned() > 0).then_some(st.now.mono_us);
            live.touch(st);
            for (p, alone_today) in covered.into_iter().zip(alone) {
                let now_us = st.now.wall_us;
                let judge = judge_effect(here, &node, outage, now_us, &self.parts.policy, alone_today);
                let creates = match &p.signed.content.operation {
                    Operation::TenantCreate(ops::TenantCreate { tenant_uid, tenant_id }) => {
                        Some((*tenant_uid, tenant_id.clone()))
                    }
                    _ => None,
                };
                let adjustments = match &p.signed.content.operation {
                    Operation::UsageCorrect(ops::UsageCorrect { adjustments }) => adjustments.clone(),
                    _ => vec![],
                };
                let out: Outgoing = p.take_effect(live, st, &judge, (cp.size, cp.root))?;
                let effective = out.1.as_ref().is_ok_and(|o| o.status == CommandStatus::Effective);
                if effective {
                    // What a change rests on is kept for ever.
                    let key = crate::store::Row::CitedCheckpoint(cp.size).key();
                    let plain = serde_json::to_vec(&signed).unwrap_or_default();
                    st.rows.put(&live.p, &key, &plain);
                    made.extend(creates);
                    live.correct(&open.store, st, &adjustments)?;
                }
                answers.push(id.tenant, Answer::Command(out.0, out.1));
            }
        }
        let lease = self.parts.lease_us;
        for (uid, name) in made {
            let id = FamilyId { tenant: uid, epoch: 1 };
            provision::make(open, &[id], &*random)?;
            provision::begin(open, st, here, lease, uid, &name, "created")?;
        }
        Ok(())
    }

    /// The signer knows a longer or another log: this one is only read from now on.
    pub(super) fn rolled_back(
        &mut self,
        st: &mut BatchBuilder,
        id: FamilyId,
        detail: &str,
    ) -> Result<(), ReadError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let Some(live) = open.partitions.get_mut(id.tenant).filter(|l| l.status.serves()) else {
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
            let now_us = st.now.wall_us;
            incident::open_incident(
                node,
                st,
                IncidentCause::LogRolledBack,
                detail,
                (now_us, now_us),
                vec![],
            )?;
        }
        Ok(())
    }
}

/// Why nothing of this partition can be changed now, if so. By class nothing differs: each writes.
fn refuses_changes(open: &Open, log: TenantUid) -> Option<Reason> {
    open.partitions.status(log)?.refuses(Class::Tighten)
}

/// What a command is judged by. One person tightens only so many tenants in a while: a stolen key must not switch off
/// the whole node (SPEC, invariant 3).
fn judge<'a>(
    open: &Open,
    here: NodeId,
    node: &'a ControlState,
    outage: Outage,
    now_us: u64,
    policy: &'a Policy,
    (person, tenant): (PersonId, TenantUid),
) -> EvalCtx<'a> {
    let since = now_us.saturating_sub(open.tighten.window_us);
    let others = open
        .partitions
        .iter()
        .filter(|l| l.p.id.tenant != tenant && l.tightened.get(&person).is_some_and(|at| *at > since));
    EvalCtx {
        here,
        node,
        outage,
        now_us,
        policy,
        node_size: open.partitions.node().map_or(0, |n| n.log.size()),
        over_limit: others.count() >= open.tighten.tenants,
        alone_today: alone_today(&open.partitions, person, now_us),
    }
}

/// The same where no command comes in: the limit was judged when it did.
fn judge_effect<'a>(
    here: NodeId,
    node: &'a ControlState,
    outage: Outage,
    now_us: u64,
    policy: &'a Policy,
    alone_today: u64,
) -> EvalCtx<'a> {
    EvalCtx { here, node, outage, now_us, policy, node_size: 0, alone_today, over_limit: false }
}
