//! From a verified command to its receipt: at once, proposed, or put on record for other persons.

use super::approvers::Approvers;
use super::checks::{leads_too_far, violations};
use super::context::EvalCtx;
use super::facts::{self, Objects, Outgoing, Said};
use super::freeze::{self, FreezeCheck};
use super::policy_check::{self, outage_denies, policy_denies};
use super::proposals::{MAX_PENDING, Pending, Proposals, TAKE_EFFECT};
use super::recover;
use crate::intake::request::{CommandReply, Signed};
use crate::keys::KeyError;
use crate::partition::cuts::{Cut, of_change};
use crate::partition::state::PartitionState;
use crate::staging::BatchBuilder;
use conductor_shared::change_class::approvals_of;
use conductor_shared::command::{Execution, Operation};
use conductor_shared::control::{CommandKey, ControlState};
use conductor_shared::fail_closed::Class;
use conductor_shared::http::CommandOutcome;
use conductor_shared::ids::{CommandId, Digest, PersonId};
use conductor_shared::operator::Role;
use conductor_shared::reason::{Reason, Reasons};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use tokio::sync::oneshot;

/// Requests that may wait in one log.
pub const MAX_REQUESTS: usize = 64;
/// Commands of one person that one log remembers: each is, for an hour after it expired. Whoever signs without end must not
/// make every change of the log cost more. What tightens has as many again: whoever loosened too often can take it back.
const MAX_REMEMBERED: usize = 8_192;

/// A verified command on its way to a decision.
pub(super) struct Candidate {
    pub(super) signed: Box<Signed>,
    /// What stands against it before its class is known.
    pub(super) violations: Reasons,
    /// Who approved it, where it was asked for before.
    pub(super) approved: Option<Approvers>,
    pub(super) reply: oneshot::Sender<CommandReply>,
}

/// How far a command came.
pub(super) enum Outcome {
    /// It waits for its checkpoint.
    Waits,
    /// It took effect, or waits for other persons.
    Done(oneshot::Sender<CommandReply>, Box<CommandOutcome>),
    /// Something stands against it; nothing was put on record.
    Refused(oneshot::Sender<CommandReply>, Reasons),
}

/// What a command would do to the staged state, and what that takes.
struct Effect {
    class: Class,
    after: ControlState,
    freeze: FreezeCheck,
    /// Approvals by other persons.
    needed: u64,
    /// One of them because whoever asks took something from so many of late.
    over_limit: bool,
    /// From whom it takes something that counts.
    cuts: BTreeSet<Cut>,
}

impl Effect {
    fn of(live: &PartitionState, st: &BatchBuilder, ctx: &EvalCtx<'_>, signed: &Signed) -> Self {
        let op = &signed.content.operation;
        let class = policy_check::class(live, st, ctx, op);
        let after = live.control.after(op);
        let (freeze, agreed) = match class {
            Class::Tighten => (FreezeCheck::Free, 0),
            _ => (
                FreezeCheck::of(op, &live.control, ctx.node),
                approvals_of(&live.control, ctx.node, op, ctx.alone_today),
            ),
        };
        let cuts = takes(live, op, &after);
        let over_limit = takes_too_much(ctx, &cuts);
        let alone = u64::from(over_limit || leaves_too_few(&live.control, &after));
        Self { class, after, freeze, needed: agreed.max(alone), over_limit, cuts }
    }

    fn objects(&self, live: &PartitionState, signed: &Signed) -> Objects {
        let op = &signed.content.operation;
        Objects { before: live.control.object(op), after: self.after.object(op) }
    }

    fn execution(&self, signed: &Signed) -> Execution {
        (signed.content.operation.kind().execution)(self.class)
    }
}

impl Proposals {
    /// Evaluates a command: it takes effect, is proposed, or is denied, each with a receipt.
    pub fn command(
        &mut self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        ctx: &EvalCtx<'_>,
        signed: Box<Signed>,
        reply: oneshot::Sender<CommandReply>,
    ) -> Result<Option<Outgoing>, KeyError> {
        let violations = violations(&signed, ctx, (live.p.id.tenant, &live.control));
        let (command, text) = (signed.key(), signed.text.clone());
        let op = &signed.content.operation;
        let (operation, object) = (op.name(), op.object());
        let candidate = Candidate { signed, violations, approved: None, reply };
        match self.evaluate(live, st, ctx, candidate)? {
            Outcome::Waits => Ok(None),
            Outcome::Done(reply, outcome) => Ok(Some((reply, Ok(*outcome)))),
            Outcome::Refused(reply, reasons) => {
                let denial =
                    facts::deny(live, st, &Said { command, operation, object, text: &text }, reasons)?;
                Ok(Some((reply, Err(denial))))
            }
        }
    }

