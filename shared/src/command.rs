//! Commands: privileged changes, as text that an operator's own minisign key signs.
//!
//! ```text
//! conductor/command/v1
//! command_id: 32 hex digits
//! audience: node <id> [<id>...]          or: fleet <id>
//! tenant: 32 hex digits (zeros for the node)
//! object: ramp run/etl
//! base: SHA-256 of the object's state in hex, or none
//! operation: ramp.set
//! arg selector: run/etl
//! arg hundredths: 1000
//! reason: why, at most 200 characters
//! issued_at_us: decimal, in the agent's time
//! expires_at_us: decimal
//! nonce: 32 hex digits
//! ```
//!
//! Each command has exactly one text, and the reader refuses every other: other order, other spelling, a line twice, a
//! line too many. So what a person confirms, read back from the bytes to be signed, is what the agent will read.

use crate::checkpoint::key_id;
use crate::cost;
use crate::freeze::Window;
use crate::ids::{
    CommandId, GrantId, Ident, NodeId, PersonId, TenantUid, TokenId, hex, parse_decimal, unhex,
};
use crate::meter::Adjustment;
use crate::operator::{parse_roles, roles_text};
use crate::policy::Statement;
use crate::profile::{MAX_MINUTES, Setting, is_ticket};
use crate::quota::QuotaKind;
use crate::ramp::{FULL, Selector};
use crate::shown::{Text, is_unshowable};
use crate::slo::{Plan, Thresholds};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The first line.
pub const TYPE_LINE: &str = "conductor/command/v1";
/// No command text is longer.
pub const MAX_TEXT: usize = 8 * 1024;
/// No reason is longer, in characters.
pub const MAX_REASON: usize = 200;
/// No command lives longer: 24 hours.
pub const MAX_LIFE_US: u64 = 24 * 3600 * 1_000_000;
/// No command is addressed to more nodes one by one.
pub const MAX_AUDIENCE: usize = 100;

/// What is changed. The class is never read off the name; see [`crate::class`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Sets a ramp, up or down.
    RampSet {
        /// Which rule.
        selector: Selector,
        /// New value.
        hundredths: u16,
    },
    /// `ramp <= x`: lowers what is above, changes nothing else. Absolute, so it needs no base.
    RampCap {
        /// Which rule.
        selector: Selector,
        /// Upper bound.
        hundredths: u16,
    },
    /// Removes a ramp rule.
    RampClear {
        /// Which rule.
        selector: Selector,
    },
    /// Sets a kill switch.
    KillSet {
        /// What it covers.
        selector: Selector,
        /// New runs only.
        drain: bool,
    },
    /// Lifts a kill switch.
    KillClear {
        /// Which.
        selector: Selector,
    },
    /// Sets a quota, up or down.
    QuotaSet {
        /// Which.
        kind: QuotaKind,
        /// New limit.
        limit: u64,
    },
    /// `quota <= x`.
    QuotaCap {
        /// Which.
        kind: QuotaKind,
        /// Upper bound.
        limit: u64,
    },
    /// Adds a workflow type to the tenant's catalog.
    WorkflowRegister {
        /// The type.
        workflow: Ident,
    },
    /// Takes one out.
    WorkflowRetire {
        /// The type.
        workflow: Ident,
    },
    /// Pins the prompt of a workflow type: a run that declares another, or none, is denied.
    WorkflowPin {
        /// The type.
        workflow: Ident,
        /// SHA-256 of the prompt.
        prompt_sha256: [u8; 32],
    },
    /// Lifts the pin.
    WorkflowUnpin {
        /// The type.
        workflow: Ident,
    },
    /// Lets a token in. The secret was made by the operator's console and is never sent; this is its SHA-256.
    TokenIssue {
        /// The token.
        token: TokenId,
        /// What it is for.
        name: Ident,
        /// SHA-256 of the 32-byte secret.
        secret_sha256: [u8; 32],
    },
    /// Shuts a token out.
    TokenRevoke {
        /// The token.
        token: TokenId,
    },
    /// Lets a local user in on the tenant's own socket.
    PeerAllow {
        /// Unix user id.
        uid: u32,
    },
    /// Shuts them out.
    PeerDeny {
        /// Unix user id.
        uid: u32,
    },
    /// Enrols a key: of a new person, or another one of a person who has one. Belongs to the node's log.
    OperatorEnrol {
        /// Whose.
        person: PersonId,
        /// Their short name.
        name: Ident,
        /// Minisign public key, base64.
        public_key: String,
        /// Roles; see [`crate::operator::parse_roles`].
        roles: BTreeSet<String>,
        /// The minisign file over [`crate::operator::key_statement`] by this very key, base64.
        proof: String,
    },
    /// Sets the roles of a person, on all their keys.
    OperatorRoles {
        /// Who.
        person: PersonId,
        /// Roles; may be none.
        roles: BTreeSet<String>,
    },
    /// Shuts a person out for now.
    OperatorSuspend {
        /// Who.
        person: PersonId,
    },
    /// Lets them in again.
    OperatorResume {
        /// Who.
        person: PersonId,
    },
    /// Shuts a key out for ever.
    OperatorRevoke {
        /// Minisign key id.
        key: String,
    },
    /// Says whose policy bundles are believed. Belongs to the node's log.
    PolicyTrust {
        /// Minisign public key, base64, that signs nothing else.
        public_key: String,
    },
    /// Goes by another bundle, whose files the agent was given before. Belongs to the node's log.
    PolicyLoad {
        /// What the policy key signed; see [`crate::policy::Statement`].
        statement: Statement,
        /// The minisign file over its text, base64.
        signature: String,
    },
    /// Sets what a ramp is held to.
    SloSet {
        /// Which rule.
        selector: Selector,
        /// New thresholds.
        thresholds: Thresholds,
    },
    /// Begins a staged plan at its first step; the agent carries it on by what it sees.
    PlanSet {
        /// Which rule.
        selector: Selector,
        /// Its steps.
        plan: Plan,
    },
    /// Ends a plan where it stands.
    PlanStop {
        /// Which rule.
        selector: Selector,
    },
    /// Lets a ramp go again to where it was rolled back from.
    RampOverride {
        /// Which rule.
        selector: Selector,
    },
    /// Says that somebody looks after an incident. Belongs to the log where the incident is.
    IncidentAck {
        /// Which.
        incident: [u8; 16],
        /// What they say.
        comment: Text,
    },
    /// Says that an incident is over. Belongs to the log where the incident is.
    IncidentClose {
        /// Which.
        incident: [u8; 16],
        /// How.
        comment: Text,
    },
    /// Says that the node's clock is right, after it was stepped. Belongs to the node's log.
    TimeConfirm {
        /// The incident that the step opened.
        incident: [u8; 16],
        /// What the node's clock says, microseconds since the Unix epoch: this is what is confirmed.
        now_us: u64,
    },
    /// Goes by another signer, whose predecessor is lost. Belongs to the node's log.
    SignerReplace {
        /// The new one's minisign public key, base64.
        public_key: String,
    },
    /// Takes a tenant's configuration back to what it was: several changes in one, which take effect together.
    ConfigRollback {
        /// To which revision of the control state, for people; what is changed stands in `changes`.
        revision: u64,
        /// What that takes from here, in order; see [`Operation::of_config`]. At least one.
        changes: Vec<Operation>,
    },
    /// Creates a tenant. Belongs to the node's log.
    TenantCreate {
        /// Its random uid.
        tenant_uid: TenantUid,
        /// Its display id.
        tenant_id: Ident,
    },
    /// Creates a policy profile, with the defaults. Belongs to the node's log.
    ProfileCreate {
        /// Its name.
        profile: Ident,
    },
    /// Sets one setting of a profile. Belongs to the node's log.
    ProfileSet {
        /// Which.
        profile: Ident,
        /// What.
        setting: Setting,
    },
    /// Adds or replaces a freeze window of a profile. Belongs to the node's log.
    ProfileWindow {
        /// Of which profile.
        profile: Ident,
        /// Its name.
        window: Ident,
        /// When it is open.
        when: Window,
    },
    /// Removes one. Belongs to the node's log.
    ProfileUnwindow {
        /// Of which profile.
        profile: Ident,
        /// Its name.
        window: Ident,
    },
    /// Puts a tenant under another profile.
    ProfileAssign {
        /// Which.
        profile: Ident,
    },
    /// Freezes a tenant on the spot. Where there is one of that name, the later end counts: it never loosens.
    FreezeSet {
        /// Its name.
        freeze: Ident,
        /// When it ends by itself, microseconds since the Unix epoch; `None` when somebody has to clear it.
        until_us: Option<u64>,
    },
    /// Lifts one.
    FreezeClear {
        /// Its name.
        freeze: Ident,
    },
    /// Opens break-glass, for a tenant or for the node: it lifts freezes there, and nothing else.
    BreakGlassOpen {
        /// Its id, random.
        grant: GrantId,
        /// What it is for; see [`crate::profile::is_ticket`].
        ticket: String,
        /// How long, 1 to 60.
        minutes: u64,
    },
    /// Closes it.
    BreakGlassClose {
        /// Which.
        grant: GrantId,
    },
    /// Sets metered usage right by compensating events that count in the periods they correct, backfill included.
    UsageCorrect {
        /// Each an event. At least one.
        adjustments: Vec<Adjustment>,
    },
    /// Says whose rate cards are believed. Belongs to the node's log.
    RateTrust {
        /// Minisign public key, base64, that signs nothing else.
        public_key: String,
    },
    /// Goes by another rate card from when it says. Belongs to the node's log.
    RateLoad {
        /// The exact bytes of the TOML file, base64; see [`crate::cost::RateCard`].
        card: String,
        /// The billing key's minisign file over them, base64.
        signature: String,
    },
    /// Says that the cost of a month was compared with an invoice, and that they agree.
    CostReconcile {
        /// Calendar month in UTC, `2026-10`.
        month: String,
        /// Amounts that agree: compute, storage and signing, in the unit of the rate cards.
        amounts: [i64; 3],
        /// SHA-256 of the invoice.
        invoice_sha256: [u8; 32],
    },
    /// Has a sink deliver again what its receiver would not take.
    SinkReplay {
        /// Which.
        sink: Ident,
    },
}

