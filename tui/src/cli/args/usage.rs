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
    /// Cut into 15m, 1h, 1d or 1mo
    #[arg(long)]
    pub step: Option<String>,
    /// By which of workflow_type, env, actor_type; none for totals only
    #[arg(long, value_name = "LABELS")]
    pub group_by: Option<String>,
    /// Time zone of days, an IANA name; UTC unless given
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,
}

/// `conductor usage`
#[derive(Debug, Subcommand)]
pub enum UsageCommand {
    /// Runs, steps, receipts and storage of a period
    Show(PeriodArgs),
    /// Count every receipt again and name what differs from the rollups
    Recount(TenantArg),
    /// Set a period that is over right, by compensating events that count in it
    Correct {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// "<event> <period> <env> <actor type> <workflow type> <count> <quantity>"; the period is a time such as
        /// 2026-10-31T10:15:00Z. May be given several times
        #[arg(long = "add", value_name = "ADJUSTMENT", value_parser = adjustment, required_unless_present = "file")]
        add: Vec<Adjustment>,
        /// A file with one of them a line, for backfill
        #[arg(long, value_name = "FILE", conflicts_with = "add")]
        file: Option<PathBuf>,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// `conductor cost`
#[derive(Debug, Subcommand)]
pub enum CostCommand {
    /// What a period costs, by the rate cards in effect
    Show(PeriodArgs),
    /// Where an amount comes from, down to the events
    Explain {
        /// Of what.
        #[command(flatten)]
        period: PeriodArgs,
        /// compute, storage or signing
        #[arg(long, value_parser = bucket)]
        bucket: Bucket,
        /// Of one workflow type
        #[arg(long, value_name = "WORKFLOW")]
        workflow: Option<Ident>,
        /// Of one environment
        #[arg(long)]
        env: Option<Env>,
        /// Of one actor type
        #[arg(long, value_name = "ACTOR")]
        actor_type: Option<ActorType>,
        /// All events, not only the first page
        #[arg(long)]
        all: bool,
    },
    /// Compare a month with an invoice, and name every difference
    Compare {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Calendar month in UTC, as 2026-10
        month: String,
        /// CSV with the columns bucket,workflow_type,env,amount; amounts in the unit of the rate cards
        #[arg(long, value_name = "FILE")]
        invoice: PathBuf,
    },
    /// The same, and when they agree to the unit, say so in a signed receipt
    Reconcile {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Calendar month in UTC, as 2026-10
        month: String,
        /// CSV with the columns bucket,workflow_type,env,amount; amounts in the unit of the rate cards
        #[arg(long, value_name = "FILE")]
        invoice: PathBuf,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportWhat {
    /// Usage.
    Usage,
    /// Cost.
    Cost,
}

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON document, as the API gives it
    Json,
    /// Comma-separated values, RFC 4180
    Csv,
    /// Columns of FOCUS 1.0; cost of one month
    Focus,
}

/// `conductor export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// What
    pub what: ExportWhat,
    /// Of which period.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// In which form
    #[arg(long, value_enum, default_value = "csv")]
    pub format: ExportFormat,
    /// Into which new file; standard output unless given
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `conductor rate`
#[derive(Debug, Subcommand)]
pub enum RateCommand {
    /// Rate cards, and whose are believed
    List,
    /// Read a card and say what it means, or what is wrong with it
    Check {
        /// TOML file
        card: PathBuf,
    },
    /// Sign a card with the billing key (--key); stock minisign does as well
    Sign {
        /// TOML file
        card: PathBuf,
    },
    /// Say whose rate cards are believed
    Trust {
        /// Minisign public key file
        public_key: PathBuf,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Go by a card from when it says
    Load {
        /// TOML file; its signature stands beside it, with .minisig
        card: PathBuf,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// `conductor sink`
#[derive(Debug, Subcommand)]
pub enum SinkCommand {
    /// Where metered events go, and how far they have come
    List,
    /// Events of a tenant that a receiver would not take, and why
    Dead {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// The sink
        sink: Ident,
    },
    /// Have them delivered again
    Replay {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// The sink
        sink: Ident,
        /// How.
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
    if let Some(us) = parts.get(1).and_then(|t| conductor_shared::time_range::from_rfc3339(t)) {
        parts[1] = us.to_string();
    }
    let form = "<event> <time> <env> <actor type> <workflow type> <count> <quantity>, the time as 2026-10-31T10:15:00Z";
    match parts.len() {
        7 => parts.join(" ").parse(),
        n => Err(format!("{n} words; expected {form}")),
    }
}
