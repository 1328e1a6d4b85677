//! Bodies of the HTTP API. Requests refuse unknown fields, and every request of a workload names its tenant.
//!
//! A mutation may carry `Idempotency-Key: <1 to 128 visible ASCII characters>`. A denial is a problem document
//! (RFC 9457) with the reasons and the receipt.

use crate::checkpoint::SignedCheckpoint;
use crate::config::Difference;
use crate::fact::{ActorType, ChangeClass, Env, Outcome, Verdict};
use crate::fold::ControlState;
use crate::freeze::Window;
use crate::ids::{CommandId, Ident, NodeId, Origin, RunId, TenantUid};
use crate::meter::{Labels, Sums};
use crate::profile::{BreakGlass, Freeze, PolicyOutage};
use crate::ramp::Selector;
use crate::reason::Reason;
use crate::shown::Text;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// No request body is larger.
pub const MAX_BODY: usize = 64 * 1024;
/// No step name, subject or approval name is longer, in bytes.
pub const MAX_NAME: usize = 512;
/// Header with the idempotency key.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Where a receipt stands. With it anybody can ask for its proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRef {
    /// Whose log.
    pub origin: Origin,
    /// Place in it.
    pub index: u64,
}

/// `POST /v1/runs`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    pub subject: Option<Text>,
    /// SHA-256 of the prompt that the workflow runs with, 64 hex digits; asked for where the catalog pins one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_sha256: Option<String>,
}

fn default_action() -> Ident {
    // "run" is an identifier; the fallback cannot be reached.
    Ident::new("run").unwrap_or_else(|_| unreachable!("\"run\" is an identifier"))
}

/// `POST /v1/runs/{run}/steps`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartStep {
    /// Display id of the tenant.
    pub tenant_id: Ident,
    /// What the workflow calls the step.
    pub name: Text,
}

/// `POST /v1/runs/{run}/steps/{step}/finish`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishStep {
    /// Display id of the tenant.
    pub tenant_id: Ident,
    /// `succeeded`, `failed` or `cancelled`.
    pub outcome: Outcome,
    /// The workload's claim, whole microseconds.
    pub duration_us: u64,
    /// The workload's claim.
    pub bytes_in: u64,
    /// The workload's claim.
    pub bytes_out: u64,
}

/// `POST /v1/runs/{run}/finish`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishRun {
    /// Display id of the tenant.
    pub tenant_id: Ident,
    /// `succeeded` or `failed`.
    pub outcome: Outcome,
}

/// `POST /v1/runs/{run}/heartbeat` and `POST /v1/runs/{run}/cancel`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfTenant {
    /// Display id of the tenant.
    pub tenant_id: Ident,
}

/// `POST /v1/runs/{run}/approvals`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecideApproval {
    /// Display id of the tenant.
    pub tenant_id: Ident,
    /// What was decided about.
    pub name: Text,
    /// Who decided.
    pub approver: Text,
    /// Yes or no.
    pub approved: bool,
}

/// Answer to a request of a workload that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A problem document (RFC 9457) with Conductor's members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank`, or `urn:conductor:reason:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short and fixed for the type.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened here, and how to mend it.
    pub detail: String,
    /// `deny` for a decision; absent for a request that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Verdict>,
    /// Every reason that applies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// The receipt of this denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptRef>,
    /// The same denial was given less than a second ago, and `receipt` is that one's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub folded: bool,
    /// After how many microseconds a retry can succeed, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_us: Option<u64>,
}

/// `GET /v1/node`, open to any session or tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its id.
    pub node_id: NodeId,
    /// Its name.
    pub name: Ident,
    /// Environment, a word: production, staging, rehearsal...
    pub environment: Ident,
    /// Version of the program.
    pub version: String,
    /// The agent's time, microseconds since the Unix epoch.
    pub now_us: u64,
    /// Random, for this start.
    pub boot: String,
}

/// `POST /v1/sessions/challenge`: nothing in, this out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// 32 hex digits; used once, within a minute.
    pub challenge: String,
    /// The node.
    pub node: NodeInfo,
}

/// `POST /v1/sessions`: a signed [`crate::session::Session`]. Also the body of `POST /v1/commands` with a signed
/// [`crate::command::Command`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedText {
    /// The exact text.
    pub text: String,
    /// Its minisign file.
    pub signature: String,
    /// Minisign public key, base64, so that the agent need not try them all. Trusted only when enrolled.
    pub public_key: String,
}

/// Answer to `POST /v1/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOpened {
    /// Bearer token for reading.
    pub token: String,
    /// In the agent's time.
    pub expires_at_us: u64,
    /// Short name of the person.
    pub person: Ident,
    /// Their roles.
    pub roles: Vec<String>,
}

