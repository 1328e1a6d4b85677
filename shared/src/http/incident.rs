//! SLO status of ramps, incidents, and timelines.

use super::ReceiptRef;
use crate::cause::{Cause, IncidentCause};
use crate::ids::{Ident, Origin, TenantUid};
use crate::untrusted::UntrustedText;
use serde::{Deserialize, Serialize};

/// `GET /v1/tenants/{uid}/slo`: what is seen under each ramp, as of the last judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SloList {
    /// The tenant.
    pub tenant_uid: TenantUid,
    /// By rule.
    pub ramps: Vec<SloStatus>,
}

/// What is seen under one revision of a ramp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SloStatus {
    /// The rule.
    pub selector: crate::ramp::Selector,
    /// Its value.
    pub hundredths: crate::basis_points::BasisPoints,
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
    /// Its SLO thresholds.
    pub thresholds: crate::slo::Thresholds,
    /// Its plan, if one is in progress.
    pub plan: Option<String>,
    /// Number of the plan's step, from 0.
    pub step: Option<u64>,
    /// The lowest value that it was rolled back from, unless overridden.
    pub rolled_back_from: Option<crate::basis_points::BasisPoints>,
}

impl SloStatus {
    /// True while what is seen breaches a threshold.
    pub fn breached(&self) -> bool {
        self.verdict == "breached"
    }
}

/// `GET /v1/incidents` and `GET /v1/tenants/{uid}/incidents`: what is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct IncidentList {
    /// Newest first, at most 500.
    pub incidents: Vec<IncidentRow>,
}

/// An open incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct IncidentRow {
    /// Whose log it is in; zeros for the node's.
    pub tenant_uid: TenantUid,
    /// Display id.
    pub tenant_id: Ident,
    /// Its id, hex.
    pub incident: String,
    /// A word.
    pub cause: Cause<IncidentCause>,
    /// What happened.
    pub detail: UntrustedText,
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
    /// Who acknowledged it.
    pub acknowledged_by: Option<Ident>,
    /// When they said so.
    pub acknowledged_us: Option<u64>,
    /// What they said.
    pub comment: Option<UntrustedText>,
}

/// `GET /v1/tenants/{uid}/timeline`: control facts in order, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Timeline {
    /// The log.
    pub origin: Origin,
    /// Oldest first, at most 200.
    pub rows: Vec<TimelineRow>,
    /// Give it as `after` for the next page; none when this is the last one.
    pub next: Option<u64>,
}

/// One entry of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
