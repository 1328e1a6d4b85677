//! What can be changed, each operation with its values, and which log, how many persons and what base it takes.

use crate::freeze::Window;
use crate::ids::{GrantId, Ident, PersonId, TenantUid, TokenId};
use crate::meter::Adjustment;
use crate::policy::Statement;
use crate::profile::Setting;
use crate::quota::QuotaKind;
use crate::ramp::Selector;
use crate::slo::{Plan, Thresholds};
use crate::untrusted::UntrustedText;
use std::collections::BTreeSet;

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
        comment: UntrustedText,
    },
    /// Says that an incident is over. Belongs to the log where the incident is.
    IncidentClose {
        /// Which.
        incident: [u8; 16],
        /// How.
        comment: UntrustedText,
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
}