/// A month such as `2026-10`.
fn month(text: &str) -> Option<String> {
    let (y, m) = text.split_once('-')?;
    let digits = |t: &str, n: usize| t.len() == n && t.bytes().all(|c| c.is_ascii_digit());
    let fits = digits(y, 4) && digits(m, 2) && (1..=12).contains(&m.parse::<u8>().ok()?);
    fits.then(|| text.to_owned())
}

/// Text in base64.
fn base64_text(text: &str) -> Option<String> {
    use base64::Engine as _;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()
}

impl Operation {
    /// The rate card and signature that a [`Operation::RateLoad`] carries, as text.
    pub fn rate_card(&self) -> Option<(String, String)> {
        let Self::RateLoad { card, signature } = self else { return None };
        Some((base64_text(card)?, base64_text(signature)?))
    }
}

/// How no end is written.
const NO_END: &str = "none";
/// How no roles are written.
const NO_ROLES: &str = "none";
/// No proof of possession is longer, in base64.
const MAX_PROOF: usize = 1024;

fn is_base64(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'='))
}

/// One visible line, as long as a reason.
fn comment(text: &str) -> Option<Text> {
    let fits = text.chars().count() <= MAX_REASON && !text.chars().any(is_unshowable);
    (fits && !text.trim().is_empty()).then(|| Text::new(text))
}

impl Operation {
    /// It belongs to the node's log, and to no tenant's.
    pub fn of_node(&self) -> bool {
        matches!(
            self,
            Self::OperatorEnrol { .. }
                | Self::OperatorRoles { .. }
                | Self::OperatorSuspend { .. }
                | Self::OperatorResume { .. }
                | Self::OperatorRevoke { .. }
                | Self::PolicyTrust { .. }
                | Self::PolicyLoad { .. }
                | Self::TimeConfirm { .. }
                | Self::SignerReplace { .. }
                | Self::TenantCreate { .. }
                | Self::ProfileCreate { .. }
                | Self::ProfileSet { .. }
                | Self::ProfileWindow { .. }
                | Self::ProfileUnwindow { .. }
                | Self::RateTrust { .. }
                | Self::RateLoad { .. }
        )
    }

    /// A bound that needs no base, and so may be signed for a node that nobody can look at now. It makes nothing looser
    /// whatever state it meets, but for one: a cap of a ramp that has no rule yet may stand above a broader rule. The
    /// node finds that to loosen and, without a base, refuses it.
    pub fn is_absolute(&self) -> bool {
        matches!(
            self,
            Self::RampCap { .. }
                | Self::KillSet { drain: false, .. }
                | Self::QuotaCap { .. }
                | Self::FreezeSet { .. }
                | Self::TokenRevoke { .. }
                | Self::PeerDeny { .. }
        )
    }

