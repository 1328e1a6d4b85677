//! Arguments of `conductor policy`, `profile`, `freeze` and `breakglass`.

// Doc comments here are help texts, read at a terminal: backquotes and brackets would stand in them as they are.
#![allow(clippy::doc_markdown)]

use super::ChangeArgs;
use crate::client::resolve::TenantName;
use clap::{Args, Subcommand};
use conductor_shared::ids::Ident;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Profiles with their windows, and when each opens or closes next
    List,
    /// Create a policy profile
    Create {
        /// Name of the profile
        profile: Ident,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Change a setting of a profile; a loosening takes a second person
    Set {
        /// Name of the profile
        profile: Ident,
        /// break_glass_alone, policy_outage or last_known_s
        setting: String,
        /// New value of the setting
        value: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Add a freeze window; replacing one takes a second person
    Window {
        /// Name of the profile
        profile: Ident,
        /// Name of the window
        window: Ident,
        /// When, as in "weekly fri 18:00 for 62h00m Europe/Berlin" or "once 2026-12-19T00:00:00Z to 2027-01-04T06:00:00Z"
        when: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Remove a freeze window; takes a second person
    Unwindow {
        /// Name of the profile
        profile: Ident,
        /// Name of the window
        window: Ident,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Assign a profile to a tenant; takes a second person
    Assign {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Name of the profile
        profile: Ident,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum FreezeCommand {
    /// What is frozen, by what and until when; the next start and end of each window
    Show,
    /// Freeze a tenant now, on all named agents; kept for agents that cannot be reached
    Set {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Name of the freeze
        #[arg(long, default_value_t = unnamed_freeze())]
        name: Ident,
        /// End after this many minutes; without it, the freeze holds until it is cleared
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=525_600))]
        minutes: Option<u64>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Lift a freeze; takes a second person
    Clear {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Name of the freeze
        #[arg(long, default_value_t = unnamed_freeze())]
        name: Ident,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum BreakGlassCommand {
    /// Lift the freezes of a tenant, or with "node" of the node's own log; takes a second person
    Open {
        /// Display id or uid of the tenant; "node" for the node's own log
        tenant: TenantName,
        /// Incident or ticket, as in INC-7
        #[arg(long)]
        ticket: String,
        /// Minutes until the freezes apply again
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60))]
        minutes: u64,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// End break-glass: freezes apply again
    Close {
        /// Display id or uid of the tenant; "node" for the node's own log
        tenant: TenantName,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// The bundle in effect, and what evaluates it
    Show,
    /// Run the Rego tests of a folder, as `opa test` does; needs no agent
    Test {
        /// Folder with .rego files
        folder: PathBuf,
    },
    /// Check the .rego and data files of a folder and pack them; needs no agent
    Build {
        /// Folder with .rego files
        folder: PathBuf,
        /// Revision; must be higher than that of the loaded bundle
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        revision: u64,
        /// Write the bundle to this new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Sign a bundle with the policy key, --key; needs no agent
    Sign {
        /// File of the bundle
        bundle: PathBuf,
        /// Days until it expires
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=3650))]
        days: u64,
    },
    /// Trust bundles signed by this key, and no others; takes a second person
    Trust {
        /// Minisign public key file
        public_key: PathBuf,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Load a signed bundle; takes a second person
    Load {
        /// File of the bundle, with its statement and signature beside it
        bundle: PathBuf,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Fetch a bundle that waits for your approval
    Fetch {
        /// Digest of the bundle, 64 hex digits
        digest: String,
        /// Write the bundle to this new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Explain why a run or step was denied, or what policy decides for an input
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Tenant that the receipt belongs to
    #[arg(long)]
    pub tenant: Option<TenantName>,
    /// Index of the receipt
    #[arg(long, value_name = "INDEX")]
    pub receipt: Option<u64>,
    /// Input document (policies/input.schema.json) instead of a receipt
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
}

/// The freeze that is meant where none is named.
fn unnamed_freeze() -> Ident {
    Ident::new("now").unwrap_or_else(|_| unreachable!("an identifier"))
}
