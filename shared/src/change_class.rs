//! The class of a change and the persons that it takes, computed from the state before and after, part by part, never
//! from its name: nothing looser is tighten; anything looser, unordered or unknown makes the whole command loosen.

use crate::command::Operation;
use crate::control::ControlState;
use crate::control::points::points;
use crate::control::profiles;
use crate::fact::ChangeClass;
use crate::fail_closed::Class;
use crate::ids::PersonId;
use crate::profile::{ALONE_A_DAY, Profile};
use crate::quota::QuotaKind;
use crate::ramp::effective;
use std::collections::{BTreeMap, BTreeSet};

/// Other persons who approve a change that makes a part looser (SPEC, invariant 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Approvals {
    None,
    One,
    /// None where the profile lets one person do it alone, a few times a day.
    OneUnlessAlone,
}

/// One part of the control state.
struct Part {
    /// To make it tighter switches something off for a tenant, or takes something from a person.
    cuts: bool,
    /// What a change is that makes it looser.
    class: Class,
    approvals: Approvals,
    /// Is it looser after than before? What has no order is looser whenever it differs.
    looser: fn(&ControlState, &ControlState) -> bool,
}

const fn part(class: Class, approvals: Approvals, looser: fn(&ControlState, &ControlState) -> bool) -> Part {
    Part { cuts: false, class, approvals, looser }
}

const fn cuts(class: Class, approvals: Approvals, looser: fn(&ControlState, &ControlState) -> bool) -> Part {
    Part { cuts: true, class, approvals, looser }
}

/// All parts.
const PARTS: [Part; 23] = [
    cuts(Class::Loosen, Approvals::None, quotas),
    cuts(Class::Loosen, Approvals::None, ramps_and_kills),
    cuts(Class::Loosen, Approvals::None, |b, a| !a.workflows.is_subset(&b.workflows)),
    cuts(Class::Loosen, Approvals::None, prompts),
    cuts(Class::Loosen, Approvals::None, tokens),
    cuts(Class::Loosen, Approvals::None, |b, a| !a.peers.is_subset(&b.peers)),
    part(Class::Loosen, Approvals::None, tenants),
    part(Class::Irreversible, Approvals::One, |b, a| {
        a.operators.keys().any(|k| !b.operators.contains_key(k))
    }),
    cuts(Class::Loosen, Approvals::One, operators),
    part(Class::Recover, Approvals::One, |b, a| a.signer_key != b.signer_key),
    part(Class::Recover, Approvals::One, |b, a| b.clock_doubted() && !a.clock_doubted()),
    part(Class::Loosen, Approvals::One, |b, a| a.policy_key != b.policy_key || a.policy != b.policy),
    part(Class::Loosen, Approvals::One, profiles_looser),
    part(Class::Loosen, Approvals::One, |b, a| profiles::name_of(a) != profiles::name_of(b)),
    cuts(Class::Loosen, Approvals::One, freezes),
    part(Class::Loosen, Approvals::OneUnlessAlone, break_glass),
    // What is billed has no order.
    part(Class::Loosen, Approvals::One, |b, a| a.billing_key != b.billing_key),
    part(Class::Loosen, Approvals::None, |b, a| {
        a.corrections != b.corrections || a.reconciled != b.reconciled
    }),
    part(Class::Loosen, Approvals::None, |b, a| a.rate_cards != b.rate_cards),
    part(Class::Loosen, Approvals::None, |b, a| b.bootstrap_closed && !a.bootstrap_closed),
    // A plan authorises later raises, so a new or changed plan loosens, whatever its first step is.
    part(Class::Loosen, Approvals::None, |b, a| a.plans.iter().any(|(s, p)| b.plans.get(s) != Some(p))),
    cuts(Class::Loosen, Approvals::None, slos),
    part(Class::Loosen, Approvals::None, |b, a| {
        b.bad.iter().any(|(s, v)| a.bad.get(s).is_none_or(|a| a > v))
    }),
];