    /// It belongs to whichever log its object is in, the node's or a tenant's.
    pub fn of_any_log(&self) -> bool {
        matches!(
            self,
            Self::IncidentAck { .. }
                | Self::IncidentClose { .. }
                | Self::BreakGlassOpen { .. }
                | Self::BreakGlassClose { .. }
        )
    }

    /// It sets a part of a tenant's configuration, and may be a part of going back to an earlier one. Who is let in, with
    /// which token, is no configuration: nobody who was shut out comes back that way.
    pub fn of_config(&self) -> bool {
        matches!(
            self,
            Self::RampSet { .. }
                | Self::RampClear { .. }
                | Self::KillSet { .. }
                | Self::KillClear { .. }
                | Self::QuotaSet { .. }
                | Self::WorkflowRegister { .. }
                | Self::WorkflowRetire { .. }
                | Self::WorkflowPin { .. }
                | Self::WorkflowUnpin { .. }
                | Self::SloSet { .. }
                | Self::ProfileAssign { .. }
        )
    }

    /// Name and values, separated by spaces. For those of [`Operation::of_config`], whose values have none in them.
    fn words(&self) -> String {
        let values = self.args().into_iter().map(|(_, v)| v);
        std::iter::once(self.name().to_owned()).chain(values).collect::<Vec<_>>().join(" ")
    }

    fn from_words(text: &str) -> Option<Self> {
        let (name, values) = text.split_once(' ')?;
        let op = Self::from_values(name, &values.split(' ').collect::<Vec<_>>())?;
        (op.of_config() && op.words() == text).then_some(op)
    }

    /// Approvals by other persons that it takes where it loosens (SPEC, invariant 4).
    pub fn approvals(&self) -> u64 {
        if let Self::ConfigRollback { changes, .. } = self {
            return changes.iter().map(Self::approvals).max().unwrap_or(0);
        }
        u64::from(matches!(
            self,
            Self::OperatorEnrol { .. }
                | Self::OperatorRoles { .. }
                | Self::OperatorResume { .. }
                | Self::PolicyTrust { .. }
                | Self::PolicyLoad { .. }
                | Self::RateTrust { .. }
                | Self::TimeConfirm { .. }
                | Self::SignerReplace { .. }
                | Self::ProfileSet { .. }
                | Self::ProfileWindow { .. }
                | Self::ProfileUnwindow { .. }
                | Self::ProfileAssign { .. }
                | Self::FreezeClear { .. }
                | Self::BreakGlassOpen { .. }
        ))
    }

