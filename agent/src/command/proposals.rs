//! Proposals: changes on record that wait for a signed checkpoint. When it is there, everything is checked again.

use super::approvers::Approvers;
use super::checks::{leads_too_far, violations};
use super::context::EvalCtx;
use super::facts::{Named, Objects, Outgoing, abandon};
use super::freeze::{self, FreezeCheck};
use super::policy_check::{bundle, outage_denies, policy_denies};
use crate::intake::request::{CommandReply, Denial, Signed};
use crate::keys::KeyError;
use crate::partition::cuts::Cut;
use crate::partition::state::PartitionState;
use crate::staging::BatchBuilder;
use conductor_shared::change_class::approvals_of;
use conductor_shared::clock::MonoTime;
use conductor_shared::command::Operation;
use conductor_shared::control::CommandKey;
use conductor_shared::fact::{Effective, Fact};
use conductor_shared::fail_closed::Class;
use conductor_shared::http::{CommandOutcome, CommandStatus, ReceiptRef};
use conductor_shared::ids::{GrantId, PartitionId, PersonId};
use conductor_shared::reason::{Reason, Reasons};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::oneshot;

/// A proposal that has not taken effect after this long never will.
pub const TAKE_EFFECT: Duration = Duration::from_secs(5);
/// Proposals that may wait at a time.
pub(crate) const MAX_PENDING: usize = 256;

/// A change that waits for its checkpoint.
pub struct Pending {
    /// Whose log.
    pub partition: PartitionId,
    /// Index of the proposal.
    pub proposal: u64,
    /// When it is abandoned, on the monotonic clock.
    pub deadline: MonoTime,
    /// The command.
    pub signed: Box<Signed>,
    pub(super) class: Class,
    pub(super) objects: Objects,
    /// Who approved it, where it took more than one person.
    pub(super) approvers: Approvers,
    /// Break-glass that its proposal cited.
    pub(super) under_grant: Option<GrantId>,
    /// From whom it takes something, where nobody else agreed.
    pub(super) cuts: BTreeSet<Cut>,
    pub(super) reply: oneshot::Sender<CommandReply>,
}

/// All that wait.
#[derive(Default)]
pub struct Proposals {
    /// For their checkpoint.
    pub pending: Vec<Pending>,
    /// Requests that came over the agent's own unix socket. In memory only: after a restart they are asked for again.
    pub(super) local: BTreeSet<CommandKey>,
}

impl Proposals {
    /// True when a proposal of this log waits.
    pub fn waits(&self, log: PartitionId) -> bool {
        self.pending.iter().any(|p| p.partition == log)
    }

    /// What a person is about to take away alone: it counts before it takes effect, else whoever asks for all of it at once
    /// is past the limit when the first counts.
    pub fn cuts_of(&self, person: PersonId) -> impl Iterator<Item = Cut> {
        let by = self.pending.iter().filter(move |p| p.signed.person == person);
        by.flat_map(|p| p.cuts.iter().copied())
    }

    /// The oldest proposal of a log that a checkpoint of this size covers.
    pub fn next_covered(&self, log: PartitionId, size: u64) -> Option<&Pending> {
        self.pending.iter().find(|p| p.partition == log && p.proposal < size)
    }

    /// Takes it out.
    pub fn take_covered(&mut self, log: PartitionId, size: u64) -> Option<Pending> {
        let at = self.pending.iter().position(|p| p.partition == log && p.proposal < size)?;
        Some(self.pending.remove(at))
    }

    /// Takes out one whose time is over.
    pub fn take_overdue(&mut self, mono: MonoTime) -> Option<Pending> {
        let at = self.pending.iter().position(|p| p.deadline <= mono)?;
        Some(self.pending.remove(at))
    }
}

