//! Control state, folded from the control facts of a log in order.
//!
//! The agent (also at restart and restore) and the console all use this one fold. It never reads a clock: anything that
//! time changes becomes a fact first. Every map is ordered; the digest is over the encoding in `control/canonical.rs`.

mod apply;
mod canonical;
mod effect;
mod limits;
mod object;
pub(crate) mod points;
pub mod profiles;
mod redelivery;
mod snapshot;

pub use redelivery::{Redeliveries, Redelivery};

pub use canonical::{MAX_STATE, StateError};
pub use limits::{LIMITS, Limit};
pub use snapshot::{FoldError, NoSnapshot};

use crate::basis_points::BasisPoints;
use crate::cause::{Cause, IncidentCause};
use crate::command::{Operation, ops};
use crate::cost::{RateCard, Reconciled};
use crate::fact::ChangeClass;
use crate::ids::{CommandId, Digest, Ident, IncidentId, KeyId, PersonId, TenantUid, TokenId};
use crate::operator::{OperatorKey, Role};
use crate::policy::LoadedBundle;
use crate::profile::{BreakGlass, Freeze, Profile};
use crate::quota::Quotas;
use crate::ramp::{Kill, Ramp, Selector, covering, effective};
use crate::slo::{Plan, Thresholds};
use crate::words::text_schema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A workload's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Token {
    /// Name that an operator gave it.
    pub name: Ident,
    /// SHA-256 of its secret.
    pub secret_sha256: Digest,
    /// It no longer proves anything, and never will again.
    pub revoked: bool,
}

/// A change that waits for approvals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Request {
    /// Index of the receipt that put it on record.
    pub index: u64,
    /// The change, as in [`Operation::to_list`], without its comment.
    pub change: Vec<String>,
    /// Class as computed when it was asked for.
    pub class: ChangeClass,
    /// Who asked.
    pub person: PersonId,
    /// SHA-256 of the command's exact text.
    pub digest: Digest,
    /// Size of the node's log at that time. Keys and roles granted later cannot approve it.
    pub node_size: u64,
    /// Number of approvals by other persons that it needs.
    pub needed: u64,
    /// When it ends, microseconds since the Unix epoch.
    pub expires_at_us: u64,
    /// Who approved, with which key.
    pub approvals: BTreeMap<PersonId, KeyId>,
}

/// A change that waits for its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Pending {
    /// Index of the proposal.
    pub index: u64,
    /// The change, as in [`Operation::to_list`], without its comment.
    pub change: Vec<String>,
    /// Who.
    pub person: PersonId,
    /// SHA-256 of the command's exact text.
    pub digest: Digest,
    /// Who approved it, where it took more than one person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<PersonId>,
    /// The key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
}

/// An incident that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Incident {
    /// Why it was opened.
    pub cause: Cause<IncidentCause>,
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
    /// Who acknowledged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledged>,
    /// Who opened break-glass alone, where this asks others to review that: they cannot close it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_of: Option<PersonId>,
}

/// An acknowledgement of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Acknowledged {
    /// Who acknowledged it last.
    pub person: PersonId,
    /// Receipt time, microseconds since the Unix epoch.
    pub at_us: u64,
    /// Index of the receipt, which has their comment.
    pub receipt: u64,
}

/// A time that two persons confirmed after the clock was stepped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TimeConfirmed {
    /// Receipt time: it may be ahead, since receipt times never go back.
    pub logged_us: u64,
    /// The time that was confirmed, microseconds since the Unix epoch.
    pub said_us: u64,
}

/// A staged plan in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlanState {
    /// Its one text; see [`Plan`].
    pub steps: String,
    /// Index of the current step, from 0.
    pub at: u64,
    /// Revision of the control state that set it.
    pub revision: u64,
    /// The key that signed it. It goes on while that key may sign it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
}

impl PlanState {
    /// Read back.
    pub fn plan(&self) -> Option<Plan> {
        self.steps.parse().ok()
    }
}

