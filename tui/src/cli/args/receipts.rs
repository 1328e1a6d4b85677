//! Arguments of `conductor receipts`, `verify` and `checkpoint`.

// Doc comments here are help texts, read at a terminal: backquotes and brackets would stand in them as they are.
#![allow(clippy::doc_markdown)]

use crate::client::resolve::TenantName;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum ReceiptsCommand {
    /// Receipts of a log, in order
    List {
        /// Display id or uid; "node" for the node's own log
        tenant: TenantName,
        /// Number of newest receipts
        #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "from", value_parser = clap::value_parser!(u16).range(1..=500))]
        last: u16,
        /// Index to begin at
        #[arg(long, value_name = "INDEX")]
        from: Option<u64>,
        /// Number of receipts, with --from
        #[arg(long, value_name = "N", default_value_t = 100, requires = "from", value_parser = clap::value_parser!(u16).range(1..=500))]
        limit: u16,
    },
    /// One receipt with its fields
    Show {
        /// Display id or uid; "node" for the node's own log
        tenant: TenantName,
        /// Index of the receipt
        index: u64,
        /// With its proof, for: conductor verify
        #[arg(long)]
        proof: bool,
        /// Write the proof to this new file
        #[arg(long, value_name = "FILE", requires = "proof")]
        out: Option<PathBuf>,
    },
    /// A range of receipts with its proof, as JSON lines, for: conductor verify
    Export {
        /// Display id or uid; "node" for the node's own log
        tenant: TenantName,
        /// Index of the first receipt
        #[arg(long, value_name = "INDEX", default_value_t = 0)]
        from: u64,
        /// Index after the last receipt; the size of the newest signed checkpoint unless given
        #[arg(long, value_name = "INDEX")]
        to: Option<u64>,
        /// Write to this new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// A receipt with its proof, an export, or a checkpoint (with FILE.minisig beside it)
    pub file: PathBuf,
    /// Trusted keys, decided beforehand: trust.toml
    #[arg(long, value_name = "FILE")]
    pub trust: PathBuf,
    /// What the receipts say, in words made from the bytes that were verified
    #[arg(long)]
    pub show: bool,
}

#[derive(Debug, Clone, Args)]
pub struct CheckpointArgs {
    /// Display id or uid; "node" for the node's own log
    pub tenant: TenantName,
    /// Write FILE and FILE.minisig, for: minisign -V
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
