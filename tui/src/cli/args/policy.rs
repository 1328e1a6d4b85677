//! Arguments of `conductor policy`, `profile`, `freeze` and `breakglass`.

// Doc comments here are help texts, read at a terminal: backquotes and brackets would stand in them as they are.
#![allow(clippy::doc_markdown)]

use super::ChangeArgs;
use crate::client::resolve::TenantName;
use clap::{Args, Subcommand};
use conductor_shared::ids::Ident;
use std::path::PathBuf;

/// `conductor profile`
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Profiles with their windows, and when each opens or closes next
    List,
    /// Make a profile
    Create {
        /// Its name
        profile: Ident,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Set break_glass_alone, policy_outage or last_known_s; what loosens takes a second person
    Set {
        /// Its name
        profile: Ident,
        /// Setting
        setting: String,
        /// Value
        value: String,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Add a freeze window; over another of that name it takes a second person
    Window {
        /// Name of the profile
        profile: Ident,
        /// Name of the window
        window: Ident,
        /// When, as in "weekly fri 18:00 for 62h00m Europe/Berlin" or "once 2026-12-19T00:00:00Z to 2027-01-04T06:00:00Z"
        when: String,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Take a freeze window away; takes a second person
    Unwindow {
        /// Name of the profile
        profile: Ident,
        /// Name of the window
        window: Ident,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Put a tenant under a profile; takes a second person
    Assign {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Name of the profile
        profile: Ident,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// `conductor freeze`
#[derive(Debug, Subcommand)]
pub enum FreezeCommand {
    /// What is frozen, by what and until when; the next start and end of each window
    Show,
    /// Freeze a tenant now; on all agents that are named, also later on those that cannot be reached now
    Set {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Name of the freeze
        #[arg(long, default_value_t = unnamed_freeze())]
        name: Ident,
        /// It ends by itself after this many minutes; otherwise somebody has to clear it
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=525_600))]
        minutes: Option<u64>,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Lift it; takes a second person
    Clear {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Name of the freeze
        #[arg(long, default_value_t = unnamed_freeze())]
        name: Ident,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// `conductor breakglass`
#[derive(Debug, Subcommand)]
pub enum BreakGlassCommand {
    /// Lift the freezes of a tenant, or with "node" of the node's own log; takes a second person
    Open {
        /// Display id or uid of the tenant; "node" for the node's own log
        tenant: TenantName,
        /// What it is for, as in INC-7
        #[arg(long)]
        ticket: String,
        /// How long
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60))]
        minutes: u64,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Let the freezes hold again
    Close {
        /// Display id or uid of the tenant; "node" for the node's own log
        tenant: TenantName,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// `conductor policy`
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Which bundle holds, and who evaluates it
    Show,
    /// Run the Rego tests of a folder, as `opa test` does; needs no agent
    Test {
        /// Folder with .rego files
        folder: PathBuf,
    },
    /// Check the .rego files of a folder and pack them; needs no agent
    Build {
        /// Folder with .rego files
        folder: PathBuf,
        /// Revision; higher than that of the bundle that is loaded
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        revision: u64,
        /// Write the bundle to this new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Sign a bundle with the policy key, --key; needs no agent
    Sign {
        /// The bundle
        bundle: PathBuf,
        /// Days until it expires
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=3650))]
        days: u64,
    },
    /// Believe bundles that this key signed, and no others; takes a second person
    Trust {
        /// Its .pub file
        public_key: PathBuf,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Go by a signed bundle; takes a second person
    Load {
        /// The bundle; its statement and signature stand beside it
        bundle: PathBuf,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Get the files of a bundle that waits for your approval
    Fetch {
        /// Its digest, 64 hex digits
        digest: String,
        /// Write the bundle to this new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Why a run or step was denied, or what policy says of an input
    Explain(ExplainArgs),
}

/// `conductor policy explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Whose receipt
    #[arg(long)]
    pub tenant: Option<TenantName>,
    /// Its index
    #[arg(long, value_name = "INDEX")]
    pub receipt: Option<u64>,
    /// An input document instead (policies/input.schema.json)
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
}

/// The freeze that is meant where none is named.
fn unnamed_freeze() -> Ident {
    Ident::new("now").unwrap_or_else(|_| unreachable!("an identifier"))
}
