//! Arguments of `conductor tenant`, `workflow`, `token` and `peer`.

// Doc comments here are help texts, read at a terminal: backquotes and brackets would stand in them as they are.
#![allow(clippy::doc_markdown)]

use super::{ChangeArgs, TenantArg};
use crate::client::resolve::TenantName;
use clap::{Args, Subcommand};
use conductor_shared::ids::{Ident, TenantUid};
use std::path::PathBuf;

/// `conductor tenant`
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Create a tenant; its uid is chosen here, at random
    Create {
        /// Display id: a-z 0-9 . _ -
        name: Ident,
        /// The uid that it has on another node, so that one command can mean it on both
        #[arg(long, value_name = "UID")]
        uid: Option<TenantUid>,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// All tenants of the node
    List,
    /// Control state and log of one
    Show(TenantArg),
    /// Revisions of its configuration, newest first: who, why, what differed
    History {
        /// Which.
        #[command(flatten)]
        tenant: TenantArg,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
        last: u16,
        /// Older than this revision
        #[arg(long, value_name = "REVISION")]
        before: Option<u64>,
    },
    /// What differs in its configuration between two revisions
    Diff {
        /// Which.
        #[command(flatten)]
        tenant: TenantArg,
        /// The one
        from: u64,
        /// The other; the present one unless given
        to: Option<u64>,
    },
    /// Take its configuration back to a revision, in one change; what that loosens is treated as a loosening
    Rollback {
        /// Which.
        #[command(flatten)]
        tenant: TenantArg,
        /// To which
        revision: u64,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// `conductor workflow`
#[derive(Debug, Subcommand)]
pub enum WorkflowCommand {
    /// Add a workflow type to the catalog
    Register(WorkflowArgs),
    /// Take one out
    Retire(WorkflowArgs),
    /// Pin the prompt of one: runs that declare another are denied
    Pin {
        /// Which.
        #[command(flatten)]
        workflow: WorkflowArgs,
        /// SHA-256 of the prompt, 64 hex digits
        #[arg(long, value_name = "SHA256", value_parser = digest, required_unless_present = "file")]
        sha256: Option<Digest32>,
        /// File that holds the prompt
        #[arg(long, value_name = "FILE", conflicts_with = "sha256")]
        file: Option<PathBuf>,
    },
    /// Lift the pin
    Unpin(WorkflowArgs),
    /// The catalog
    List(TenantArg),
}

/// A SHA-256.
pub type Digest32 = [u8; 32];

pub(super) fn digest(text: &str) -> Result<Digest32, String> {
    conductor_shared::ids::unhex(text).ok_or_else(|| "expected 64 hex digits, lower case".into())
}

/// A workflow type, to change.
#[derive(Debug, Clone, Args)]
pub struct WorkflowArgs {
    /// Display id or uid of the tenant
    pub tenant: TenantName,
    /// The workflow type
    pub workflow: Ident,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `conductor token`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; its secret is made here, shown once, and only its digest is sent
    Issue {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// What it is for
        name: Ident,
        /// Write the token to this new file (mode 0600) instead of showing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Shut a token out
    Revoke {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Id of the token, or its name when only one live token has it
        token: String,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// All tokens of a tenant
    List(TenantArg),
}

/// `conductor peer`
#[derive(Debug, Subcommand)]
pub enum PeerCommand {
    /// Let a local user in on the tenant's own socket
    Allow(PeerArgs),
    /// Shut them out
    Deny(PeerArgs),
    /// Users that are let in
    List(TenantArg),
}

/// A local user, to change.
#[derive(Debug, Clone, Args)]
pub struct PeerArgs {
    /// Display id or uid of the tenant
    pub tenant: TenantName,
    /// Unix user id
    pub uid: u32,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}
