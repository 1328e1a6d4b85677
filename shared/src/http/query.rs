//! Query parameters. Whole numbers are decimal; times are microseconds since the Unix epoch.

use crate::cost::Bucket;
use crate::fact::{ActorType, Env};
use crate::ids::Ident;
use serde::{Deserialize, Serialize};

/// Of `GET /v1/runs/{run}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunAsked {
    /// Display id of the tenant; must be the one the credentials belong to.
    #[serde(default)]
    #[schemars(!default, regex(pattern = crate::ids::IDENT))]
    pub tenant_id: String,
}

/// A page of receipts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ReceiptsAsked {
    /// Index of the first; `-n` for the last n; 0 unless given.
    #[schemars(regex(pattern = "^(-?(0|[1-9][0-9]{0,18}))$"))]
    pub from: Option<String>,
    /// At most so many, 1 to 500; 100 unless given.
    pub limit: Option<u64>,
}

/// A range of a log, or two sizes of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RangeAsked {
    /// First index, or the older size; 0 unless given.
    pub from: Option<u64>,
    /// One after the last index, or the newer size.
    pub to: Option<u64>,
}

/// A page of a configuration's history.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct HistoryAsked {
    /// Only revisions before this one.
    pub before: Option<u64>,
    /// At most so many, 1 to 500; 100 unless given.
    pub limit: Option<u64>,
}

/// Form of an answer about usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageFormat {
    /// JSON.
    #[default]
    Json,
    /// Comma-separated values with a header.
    Csv,
}

/// Form of an answer about cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CostFormat {
    /// JSON.
    #[default]
    Json,
    /// Comma-separated values with a header.
    Csv,
    /// FOCUS columns, comma-separated; a month in UTC at most.
    Focus,
}

/// A period of usage.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct UsageAsked {
    /// `30d`, `24h`, `month`, `2026-10`, `2026-10-31`, or an ISO 8601 interval; `30d` unless given.
    pub range: Option<String>,
    /// `15m`, `1h`, `1d` or `1mo`: a series.
    pub step: Option<String>,
    /// `none`, or some of `workflow_type,env,actor_type`.
    pub group_by: Option<String>,
    /// An IANA name of a time zone; `UTC` unless given.
    pub tz: Option<String>,
    /// `json` unless given.
    #[serde(default)]
    pub format: UsageFormat,
}

/// A period of cost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CostAsked {
    /// As of usage.
    pub range: Option<String>,
    /// As of usage.
    pub step: Option<String>,
    /// As of usage.
    pub group_by: Option<String>,
    /// As of usage.
    pub tz: Option<String>,
    /// `json` unless given.
    #[serde(default)]
    pub format: CostFormat,
}

/// An amount, and a page of the events behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ExplainAsked {
    /// What is paid for.
    pub bucket: Bucket,
    /// As of usage.
    pub range: Option<String>,
    /// As of usage.
    pub tz: Option<String>,
    /// Only this one.
    pub workflow_type: Option<Ident>,
    /// Only this one.
    pub env: Option<Env>,
    /// Only this one.
    pub actor_type: Option<ActorType>,
    /// Index of the receipt to go on at; 0 unless given.
    pub after: Option<u64>,
    /// At most so many events, 1 to 500; 500 unless given.
    pub limit: Option<u64>,
}

/// A page of a sink's dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LettersAsked {
    /// The sink's name.
    pub sink: Ident,
    /// Only those after this number.
    pub after: Option<u64>,
    /// At most so many, 1 to 200; 200 unless given.
    pub limit: Option<u64>,
}

/// A page of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TimelineAsked {
    /// Not older than this.
    pub from: Option<u64>,
    /// Not younger than this.
    pub to: Option<u64>,
    /// Only those after this index.
    pub after: Option<u64>,
}