/// Names every field: a new one does not compile before somebody says which part of [`PARTS`] compares it, or why none
/// has to. What no part compares counts as tighter.
const _: fn(ControlState) = |state| {
    let ControlState {
        quotas: _,
        ramps: _,
        kills: _,
        workflows: _,
        prompts: _,
        tokens: _,
        peers: _,
        tenants: _,
        operators: _,
        signer_key: _,
        time_confirmed: _,
        policy_key: _,
        policy: _,
        profiles: _,
        profile: _,
        freezes: _,
        break_glass: _,
        billing_key: _,
        corrections: _,
        reconciled: _,
        rate_cards: _,
        bootstrap_closed: _,
        plans: _,
        slos: _,
        bad: _,
        // Compared by no part: names, counts and what is on record. They allow nothing.
        name: _,
        revision: _,
        last: _,
        newer: _,
        pending: _,
        requests: _,
        commands: _,
        objects: _,
        objects_before: _,
        incidents: _,
        active_windows: _,
        opened_alone: _,
        sink_replays: _,
        sink_redeliveries: _,
    } = state;
};

/// The strictest class of what a change makes looser. A state that this version cannot read whole is never known to get
/// tighter.
pub fn class(before: &ControlState, after: &ControlState) -> Class {
    let unknown = if before.newer || after.newer { Class::Loosen } else { Class::Tighten };
    looser(before, after).map(|p| p.class).fold(unknown, Class::max)
}

/// Approvals by other persons that a change takes, where its requester opened break-glass alone `alone_today` times
/// already. What only tightens takes none.
pub fn approvals(before: &ControlState, after: &ControlState, profile: &Profile, alone_today: u64) -> u64 {
    let each = looser(before, after).map(|p| match p.approvals {
        Approvals::None => 0,
        Approvals::OneUnlessAlone => u64::from(!profile.break_glass_alone || alone_today >= ALONE_A_DAY),
        Approvals::One => 1,
    });
    // Whether a person can do less than before is not known of a state that this version cannot read whole.
    let unknown = (before.newer || after.newer) && roles_differ(before, after);
    each.max().unwrap_or(0).max(u64::from(unknown))
}

fn roles_differ(before: &ControlState, after: &ControlState) -> bool {
    let roles =
        |s: &ControlState| -> Vec<_> { s.operators.iter().map(|(id, k)| (*id, k.roles.clone())).collect() };
    roles(before) != roles(after)
}

/// Class of an operation: of each of its steps as it is alone, on the state that the one before left, the strictest.
pub fn class_of(before: &ControlState, op: &Operation) -> Class {
    steps(before, op).map(|(b, a)| class(&b, &a)).max().unwrap_or(Class::Tighten)
}

/// Approvals that an operation takes on a log, by the profile that governs it: of each of its steps likewise, the most.
pub fn approvals_of(log: &ControlState, node: &ControlState, op: &Operation, alone_today: u64) -> u64 {
    let each = steps(log, op).map(|(b, a)| {
        let profile = profiles::profile(node, profiles::name_of(&b)).unwrap_or_default();
        approvals(&b, &a, &profile, alone_today)
    });
    each.max().unwrap_or(0)
}

/// True when a change takes something from a tenant or a person, whatever else it does and whatever its class: what one
/// person may do to few in a while (SPEC, invariant 3).
pub fn cuts_off(before: &ControlState, after: &ControlState) -> bool {
    PARTS.iter().any(|p| p.cuts && (p.looser)(after, before))
}

/// True when a change lets fewer requests through than before, by ramps or kill switches.
pub fn lets_fewer_through(before: &ControlState, after: &ControlState) -> bool {
    ramps_and_kills(after, before)
}

/// Persons who may do less after a change than before.
pub fn persons_cut(before: &ControlState, after: &ControlState) -> BTreeSet<PersonId> {
    let persons = before.operators.values().map(|k| k.person);
    let of = |s: &ControlState, person| ControlState {
        operators: s
            .operators
            .iter()
            .filter(|(_, k)| k.person == person)
            .map(|(i, k)| (*i, k.clone()))
            .collect(),
        ..ControlState::default()
    };
    persons.filter(|p| operators(&of(after, *p), &of(before, *p))).collect()
}

