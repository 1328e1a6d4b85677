//! What time does to freezes and break-glass. It counts only once it is a fact: before a command is judged, what its
//! clock reading has changed is put on record, so that no command passes between the start of a window and the tick.

use crate::keys::KeyError;
use crate::partition::{BreakGlassTimer, PartitionState, Partitions};
use crate::staging::BatchBuilder;
use conductor_shared::clock::WallTime;
use conductor_shared::control::{ControlState, profiles};
use conductor_shared::fact::{BreakGlassOver, Fact, FreezeBegan, FreezeEnded, FreezeOver};
use conductor_shared::ids::{Ident, PartitionId, PersonId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// When the node's windows were looked at, and when they must be again.
#[derive(Debug, Default)]
pub struct Calendar {
    revision: Option<u64>,
    looked: WallTime,
    next: WallTime,
    /// Windows that were open when partitions were last marked as frozen or free.
    marked: BTreeMap<Ident, BTreeMap<Ident, Option<u64>>>,
    /// Partitions that were not looked at since.
    unmarked: Vec<PartitionId>,
}

/// The node's log, as what is measured by the clock must know it.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeTime {
    /// Time of its newest receipt.
    last: WallTime,
    /// The clock is in doubt: it ends no freeze.
    doubted: bool,
}

impl Calendar {
    /// Puts on record what time has changed in the node's log and in another.
    pub fn bring_up_to_date(
        &mut self,
        partitions: &mut Partitions,
        st: &mut BatchBuilder,
        log: PartitionId,
    ) -> Result<(), KeyError> {
        let seen = self.of_node(partitions, st)?;
        partitions.get_mut(log).map_or(Ok(()), |l| over(l, st, seen))
    }

    /// Puts on record what time has changed in the node's log.
    pub fn of_node(
        &mut self,
        partitions: &mut Partitions,
        st: &mut BatchBuilder,
    ) -> Result<NodeTime, KeyError> {
        let Some(node) = partitions.node_mut() else { return Ok(NodeTime::default()) };
        let seen = NodeTime { last: node.log.last(), doubted: node.control.clock_doubted() };
        self.windows(node, st)?;
        Ok(seen)
    }

    /// Marks the partitions that became frozen or free, so that they are published. When a window of the node opens or
    /// closes that may be all of them: as many as this step allows, the rest in those after it.
    pub fn mark(&mut self, partitions: &mut Partitions, st: &mut BatchBuilder) {
        let Some(control) = partitions.node_control() else { return };
        if self.marked != control.active_windows {
            self.marked.clone_from(&control.active_windows);
            self.unmarked = partitions.ids().collect();
        }
        let mark = |partitions: &mut Partitions, id: PartitionId, st: &mut BatchBuilder| {
            let Some(live) = partitions.get_mut(id) else { return };
            let frozen = profiles::frozen_by(&live.control, &control).next().is_some();
            if std::mem::replace(&mut live.frozen, frozen) != frozen {
                live.touch(st);
            }
        };
        for id in st.touched.clone() {
            mark(partitions, id, st);
        }
        while let Some(id) = self.unmarked.pop() {
            if !st.fits(partitions.get(id).map_or(0, PartitionState::rows_of_touch)) {
                self.unmarked.push(id);
                break;
            }
            mark(partitions, id, st);
        }
    }

    fn windows(&mut self, node: &mut PartitionState, st: &mut BatchBuilder) -> Result<(), KeyError> {
        let now = st.now.wall;
        // After a step back of the clock everything is looked at again.
        let known = self.revision == Some(node.control.revision);
        if !node.status.serves() || (known && (self.looked..self.next).contains(&now)) {
            return Ok(());
        }
        let control = Arc::clone(&node.control);
        let (facts, next) = changes(&control, now);
        for fact in facts {
            node.control_fact(st, fact)?;
        }
        (self.revision, self.looked, self.next) = (Some(control.revision), now, next);
        Ok(())
    }
}

/// The facts that make the windows on record those that are open now, and when that changes next.
fn changes(node: &ControlState, now: WallTime) -> (Vec<Fact>, WallTime) {
    let (mut facts, mut next) = (Vec::new(), WallTime::MAX);
    for (profile, p) in &node.profiles {
        for (window, when) in &p.windows {
            let change = when.next_change(now).map(|(at, _)| at);
            next = next.min(change.unwrap_or(WallTime::MAX));
            let on_record = node.active_windows.get(profile).is_some_and(|ws| ws.contains_key(window));
            let (profile, window) = (profile.clone(), window.clone());
            match (on_record, when.active(now)) {
                (false, true) => facts
                    .push(FreezeBegan { profile, window, until_us: change.map(WallTime::as_micros) }.into()),
                // A clock that is not believed ends none.
                (true, false) if !node.clock_doubted() => facts.push(FreezeEnded { profile, window }.into()),
                _ => {}
            }
        }
    }
    (facts, next)
}

/// Ends the freezes and the break-glass of a log whose time is over.
pub fn over(live: &mut PartitionState, st: &mut BatchBuilder, node: NodeTime) -> Result<(), KeyError> {
    if !live.status.serves() || (live.control.freezes.is_empty() && live.control.break_glass.is_none()) {
        return Ok(());
    }
    let control = Arc::clone(&live.control);
    for (freeze, f) in &control.freezes {
        if !node.doubted && f.until_us.is_some_and(|u| WallTime::from_micros(u) <= st.now.wall) {
            live.control_fact(st, FreezeOver { freeze: freeze.clone() })?;
        }
    }
    if let Some(g) = &control.break_glass {
        let seen = node.last.max(live.log.last());
        let glass = live.glass.filter(|seen| seen.grant == g.grant);
        let glass = glass.unwrap_or_else(|| BreakGlassTimer::first(g, st.now, seen));
        live.glass = Some(glass);
        if glass.over(g, st.now) {
            live.control_fact(st, BreakGlassOver { grant: g.grant })?;
        }
    }
    Ok(())
}

/// How often a person opened break-glass alone today, in all logs of the node.
pub fn alone_today(partitions: &Partitions, person: PersonId, now: WallTime) -> u64 {
    partitions.iter().map(|l| profiles::alone_on_day(&l.control, person, now.max(l.log.last()))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::command::{Operation, ops};
    use conductor_shared::control::At;
    use conductor_shared::fact::ControlFact;

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
        let mut now = WallTime::EPOCH;
        let seconds = |t: WallTime| (t - WallTime::EPOCH).as_secs();
        loop {
            let (facts, next) = changes(&node, now);
            for fact in facts {
                let Fact::Control(c) = fact else { unreachable!() };
                told.push(match &c {
                    ControlFact::FreezeBegan(f) => {
                        format!("{} {} until {:?}", seconds(now), f.window, f.until_us)
                    }
                    ControlFact::FreezeEnded(f) => format!("{} {} ended", seconds(now), f.window),
                    _ => unreachable!(),
                });
                node.apply(At { index: 0, time_us: now.as_micros() }, &c).unwrap();
            }
            assert!(changes(&node, now).0.is_empty(), "told once");
            if next == WallTime::MAX {
                break;
            }
            now = next;
        }
        let expected = ["10 a until Some(20000000)", "15 b until Some(30000000)", "20 a ended", "30 b ended"];
        assert_eq!(told, expected);
        assert!(node.active_windows.is_empty());
    }
}