    /// One way, in order: what stands against it, who is asked, what is put on record.
    pub(super) fn evaluate(
        &mut self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        ctx: &EvalCtx<'_>,
        c: Candidate,
    ) -> Result<Outcome, KeyError> {
        let effect = Effect::of(live, st, ctx, &c.signed);
        let mut reasons = self.violations(live, ctx, &c, &effect);
        if reasons.is_empty() {
            reasons.extend(asked(live, st, ctx, &c, &effect));
        }
        if !reasons.is_empty() {
            return Ok(Outcome::Refused(c.reply, reasons));
        }
        let (signed, op) = (&c.signed, &c.signed.content.operation);
        let objects = effect.objects(live, signed);
        if effect.needed > 0 && c.approved.is_none() {
            if signed.local && self.local.len() < MAX_REQUESTS {
                self.local.insert(signed.key());
            }
            let waits_for = (effect.needed, ctx.node_size);
            let mut outcome = facts::requested(live, st, signed, effect.class, objects, waits_for)?;
            outcome.reasons.extend(effect.over_limit.then_some(Reason::TightenLimit));
            return Ok(Outcome::Done(c.reply, Box::new(outcome)));
        }
        if effect.class == Class::Recover {
            recover::open_incident(live, st, op, ctx.node)?;
        }
        match effect.execution(signed) {
            Execution::AtOnce => {
                let outcome = facts::changed(live, st, signed, effect.class, objects)?;
                Ok(Outcome::Done(c.reply, Box::new(outcome)))
            }
            Execution::OnCheckpoint => self.propose(live, st, c, &effect, objects),
            // Reserved: no operation of this version takes effect that way.
            Execution::AfterDelay | Execution::Job => {
                Ok(Outcome::Refused(c.reply, Reason::ObjectUnknown.into()))
            }
        }
    }

    fn propose(
        &mut self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        c: Candidate,
        effect: &Effect,
        objects: Objects,
    ) -> Result<Outcome, KeyError> {
        let under_grant = effect.freeze.grant();
        if let Some(grant) = under_grant {
            freeze::cite(live, st, grant, c.signed.key())?;
        }
        let proposal = facts::proposed(live, st, &c.signed, effect.class, &objects)?;
        // What two persons agreed on does not count.
        let cuts = if c.approved.is_none() { effect.cuts.clone() } else { BTreeSet::new() };
        self.pending.push(Pending {
            partition: live.p.id,
            proposal,
            deadline: st.now.mono + TAKE_EFFECT,
            signed: c.signed,
            class: effect.class,
            objects,
            approvers: c.approved.unwrap_or_default(),
            under_grant,
            cuts,
            reply: c.reply,
        });
        Ok(Outcome::Waits)
    }

    /// What stands against a command by its class, and by what waits already.
    fn violations(
        &self,
        live: &PartitionState,
        ctx: &EvalCtx<'_>,
        c: &Candidate,
        effect: &Effect,
    ) -> Reasons {
        let (mut reasons, command) = (c.violations, &c.signed.content);
        let (op, recovers) = (&command.operation, effect.class == Class::Recover);
        reasons.extend(leads_too_far(&live.control, op, &effect.after).iter());
        // A freeze holds back what loosens; recovering is decided by its own rule.
        if effect.freeze == FreezeCheck::Frozen && !recovers {
            reasons.add(Reason::Frozen);
        }
        if effect.class != Class::Tighten {
            match command.base {
                // Without a base it says that it only tightens.
                None => reasons.add(Reason::WouldLoosen),
                Some(b) if b != live.control.object_digest(op) => reasons.add(Reason::BaseStale),
                Some(_) => {}
            }
            if c.approved.is_none() && before_the_clock(command.issued_at_us, ctx.node) {
                reasons.add(Reason::CommandExpired);
            }
            reasons.extend(outage_denies(effect.class, ctx));
            if self.pending.len() >= MAX_PENDING {
                reasons.add(Reason::QueueFull);
            }
        }
        reasons.extend(policy_check::bundle(live, ctx, op));
        if c.approved.is_none() && remembers_too_many(&live.control, c.signed.person, effect.class) {
            reasons.add(Reason::QueueFull);
        }
        if c.approved.is_none() && effect.needed > 0 {
            if live.control.requests.len() >= MAX_REQUESTS {
                reasons.add(Reason::QueueFull);
            }
            // An approval names the exact text: whoever sends another's must not share in it.
            let digest = Digest(Sha256::digest(&c.signed.text).into());
            if live.control.requests.values().any(|r| r.digest == digest) {
                reasons.add(Reason::CommandReplayed);
            }
        }
        if c.approved.as_ref().is_some_and(|a| (a.given.len() as u64) < effect.needed) {
            reasons.add(Reason::RoleMissing);
        }
        reasons
    }
}

