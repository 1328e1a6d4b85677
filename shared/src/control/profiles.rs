//! Which profile governs a log, and what freezes it now. Without a clock: which windows are open is folded from facts.

use super::ControlState;
use crate::clock::WallTime;
use crate::command::{Operation, ops};
use crate::ids::{Ident, PersonId};
use crate::profile::{DAY_US, DEFAULT, Profile};

/// The profile that governs a log.
pub fn name_of(log: &ControlState) -> &str {
    // The node's own log is given none, so `default` governs it.
    log.profile.as_ref().map_or(DEFAULT, Ident::as_str)
}

/// A profile of a node by name; `default` exists even if nothing was set.
pub fn profile<'a>(node: &'a ControlState, name: &str) -> Option<std::borrow::Cow<'a, Profile>> {
    let found = node.profiles.iter().find(|(n, _)| n.as_str() == name).map(|(_, p)| p);
    match found {
        Some(p) => Some(std::borrow::Cow::Borrowed(p)),
        None => (name == DEFAULT).then(|| std::borrow::Cow::Owned(Profile::default())),
    }
}

/// What freezes a log now: windows of its profile that are open, and its own freezes.
pub fn frozen_by<'a>(log: &'a ControlState, node: &'a ControlState) -> impl Iterator<Item = Frozen<'a>> {
    let name = name_of(log);
    let windows = node.active_windows.iter().filter(move |(p, _)| p.as_str() == name);
    let windows = windows.flat_map(|(p, ws)| ws.keys().map(move |w| Frozen::Window(p, w)));
    windows.chain(log.freezes.keys().map(Frozen::Freeze))
}

/// One thing that freezes a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frozen<'a> {
    /// A window of a profile.
    Window(&'a Ident, &'a Ident),
    /// A freeze of the tenant.
    Freeze(&'a Ident),
}

impl Frozen<'_> {
    /// The operation takes this very thing away.
    fn lifted_by(self, op: &Operation) -> bool {
        match (self, op) {
            (
                Self::Window(p, w),
                Operation::ProfileUnwindow(ops::ProfileUnwindow { profile, window })
                | Operation::ProfileWindow(ops::ProfileWindow { profile, window, .. }),
            ) => (p, w) == (profile, window),
            (Self::Freeze(f), Operation::FreezeClear(ops::FreezeClear { freeze })) => f == freeze,
            _ => false,
        }
    }
}

/// Whether a freeze forbids an operation that loosens. A freeze does not protect itself: only the other freezes forbid
/// its removal. None forbids opening break-glass, which lifts them.
pub fn forbids(log: &ControlState, node: &ControlState, op: &Operation) -> bool {
    !matches!(op, Operation::BreakGlassOpen(_)) && frozen_by(log, node).any(|f| !f.lifted_by(op))
}

/// How often a person opened break-glass alone in a log on the day of a receipt time.
pub fn alone_on_day(log: &ControlState, person: PersonId, time: WallTime) -> u64 {
    let today = |t: &&u64| **t / DAY_US == time.as_micros() / DAY_US;
    log.opened_alone.get(&person).map_or(0, |times| times.iter().filter(today).count() as u64)
}
