//! The one fold: control state is what the control facts of a log, in order, make of it.
//!
//! Agent, restart, restore and console all run this and nothing else. It never reads a clock: what time changes becomes
//! a fact before it takes effect. Every map is ordered; the digest is over the encoding in `control/canonical.rs`.

mod apply;
mod canonical;
mod effect;
mod object;

use crate::command::{Operation, ops};
use crate::cost::{RateCard, Reconciled};
use crate::fact::ChangeClass;
use crate::ids::{CommandId, Ident, PersonId, TenantUid, TokenId, unhex};
use crate::operator::OperatorKey;
use crate::policy::LoadedBundle;
use crate::profile::{BreakGlass, Freeze, Profile};
use crate::quota::Quotas;
use crate::ramp::{Kill, Ramp, Selector, effective};
use crate::slo::{Plan, Thresholds};
use crate::untrusted::UntrustedText;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A workload's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// What it is for.
    pub name: Ident,
    /// SHA-256 of its secret, in hex.
    pub secret_sha256: String,
    /// Shut out.
    pub revoked: bool,
}

/// A change that waits for other persons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Index of the receipt that put it on record.
    pub index: u64,
    /// The change, as in [`Operation::to_list`].
    pub change: Vec<String>,
    /// Class as computed when it was asked for.
    pub class: ChangeClass,
    /// Who asked.
    pub person: PersonId,
    /// SHA-256 of the command's exact text, hex.
    pub digest: String,
    /// Size of the node's log then: keys and roles that are younger cannot approve it.
    pub node_size: u64,
    /// Approvals by others that it takes.
    pub needed: u64,
    /// When it ends, microseconds since the Unix epoch.
    pub expires_at_us: u64,
    /// Who approved, with which key.
    pub approvals: BTreeMap<PersonId, String>,
}

/// A change that waits for its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Index of the proposal.
    pub index: u64,
    /// The change, as in [`Operation::to_list`].
    pub change: Vec<String>,
    /// Who.
    pub person: PersonId,
    /// Who approved it, where it took more than one person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<PersonId>,
}

/// An incident that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// A word.
    pub cause: Ident,
    /// Index of the receipt that opened it.
    pub index: u64,
    /// Receipt time, microseconds since the Unix epoch.
    pub since_us: u64,
    /// When it began, as far as is known, microseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_us: Option<u64>,
    /// When it was noticed, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detected_us: Option<u64>,
    /// Indices of the receipts that prove it, in its log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<u64>,
    /// Who looks after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledged>,
}

/// Somebody looks after an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Who, last.
    pub person: PersonId,
    /// Receipt time, microseconds since the Unix epoch.
    pub at_us: u64,
    /// What they said.
    pub comment: UntrustedText,
}

/// Two persons said what the time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeConfirmed {
    /// Receipt time: it may be ahead, since receipt times never go back.
    pub logged_us: u64,
    /// The time that was confirmed, microseconds since the Unix epoch.
    pub said_us: u64,
}

/// A plan that is carried on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanState {
    /// Its one text; see [`Plan`].
    pub steps: String,
    /// Number of the step where it stands, from 0.
    pub at: u64,
    /// Revision of the control state that set it.
    pub revision: u64,
}

impl PlanState {
    /// Read back.
    pub fn plan(&self) -> Option<Plan> {
        self.steps.parse().ok()
    }
}

/// Where a fact stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Index in its log.
    pub index: u64,
    /// Receipt time, microseconds since the Unix epoch.
    pub time_us: u64,
}

