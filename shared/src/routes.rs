//! Every route of the HTTP API as one table. The router is built from it: a row without a handler does not compile, a
//! handler without a row is never called, and whoever has not the right of the row is refused before a body is read.
//! The `OpenAPI` document is made from it too.

use crate::access::{may_preview, sees_a_log, sees_the_node, sight};
use crate::cost::{CostAnswer, Explained, Rates};
use crate::fail_closed::Class;
use crate::http;
use crate::ids::TenantUid;
use crate::ofrep::{Evaluation, Evaluations, OfrepRequest};
use crate::operator::{OperatorKey, Role};
use crate::usage::UsageAnswer;
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::VariantArray)]
pub enum Right {
    /// Whoever reaches the socket.
    Open,
    /// Whoever signed the body, or asks for what to sign.
    Signature,
    /// Anybody who is known: any session, any workload.
    Known,
    /// Whoever has a session, for that session alone.
    Session,
    /// A workload, for its own tenant.
    Workload,
    /// A person who may read the log that the path names.
    Log,
    /// Likewise; or a workload of that tenant.
    LogOrOwn,
    /// A person who may read at least one log; the answer has what belongs to such logs.
    Logs,
    /// A person with a role on the whole node by which they read: the answer sums up all tenants.
    Sums,
    /// A person who may read the node's log.
    NodeLog,
    /// A person who may sign an operation on the log that the path names, or read all of that log.
    Preview,
    /// An admin of the node.
    Admin,
}

impl Right {
    /// Whether a person has it by this key. `log` is the one that the path names.
    pub fn of_person(self, key: &OperatorKey, log: TenantUid) -> bool {
        match self {
            Self::Open | Self::Signature | Self::Known | Self::Session => true,
            Self::Workload => false,
            Self::Log | Self::LogOrOwn => sight(key, log).is_some(),
            Self::Logs => sees_a_log(key),
            Self::Sums => sees_the_node(key),
            Self::NodeLog => sight(key, TenantUid::NODE).is_some(),
            Self::Preview => may_preview(key, log),
            Self::Admin => key.has_role(Role::Admin, TenantUid::NODE),
        }
    }

    /// Whether a workload has it, for its own tenant.
    pub fn of_workload(self) -> bool {
        matches!(self, Self::Open | Self::Known | Self::Workload | Self::LogOrOwn)
    }

    /// In words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Open => "whoever reaches the socket",
            Self::Signature => "whoever signed the body; what it says decides further",
            Self::Known => "any session, any workload",
            Self::Session => "whoever has a session, for that session alone",
            Self::Workload => "a workload, for its own tenant",
            Self::Log => "a person who may read the log that the path names",
            Self::LogOrOwn => "likewise; or a workload of that tenant",
            Self::Logs => "a person who may read at least one log; the answer has what belongs to such logs",
            Self::Sums => "a person with a role on the whole node, other than break-glass",
            Self::NodeLog => "a person who may read the node's log",
            Self::Preview => "a person who may sign the operation on that log, or read all of the log",
            Self::Admin => "an admin of the node",
        }
    }

    /// Whether a person can have it: on operators' listeners.
    pub fn of_persons(self) -> bool {
        self != Self::Workload
    }

    /// Whether a bearer token is needed.
    pub fn authenticates(self) -> bool {
        !matches!(self, Self::Open | Self::Signature)
    }
}

/// Names of routes: the operation in receipts of denials, and the `operationId` in the document.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    strum::VariantArray,
    strum::IntoStaticStr,
    strum::Display,
)]
#[strum(serialize_all = "snake_case")]
#[allow(missing_docs)] // the table says what each does
pub enum Name {
    RunStart,
    RunShow,
    StepStart,
    StepFinish,
    RunHeartbeat,
    ApprovalDecide,
    RunFinish,
    RunCancel,
    FlagEvaluate,
    FlagEvaluateAll,
    NodeShow,
    SessionChallenge,
    SessionOpen,
    SessionClose,
    Command,
    Approval,
    ApprovalList,
    FreezeList,
    TenantList,
    TenantShow,
    Preview,
    ReceiptList,
    ReceiptExport,
    ReceiptProof,
    LogHead,
    Consistency,
    ConfigHistory,
    ConfigRevision,
    Totals,
    Usage,
    UsageShort,
    UsageRecount,
    Cost,
    CostExplain,
    SinkList,
    DeadLetters,
    Rates,
    PolicyShow,
    PolicyUpload,
    PolicyBundle,
    PolicyExplain,
    SloShow,
    IncidentList,
    Timeline,
    IncidentAll,
    Stream,
    Openapi,
    Healthz,
    Readyz,
    Metrics,
}

