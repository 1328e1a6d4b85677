//! Every machine-readable reason an answer can carry. A table in code: the docs and the HTTP status are made from it.
//! A reason without a word on its state is in use; `tests/house` checks the state of each against the code.

use serde::{Deserialize, Serialize};

/// Whether a reason can be met. A code is never used for anything else, whatever its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasonState {
    /// An agent answers with it.
    InUse,
    /// No agent answers with it yet: it comes with this row of SPEC.
    Reserved(&'static str),
    /// No agent answers with it any more; old receipts still name it.
    Retired,
}

impl std::fmt::Display for ReasonState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse => f.write_str("in use"),
            Self::Reserved(row) => write!(f, "reserved for {row}"),
            Self::Retired => f.write_str("retired"),
        }
    }
}

macro_rules! reasons {
    (@state) => { ReasonState::InUse };
    (@state $state:expr) => { $state };
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $status:literal, $remedy:literal $(, $state:expr)?;)*) => {
        /// Why a request was denied. The code is public and never changes meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum Reason {
            $($(#[doc = $doc])+ #[serde(rename = $code)] $variant,)*
        }
        impl Reason {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),*];
            /// The public code.
            pub fn code(self) -> &'static str { match self { $(Reason::$variant => $code),* } }
            /// HTTP status of a denial whose first reason this is.
            pub fn status(self) -> u16 { match self { $(Reason::$variant => $status),* } }
            /// What happened, in a sentence.
            pub fn description(self) -> &'static str { match self { $(Reason::$variant => concat!($($doc),+)),* } }
            /// How to fix it.
            pub fn remedy(self) -> &'static str { match self { $(Reason::$variant => $remedy),* } }
            /// Whether it can be met.
            pub fn state(self) -> ReasonState { match self { $(Reason::$variant => reasons!(@state $($state)?)),* } }
            /// From the public code.
            pub fn from_code(code: &str) -> Option<Self> { match code { $($code => Some(Reason::$variant),)* _ => None } }
        }
    };
}

