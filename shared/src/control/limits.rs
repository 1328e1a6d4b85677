//! How much of each kind one log may hold: what an operator can add without end would in the end cost every command.

use super::ControlState;
use crate::profile::{MAX_FREEZES, MAX_PROFILES, MAX_WINDOWS};
use crate::ramp::Selector;

/// One kind of thing that a log holds.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// What it is, in the plural.
    pub name: &'static str,
    /// So many at most.
    pub most: usize,
    /// How many there are.
    pub count: fn(&ControlState) -> usize,
}

const fn limit(name: &'static str, most: usize, count: fn(&ControlState) -> usize) -> Limit {
    Limit { name, most, count }
}

/// A rule for everything always finds room: it is what switches off at once.
fn rules<'a>(selectors: impl Iterator<Item = &'a Selector>) -> usize {
    selectors.filter(|s| **s != Selector::default()).count()
}

/// All of them.
pub const LIMITS: [Limit; 14] = [
    // One that fell by itself keeps its place when it is cleared: its value is remembered.
    limit("ramps", 1_024, |s| {
        rules(s.ramps.keys()) + rules(s.bad.keys().filter(|k| !s.ramps.contains_key(*k)))
    }),
    // More than a person sets one by one in an incident.
    limit("kill switches", 4_096, |s| rules(s.kills.keys())),
    limit("staged plans", 256, |s| s.plans.len()),
    limit("SLO thresholds", 1_024, |s| rules(s.slos.keys())),
    limit("workflow types", 1_024, |s| s.workflows.len()),
    limit("pinned prompts", 1_024, |s| s.prompts.len()),
    // A revoked one is kept for ever: nothing may be issued under its id again.
    limit("tokens, revoked ones too", 4_096, |s| s.tokens.len()),
    limit("local users", 256, |s| s.peers.len()),
    // As tokens.
    limit("operators' keys, revoked ones too", 1_024, |s| s.operators.len()),
    limit("profiles", MAX_PROFILES, |s| s.profiles.len()),
    limit("windows of a profile", MAX_WINDOWS, |s| {
        s.profiles.values().map(|p| p.windows.len()).max().unwrap_or(0)
    }),
    limit("freezes", MAX_FREEZES, |s| s.freezes.len()),
    limit("sinks with replays", 256, |s| s.sink_replays.len()),
    limit("sinks with redeliveries", 256, |s| s.sink_redeliveries.len()),
];

impl ControlState {
    /// What a change would hold more of than one log may.
    pub fn beyond(&self, after: &Self) -> Option<&'static Limit> {
        LIMITS.iter().find(|l| {
            let then = (l.count)(after);
            then > l.most && then > (l.count)(self)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basis_points::BasisPoints;
    use crate::command::{Operation, ops};
    use crate::ramp::Kill;

    fn kill(selector: &str) -> Operation {
        Operation::KillSet(ops::KillSet { selector: selector.parse().unwrap(), drain: false })
    }

    /// Invariant 3: rules end somewhere, and the one that switches everything off always has a place.
    #[test]
    fn rules_end_and_the_one_for_all_has_a_place() {
        let most = LIMITS.iter().find(|l| l.name == "kill switches").unwrap().most;
        let mut full = ControlState::default();
        for i in 0..most {
            full.kills.insert(format!("run/w{i}").parse().unwrap(), Kill { drain: false });
        }
        assert!(full.beyond(&full.after(&kill("run/w0"))).is_none(), "what is there may be set again");
        assert!(full.beyond(&full.after(&kill("*/*"))).is_none());
        assert_eq!(full.beyond(&full.after(&kill("run/more"))).map(|l| l.name), Some("kill switches"));
    }

    /// Values that were rolled back from are remembered for ramps that were cleared since: clearing makes no room for more.
    #[test]
    fn what_is_remembered_of_ramps_ends_with_them() {
        let ramp = |n: usize| {
            let selector = format!("run/w{n}").parse().unwrap();
            Operation::RampCap(ops::RampCap { selector, hundredths: BasisPoints::ZERO })
        };
        let mut log = ControlState::default();
        let most = LIMITS[0].most;
        for n in 0..most {
            assert!(log.beyond(&log.after(&ramp(n))).is_none(), "{n}");
            log = log.after(&ramp(n));
            let Operation::RampCap(op) = ramp(n) else { unreachable!() };
            log.bad.insert(op.selector.clone(), BasisPoints::ZERO);
            log = log.after(&Operation::RampClear(ops::RampClear { selector: op.selector }));
        }
        assert!(log.ramps.is_empty() && log.beyond(&log.after(&ramp(most))).is_some());
        assert!(log.beyond(&log.after(&ramp(0))).is_none(), "it has its place");
    }

    /// Each kind of thing that one log may hold only so many of is one that some operation adds: none of the bounds stands
    /// before a door that nobody uses.
    #[test]
    fn every_limit_counts_what_an_operation_adds() {
        let mut made = ControlState::default();
        let all = || Operation::ALL.iter().flat_map(crate::command::Kind::samples);
        let counts = |s: &ControlState| LIMITS.map(|l| (l.count)(s));
        let mut counted = [false; LIMITS.len()];
        // What an operation adds can need what another one made.
        for op in all().chain(all()) {
            let after = made.after(&op);
            for (n, (before, now)) in counts(&made).into_iter().zip(counts(&after)).enumerate() {
                counted[n] |= now == before + 1;
            }
            if counts(&after).iter().sum::<usize>() >= counts(&made).iter().sum() {
                made = after;
            }
        }
        let missing: Vec<_> = LIMITS.iter().zip(counted).filter(|(_, c)| !c).map(|(l, _)| l.name).collect();
        assert!(missing.is_empty(), "nothing adds to: {missing:?}");
    }
}
