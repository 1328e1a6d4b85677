//! Arguments of `conductor incident`, `timeline` and `recover`.

// Doc comments here are help texts, read at a terminal: backquotes and brackets would stand in them as they are.
#![allow(clippy::doc_markdown)]

use super::ChangeArgs;
use crate::client::resolve::TenantName;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `conductor incident`
#[derive(Debug, Subcommand)]
pub enum IncidentCommand {
    /// What is open
    List {
        /// Display id or uid; "node" for the node's own log; all logs unless given
        tenant: Option<TenantName>,
    },
    /// One incident, with the receipts that prove it
    Show {
        /// Its id, or a beginning of it
        #[arg(value_parser = incident)]
        incident: String,
    },
    /// Acknowledge it
    Ack {
        /// Its id, or a beginning of it
        #[arg(value_parser = incident)]
        incident: String,
        /// What you say; stands in the receipt
        #[arg(long, value_name = "TEXT")]
        comment: String,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Close it
    Close {
        /// Its id, or a beginning of it
        #[arg(value_parser = incident)]
        incident: String,
        /// How; stands in the receipt
        #[arg(long, value_name = "TEXT")]
        comment: String,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
}

fn incident(text: &str) -> Result<String, String> {
    let good = (4..=32).contains(&text.len()) && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    if good {
        Ok(text.to_owned())
    } else {
        Err("expected 4 to 32 hex digits; see: conductor incident list".into())
    }
}

/// `conductor recover`. A broken policy bundle is replaced by `conductor policy load`.
#[derive(Debug, Subcommand)]
pub enum RecoverCommand {
    /// Confirm the node's clock after it was stepped
    Time {
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Go by a new signer, where the key or the memory of the old one is lost
    Signer {
        /// The new signer's minisign public key file
        public_key: PathBuf,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// `conductor timeline`
#[derive(Debug, Clone, Args)]
pub struct TimelineArgs {
    /// Display id or uid; "node" for the node's own log
    #[arg(long)]
    pub tenant: TenantName,
    /// From this time on, as in 2026-11-23T15:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Option<u64>,
    /// Up to this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub to: Option<u64>,
    /// As a report in Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}

/// Microseconds since the Unix epoch.
fn moment(text: &str) -> Result<u64, String> {
    let at = text.parse::<jiff::Timestamp>().ok().and_then(|t| u64::try_from(t.as_microsecond()).ok());
    at.ok_or_else(|| "expected a time such as 2026-11-23T15:00:00Z".into())
}
