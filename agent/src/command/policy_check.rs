//! What policy, an outage and the clock say to a change that does not tighten.

use super::context::EvalCtx;
use super::freeze::FreezeCheck;
use crate::partition::state::PartitionState;
use crate::policy::{Lookup, Policy, Query, Wanted, about_command};
use crate::staging::BatchBuilder;
use conductor_shared::change_class::class_of;
use conductor_shared::clock::Now;
use conductor_shared::command::Operation;
use conductor_shared::control::ControlState;
use conductor_shared::control::profiles;
use conductor_shared::fail_closed::{self, Class, OutageRule};
use conductor_shared::policy::{Freeze, Input};
use conductor_shared::reason::Reason;

/// What policy is asked about a change.
pub fn policy_input<'a>(
    op: &'a Operation,
    class: Class,
    tenant: &'a str,
    log: &'a ControlState,
    node: &ControlState,
) -> Input<'a> {
    let freeze = match FreezeCheck::of(op, log, node) {
        FreezeCheck::Free => Freeze { active: false, break_glass: false },
        FreezeCheck::UnderGrant(_) => Freeze { active: true, break_glass: true },
        FreezeCheck::Frozen => Freeze { active: true, break_glass: false },
    };
    about_command(op.name(), class == Class::Irreversible, (tenant, profiles::name_of(log)), freeze)
}

/// Policy's word on a step that a plan takes by itself. What it has not said yet it is asked, for the next time.
pub fn policy_lets(
    policy: &Policy,
    live: &PartitionState,
    node: &ControlState,
    now: Now,
    op: &Operation,
) -> bool {
    let input = policy_input(op, Class::Loosen, live.shared.name.as_str(), &live.control, node);
    match policy.lookup(live.p.id.tenant, &input, now, Wanted::default()) {
        Lookup::Allow | Lookup::Aging => true,
        Lookup::Unknown => {
            policy.ask_ahead(Query::of(live.p.id.tenant, &input));
            false
        }
        Lookup::Deny | Lookup::Down | Lookup::LastKnown => false,
    }
}

/// Policy's word on a change, asked for beforehand by whoever took the command in.
pub(super) fn policy_denies(
    live: &PartitionState,
    st: &BatchBuilder,
    ctx: &EvalCtx<'_>,
    op: &Operation,
    class: Class,
) -> Option<Reason> {
    let input = policy_input(op, class, live.shared.name.as_str(), &live.control, ctx.node);
    let asked = Wanted { asked: true, ..Wanted::default() };
    match ctx.policy.lookup(live.p.id.tenant, &input, st.now, asked) {
        Lookup::Allow | Lookup::Aging => None,
        Lookup::Deny => Some(Reason::PolicyDenied),
        Lookup::Unknown => Some(Reason::PolicyContention),
        Lookup::Down | Lookup::LastKnown => Some(Reason::PolicyUnavailable),
    }
}

/// The command that policy in force may not stand in the way of.
pub fn replaces_policy(op: &Operation) -> bool {
    matches!(op, Operation::PolicyLoad(_))
}

/// The class of a command on the staged state. Loading a bundle is the way out of a policy that is gone or that denies
/// its own replacement (SPEC, invariant 3). One that broke the engine is not asked about it. A signer's replacement and a confirmed time are of class recover by
/// themselves, see `change_class`.
pub(super) fn class(live: &PartitionState, st: &BatchBuilder, ctx: &EvalCtx<'_>, op: &Operation) -> Class {
    match class_of(&live.control, op) {
        Class::Loosen if replaces_policy(op) && ctx.policy.is_broken() => Class::Recover,
        class @ Class::Loosen if replaces_policy(op) => match policy_denies(live, st, ctx, op, class) {
            Some(Reason::PolicyDenied | Reason::PolicyUnavailable) => Class::Recover,
            _ => class,
        },
        class => class,
    }
}

/// The reason why an outage forbids a change, or a clock or a node's log that nobody believes, if one does.
pub(super) fn outage_denies(class: Class, ctx: &EvalCtx<'_>) -> Option<Reason> {
    if class != Class::Tighten && ctx.node_doubted {
        return Some(Reason::LogRolledBack);
    }
    if matches!(class, Class::Loosen | Class::Irreversible) && ctx.node.clock_doubted() {
        return Some(Reason::ClockUntrusted);
    }
    match fail_closed::rule(class, ctx.outage) {
        OutageRule::Deny(r) => Some(r),
        _ => None,
    }
}

/// What stands against a bundle: its files, signature and age.
pub(super) fn bundle(live: &PartitionState, ctx: &EvalCtx<'_>, op: &Operation) -> Option<Reason> {
    let Operation::PolicyLoad(load) = op else { return None };
    ctx.policy.against(&load.statement, &load.signature, &live.control, ctx.now)
}
