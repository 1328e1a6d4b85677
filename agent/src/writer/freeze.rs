//! What time does to freezes and break-glass. It counts only once it is a fact: before a command is judged, what its
//! clock reading has changed is put on record, so that no command passes between the start of a window and the tick.

use super::Open;
use super::live::{Live, Stage};
use crate::keys::KeyError;
use conductor_shared::clock::{Micros, Now, SECOND};
use conductor_shared::control::ControlState;
use conductor_shared::control::profiles;
use conductor_shared::fact::{BreakGlassOver, Fact, FreezeBegan, FreezeEnded, FreezeOver};
use conductor_shared::ids::{GrantId, PersonId, TenantUid};
use conductor_shared::profile::BreakGlass;
use std::sync::Arc;

/// When the node's windows were looked at, and when they must be again.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    revision: Option<u64>,
    looked_us: Micros,
    next_us: Micros,
}

impl Calendar {
    /// Puts on record what time has changed in the node's log, and in the log `only`, or in all.
    pub(super) fn bring_up_to_date(
        &mut self,
        open: &mut Open,
        st: &mut Stage,
        only: Option<TenantUid>,
    ) -> Result<(), String> {
        let (mut seen_us, mut doubted) = (0, false);
        if let Some(node) = open.partitions.get_mut(&TenantUid::NODE) {
            seen_us = node.log.last_us();
            doubted = node.control.clock_doubted();
            self.windows(node, st).map_err(|e| e.to_string())?;
        }
        match only {
            Some(tenant) => {
                open.partitions.get_mut(&tenant).map_or(Ok(()), |l| over(l, st, seen_us, doubted))
            }
            None => open.partitions.values_mut().try_for_each(|l| over(l, st, seen_us, doubted)),
        }
        .map_err(|e| e.to_string())
    }

    fn windows(&mut self, node: &mut Live, st: &mut Stage) -> Result<(), KeyError> {
        let now = st.now.wall_us;
        // After a step back of the clock everything is looked at again.
        let known = self.revision == Some(node.control.revision);
        if node.rolled_back || (known && (self.looked_us..self.next_us).contains(&now)) {
            return Ok(());
        }
        let control = Arc::clone(&node.control);
        let (facts, next_us) = changes(&control, now);
        for fact in facts {
            node.control_fact(st, fact)?;
        }
        *self = Self { revision: Some(control.revision), looked_us: now, next_us };
        Ok(())
    }
}

/// The facts that make the windows on record those that are open now, and when that changes next.
fn changes(node: &ControlState, now_us: Micros) -> (Vec<Fact>, Micros) {
    let (mut facts, mut next_us) = (Vec::new(), Micros::MAX);
    for (profile, p) in &node.profiles {
        for (window, when) in &p.windows {
            let change = when.next_change(now_us).map(|(at, _)| at);
            next_us = next_us.min(change.unwrap_or(Micros::MAX));
            let on_record = node.active_windows.get(profile).is_some_and(|ws| ws.contains_key(window));
            let (profile, window) = (profile.clone(), window.clone());
            match (on_record, when.active(now_us)) {
                (false, true) => facts.push(FreezeBegan { profile, window, until_us: change }.into()),
                // A clock that is not believed ends none.
                (true, false) if !node.clock_doubted() => facts.push(FreezeEnded { profile, window }.into()),
                _ => {}
            }
        }
    }
    (facts, next_us)
}

/// Break-glass as this run of the agent has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glass {
    grant: GrantId,
    /// How long it had been open when it was seen first.
    elapsed_us: Micros,
    /// When that was, on the monotonic clock.
    mono_us: Micros,
}

impl Glass {
    /// First sight of it. `seen_us` is the newest receipt time: whatever the wall clock says now, it was later than that
    /// once.
    fn first(g: &BreakGlass, now: Now, seen_us: Micros) -> Self {
        let elapsed_us = now.wall_us.max(seen_us).saturating_sub(g.opened_us);
        Self { grant: g.grant, elapsed_us, mono_us: now.mono_us }
    }

    /// Its time is over: by the wall clock or by the monotonic one, whichever shows more.
    fn over(self, g: &BreakGlass, now: Now) -> bool {
        let by_wall = now.wall_us.saturating_sub(g.opened_us);
        let by_mono = self.elapsed_us + now.mono_us.saturating_sub(self.mono_us);
        by_wall.max(by_mono) >= g.minutes.saturating_mul(60 * SECOND)
    }
}

/// Ends the freezes and the break-glass of a log whose time is over. A clock that is `doubted` ends no freeze.
fn over(live: &mut Live, st: &mut Stage, seen_us: Micros, doubted: bool) -> Result<(), KeyError> {
    if live.rolled_back || (live.control.freezes.is_empty() && live.control.break_glass.is_none()) {
        return Ok(());
    }
    let control = Arc::clone(&live.control);
    for (freeze, f) in &control.freezes {
        if !doubted && f.until_us.is_some_and(|u| u <= st.now.wall_us) {
            live.control_fact(st, FreezeOver { freeze: freeze.clone() })?;
        }
    }
    if let Some(g) = &control.break_glass {
        let seen_us = seen_us.max(live.log.last_us());
        let glass = live.glass.filter(|seen| seen.grant == g.grant);
        let glass = glass.unwrap_or_else(|| Glass::first(g, st.now, seen_us));
        live.glass = Some(glass);
        if glass.over(g, st.now) {
            live.control_fact(st, BreakGlassOver { grant: g.grant })?;
        }
    }
    Ok(())
}