/// Objects whose last revision is kept. Of others it is only known that they changed no later than all of these: a
/// command about one of them has to be signed again when one more is forgotten.
pub const MAX_OBJECTS: usize = 1_024;

/// Position of a fact in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Index in its log.
    pub index: u64,
    /// Receipt time, microseconds since the Unix epoch.
    pub time_us: u64,
}

/// Control state of one log: a tenant's, or the node's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ControlState {
    /// Display id.
    pub name: Option<Ident>,
    /// Counts the changes that took effect.
    pub revision: u64,
    /// Index of the last fact folded, if any.
    pub last: Option<u64>,
    /// The log holds a fact or an operation that this program does not know, so this state may be incomplete.
    pub newer: bool,
    /// Quotas.
    pub quotas: Quotas,
    /// Ramps.
    pub ramps: BTreeMap<Selector, Ramp>,
    /// Kill switches.
    pub kills: BTreeMap<Selector, Kill>,
    /// The catalog.
    pub workflows: BTreeSet<Ident>,
    /// Pinned prompts of workflow types, SHA-256.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prompts: BTreeMap<Ident, Digest>,
    /// Tokens.
    pub tokens: BTreeMap<TokenId, Token>,
    /// Local users let in.
    pub peers: BTreeSet<u32>,
    /// Proposals without effect yet.
    pub pending: BTreeMap<CommandKey, Pending>,
    /// Changes that wait for other persons.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<CommandKey, Request>,
    /// Commands carried out, with the time they expire. Forgotten once the clock that judges commands is past that.
    pub commands: BTreeMap<CommandKey, u64>,
    /// The revision of this state that changed an object last, by [`Operation::object`]: of the objects that changed last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<String, u64>,
    /// What stands for the revision of all other objects.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub objects_before: u64,
    /// Open incidents.
    pub incidents: BTreeMap<IncidentId, Incident>,
    /// Staged plans in progress.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plans: BTreeMap<Selector, PlanState>,
    /// SLO thresholds that were set, by rule.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slos: BTreeMap<Selector, Thresholds>,
    /// The lowest value each rule was rolled back from. Only an override lets it reach that value again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bad: BTreeMap<Selector, BasisPoints>,
    /// Node log only: operators' keys.
    pub operators: BTreeMap<KeyId, OperatorKey>,
    /// Node log only: bootstrap is over.
    pub bootstrap_closed: bool,
    /// Node log only: the signer's public key.
    pub signer_key: Option<String>,
    /// Node log only: the last time that two persons confirmed the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_confirmed: Option<TimeConfirmed>,
    /// Node log only: the public key that policy bundles must be signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_key: Option<String>,
    /// Node log only: the bundle that was loaded last; the one built in when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<LoadedBundle>,
    /// Node log only: tenants.
    pub tenants: BTreeMap<TenantUid, TenantEntry>,
    /// Node log only: policy profiles. `default` exists even if it is not listed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<Ident, Profile>,
    /// Node log only: open freeze windows by profile and name, with their expected end.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub active_windows: BTreeMap<Ident, BTreeMap<Ident, Option<u64>>>,
    /// The profile that governs this log; `default` when none was assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Ident>,
    /// Ad hoc freezes, by name.
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
    /// Number of replays of dead letters that were asked for, by sink.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sink_replays: BTreeMap<Ident, u64>,
    /// The newest ranges of receipts that were ordered to be delivered again, by sink, oldest first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sink_redeliveries: BTreeMap<Ident, Redeliveries>,
    /// Node log only: the public key that rate cards must be signed with.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TenantEntry {
    /// Display id.
    pub name: Ident,
    /// Epoch of its log.
    pub epoch: u64,
}

/// A command of a person, which counts once. Written `<person>/<command>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommandKey {
    /// Who signed it.
    pub person: PersonId,
    /// Its id.
    pub command: CommandId,
}

