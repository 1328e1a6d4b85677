//! What time brings: leases that ran out, folds that close, proposals that are overdue, checkpoints that are due, and
//! what the signer sent back.

use super::ask::Ask;
use super::commit::{Answer, CheckpointItem, CheckpointJob};
use super::live::Stage;
use super::{Open, TICK, Writer, begin_partition, freeze, make_partitions, work};
use crate::command::{EvalCtx, Outgoing, Proposals};
use crate::policy::Policy;
use crate::scope::TenantScope;
use crate::store::FamilyId;
use conductor_shared::cause::IncidentCause;
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::clock::{Micros, SECOND};
use conductor_shared::command::{Operation, ops};
use conductor_shared::fact::{Fact, Outcome};
use conductor_shared::http::CommandStatus;
use conductor_shared::ids::TenantUid;
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::UntrustedText;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A log is checkpointed at the earlier of this age and [`CHECKPOINT_RECEIPTS`].
const CHECKPOINT_AGE_US: Micros = SECOND;
const CHECKPOINT_RECEIPTS: u64 = 4_096;
/// Logs signed in one request.
const CHECKPOINT_BATCH: usize = 1_000;
const SLOW_TICK_US: Micros = 200_000;

/// Logs whose checkpoint is due, as of what is staged now. Handed on only once that is durable. The logs a batch
/// `touched` are looked at after it; all of them, which may be thousands, after each [`TICK`].
pub(super) fn due(
    open: &mut Open,
    proposals: &Proposals,
    touched: &[TenantUid],
    mono_us: Micros,
    urgent: bool,
) -> Option<CheckpointJob> {
    if !open.signing.is_empty() {
        return None;
    }
    let many = |t: &TenantUid| open.partitions.get(t).is_some_and(|l| l.unsigned() >= CHECKPOINT_RECEIPTS);
    if !urgent && mono_us < open.look_at && !touched.iter().any(many) {
        return None;
    }
    open.look_at = mono_us + u64::try_from(TICK.as_micros()).unwrap_or(0);
    let mut items = Vec::new();
    for (tenant, live) in &mut open.partitions {
        let unsigned = live.unsigned();
        // After each start the signer is asked once about every log, changed or not: it remembers what a data folder
        // that was rolled back has forgotten.
        let unproved = live.unproved && live.log.size() > 0;
        if (unsigned == 0 && !unproved) || live.rolled_back || items.len() == CHECKPOINT_BATCH {
            continue;
        }
        let old = live.unsigned_since.is_some_and(|t| mono_us >= t + CHECKPOINT_AGE_US);
        if unproved || old || unsigned >= CHECKPOINT_RECEIPTS || (urgent && proposals.waits(*tenant)) {
            live.signing = true;
            open.signing.push(*tenant);
            items.push(CheckpointItem {
                partition: live.p.clone(),
                size: live.log.size(),
                root: live.log.root(),
                signed: live.log.signed,
                last: live.log.checkpoint.clone(),
                leaves: live.log.tail().leaves().to_vec(),
            });
        }
    }
    (!items.is_empty()).then(|| CheckpointJob { store: Arc::clone(&open.store), items })
}

