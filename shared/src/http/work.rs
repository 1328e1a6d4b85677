//! What a workload asks and hears: runs, steps, approvals, and the decision about each.

use super::MAX_NAME;
use crate::fact::{ActorType, Env, Outcome, Verdict};
use crate::ids::{Ident, Origin, RunId};
use crate::meter::{MAX_CLAIM_BYTES, MAX_CLAIM_US};
use crate::untrusted::UntrustedText;
use serde::{Deserialize, Serialize};

/// Where a receipt stands. With it anybody can ask for its proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ReceiptRef {
    /// Whose log.
    pub origin: Origin,
    /// Place in it.
    pub index: u64,
}

/// `POST /v1/runs`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRun {
    /// Display id of the tenant; must be the one the credentials belong to.
    pub tenant_id: Ident,
    /// From the tenant's catalog.
    pub workflow_type: Ident,
    /// Environment.
    pub env: Env,
    /// Who or what sets the run off.
    pub actor_type: ActorType,
    /// What is asked for; `run` unless given.
    #[serde(default = "default_action")]
    pub action: Ident,
    /// Whom the work is for: the ramp keeps a subject on one side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_NAME))]
    pub subject: Option<UntrustedText>,
    /// SHA-256 of the prompt that the workflow runs with, 64 hex digits; asked for where the catalog pins one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub prompt_sha256: Option<String>,
}

fn default_action() -> Ident {
    // "run" is an identifier; the fallback cannot be reached.
    Ident::new("run").unwrap_or_else(|_| unreachable!("\"run\" is an identifier"))
}

/// `POST /v1/runs/{run}/steps`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartStep {
    /// Display id of the tenant.
    pub tenant_id: Ident,
    /// What the workflow calls the step.
    #[schemars(length(max = MAX_NAME))]
    pub name: UntrustedText,
}

/// `POST /v1/runs/{run}/steps/{step}/finish`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishStep {
    /// Display id of the tenant.
    pub tenant_id: Ident,
    /// `succeeded`, `failed` or `cancelled`.
    #[schemars(extend("enum" = ["succeeded", "failed", "cancelled"]))]
    pub outcome: Outcome,
    /// The workload's claim, whole microseconds.
    #[serde(deserialize_with = "super::whole")]
    #[schemars(range(max = MAX_CLAIM_US))]
    pub duration_us: u64,
    /// The workload's claim.
    #[serde(deserialize_with = "super::whole")]
    #[schemars(range(max = MAX_CLAIM_BYTES))]
    pub bytes_in: u64,
    /// The workload's claim.
    #[serde(deserialize_with = "super::whole")]
    #[schemars(range(max = MAX_CLAIM_BYTES))]
    pub bytes_out: u64,
}

/// `POST /v1/runs/{run}/finish`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishRun {
    /// Display id of the tenant.
    pub tenant_id: Ident,
    /// `succeeded` or `failed`.
    #[schemars(extend("enum" = ["succeeded", "failed"]))]
    pub outcome: Outcome,
}

/// `POST /v1/runs/{run}/heartbeat` and `POST /v1/runs/{run}/cancel`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfTenant {
    /// Display id of the tenant.
    pub tenant_id: Ident,
}

/// `POST /v1/runs/{run}/approvals`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideApproval {
    /// Display id of the tenant.
    pub tenant_id: Ident,
    /// What was decided about.
    #[schemars(length(max = MAX_NAME))]
    pub name: UntrustedText,
    /// Who decided.
    #[schemars(length(max = MAX_NAME))]
    pub approver: UntrustedText,
    /// Yes or no.
    pub approved: bool,
}

/// Answer to a request of a workload that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Decided {
    /// `allow`.
    pub decision: Verdict,
    /// The receipt of this answer.
    pub receipt: ReceiptRef,
    /// The run.
    pub run_id: RunId,
    /// The step, for requests about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// How long the lease of run and step is, whole microseconds; renew it by heartbeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_us: Option<u64>,
    /// False when no subject was given and the run itself was the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<bool>,
    /// The settle came too late: it was recorded, and revived nothing. What it had ended as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<Outcome>,
    /// The same was said before, and `receipt` is that one's: a heartbeat within half a lease, an approval, an end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub folded: bool,
}

/// `GET /v1/runs/{run}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunView {
    /// The run.
    pub run_id: RunId,
    /// Its workflow type.
    pub workflow_type: Ident,
    /// How it ended; `None` while it is open.
    pub outcome: Option<Outcome>,
    /// Receipt time of its start, microseconds since the Unix epoch.
    pub started_us: u64,
    /// Steps admitted.
    pub steps: u64,
    /// Of these, open.
    pub open_steps: u64,
}