/// Control state of one log: a tenant's, or the node's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ControlState {
    /// Display id.
    pub name: Option<Ident>,
    /// Counts the changes that took effect.
    pub revision: u64,
    /// Index of the last fact folded, if any.
    pub last: Option<u64>,
    /// A kind or operation occurred that this program does not know: what it shows may be incomplete.
    pub newer: bool,
    /// Quotas.
    pub quotas: Quotas,
    /// Ramps.
    pub ramps: BTreeMap<Selector, Ramp>,
    /// Kill switches.
    pub kills: BTreeMap<Selector, Kill>,
    /// The catalog.
    pub workflows: BTreeSet<Ident>,
    /// Pinned prompts of workflow types, SHA-256 in hex.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prompts: BTreeMap<Ident, String>,
    /// Tokens, by id in hex.
    pub tokens: BTreeMap<String, Token>,
    /// Local users let in.
    pub peers: BTreeSet<u32>,
    /// Proposals without effect yet, by command id in hex.
    pub pending: BTreeMap<String, Pending>,
    /// Changes that wait for other persons, by command id in hex.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, Request>,
    /// Commands carried out, by person and command id, with the time they expire. Forgotten after that.
    pub commands: BTreeMap<String, u64>,
    /// Open incidents, by id in hex.
    pub incidents: BTreeMap<String, Incident>,
    /// Staged plans that are carried on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plans: BTreeMap<Selector, PlanState>,
    /// What ramps are held to, where it is not the default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slos: BTreeMap<Selector, Thresholds>,
    /// The lowest value a rule was rolled back from: it goes there or above by an override only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bad: BTreeMap<Selector, u16>,
    /// Node log only: operators' keys, by minisign key id.
    pub operators: BTreeMap<String, OperatorKey>,
    /// Node log only: bootstrap is over.
    pub bootstrap_closed: bool,
    /// Node log only: the signer's public key.
    pub signer_key: Option<String>,
    /// Node log only: the last time that two persons confirmed the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_confirmed: Option<TimeConfirmed>,
    /// Node log only: the key whose bundles are believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_key: Option<String>,
    /// Node log only: the bundle that was loaded last; the one built in when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<LoadedBundle>,
    /// Node log only: tenants, by uid in hex.
    pub tenants: BTreeMap<String, TenantEntry>,
    /// Node log only: policy profiles. `default` exists without standing here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<Ident, Profile>,
    /// Node log only: windows that are open, by profile and name, with the end that was foreseen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub active_windows: BTreeMap<Ident, BTreeMap<Ident, Option<u64>>>,
    /// The profile that governs this log; `default` when none was assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Ident>,
    /// Freezes that were set on the spot, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub freezes: BTreeMap<Ident, Freeze>,
    /// Break-glass, while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
    /// When each person opened break-glass alone, receipt times of the newest day.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub opened_alone: BTreeMap<PersonId, Vec<u64>>,
    /// Adjustments of usage that took effect.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub corrections: u64,
    /// Months whose cost was compared with an invoice, as `2026-10`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reconciled: BTreeMap<String, Reconciled>,
    /// How often each sink was told to deliver its dead letters again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sink_replays: BTreeMap<Ident, u64>,
    /// Node log only: the key whose rate cards are believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_key: Option<String>,
    /// Node log only: rate cards, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_cards: Vec<RateCard>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form serde asks for
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A tenant as the node log knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantEntry {
    /// Display id.
    pub name: Ident,
    /// Epoch of its log.
    pub epoch: u64,
}

/// Cause of the incident that a step of the wall clock opens in the node's log.
pub const CLOCK: &str = "clock";
/// The cause of a rollback that says nothing about the revision.
pub const PLATFORM: &str = "platform";

/// The key of [`ControlState::commands`].
pub fn command_key(person: PersonId, command: CommandId) -> String {
    format!("{person}/{command}")
}

impl ControlState {
    /// The wall clock was stepped, and nobody has confirmed the time since: SPEC, Time. Asked of the node's state.
    pub fn clock_doubted(&self) -> bool {
        self.incidents.values().any(|i| i.cause.as_str() == CLOCK)
    }

    /// What a rule is held to.
    pub fn thresholds(&self, selector: &Selector) -> Thresholds {
        self.slos.get(selector).copied().unwrap_or_default()
    }

    /// True when this operation would take something to where it was rolled back from, or above, or plans to.
    pub fn raises_bad(&self, op: &Operation) -> bool {
        if self.bad.is_empty() || matches!(op, Operation::RampOverride(_)) {
            return false;
        }
        let mut after = self.after(op);
        if let Operation::PlanSet(ops::PlanSet { selector, plan }) = op
            && let Some(last) = plan.steps().last()
        {
            after.set_ramp(selector.clone(), last.hundredths);
        }
        let keys = || self.ramps.keys().chain(after.ramps.keys()).chain(self.bad.keys());
        // "*" is no identifier, so it stands for what no rule names.
        let axis = |part: fn(&Selector) -> Option<&str>| -> BTreeSet<&str> {
            keys().filter_map(part).chain(["*"]).collect()
        };
        let actions = axis(|s| s.action.as_ref().map(Ident::as_str));
        let workflows = axis(|s| s.workflow.as_ref().map(Ident::as_str));
        self.bad.iter().any(|(s, bad)| {
            let points = actions.iter().flat_map(|a| workflows.iter().map(move |w| (*a, *w)));
            points.filter(|(a, w)| s.covers(a, w)).any(|(a, w)| {
                let then = effective(&after.ramps, a, w);
                then >= *bad && then > effective(&self.ramps, a, w)
            })
        })
    }

