//! Arguments of `conductor ramp`, `slo`, `kill` and `quota`.

// Doc comments here are help texts, read at a terminal: backquotes and brackets would stand in them as they are.
#![allow(clippy::doc_markdown)]

use super::{ChangeArgs, TenantArg};
use crate::client::resolve::TenantName;
use clap::{Args, Subcommand};
use conductor_shared::basis_points::{BasisPoints, parse_percent};
use conductor_shared::quota::QuotaKind;
use conductor_shared::ramp::Selector;
use conductor_shared::slo::Plan;

/// A rule of a tenant, to change.
#[derive(Debug, Clone, Args)]
pub struct RuleArgs {
    /// Display id or uid of the tenant
    pub tenant: TenantName,
    /// action/workflow, with * for any: run/etl, */etl, */*
    pub rule: Selector,
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `kill set` and `ramp kill`
#[derive(Debug, Clone, Args)]
pub struct KillArgs {
    #[command(flatten)]
    pub rule: RuleArgs,
    /// Deny new runs only; open runs continue
    #[arg(long)]
    pub drain: bool,
}

#[derive(Debug, Subcommand)]
pub enum RampCommand {
    /// All rules of a tenant
    Show(TenantArg),
    /// Set a rule; lowering an existing one is sent as a cap, which is always valid
    Set {
        #[command(flatten)]
        rule: RuleArgs,
        /// 0 to 100, with up to two decimals
        #[arg(value_parser = percent)]
        percent: BasisPoints,
    },
    /// Lower a rule, never raise it, on all named agents; kept for agents that cannot be reached
    Cap {
        #[command(flatten)]
        rule: RuleArgs,
        /// 0 to 100, with up to two decimals
        #[arg(value_parser = percent)]
        percent: BasisPoints,
    },
    /// Lower a rule to its last lower value, else to 0 %
    Rollback(RuleArgs),
    /// Remove a rule of a tenant
    Clear(RuleArgs),
    /// The same as: conductor kill set
    Kill(KillArgs),
    /// Staged plans, which the agent advances while the SLO holds
    #[command(subcommand)]
    Plan(PlanCommand),
    /// Allow a rule to return to the value from which an SLO breach rolled it back
    Override(RuleArgs),
}

#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Start a plan at its first step
    Set {
        #[command(flatten)]
        rule: RuleArgs,
        /// Rising steps, each but the last with its bake in seconds: "1%@3600s 5%@3600s 25%@7200s 100%"
        steps: Plan,
    },
    /// Stop a plan at its present step
    Stop(RuleArgs),
    /// Plans of a tenant: step, bake and verdict
    Show(TenantArg),
}

#[derive(Debug, Subcommand)]
pub enum SloCommand {
    /// SLO status of each ramp of a tenant
    Show(TenantArg),
    /// Set the thresholds of a ramp; those not given stay
    Set {
        #[command(flatten)]
        rule: RuleArgs,
        /// Error rate in percent, above 0 and below 100; 0.5 by default
        #[arg(long, value_name = "PERCENT", value_parser = error_rate)]
        errors: Option<BasisPoints>,
        /// 99th percentile of step latency, milliseconds; 0, the default: not watched
        #[arg(long, value_name = "MS")]
        p99_ms: Option<u64>,
        /// Receipts that may wait for a signature; 50000 by default
        #[arg(long, value_name = "N")]
        backlog: Option<u64>,
        /// Runs that must settle before a verdict can be healthy; 200 by default
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        min_settled: Option<u64>,
    },
}

fn error_rate(text: &str) -> Result<BasisPoints, String> {
    let good = parse_percent(text).filter(|h| *h > BasisPoints::ZERO && *h < BasisPoints::FULL);
    good.ok_or_else(|| "expected a percentage above 0 and below 100, such as 0.5".into())
}

#[derive(Debug, Subcommand)]
pub enum KillCommand {
    /// Deny new runs and steps, on all named agents; kept for agents that cannot be reached
    Set(KillArgs),
    /// Lift a kill switch
    Clear(RuleArgs),
    /// All kill switches of a tenant
    Show(TenantArg),
}

#[derive(Debug, Subcommand)]
pub enum QuotaCommand {
    /// All quotas of a tenant
    Show(TenantArg),
    /// Set a quota; lowering is sent as a cap, which is always valid
    Set {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// concurrent_runs, step_rate (a second), step_burst, receipt_backlog or evidence_bytes
        #[arg(value_parser = quota)]
        quota: QuotaKind,
        /// New limit, a whole number
        limit: u64,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

pub(super) fn percent(text: &str) -> Result<BasisPoints, String> {
    parse_percent(text).ok_or_else(|| "expected 0 to 100 with up to two decimals, such as 10 or 12.5".into())
}

fn quota(text: &str) -> Result<QuotaKind, String> {
    QuotaKind::from_word(text).ok_or_else(|| {
        let known: Vec<&str> = QuotaKind::ALL.iter().map(|k| k.as_str()).collect();
        format!("expected one of {}", known.join(", "))
    })
}
