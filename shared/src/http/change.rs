//! Changes: the outcome of commands, previews, pending approvals, and past configurations.

use super::ReceiptRef;
use crate::config::Difference;
use crate::control::ControlState;
use crate::fact::ChangeClass;
use crate::ids::{CommandId, Ident, TenantUid};
use crate::reason::Reason;
use crate::untrusted::UntrustedText;
use serde::{Deserialize, Serialize};

/// Outcome of a command on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandStatus {
    /// It has taken effect.
    Effective,
    /// It never will.
    Abandoned,
    /// It waits for another person's approval.
    Requested,
    /// Somebody refused it.
    Refused,
}

/// Answer to `POST /v1/commands` that was not denied outright.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CommandOutcome {
    /// The command.
    pub command_id: CommandId,
    /// Its outcome.
    pub status: CommandStatus,
    /// Class as computed by the agent.
    pub class: ChangeClass,
    /// The receipt: of the change, or of its end.
    pub receipt: ReceiptRef,
    /// The receipt of the proposal, for a loosening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<ReceiptRef>,
    /// Why it was abandoned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// State of the object before.
    pub before: Vec<String>,
    /// State of the object after.
    pub after: Vec<String>,
}

/// `POST /v1/tenants/{uid}/preview`: what would this change do?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    /// As in [`crate::command::Operation::to_list`].
    pub operation: Vec<String>,
}

/// Answer: class, base to sign, and the exact blast radius over the last hour's requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Preview {
    /// Class as the agent computes it now.
    pub class: ChangeClass,
    /// Digest of the object's state, hex: the `base` of a loosening.
    pub base: String,
    /// State of the object now.
    pub before: Vec<String>,
    /// State of the object then.
    pub after: Vec<String>,
    /// Start of the hour looked at, microseconds since the Unix epoch.
    pub since_us: u64,
    /// Run requests in that hour; denials that were folded count as many times as they came.
    pub requests: u64,
    /// Of these, denied by catalog, ramp and kill switches as they are now, and allowed by them under the change.
    pub newly_allowed: u64,
    /// Of these, allowed by catalog, ramp and kill switches as they are now, and denied by them under the change.
    pub newly_denied: u64,
    /// The same by workflow type, largest first, at most 50.
    pub by_workflow: Vec<PreviewRow>,
    /// Runs open now that the change would stop at their next step.
    pub open_runs_stopped: u64,
    /// Approvals by other persons that it takes.
    #[serde(default)]
    pub approvals: u64,
    /// A freeze forbids it now.
    #[serde(default)]
    pub frozen: bool,
}

/// `GET /v1/tenants/{tenant}/config`: changes that took effect, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ConfigHistory {
    /// Whose.
    pub tenant_uid: TenantUid,
    /// The present revision.
    pub revision: u64,
    /// At most as many as were asked for.
    pub rows: Vec<ConfigRow>,
    /// Older ones are before this revision; `None` when there are none.
    pub next: Option<u64>,
}

/// One revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ConfigRow {
    /// Counts the changes of the log that took effect.
    pub revision: u64,
    /// Index of the receipt that made it.
    pub index: u64,
    /// Receipt time, microseconds since the Unix epoch.
    pub time_us: u64,
    /// Who asked for it; `None` where the agent did it, or nobody knows the name any more.
    pub person: Option<Ident>,
    /// Why.
    pub why: Option<UntrustedText>,
    /// The receipt in words, escaped for display.
    pub words: String,
    /// What differs in the configuration; empty where it was something else, a token for instance.
    pub differences: Vec<Difference>,
}

/// `GET /v1/tenants/{tenant}/config/{revision}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ConfigRevision {
    /// Whose.
    pub tenant_uid: TenantUid,
    /// Which.
    pub revision: u64,
    /// Index of the receipt that made it.
    pub index: u64,
    /// Receipt time, microseconds since the Unix epoch.
    pub time_us: u64,
    /// The state after it.
    pub control: ControlState,
}

/// `GET /v1/approvals`: what waits for other persons on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RequestList {
    /// Oldest first within a tenant.
    pub requests: Vec<RequestRow>,
}

/// A change that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RequestRow {
    /// Whose log it waits in.
    pub tenant_uid: TenantUid,
    /// Display id.
    pub tenant_id: Ident,
    /// The command.
    pub command_id: CommandId,
    /// Exact text of the command: what an approver is shown, and whose SHA-256 they sign.
    pub text: String,
    /// Class as computed when it was asked for.
    pub class: ChangeClass,
    /// Who asked.
    pub person: Ident,
    /// Approvals that it takes.
    pub needed: u64,
    /// Who approved so far.
    pub approved: Vec<Ident>,
    /// When it ends, microseconds since the Unix epoch.
    pub expires_at_us: u64,
    /// Its receipt.
    pub receipt: ReceiptRef,
}

/// A row of [`Preview::by_workflow`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PreviewRow {
    /// Workflow type.
    pub workflow_type: Ident,
    /// Run requests.
    pub requests: u64,
    /// See [`Preview::newly_allowed`].
    pub newly_allowed: u64,
    /// See [`Preview::newly_denied`].
    pub newly_denied: u64,
}