reasons! {
    /// The tenant already has as many open runs as its quota grants.
    QuotaConcurrentRuns = "quota_concurrent_runs", 429, "Wait for a run to finish, or raise the quota.";
    /// The tenant starts steps faster than its quota grants.
    QuotaStepRate = "quota_step_rate", 429, "Wait for the time in Retry-After, or raise the quota.";
    /// Too many of the tenant's receipts wait for a signed checkpoint.
    QuotaReceiptBacklog = "quota_receipt_backlog", 429, "Bring the signer back; the backlog is then signed by itself.";
    /// The tenant has as much evidence as its quota grants.
    QuotaEvidenceBytes = "quota_evidence_bytes", 429, "Delete evidence, or raise the quota.", ReasonState::Reserved("1.3");
    /// Too many requests of this tenant wait already.
    QueueFull = "queue_full", 429, "Send fewer requests at a time.";
    /// The subject is not among those the ramp includes.
    RampExcluded = "ramp_excluded", 403, "Raise the ramp when the rollout is healthy.";
    /// A kill switch covers this work.
    Killed = "killed", 403, "Find out why it was killed; an operator can lift it.";
    /// A kill switch lets open runs finish and starts no new ones.
    KilledDraining = "killed_draining", 403, "Find out why it was killed; an operator can lift it.";
    /// The workflow type is not in the tenant's catalog.
    WorkflowUnknown = "workflow_unknown", 403, "Register the workflow type for the tenant.";
    /// The catalog pins another prompt for the workflow type than the run declares.
    PromptMismatch = "prompt_mismatch", 403, "Run the workflow with the pinned prompt, or have the new one pinned.";
    /// The run is not known to this agent.
    RunUnknown = "run_unknown", 404, "Start the run first; ask the agent that started it.";
    /// The run is over: finished, cancelled or lost.
    RunClosed = "run_closed", 409, "Start a new run.";
    /// The step is not known in this run.
    StepUnknown = "step_unknown", 404, "Start the step first.";
    /// The step is over: finished, cancelled or lost.
    StepClosed = "step_closed", 409, "Start a new step.", ReasonState::Reserved("invariant 1");
    /// The run has more open steps than one run may have.
    StepsTooMany = "steps_too_many", 429, "Finish open steps first.";
    /// No credentials, or credentials that are not valid.
    Unauthenticated = "unauthenticated", 401, "Send a valid bearer token, or use the tenant's own socket.";
    /// The request names a tenant that its credentials do not belong to, or none.
    ScopeMismatch = "scope_mismatch", 403, "Send the tenant_id that the token was issued for.";
    /// The tenant's partition was replaced, by a restore or a purge, after the request was taken.
    PartitionReplaced = "partition_replaced", 409, "Send it again.";
    /// The same idempotency key came with another body.
    IdempotencyConflict = "idempotency_conflict", 409, "Use a new key for a new request.";
    /// The receipt could not be made durable, so nothing was done.
    StoreUnavailable = "store_unavailable", 503, "See the agent's log; retry with the same idempotency key.";
    /// The signer does not answer, so nothing may be loosened.
    SignerUnavailable = "signer_unavailable", 503, "Bring the signer back (conductor-signer status).";
    /// No valid policy answers.
    PolicyUnavailable = "policy_unavailable", 503, "Load a valid bundle.";
    /// Policy denies it.
    PolicyDenied = "policy_denied", 403, "Ask for an explanation (conductor policy explain).";
    /// Policy kept changing while the request was decided.
    PolicyContention = "policy_contention", 503, "Retry.";
    /// The bundle is not signed by the policy key, is not what was signed, has expired, or cannot be evaluated.
    BundleInvalid = "bundle_invalid", 400, "Build and sign it again (conductor policy build, sign); trust the key that signed it.";
    /// The bundle is not newer than the one that is loaded.
    BundleOlder = "bundle_older", 409, "Build it with a higher revision.";
    /// The way out of a broken policy is for two admins on the node itself.
    RecoverLocal = "recover_local", 403, "Ask for it and approve it as admins, over the agent's unix socket.";
    /// The log found at start is not the one that was signed: the agent only reads.
    LogRolledBack = "log_rolled_back", 503, "Restore the newer data, or recover under two admins.";
    /// A row of the tenant's partition cannot be what it is: nothing is decided there; other tenants are served.
    PartitionDamaged = "partition_damaged", 503, "See the incident on the node; restore the tenant.";
    /// The command's signature does not verify, or its key is not enrolled.
    SignatureInvalid = "signature_invalid", 403, "Sign with an enrolled operator key.";
    /// Whoever signed the command, or asks, lacks the role.
    RoleMissing = "role_missing", 403, "Ask somebody who has the role.";
    /// The command was carried out before.
    CommandReplayed = "command_replayed", 409, "Sign a new command.";
    /// The command's time is over, or not begun.
    CommandExpired = "command_expired", 403, "Sign it again; compare the clocks.";
    /// The command is addressed to other nodes.
    CommandAudience = "command_audience", 403, "Sign it for this node.";
    /// What the command wants to change has changed since it was shown.
    BaseStale = "base_stale", 409, "Look at the present state and sign again.";
    /// The command would make something looser, but claims to tighten.
    WouldLoosen = "would_loosen", 409, "Sign it as a loosening, with the base that was shown.";
    /// The object of the command does not exist.
    ObjectUnknown = "object_unknown", 404, "Check the name.";
    /// The object of the command exists already.
    ObjectExists = "object_exists", 409, "Choose another name.";
    /// The name reads as an id or as a reserved word, so that the one could be taken for the other.
    NameReserved = "name_reserved", 400, "Choose another name: neither the word node nor 16 or 32 hex digits.";
    /// The new key's own signature over the statement of whose it is does not verify.
    ProofInvalid = "proof_invalid", 400, "Sign the statement with the key that is to be enrolled (conductor operator statement).";
    /// It would leave nobody who can administer the node.
    LastAdmin = "last_admin", 409, "Enrol another admin first.";
    /// Whoever asked for it cannot approve it, under any of their keys.
    SelfApproval = "self_approval", 403, "Ask another person.";
    /// The approver's key or role is younger than the request.
    ApproverTooNew = "approver_too_new", 403, "Ask a person who had the role before.";
    /// Somebody refused it.
    RequestRefused = "request_refused", 403, "Ask why; ask again with a new command.";
    /// A checkpoint that covers the proposal did not come in time; nothing was loosened.
    CheckpointTimeout = "checkpoint_timeout", 503, "Bring the signer back and sign the command again.";
    /// This node holds as many tenants as it may.
    TenantsTooMany = "tenants_too_many", 507, "Place the tenant on another node.";
    /// More was changed by one person than one person may change in this time.
    TightenLimit = "tighten_limit", 429, "Let a second person approve it, or wait until the time is over.";
    /// The log holds as many of these as it may.
    RulesTooMany = "rules_too_many", 409, "Remove what is no longer needed, or set a rule that covers more.";
    /// The run has as many different approval decisions as one run may have.
    ApprovalsTooMany = "approvals_too_many", 429, "Start a new run.";
    /// The ramp was rolled back from there by what was seen, and nobody has overridden that.
    RevisionBad = "revision_bad", 409, "Find out why it was rolled back; then: conductor ramp override.";
    /// A freeze is on: nothing is loosened, and nothing is done that cannot be taken back.
    Frozen = "frozen", 403, "Wait for its end (conductor freeze show), or open break-glass with a second person (conductor breakglass open).";
    /// There are as many profiles, windows or freezes as there may be.
    FreezesTooMany = "freezes_too_many", 409, "Remove one first.";
    /// The wall clock was stepped: nothing is loosened, and nothing is done that cannot be taken back.
    ClockUntrusted = "clock_untrusted", 503, "Set the clock right; then two admins on the node itself: conductor recover time.";
    /// The rate card is not signed by the billing key, cannot be read, is in another currency or unit than those before,
    /// or there are as many as there may be.
    RateCardInvalid = "rate_card_invalid", 400, "Fix and sign it again (conductor rate check); trust the key that signed it.";
    /// The rate card's version is not higher than that of the newest.
    RateCardOlder = "rate_card_older", 409, "Give it a higher version.";
    /// The correction counts in a period that has not begun, or that began more than 400 days ago; or the month that is
    /// reconciled is not over.
    PeriodInvalid = "period_invalid", 400, "Look at the period; wait for its end.";
    /// The agent may open no socket for one more tenant: its limit of open files does not allow it.
    SocketsTooMany = "sockets_too_many", 507, "Raise LimitNOFILE and restart the agent, or deny the local users of another tenant.";
    /// The agent's disk or writer is held up, and there was no decision in time. What was asked may still take effect.
    DecisionLate = "decision_late", 503, "Ask again with the same idempotency key, or look whether it took effect.";
    /// The agent is stopping.
    Stopping = "stopping", 503, "Retry; the service manager starts it again.";
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.code())
    }
}