impl Name {
    /// The public word.
    pub fn word(self) -> &'static str {
        self.into()
    }
}

/// One route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path, with `{parameters}`.
    pub path: &'static str,
    /// Who may call.
    pub right: Right,
    /// Class of the operation; for commands, the one computed decides.
    pub class: Class,
    /// Name, unique.
    pub name: Name,
    /// What it does.
    pub summary: &'static str,
    /// What it takes.
    pub asks: Asks,
    /// What it answers when it does what was asked.
    pub answer: Answer,
}

impl Route {
    /// It changes something for a workload, which may give a key that makes it happen once.
    pub fn mutates(&self) -> bool {
        self.right == Right::Workload && self.class != Class::Read
    }
}

/// Writes the schema of a type, and of those in it, into the document.
pub type Shape = fn(&mut SchemaGenerator) -> Schema;

/// What a route takes beside its path.
#[derive(Debug, Clone, Copy)]
pub enum Asks {
    /// Nothing.
    Nothing,
    /// A body of JSON.
    Body(Shape),
    /// Query parameters.
    Query(Shape),
}

/// What a route answers.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// Nothing: 204.
    Nothing,
    /// JSON.
    Json(Shape),
    /// JSON, or comma-separated values where `format` asks for them.
    JsonOrCsv(Shape),
    /// JSON lines: one of the first type, then some of the second.
    Lines(Shape, Shape),
    /// JSON, and errors by the `OpenFeature` Remote Evaluation Protocol.
    Flags(Shape),
    /// A JSON object that has no type here.
    Object,
    /// A line of text.
    Text,
    /// `OpenMetrics`.
    Metrics,
    /// The protocol is switched to that of [`crate::stream`].
    Stream,
}

const NOTHING: Asks = Asks::Nothing;

const fn body<T: JsonSchema>() -> Asks {
    Asks::Body(SchemaGenerator::subschema_for::<T>)
}

const fn query<T: JsonSchema>() -> Asks {
    Asks::Query(T::json_schema)
}

const fn json<T: JsonSchema>() -> Answer {
    Answer::Json(SchemaGenerator::subschema_for::<T>)
}

const fn json_or_csv<T: JsonSchema>() -> Answer {
    Answer::JsonOrCsv(SchemaGenerator::subschema_for::<T>)
}

const fn lines<A: JsonSchema, B: JsonSchema>() -> Answer {
    Answer::Lines(SchemaGenerator::subschema_for::<A>, SchemaGenerator::subschema_for::<B>)
}

const fn flags<T: JsonSchema>() -> Answer {
    Answer::Flags(SchemaGenerator::subschema_for::<T>)
}

#[allow(clippy::too_many_arguments)] // one for each column of the table
const fn r(
    method: &'static str,
    path: &'static str,
    right: Right,
    class: Class,
    name: Name,
    summary: &'static str,
    asks: Asks,
    answer: Answer,
) -> Route {
    Route { method, path, right, class, name, summary, asks, answer }
}

use Class::{Admit, Read, Settle, Tighten};
use Right::{Admin, Known, Log, LogOrOwn, Logs, NodeLog, Open, Preview, Session, Signature, Sums, Workload};

