//! Tenants and what is known of each.

use crate::basis_points::BasisPoints;
use crate::checkpoint::SignedCheckpoint;
use crate::control::ControlState;
use crate::ids::{Ident, TenantUid};
use crate::ramp::Selector;
use serde::{Deserialize, Serialize};

/// `GET /v1/tenants/{uid}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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

/// A rule, for `conductor ramp show --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RampRow {
    /// The rule.
    pub selector: Selector,
    /// Its value.
    pub hundredths: BasisPoints,
    /// Its revision.
    pub revision: u64,
    /// What a rollback would set.
    pub rollback_to: BasisPoints,
}

/// `GET /v1/tenants`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TenantList {
    /// In order of display id.
    pub tenants: Vec<TenantRow>,
}

/// A row of [`TenantList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
