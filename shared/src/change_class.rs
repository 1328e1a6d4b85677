//! The class of a change, computed from the state before and after, field by field, never from its name: nothing looser
//! is tighten; anything looser, unordered or unknown makes the whole command loosen.

use crate::control::ControlState;
use crate::fact::ChangeClass;
use crate::profile::{self, Profile};
use crate::quota::QuotaKind;
use crate::ramp::{Selector, effective};
use std::collections::BTreeSet;

/// Class of a change from the state before and after.
pub fn of_change(before: &ControlState, after: &ControlState) -> ChangeClass {
    if looser(before, after) { ChangeClass::Loosen } else { ChangeClass::Tighten }
}

fn looser(before: &ControlState, after: &ControlState) -> bool {
    if before.newer || after.newer {
        return true;
    }
    if QuotaKind::ALL.iter().any(|k| {
        let (b, a) = (before.quotas.get(*k), after.quotas.get(*k));
        a.limit > b.limit || a.granted > b.granted
    }) {
        return true;
    }
    // Ramps and kills are compared at every point that any rule tells apart, and at one that none names.
    let selectors =
        || before.ramps.keys().chain(after.ramps.keys()).chain(before.kills.keys()).chain(after.kills.keys());
    let axis = |part: fn(&Selector) -> Option<&str>| -> BTreeSet<&str> {
        // "*" is no identifier, so it stands for what no rule names.
        selectors().filter_map(part).chain(["*"]).collect()
    };
    for a in axis(|s| s.action.as_ref().map(crate::ids::Ident::as_str)) {
        for w in axis(|s| s.workflow.as_ref().map(crate::ids::Ident::as_str)) {
            if effective(&after.ramps, a, w) > effective(&before.ramps, a, w) {
                return true;
            }
            let strength = |s: &ControlState| s.killed(a, w).map_or(0, |k| if k.drain { 1 } else { 2 });
            if strength(after) < strength(before) {
                return true;
            }
        }
    }
    let live = |s: &ControlState| -> BTreeSet<(String, String)> {
        s.tokens
            .iter()
            .filter(|(_, t)| !t.revoked)
            .map(|(id, t)| (id.clone(), t.secret_sha256.clone()))
            .collect()
    };
    let powers = |s: &ControlState| -> BTreeSet<(String, String, String)> {
        let each = s.operators.iter();
        each.filter(|(_, k)| k.live())
            .flat_map(|(id, k)| k.roles.iter().map(move |r| (id.clone(), k.public_key.clone(), r.clone())))
            .collect()
    };
    let able = |s: &ControlState| -> BTreeSet<(String, String)> {
        s.operators
            .iter()
            .filter(|(_, k)| k.live())
            .map(|(id, k)| (id.clone(), k.public_key.clone()))
            .collect()
    };
    let tenants = |s: &ControlState| -> BTreeSet<(String, String)> {
        s.tenants.iter().map(|(u, t)| (u.clone(), t.name.to_string())).collect()
    };
    !after.workflows.is_subset(&before.workflows)
        || after.workflows.iter().any(|w| {
            let pinned = before.prompts.get(w);
            pinned.is_some() && after.prompts.get(w) != pinned
        })
        || !live(after).is_subset(&live(before))
        || !after.peers.is_subset(&before.peers)
        || !able(after).is_subset(&able(before))
        || !powers(after).is_subset(&powers(before))
        || !tenants(after).is_subset(&tenants(before))
        || after.signer_key != before.signer_key
        || after.policy_key != before.policy_key
        || after.policy != before.policy
        || looser_in_freezes(before, after)
        // What is billed has no order: every change of it loosens.
        || after.corrections != before.corrections
        || after.reconciled != before.reconciled
        || after.billing_key != before.billing_key
        || after.rate_cards != before.rate_cards
        || (before.clock_doubted() && !after.clock_doubted())
        || (before.bootstrap_closed && !after.bootstrap_closed)
        // A plan authorises raising: a new or another one loosens, whatever its first step is.
        || after.plans.iter().any(|(s, p)| before.plans.get(s) != Some(p))
        || before.slos.keys().chain(after.slos.keys()).any(|s| {
            after.thresholds(s).looser_than(&before.thresholds(s))
        })
        || before.bad.iter().any(|(s, v)| after.bad.get(s).is_none_or(|a| a > v))
}