    /// The public name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RampSet { .. } => "ramp.set",
            Self::RampCap { .. } => "ramp.cap",
            Self::RampClear { .. } => "ramp.clear",
            Self::KillSet { .. } => "kill.set",
            Self::KillClear { .. } => "kill.clear",
            Self::QuotaSet { .. } => "quota.set",
            Self::QuotaCap { .. } => "quota.cap",
            Self::WorkflowRegister { .. } => "workflow.register",
            Self::WorkflowRetire { .. } => "workflow.retire",
            Self::WorkflowPin { .. } => "workflow.pin",
            Self::WorkflowUnpin { .. } => "workflow.unpin",
            Self::TokenIssue { .. } => "token.issue",
            Self::TokenRevoke { .. } => "token.revoke",
            Self::PeerAllow { .. } => "peer.allow",
            Self::PeerDeny { .. } => "peer.deny",
            Self::OperatorEnrol { .. } => "operator.enrol",
            Self::OperatorRoles { .. } => "operator.roles",
            Self::OperatorSuspend { .. } => "operator.suspend",
            Self::OperatorResume { .. } => "operator.resume",
            Self::OperatorRevoke { .. } => "operator.revoke",
            Self::PolicyTrust { .. } => "policy.trust",
            Self::PolicyLoad { .. } => "policy.load",
            Self::SloSet { .. } => "slo.set",
            Self::PlanSet { .. } => "plan.set",
            Self::PlanStop { .. } => "plan.stop",
            Self::RampOverride { .. } => "ramp.override",
            Self::IncidentAck { .. } => "incident.ack",
            Self::IncidentClose { .. } => "incident.close",
            Self::TimeConfirm { .. } => "time.confirm",
            Self::SignerReplace { .. } => "signer.replace",
            Self::ConfigRollback { .. } => "config.rollback",
            Self::TenantCreate { .. } => "tenant.create",
            Self::ProfileCreate { .. } => "profile.create",
            Self::ProfileSet { .. } => "profile.set",
            Self::ProfileWindow { .. } => "profile.window",
            Self::ProfileUnwindow { .. } => "profile.unwindow",
            Self::ProfileAssign { .. } => "profile.assign",
            Self::FreezeSet { .. } => "freeze.set",
            Self::FreezeClear { .. } => "freeze.clear",
            Self::BreakGlassOpen { .. } => "breakglass.open",
            Self::BreakGlassClose { .. } => "breakglass.close",
            Self::UsageCorrect { .. } => "usage.correct",
            Self::RateTrust { .. } => "rate.trust",
            Self::RateLoad { .. } => "rate.load",
            Self::CostReconcile { .. } => "cost.reconcile",
            Self::SinkReplay { .. } => "sink.replay",
        }
    }

    /// What it changes: kind and name, separated by a space.
    pub fn object(&self) -> String {
        match self {
            Self::RampSet { selector, .. }
            | Self::RampCap { selector, .. }
            | Self::RampClear { selector } => {
                format!("ramp {selector}")
            }
            Self::KillSet { selector, .. } | Self::KillClear { selector } => format!("kill {selector}"),
            Self::QuotaSet { kind, .. } | Self::QuotaCap { kind, .. } => format!("quota {}", kind.name()),
            Self::WorkflowRegister { workflow } | Self::WorkflowRetire { workflow } => {
                format!("workflow {workflow}")
            }
            Self::WorkflowPin { workflow, .. } | Self::WorkflowUnpin { workflow } => {
                format!("prompt {workflow}")
            }
            Self::TokenIssue { token, .. } | Self::TokenRevoke { token } => format!("token {token}"),
            Self::PeerAllow { uid } | Self::PeerDeny { uid } => format!("peer {uid}"),
            Self::OperatorEnrol { public_key, .. } => {
                format!("key {}", key_id(public_key).unwrap_or_default())
            }
            Self::OperatorRevoke { key } => format!("key {key}"),
            Self::OperatorRoles { person, .. }
            | Self::OperatorSuspend { person }
            | Self::OperatorResume { person } => format!("person {person}"),
            Self::PolicyTrust { .. } => "policy key".to_owned(),
            Self::PolicyLoad { .. } => "policy bundle".to_owned(),
            Self::SloSet { selector, .. } => format!("slo {selector}"),
            Self::PlanSet { selector, .. } | Self::PlanStop { selector } => format!("plan {selector}"),
            Self::RampOverride { selector } => format!("override {selector}"),
            Self::IncidentAck { incident, .. } | Self::IncidentClose { incident, .. } => {
                format!("incident {}", hex(incident))
            }
            Self::TimeConfirm { .. } => "clock".to_owned(),
            Self::SignerReplace { .. } => "signer key".to_owned(),
            Self::ConfigRollback { .. } => "config".to_owned(),
            Self::TenantCreate { tenant_uid, .. } => format!("tenant {tenant_uid}"),
            Self::ProfileCreate { profile } | Self::ProfileSet { profile, .. } => {
                format!("profile {profile}")
            }
            Self::ProfileWindow { profile, window, .. } | Self::ProfileUnwindow { profile, window } => {
                format!("window {profile}/{window}")
            }
            Self::ProfileAssign { .. } => "assignment profile".into(),
            Self::FreezeSet { freeze, .. } | Self::FreezeClear { freeze } => format!("freeze {freeze}"),
            Self::BreakGlassOpen { grant, .. } | Self::BreakGlassClose { grant } => {
                format!("break-glass {grant}")
            }
            Self::UsageCorrect { .. } => "usage".to_owned(),
            Self::RateTrust { .. } => "billing key".to_owned(),
            Self::RateLoad { .. } => "rate cards".to_owned(),
            Self::CostReconcile { month, .. } => format!("cost {month}"),
            Self::SinkReplay { sink } => format!("sink {sink}"),
        }
    }

    /// Name and arguments in order, as they stand in the text and in receipts.
    #[allow(clippy::too_many_lines)] // one table: each operation and its arguments
    pub fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::RampSet { selector, hundredths } | Self::RampCap { selector, hundredths } => {
                vec![("selector", selector.to_string()), ("hundredths", hundredths.to_string())]
            }
            Self::RampClear { selector } | Self::KillClear { selector } => {
                vec![("selector", selector.to_string())]
            }
            Self::KillSet { selector, drain } => {
                vec![("selector", selector.to_string()), ("drain", drain.to_string())]
            }
            Self::QuotaSet { kind, limit } | Self::QuotaCap { kind, limit } => {
                vec![("quota", kind.name().to_owned()), ("limit", limit.to_string())]
            }
            Self::WorkflowRegister { workflow }
            | Self::WorkflowRetire { workflow }
            | Self::WorkflowUnpin { workflow } => {
                vec![("workflow", workflow.to_string())]
            }
            Self::WorkflowPin { workflow, prompt_sha256 } => {
                vec![("workflow", workflow.to_string()), ("prompt_sha256", hex(prompt_sha256))]
            }
            Self::TokenIssue { token, name, secret_sha256 } => vec![
                ("token", token.to_string()),
                ("name", name.to_string()),
                ("secret_sha256", hex(secret_sha256)),
            ],
            Self::TokenRevoke { token } => vec![("token", token.to_string())],
            Self::PeerAllow { uid } | Self::PeerDeny { uid } => vec![("uid", uid.to_string())],
            Self::OperatorEnrol { person, name, public_key, roles, proof } => vec![
                ("person", person.to_string()),
                ("name", name.to_string()),
                ("public_key", public_key.clone()),
                ("roles", roles_text(roles)),
                ("proof", proof.clone()),
            ],
            Self::OperatorRoles { person, roles } => {
                let roles = if roles.is_empty() { NO_ROLES.to_owned() } else { roles_text(roles) };
                vec![("person", person.to_string()), ("roles", roles)]
            }
            Self::OperatorSuspend { person } | Self::OperatorResume { person } => {
                vec![("person", person.to_string())]
            }
            Self::OperatorRevoke { key } => vec![("key", key.clone())],
            Self::PolicyTrust { public_key }
            | Self::SignerReplace { public_key }
            | Self::RateTrust { public_key } => {
                vec![("public_key", public_key.clone())]
            }
            Self::UsageCorrect { adjustments } => {
                adjustments.iter().map(|a| ("adjustment", a.to_string())).collect()
            }
            Self::SinkReplay { sink } => vec![("sink", sink.to_string())],
            Self::RateLoad { card, signature } => {
                vec![("card", card.clone()), ("signature", signature.clone())]
            }
            Self::CostReconcile { month, amounts: [compute, storage, signing], invoice_sha256 } => vec![
                ("month", month.clone()),
                ("compute", compute.to_string()),
                ("storage", storage.to_string()),
                ("signing", signing.to_string()),
                ("invoice_sha256", hex(invoice_sha256)),
            ],
            Self::ConfigRollback { revision, changes } => {
                let each = changes.iter().map(|c| ("change", c.words()));
                std::iter::once(("revision", revision.to_string())).chain(each).collect()
            }
            Self::TimeConfirm { incident, now_us } => {
                vec![("incident", hex(incident)), ("now_us", now_us.to_string())]
            }
            Self::PolicyLoad { statement, signature } => vec![
                ("revision", statement.revision.to_string()),
                ("digest", hex(&statement.digest)),
                ("built_at_us", statement.built_at_us.to_string()),
                ("expires_at_us", statement.expires_at_us.to_string()),
                ("signature", signature.clone()),
            ],
            Self::SloSet { selector, thresholds: t } => vec![
                ("selector", selector.to_string()),
                ("errors_hundredths", t.errors_hundredths.to_string()),
                ("p99_us", t.p99_us.to_string()),
                ("backlog", t.backlog.to_string()),
                ("min_settled", t.min_settled.to_string()),
            ],
            Self::PlanSet { selector, plan } => {
                vec![("selector", selector.to_string()), ("steps", plan.to_string())]
            }
            Self::PlanStop { selector } | Self::RampOverride { selector } => {
                vec![("selector", selector.to_string())]
            }
            Self::IncidentAck { incident, comment } | Self::IncidentClose { incident, comment } => {
                vec![("incident", hex(incident)), ("comment", comment.raw().to_owned())]
            }
            Self::TenantCreate { tenant_uid, tenant_id } => {
                vec![("tenant_uid", tenant_uid.to_string()), ("tenant_id", tenant_id.to_string())]
            }
            Self::ProfileCreate { profile } | Self::ProfileAssign { profile } => {
                vec![("profile", profile.to_string())]
            }
            Self::ProfileSet { profile, setting } => vec![
                ("profile", profile.to_string()),
                ("setting", setting.name().to_owned()),
                ("value", setting.value()),
            ],
            Self::ProfileWindow { profile, window, when } => vec![
                ("profile", profile.to_string()),
                ("window", window.to_string()),
                ("when", when.to_string()),
            ],
            Self::ProfileUnwindow { profile, window } => {
                vec![("profile", profile.to_string()), ("window", window.to_string())]
            }
            Self::FreezeSet { freeze, until_us } => vec![
                ("freeze", freeze.to_string()),
                ("until_us", until_us.map_or(NO_END.to_owned(), |u| u.to_string())),
            ],
            Self::FreezeClear { freeze } => vec![("freeze", freeze.to_string())],
            Self::BreakGlassOpen { grant, ticket, minutes } => vec![
                ("grant", grant.to_string()),
                ("ticket", ticket.clone()),
                ("minutes", minutes.to_string()),
            ],
            Self::BreakGlassClose { grant } => vec![("grant", grant.to_string())],
        }
    }

    /// The form in receipts: name, then argument names and values in turn.
    pub fn to_list(&self) -> Vec<String> {
        let mut out = vec![self.name().to_owned()];
        for (k, v) in self.args() {
            out.push(k.to_owned());
            out.push(v);
        }
        out
    }

    /// Reads [`Operation::to_list`]; refuses every other spelling. `None` when it is not an operation of this version.
    pub fn from_list(list: &[String]) -> Option<Self> {
        let (name, rest) = list.split_first()?;
        let values: Vec<&str> = rest.chunks(2).filter_map(|c| Some(c.get(1)?.as_str())).collect();
        let op = Self::from_values(name, &values)?;
        // One spelling: what was read must be written the same.
        (op.to_list() == list).then_some(op)
    }

    #[allow(clippy::too_many_lines)] // one table: each name and its values
    fn from_values(name: &str, values: &[&str]) -> Option<Self> {
        let arg = |i: usize| values.get(i).copied();
        let sel = || arg(0)?.parse::<Selector>().ok();
        let hundredths = || u16::try_from(parse_decimal(arg(1)?)?).ok().filter(|h| *h <= FULL);
        let quota = || QuotaKind::from_name(arg(0)?);
        let limit = || Some(parse_decimal(arg(1)?)?).filter(|l| quota().is_some_and(|k| *l <= k.max()));
        let ident = |i: usize| Ident::new(arg(i)?).ok();
        let uid = || u32::try_from(parse_decimal(arg(0)?)?).ok();
        Some(match name {
            "ramp.set" => Self::RampSet { selector: sel()?, hundredths: hundredths()? },
            "ramp.cap" => Self::RampCap { selector: sel()?, hundredths: hundredths()? },
            "ramp.clear" => Self::RampClear { selector: sel()? },
            "kill.set" => Self::KillSet { selector: sel()?, drain: arg(1)?.parse().ok()? },
            "kill.clear" => Self::KillClear { selector: sel()? },
            "quota.set" => Self::QuotaSet { kind: quota()?, limit: limit()? },
            "quota.cap" => Self::QuotaCap { kind: quota()?, limit: limit()? },
            "workflow.register" => Self::WorkflowRegister { workflow: ident(0)? },
            "workflow.retire" => Self::WorkflowRetire { workflow: ident(0)? },
            "workflow.pin" => Self::WorkflowPin { workflow: ident(0)?, prompt_sha256: unhex(arg(1)?)? },
            "workflow.unpin" => Self::WorkflowUnpin { workflow: ident(0)? },
            "token.issue" => Self::TokenIssue {
                token: arg(0)?.parse().ok()?,
                name: ident(1)?,
                secret_sha256: unhex(arg(2)?)?,
            },
            "token.revoke" => Self::TokenRevoke { token: arg(0)?.parse().ok()? },
            "peer.allow" => Self::PeerAllow { uid: uid()? },
            "peer.deny" => Self::PeerDeny { uid: uid()? },
            "operator.enrol" => Self::OperatorEnrol {
                person: arg(0)?.parse().ok()?,
                name: ident(1)?,
                public_key: arg(2).filter(|k| key_id(k).is_some())?.to_owned(),
                roles: parse_roles(arg(3)?)?,
                proof: arg(4).filter(|p| p.len() <= MAX_PROOF && is_base64(p))?.to_owned(),
            },
            "operator.roles" => Self::OperatorRoles {
                person: arg(0)?.parse().ok()?,
                roles: match arg(1)? {
                    NO_ROLES => BTreeSet::new(),
                    some => parse_roles(some)?,
                },
            },
            "operator.suspend" => Self::OperatorSuspend { person: arg(0)?.parse().ok()? },
            "operator.resume" => Self::OperatorResume { person: arg(0)?.parse().ok()? },
            "operator.revoke" => Self::OperatorRevoke {
                key: arg(0).filter(|k| k.len() == 16 && k.bytes().all(|c| c.is_ascii_hexdigit()))?.to_owned(),
            },
            "policy.trust" => {
                Self::PolicyTrust { public_key: arg(0).filter(|k| key_id(k).is_some())?.to_owned() }
            }
            "policy.load" => Self::PolicyLoad {
                statement: Statement {
                    revision: parse_decimal(arg(0)?).filter(|r| *r > 0)?,
                    digest: unhex(arg(1)?)?,
                    built_at_us: parse_decimal(arg(2)?)?,
                    expires_at_us: parse_decimal(arg(3)?)?,
                },
                signature: arg(4).filter(|p| p.len() <= MAX_PROOF && is_base64(p))?.to_owned(),
            },
            "slo.set" => Self::SloSet {
                selector: sel()?,
                thresholds: Thresholds {
                    errors_hundredths: hundredths().filter(|h| *h > 0 && *h < FULL)?,
                    p99_us: parse_decimal(arg(2)?)?,
                    backlog: parse_decimal(arg(3)?)?,
                    min_settled: parse_decimal(arg(4)?).filter(|n| *n > 0)?,
                },
            },
            "plan.set" => Self::PlanSet { selector: sel()?, plan: arg(1)?.parse().ok()? },
            "plan.stop" => Self::PlanStop { selector: sel()? },
            "ramp.override" => Self::RampOverride { selector: sel()? },
            "incident.ack" => Self::IncidentAck { incident: unhex(arg(0)?)?, comment: comment(arg(1)?)? },
            "incident.close" => Self::IncidentClose { incident: unhex(arg(0)?)?, comment: comment(arg(1)?)? },
            "time.confirm" => {
                Self::TimeConfirm { incident: unhex(arg(0)?)?, now_us: parse_decimal(arg(1)?)? }
            }
            "signer.replace" => {
                Self::SignerReplace { public_key: arg(0).filter(|k| key_id(k).is_some())?.to_owned() }
            }
            "tenant.create" => Self::TenantCreate { tenant_uid: arg(0)?.parse().ok()?, tenant_id: ident(1)? },
            "profile.create" => Self::ProfileCreate { profile: ident(0)? },
            "profile.set" => {
                Self::ProfileSet { profile: ident(0)?, setting: Setting::parse(arg(1)?, arg(2)?)? }
            }
            "profile.window" => {
                Self::ProfileWindow { profile: ident(0)?, window: ident(1)?, when: arg(2)?.parse().ok()? }
            }
            "profile.unwindow" => Self::ProfileUnwindow { profile: ident(0)?, window: ident(1)? },
            "profile.assign" => Self::ProfileAssign { profile: ident(0)? },
            "freeze.set" => Self::FreezeSet {
                freeze: ident(0)?,
                until_us: match arg(1)? {
                    NO_END => None,
                    us => Some(parse_decimal(us)?),
                },
            },
            "freeze.clear" => Self::FreezeClear { freeze: ident(0)? },
            "breakglass.open" => Self::BreakGlassOpen {
                grant: arg(0)?.parse().ok()?,
                ticket: arg(1).filter(|t| is_ticket(t))?.to_owned(),
                minutes: parse_decimal(arg(2)?).filter(|m| (1..=MAX_MINUTES).contains(m))?,
            },
            "usage.correct" => {
                let adjustments: Vec<Adjustment> =
                    values.iter().map(|v| v.parse().ok()).collect::<Option<_>>()?;
                (!adjustments.is_empty()).then_some(Self::UsageCorrect { adjustments })?
            }
            "rate.trust" => {
                Self::RateTrust { public_key: arg(0).filter(|k| key_id(k).is_some())?.to_owned() }
            }
            "rate.load" => {
                let op = Self::RateLoad { card: arg(0)?.to_owned(), signature: arg(1)?.to_owned() };
                let (card, _) = op.rate_card()?;
                cost::RateCard::parse(&card).ok()?;
                op
            }
            "sink.replay" => Self::SinkReplay { sink: ident(0)? },
            "cost.reconcile" => {
                let number = |i: usize| arg(i)?.parse::<i64>().ok();
                Self::CostReconcile {
                    month: month(arg(0)?)?,
                    amounts: [number(1)?, number(2)?, number(3)?],
                    invoice_sha256: unhex(arg(4)?)?,
                }
            }
            "breakglass.close" => Self::BreakGlassClose { grant: arg(0)?.parse().ok()? },
            "config.rollback" => Self::ConfigRollback {
                revision: parse_decimal(arg(0)?)?,
                changes: Some(values.get(1..)?)
                    .filter(|c| !c.is_empty())?
                    .iter()
                    .map(|c| Self::from_words(c))
                    .collect::<Option<_>>()?,
            },
            _ => return None,
        })
    }
}