/// From whom a change takes something that counts.
fn takes(live: &PartitionState, op: &Operation, after: &ControlState) -> BTreeSet<Cut> {
    if live.takes_nothing(op, &live.control, after) {
        return BTreeSet::new();
    }
    of_change(live.p.id.tenant, &live.control, after)
}

/// Whether that is more tenants and persons than one person may in a while. From whom they took something already, they may
/// take more.
fn takes_too_much(ctx: &EvalCtx<'_>, cuts: &BTreeSet<Cut>) -> bool {
    let more = cuts.difference(&ctx.cuts).count();
    more > 0 && ctx.cuts.len() + more > ctx.most_cuts
}

/// Whether a log has no room for one more command of this person.
fn remembers_too_many(log: &ControlState, person: PersonId, class: Class) -> bool {
    let most = if class == Class::Tighten { 2 * MAX_REMEMBERED } else { MAX_REMEMBERED };
    let key = |byte| CommandKey { person, command: CommandId([byte; 16]) };
    log.commands.range(key(0)..=key(u8::MAX)).nth(most - 1).is_some()
}

/// Fewer could not agree on anything: whoever has one key must not bring the node there.
fn leaves_too_few(before: &ControlState, after: &ControlState) -> bool {
    [(Role::Admin, 2), (Role::Approver, 1)].into_iter().any(|(role, least)| {
        let then = after.persons_with(role).len();
        then < least && then < before.persons_with(role).len()
    })
}

/// Before the time was confirmed last, the clock that judges whether a command has expired said something else, and may have
/// let a command be forgotten that has not: whoever signed it signs again.
fn before_the_clock(issued_at_us: u64, node: &ControlState) -> bool {
    // While it is in doubt, nothing of this is let through anyway.
    !node.clock_doubted() && node.time_confirmed.is_some_and(|t| issued_at_us < t.said_us)
}

/// Who is asked once nothing else stands against it: admins on the node itself for a recovery, policy for whatever else
/// does not tighten. A request has no effect: policy is asked when it would have one.
fn asked(
    live: &PartitionState,
    st: &BatchBuilder,
    ctx: &EvalCtx<'_>,
    c: &Candidate,
    effect: &Effect,
) -> Option<Reason> {
    let op = &c.signed.content.operation;
    match effect.class {
        Class::Tighten => None,
        Class::Recover => {
            (!recover::allowed(&c.signed, c.approved.as_ref(), ctx.node)).then_some(Reason::RecoverLocal)
        }
        _ if effect.needed > 0 && c.approved.is_none() => None,
        class => policy_denies(live, st, ctx, op, class),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever signs without end fills their own share of what a log remembers, and nobody else's; they can still tighten.
    #[test]
    fn what_a_log_remembers_is_bounded_by_person() {
        let (ana, ben) = (PersonId([1; 16]), PersonId([2; 16]));
        let mut log = ControlState::default();
        for n in 0..2 * MAX_REMEMBERED as u128 {
            let full = n >= MAX_REMEMBERED as u128;
            assert_eq!(remembers_too_many(&log, ana, Class::Loosen), full, "{n}");
            assert!(!remembers_too_many(&log, ana, Class::Tighten), "{n}");
            let command = CommandId((u128::MAX - n).to_be_bytes());
            log.commands.insert(CommandKey { person: ana, command }, 1);
        }
        assert!(remembers_too_many(&log, ana, Class::Tighten));
        assert!(!remembers_too_many(&log, ben, Class::Loosen));
    }
}