/// What became of a command on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOutcome {
    /// The command.
    pub command_id: CommandId,
    /// What became of it.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    /// As in [`crate::command::Operation::to_list`].
    pub operation: Vec<String>,
}

/// Answer: class, base to sign, and the exact blast radius over the last hour's requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    pub why: Option<Text>,
    /// The receipt in words, shown safely.
    pub words: String,
    /// What differs in the configuration; empty where it was something else, a token for instance.
    pub differences: Vec<Difference>,
}

/// `GET /v1/tenants/{tenant}/config/{revision}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// `GET /v1/freezes`: profiles with their windows, and what is frozen or under break-glass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeList {
    /// The agent's time, microseconds since the Unix epoch.
    pub now_us: u64,
    /// In order of name; `default` is always there.
    pub profiles: Vec<ProfileRow>,
    /// The node's own log first, then each tenant of which there is something to tell, in order of display id.
    pub tenants: Vec<FreezeRow>,
}

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRow {
    /// Its name.
    pub profile: Ident,
    /// Logs that it governs.
    pub governs: u64,
    /// See [`crate::profile::Profile`].
    pub break_glass_alone: bool,
    /// See [`crate::profile::Profile`].
    pub policy_outage: PolicyOutage,
    /// See [`crate::profile::Profile`].
    pub last_known_s: u64,
    /// In order of name.
    pub windows: Vec<WindowRow>,
}

/// A freeze window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowRow {
    /// Its name.
    pub window: Ident,
    /// When it is open.
    pub when: Window,
    /// It is open, by the facts on record.
    pub active: bool,
    /// When it opens or closes next; `None` when it never does.
    pub next_us: Option<u64>,
    /// Whether it is open then.
    pub next_active: bool,
}

/// What freezes a log, and what lifts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeRow {
    /// The tenant, or zeros for the node's own log.
    pub tenant_uid: TenantUid,
    /// Display id.
    pub tenant_id: Ident,
    /// The profile that governs it.
    pub profile: Ident,
    /// A freeze is on.
    pub frozen: bool,
    /// Freezes that were set on the spot.
    pub freezes: BTreeMap<Ident, Freeze>,
    /// Break-glass, while it is open.
    pub break_glass: Option<BreakGlass>,
}

/// `GET /v1/policy`: which bundle holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyShown {
    /// Revision; 0 is the bundle built in.
    pub revision: u64,
    /// SHA-256 of its files, hex.
    pub digest: String,
    /// When it is over, microseconds since the Unix epoch; never for the one built in.
    pub expires_at_us: Option<u64>,
    /// Who evaluates: `embedded` or `opa`.
    pub engine: String,
    /// Why it does not answer, shown safely; empty when it does.
    pub trouble: String,
    /// The key whose bundles are believed, base64.
    pub trusted_key: Option<String>,
}

/// The files of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleFiles {
    /// Gzipped tar, base64.
    pub archive: String,
}

/// The agent has the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleKept {
    /// SHA-256 of the files, hex.
    pub digest: String,
}

/// An input to explain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// As in `policies/input.schema.json`.
    pub input: serde_json::Value,
}

/// What policy says, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Go ahead.
    pub allow: bool,
    /// Why not, in words, shown safely.
    pub reasons: Vec<String>,
    /// By which bundle.
    pub revision: u64,
    /// SHA-256 of its files, hex.
    pub digest: String,
}

/// `GET /v1/approvals`: what waits for other persons on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestList {
    /// Oldest first within a tenant.
    pub requests: Vec<RequestRow>,
}

/// A change that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// `GET /v1/tenants/{uid}/slo`: what is seen under each ramp, as of the last judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SloList {
    /// The tenant.
    pub tenant_uid: TenantUid,
    /// By rule.
    pub ramps: Vec<SloStatus>,
}

/// What is seen under one revision of a ramp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SloStatus {
    /// The rule.
    pub selector: crate::ramp::Selector,
    /// Its value, hundredths of a percent.
    pub hundredths: u16,
    /// Its revision.
    pub revision: u64,
    /// `breached`, `healthy`, `no_data` or `error`.
    pub verdict: String,
    /// Runs that settled: succeeded, failed, lost.
    pub settled: u64,
    /// Of these, failed and lost.
    pub failed: u64,
    /// Steps whose latency was seen.
    pub steps: u64,
    /// Their p99, microseconds; never more than the real one, and at most a sixteenth less.
    pub p99_us: Option<u64>,
    /// Observed uptime under the revision, microseconds.
    pub up_us: u64,
    /// What it must bake, likewise.
    pub bake_us: u64,
    /// What it is held to.
    pub thresholds: crate::slo::Thresholds,
    /// Its plan, if one is carried on.
    pub plan: Option<String>,
    /// Number of the plan's step, from 0.
    pub step: Option<u64>,
    /// The lowest value that it was rolled back from, unless overridden.
    pub rolled_back_from: Option<u16>,
}

