//! A tenant's configuration: the part of its control state that can be compared between revisions and rolled back
//! (SPEC 4.1). Tokens, peers, plans, freezes and incidents are not part of it.

use crate::basis_points::percent;
use crate::command::{Operation, ops};
use crate::control::ControlState;
use crate::control::profiles;
use crate::quota::QuotaKind;
use crate::slo::Thresholds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings in words, by name. A setting that was never changed may be absent.
pub type Config = BTreeMap<String, String>;

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Difference {
    /// What: `ramp run/etl`, `quota step_rate`.
    pub name: String,
    /// What it was; `None` where it was not set.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

/// Configuration of a state, in words.
pub fn config(s: &ControlState) -> Config {
    let mut c = Config::new();
    let mut put = |name: String, value: String| drop(c.insert(name, value));
    for &kind in QuotaKind::ALL {
        put(format!("quota {}", kind.as_str()), s.quotas.get(kind).limit.to_string());
    }
    for (rule, r) in &s.ramps {
        put(format!("ramp {rule}"), percent(r.hundredths));
    }
    for (rule, k) in &s.kills {
        put(format!("kill {rule}"), if k.drain { "drain".into() } else { "kill".into() });
    }
    for w in &s.workflows {
        put(format!("workflow {w}"), "registered".into());
    }
    for (w, p) in &s.prompts {
        put(format!("prompt {w}"), p.to_string());
    }
    for (rule, t) in s.slos.iter().filter(|(_, t)| **t != Thresholds::default()) {
        let words = format!(
            "errors {}, p99 {} us, backlog {}, at least {}",
            percent(t.errors_hundredths),
            t.p99_us,
            t.backlog,
            t.min_settled
        );
        put(format!("slo {rule}"), words);
    }
    put("profile".into(), profiles::name_of(s).to_owned());
    c
}

/// What differs, in order of name.
pub fn differences(before: &Config, after: &Config) -> Vec<Difference> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let each = names.into_iter().map(|n| (n, before.get(n).cloned(), after.get(n).cloned()));
    each.filter(|(_, b, a)| b != a)
        .map(|(n, before, after)| Difference { name: n.clone(), before, after })
        .collect()
}

