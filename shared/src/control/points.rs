//! Which kinds of requests a change of ramps and kill switches can touch.

use super::ControlState;
use crate::basis_points::BasisPoints;
use crate::ids::Ident;
use crate::ramp::Selector;
use std::collections::{BTreeMap, BTreeSet};

/// Stands for every action and workflow that no rule names: it is not a valid identifier.
const ANY: &str = "*";

/// Actions and workflows by which two states can be told apart: whatever a rule that differs decides for some request, it
/// decides for one of these. Rules that are the same in both cost one comparison each.
///
/// Where a rule for everything differs, one request stands for all that no other rule names: for those it says the same
/// everywhere. A rule that names one of both can uncover what rules for the other say, so it is held against each of them.
/// With `besides`, requests that these cover are told apart as well.
pub(crate) fn points<'a>(
    before: &'a ControlState,
    after: &'a ControlState,
    besides: &'a BTreeMap<Selector, BasisPoints>,
) -> BTreeSet<(&'a str, &'a str)> {
    let rules = || {
        let ramps = before.ramps.keys().chain(after.ramps.keys());
        ramps.chain(before.kills.keys()).chain(after.kills.keys()).chain(besides.keys())
    };
    let actions = || rules().filter_map(|s| s.action.as_ref()).map(Ident::as_str).chain([ANY]);
    let workflows = || rules().filter_map(|s| s.workflow.as_ref()).map(Ident::as_str).chain([ANY]);
    let changed = changed(&before.ramps, &after.ramps).chain(changed(&before.kills, &after.kills));
    let mut out = BTreeSet::new();
    for s in changed {
        match (s.action.as_ref().map(Ident::as_str), s.workflow.as_ref().map(Ident::as_str)) {
            (Some(a), Some(w)) => drop(out.insert((a, w))),
            (None, Some(w)) => out.extend(actions().map(|a| (a, w))),
            (Some(a), None) => out.extend(workflows().map(|w| (a, w))),
            (None, None) => {
                out.insert((ANY, ANY));
                out.extend(besides.keys().map(place));
            }
        }
    }
    out
}

fn place(s: &Selector) -> (&str, &str) {
    (s.action.as_ref().map_or(ANY, Ident::as_str), s.workflow.as_ref().map_or(ANY, Ident::as_str))
}

fn changed<'a, T: PartialEq>(
    before: &'a BTreeMap<Selector, T>,
    after: &'a BTreeMap<Selector, T>,
) -> impl Iterator<Item = &'a Selector> {
    let gone = before.keys().filter(|s| !after.contains_key::<Selector>(s));
    after.iter().filter(|(s, v)| before.get::<Selector>(s) != Some(v)).map(|(s, _)| s).chain(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::strategies::operations;
    use crate::ramp::effective;
    use proptest::prelude::*;

    /// What a kind of request meets: its ramp, and how strictly it is killed.
    fn decided(s: &ControlState, (a, w): (&str, &str)) -> (BasisPoints, u8) {
        (effective(&s.ramps, a, w), s.killed(a, w).map_or(0, |k| if k.drain { 1 } else { 2 }))
    }

    fn rules() -> impl Strategy<Value = ControlState> {
        let operations = proptest::collection::vec(operations(), 0..24);
        operations.prop_map(|ops| ops.iter().fold(ControlState::default(), |s, op| s.after(op)))
    }

    /// Invariant 3: a change is judged at places that grow with the rules beside the one it touches, and not with their
    /// square; one about a single kind of request, or about everything, at as few as ever.
    #[test]
    fn rules_that_a_change_does_not_touch_cost_nothing() {
        let cap = |selector: String| crate::command::ops::RampCap {
            selector: selector.parse().unwrap(),
            hundredths: BasisPoints::ZERO,
        };
        let rules = (0..1_000).map(|n| cap(format!("a{n}/w{n}")).into());
        let before = rules.fold(ControlState::default(), |s, op: crate::command::Operation| s.after(&op));
        let looked_at = |selector: &str| {
            let after = before.after(&cap(selector.to_owned()).into());
            points(&before, &after, &BTreeMap::new()).len()
        };
        assert_eq!((looked_at("run/etl"), looked_at("a7/w8"), looked_at("*/*")), (1, 1, 1));
        assert_eq!((looked_at("run/*"), looked_at("*/etl")), (1_001, 1_001));
    }

    proptest! {
        /// Invariant 3: what one request can see of a change is seen at one of the points, in each direction.
        #[test]
        fn the_points_tell_all_that_any_request_can_see(before in rules(), after in rules(), bad in rules()) {
            let besides: BTreeMap<_, _> = bad.ramps.iter().map(|(s, r)| (s.clone(), r.hundredths)).collect();
            let few = points(&before, &after, &besides);
            let all = [&before, &after, &bad].into_iter().flat_map(|s| s.ramps.keys().chain(s.kills.keys()));
            let all: Vec<_> = all.cloned().collect();
            let actions = all.iter().filter_map(|s| s.action.as_ref()).map(Ident::as_str).chain([ANY]);
            for at in actions.flat_map(|a| {
                let workflows = all.iter().filter_map(|s| s.workflow.as_ref()).map(Ident::as_str).chain([ANY]);
                workflows.map(move |w| (a, w))
            }) {
                let (b, a) = (decided(&before, at), decided(&after, at));
                prop_assert!(a.0 <= b.0 || few.iter().any(|p| effective(&after.ramps, p.0, p.1) > effective(&before.ramps, p.0, p.1)));
                prop_assert!(a.1 >= b.1 || few.iter().any(|p| decided(&after, *p).1 < decided(&before, *p).1));
                let reaches = |p: (&str, &str)| besides.iter().any(|(s, least)| {
                    s.covers(p.0, p.1) && effective(&after.ramps, p.0, p.1) >= *least
                }) && effective(&after.ramps, p.0, p.1) > effective(&before.ramps, p.0, p.1);
                prop_assert!(!reaches(at) || few.iter().any(|p| reaches(*p)));
            }
        }
    }
}