/// `GET /v1/incidents` and `GET /v1/tenants/{uid}/incidents`: what is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentList {
    /// Newest first, at most 500.
    pub incidents: Vec<IncidentRow>,
}

/// An open incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentRow {
    /// Whose log it is in; zeros for the node's.
    pub tenant_uid: TenantUid,
    /// Display id.
    pub tenant_id: Ident,
    /// Its id, hex.
    pub incident: String,
    /// A word.
    pub cause: Ident,
    /// What happened.
    pub detail: Text,
    /// The receipt that opened it.
    pub receipt: ReceiptRef,
    /// Receipt time of that, microseconds since the Unix epoch.
    pub since_us: u64,
    /// When it began, as far as is known, likewise.
    pub began_us: Option<u64>,
    /// When it was noticed, likewise.
    pub detected_us: Option<u64>,
    /// Indices of the receipts that prove it, in the same log.
    pub receipts: Vec<u64>,
    /// Who looks after it.
    pub acknowledged_by: Option<Ident>,
    /// When they said so.
    pub acknowledged_us: Option<u64>,
    /// What they said.
    pub comment: Option<Text>,
}

/// `GET /v1/tenants/{uid}/timeline`: control facts in order, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The log.
    pub origin: Origin,
    /// Oldest first, at most 200.
    pub rows: Vec<TimelineRow>,
    /// Give it as `after` for the next page; none when this is the last one.
    pub next: Option<u64>,
}

/// One entry of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineRow {
    /// Index in the log.
    pub index: u64,
    /// Receipt time, microseconds since the Unix epoch.
    pub time_us: u64,
    /// Name of the kind of fact.
    pub kind: String,
    /// What happened, safe to show.
    pub words: String,
    /// Who did it, where somebody did.
    pub person: Option<Ident>,
    /// The incident that it is about, hex.
    pub incident: Option<String>,
    /// Of an incident's evidence: how long it went unnoticed, microseconds.
    pub unnoticed_us: Option<u64>,
}

/// A row of [`Preview::by_workflow`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// `GET /v1/tenants/{uid}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantDetail {
    /// Its uid.
    pub tenant_uid: TenantUid,
    /// Control state as of `size`.
    pub control: ControlState,
    /// Entries of its log that are durable.
    pub size: u64,
    /// Root of those, base64.
    pub root: String,
    /// Newest signed checkpoint.
    pub checkpoint: Option<SignedCheckpoint>,
    /// Open runs.
    pub open_runs: u64,
}

/// A field of a receipt, disclosed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldJson {
    /// Name in the schema.
    pub name: String,
    /// Canonical bytes of [`crate::record::Disclosed`], base64: what a verifier checks.
    pub disclosure: String,
    /// The same for people, shown safely: names and values, nested for groups. Not proof of anything.
    pub shown: String,
}

/// One receipt, as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptJson {
    /// Place in the log.
    pub index: u64,
    /// Receipt time, microseconds since the Unix epoch.
    pub time_us: u64,
    /// Kind number.
    pub kind: u16,
    /// Kind name, or `unknown` when this agent does not know it.
    pub kind_name: String,
    /// Header and digests ([`crate::record::Sealed`]), base64.
    pub sealed: String,
    /// Disclosed fields; fewer than there are digests when some were erased or withheld.
    pub fields: Vec<FieldJson>,
    /// One line that says what happened, shown safely.
    pub summary: String,
    /// For work: the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// `GET /v1/tenants/{uid}/receipts?from=&limit=` (`limit` at most 500; `from` may be `-n` for the last n)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptPage {
    /// Whose log.
    pub origin: Origin,
    /// Entries that are durable.
    pub size: u64,
    /// In order of index.
    pub receipts: Vec<ReceiptJson>,
    /// Where to go on, when there is more.
    pub next: Option<u64>,
}

/// Type line of [`ReceiptBundle`] and [`RangeBundle`].
pub const BUNDLE_TYPE: &str = "conductor/receipts/v1";