/// Which nodes a command is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// These, each of which acknowledges for itself.
    Nodes(Vec<NodeId>),
    /// All of a fleet.
    Fleet(Ident),
}

/// A command, before or after signing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Chosen by the console; with the person it makes a command happen once.
    pub command_id: CommandId,
    /// Which nodes.
    pub audience: Audience,
    /// Which tenant, or [`TenantUid::NODE`].
    pub tenant: TenantUid,
    /// Digest of the object's state that was shown; none for tighten.
    pub base: Option<[u8; 32]>,
    /// What.
    pub operation: Operation,
    /// Why.
    pub reason: Text,
    /// In the agent's time, microseconds since the Unix epoch.
    pub issued_at_us: u64,
    /// Likewise.
    pub expires_at_us: u64,
    /// Random.
    pub nonce: [u8; 16],
}

/// Why bytes are not a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Too long or not text.
    #[error("not a command: expected UTF-8 text of at most {MAX_TEXT} bytes beginning with {TYPE_LINE}")]
    Type,
    /// A line is missing, wrong or too many.
    #[error("line {line}: expected {expected}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// Every line can be read, but another text says the same.
    #[error("not the canonical text of this command")]
    NotCanonical,
}

impl Command {
    /// The one text of this command.
    pub fn text(&self) -> String {
        let mut t = String::with_capacity(640);
        let _ = writeln!(t, "{TYPE_LINE}");
        let _ = writeln!(t, "command_id: {}", self.command_id);
        match &self.audience {
            Audience::Nodes(ids) => {
                t.push_str("audience: node");
                for id in ids {
                    let _ = write!(t, " {id}");
                }
                t.push('\n');
            }
            Audience::Fleet(id) => {
                let _ = writeln!(t, "audience: fleet {id}");
            }
        }
        let _ = writeln!(t, "tenant: {}", self.tenant);
        let _ = writeln!(t, "object: {}", self.operation.object());
        let _ = writeln!(t, "base: {}", self.base.map_or("none".to_owned(), |b| hex(&b)));
        let _ = writeln!(t, "operation: {}", self.operation.name());
        for (k, v) in self.operation.args() {
            let _ = writeln!(t, "arg {k}: {v}");
        }
        let _ = writeln!(t, "reason: {}", self.reason.raw());
        let _ = writeln!(t, "issued_at_us: {}", self.issued_at_us);
        let _ = writeln!(t, "expires_at_us: {}", self.expires_at_us);
        let _ = writeln!(t, "nonce: {}", hex(&self.nonce));
        t
    }