/// The operations that turn the configuration of `now` into that of `then`, in an order that can be applied. Empty when
/// they are the same.
pub fn way_back(now: &ControlState, then: &ControlState) -> Vec<Operation> {
    let mut ops = Vec::new();
    let retire = now.workflows.difference(&then.workflows).cloned();
    ops.extend(retire.map(|workflow| Operation::WorkflowRetire(ops::WorkflowRetire { workflow })));
    let register = then.workflows.difference(&now.workflows).cloned();
    ops.extend(register.map(|workflow| Operation::WorkflowRegister(ops::WorkflowRegister { workflow })));
    for (workflow, prompt) in &then.prompts {
        // To retire a workflow type takes its prompt with it.
        let retired = now.workflows.contains(workflow) && !then.workflows.contains(workflow);
        if retired || now.prompts.get(workflow) != Some(prompt) {
            let prompt_sha256 = prompt.0;
            ops.push(Operation::WorkflowPin(ops::WorkflowPin { workflow: workflow.clone(), prompt_sha256 }));
        }
    }
    for &kind in QuotaKind::ALL {
        let (n, t) = (now.quotas.get(kind), then.quotas.get(kind));
        if n != t {
            ops.push(Operation::QuotaSet(ops::QuotaSet { kind, limit: t.limit }));
        }
    }
    for (selector, t) in &then.ramps {
        if now.ramps.get(selector).map(|n| n.hundredths) != Some(t.hundredths) {
            ops.push(Operation::RampSet(ops::RampSet {
                selector: selector.clone(),
                hundredths: t.hundredths,
            }));
        }
    }
    for (selector, t) in &then.kills {
        if now.kills.get(selector) != Some(t) {
            ops.push(Operation::KillSet(ops::KillSet { selector: selector.clone(), drain: t.drain }));
        }
    }
    for selector in now.slos.keys().chain(then.slos.keys()).collect::<std::collections::BTreeSet<_>>() {
        let thresholds = then.thresholds(selector);
        if now.thresholds(selector) != thresholds {
            ops.push(Operation::SloSet(ops::SloSet { selector: selector.clone(), thresholds }));
        }
    }
    let gone = |now: Vec<&crate::ramp::Selector>, is: &dyn Fn(&crate::ramp::Selector) -> bool| {
        now.into_iter().filter(|s| !is(s)).cloned().collect::<Vec<_>>()
    };
    let ramps = gone(now.ramps.keys().collect(), &|s| then.ramps.contains_key(s));
    ops.extend(ramps.into_iter().map(|selector| Operation::RampClear(ops::RampClear { selector })));
    let kills = gone(now.kills.keys().collect(), &|s| then.kills.contains_key(s));
    ops.extend(kills.into_iter().map(|selector| Operation::KillClear(ops::KillClear { selector })));
    for workflow in now.prompts.keys().filter(|w| !then.prompts.contains_key(*w)) {
        ops.push(Operation::WorkflowUnpin(ops::WorkflowUnpin { workflow: workflow.clone() }));
    }
    if profiles::name_of(now) != profiles::name_of(then)
        && let Ok(profile) = crate::ids::Ident::new(profiles::name_of(then))
    {
        ops.push(Operation::ProfileAssign(ops::ProfileAssign { profile }));
    }
    ops
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basis_points::BasisPoints;
    use crate::change_class::class_of;
    use crate::command::strategies::configurations;
    use crate::fail_closed::Class;
    use proptest::prelude::*;

    proptest! {
        /// SPEC 4.1: going back gives the very configuration of that revision; from there it is nothing to go back to it;
        /// and its class is that of what it changes, however it is called.
        #[test]
        fn the_way_back_leads_there(first in proptest::collection::vec(configurations(), 0..12),
                                    more in proptest::collection::vec(configurations(), 0..12)) {
            let then = first.iter().fold(ControlState::default(), |s, op| s.after(op));
            let now = more.iter().fold(then.clone(), |s, op| s.after(op));
            let changes = way_back(&now, &then);
            prop_assert!(changes.iter().all(|op| op.kind().config));
            if changes.is_empty() {
                prop_assert_eq!(config(&now), config(&then));
                return Ok(());
            }
            let op = Operation::ConfigRollback(ops::ConfigRollback { revision: then.revision, changes });
            prop_assert_eq!(Operation::from_list(&op.to_list()), Some(op.clone()));
            let back = now.after(&op);
            prop_assert_eq!(config(&back), config(&then));
            prop_assert!(way_back(&back, &then).is_empty());
            prop_assert_eq!(back.revision, now.revision + 1, "one change, one revision");
            let raises = then.ramps.iter().any(|(s, r)| now.ramps.get(s).is_some_and(|n| n.hundredths < r.hundredths))
                && now.ramps.len() == 1 && then.ramps.len() == 1;
            prop_assert!(!raises || class_of(&now, &op) == Class::Loosen, "a rollback that raises is loosen");
        }
    }

    /// SPEC 4.1: who is let in is no configuration, and a value that was found bad stays bad.
    #[test]
    fn what_is_never_taken_back() {
        let mut then = ControlState::default();
        then.peers.insert(7);
        let mut now = then.after(&Operation::PeerDeny(ops::PeerDeny { uid: 7 }));
        now.bad.insert("run/etl".parse().unwrap(), BasisPoints::saturating(500));
        assert!(way_back(&now, &then).is_empty());
        let rule: crate::ramp::Selector = "run/etl".parse().unwrap();
        let high = then.after(&Operation::RampSet(ops::RampSet {
            selector: rule.clone(),
            hundredths: BasisPoints::saturating(900),
        }));
        let low =
            Operation::RampSet(ops::RampSet { selector: rule, hundredths: BasisPoints::saturating(100) });
        let now = now.after(&low);
        let op =
            Operation::ConfigRollback(ops::ConfigRollback { revision: 1, changes: way_back(&now, &high) });
        assert!(now.raises_bad(&op));
        assert!(now.after(&op).peers.is_empty());
        let d = differences(&config(&now), &config(&high));
        assert_eq!((d.len(), d[0].name.as_str()), (1, "ramp run/etl"));
        assert_eq!((d[0].before.as_deref(), d[0].after.as_deref()), (Some("1 %"), Some("9 %")));
    }
}
