//! Every route of the HTTP API: a table in code, from which the `OpenAPI` document and the docs are made. The router is
//! written by hand, and each handler checks its caller itself.

use crate::fail_closed::Class;

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Anybody who reaches the socket.
    Anyone,
    /// A workload, for its own tenant only.
    Workload,
    /// An operator's session; or a workload, for its own tenant only.
    Reader,
    /// An operator's session.
    Operator,
    /// Whoever signed the body, or asks for what to sign.
    Signer,
}

/// One route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path, with `{parameters}`.
    pub path: &'static str,
    /// Who may call.
    pub caller: Caller,
    /// Class of the operation; for commands, the one computed decides.
    pub class: Class,
    /// Name, unique.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Type of the request body in [`crate::http`], or empty.
    pub request: &'static str,
    /// Type of the answer in [`crate::http`], or empty.
    pub response: &'static str,
    /// Query parameters.
    pub query: &'static [&'static str],
}

#[allow(clippy::too_many_arguments)] // one for each column of the table
const fn r(
    method: &'static str,
    path: &'static str,
    caller: Caller,
    class: Class,
    name: &'static str,
    summary: &'static str,
    bodies: (&'static str, &'static str),
    query: &'static [&'static str],
) -> Route {
    Route { method, path, caller, class, name, summary, request: bodies.0, response: bodies.1, query }
}

use Caller::{Anyone, Operator, Reader, Signer, Workload};
use Class::{Admit, Read, Settle, Tighten};