impl Pending {
    /// Its checkpoint is there: everything is checked again, and it takes effect or never will.
    pub fn take_effect(
        self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        ctx: &EvalCtx<'_>,
        (size, root): (u64, [u8; 32]),
    ) -> Result<Outgoing, KeyError> {
        let c = &self.signed.content;
        // A freeze may have begun since, or break-glass ended.
        let freeze = FreezeCheck::of(&c.operation, &live.control, ctx.node);
        let reasons = self.violations(live, st, ctx, freeze);
        if !reasons.is_empty() {
            return self.abandon(live, st, reasons);
        }
        if let Some(grant) = freeze.grant().filter(|g| self.under_grant != Some(*g)) {
            freeze::cite(live, st, grant, self.signed.key())?;
        }
        let Named { command, proposal, digest } = self.named();
        let fact = Effective {
            author: command.person,
            command_id: command.command,
            proposal,
            digest,
            checkpoint_size: size,
            checkpoint_root: root,
        };
        let a = live.control_fact(st, Fact::from(fact))?;
        if matches!(c.operation, Operation::BreakGlassOpen(_)) {
            freeze::open_incident(live, st, self.signed.person)?;
        }
        Ok(self.outcome(live, CommandStatus::Effective, a.index, Reasons::default()))
    }

    fn named(&self) -> Named {
        let digest = Sha256::digest(&self.signed.text).into();
        Named { command: self.signed.key(), proposal: self.proposal, digest }
    }

    fn violations(
        &self,
        live: &PartitionState,
        st: &BatchBuilder,
        ctx: &EvalCtx<'_>,
        freeze: FreezeCheck,
    ) -> Reasons {
        let (signed, c) = (&self.signed, &self.signed.content);
        let mut again = live.control.as_ref().clone();
        // Its own proposal remembered the command; that is no replay.
        again.commands.remove(&signed.key());
        let mut reasons = violations(signed, ctx, (self.partition.tenant, &again));
        if c.base != Some(live.control.object_digest(&c.operation)) {
            reasons.add(Reason::BaseStale);
        }
        if self.deadline <= st.now.mono {
            reasons.add(Reason::CheckpointTimeout);
        }
        reasons.extend(bundle(live, ctx, &c.operation));
        reasons.extend(leads_too_far(&live.control, &c.operation, &live.control.after(&c.operation)).iter());
        let needed = approvals_of(&live.control, ctx.node, &c.operation, ctx.alone_today);
        if self.approvers.needed < needed {
            reasons.add(Reason::RoleMissing);
        }
        if freeze == FreezeCheck::Frozen {
            reasons.add(Reason::Frozen);
        }
        reasons.extend(self.approvers.violations(signed.person, self.partition.tenant, ctx.node).iter());
        // Asked again, of what nothing else stands against: the bundle may have changed while the proposal waited.
        if reasons.is_empty() {
            let outage = outage_denies(self.class, ctx).filter(|r| *r != Reason::SignerUnavailable);
            reasons.extend(outage.or_else(|| policy_denies(live, st, ctx, &c.operation, self.class)));
        }
        reasons
    }

    /// The store failed: whether the proposal is there is not known; it will be abandoned when the store is back.
    pub fn lost(self) {
        let _ = self.reply.send(Err(Denial::bare(Reason::StoreUnavailable)));
    }

    /// It never takes effect.
    pub fn abandon(
        self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        reasons: Reasons,
    ) -> Result<Outgoing, KeyError> {
        let a = abandon(live, st, &self.named(), reasons)?;
        Ok(self.outcome(live, CommandStatus::Abandoned, a, reasons))
    }

    fn outcome(self, live: &PartitionState, status: CommandStatus, index: u64, reasons: Reasons) -> Outgoing {
        let origin = live.p.origin;
        let outcome = CommandOutcome {
            command_id: self.signed.content.command_id,
            status,
            class: self.class.into(),
            receipt: ReceiptRef { origin, index },
            proposal: Some(ReceiptRef { origin, index: self.proposal }),
            reasons: reasons.iter().collect(),
            before: self.objects.before,
            after: self.objects.after,
        };
        (self.reply, Ok(outcome))
    }
}