    /// The strictest kill switch that covers a request: `None`, drain, or full.
    pub fn killed(&self, action: &str, workflow: &str) -> Option<Kill> {
        let mut found = None;
        for (s, k) in &self.kills {
            if s.covers(action, workflow) {
                if !k.drain {
                    return Some(*k);
                }
                found = Some(*k);
            }
        }
        found
    }

    /// Whether a run of a workflow type may declare this prompt, or none.
    pub fn prompt_fits(&self, workflow: &Ident, declared: Option<&[u8; 32]>) -> bool {
        self.prompts.get(workflow).is_none_or(|pinned| declared == unhex::<32>(pinned).as_ref())
    }

    /// A tenant of this node by its display id. Node log only.
    pub fn tenant_named(&self, name: &Ident) -> Option<TenantUid> {
        self.tenants.iter().find(|(_, t)| t.name == *name).and_then(|(uid, _)| uid.parse().ok())
    }

    /// All keys of a person, revoked ones too. Node log only.
    pub fn keys_of(&self, person: PersonId) -> impl Iterator<Item = &OperatorKey> {
        self.operators.values().filter(move |k| k.person == person)
    }

    /// An operator's key that may sign now, by its minisign key id. Node log only.
    pub fn operator(&self, key_id: &str) -> Option<&OperatorKey> {
        self.operators.get(key_id).filter(|k| k.live())
    }

    /// Persons who have a role on the whole node and a key that may sign. Node log only.
    pub fn persons_with(&self, role: &str) -> BTreeSet<PersonId> {
        let live = self.operators.values().filter(|k| k.live() && k.has_role(role, TenantUid::NODE));
        live.map(|k| k.person).collect()
    }