impl Writer {
    /// Does what is due. Cheap when nothing is.
    pub(super) fn tick(&mut self, st: &mut Stage, answers: &mut Vec<Answer>) -> Result<(), String> {
        let mono = st.now.mono_us;
        for p in self.proposals.overdue(mono) {
            let Some(live) = self.open.as_mut().and_then(|o| o.partitions.get_mut(&p.tenant)) else {
                p.lost();
                continue;
            };
            let out = p.abandon(live, st, Reason::CheckpointTimeout.into()).map_err(|e| e.to_string())?;
            answers.push(Answer::Command(out.0, out.1));
        }
        if mono < self.last_slow_tick + SLOW_TICK_US {
            return Ok(());
        }
        let since = mono.saturating_sub(self.last_slow_tick);
        self.last_slow_tick = mono;
        let lease_us = self.parts.lease_us;
        let Some(open) = &mut self.open else { return Ok(()) };
        self.space = open.store.space();
        // First the freezes: a plan pauses in one.
        self.calendar.bring_up_to_date(open, st, None)?;
        self.look_after(st, since)?;
        let Some(open) = &mut self.open else { return Ok(()) };
        let node = open.partitions.get(&TenantUid::NODE).map(|n| Arc::clone(&n.control)).unwrap_or_default();
        for (tenant, live) in &mut open.partitions {
            if live.rolled_back {
                continue;
            }
            if live.folds.due(mono) {
                for closed in live.folds.close(mono, false) {
                    let unit = live.day_unit(st, super::live::DayKind::Denial).map_err(|e| e.to_string())?;
                    live.append(st, &Fact::from(closed), (unit.0, &unit.1));
                }
            }
            let now_us = st.now.wall_us;
            let over = live.control.requests.iter().filter(|(_, r)| r.expires_at_us <= now_us);
            let over: Vec<_> = over.map(|(id, r)| (*id, r.index)).collect();
            for (id, index) in over {
                crate::command::close(live, st, id, index, Reason::CommandExpired.into(), None)
                    .map_err(|e| e.to_string())?;
            }
            let lost: Vec<_> =
                live.runs.iter().filter(|(_, r)| r.lease_until <= mono).map(|(id, _)| *id).take(64).collect();
            if lost.is_empty() {
                continue;
            }
            let scope = TenantScope::of_agent(*tenant);
            let work = work::Work {
                store: &open.store,
                space: self.space,
                lease_us,
                principal: scope.principal(),
                policy: &self.parts.policy,
                node: &node,
                tries: 0,
            };
            for id in lost {
                let _ = work.end_run(live, st, id, Outcome::Lost).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    }

    /// Judges a command of an operator.
    pub(super) fn command(
        &mut self,
        st: &mut Stage,
        signed: Box<super::ask::Signed>,
        reply: oneshot::Sender<super::ask::CommandReply>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), String> {
        let outage = self.outage();
        let here = self.parts.node_id;
        let Some(open) = &mut self.open else { return Ok(()) };
        self.calendar.bring_up_to_date(open, st, Some(signed.content.tenant))?;
        let Some(node) = open.partitions.get(&TenantUid::NODE).map(|n| Arc::clone(&n.control)) else {
            return Ok(());
        };
        let who = (signed.person, signed.content.tenant);
        let judge = judge(open, here, &node, outage, st.now.wall_us, &self.parts.policy, who);
        // A command about a tenant that is not here is denied in the node's log.
        let log = signed.content.tenant;
        let known = open.partitions.contains_key(&log);
        let log = if known { log } else { TenantUid::NODE };
        let Some(live) = open.partitions.get_mut(&log) else { return Ok(()) };
        if live.rolled_back {
            answers.push(Answer::Command(reply, Err(super::ask::Denial::bare(Reason::LogRolledBack))));
            return Ok(());
        }
        let out = self.proposals.command(live, st, &judge, signed, reply).map_err(|e| e.to_string())?;
        if let Some((to, answer)) = out {
            answers.push(Answer::Command(to, answer));
        }
        Ok(())
    }

    /// Judges what an operator says to another's request.
    pub(super) fn approval(
        &mut self,
        st: &mut Stage,
        approval: &super::ask::SignedApproval,
        reply: oneshot::Sender<super::ask::CommandReply>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), String> {
        let outage = self.outage();
        let here = self.parts.node_id;
        let Some(open) = &mut self.open else { return Ok(()) };
        self.calendar.bring_up_to_date(open, st, Some(approval.content.tenant))?;
        let Some(node) = open.partitions.get(&TenantUid::NODE).map(|n| Arc::clone(&n.control)) else {
            return Ok(());
        };
        // It was approved: nobody opens anything alone here.
        let alone = conductor_shared::profile::ALONE_A_DAY;
        let judge = judge_effect(here, &node, outage, st.now.wall_us, &self.parts.policy, alone);
        let log = approval.content.tenant;
        let log = if open.partitions.contains_key(&log) { log } else { TenantUid::NODE };
        let store = Arc::clone(&open.store);
        let Some(live) = open.partitions.get_mut(&log) else { return Ok(()) };
        if live.rolled_back {
            answers.push(Answer::Command(reply, Err(super::ask::Denial::bare(Reason::LogRolledBack))));
            return Ok(());
        }
        let out =
            self.proposals.approve(live, st, &store, &judge, approval, reply).map_err(|e| e.to_string())?;
        answers.extend(out.map(|(to, answer)| Answer::Command(to, answer)));
        Ok(())
    }

    /// Checkpoints came back from the signer: backlogs shrink, and proposals they cover take effect.
    pub(super) fn signed(
        &mut self,
        st: &mut Stage,
        key: &str,
        mut list: Vec<(FamilyId, Checkpoint, SignedCheckpoint)>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), String> {
        let outage = self.outage();
        let random = Arc::clone(&self.parts.random);
        let here = self.parts.node_id;
        let Some(open) = &mut self.open else { return Ok(()) };
        for tenant in std::mem::take(&mut open.signing) {
            if let Some(live) = open.partitions.get_mut(&tenant) {
                live.signing = false;
            }
        }
        if open.signer_key.as_deref() != Some(key) {
            // It was replaced while it signed.
            list.clear();
        }
        let mut made = Vec::new();
        for (id, cp, signed) in list {
            if !open.partitions.contains_key(&id.tenant) {
                continue;
            }
            if self.proposals.waits(id.tenant) {
                self.calendar.bring_up_to_date(open, st, Some(id.tenant))?;
            }
            let covered = self.proposals.covered(id.tenant, cp.size);
            let alone: Vec<u64> =
                covered.iter().map(|p| freeze::alone_today(open, p.signed.person, st.now.wall_us)).collect();
            let node = open.partitions.get(&TenantUid::NODE).map(|n| Arc::clone(&n.control));
            let (Some(node), Some(live)) = (node, open.partitions.get_mut(&id.tenant)) else { continue };
            live.unproved = false;
            live.watches.covered(&cp, &signed);
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
                let out: Outgoing =
                    p.take_effect(live, st, &judge, (cp.size, cp.root)).map_err(|e| e.to_string())?;
                let effective = out.1.as_ref().is_ok_and(|o| o.status == CommandStatus::Effective);
                if effective {
                    // What a change rests on is kept for ever.
                    let key = crate::store::Row::CitedCheckpoint(cp.size).key();
                    let plain = serde_json::to_vec(&signed).unwrap_or_default();
                    st.rows.put(&live.p, &key, &plain);
                    made.extend(creates);
                    live.correct(&open.store, st, &adjustments).map_err(|e| e.to_string())?;
                }
                answers.push(Answer::Command(out.0, out.1));
            }
        }
        let lease = self.parts.lease_us;
        for (uid, name) in made {
            let id = FamilyId { tenant: uid, epoch: 1 };
            make_partitions(open, &[id], &*random).map_err(|e| e.to_string())?;
            begin_partition(open, st, here, lease, uid, &name, "created").map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// The signer knows a longer or another log: this one is only read from now on.
    pub(super) fn rolled_back(&mut self, st: &mut Stage, id: FamilyId, detail: &str) -> Result<(), String> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let Some(live) = open.partitions.get_mut(&id.tenant).filter(|l| !l.rolled_back) else {
            return Ok(());
        };
        live.rolled_back = true;
        live.signing = false;
        live.unproved = false;
        live.touch(st);
        let origin = live.p.origin;
        tracing::error!("{origin} was rolled back: {detail}");
        if id.tenant.is_node() {
            return Ok(());
        }
        if let Some(node) = open.partitions.get_mut(&TenantUid::NODE)
            && !node.rolled_back
        {
            let detail = UntrustedText::new(format!("{origin}: {detail}"));
            let now_us = st.now.wall_us;
            super::slo::open_incident(
                node,
                st,
                IncidentCause::LogRolledBack,
                detail,
                (now_us, now_us),
                vec![],
            )
            .map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

/// What a command is judged by. One person tightens only so many tenants in a while: a stolen key must not switch off
/// the whole node (SPEC, invariant 3).
fn judge<'a>(
    open: &Open,
    here: conductor_shared::ids::NodeId,
    node: &'a conductor_shared::control::ControlState,
    outage: conductor_shared::fail_closed::Outage,
    now_us: u64,
    policy: &'a Policy,
    (person, tenant): (conductor_shared::ids::PersonId, TenantUid),
) -> EvalCtx<'a> {
    let since = now_us.saturating_sub(open.tighten.window_us);
    let others = open
        .partitions
        .iter()
        .filter(|(t, l)| **t != tenant && l.tightened.get(&person).is_some_and(|at| *at > since));
    EvalCtx {
        here,
        node,
        outage,
        now_us,
        policy,
        node_size: open.partitions.get(&TenantUid::NODE).map_or(0, |n| n.log.size()),
        over_limit: others.count() >= open.tighten.tenants,
        alone_today: freeze::alone_today(open, person, now_us),
    }
}

/// The same where no command comes in: the limit was judged when it did.
fn judge_effect<'a>(
    here: conductor_shared::ids::NodeId,
    node: &'a conductor_shared::control::ControlState,
    outage: conductor_shared::fail_closed::Outage,
    now_us: u64,
    policy: &'a Policy,
    alone_today: u64,
) -> EvalCtx<'a> {
    EvalCtx { here, node, outage, now_us, policy, node_size: 0, alone_today, over_limit: false }
}

/// Puts an internal message before the writer; dropped when the agent stops.
pub fn tell(queues: &super::queue::Queues, ask: Ask) {
    if queues.push(ask).is_err() {
        tracing::warn!("the writer takes no more messages");
    }
}
