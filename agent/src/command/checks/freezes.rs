//! Profiles, freezes and break-glass.

use super::when;
use conductor_shared::command::ops;
use conductor_shared::control::ControlState;
use conductor_shared::control::profiles;
use conductor_shared::ids::Ident;
use conductor_shared::profile::{DEFAULT, MAX_FREEZES, MAX_PROFILES, MAX_WINDOWS};
use conductor_shared::reason::{Reason, Reasons};

pub(super) fn profile(name: &Ident, node: &ControlState) -> Reasons {
    when(profiles::profile(node, name.as_str()).is_none(), Reason::ObjectUnknown)
}

pub(super) fn profile_create(op: &ops::ProfileCreate, log: &ControlState) -> Reasons {
    let taken = op.profile.as_str() == DEFAULT || log.profiles.contains_key(&op.profile);
    let mut reasons = when(taken, Reason::ObjectExists);
    reasons.extend(when(log.profiles.len() >= MAX_PROFILES, Reason::FreezesTooMany).iter());
    reasons
}

pub(super) fn profile_window(op: &ops::ProfileWindow, node: &ControlState, log: &ControlState) -> Reasons {
    let missing = profile(&op.profile, node);
    if !missing.is_empty() {
        return missing;
    }
    let windows = log.profiles.get(&op.profile).map(|p| &p.windows);
    let full = windows.is_some_and(|w| w.len() >= MAX_WINDOWS && !w.contains_key(&op.window));
    when(full, Reason::FreezesTooMany)
}

pub(super) fn profile_unwindow(op: &ops::ProfileUnwindow, log: &ControlState) -> Reasons {
    let there = log.profiles.get(&op.profile).is_some_and(|p| p.windows.contains_key(&op.window));
    when(!there, Reason::ObjectUnknown)
}

pub(super) fn freeze_set(op: &ops::FreezeSet, log: &ControlState) -> Reasons {
    let full = log.freezes.len() >= MAX_FREEZES && !log.freezes.contains_key(&op.freeze);
    when(full, Reason::FreezesTooMany)
}

pub(super) fn freeze_clear(op: &ops::FreezeClear, log: &ControlState) -> Reasons {
    when(!log.freezes.contains_key(&op.freeze), Reason::ObjectUnknown)
}

/// No extension: while one is open no other opens.
pub(super) fn break_glass_open(log: &ControlState) -> Reasons {
    when(log.break_glass.is_some(), Reason::ObjectExists)
}

pub(super) fn break_glass_close(op: &ops::BreakGlassClose, log: &ControlState) -> Reasons {
    when(log.break_glass.as_ref().is_none_or(|g| g.grant != op.grant), Reason::ObjectUnknown)
}