/// The state before and after each step.
fn steps(before: &ControlState, op: &Operation) -> impl Iterator<Item = (ControlState, ControlState)> {
    op.steps().iter().scan(before.clone(), |state, step| {
        let after = state.after(step);
        Some((std::mem::replace(state, after.clone()), after))
    })
}

impl From<Class> for ChangeClass {
    /// The word in receipts: it tightens, or it does not.
    fn from(class: Class) -> Self {
        if class == Class::Tighten { Self::Tighten } else { Self::Loosen }
    }
}

fn looser<'a>(before: &'a ControlState, after: &'a ControlState) -> impl Iterator<Item = &'static Part> + 'a {
    PARTS.iter().filter(|p| (p.looser)(before, after))
}

fn quotas(before: &ControlState, after: &ControlState) -> bool {
    QuotaKind::ALL.iter().any(|k| {
        let (b, a) = (before.quotas.get(*k), after.quotas.get(*k));
        a.limit > b.limit || a.granted > b.granted
    })
}

fn ramps_and_kills(before: &ControlState, after: &ControlState) -> bool {
    let strength = |s: &ControlState, a, w| s.killed(a, w).map_or(0, |k| if k.drain { 1 } else { 2 });
    points(before, after, &BTreeMap::new()).into_iter().any(|(a, w)| {
        effective(&after.ramps, a, w) > effective(&before.ramps, a, w)
            || strength(after, a, w) < strength(before, a, w)
    })
}

fn prompts(before: &ControlState, after: &ControlState) -> bool {
    after.workflows.iter().any(|w| {
        let pinned = before.prompts.get(w);
        pinned.is_some() && after.prompts.get(w) != pinned
    })
}

fn tokens(before: &ControlState, after: &ControlState) -> bool {
    let live = |s: &ControlState| -> BTreeSet<_> {
        let each = s.tokens.iter().filter(|(_, t)| !t.revoked);
        each.map(|(id, t)| (*id, t.secret_sha256)).collect()
    };
    !live(after).is_subset(&live(before))
}

fn tenants(before: &ControlState, after: &ControlState) -> bool {
    let named = |s: &ControlState| -> BTreeSet<_> {
        s.tenants.iter().map(|(u, t)| (*u, t.name.to_string())).collect()
    };
    !named(after).is_subset(&named(before))
}

/// Keys that may sign, and what each may do.
fn operators(before: &ControlState, after: &ControlState) -> bool {
    let able = |s: &ControlState| -> BTreeSet<_> {
        let live = s.operators.iter().filter(|(_, k)| k.live());
        live.map(|(id, k)| (*id, k.public_key.clone())).collect()
    };
    let powers = |s: &ControlState| -> BTreeSet<_> {
        let live = s.operators.iter().filter(|(_, k)| k.live());
        live.flat_map(|(id, k)| k.roles.iter().map(move |r| (*id, k.public_key.clone(), r.clone()))).collect()
    };
    !able(after).is_subset(&able(before)) || !powers(after).is_subset(&powers(before))
}

/// A profile that was not there before is compared with one as it is created.
fn profiles_looser(before: &ControlState, after: &ControlState) -> bool {
    let created = Profile::default();
    let open = |s: &ControlState| -> BTreeSet<_> {
        let each = s.active_windows.iter();
        each.flat_map(|(p, ws)| ws.keys().map(|w| (p.clone(), w.clone()))).collect()
    };
    let mut names = before.profiles.keys().chain(after.profiles.keys());
    names.any(|name| {
        let was = before.profiles.get(name).unwrap_or(&created);
        // A removed profile counts as looser: nothing that remains is known to be as strict.
        after.profiles.get(name).is_none_or(|is| !is.no_looser_than(was))
    }) || !open(before).is_subset(&open(after))
}