/// All routes. `{tenant}` is a tenant's uid in hex, zeros for the node's own log, or its display id; `{run}` a run id in
/// hex.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    r("POST", "/v1/runs", Workload, Admit, Name::RunStart, "May this run go ahead?", body::<http::StartRun>(), json::<http::Decided>()),
    r("GET", "/v1/runs/{run}", Workload, Read, Name::RunShow, "An open or ended run", query::<http::RunAsked>(), json::<http::RunView>()),
    r("POST", "/v1/runs/{run}/steps", Workload, Admit, Name::StepStart, "May this step go ahead?", body::<http::StartStep>(), json::<http::Decided>()),
    r("POST", "/v1/runs/{run}/steps/{step}/finish", Workload, Settle, Name::StepFinish, "A step ended", body::<http::FinishStep>(), json::<http::Decided>()),
    r("POST", "/v1/runs/{run}/heartbeat", Workload, Settle, Name::RunHeartbeat, "Run and open steps are alive", body::<http::OfTenant>(), json::<http::Decided>()),
    r("POST", "/v1/runs/{run}/approvals", Workload, Settle, Name::ApprovalDecide, "Somebody approved or rejected", body::<http::DecideApproval>(), json::<http::Decided>()),
    r("POST", "/v1/runs/{run}/finish", Workload, Settle, Name::RunFinish, "A run ended", body::<http::FinishRun>(), json::<http::Decided>()),
    r("POST", "/v1/runs/{run}/cancel", Workload, Settle, Name::RunCancel, "A run is called off", body::<http::OfTenant>(), json::<http::Decided>()),
    r("POST", "/ofrep/v1/evaluate/flags/{*flag}", Workload, Read, Name::FlagEvaluate, "OpenFeature: is this subject among those a ramp includes?", body::<OfrepRequest>(), flags::<Evaluation>()),
    r("POST", "/ofrep/v1/evaluate/flags", Workload, Read, Name::FlagEvaluateAll, "OpenFeature: the same of all workflow types", body::<OfrepRequest>(), flags::<Evaluations>()),
    r("GET", "/v1/node", Known, Read, Name::NodeShow, "Which agent this is, and its time", NOTHING, json::<http::NodeInfo>()),
    r("POST", "/v1/sessions/challenge", Signature, Read, Name::SessionChallenge, "A challenge to sign", NOTHING, json::<http::Challenge>()),
    r("POST", "/v1/sessions", Signature, Read, Name::SessionOpen, "Opens a short session for reading", body::<http::SignedText>(), json::<http::SessionOpened>()),
    r("DELETE", "/v1/sessions", Session, Read, Name::SessionClose, "Ends the session whose token it brings", NOTHING, Answer::Nothing),
    r("POST", "/v1/commands", Signature, Tighten, Name::Command, "Carries out a signed command", body::<http::SignedText>(), json::<http::CommandOutcome>()),
    r("POST", "/v1/approvals", Signature, Tighten, Name::Approval, "Approves or refuses what another person asked for", body::<http::SignedText>(), json::<http::CommandOutcome>()),
    r("GET", "/v1/approvals", Logs, Read, Name::ApprovalList, "What waits for another person", NOTHING, json::<http::RequestList>()),
    r("GET", "/v1/freezes", Logs, Read, Name::FreezeList, "Profiles with their freeze windows, what is frozen, and break-glass", NOTHING, json::<http::FreezeList>()),
    r("GET", "/v1/tenants", Logs, Read, Name::TenantList, "All tenants of this node", NOTHING, json::<http::TenantList>()),
    r("GET", "/v1/tenants/{tenant}", Log, Read, Name::TenantShow, "Control state and log head", NOTHING, json::<http::TenantDetail>()),
    r("POST", "/v1/tenants/{tenant}/preview", Preview, Read, Name::Preview, "Class and blast radius of a change", body::<http::PreviewRequest>(), json::<http::Preview>()),
    r("GET", "/v1/tenants/{tenant}/receipts", LogOrOwn, Read, Name::ReceiptList, "Receipts in order", query::<http::ReceiptsAsked>(), json::<http::ReceiptPage>()),
    r("GET", "/v1/tenants/{tenant}/receipts/export", LogOrOwn, Read, Name::ReceiptExport, "A range with what proves it whole, as JSON lines", query::<http::RangeAsked>(), lines::<http::RangeBundle, http::ReceiptJson>()),
    r("GET", "/v1/tenants/{tenant}/receipts/{index}/proof", LogOrOwn, Read, Name::ReceiptProof, "A receipt with what proves it", NOTHING, json::<http::ReceiptBundle>()),
    r("GET", "/v1/tenants/{tenant}/checkpoint", LogOrOwn, Read, Name::LogHead, "Head of the log and newest checkpoint", NOTHING, json::<http::LogHead>()),
    r("GET", "/v1/tenants/{tenant}/consistency", LogOrOwn, Read, Name::Consistency, "Proof that the log only grew", query::<http::RangeAsked>(), json::<http::Consistency>()),
    r("GET", "/v1/tenants/{tenant}/config", Log, Read, Name::ConfigHistory, "Revisions of a tenant's configuration, newest first: who, why, and what differed", query::<http::HistoryAsked>(), json::<http::ConfigHistory>()),
    r("GET", "/v1/tenants/{tenant}/config/{revision}", Log, Read, Name::ConfigRevision, "Control state as it was at a revision", NOTHING, json::<http::ConfigRevision>()),
    r("GET", "/v1/tenants/{tenant}/totals", Log, Read, Name::Totals, "Exact sums by labels", NOTHING, json::<http::Totals>()),
    r("GET", "/v1/tenants/{tenant}/usage", Log, Read, Name::Usage, "What was used in a period, by workflow type and environment", query::<http::UsageAsked>(), json_or_csv::<UsageAnswer>()),
    r("GET", "/tenants/{tenant}/usage", Log, Read, Name::UsageShort, "The same", query::<http::UsageAsked>(), json_or_csv::<UsageAnswer>()),
    r("GET", "/v1/tenants/{tenant}/usage/recount", Log, Read, Name::UsageRecount, "Counts every receipt again and names what differs from the rollups", NOTHING, json::<http::Recount>()),
    r("GET", "/v1/tenants/{tenant}/cost", Log, Read, Name::Cost, "What that costs, by the rate cards in effect", query::<http::CostAsked>(), json_or_csv::<CostAnswer>()),
    r("GET", "/v1/tenants/{tenant}/cost/explain", Log, Read, Name::CostExplain, "Where an amount comes from, down to the events", query::<http::ExplainAsked>(), json::<Explained>()),
    r("GET", "/v1/sinks", Sums, Read, Name::SinkList, "Where metered events go, and how far they have come", NOTHING, json::<http::SinkList>()),
    r("GET", "/v1/tenants/{tenant}/dead-letters", Log, Read, Name::DeadLetters, "Events that a sink's receiver would not take", query::<http::LettersAsked>(), json::<http::DeadLetters>()),
    r("GET", "/v1/rates", Logs, Read, Name::Rates, "Rate cards, and whose are believed", NOTHING, json::<Rates>()),
    r("GET", "/v1/policy", NodeLog, Read, Name::PolicyShow, "Which bundle holds, and who evaluates it", NOTHING, json::<http::PolicyShown>()),
    r("POST", "/v1/policy/bundles", Admin, Read, Name::PolicyUpload, "Gives the agent the files of a bundle; nothing goes by them yet", body::<http::BundleFiles>(), json::<http::BundleKept>()),
    r("GET", "/v1/policy/bundles/{digest}", NodeLog, Read, Name::PolicyBundle, "The files of a bundle", NOTHING, json::<http::BundleFiles>()),
    r("POST", "/v1/policy/explain", NodeLog, Read, Name::PolicyExplain, "What policy says of an input, and why", body::<http::ExplainRequest>(), json::<http::Explanation>()),
    r("GET", "/v1/tenants/{tenant}/slo", Log, Read, Name::SloShow, "What is seen under each ramp", NOTHING, json::<http::SloList>()),
    r("GET", "/v1/tenants/{tenant}/incidents", Log, Read, Name::IncidentList, "Open incidents of one log", NOTHING, json::<http::IncidentList>()),
    r("GET", "/v1/tenants/{tenant}/timeline", Log, Read, Name::Timeline, "Control facts in words; from and to in microseconds", query::<http::TimelineAsked>(), json::<http::Timeline>()),
    r("GET", "/v1/incidents", Logs, Read, Name::IncidentAll, "Open incidents of this node and all its tenants", NOTHING, json::<http::IncidentList>()),
    r("GET", "/v1/stream", Logs, Read, Name::Stream, "The stream of a console (WebSocket)", NOTHING, Answer::Stream),
    r("GET", "/v1/openapi.json", Open, Read, Name::Openapi, "This table as OpenAPI 3.1", NOTHING, Answer::Object),
    r("GET", "/healthz", Open, Read, Name::Healthz, "The process is alive", NOTHING, Answer::Text),
    r("GET", "/readyz", Open, Read, Name::Readyz, "It can decide: the store writes", NOTHING, Answer::Text),
    r("GET", "/metrics", Open, Read, Name::Metrics, "Prometheus metrics", NOTHING, Answer::Metrics),
];

/// First part of a workload's bearer token: `cdw_<tenant uid>_<token id>_<secret, 64 hex digits>`.
pub const WORKLOAD_TOKEN: &str = "cdw_";
/// First part of a session's bearer token: `cds_<64 hex digits>`.
pub const SESSION_TOKEN: &str = "cds_";

#[cfg(test)]
mod tests {
    use super::*;
    use strum::VariantArray as _;

    /// Issue 2, Agent: the routes are public names.
    #[test]
    fn the_table_of_routes() {
        let lines: Vec<String> =
            ROUTES.iter().map(|r| format!("{:4} {} {:?} {}", r.method, r.path, r.right, r.name)).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    /// Each name has one row, in the order of the names.
    #[test]
    fn each_name_has_its_row() {
        assert_eq!(ROUTES.iter().map(|r| r.name).collect::<Vec<_>>(), Name::VARIANTS);
    }

    /// A right over the log that the path names stands on paths that name one, and on no other.
    #[test]
    fn a_right_over_a_log_has_its_log() {
        for r in ROUTES {
            let named = matches!(r.right, Right::Log | Right::LogOrOwn | Right::Preview);
            assert_eq!(named, r.path.contains("{tenant}"), "{}", r.path);
        }
    }
}
