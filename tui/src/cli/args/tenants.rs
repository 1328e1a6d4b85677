//! Arguments of `conductor tenant`, `workflow`, `token` and `peer`.

// Doc comments here are help texts, read at a terminal: backquotes and brackets would stand in them as they are.
#![allow(clippy::doc_markdown)]

use super::{ChangeArgs, TenantArg};
use crate::client::resolve::TenantName;
use clap::{Args, Subcommand};
use conductor_shared::ids::{Ident, TenantUid};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Create a tenant; its uid is random
    Create {
        /// Display id: a-z 0-9 . _ -
        name: Ident,
        /// The uid that it has on another node, so that one command can mean it on both
        #[arg(long, value_name = "UID")]
        uid: Option<TenantUid>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// All tenants of the node
    List,
    /// Control state and log of a tenant
    Show(TenantArg),
    /// Revisions of the configuration, newest first, with who, why and differences
    History {
        #[command(flatten)]
        tenant: TenantArg,
        /// Number of revisions to list
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
        last: u16,
        /// Older than this revision
        #[arg(long, value_name = "REVISION")]
        before: Option<u64>,
    },
    /// Differences of the configuration between two revisions
    Diff {
        #[command(flatten)]
        tenant: TenantArg,
        /// Revision to compare from
        from: u64,
        /// Revision to compare to; the present one unless given
        to: Option<u64>,
    },
    /// Roll the configuration back to a revision, in one change; classed as a loosening if it loosens anything
    Rollback {
        #[command(flatten)]
        tenant: TenantArg,
        /// Revision to roll back to
        revision: u64,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum WorkflowCommand {
    /// Add a workflow type to the catalog
    Register(WorkflowArgs),
    /// Remove a workflow type from the catalog
    Retire(WorkflowArgs),
    /// Pin the prompt of a workflow type: runs that declare another are denied
    Pin {
        #[command(flatten)]
        workflow: WorkflowArgs,
        /// SHA-256 of the prompt, 64 hex digits
        #[arg(long, value_name = "SHA256", value_parser = digest, required_unless_present = "file")]
        sha256: Option<Digest32>,
        /// File that holds the prompt
        #[arg(long, value_name = "FILE", conflicts_with = "sha256")]
        file: Option<PathBuf>,
    },
    /// Remove the pin of a prompt
    Unpin(WorkflowArgs),
    /// All workflow types of a tenant
    List(TenantArg),
}

pub type Digest32 = [u8; 32];

pub(super) fn digest(text: &str) -> Result<Digest32, String> {
    conductor_shared::ids::unhex(text).ok_or_else(|| "expected 64 hex digits, lower case".into())
}

/// A workflow type, to change.
#[derive(Debug, Clone, Args)]
pub struct WorkflowArgs {
    /// Display id or uid of the tenant
    pub tenant: TenantName,
    /// Workflow type, as in the catalog
    pub workflow: Ident,
    #[command(flatten)]
    pub change: ChangeArgs,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Issue a token; its secret is made here and shown once, only its digest is sent
    Issue {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Name of the token
        name: Ident,
        /// Write the token to this new file (mode 0600) instead of showing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Revoke a token of a tenant
    Revoke {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// Id of the token, or its name when only one live token has it
        token: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// All tokens of a tenant
    List(TenantArg),
}

#[derive(Debug, Subcommand)]
pub enum PeerCommand {
    /// Allow a local user on the tenant's own socket
    Allow(PeerArgs),
    /// Deny a local user again
    Deny(PeerArgs),
    /// Local users that are allowed
    List(TenantArg),
}

/// A local user, to change.
#[derive(Debug, Clone, Args)]
pub struct PeerArgs {
    /// Display id or uid of the tenant
    pub tenant: TenantName,
    /// User id on this machine
    pub uid: u32,
    #[command(flatten)]
    pub change: ChangeArgs,
}