/// Profiles, freezes and break-glass. A profile that was not there before is compared with one as it is created.
fn looser_in_freezes(before: &ControlState, after: &ControlState) -> bool {
    let created = Profile::default();
    let profiles = before.profiles.keys().chain(after.profiles.keys());
    let of = |s: &ControlState, name| s.profiles.get(name).cloned();
    let open = |s: &ControlState| -> BTreeSet<(String, String)> {
        let each = s.active_windows.iter();
        each.flat_map(|(p, ws)| ws.keys().map(|w| (p.to_string(), w.to_string()))).collect()
    };
    let glass = |s: &ControlState| s.break_glass.as_ref().map(|g| (g.grant, g.minutes));
    profiles.into_iter().any(|name| {
        let (b, a) = (of(before, name), of(after, name));
        let (b, a) = (b.as_ref().unwrap_or(&created), a.as_ref());
        // One that is gone leaves nothing that is known to be as strict.
        a.is_none_or(|a| !a.no_looser_than(b))
    }) || !open(before).is_subset(&open(after))
        || profile::name_of(after) != profile::name_of(before)
        || before.freezes.iter().any(|(name, b)| after.freezes.get(name).is_none_or(|a| !a.lasts(*b)))
        || (glass(after).is_some() && glass(after) != glass(before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Operation;
    use crate::ids::{GrantId, Ident, PersonId, TokenId};
    use crate::profile::{PolicyOutage, Setting};
    use crate::slo::Thresholds;
    use proptest::prelude::*;

    fn selectors() -> impl Strategy<Value = Selector> {
        proptest::sample::select(vec!["*/*", "run/*", "*/etl", "run/etl", "run/ml", "*/ml", "test/*"])
            .prop_map(|s| s.parse().unwrap())
    }
    /// The shape of a minisign public key, with its number as key id.
    fn public_key(n: u8) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode([&b"Ed"[..], &[n; 8], &[n; 32]].concat())
    }
    fn roles() -> impl Strategy<Value = BTreeSet<String>> {
        proptest::sample::subsequence(crate::operator::ROLES.to_vec(), 0..4)
            .prop_map(|r| r.into_iter().map(str::to_owned).collect())
    }
    fn operations() -> impl Strategy<Value = Operation> {
        let rollback = proptest::collection::vec(one_operation(), 1..4)
            .prop_map(|ops| ops.into_iter().filter(Operation::of_config).collect::<Vec<_>>())
            .prop_map(|changes| Operation::ConfigRollback { revision: 1, changes });
        prop_oneof![20 => one_operation(), 1 => rollback]
    }
    fn one_operation() -> impl Strategy<Value = Operation> {
        let h = 0u16..=10_000;
        let kind = proptest::sample::select(QuotaKind::ALL.to_vec());
        let workflow = proptest::sample::select(vec!["etl", "ml", "x"]).prop_map(|w| Ident::new(w).unwrap());
        let token = (0u8..3).prop_map(|n| TokenId([n; 16]));
        prop_oneof![
            (selectors(), h.clone())
                .prop_map(|(selector, hundredths)| Operation::RampSet { selector, hundredths }),
            (selectors(), h).prop_map(|(selector, hundredths)| Operation::RampCap { selector, hundredths }),
            selectors().prop_map(|selector| Operation::RampClear { selector }),
            (selectors(), any::<bool>()).prop_map(|(selector, drain)| Operation::KillSet { selector, drain }),
            selectors().prop_map(|selector| Operation::KillClear { selector }),
            (kind.clone(), 0u64..1000).prop_map(|(kind, limit)| Operation::QuotaSet { kind, limit }),
            (kind, 0u64..1000).prop_map(|(kind, limit)| Operation::QuotaCap { kind, limit }),
            workflow.clone().prop_map(|workflow| Operation::WorkflowRegister { workflow }),
            workflow.clone().prop_map(|workflow| Operation::WorkflowRetire { workflow }),
            (workflow.clone(), 0u8..3)
                .prop_map(|(workflow, n)| Operation::WorkflowPin { workflow, prompt_sha256: [n; 32] }),
            workflow.prop_map(|workflow| Operation::WorkflowUnpin { workflow }),
            token.clone().prop_map(|token| Operation::TokenIssue {
                token,
                name: Ident::new("t").unwrap(),
                secret_sha256: [1; 32]
            }),
            token.prop_map(|token| Operation::TokenRevoke { token }),
            (0u32..3).prop_map(|uid| Operation::PeerAllow { uid }),
            (0u32..3).prop_map(|uid| Operation::PeerDeny { uid }),
            (0u8..3, 0u8..4, roles()).prop_map(|(p, k, roles)| Operation::OperatorEnrol {
                person: PersonId([p; 16]),
                name: Ident::new(&format!("p{p}")).unwrap(),
                public_key: public_key(k),
                roles,
                proof: "x".into(),
            }),
            (0u8..3, roles())
                .prop_map(|(p, roles)| Operation::OperatorRoles { person: PersonId([p; 16]), roles }),
            (0u8..3).prop_map(|p| Operation::OperatorSuspend { person: PersonId([p; 16]) }),
            (0u8..3).prop_map(|p| Operation::OperatorResume { person: PersonId([p; 16]) }),
            (0u8..4).prop_map(|k| Operation::OperatorRevoke {
                key: crate::checkpoint::key_id(&public_key(k)).unwrap()
            }),
            (0u8..3).prop_map(|k| Operation::PolicyTrust { public_key: public_key(k) }),
            (1u64..4, 0u8..3).prop_map(|(revision, d)| Operation::PolicyLoad {
                statement: crate::policy::Statement {
                    revision,
                    digest: [d; 32],
                    built_at_us: 1,
                    expires_at_us: 2
                },
                signature: "x".into(),
            }),
            (selectors(), 1u16..100, 0u64..3, 0u64..3, 1u64..3).prop_map(|(selector, e, p, b, n)| {
                let thresholds =
                    Thresholds { errors_hundredths: e, p99_us: p, backlog: b * 40_000, min_settled: n * 150 };
                Operation::SloSet { selector, thresholds }
            }),
            (selectors(), proptest::sample::select(vec!["1%@60s 100%", "5%@1s 25%@1s 50%", "100%"]))
                .prop_map(|(selector, p)| Operation::PlanSet { selector, plan: p.parse().unwrap() }),
            selectors().prop_map(|selector| Operation::PlanStop { selector }),
            selectors().prop_map(|selector| Operation::RampOverride { selector }),
            (0u8..3).prop_map(|n| Operation::TimeConfirm { incident: [n; 16], now_us: 1 }),
            (0u8..3).prop_map(|k| Operation::SignerReplace { public_key: public_key(k) }),
            (0u8..3).prop_map(|n| Operation::IncidentClose {
                incident: [n; 16],
                comment: crate::untrusted::UntrustedText::new("over")
            }),
            freeze_operations(),
        ]
    }
    fn freeze_operations() -> impl Strategy<Value = Operation> {
        let name = |of: Vec<&'static str>| proptest::sample::select(of).prop_map(|w| Ident::new(w).unwrap());
        let profile = name(vec!["default", "strict"]);
        let window = name(vec!["w", "v"]);
        let when = proptest::sample::select(vec![
            "weekly fri 18:00 for 62h00m Europe/Berlin",
            "once 2026-12-19T00:00:00Z to 2027-01-04T06:00:00Z",
        ])
        .prop_map(|w| w.parse().unwrap());
        let setting = prop_oneof![
            any::<bool>().prop_map(Setting::BreakGlassAlone),
            any::<bool>().prop_map(|on| Setting::PolicyOutage(if on {
                PolicyOutage::LastKnown
            } else {
                PolicyOutage::Deny
            })),
            (1u64..=300).prop_map(Setting::LastKnownS),
        ];
        let until = proptest::option::of(0u64..100);
        prop_oneof![
            profile.clone().prop_map(|profile| Operation::ProfileCreate { profile }),
            (profile.clone(), setting)
                .prop_map(|(profile, setting)| Operation::ProfileSet { profile, setting }),
            (profile.clone(), window.clone(), when)
                .prop_map(|(profile, window, when)| Operation::ProfileWindow { profile, window, when }),
            (profile.clone(), window.clone())
                .prop_map(|(profile, window)| Operation::ProfileUnwindow { profile, window }),
            profile.prop_map(|profile| Operation::ProfileAssign { profile }),
            (window.clone(), until).prop_map(|(freeze, until_us)| Operation::FreezeSet { freeze, until_us }),
            window.prop_map(|freeze| Operation::FreezeClear { freeze }),
            (0u8..3, 1u64..=60).prop_map(|(g, minutes)| Operation::BreakGlassOpen {
                grant: GrantId([g; 16]),
                ticket: "INC-1".into(),
                minutes
            }),
            (0u8..3).prop_map(|g| Operation::BreakGlassClose { grant: GrantId([g; 16]) }),
        ]
    }

    proptest! {
        /// SPEC invariant 3: no sequence of tighten commands enlarges what is allowed.
        #[test]
        fn tightening_never_enlarges(start in proptest::collection::vec(operations(), 0..12),
                                     ops in proptest::collection::vec(operations(), 1..20)) {
            let mut s = ControlState::default();
            for op in &start { s = s.after(op); }
            // Facts of the agent, and no operation, say from where something was rolled back.
            s.bad.insert("*/etl".parse().unwrap(), 2_500);
            // Nor that the clock was stepped.
            let incident = crate::fact::IncidentOpened {
                incident: [1; 16],
                cause: Ident::new(crate::control::CLOCK).unwrap(),
                detail: crate::untrusted::UntrustedText::new("stepped"),
            };
            s.apply(crate::control::At { index: 9, time_us: 9 }, &crate::fact::ControlFact::IncidentOpened(incident));
            let first = s.clone();
            for op in &ops {
                let next = s.after(op);
                if of_change(&s, &next) == ChangeClass::Tighten { s = next; }
            }
            for (a, w) in [("run", "etl"), ("run", "ml"), ("test", "etl"), ("other", "other"), ("run", "other"), ("other", "ml")] {
                prop_assert!(effective(&s.ramps, a, w) <= effective(&first.ramps, a, w));
                let strength = |s: &ControlState| s.killed(a, w).map_or(0, |k| if k.drain { 1 } else { 2 });
                prop_assert!(strength(&s) >= strength(&first));
            }
            for k in QuotaKind::ALL { prop_assert!(s.quotas.get(k).granted <= first.quotas.get(k).granted); }
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
            prop_assert!(s.clock_doubted());
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
            prop_assert_eq!(profile::name_of(&s), profile::name_of(&first));
            for (name, was) in &first.freezes {
                prop_assert!(s.freezes[name].until_us.is_none_or(|u| was.until_us.is_some_and(|w| u >= w)));
            }
            prop_assert!(s.break_glass.is_none() || s.break_glass == first.break_glass);
        }

        /// SPEC invariant 3 and DESIGN, Command: what may be kept for a node that is offline makes nothing looser there.
        #[test]
        fn what_needs_no_base_never_loosens(start in proptest::collection::vec(operations(), 0..12), op in operations()) {
            let mut s = ControlState::default();
            for op in &start { s = s.after(op); }
            let new_rule = matches!(&op, Operation::RampCap { selector, .. } if !s.ramps.contains_key(selector));
            // A state that this version cannot read makes everything a loosening.
            if op.is_absolute() && !new_rule && !s.newer {
                prop_assert_eq!(of_change(&s, &s.after(&op)), ChangeClass::Tighten, "{:?}", op);
            }
        }

        /// SPEC invariant 3: tighten commands commute.
        #[test]
        fn caps_commute(start in proptest::collection::vec(operations(), 0..10), h1 in 0u16..=10_000, h2 in 0u16..=10_000, sel in selectors()) {
            let mut s = ControlState::default();
            for op in &start { s = s.after(op); }
            let a = Operation::RampCap { selector: sel.clone(), hundredths: h1 };
            let b = Operation::RampCap { selector: sel.clone(), hundredths: h2 };
            prop_assert_eq!(s.after(&a).after(&b).ramps[&sel].hundredths, s.after(&b).after(&a).ramps[&sel].hundredths);
        }
    }

    /// SPEC invariant 3: a more exact rule can loosen without touching the one above it.
    #[test]
    fn a_more_exact_rule_may_loosen() {
        let cap = |s: &str, h| Operation::RampCap { selector: s.parse().unwrap(), hundredths: h };
        let s = ControlState::default().after(&cap("*/etl", 100));
        assert_eq!(of_change(&s, &s.after(&cap("run/etl", 200))), ChangeClass::Loosen);
        assert_eq!(of_change(&s, &s.after(&cap("run/etl", 50))), ChangeClass::Tighten);
        let clear = Operation::RampClear { selector: "*/etl".parse().unwrap() };
        assert_eq!(of_change(&s, &s.after(&clear)), ChangeClass::Loosen);
    }
}