/// How often a person opened break-glass alone today, in all logs of the node.
pub(super) fn alone_today(open: &Open, person: PersonId, now_us: Micros) -> u64 {
    let each = open.partitions.values();
    each.map(|l| profiles::alone_on_day(&l.control, person, now_us.max(l.log.last_us()))).sum()
}

/// Marks the partitions that became frozen or free, so that they are published.
pub(super) fn mark(open: &mut Open, st: &mut Stage) {
    let Some(node) = open.partitions.get(&TenantUid::NODE) else { return };
    let control = Arc::clone(&node.control);
    let all = open.marked != control.active_windows;
    let who: Vec<TenantUid> = if all {
        open.marked.clone_from(&control.active_windows);
        open.partitions.keys().copied().collect()
    } else {
        st.touched.clone()
    };
    for tenant in who {
        let Some(live) = open.partitions.get_mut(&tenant) else { continue };
        let frozen = profiles::frozen_by(&live.control, &control).next().is_some();
        if std::mem::replace(&mut live.frozen, frozen) != frozen {
            live.touch(st);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::command::{Operation, ops};
    use conductor_shared::control::At;
    use conductor_shared::fact::ControlFact;
    use conductor_shared::ids::Ident;

    fn glass(minutes: u64) -> BreakGlass {
        BreakGlass {
            grant: GrantId([1; 16]),
            ticket: "INC-1".into(),
            minutes,
            person: None,
            alone: false,
            opened_us: 1_000 * SECOND,
            used: 0,
        }
    }
    fn at(wall_s: u64, mono_s: u64) -> Now {
        Now { wall_us: wall_s * SECOND, mono_us: mono_s * SECOND }
    }

    /// SPEC, Time, and 3.3: break-glass takes the greater elapsed time. Neither a wall clock that is put back nor one that
    /// stands still prolongs it, and neither does a restart.
    #[test]
    fn no_clock_prolongs_break_glass() {
        let g = glass(1);
        let seen = Glass::first(&g, at(1_000, 50), 1_000 * SECOND);
        assert!(!seen.over(&g, at(1_059, 109)));
        assert!(seen.over(&g, at(1_060, 51)), "by the wall clock");
        assert!(seen.over(&g, at(1_000, 110)), "by the monotonic clock, while the wall clock stands still");
        assert!(seen.over(&g, at(10, 110)), "or was put back");
        // A restart: the monotonic clock begins anew, and the wall clock counts.
        assert!(Glass::first(&g, at(1_061, 0), 1_030 * SECOND).over(&g, at(1_061, 0)));
        // A restart with the wall clock put back: the newest receipt shows how late it was already.
        let seen = Glass::first(&g, at(10, 0), 1_030 * SECOND);
        assert!(!seen.over(&g, at(10, 29)) && seen.over(&g, at(10, 30)));
    }

    /// SPEC 3.3: what time changes is a fact once, in both directions, and the next look is at the next change.
    #[test]
    fn windows_open_and_close_by_facts() {
        let ident = |t: &str| Ident::new(t).unwrap();
        let mut node = ControlState::default();
        for (window, when) in [
            ("a", "once 1970-01-01T00:00:10Z to 1970-01-01T00:00:20Z"),
            ("b", "once 1970-01-01T00:00:15Z to 1970-01-01T00:00:30Z"),
        ] {
            let op = Operation::ProfileWindow(ops::ProfileWindow {
                profile: ident("default"),
                window: ident(window),
                when: when.parse().unwrap(),
            });
            node = node.after(&op);
        }
        let mut told = Vec::new();
        let mut now = 0;
        loop {
            let (facts, next) = changes(&node, now);
            for fact in facts {
                let Fact::Control(c) = fact else { unreachable!() };
                told.push(match &c {
                    ControlFact::FreezeBegan(f) => {
                        format!("{} {} until {:?}", now / SECOND, f.window, f.until_us)
                    }
                    ControlFact::FreezeEnded(f) => format!("{} {} ended", now / SECOND, f.window),
                    _ => unreachable!(),
                });
                node.apply(At { index: 0, time_us: now }, &c);
            }
            assert!(changes(&node, now).0.is_empty(), "told once");
            if next == Micros::MAX {
                break;
            }
            now = next;
        }
        let expected = ["10 a until Some(20000000)", "15 b until Some(30000000)", "20 a ended", "30 b ended"];
        assert_eq!(told, expected);
        assert!(node.active_windows.is_empty());
    }
}