/// `GET /v1/tenants/{uid}/receipts/{index}/proof`: one receipt with all that verifies it, but no key: whoever verifies
/// has the key already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptBundle {
    /// [`BUNDLE_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The receipt.
    pub receipt: ReceiptJson,
    /// Audit path from leaf to root, base64 each.
    pub proof: Vec<String>,
    /// The checkpoint the path leads to; `None` while none covers the receipt.
    pub checkpoint: Option<SignedCheckpoint>,
}

/// `GET /v1/tenants/{uid}/receipts/export?from=&to=`, JSON lines: first this, then one [`ReceiptJson`] a line, in
/// order and without a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeBundle {
    /// [`BUNDLE_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// First index.
    pub from: u64,
    /// One after the last index.
    pub to: u64,
    /// Audit path of the first entry, base64 each.
    pub first_proof: Vec<String>,
    /// Audit path of the last entry, base64 each. With the first one it proves the range whole.
    pub last_proof: Vec<String>,
    /// The checkpoint they lead to.
    pub checkpoint: Option<SignedCheckpoint>,
}

/// `GET /v1/tenants/{uid}/checkpoint`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// Whose log.
    pub origin: Origin,
    /// Entries that are durable.
    pub size: u64,
    /// Root of those, base64; not signed.
    pub root: String,
    /// Newest signed checkpoint.
    pub checkpoint: Option<SignedCheckpoint>,
}

/// `GET /v1/tenants/{uid}/consistency?from=&to=`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consistency {
    /// Whose log.
    pub origin: Origin,
    /// Older size.
    pub from: u64,
    /// Newer size.
    pub to: u64,
    /// Root of the newer, base64.
    pub to_root: String,
    /// Hashes, base64 each.
    pub proof: Vec<String>,
}

/// `GET /v1/tenants/{uid}/totals`: exact sums of everything since the log began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// The tenant.
    pub tenant_uid: TenantUid,
    /// Sum of the rows.
    pub total: Sums,
    /// By labels.
    pub by_labels: Vec<TotalsRow>,
}

/// A row of [`Totals`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalsRow {
    /// Labels.
    pub labels: Labels,
    /// Sums.
    pub sums: Sums,
}

/// How a sink is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// Its name.
    pub name: Ident,
    /// Where it goes.
    pub target: String,
    /// Events delivered since the agent started.
    pub delivered: u64,
    /// Deliveries that failed since the agent started.
    pub failures: u64,
    /// Events that the receiver would not take.
    pub dead_letters: u64,
    /// Receipts whose events were not delivered yet.
    pub waiting_receipts: u64,
    /// How long something has waited, microseconds.
    pub lag_us: u64,
    /// Why it does not deliver now; empty when it does.
    pub trouble: String,
}

/// `GET /v1/sinks`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkList {
    /// As configured.
    pub sinks: Vec<SinkStatus>,
}

/// An event that a receiver would not take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its place in the log: ask on with `after` of the last.
    pub number: u64,
    /// What the receiver said.
    pub why: Text,
    /// It, as it would be delivered.
    pub event: serde_json::Value,
}

/// `GET /v1/tenants/{tenant}/dead-letters`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetters {
    /// Oldest first.
    pub letters: Vec<DeadLetter>,
}

/// `GET /v1/tenants/{tenant}/usage/recount`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recount {
    /// The tenant.
    pub tenant_uid: TenantUid,
    /// Receipts that were read.
    pub receipts: u64,
    /// Of these, erased ones, whose part of the rollups cannot be counted again.
    pub erased: u64,
    /// Empty when rollups and receipts agree.
    pub differences: Vec<RecountDifference>,
}

/// Where rollups and receipts differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecountDifference {
    /// What: `slot`, `day`, or the bytes kept when a day began.
    pub what: String,
    /// Number of the slot or day since the Unix epoch.
    pub number: u32,
    /// Labels.
    pub labels: Option<Labels>,
    /// As the rollups have it.
    pub rollups: String,
    /// As the receipts say.
    pub receipts: String,
}

/// A rule, for `conductor ramp show --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RampRow {
    /// The rule.
    pub selector: Selector,
    /// Its value.
    pub hundredths: u16,
    /// Its revision.
    pub revision: u64,
    /// What a rollback would set.
    pub rollback_to: u16,
}

/// `GET /v1/tenants`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantList {
    /// In order of display id.
    pub tenants: Vec<TenantRow>,
}

/// A row of [`TenantList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRow {
    /// Its uid.
    pub tenant_uid: TenantUid,
    /// Its display id.
    pub tenant_id: Ident,
    /// Durable entries of its log.
    pub size: u64,
    /// Of these, covered by a signed checkpoint.
    pub signed: u64,
    /// Open runs.
    pub open_runs: u64,
}

/// `GET /v1/runs/{run}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
