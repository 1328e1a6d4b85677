//! The one fold: control state is what the control facts of a log, in order, make of it.
//!
//! Agent, restart, restore and console all run this and nothing else. It never reads a clock: what time changes becomes
//! a fact before it takes effect. Every map is ordered, so that the same facts give the same digest everywhere.

use crate::command::Operation;
use crate::cost::{Amounts, MAX_CARDS, RateCard, Reconciled};
use crate::fact::{ChangeClass, ControlFact, Fact};
use crate::ids::{CommandId, Ident, PersonId, TenantUid, TokenId, hex, unhex};
use crate::operator::{OperatorKey, roles_text};
use crate::policy::LoadedBundle;
use crate::profile::{self, BreakGlass, DAY_US, Freeze, Profile, Setting};
use crate::quota::{Grant, Quotas};
use crate::ramp::{HISTORY, Kill, Ramp, Selector, effective};
use crate::shown::Text;
use crate::slo::{Plan, Thresholds};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
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
    pub comment: Text,
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
    /// Folds one fact of this log.
    #[allow(clippy::too_many_lines)] // one arm for each kind of fact
    pub fn apply(&mut self, at: At, fact: &ControlFact) {
        self.last = Some(at.index);
        match fact {
            ControlFact::LogOpened(f) => self.name = Some(f.name.clone()),
            ControlFact::OperatorEnrolled(f) => {
                let Some(id) = crate::checkpoint::key_id(&f.public_key) else {
                    self.newer = true;
                    return;
                };
                let key = OperatorKey {
                    person: f.person,
                    name: f.name.clone(),
                    public_key: f.public_key.clone(),
                    roles: f.roles.0.iter().cloned().collect(),
                    since: at.index,
                    roles_since: None,
                    suspended: false,
                    revoked: None,
                };
                self.operators.insert(id, key);
                self.revision += 1;
            }
            ControlFact::BootstrapClosed(_) => self.bootstrap_closed = true,
            ControlFact::SignerPinned(f) => self.signer_key = Some(f.public_key.clone()),
            ControlFact::TenantCreated(f) => {
                self.tenants.insert(
                    f.tenant_uid.to_string(),
                    TenantEntry { name: f.tenant_id.clone(), epoch: f.epoch },
                );
                self.revision += 1;
            }
            ControlFact::Changed(f) => {
                self.note_command(at, f.person, f.command_id, f.expires_at_us);
                self.requests.remove(&f.command_id.to_string());
                self.take_effect(at.index, &f.change.0);
                if let Some(Operation::IncidentAck { incident, comment }) = Operation::from_list(&f.change.0)
                    && let Some(i) = self.incidents.get_mut(&hex(&incident))
                {
                    i.acknowledged = Some(Acknowledged { person: f.person, at_us: at.time_us, comment });
                }
                if let Some(Operation::TimeConfirm { now_us, .. }) = Operation::from_list(&f.change.0) {
                    self.time_confirmed = Some(TimeConfirmed { logged_us: at.time_us, said_us: now_us });
                }
            }
            ControlFact::Requested(f) => {
                self.note_command(at, f.person, f.command_id, f.expires_at_us);
                let r = Request {
                    index: at.index,
                    change: f.change.0.clone(),
                    class: f.class,
                    person: f.person,
                    digest: hex(&Sha256::digest(&f.text)),
                    node_size: f.node_size,
                    needed: f.needed,
                    expires_at_us: f.expires_at_us,
                    approvals: BTreeMap::new(),
                };
                self.requests.insert(f.command_id.to_string(), r);
            }
            ControlFact::Approved(f) => {
                if let Some(r) = self.requests.get_mut(&f.command_id.to_string()) {
                    r.approvals.insert(f.person, f.key_id.clone());
                }
            }
            ControlFact::RequestClosed(f) => {
                self.requests.remove(&f.command_id.to_string());
            }
            ControlFact::Proposed(f) => {
                self.note_command(at, f.person, f.command_id, f.expires_at_us);
                let request = self.requests.remove(&f.command_id.to_string());
                let approved = request.map_or(vec![], |r| r.approvals.into_keys().collect());
                let p = Pending { index: at.index, change: f.change.0.clone(), person: f.person, approved };
                self.pending.insert(f.command_id.to_string(), p);
            }
            ControlFact::Effective(f) => {
                if let Some(p) = self.pending.remove(&f.command_id.to_string()) {
                    let before = self.break_glass.as_ref().map(|g| g.grant);
                    self.take_effect(at.index, &p.change);
                    self.note_break_glass(at, before, &p);
                }
            }
            ControlFact::FreezeBegan(f) => {
                self.active_windows
                    .entry(f.profile.clone())
                    .or_default()
                    .insert(f.window.clone(), f.until_us);
            }
            ControlFact::FreezeEnded(f) => self.window_closed(&f.profile, &f.window),
            ControlFact::FreezeOver(f) => {
                self.freezes.remove(&f.freeze);
            }
            ControlFact::BreakGlassUsed(f) => {
                if let Some(g) = self.break_glass.as_mut().filter(|g| g.grant == f.grant) {
                    g.used += 1;
                }
            }
            ControlFact::BreakGlassOver(f) => {
                self.break_glass.take_if(|g| g.grant == f.grant);
            }
            ControlFact::Abandoned(f) => {
                self.pending.remove(&f.command_id.to_string());
            }
            ControlFact::IncidentOpened(f) => {
                let i = Incident {
                    cause: f.cause.clone(),
                    index: at.index,
                    since_us: at.time_us,
                    began_us: None,
                    detected_us: None,
                    receipts: vec![],
                    acknowledged: None,
                };
                self.incidents.insert(hex(&f.incident), i);
            }
            ControlFact::IncidentClosed(f) => {
                self.incidents.remove(&hex(&f.incident));
            }
            ControlFact::IncidentEvidence(f) => {
                if let Some(i) = self.incidents.get_mut(&hex(&f.incident)) {
                    i.began_us = Some(f.began_us);
                    i.detected_us = Some(f.detected_us);
                    i.receipts.clone_from(&f.receipts.0);
                }
            }
            ControlFact::RampAdvanced(f) => {
                match (f.selector.parse::<Selector>(), u16::try_from(f.hundredths)) {
                    (Ok(selector), Ok(hundredths)) => self.ramp_advanced(selector, hundredths),
                    _ => self.newer = true,
                }
            }
            ControlFact::RampRolledBack(f) => {
                match (f.selector.parse::<Selector>(), u16::try_from(f.from), u16::try_from(f.to)) {
                    (Ok(s), Ok(from), Ok(to)) => {
                        self.ramp_rolled_back(s, from, to, f.cause.as_str() == PLATFORM);
                    }
                    _ => self.newer = true,
                }
            }
            ControlFact::AgentStarted(_) | ControlFact::CommandDenied(_) => {}
        }
    }

    /// Folds one receipt of this log as it was read: traffic changes nothing, an unknown control kind marks the state.
    pub fn apply_receipt(&mut self, at: At, kind: u16, fact: Option<&Fact>) {
        match fact {
            Some(Fact::Control(f)) => self.apply(at, f),
            Some(Fact::Traffic(_)) => {}
            None if crate::fact::is_control(kind) => {
                self.last = Some(at.index);
                self.newer = true;
            }
            None => {}
        }
    }

    /// What the state would be were this operation to take effect.
    #[must_use]
    pub fn after(&self, op: &Operation) -> Self {
        let mut s = self.clone();
        s.take_effect(self.last.map_or(0, |l| l + 1), &op.to_list());
        s
    }

    fn note_command(&mut self, at: At, person: PersonId, command: CommandId, expires: u64) {
        self.commands.retain(|_, e| *e >= at.time_us);
        self.commands.insert(command_key(person, command), expires);
    }

    fn take_effect(&mut self, index: u64, change: &[String]) {
        let Some(op) = Operation::from_list(change) else {
            self.newer = true;
            return;
        };
        self.revision += 1;
        self.carry_out(index, op);
    }

    #[allow(clippy::too_many_lines)] // one table: each operation and what it does
    fn carry_out(&mut self, index: u64, op: Operation) {
        let card = op.rate_card().and_then(|(text, _)| RateCard::parse(&text).ok());
        match op {
            Operation::ConfigRollback { changes, .. } => {
                for c in changes {
                    self.carry_out(index, c);
                }
            }
            Operation::RampSet { selector, hundredths } => {
                // Whoever sets it by hand takes it out of its plan.
                self.plans.remove(&selector);
                self.set_ramp(selector, hundredths);
            }
            Operation::RampCap { selector, hundredths } => {
                // A cap on a rule that is not there makes it, so that what it covers stays at or below.
                let now = self.ramps.get(&selector).map(|r| r.hundredths);
                if now.is_none_or(|n| n > hundredths) {
                    self.plans.remove(&selector);
                    self.set_ramp(selector, hundredths);
                }
            }
            Operation::RampClear { selector } => {
                self.plans.remove(&selector);
                self.ramps.remove(&selector);
            }
            Operation::SloSet { selector, thresholds } => {
                self.slos.insert(selector, thresholds);
            }
            Operation::PlanSet { selector, plan } => {
                let first = plan.steps().first().map_or(0, |s| s.hundredths);
                self.plans.remove(&selector);
                if plan.steps().len() > 1 {
                    let p = PlanState { steps: plan.to_string(), at: 0, revision: self.revision };
                    self.plans.insert(selector.clone(), p);
                }
                self.set_ramp(selector, first);
            }
            Operation::PlanStop { selector } => {
                self.plans.remove(&selector);
            }
            Operation::RampOverride { selector } => {
                self.bad.remove(&selector);
            }
            // Who acknowledged it, and when, is in the fact and not in the operation.
            Operation::IncidentAck { .. } => {}
            Operation::IncidentClose { incident, .. } => {
                self.incidents.remove(&hex(&incident));
            }
            Operation::TimeConfirm { incident, .. } => {
                self.incidents.remove(&hex(&incident));
            }
            Operation::SignerReplace { public_key } => self.signer_key = Some(public_key),
            Operation::KillSet { selector, drain } => {
                self.kills.insert(selector, Kill { drain });
            }
            Operation::KillClear { selector } => {
                self.kills.remove(&selector);
            }
            Operation::QuotaSet { kind, limit } => *self.quotas.get_mut(kind) = Grant::local(limit),
            Operation::QuotaCap { kind, limit } => {
                let g = self.quotas.get_mut(kind);
                *g = Grant { limit: g.limit.min(limit), granted: g.granted.min(limit) };
            }
            Operation::WorkflowRegister { workflow } => {
                self.workflows.insert(workflow);
            }
            Operation::WorkflowRetire { workflow } => {
                self.workflows.remove(&workflow);
                self.prompts.remove(&workflow);
            }
            Operation::WorkflowPin { workflow, prompt_sha256 } => {
                self.prompts.insert(workflow, hex(&prompt_sha256));
            }
            Operation::WorkflowUnpin { workflow } => {
                self.prompts.remove(&workflow);
            }
            Operation::TokenIssue { token, name, secret_sha256 } => {
                let t = Token { name, secret_sha256: hex(&secret_sha256), revoked: false };
                // A token id is used once: issuing it again must not revive a revoked one.
                self.tokens.entry(token.to_string()).or_insert(t);
            }
            Operation::TokenRevoke { token } => {
                if let Some(t) = self.tokens.get_mut(&token.to_string()) {
                    t.revoked = true;
                }
            }
            Operation::PeerAllow { uid } => {
                self.peers.insert(uid);
            }
            Operation::PeerDeny { uid } => {
                self.peers.remove(&uid);
            }
            Operation::OperatorEnrol { person, name, public_key, roles, .. } => {
                let Some(id) = crate::checkpoint::key_id(&public_key) else { return };
                let key = OperatorKey {
                    person,
                    name,
                    public_key,
                    roles,
                    since: index,
                    roles_since: None,
                    suspended: false,
                    revoked: None,
                };
                // A key is enrolled once: doing it again must not revive a revoked one, or give it to another person.
                self.operators.entry(id).or_insert(key);
            }
            Operation::OperatorRoles { person, roles } => {
                for k in self.keys_of_mut(person) {
                    k.roles.clone_from(&roles);
                    k.roles_since = Some(index);
                }
            }
            Operation::OperatorSuspend { person } => {
                self.keys_of_mut(person).for_each(|k| k.suspended = true);
            }
            Operation::OperatorResume { person } => self.keys_of_mut(person).for_each(|k| {
                k.suspended = false;
                // Whoever comes back cannot approve what was asked for while they were out.
                k.roles_since = Some(index);
            }),
            Operation::OperatorRevoke { key } => {
                if let Some(k) = self.operators.get_mut(&key) {
                    k.revoked.get_or_insert(index);
                }
            }
            Operation::PolicyTrust { public_key } => self.policy_key = Some(public_key),
            Operation::PolicyLoad { statement, .. } => {
                // Revisions only rise, whatever stands in a log.
                if self.policy.as_ref().is_none_or(|p| p.revision < statement.revision) {
                    self.policy = Some(LoadedBundle {
                        revision: statement.revision,
                        digest: hex(&statement.digest),
                        expires_at_us: statement.expires_at_us,
                    });
                }
            }
            Operation::TenantCreate { tenant_uid, tenant_id } => {
                self.tenants
                    .entry(tenant_uid.to_string())
                    .or_insert(TenantEntry { name: tenant_id, epoch: 1 });
            }
            Operation::ProfileCreate { profile } => {
                self.profiles.entry(profile).or_default();
            }
            Operation::ProfileSet { profile, setting } => {
                self.profiles.entry(profile).or_default().set(setting);
            }
            Operation::ProfileWindow { profile, window, when } => {
                let windows = &mut self.profiles.entry(profile.clone()).or_default().windows;
                if windows.get(&window) != Some(&when) {
                    windows.insert(window.clone(), when);
                    // Whether the new one is open is for the next fact to say.
                    self.window_closed(&profile, &window);
                }
            }
            Operation::ProfileUnwindow { profile, window } => {
                if let Some(p) = self.profiles.get_mut(&profile) {
                    p.windows.remove(&window);
                }
                self.window_closed(&profile, &window);
            }
            Operation::ProfileAssign { profile } => self.profile = Some(profile),
            Operation::FreezeSet { freeze, until_us } => {
                let new = Freeze { until_us };
                let f = self.freezes.entry(freeze).or_insert(new);
                if new.lasts(*f) {
                    *f = new;
                }
            }
            Operation::FreezeClear { freeze } => {
                self.freezes.remove(&freeze);
            }
            Operation::BreakGlassOpen { grant, ticket, minutes } => {
                // It is never prolonged: while one is open no other opens.
                self.break_glass.get_or_insert(BreakGlass {
                    grant,
                    ticket,
                    minutes,
                    person: None,
                    alone: false,
                    opened_us: 0,
                    used: 0,
                });
            }
            Operation::BreakGlassClose { grant } => {
                self.break_glass.take_if(|g| g.grant == grant);
            }
            Operation::UsageCorrect { adjustments } => self.corrections += adjustments.len() as u64,
            Operation::SinkReplay { sink } => *self.sink_replays.entry(sink).or_default() += 1,
            Operation::RateTrust { public_key } => self.billing_key = Some(public_key),
            Operation::RateLoad { .. } => {
                // Versions only rise, whatever stands in a log.
                let newest = self.rate_cards.last().map_or(0, |c| c.version);
                if let Some(card) = card.filter(|c| c.version > newest && self.rate_cards.len() < MAX_CARDS) {
                    self.rate_cards.push(card);
                }
            }
            Operation::CostReconcile { month, amounts: [compute, storage, signing], invoice_sha256 } => {
                let total = compute.saturating_add(storage).saturating_add(signing);
                let amounts = Amounts { compute, storage, signing, total };
                let invoice_sha256 = hex(&invoice_sha256);
                self.reconciled.insert(month, Reconciled { amounts, invoice_sha256, index });
            }
        }
    }

    fn window_closed(&mut self, profile: &Ident, window: &Ident) {
        if let Some(open) = self.active_windows.get_mut(profile) {
            open.remove(window);
            if open.is_empty() {
                self.active_windows.remove(profile);
            }
        }
    }

    /// Who opened break-glass, when, and whether alone: what an operation by itself does not say.
    fn note_break_glass(&mut self, at: At, before: Option<crate::ids::GrantId>, p: &Pending) {
        let Some(g) = self.break_glass.as_mut().filter(|g| Some(g.grant) != before) else { return };
        (g.person, g.opened_us, g.alone) = (Some(p.person), at.time_us, p.approved.is_empty());
        if g.alone {
            self.opened_alone.retain(|_, times| {
                times.retain(|t| t / DAY_US == at.time_us / DAY_US);
                !times.is_empty()
            });
            self.opened_alone.entry(p.person).or_default().push(at.time_us);
        }
    }

    fn ramp_advanced(&mut self, selector: Selector, hundredths: u16) {
        self.revision += 1;
        if let Some(p) = self.plans.get_mut(&selector) {
            p.at += 1;
            let last = p.plan().is_none_or(|plan| p.at + 1 >= plan.steps().len() as u64);
            if last {
                self.plans.remove(&selector);
            }
        }
        self.set_ramp(selector, hundredths);
    }

    /// A fault of the platform says nothing about the revision: its plan bakes again where it was healthy last. All
    /// others end the plan, and the value is remembered.
    fn ramp_rolled_back(&mut self, selector: Selector, from: u16, to: u16, platform: bool) {
        self.revision += 1;
        let step = |p: &PlanState| p.plan()?.steps().iter().position(|s| s.hundredths == to);
        match self.plans.get(&selector).and_then(step).filter(|_| platform) {
            Some(at) => self.plans.get_mut(&selector).into_iter().for_each(|p| p.at = at as u64),
            None => drop(self.plans.remove(&selector)),
        }
        if !platform {
            let bad = self.bad.entry(selector.clone()).or_insert(from);
            *bad = from.min(*bad);
        }
        self.set_ramp(selector, to);
    }

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
        if self.bad.is_empty() || matches!(op, Operation::RampOverride { .. }) {
            return false;
        }
        let mut after = self.after(op);
        if let Operation::PlanSet { selector, plan } = op
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

    fn set_ramp(&mut self, selector: Selector, hundredths: u16) {
        let ramp = self.ramps.entry(selector).or_insert(Ramp { hundredths, revision: 0, history: vec![] });
        if ramp.revision > 0 {
            ramp.history.push(ramp.hundredths);
            if ramp.history.len() > HISTORY {
                ramp.history.remove(0);
            }
        }
        ramp.hundredths = hundredths;
        ramp.revision += 1;
    }

    /// The state of one object, as it stands in receipts under `before` and `after`. Empty when it does not exist.
    #[allow(clippy::too_many_lines)] // one table: each operation and its object
    pub fn object(&self, op: &Operation) -> Vec<String> {
        let pair = |k: &str, v: String| vec![k.to_owned(), v];
        match op {
            Operation::RampSet { selector, .. }
            | Operation::RampCap { selector, .. }
            | Operation::RampClear { selector } => self.ramps.get(selector).map_or(vec![], |r| {
                [pair("hundredths", r.hundredths.to_string()), pair("revision", r.revision.to_string())]
                    .concat()
            }),
            Operation::SloSet { selector, .. } => {
                let t = self.thresholds(selector);
                [
                    pair("errors_hundredths", t.errors_hundredths.to_string()),
                    pair("p99_us", t.p99_us.to_string()),
                    pair("backlog", t.backlog.to_string()),
                    pair("min_settled", t.min_settled.to_string()),
                ]
                .concat()
            }
            Operation::PlanSet { selector, .. } | Operation::PlanStop { selector } => {
                let ramp = self.ramps.get(selector).map(|r| pair("hundredths", r.hundredths.to_string()));
                let plan = self
                    .plans
                    .get(selector)
                    .map(|p| [pair("steps", p.steps.clone()), pair("at", p.at.to_string())].concat());
                [ramp.unwrap_or_default(), plan.unwrap_or_default()].concat()
            }
            Operation::RampOverride { selector } => {
                self.bad.get(selector).map_or(vec![], |h| pair("rolled_back_from", h.to_string()))
            }
            Operation::IncidentAck { incident, .. } | Operation::IncidentClose { incident, .. } => {
                self.incidents.get(&hex(incident)).map_or(vec![], |i| pair("cause", i.cause.to_string()))
            }
            // All of it must be as it was shown, what is changed and what is not.
            Operation::ConfigRollback { changes, .. } => {
                let each = changes.iter().flat_map(|c| pair(&c.object(), self.object(c).join(" ")));
                pair("revision", self.revision.to_string()).into_iter().chain(each).collect()
            }
            // What it stands at is no state: a clock is doubted or it is not.
            Operation::TimeConfirm { .. } => pair("doubted", self.clock_doubted().to_string()),
            Operation::SignerReplace { .. } => {
                self.signer_key.as_ref().map_or(vec![], |k| pair("public_key", k.clone()))
            }
            Operation::KillSet { selector, .. } | Operation::KillClear { selector } => {
                self.kills.get(selector).map_or(vec![], |k| pair("drain", k.drain.to_string()))
            }
            Operation::QuotaSet { kind, .. } | Operation::QuotaCap { kind, .. } => {
                let g = self.quotas.get(*kind);
                [pair("limit", g.limit.to_string()), pair("granted", g.granted.to_string())].concat()
            }
            Operation::WorkflowRegister { workflow } | Operation::WorkflowRetire { workflow } => {
                if self.workflows.contains(workflow) { pair("registered", "true".into()) } else { vec![] }
            }
            Operation::WorkflowPin { workflow, .. } | Operation::WorkflowUnpin { workflow } => {
                self.prompts.get(workflow).map_or(vec![], |p| pair("prompt_sha256", p.clone()))
            }
            Operation::TokenIssue { token, .. } | Operation::TokenRevoke { token } => {
                self.tokens.get(&token.to_string()).map_or(vec![], |t| {
                    [pair("name", t.name.to_string()), pair("revoked", t.revoked.to_string())].concat()
                })
            }
            Operation::PeerAllow { uid } | Operation::PeerDeny { uid } => {
                if self.peers.contains(uid) {
                    pair("allowed", "true".into())
                } else {
                    vec![]
                }
            }
            Operation::OperatorEnrol { public_key, .. } => {
                crate::checkpoint::key_id(public_key).map_or(vec![], |id| self.key_object(&id))
            }
            Operation::OperatorRevoke { key } => self.key_object(key),
            Operation::OperatorRoles { person, .. }
            | Operation::OperatorSuspend { person }
            | Operation::OperatorResume { person } => self.keys_of(*person).next().map_or(vec![], |k| {
                [
                    pair("name", k.name.to_string()),
                    pair("roles", roles_text(&k.roles)),
                    pair("suspended", k.suspended.to_string()),
                ]
                .concat()
            }),
            Operation::PolicyTrust { .. } => {
                self.policy_key.as_ref().map_or(vec![], |k| pair("public_key", k.clone()))
            }
            Operation::PolicyLoad { .. } => self.policy.as_ref().map_or(vec![], |p| {
                [
                    pair("revision", p.revision.to_string()),
                    pair("digest", p.digest.clone()),
                    pair("expires_at_us", p.expires_at_us.to_string()),
                ]
                .concat()
            }),
            Operation::TenantCreate { tenant_uid, .. } => {
                self.tenants.get(&tenant_uid.to_string()).map_or(vec![], |t| {
                    [pair("name", t.name.to_string()), pair("epoch", t.epoch.to_string())].concat()
                })
            }
            Operation::ProfileCreate { profile } | Operation::ProfileSet { profile, .. } => {
                profile::profile(self, profile.as_str()).map_or(vec![], |p| {
                    [
                        Setting::BreakGlassAlone(p.break_glass_alone),
                        Setting::PolicyOutage(p.policy_outage),
                        Setting::LastKnownS(p.last_known_s),
                    ]
                    .into_iter()
                    .flat_map(|s| pair(s.name(), s.value()))
                    .collect()
                })
            }
            Operation::ProfileWindow { profile, window, .. }
            | Operation::ProfileUnwindow { profile, window } => {
                let found = self.profiles.get(profile).and_then(|p| p.windows.get(window));
                found.map_or(vec![], |w| pair("when", w.to_string()))
            }
            Operation::ProfileAssign { .. } => pair("profile", profile::name_of(self).to_owned()),
            Operation::FreezeSet { freeze, .. } | Operation::FreezeClear { freeze } => {
                self.freezes.get(freeze).map_or(vec![], |f| {
                    pair("until_us", f.until_us.map_or("none".to_owned(), |u| u.to_string()))
                })
            }
            Operation::SinkReplay { sink } => {
                self.sink_replays.get(sink).map_or(vec![], |n| pair("replays", n.to_string()))
            }
            Operation::UsageCorrect { .. } => pair("corrections", self.corrections.to_string()),
            Operation::RateTrust { .. } => {
                self.billing_key.as_ref().map_or(vec![], |k| pair("public_key", k.clone()))
            }
            Operation::RateLoad { .. } => {
                self.rate_cards.last().map_or(vec![], |c| pair("version", c.version.to_string()))
            }
            Operation::CostReconcile { month, .. } => self.reconciled.get(month).map_or(vec![], |r| {
                [pair("total", r.amounts.total.to_string()), pair("invoice_sha256", r.invoice_sha256.clone())]
                    .concat()
            }),
            Operation::BreakGlassOpen { grant, .. } | Operation::BreakGlassClose { grant } => {
                self.break_glass.as_ref().filter(|g| g.grant == *grant).map_or(vec![], |g| {
                    [pair("ticket", g.ticket.clone()), pair("minutes", g.minutes.to_string())].concat()
                })
            }
        }
    }

    /// Digest of one object's state: the `base` of a command that loosens it.
    pub fn object_digest(&self, op: &Operation) -> [u8; 32] {
        let mut h = Sha256::new();
        h.update(b"conductor/object/v1\0");
        for part in std::iter::once(op.object()).chain(self.object(op)) {
            h.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            h.update(part.as_bytes());
        }
        h.finalize().into()
    }

    /// Digest of the whole state. The same facts give the same digest, in every release.
    pub fn digest(&self) -> [u8; 32] {
        // Ordered maps and a fixed field order make this text canonical; serialising these types cannot fail.
        let text = serde_json::to_vec(self).unwrap_or_default();
        let mut h = Sha256::new();
        h.update(b"conductor/control-state/v1\0");
        h.update(text);
        h.finalize().into()
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

    fn keys_of_mut(&mut self, person: PersonId) -> impl Iterator<Item = &mut OperatorKey> {
        self.operators.values_mut().filter(move |k| k.person == person)
    }

    fn key_object(&self, id: &str) -> Vec<String> {
        self.operators.get(id).map_or(vec![], |k| {
            let state = if k.revoked.is_some() { "revoked" } else { "enrolled" };
            ["name", k.name.as_str(), "person", &k.person.to_string(), "state", state]
                .map(str::to_owned)
                .to_vec()
        })
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
    use crate::fact::{Abandoned, ChangeClass, Changed, Effective, LogOpened, Proposed};
    use crate::shown::Text;

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
            why: Text::new("why"),
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
        Operation::RampSet { selector: "*/etl".parse().unwrap(), hundredths: h }
    }
    fn golden() -> Vec<ControlFact> {
        let tenant = Ident::new("acme").unwrap();
        vec![
            ControlFact::LogOpened(LogOpened { reason: "created".into(), name: tenant, cites: None }),
            proposed(1, &Operation::WorkflowRegister { workflow: Ident::new("etl").unwrap() }),
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
            changed(4, &Operation::KillSet { selector: "*/*".parse().unwrap(), drain: true }),
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
        let set = |until_us| Operation::FreezeSet { freeze: ident("now"), until_us };
        let mut s = ControlState::default().after(&set(Some(9))).after(&set(Some(5)));
        assert_eq!(s.freezes[&ident("now")].until_us, Some(9));
        s = s.after(&set(None)).after(&set(Some(50)));
        assert_eq!(s.freezes[&ident("now")].until_us, None);
        let open = |n: u8, minutes| Operation::BreakGlassOpen {
            grant: crate::ids::GrantId([n; 16]),
            ticket: "INC-1".into(),
            minutes,
        };
        s = s.after(&open(1, 5)).after(&open(2, 60)).after(&open(1, 60));
        let glass = s.break_glass.clone().unwrap();
        assert_eq!((glass.grant.0[0], glass.minutes), (1, 5));
        s.freezes.clear();
        let window = |when: &str| Operation::ProfileWindow {
            profile: ident("default"),
            window: ident("w"),
            when: when.parse().unwrap(),
        };
        let friday = window("weekly fri 18:00 for 62h00m Europe/Berlin");
        s = s.after(&friday);
        let began =
            crate::fact::FreezeBegan { profile: ident("default"), window: ident("w"), until_us: None };
        s.apply(At { index: 1, time_us: 1 }, &ControlFact::FreezeBegan(began));
        assert_eq!(s.after(&friday).active_windows, s.active_windows, "the same again changes nothing");
        assert!(s.after(&window("weekly mon 18:00 for 1h00m UTC")).active_windows.is_empty());
        let unwindow = Operation::ProfileUnwindow { profile: ident("default"), window: ident("w") };
        assert!(!crate::profile::forbids(&s, &s, &unwindow), "a freeze does not keep itself");
        assert!(crate::profile::forbids(&s, &s, &set(None)), "whatever else loosens");
        assert!(s.after(&unwindow).active_windows.is_empty());
    }

    /// SPEC invariant 3: a revoked token stays revoked, whatever is issued later.
    #[test]
    fn revoked_stays_revoked() {
        let token = TokenId([4; 16]);
        let issue = Operation::TokenIssue { token, name: Ident::new("t").unwrap(), secret_sha256: [1; 32] };
        let mut s = ControlState::default();
        for op in [issue.clone(), Operation::TokenRevoke { token }, issue] {
            s = s.after(&op);
        }
        assert!(s.live_token(token).is_none());
    }
}
