//! What one person asked for and another approves. A request has no effect; when the last approval it takes is on
//! record, the command goes the same way as any other, and everything is checked again, the approvers too.

use super::approvers::Approvers;
use super::checks::violations;
use super::context::{EvalCtx, may_count};
use super::evaluate::{Candidate, Outcome};
use super::facts::{Outgoing, Said, deny};
use super::freeze::FreezeCheck;
use super::policy_check::{self, outage_denies};
use super::proposals::Proposals;
use crate::intake::request::{CommandReply, Signed, SignedApproval};
use crate::keys::KeyError;
use crate::ledger::ReadError;
use crate::partition::state::PartitionState;
use crate::staging::BatchBuilder;
use crate::store::Store;
use conductor_shared::checkpoint::signature_key_id;
use conductor_shared::clock::WallTime;
use conductor_shared::command::Command;
use conductor_shared::control::{CommandKey, Request};
use conductor_shared::fact::{Approved, ControlFact, Fact, RequestClosed};
use conductor_shared::fail_closed::Class;
use conductor_shared::http::{CommandOutcome, CommandStatus, ReceiptRef};
use conductor_shared::ids::{KeyId, PersonId, TenantUid};
use conductor_shared::operator::{Answer, Role};
use conductor_shared::reason::{Reason, Reasons};
use tokio::sync::oneshot;

/// Closes a request that will never take effect.
pub fn close(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    (key, request): (CommandKey, &Request),
    why: Reasons,
    refusal: Option<&SignedApproval>,
) -> Result<u64, KeyError> {
    let fact = RequestClosed {
        author: key.person,
        command_id: key.command,
        request: request.index,
        digest: request.digest.0,
        person: refusal.map_or(PersonId([0; 16]), |r| r.person),
        why: why.codes().join(" "),
        text: refusal.map_or(vec![], |r| r.text.clone()),
        signature: refusal.map_or(String::new(), |r| r.signature.clone()),
    };
    Ok(live.control_fact(st, fact)?.index)
}

/// The command that waits, read back from its receipt.
fn command_of(
    store: &Store,
    live: &PartitionState,
    st: &BatchBuilder,
    (index, local): (u64, bool),
) -> Result<Option<Signed>, ReadError> {
    let fact = st.fact(store, &live.p, index)?;
    let Some(Fact::Control(ControlFact::Requested(f))) = fact else { return Ok(None) };
    let command = Command::parse(&f.text).ok();
    Ok(command.zip(signature_key_id(&f.signature)).map(|(content, key_id)| Signed {
        content,
        text: f.text,
        signature: f.signature,
        person: f.person,
        key_id,
        local,
    }))
}

/// What stands against an approval itself.
fn against(a: &SignedApproval, r: &Request, tenant: TenantUid, ctx: &EvalCtx<'_>) -> Reasons {
    let (text, mut reasons) = (&a.content, Reasons::default());
    let withdraws = text.verdict == Answer::Refuse && a.person == r.person;
    match ctx.node.operator(a.key_id).filter(|k| k.person == a.person) {
        None => reasons.add(Reason::SignatureInvalid),
        Some(k) if !withdraws && !k.has_role(Role::Approver, tenant) => reasons.add(Reason::RoleMissing),
        Some(k) if text.verdict == Answer::Approve && !k.older_than(r.node_size) => {
            reasons.add(Reason::ApproverTooNew);
        }
        Some(_) => {}
    }
    if text.verdict == Answer::Approve {
        if a.person == r.person {
            reasons.add(Reason::SelfApproval);
        }
        if r.approvals.contains_key(&a.person) {
            reasons.add(Reason::CommandReplayed);
        }
    }
    if text.node != ctx.here || text.tenant != tenant {
        reasons.add(Reason::CommandAudience);
    }
    let late = WallTime::from_micros(r.expires_at_us) <= ctx.now;
    if late || !may_count((text.issued_at_us, text.expires_at_us), ctx.now) {
        reasons.add(Reason::CommandExpired);
    }
    reasons
}

/// What stands against a command now, before the approval is put on record: while the signer or policy is out, or a
/// freeze is on, the request goes on waiting.
fn held_back(live: &PartitionState, st: &BatchBuilder, ctx: &EvalCtx<'_>, signed: &Signed) -> Option<Reason> {
    let op = &signed.content.operation;
    let class = policy_check::class(live, st, ctx, op);
    if matches!(class, Class::Tighten | Class::Recover) {
        return outage_denies(class, ctx);
    }
    let frozen = FreezeCheck::of(op, &live.control, ctx.node) == FreezeCheck::Frozen;
    outage_denies(class, ctx).or(frozen.then_some(Reason::Frozen))
}

