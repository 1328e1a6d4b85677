//! Arguments of `conductor incident`, `timeline` and `recover`.

// Doc comments here are help texts, read at a terminal: backquotes and brackets would stand in them as they are.
#![allow(clippy::doc_markdown)]

use super::ChangeArgs;
use crate::client::resolve::TenantName;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum IncidentCommand {
    /// Incidents that are not closed
    List {
        /// Display id or uid; "node" for the node's own log; all logs unless given
        tenant: Option<TenantName>,
    },
    /// One incident, with the receipts that prove it
    Show {
        /// Id of the incident, or a unique prefix
        #[arg(value_parser = incident)]
        incident: String,
    },
    /// Acknowledge an incident: you work on it
    Ack {
        /// Id of the incident, or a unique prefix
        #[arg(value_parser = incident)]
        incident: String,
        /// Comment, recorded in the receipt
        #[arg(long, value_name = "TEXT")]
        comment: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Close an incident: it is over
    Close {
        /// Id of the incident, or a unique prefix
        #[arg(value_parser = incident)]
        incident: String,
        /// Comment, recorded in the receipt
        #[arg(long, value_name = "TEXT")]
        comment: String,
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
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Switch to a new signer, when the key or the state of the old one is lost
    Signer {
        /// Minisign public key file of the new signer
        public_key: PathBuf,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, Clone, Args)]
pub struct TimelineArgs {
    /// Display id or uid; "node" for the node's own log
    #[arg(long)]
    pub tenant: TenantName,
    /// Begin at this time, as in 2026-11-23T15:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Option<u64>,
    /// Up to and including this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub to: Option<u64>,
    /// Write a report in Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}

/// Microseconds since the Unix epoch.
fn moment(text: &str) -> Result<u64, String> {
    let at = text.parse::<jiff::Timestamp>().ok().and_then(|t| u64::try_from(t.as_microsecond()).ok());
    at.ok_or_else(|| "expected a time such as 2026-11-23T15:00:00Z".into())
}