    /// Reads a text, after its signature was verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, CommandError> {
        if bytes.len() > MAX_TEXT {
            return Err(CommandError::Type);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| CommandError::Type)?;
        let mut lines = text.split('\n').enumerate().map(|(n, l)| (n + 1, l)).peekable();
        let (_, first) = lines.next().ok_or(CommandError::Type)?;
        if first != TYPE_LINE {
            return Err(CommandError::Type);
        }
        let mut field = |name: &'static str| -> Result<(usize, &str), CommandError> {
            let (line, l) = lines.next().ok_or(CommandError::Line { line: 0, expected: name })?;
            let v = l.strip_prefix(name).and_then(|r| r.strip_prefix(": "));
            v.map(|v| (line, v)).ok_or(CommandError::Line { line, expected: name })
        };
        let bad = |line, expected| CommandError::Line { line, expected };
        let (n, v) = field("command_id")?;
        let command_id = v.parse().map_err(|_| bad(n, "32 hex digits"))?;
        let (n, v) = field("audience")?;
        let audience = match v.split_once(' ') {
            Some(("node", ids)) => {
                let ids: Vec<NodeId> = ids
                    .split(' ')
                    .take(MAX_AUDIENCE + 1)
                    .map(str::parse)
                    .collect::<Result<_, _>>()
                    .map_err(|_| bad(n, "node ids"))?;
                if ids.len() > MAX_AUDIENCE {
                    return Err(bad(n, "at most 100 node ids"));
                }
                Audience::Nodes(ids)
            }
            Some(("fleet", id)) => Audience::Fleet(Ident::new(id).map_err(|_| bad(n, "a fleet id"))?),
            _ => return Err(bad(n, "node <id>... or fleet <id>")),
        };
        let (n, v) = field("tenant")?;
        let tenant = v.parse().map_err(|_| bad(n, "32 hex digits"))?;
        let (_, object) = field("object")?;
        let object = object.to_owned();
        let (n, v) = field("base")?;
        let base = match v {
            "none" => None,
            v => Some(unhex(v).ok_or(bad(n, "64 hex digits or none"))?),
        };
        let (op_line, v) = field("operation")?;
        let mut list = vec![v.to_owned()];
        while let Some((n, l)) = lines.next_if(|(_, l)| l.starts_with("arg ")) {
            let (k, v) = l["arg ".len()..].split_once(": ").ok_or(bad(n, "arg name: value"))?;
            list.push(k.to_owned());
            list.push(v.to_owned());
        }
        let operation =
            Operation::from_list(&list).ok_or(bad(op_line, "a known operation with its arguments"))?;
        let mut field = |name: &'static str| -> Result<(usize, &str), CommandError> {
            let (line, l) = lines.next().ok_or(CommandError::Line { line: 0, expected: name })?;
            let v = l.strip_prefix(name).and_then(|r| r.strip_prefix(": "));
            v.map(|v| (line, v)).ok_or(CommandError::Line { line, expected: name })
        };
        let (n, v) = field("reason")?;
        if v.chars().count() > MAX_REASON || v.chars().any(is_unshowable) {
            return Err(bad(n, "a reason of at most 200 visible characters"));
        }
        let reason = Text::new(v);
        let (n, v) = field("issued_at_us")?;
        let issued_at_us = parse_decimal(v).ok_or(bad(n, "a decimal number"))?;
        let (n, v) = field("expires_at_us")?;
        let expires_at_us = parse_decimal(v).ok_or(bad(n, "a decimal number"))?;
        let (n, v) = field("nonce")?;
        let nonce = unhex(v).ok_or(bad(n, "32 hex digits"))?;
        let c = Self {
            command_id,
            audience,
            tenant,
            base,
            operation,
            reason,
            issued_at_us,
            expires_at_us,
            nonce,
        };
        if c.operation.object() != object || c.text() != text {
            return Err(CommandError::NotCanonical);
        }
        Ok(c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn command() -> Command {
        Command {
            command_id: CommandId([1; 16]),
            audience: Audience::Nodes(vec![NodeId([2; 16])]),
            tenant: TenantUid([3; 16]),
            base: Some([4; 32]),
            operation: Operation::RampSet { selector: "run/etl".parse().unwrap(), hundredths: 1000 },
            reason: Text::new("rollout, ticket 7"),
            issued_at_us: 1_700_000_000_000_000,
            expires_at_us: 1_700_000_300_000_000,
            nonce: [5; 16],
        }
    }

    /// DESIGN, Signed texts: the published vector of a command.
    #[test]
    fn published_vector() {
        insta::assert_snapshot!("command-vector", command().text());
        assert_eq!(Command::parse(command().text().as_bytes()), Ok(command()));
    }

    /// Issue 3 and DESIGN, Signed texts: duplicate, reordered, missing, extra and respelled lines are refused.
    #[test]
    fn every_other_text_is_refused() {
        let text = command().text();
        let lines: Vec<&str> = text.lines().collect();
        for i in 0..lines.len() {
            for edit in 0..4 {
                let mut l: Vec<String> = lines.iter().map(|s| (*s).to_owned()).collect();
                match edit {
                    0 => l.insert(i, lines[i].to_owned()),
                    1 => drop(l.remove(i)),
                    2 => l[i].push(' '),
                    _ => l[i] = l[i].replace(": ", ":  "),
                }
                let edited = l.join("\n") + "\n";
                if edited == text {
                    continue;
                }
                let got = Command::parse(edited.as_bytes());
                // A reason may end in a space: that is another reason, and another text.
                assert!(got.is_err() || got.unwrap().text() == edited, "{i} {edit}: {edited}");
            }
        }
        for bad in [
            text.replace("1000", "01000"),
            text.replace("1000\n", "10001\n"),
            text.replace("ramp run", "ramp rum"),
            text.replace('\n', "\r\n"),
            format!("{text}x: y\n"),
            text.replace("rollout", "roll\u{202e}out"),
        ] {
            assert!(Command::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    /// DESIGN, Record: every operation survives its list.
    #[test]
    fn every_operation_survives() {
        let s: Selector = "*/etl".parse().unwrap();
        for op in [
            Operation::RampSet { selector: s.clone(), hundredths: 0 },
            Operation::RampCap { selector: s.clone(), hundredths: 10_000 },
            Operation::RampClear { selector: s.clone() },
            Operation::KillSet { selector: s.clone(), drain: true },
            Operation::KillClear { selector: s },
            Operation::QuotaSet { kind: QuotaKind::StepRate, limit: 7 },
            Operation::QuotaCap { kind: QuotaKind::ReceiptBacklog, limit: 0 },
            Operation::WorkflowRegister { workflow: Ident::new("w").unwrap() },
            Operation::WorkflowRetire { workflow: Ident::new("w").unwrap() },
            Operation::TokenIssue {
                token: TokenId([1; 16]),
                name: Ident::new("n").unwrap(),
                secret_sha256: [2; 32],
            },
            Operation::TokenRevoke { token: TokenId([1; 16]) },
            Operation::PeerAllow { uid: 1000 },
            Operation::PeerDeny { uid: 0 },
            Operation::TenantCreate {
                tenant_uid: TenantUid([1; 16]),
                tenant_id: Ident::new("acme").unwrap(),
            },
            Operation::TimeConfirm { incident: [1; 16], now_us: 7 },
            Operation::ConfigRollback {
                revision: 3,
                changes: vec![
                    Operation::RampSet { selector: "run/*".parse().unwrap(), hundredths: 7 },
                    Operation::KillClear { selector: "*/*".parse().unwrap() },
                    Operation::ProfileAssign { profile: Ident::new("strict").unwrap() },
                ],
            },
            Operation::SignerReplace {
                public_key: "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".into(),
            },
            Operation::ProfileCreate { profile: Ident::new("strict").unwrap() },
            Operation::ProfileSet {
                profile: Ident::new("strict").unwrap(),
                setting: Setting::BreakGlassAlone(true),
            },
            Operation::ProfileSet {
                profile: Ident::new("strict").unwrap(),
                setting: Setting::PolicyOutage(crate::profile::PolicyOutage::LastKnown),
            },
            Operation::ProfileSet {
                profile: Ident::new("strict").unwrap(),
                setting: Setting::LastKnownS(300),
            },
            Operation::ProfileWindow {
                profile: Ident::new("strict").unwrap(),
                window: Ident::new("weekend").unwrap(),
                when: "weekly fri 18:00 for 62h00m Europe/Berlin".parse().unwrap(),
            },
            Operation::ProfileUnwindow {
                profile: Ident::new("strict").unwrap(),
                window: Ident::new("weekend").unwrap(),
            },
            Operation::ProfileAssign { profile: Ident::new("strict").unwrap() },
            Operation::FreezeSet { freeze: Ident::new("now").unwrap(), until_us: None },
            Operation::FreezeSet { freeze: Ident::new("now").unwrap(), until_us: Some(7) },
            Operation::FreezeClear { freeze: Ident::new("now").unwrap() },
            Operation::BreakGlassOpen { grant: GrantId([1; 16]), ticket: "INC-7".into(), minutes: 60 },
            Operation::BreakGlassClose { grant: GrantId([1; 16]) },
            Operation::UsageCorrect {
                adjustments: vec![
                    "step_executed 900000000 production service etl -1 -7".parse().unwrap(),
                    "run_started 900000000 production service etl 2 2".parse().unwrap(),
                ],
            },
            Operation::RateTrust {
                public_key: "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".into(),
            },
            Operation::RateLoad {
                card: {
                    use base64::Engine as _;
                    base64::engine::general_purpose::STANDARD.encode(cost::tests::CARD)
                },
                signature: "eA==".into(),
            },
            Operation::CostReconcile {
                month: "2026-10".into(),
                amounts: [1, -2, 3],
                invoice_sha256: [7; 32],
            },
        ] {
            assert_eq!(Operation::from_list(&op.to_list()), Some(op.clone()), "{op:?}");
            let mut c = command();
            c.operation = op;
            assert_eq!(Command::parse(c.text().as_bytes()), Ok(c));
        }
    }

    /// SPEC 3.3 and Bad input: what is out of bounds, or would mean something to a terminal, a table or markup, is no
    /// operation.
    #[test]
    fn freezes_and_break_glass_have_bounds() {
        let grant = "01".repeat(16);
        for (name, args) in [
            ("breakglass.open", vec![("grant", grant.as_str()), ("ticket", "INC-7"), ("minutes", "61")]),
            ("breakglass.open", vec![("grant", &grant), ("ticket", "INC-7"), ("minutes", "0")]),
            ("breakglass.open", vec![("grant", &grant), ("ticket", "=HYPERLINK(1)"), ("minutes", "5")]),
            ("breakglass.open", vec![("grant", &grant), ("ticket", ""), ("minutes", "5")]),
            ("profile.set", vec![("profile", "p"), ("setting", "last_known_s"), ("value", "301")]),
            ("profile.set", vec![("profile", "p"), ("setting", "last_known_s"), ("value", "0")]),
            ("profile.set", vec![("profile", "p"), ("setting", "two_persons"), ("value", "false")]),
            ("profile.window", vec![("profile", "p"), ("window", "w"), ("when", "always")]),
            ("freeze.set", vec![("freeze", "f"), ("until_us", "")]),
        ] {
            let mut list = vec![name.to_owned()];
            list.extend(args.iter().flat_map(|(k, v)| [(*k).to_owned(), (*v).to_owned()]));
            assert_eq!(Operation::from_list(&list), None, "{list:?}");
        }
    }

    /// SPEC 4.1: what goes back to an earlier configuration changes configuration and nothing else, and is never nested.
    #[test]
    fn a_rollback_holds_configuration_only() {
        let read = |changes: &[&str]| {
            let mut list = vec!["config.rollback".to_owned(), "revision".into(), "3".into()];
            list.extend(changes.iter().flat_map(|c| ["change".to_owned(), (*c).to_owned()]));
            Operation::from_list(&list)
        };
        assert!(read(&["ramp.set run/etl 5"]).is_some());
        for bad in [
            vec![],
            vec!["token.revoke 01010101010101010101010101010101"],
            vec!["peer.allow 7"],
            vec!["ramp.set run/etl 05"],
            vec!["ramp.set  run/etl 5"],
            vec!["ramp.set run/etl 5 "],
            vec!["ramp.set run/etl 5 6"],
            vec!["config.rollback 3 ramp.set"],
            vec!["ramp.set run/etl 5", ""],
        ] {
            assert_eq!(read(&bad), None, "{bad:?}");
        }
    }

    proptest! {
        /// SPEC, Bad input: no bytes make the reader panic, and what it takes is canonical.
        #[test]
        fn any_edit_is_refused_or_canonical(at in 0usize..600, byte: u8) {
            let mut b = command().text().into_bytes();
            let n = b.len();
            b[at % n] = byte;
            if let Ok(c) = Command::parse(&b) {
                let text = c.text();
                prop_assert_eq!(text.as_bytes(), &b[..]);
            }
        }
    }
}