fn freezes(before: &ControlState, after: &ControlState) -> bool {
    before.freezes.iter().any(|(name, b)| after.freezes.get(name).is_none_or(|a| !a.lasts(*b)))
}

fn break_glass(before: &ControlState, after: &ControlState) -> bool {
    let glass = |s: &ControlState| s.break_glass.as_ref().map(|g| (g.grant, g.minutes));
    glass(after).is_some() && glass(after) != glass(before)
}

fn slos(before: &ControlState, after: &ControlState) -> bool {
    let mut rules = before.slos.keys().chain(after.slos.keys());
    rules.any(|s| after.thresholds(s).looser_than(&before.thresholds(s)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basis_points::BasisPoints;
    use crate::cause::IncidentCause;
    use crate::command::ops;
    use crate::command::strategies::{configurations, operations};
    use crate::control::At;
    use crate::fact::{ControlFact, IncidentOpened};
    use crate::ids::{Ident, PersonId};
    use crate::operator::parse_roles;
    use crate::ramp::Selector;
    use crate::untrusted::UntrustedText;
    use proptest::prelude::*;

    /// What operations make, and what facts of the agent alone bring: a rollback, and a clock that was stepped.
    fn state(start: &[Operation]) -> ControlState {
        let mut s = start.iter().fold(ControlState::default(), |s, op| s.after(op));
        s.bad.insert("*/etl".parse().unwrap(), BasisPoints::saturating(2_500));
        let stepped = IncidentOpened {
            incident: [1; 16],
            cause: IncidentCause::Clock.into(),
            detail: UntrustedText::new("stepped"),
        };
        s.apply(At { index: 9, time_us: 9 }, &ControlFact::IncidentOpened(stepped)).unwrap();
        s
    }

    /// SPEC, invariant 4: operations that two persons agree on where they loosen.
    const TWO_PERSONS: [&str; 14] = [
        "operator.enrol",
        "operator.roles",
        "operator.resume",
        "policy.trust",
        "policy.load",
        "rate.trust",
        "time.confirm",
        "signer.replace",
        "profile.set",
        "profile.window",
        "profile.unwindow",
        "profile.assign",
        "freeze.clear",
        "breakglass.open",
    ];

    /// SPEC, invariant 4: in a state that this version cannot read whole, giving and taking roles takes a second person;
    /// what makes things safe does not.
    #[test]
    fn roles_in_a_state_of_a_newer_version_take_a_second_person() {
        let person = PersonId([1; 16]);
        let enrol = ops::OperatorEnrol {
            person,
            name: Ident::new("dan").unwrap(),
            public_key: "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".to_owned(),
            roles: parse_roles("approver operator").unwrap(),
            proof: "eA==".to_owned(),
        };
        let roles =
            |text| Operation::OperatorRoles(ops::OperatorRoles { person, roles: parse_roles(text).unwrap() });
        let much = state(&[Operation::OperatorEnrol(enrol)]);
        let little = much.after(&roles("operator"));
        assert_ne!(much, little);
        let needed =
            |before: &ControlState, after: &ControlState| approvals(before, after, &Profile::default(), 0);
        assert_eq!(needed(&much, &little), 0);
        let newer = |s: &ControlState| ControlState { newer: true, ..s.clone() };
        assert_eq!(needed(&newer(&much), &newer(&little)), 1);
        let kill = Operation::KillSet(ops::KillSet { selector: "*/*".parse().unwrap(), drain: false });
        assert_eq!(needed(&newer(&much), &newer(&much.after(&kill))), 0);
    }

    fn any_start() -> impl Strategy<Value = Vec<Operation>> {
        proptest::collection::vec(operations(), 0..12)
    }

    proptest! {
        /// SPEC invariant 3: no sequence of tighten commands enlarges what is allowed.
        #[test]
        fn tightening_never_enlarges(start in any_start(), ops in proptest::collection::vec(operations(), 1..20)) {
            let first = state(&start);
            let mut s = first.clone();
            for op in &ops {
                if class_of(&s, op) == Class::Tighten { s = s.after(op); }
            }
            for (a, w) in [("run", "etl"), ("run", "ml"), ("test", "etl"), ("other", "other"), ("run", "other"), ("other", "ml")] {
                prop_assert!(effective(&s.ramps, a, w) <= effective(&first.ramps, a, w));
                let strength = |s: &ControlState| s.killed(a, w).map_or(0, |k| if k.drain { 1 } else { 2 });
                prop_assert!(strength(&s) >= strength(&first));
            }
            for &k in QuotaKind::ALL { prop_assert!(s.quotas.get(k).granted <= first.quotas.get(k).granted); }
            prop_assert!(s.workflows.is_subset(&first.workflows));
            for w in &s.workflows {
                for declared in [None, Some(&[0; 32]), Some(&[1; 32]), Some(&[2; 32])] {
                    prop_assert!(!s.prompt_fits(w, declared) || first.prompt_fits(w, declared));
                }
            }
            prop_assert!(s.peers.is_subset(&first.peers));
            prop_assert_eq!(&s.policy_key, &first.policy_key);
            prop_assert_eq!(&s.policy, &first.policy);
            prop_assert_eq!(&s.signer_key, &first.signer_key);
            prop_assert!(s.clock_doubted(), "only a confirmation ends the doubt");
            for (id, k) in s.operators.iter().filter(|(_, k)| k.live()) {
                let before = &first.operators[id];
                prop_assert!(before.live() && k.person == before.person && k.roles.is_subset(&before.roles));
            }
            for (sel, p) in &s.plans { prop_assert_eq!(first.plans.get(sel), Some(p)); }
            for (sel, v) in &first.bad { prop_assert!(s.bad[sel] <= *v); }
            for sel in first.slos.keys().chain(s.slos.keys()) {
                prop_assert!(!s.thresholds(sel).looser_than(&first.thresholds(sel)));
            }
            for (id, t) in &s.tokens { if !t.revoked { prop_assert!(!first.tokens[id].revoked); } }
            for (name, was) in &first.profiles {
                let is = &s.profiles[name];
                prop_assert!(was.windows.iter().all(|(n, w)| is.windows.get(n) == Some(w)));
                prop_assert!(is.break_glass_alone <= was.break_glass_alone && is.last_known_s <= was.last_known_s);
                prop_assert!(is.policy_outage <= was.policy_outage);
            }
            for (name, is) in s.profiles.iter().filter(|(n, _)| !first.profiles.contains_key(*n)) {
                prop_assert!(is.no_looser_than(&Profile::default()), "{}", name);
            }
            prop_assert_eq!(profiles::name_of(&s), profiles::name_of(&first));
            for (name, was) in &first.freezes {
                prop_assert!(s.freezes[name].until_us.is_none_or(|u| was.until_us.is_some_and(|w| u >= w)));
            }
            prop_assert!(s.break_glass.is_none() || s.break_glass == first.break_glass);
            prop_assert_eq!(&s.tenants, &first.tenants);
            prop_assert_eq!((s.corrections, &s.reconciled), (first.corrections, &first.reconciled));
            prop_assert_eq!((&s.billing_key, &s.rate_cards), (&first.billing_key, &first.rate_cards));
        }

        /// SPEC invariant 4: who must agree follows from the state before and after, for every operation.
        #[test]
        fn two_persons_agree_on_what_the_spec_lists(start in any_start(), op in operations(), alone: bool, times in 0u64..4) {
            let mut s = state(&start);
            s.profiles.entry(Ident::new(crate::profile::DEFAULT).unwrap()).or_default().break_glass_alone = alone;
            let node = s.clone();
            let takes = |s: &ControlState, op: &Operation| {
                let profile = profiles::profile(&node, profiles::name_of(s)).unwrap_or_default();
                let glass = op.name() == "breakglass.open" && profile.break_glass_alone && times < ALONE_A_DAY;
                let clock = op.name() == "incident.close" && s.clock_doubted() && !s.after(op).clock_doubted();
                let listed = (TWO_PERSONS.contains(&op.name()) && !glass) || clock;
                u64::from(listed && class_of(s, op) != Class::Tighten)
            };
            let (mut want, mut at) = (0, s.clone());
            for step in op.steps() {
                want = want.max(takes(&at, step));
                at = at.after(step);
            }
            prop_assert_eq!(approvals_of(&s, &s, &op, times), want, "{:?}", op);
        }

        /// SPEC, The law: a new key cannot be taken back; a signer and a clock are replaced by their own rule.
        #[test]
        fn irreversible_and_recover_are_what_they_were(start in any_start(), op in operations()) {
            let s = state(&start);
            let got = class_of(&s, &op);
            match op.name() {
                _ if got == Class::Tighten => {}
                "operator.enrol" => prop_assert_eq!(got, Class::Irreversible),
                "signer.replace" | "time.confirm" => prop_assert_eq!(got, Class::Recover),
                "incident.close" => prop_assert!(s.clock_doubted() && got == Class::Recover),
                _ => prop_assert_eq!(got, Class::Loosen),
            }
            prop_assert_eq!(ChangeClass::from(got) == ChangeClass::Tighten, got == Class::Tighten);
        }

        /// SPEC 4.1: the steps of a rollback are judged as each is alone, in order, on the state the one before left.
        #[test]
        fn a_rollback_is_judged_step_by_step(start in any_start(), changes in proptest::collection::vec(configurations(), 1..5)) {
            let s = state(&start);
            let (mut class, mut needed, mut at) = (Class::Tighten, 0, s.clone());
            for step in &changes {
                class = class.max(class_of(&at, step));
                needed = needed.max(approvals_of(&at, &s, step, 0));
                at = at.after(step);
            }
            let op = Operation::from(ops::ConfigRollback { revision: 1, changes });
            prop_assert_eq!((class_of(&s, &op), approvals_of(&s, &s, &op, 0)), (class, needed));
        }

        /// SPEC invariant 3 and DESIGN, Command: what may be kept for a node that is offline makes nothing looser there.
        #[test]
        fn what_needs_no_base_never_loosens(start in any_start(), op in operations()) {
            let s = state(&start);
            let new_rule = matches!(&op, Operation::RampCap(ops::RampCap { selector, .. }) if !s.ramps.contains_key(selector));
            // A state that this version cannot read makes everything a loosening.
            if op.is_absolute() && !new_rule && !s.newer {
                prop_assert_eq!(class_of(&s, &op), Class::Tighten, "{:?}", op);
            }
        }

        /// SPEC invariant 3: tighten commands commute.
        #[test]
        fn caps_commute(start in any_start(), h1 in 0u16..=10_000, h2 in 0u16..=10_000, rule in "(run|test|\\*)/(etl|ml|\\*)") {
            let s = state(&start);
            let selector: Selector = rule.parse().unwrap();
            let cap = |hundredths| Operation::from(ops::RampCap { selector: selector.clone(), hundredths: BasisPoints::saturating(hundredths) });
            let (ab, ba) = (s.after(&cap(h1)).after(&cap(h2)), s.after(&cap(h2)).after(&cap(h1)));
            prop_assert_eq!(ab.ramps[&selector].hundredths, ba.ramps[&selector].hundredths);
        }
    }

    /// SPEC invariant 3: a more exact rule can loosen without touching the one above it.
    #[test]
    fn a_more_exact_rule_may_loosen() {
        let cap = |s: &str, h| {
            Operation::from(ops::RampCap {
                selector: s.parse().unwrap(),
                hundredths: BasisPoints::saturating(h),
            })
        };
        let s = ControlState::default().after(&cap("*/etl", 100));
        assert_eq!(class_of(&s, &cap("run/etl", 200)), Class::Loosen);
        assert_eq!(class_of(&s, &cap("run/etl", 50)), Class::Tighten);
        let clear = Operation::from(ops::RampClear { selector: "*/etl".parse().unwrap() });
        assert_eq!(class_of(&s, &clear), Class::Loosen);
    }
}
