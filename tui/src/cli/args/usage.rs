//! Arguments of `conductor usage`, `cost`, `export` and `rate`.

// Doc comments here are help texts, read at a terminal: backquotes and brackets would stand in them as they are.
#![allow(clippy::doc_markdown)]

use super::{ChangeArgs, TenantArg};
use crate::client::resolve::TenantName;
use clap::{Args, Subcommand, ValueEnum};
use conductor_shared::cost::Bucket;
use conductor_shared::fact::{ActorType, Env};
use conductor_shared::ids::Ident;
use conductor_shared::meter::Adjustment;
use std::path::PathBuf;

/// A period of a tenant.
#[derive(Debug, Clone, Args)]
pub struct PeriodArgs {
    /// Display id or uid of the tenant
    pub tenant: TenantName,
    /// 30d, 24h, month (so far), 2026-10, 2026-10-31, 2026-10-01/2026-11-01, 2026-10-01T00:00:00Z/P7D
    #[arg(long, default_value = "30d")]
    pub range: String,
    /// Divide into steps of 15m, 1h, 1d or 1mo
    #[arg(long)]
    pub step: Option<String>,
    /// Group by workflow_type, env, actor_type; totals only unless given
    #[arg(long, value_name = "LABELS")]
    pub group_by: Option<String>,
    /// Time zone of days, an IANA name; UTC unless given
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum UsageCommand {
    /// Runs, steps, receipts and storage of a period
    Show(PeriodArgs),
    /// Count every receipt again and list differences from the rollups
    Recount(TenantArg),
    /// Correct a period that is over, by compensating events
    Correct {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// "<event> <period> <env> <actor type> <workflow type> <count> <quantity>"; the period is a time such as
        /// 2026-10-31T10:15:00Z. May be given several times
        #[arg(long = "add", value_name = "ADJUSTMENT", value_parser = adjustment, required_unless_present = "file")]
        add: Vec<Adjustment>,
        /// File with one adjustment a line, for backfill
        #[arg(long, value_name = "FILE", conflicts_with = "add")]
        file: Option<PathBuf>,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum CostCommand {
    /// Cost of a period, by the rate cards in effect
    Show(PeriodArgs),
    /// Explain an amount, down to the events
    Explain {
        #[command(flatten)]
        period: PeriodArgs,
        /// compute, storage or signing
        #[arg(long, value_parser = bucket)]
        bucket: Bucket,
        /// Only of this workflow type
        #[arg(long, value_name = "WORKFLOW")]
        workflow: Option<Ident>,
        /// Only of this environment
        #[arg(long)]
        env: Option<Env>,
        /// Only of this actor type
        #[arg(long, value_name = "ACTOR")]
        actor_type: Option<ActorType>,
        /// All events, not only the first page
        #[arg(long)]
        all: bool,
    },
    /// Compare a month with an invoice and list every difference
    Compare {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Calendar month in UTC, as 2026-10
        month: String,
        /// CSV with the columns bucket,workflow_type,env,amount; amounts in the unit of the rate cards
        #[arg(long, value_name = "FILE")]
        invoice: PathBuf,
    },
    /// Compare, and record exact agreement in a signed receipt
    Reconcile {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Calendar month in UTC, as 2026-10
        month: String,
        /// CSV with the columns bucket,workflow_type,env,amount; amounts in the unit of the rate cards
        #[arg(long, value_name = "FILE")]
        invoice: PathBuf,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportWhat {
    Usage,
    Cost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON document, as the API gives it
    Json,
    /// Comma-separated values, RFC 4180
    Csv,
    /// Columns of FOCUS 1.0; cost of one month
    Focus,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// What the file holds
    pub what: ExportWhat,
    #[command(flatten)]
    pub period: PeriodArgs,
    /// Format of the file
    #[arg(long, value_enum, default_value = "csv")]
    pub format: ExportFormat,
    /// Write to this new file; standard output unless given
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum RateCommand {
    /// Rate cards, and the key that is trusted
    List,
    /// Check a rate card and show it in words
    Check {
        /// File of the rate card, TOML
        card: PathBuf,
    },
    /// Sign a card with the billing key (--key); stock minisign does as well
    Sign {
        /// File of the rate card, TOML
        card: PathBuf,
    },
    /// Trust rate cards signed by this key
    Trust {
        /// Minisign public key file
        public_key: PathBuf,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Load a rate card; it is in effect from its date
    Load {
        /// File of the rate card, TOML, with its signature beside it (.minisig)
        card: PathBuf,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum SinkCommand {
    /// Sinks, and how far each has been delivered
    List,
    /// Events of a tenant that a receiver rejected, and why
    Dead {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Name of the sink
        sink: Ident,
    },
    /// Deliver rejected events again
    Replay {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Name of the sink
        sink: Ident,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Deliver the events of a range of receipts again
    Redeliver {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Name of the sink
        sink: Ident,
        /// Index of the first receipt
        from: u64,
        /// Index of the last receipt
        to: u64,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

fn bucket(text: &str) -> Result<Bucket, String> {
    Bucket::from_word(text).ok_or_else(|| "expected compute, storage or signing".into())
}

/// An adjustment, its period as a time or in microseconds.
pub(in crate::cli) fn adjustment(text: &str) -> Result<Adjustment, String> {
    let mut parts: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if let Some(at) = parts.get(1).and_then(|t| conductor_shared::time_range::from_rfc3339(t)) {
        parts[1] = at.as_micros().to_string();
    }
    let form = "<event> <time> <env> <actor type> <workflow type> <count> <quantity>, the time as 2026-10-31T10:15:00Z";
    match parts.len() {
        7 => parts.join(" ").parse(),
        n => Err(format!("{n} words; expected {form}")),
    }
}
