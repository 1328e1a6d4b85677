//! What stands against a command, apart from its class: the signer's key and role, audience, time, replay, object.

mod access;
mod billing;
mod envelope;
mod freezes;
mod incidents;
mod keys;
mod operators;
mod rollout;
mod signer;

use super::context::EvalCtx;
use crate::intake::request::Signed;
use conductor_shared::clock::WallTime;
use conductor_shared::command::{Command, Operation};
use conductor_shared::control::ControlState;
use conductor_shared::ids::{Ident, TenantUid};
use conductor_shared::operator::Role;
use conductor_shared::reason::{Reason, Reasons};
use std::borrow::Cow;

pub use signer::may_sign;

/// `log` is the control state of the partition that it changes, `tenant` whose that is: a command about a tenant that is
/// not here is denied in the node's log.
pub(super) fn violations(
    s: &Signed,
    ctx: &EvalCtx<'_>,
    (tenant, log): (TenantUid, &ControlState),
) -> Reasons {
    let c = &s.content;
    let mut reasons = signer::violations(s, ctx.node);
    reasons.extend(envelope::violations(s, ctx, log).iter());
    reasons.extend(objects(c, ctx.node, log, ctx.now).iter());
    reasons.extend(access::socket_of_peers(c, log, ctx.sockets_left).iter());
    for step in c.operation.steps() {
        reasons.extend(incidents::own_review(step, s.person, log).iter());
    }
    let elsewhere = tenant != c.tenant || elsewhere(&c.operation, c.tenant);
    reasons.extend(when(elsewhere, Reason::ObjectUnknown).iter());
    reasons
}

/// It belongs to another log than this one.
fn elsewhere(op: &Operation, tenant: TenantUid) -> bool {
    op.in_node_log() != tenant.is_node() && !op.in_any_log()
}

/// Each step of the operation as it is alone, on the state that the one before left.
fn objects(c: &Command, node: &ControlState, log: &ControlState, now: WallTime) -> Reasons {
    let (mut reasons, mut state) = (Reasons::default(), Cow::Borrowed(log));
    for (i, step) in c.operation.steps().iter().enumerate() {
        if i > 0 {
            state = Cow::Owned(state.after(&c.operation.steps()[i - 1]));
        }
        reasons.extend(object(step, (node, &state), WallTime::from_micros(c.issued_at_us), now).iter());
        reasons.extend(when(state.raises_bad(step), Reason::RevisionBad).iter());
        reasons.extend(when(step.names().is_some_and(Ident::is_reserved), Reason::NameReserved).iter());
    }
    reasons
}

/// What stands against the object of an operation: one arm each.
fn object(
    op: &Operation,
    (node, log): (&ControlState, &ControlState),
    issued_at: WallTime,
    now: WallTime,
) -> Reasons {
    match op {
        Operation::RampOverride(op) => rollout::ramp_override(op, log),
        Operation::WorkflowPin(op) => rollout::workflow_pin(op, log),
        Operation::TokenIssue(op) => access::token_issue(op, log),
        Operation::TokenRevoke(op) => access::token_revoke(op, log),
        Operation::OperatorEnrol(enrol) => operators::enrol(op, enrol, log),
        Operation::OperatorRoles(op) => operators::known(op.person, log),
        Operation::OperatorSuspend(op) => operators::known(op.person, log),
        Operation::OperatorResume(op) => operators::known(op.person, log),
        Operation::OperatorRevoke(op) => operators::revoke(op, log),
        Operation::PolicyTrust(_) | Operation::RateTrust(_) | Operation::SignerReplace(_) => {
            keys::one_purpose(op, log)
        }
        Operation::TimeConfirm(op) => incidents::time_confirm(op, issued_at, log),
        Operation::IncidentAck(op) => incidents::incident_ack(op, log),
        Operation::IncidentClose(op) => incidents::incident_close(op, log),
        Operation::TenantCreate(op) => access::tenant_create(op, log),
        Operation::ProfileCreate(op) => freezes::profile_create(op, log),
        Operation::ProfileSet(op) => freezes::profile(&op.profile, node),
        Operation::ProfileAssign(op) => freezes::profile(&op.profile, node),
        Operation::ProfileWindow(op) => freezes::profile_window(op, node, log),
        Operation::ProfileUnwindow(op) => freezes::profile_unwindow(op, log),
        Operation::FreezeSet(op) => freezes::freeze_set(op, log),
        Operation::FreezeClear(op) => freezes::freeze_clear(op, log),
        Operation::BreakGlassOpen(_) => freezes::break_glass_open(log),
        Operation::BreakGlassClose(op) => freezes::break_glass_close(op, log),
        Operation::UsageCorrect(op) => billing::usage_correct(op, log, now),
        Operation::RateLoad(op) => billing::rate_load(op, log),
        Operation::CostReconcile(op) => billing::cost_reconcile(op, now),
        // Whatever the state, these have an object; a bundle is checked against the loaded files in `policy_check`.
        Operation::RampSet(_)
        | Operation::RampCap(_)
        | Operation::RampClear(_)
        | Operation::KillSet(_)
        | Operation::KillClear(_)
        | Operation::QuotaSet(_)
        | Operation::QuotaCap(_)
        | Operation::WorkflowRegister(_)
        | Operation::WorkflowRetire(_)
        | Operation::WorkflowUnpin(_)
        | Operation::PeerAllow(_)
        | Operation::PeerDeny(_)
        | Operation::SloSet(_)
        | Operation::PlanSet(_)
        | Operation::PlanStop(_)
        | Operation::PolicyLoad(_)
        | Operation::ConfigRollback(_)
        | Operation::SinkReplay(_)
        | Operation::SinkRedeliver(_) => Reasons::default(),
    }
}

fn when(bad: bool, reason: Reason) -> Reasons {
    if bad { reason.into() } else { Reasons::default() }
}

/// Where no change may lead, whoever agreed to it. Checked again when a proposal takes effect: others did since.
pub(super) fn leads_too_far(before: &ControlState, op: &Operation, after: &ControlState) -> Reasons {
    let mut reasons = Reasons::default();
    let admins = |s: &ControlState| s.persons_with(Role::Admin).len();
    if op.in_node_log() && admins(after) == 0 && admins(before) > 0 {
        reasons.add(Reason::LastAdmin);
    }
    if before.beyond(after).is_some() {
        reasons.add(Reason::RulesTooMany);
    }
    reasons
}

#[cfg(test)]
mod tests;