/// All routes. `{tenant}` is a tenant uid in hex, zeros for the node's own log; `{run}` a run id in hex.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    r("POST", "/v1/runs", Workload, Admit, "run_start", "May this run go ahead?", ("StartRun", "Decided"), &[]),
    r("GET", "/v1/runs/{run}", Workload, Read, "run_show", "An open or ended run", ("", "RunView"), &["tenant_id"]),
    r("POST", "/v1/runs/{run}/steps", Workload, Admit, "step_start", "May this step go ahead?", ("StartStep", "Decided"), &[]),
    r("POST", "/v1/runs/{run}/steps/{step}/finish", Workload, Settle, "step_finish", "A step ended", ("FinishStep", "Decided"), &[]),
    r("POST", "/v1/runs/{run}/heartbeat", Workload, Settle, "run_heartbeat", "Run and open steps are alive", ("OfTenant", "Decided"), &[]),
    r("POST", "/v1/runs/{run}/approvals", Workload, Settle, "approval_decide", "Somebody approved or rejected", ("DecideApproval", "Decided"), &[]),
    r("POST", "/v1/runs/{run}/finish", Workload, Settle, "run_finish", "A run ended", ("FinishRun", "Decided"), &[]),
    r("POST", "/v1/runs/{run}/cancel", Workload, Settle, "run_cancel", "A run is called off", ("OfTenant", "Decided"), &[]),
    r("POST", "/ofrep/v1/evaluate/flags/{*flag}", Workload, Read, "flag_evaluate", "OpenFeature: is this subject among those a ramp includes?", ("OfrepRequest", "Evaluation"), &[]),
    r("POST", "/ofrep/v1/evaluate/flags", Workload, Read, "flag_evaluate_all", "OpenFeature: the same of all workflow types", ("OfrepRequest", "Evaluations"), &[]),
    r("GET", "/v1/node", Reader, Read, "node_show", "Which agent this is, and its time", ("", "NodeInfo"), &[]),
    r("POST", "/v1/sessions/challenge", Signer, Read, "session_challenge", "A challenge to sign", ("", "Challenge"), &[]),
    r("POST", "/v1/sessions", Signer, Read, "session_open", "Opens a short session for reading", ("SignedText", "SessionOpened"), &[]),
    r("DELETE", "/v1/sessions", Operator, Read, "session_close", "Ends the session whose token it brings", ("", ""), &[]),
    r("POST", "/v1/commands", Signer, Tighten, "command", "Carries out a signed command", ("SignedText", "CommandOutcome"), &[]),
    r("POST", "/v1/approvals", Signer, Tighten, "approval", "Approves or refuses what another person asked for", ("SignedText", "CommandOutcome"), &[]),
    r("GET", "/v1/approvals", Operator, Read, "approval_list", "What waits for another person", ("", "RequestList"), &[]),
    r("GET", "/v1/freezes", Operator, Read, "freeze_list", "Profiles with their freeze windows, what is frozen, and break-glass", ("", "FreezeList"), &[]),
    r("GET", "/v1/tenants", Operator, Read, "tenant_list", "All tenants of this node", ("", "TenantList"), &[]),
    r("GET", "/v1/tenants/{tenant}", Reader, Read, "tenant_show", "Control state and log head", ("", "TenantDetail"), &[]),
    r("POST", "/v1/tenants/{tenant}/preview", Operator, Read, "preview", "Class and blast radius of a change", ("PreviewRequest", "Preview"), &[]),
    r("GET", "/v1/tenants/{tenant}/receipts", Reader, Read, "receipt_list", "Receipts in order", ("", "ReceiptPage"), &["from", "limit"]),
    r("GET", "/v1/tenants/{tenant}/receipts/export", Reader, Read, "receipt_export", "A range with what proves it whole, as JSON lines", ("", "RangeBundle"), &["from", "to"]),
    r("GET", "/v1/tenants/{tenant}/receipts/{index}/proof", Reader, Read, "receipt_proof", "A receipt with what proves it", ("", "ReceiptBundle"), &[]),
    r("GET", "/v1/tenants/{tenant}/checkpoint", Reader, Read, "log_head", "Head of the log and newest checkpoint", ("", "LogHead"), &[]),
    r("GET", "/v1/tenants/{tenant}/consistency", Reader, Read, "consistency", "Proof that the log only grew", ("", "Consistency"), &["from", "to"]),
    r("GET", "/v1/tenants/{tenant}/config", Reader, Read, "config_history", "Revisions of a tenant's configuration, newest first: who, why, and what differed", ("", "ConfigHistory"), &["before", "limit"]),
    r("GET", "/v1/tenants/{tenant}/config/{revision}", Reader, Read, "config_revision", "Control state as it was at a revision", ("", "ConfigRevision"), &[]),
    r("GET", "/v1/tenants/{tenant}/totals", Reader, Read, "totals", "Exact sums by labels", ("", "Totals"), &[]),
    r("GET", "/v1/tenants/{tenant}/usage", Reader, Read, "usage", "What was used in a period, by workflow type and environment", ("", "UsageAnswer"), &["range", "step", "group_by", "tz", "format"]),
    r("GET", "/tenants/{tenant}/usage", Reader, Read, "usage_short", "The same", ("", "UsageAnswer"), &["range", "step", "group_by", "tz", "format"]),
    r("GET", "/v1/tenants/{tenant}/usage/recount", Reader, Read, "usage_recount", "Counts every receipt again and names what differs from the rollups", ("", "Recount"), &[]),
    r("GET", "/v1/tenants/{tenant}/cost", Reader, Read, "cost", "What that costs, by the rate cards in effect", ("", "CostAnswer"), &["range", "step", "group_by", "tz", "format"]),
    r("GET", "/v1/tenants/{tenant}/cost/explain", Reader, Read, "cost_explain", "Where an amount comes from, down to the events", ("", "Explained"), &["range", "bucket", "workflow_type", "env", "actor_type", "tz", "after", "limit"]),
    r("GET", "/v1/sinks", Operator, Read, "sink_list", "Where metered events go, and how far they have come", ("", "SinkList"), &[]),
    r("GET", "/v1/tenants/{tenant}/dead-letters", Reader, Read, "dead_letters", "Events that a sink's receiver would not take", ("", "DeadLetters"), &["sink", "after", "limit"]),
    r("GET", "/v1/rates", Reader, Read, "rates", "Rate cards, and whose are believed", ("", "Rates"), &[]),
    r("GET", "/v1/policy", Operator, Read, "policy_show", "Which bundle holds, and who evaluates it", ("", "PolicyShown"), &[]),
    r("POST", "/v1/policy/bundles", Operator, Read, "policy_upload", "Gives the agent the files of a bundle; nothing goes by them yet", ("BundleFiles", "BundleKept"), &[]),
    r("GET", "/v1/policy/bundles/{digest}", Operator, Read, "policy_bundle", "The files of a bundle", ("", "BundleFiles"), &[]),
    r("POST", "/v1/policy/explain", Operator, Read, "policy_explain", "What policy says of an input, and why", ("ExplainRequest", "Explanation"), &[]),
    r("GET", "/v1/tenants/{tenant}/slo", Reader, Read, "slo_show", "What is seen under each ramp", ("", "SloList"), &[]),
    r("GET", "/v1/tenants/{tenant}/incidents", Reader, Read, "incident_list", "Open incidents of one log", ("", "IncidentList"), &[]),
    r("GET", "/v1/tenants/{tenant}/timeline", Reader, Read, "timeline", "Control facts in words; from and to in microseconds", ("", "Timeline"), &["from", "to", "after"]),
    r("GET", "/v1/incidents", Operator, Read, "incident_all", "Open incidents of this node and all its tenants", ("", "IncidentList"), &[]),
    r("GET", "/v1/stream", Operator, Read, "stream", "The stream of a console (WebSocket)", ("", ""), &[]),
    r("GET", "/v1/openapi.json", Anyone, Read, "openapi", "This table as OpenAPI 3.1", ("", ""), &[]),
    r("GET", "/healthz", Anyone, Read, "healthz", "The process is alive", ("", ""), &[]),
    r("GET", "/readyz", Anyone, Read, "readyz", "It can decide: the store writes", ("", ""), &[]),
    r("GET", "/metrics", Anyone, Read, "metrics", "Prometheus metrics", ("", ""), &[]),
];

/// First part of a workload's bearer token: `cdw_<tenant uid>_<token id>_<secret, 64 hex digits>`.
pub const WORKLOAD_TOKEN: &str = "cdw_";
/// First part of a session's bearer token: `cds_<64 hex digits>`.
pub const SESSION_TOKEN: &str = "cds_";

#[cfg(test)]
mod tests {
    use super::*;

    /// Issue 2, Agent: the routes are public names.
    #[test]
    fn the_table_of_routes() {
        let lines: Vec<String> =
            ROUTES.iter().map(|r| format!("{:4} {} {:?} {}", r.method, r.path, r.caller, r.name)).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