    /// A token that is valid now.
    pub fn live_token(&self, id: TokenId) -> Option<&Token> {
        self.tokens.get(&id.to_string()).filter(|t| !t.revoked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Listed;
    use crate::fact::ControlFact;
    use crate::fact::{Abandoned, ChangeClass, Changed, Effective, LogOpened, Proposed};
    use crate::ids::hex;
    use crate::untrusted::UntrustedText;

    fn change(op: &Operation) -> Listed<String> {
        Listed(op.to_list())
    }
    fn proposed(n: u8, op: &Operation) -> ControlFact {
        ControlFact::Proposed(Proposed {
            change: change(op),
            before: Listed(vec![]),
            after: Listed(vec![]),
            class: ChangeClass::Loosen,
            person: PersonId([1; 16]),
            why: UntrustedText::new("why"),
            command_id: CommandId([n; 16]),
            expires_at_us: 50,
            text: vec![],
            signature: String::new(),
        })
    }
    fn changed(n: u8, op: &Operation) -> ControlFact {
        let ControlFact::Proposed(p) = proposed(n, op) else { unreachable!() };
        ControlFact::Changed(Changed {
            change: p.change,
            before: p.before,
            after: p.after,
            class: ChangeClass::Tighten,
            person: p.person,
            why: p.why,
            command_id: p.command_id,
            expires_at_us: p.expires_at_us,
            text: p.text,
            signature: p.signature,
        })
    }
    fn set(h: u16) -> Operation {
        Operation::RampSet(ops::RampSet { selector: "*/etl".parse().unwrap(), hundredths: h })
    }
    fn golden() -> Vec<ControlFact> {
        let tenant = Ident::new("acme").unwrap();
        vec![
            ControlFact::LogOpened(LogOpened { reason: "created".into(), name: tenant, cites: None }),
            proposed(
                1,
                &Operation::WorkflowRegister(ops::WorkflowRegister { workflow: Ident::new("etl").unwrap() }),
            ),
            ControlFact::Effective(Effective {
                command_id: CommandId([1; 16]),
                proposal: 1,
                checkpoint_size: 2,
                checkpoint_root: [0; 32],
            }),
            changed(2, &set(1000)),
            proposed(3, &set(5000)),
            ControlFact::Abandoned(Abandoned {
                command_id: CommandId([3; 16]),
                proposal: 4,
                why: "checkpoint_timeout".into(),
            }),
            changed(4, &Operation::KillSet(ops::KillSet { selector: "*/*".parse().unwrap(), drain: true })),
        ]
    }
    fn fold(facts: &[ControlFact]) -> ControlState {
        let mut s = ControlState::default();
        for (i, f) in facts.iter().enumerate() {
            s.apply(At { index: i as u64, time_us: 10 + i as u64 }, f);
        }
        s
    }

    /// DESIGN, One idea: golden logs fold to the same digest for ever.
    #[test]
    fn the_golden_log_folds_to_its_digest() {
        insta::assert_snapshot!("golden-fold-digest", hex(&fold(&golden()).digest()));
        insta::assert_snapshot!("golden-fold-state", serde_json::to_string_pretty(&fold(&golden())).unwrap());
    }

    /// SPEC invariant 3: a proposal has no effect, neither before nor after it was abandoned.
    #[test]
    fn proposals_have_no_effect() {
        let mut s = fold(&golden()[..4]);
        let before = s.ramps.clone();
        s.apply(At { index: 4, time_us: 20 }, &proposed(3, &set(5000)));
        assert_eq!(s.ramps, before);
        let ControlFact::Abandoned(a) = golden()[5].clone() else { unreachable!() };
        s.apply(At { index: 5, time_us: 21 }, &ControlFact::Abandoned(a));
        assert_eq!(s.ramps, before);
        assert!(s.pending.is_empty());
        let effective = ControlFact::Effective(Effective {
            command_id: CommandId([3; 16]),
            proposal: 4,
            checkpoint_size: 5,
            checkpoint_root: [0; 32],
        });
        s.apply(At { index: 6, time_us: 22 }, &effective);
        assert_eq!(s.ramps, before, "effective without a proposal does nothing");
    }

    /// Issue 3, Operators and commands: a command id is remembered until it expires.
    #[test]
    fn commands_are_remembered_until_they_expire() {
        let mut s = fold(&golden());
        assert!(s.commands.contains_key(&command_key(PersonId([1; 16]), CommandId([2; 16]))));
        s.apply(At { index: 9, time_us: 51 }, &changed(9, &set(10)));
        assert_eq!(s.commands.len(), 1);
    }

    /// SPEC 3.3: a freeze on the spot only grows, break-glass is never prolonged, and a window that is removed or replaced
    /// is no longer open.
    #[test]
    fn freezes_grow_and_the_glass_does_not() {
        let ident = |t: &str| Ident::new(t).unwrap();
        let set = |until_us| Operation::FreezeSet(ops::FreezeSet { freeze: ident("now"), until_us });
        let mut s = ControlState::default().after(&set(Some(9))).after(&set(Some(5)));
        assert_eq!(s.freezes[&ident("now")].until_us, Some(9));
        s = s.after(&set(None)).after(&set(Some(50)));
        assert_eq!(s.freezes[&ident("now")].until_us, None);
        let open = |n: u8, minutes| {
            Operation::BreakGlassOpen(ops::BreakGlassOpen {
                grant: crate::ids::GrantId([n; 16]),
                ticket: "INC-1".into(),
                minutes,
            })
        };
        s = s.after(&open(1, 5)).after(&open(2, 60)).after(&open(1, 60));
        let glass = s.break_glass.clone().unwrap();
        assert_eq!((glass.grant.0[0], glass.minutes), (1, 5));
        s.freezes.clear();
        let window = |when: &str| {
            Operation::ProfileWindow(ops::ProfileWindow {
                profile: ident("default"),
                window: ident("w"),
                when: when.parse().unwrap(),
            })
        };
        let friday = window("weekly fri 18:00 for 62h00m Europe/Berlin");
        s = s.after(&friday);
        let began =
            crate::fact::FreezeBegan { profile: ident("default"), window: ident("w"), until_us: None };
        s.apply(At { index: 1, time_us: 1 }, &ControlFact::FreezeBegan(began));
        assert_eq!(s.after(&friday).active_windows, s.active_windows, "the same again changes nothing");
        assert!(s.after(&window("weekly mon 18:00 for 1h00m UTC")).active_windows.is_empty());
        let unwindow = Operation::ProfileUnwindow(ops::ProfileUnwindow {
            profile: ident("default"),
            window: ident("w"),
        });
        assert!(!crate::profile::forbids(&s, &s, &unwindow), "a freeze does not keep itself");
        assert!(crate::profile::forbids(&s, &s, &set(None)), "whatever else loosens");
        assert!(s.after(&unwindow).active_windows.is_empty());
    }

    /// SPEC invariant 3: a revoked token stays revoked, whatever is issued later.
    #[test]
    fn revoked_stays_revoked() {
        let token = TokenId([4; 16]);
        let issue = Operation::TokenIssue(ops::TokenIssue {
            token,
            name: Ident::new("t").unwrap(),
            secret_sha256: [1; 32],
        });
        let mut s = ControlState::default();
        for op in [issue.clone(), Operation::TokenRevoke(ops::TokenRevoke { token }), issue] {
            s = s.after(&op);
        }
        assert!(s.live_token(token).is_none());
    }
}
