//! Metered usage: totals, sinks and what they would not take, recounts.

use crate::ids::{Ident, TenantUid};
use crate::meter::{Labels, Sums};
use crate::untrusted::UntrustedText;
use serde::{Deserialize, Serialize};

/// `GET /v1/tenants/{uid}/totals`: exact sums of everything since the log began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Totals {
    /// The tenant.
    pub tenant_uid: TenantUid,
    /// Sum of the rows.
    pub total: Sums,
    /// By labels.
    pub by_labels: Vec<TotalsRow>,
}

/// A row of [`Totals`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TotalsRow {
    /// Labels.
    pub labels: Labels,
    /// Sums.
    pub sums: Sums,
}

/// How a sink is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SinkStatus {
    /// Its name.
    pub name: Ident,
    /// Where it goes.
    pub target: String,
    /// It is open, and not all of its deliveries fail.
    pub delivers: bool,
    /// Events delivered since the agent started.
    pub delivered: u64,
    /// Deliveries that failed since the agent started.
    pub failures: u64,
    /// Events that the receiver would not take.
    pub dead_letters: u64,
    /// Receipts whose events were not delivered yet.
    pub waiting_receipts: u64,
    /// Age of the oldest receipt whose events were not delivered yet, microseconds.
    pub lag_us: u64,
    /// Tenants whose events the receiver refuses, or that wait for another reason.
    pub tenants_held: u64,
    /// Why it does not deliver now; empty when it does.
    pub trouble: String,
}

/// `GET /v1/sinks`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SinkList {
    /// As configured.
    pub sinks: Vec<SinkStatus>,
}

/// An event that a receiver would not take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeadLetter {
    /// Its place in the log: ask on with `after` of the last.
    pub number: u64,
    /// What the receiver said.
    pub why: UntrustedText,
    /// It, as it would be delivered.
    pub event: serde_json::Value,
}

/// `GET /v1/tenants/{tenant}/dead-letters`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeadLetters {
    /// Oldest first.
    pub letters: Vec<DeadLetter>,
}

/// `GET /v1/tenants/{tenant}/usage/recount`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