/// A set of reasons without allocation: the hot decision fills one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Reasons(u128);

impl Reasons {
    /// Adds one.
    pub fn add(&mut self, r: Reason) {
        self.0 |= 1 << r as u32;
    }
    /// True when there is none: go ahead.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// True when the set holds this reason.
    pub fn has(self, r: Reason) -> bool {
        self.0 & 1 << r as u32 != 0
    }
    /// In the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::ALL.iter().copied().filter(move |r| self.has(*r))
    }
    /// Their codes.
    pub fn codes(self) -> Vec<String> {
        self.iter().map(|r| r.code().to_owned()).collect()
    }
}

impl Extend<Reason> for Reasons {
    fn extend<I: IntoIterator<Item = Reason>>(&mut self, more: I) {
        more.into_iter().for_each(|r| self.add(r));
    }
}

impl From<Reason> for Reasons {
    fn from(r: Reason) -> Self {
        let mut s = Self::default();
        s.add(r);
        s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC, Words (decision): reason codes are unique, stable words, each with its cure.
    #[test]
    fn the_table_is_sound() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|r| r.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(Reason::ALL.len() <= 64, "Reasons holds 64");
        for r in Reason::ALL {
            assert_eq!(Reason::from_code(r.code()), Some(*r));
            assert!(r.description().trim().ends_with('.') && r.remedy().ends_with('.'), "{r:?}");
            assert!((400..600).contains(&r.status()));
        }
    }
}
