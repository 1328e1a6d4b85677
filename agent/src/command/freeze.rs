//! What profiles, freezes and break-glass add to the judging of a command.

use super::change::Judge;
use crate::keys::KeyError;
use crate::writer::live::{Live, Stage};
use conductor_shared::command::Operation;
use conductor_shared::control::ControlState;
use conductor_shared::fact::{BreakGlassUsed, ChangeClass, Fact, IncidentOpened};
use conductor_shared::ids::{CommandId, GrantId, Ident, PersonId};
use conductor_shared::profile::{self, DEFAULT, MAX_FREEZES, MAX_PROFILES, MAX_WINDOWS};
use conductor_shared::reason::{Reason, Reasons};
use conductor_shared::untrusted::UntrustedText;

/// What stands against the object of such an operation. `log` is the control state that it changes.
pub(super) fn objections(op: &Operation, node: &ControlState, log: &ControlState) -> Reasons {
    let mut reasons = Reasons::default();
    let missing = |name: &Ident| profile::profile(node, name.as_str()).is_none();
    match op {
        Operation::ConfigRollback { changes, .. } => {
            for c in changes {
                for r in objections(c, node, log).iter() {
                    reasons.add(r);
                }
            }
        }
        Operation::ProfileCreate { profile } => {
            if profile.as_str() == DEFAULT || log.profiles.contains_key(profile) {
                reasons.add(Reason::ObjectExists);
            }
            if log.profiles.len() >= MAX_PROFILES {
                reasons.add(Reason::FreezesTooMany);
            }
        }
        Operation::ProfileSet { profile, .. } | Operation::ProfileAssign { profile } if missing(profile) => {
            reasons.add(Reason::ObjectUnknown);
        }
        Operation::ProfileWindow { profile, .. } if missing(profile) => reasons.add(Reason::ObjectUnknown),
        Operation::ProfileWindow { profile, window, .. } => {
            let windows = log.profiles.get(profile).map(|p| &p.windows);
            if windows.is_some_and(|w| w.len() >= MAX_WINDOWS && !w.contains_key(window)) {
                reasons.add(Reason::FreezesTooMany);
            }
        }
        Operation::ProfileUnwindow { profile, window }
            if !log.profiles.get(profile).is_some_and(|p| p.windows.contains_key(window)) =>
        {
            reasons.add(Reason::ObjectUnknown);
        }
        Operation::FreezeSet { freeze, .. }
            if log.freezes.len() >= MAX_FREEZES && !log.freezes.contains_key(freeze) =>
        {
            reasons.add(Reason::FreezesTooMany);
        }
        Operation::FreezeClear { freeze } if !log.freezes.contains_key(freeze) => {
            reasons.add(Reason::ObjectUnknown);
        }
        // No extension: while one is open no other opens.
        Operation::BreakGlassOpen { .. } if log.break_glass.is_some() => reasons.add(Reason::ObjectExists),
        Operation::BreakGlassClose { grant }
            if log.break_glass.as_ref().is_none_or(|g| g.grant != *grant) =>
        {
            reasons.add(Reason::ObjectUnknown);
        }
        _ => {}
    }
    reasons
}

/// What a freeze says to a loosening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// No freeze is on.
    Free,
    /// A freeze is on, and break-glass lifts it: to be cited.
    Under(GrantId),
    /// A freeze is on.
    Frozen,
}

/// Whether a change of this class may pass. What makes nothing looser always may: a freeze never makes a site less safe.
pub(super) fn passage(
    op: &Operation,
    class: ChangeClass,
    log: &ControlState,
    node: &ControlState,
) -> Passage {
    if class == ChangeClass::Tighten || !profile::forbids(log, node, op) {
        return Passage::Free;
    }
    log.break_glass.as_ref().map_or(Passage::Frozen, |g| Passage::Under(g.grant))
}

/// Puts on record that the command whose receipt follows passes under break-glass.
pub(super) fn cite(
    live: &mut Live,
    st: &mut Stage,
    grant: GrantId,
    command_id: CommandId,
) -> Result<(), KeyError> {
    live.control_fact(st, Fact::from(BreakGlassUsed { grant, command_id })).map(drop)
}

/// Approvals that a loosening takes now.
pub(super) fn approvals(op: &Operation, log: &ControlState, judge: &Judge<'_>) -> u64 {
    profile::approvals(op, log, judge.node, judge.alone_today)
}

/// Somebody opened break-glass alone: others are to look at it.
pub(super) fn open_incident(live: &mut Live, st: &mut Stage, person: PersonId) -> Result<(), KeyError> {
    let Some(g) = live.control.break_glass.clone().filter(|g| g.alone && g.person == Some(person)) else {
        return Ok(());
    };
    let Ok(cause) = Ident::new("break-glass") else { return Ok(()) };
    let detail = format!(
        "break-glass {} opened by {person} alone for {} minutes, ticket {}: to be reviewed",
        g.grant, g.minutes, g.ticket
    );
    let incident = crate::platform::random::bytes(&*st.random);
    let fact = IncidentOpened { incident, cause, detail: UntrustedText::new(detail) };
    live.control_fact(st, Fact::from(fact)).map(drop)
}