impl Serialize for CommandKey {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{}/{}", self.person, self.command))
    }
}
impl<'de> Deserialize<'de> for CommandKey {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        let key = || {
            let (person, command) = text.split_once('/')?;
            Some(Self { person: person.parse().ok()?, command: command.parse().ok()? })
        };
        key().ok_or_else(|| serde::de::Error::custom("expected <person>/<command>"))
    }
}

text_schema!(CommandKey, "^[0-9a-f]{32}/[0-9a-f]{32}$", "A person and a command of theirs");

impl ControlState {
    /// True on the node log while the wall clock was stepped and nobody has confirmed the time (SPEC, Time).
    pub fn clock_doubted(&self) -> bool {
        self.incidents.values().any(|i| i.cause == IncidentCause::Clock)
    }

    /// SLO thresholds of a rule.
    pub fn thresholds(&self, selector: &Selector) -> Thresholds {
        self.slos.get(selector).copied().unwrap_or_default()
    }

    /// True when this operation, or the plan it sets, would raise a ramp to a value it was rolled back from.
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
        points::points(self, &after, &self.bad).into_iter().any(|(a, w)| {
            let then = effective(&after.ramps, a, w);
            let bad = self.bad.iter().filter(|(s, _)| s.covers(a, w)).map(|(_, b)| *b).min();
            bad.is_some_and(|bad| then >= bad) && then > effective(&self.ramps, a, w)
        })
    }

    /// Revision of this state that changed the object of an operation last, as far as it is known.
    pub fn object_revision(&self, op: &Operation) -> u64 {
        self.objects.get(&op.object()).copied().unwrap_or(self.objects_before)
    }

    /// The request that somebody answers: by the id of its command and the digest of its exact text, since ids of different
    /// persons may be alike. No two requests that wait have the same text.
    pub fn request_meant(&self, command: CommandId, digest: &[u8; 32]) -> Option<(CommandKey, &Request)> {
        let mut found = self.requests.iter().filter(|(k, r)| k.command == command && r.digest.0 == *digest);
        found.next().map(|(k, r)| (*k, r))
    }

    /// The strictest kill switch that covers a request: `None`, drain, or full.
    pub fn killed(&self, action: &str, workflow: &str) -> Option<Kill> {
        covering(&self.kills, action, workflow).map(|(_, k)| *k).min_by_key(|k| k.drain)
    }

    /// Whether a run of a workflow type may declare this prompt, or none.
    pub fn prompt_fits(&self, workflow: &Ident, declared: Option<&[u8; 32]>) -> bool {
        self.prompts.get(workflow).is_none_or(|pinned| declared == Some(&pinned.0))
    }

    /// A tenant of this node by its display id. Node log only.
    pub fn tenant_named(&self, name: &Ident) -> Option<TenantUid> {
        self.tenants.iter().find(|(_, t)| t.name == *name).map(|(uid, _)| *uid)
    }

    /// All keys of a person, revoked ones too. Node log only.
    pub fn keys_of(&self, person: PersonId) -> impl Iterator<Item = &OperatorKey> {
        self.operators.values().filter(move |k| k.person == person)
    }

    /// An operator's key that may sign now, by its minisign key id. Node log only.
    pub fn operator(&self, key: KeyId) -> Option<&OperatorKey> {
        self.operators.get(&key).filter(|k| k.live())
    }

    /// Persons who have a role on the whole node and a key that may sign. Node log only.
    pub fn persons_with(&self, role: Role) -> BTreeSet<PersonId> {
        let live = self.operators.values().filter(|k| k.live() && k.has_role(role, TenantUid::NODE));
        live.map(|k| k.person).collect()
    }

    /// A token that is valid now.
    pub fn live_token(&self, id: TokenId) -> Option<&Token> {
        self.tokens.get(&id).filter(|t| !t.revoked)
    }
}

#[cfg(test)]
mod tests;