impl Proposals {
    /// Evaluates an approval or a refusal. The answer comes at once, or when the command that it lets go ahead took
    /// effect.
    pub fn approve(
        &mut self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        store: &Store,
        ctx: &EvalCtx<'_>,
        a: &SignedApproval,
        reply: oneshot::Sender<CommandReply>,
    ) -> Result<Option<Outgoing>, ReadError> {
        let tenant = live.p.id.tenant;
        let object = a.content.command_id.to_string();
        let denied = |live: &mut PartitionState, st: &mut BatchBuilder, reasons: Reasons| {
            let command = CommandKey { person: a.person, command: a.content.command_id };
            let said = Said { command, operation: "approval", object: object.clone(), text: &a.text };
            deny(live, st, &said, reasons)
        };
        let Some((key, r)) = live.control.request_meant(a.content.command_id, &a.content.command_digest)
        else {
            // Another text waits under this id: the approver was shown something else.
            let edited = live.control.requests.keys().any(|k| k.command == a.content.command_id);
            let reason = if edited { Reason::BaseStale } else { Reason::ObjectUnknown };
            let denial = denied(live, st, reason.into())?;
            return Ok(Some((reply, Err(denial))));
        };
        let r = r.clone();
        let reasons = against(a, &r, tenant, ctx);
        if !reasons.is_empty() {
            let denial = denied(live, st, reasons)?;
            return Ok(Some((reply, Err(denial))));
        }
        if a.content.verdict == Answer::Refuse {
            let index = close(live, st, (key, &r), Reason::RequestRefused.into(), Some(a))?;
            let refused = (CommandStatus::Refused, index);
            return Ok(Some((reply, Ok(outcome(live, key, &r, refused, Reasons::default())))));
        }
        let local = a.local && self.local.contains(&key);
        let signed = command_of(store, live, st, (r.index, local))?;
        let held = signed.as_ref().map_or(Some(Reason::ObjectUnknown), |s| held_back(live, st, ctx, s));
        let (Some(signed), None) = (signed, held) else {
            let denial = denied(live, st, held.unwrap_or(Reason::ObjectUnknown).into())?;
            return Ok(Some((reply, Err(denial))));
        };
        Ok(self.approved(live, st, ctx, (a, key, &r), Box::new(signed), reply)?)
    }

    /// Puts the approval on record; with the last one the command goes ahead.
    fn approved(
        &mut self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        ctx: &EvalCtx<'_>,
        (a, key, r): (&SignedApproval, CommandKey, &Request),
        signed: Box<Signed>,
        reply: oneshot::Sender<CommandReply>,
    ) -> Result<Option<Outgoing>, KeyError> {
        let tenant = live.p.id.tenant;
        let fact = Approved {
            author: key.person,
            command_id: key.command,
            request: r.index,
            digest: r.digest.0,
            person: a.person,
            key_id: a.key_id.to_string(),
            text: a.text.clone(),
            signature: a.signature.clone(),
        };
        let on_record = live.control_fact(st, fact)?.index;
        let mut given: Vec<(PersonId, KeyId)> = r.approvals.iter().map(|(p, k)| (*p, *k)).collect();
        given.push((a.person, a.key_id));
        if (given.len() as u64) < r.needed {
            let waits = (CommandStatus::Requested, on_record);
            return Ok(Some((reply, Ok(outcome(live, key, r, waits, Reasons::default())))));
        }
        let approvers = Approvers { given, node_size: r.node_size, needed: r.needed };
        // Its own request remembered the command; that is no replay.
        let mut again = live.control.as_ref().clone();
        again.commands.remove(&key);
        let mut violations = violations(&signed, ctx, (tenant, &again));
        violations.extend(approvers.violations(signed.person, tenant, ctx.node).iter());
        let candidate = Candidate { signed, violations, approved: Some(approvers), reply };
        match self.evaluate(live, st, ctx, candidate)? {
            Outcome::Waits => Ok(None),
            Outcome::Done(reply, done) => Ok(Some((reply, Ok(*done)))),
            Outcome::Refused(reply, reasons) => {
                let index = close(live, st, (key, r), reasons, None)?;
                let abandoned = (CommandStatus::Abandoned, index);
                Ok(Some((reply, Ok(outcome(live, key, r, abandoned, reasons)))))
            }
        }
    }
}

fn outcome(
    live: &PartitionState,
    key: CommandKey,
    r: &Request,
    (status, index): (CommandStatus, u64),
    reasons: Reasons,
) -> CommandOutcome {
    CommandOutcome {
        command_id: key.command,
        status,
        class: r.class,
        receipt: ReceiptRef { origin: live.p.origin, index },
        proposal: Some(ReceiptRef { origin: live.p.origin, index: r.index }),
        reasons: reasons.iter().collect(),
        before: vec![],
        after: vec![],
    }
}
