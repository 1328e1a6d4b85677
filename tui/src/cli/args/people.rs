//! Arguments of `conductor operator`, `approval`, `command` and `key`.

// Doc comments here are help texts, read at a terminal: backquotes and brackets would stand in them as they are.
#![allow(clippy::doc_markdown)]

use super::ChangeArgs;
use clap::Subcommand;
use conductor_shared::ids::{CommandId, Ident, KeyId, PersonId};
use conductor_shared::operator::{GrantedRole, Role, Roles, parse_roles, roles_text};
use std::path::PathBuf;
use strum::VariantArray as _;

#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// Kept commands, and which nodes have acknowledged them
    List,
    /// Try to deliver all kept commands now
    Deliver {
        /// Retry until no command is left or all have expired
        #[arg(long)]
        wait: bool,
    },
    /// Forget a command; nodes that have not received it never will
    Drop {
        /// Id of the command
        command: CommandId,
    },
}

#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// All operators with their keys and roles
    List,
    /// Sign a statement of whose key --key is, for an admin to enrol; needs no agent
    Statement {
        /// Short name of the person
        name: Ident,
        /// The person, for another key of somebody who has one; a new one unless given
        #[arg(long, value_name = "ID", value_parser = person)]
        person: Option<PersonId>,
        /// Write the statement to this new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Enrol the key of a statement; takes a second person
    Enrol {
        /// File of the statement
        file: PathBuf,
        /// Roles, as in "operator approver"; with @UID for one tenant alone
        #[arg(long, value_name = "ROLES", value_parser = roles)]
        roles: RoleSet,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Set the roles of a person; granting takes a second person
    Roles {
        /// Name or id of the person
        name: String,
        /// Roles, as in "operator approver"
        #[arg(value_parser = roles)]
        roles: Option<RoleSet>,
        /// Remove all roles of the person
        #[arg(long)]
        none: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Suspend a person; their sessions and streams end at once
    Suspend {
        /// Name or id of the person
        name: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Resume a suspended person; takes a second person
    Resume {
        /// Name or id of the person
        name: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Revoke a key for ever
    Revoke {
        /// Minisign key id, 16 hex digits
        #[arg(value_parser = key_id)]
        key: KeyId,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// Roles of a person.
pub type RoleSet = Roles;

fn roles(text: &str) -> Result<RoleSet, String> {
    let words: RoleSet = text.split([' ', ',']).filter(|w| !w.is_empty()).map(GrantedRole::read).collect();
    parse_roles(&roles_text(&words)).ok_or_else(|| {
        let known: Vec<&str> = Role::VARIANTS.iter().map(Into::into).collect();
        format!("expected words of: {}; each alone or with @ and a tenant's uid", known.join(", "))
    })
}

pub(super) fn person(text: &str) -> Result<PersonId, String> {
    text.parse().map_err(|_| "expected 32 hex digits".into())
}

fn key_id(text: &str) -> Result<KeyId, String> {
    let upper = text.to_ascii_uppercase();
    upper.parse().map_err(|_| "expected 16 hex digits, as minisign shows them".into())
}

#[derive(Debug, Subcommand)]
pub enum ApprovalCommand {
    /// Requests that wait for a second person
    List,
    /// Show a request, as read from the text that would be approved
    Show {
        /// Id of the request, 32 hex digits
        #[arg(value_parser = command_id)]
        command: CommandId,
    },
    /// Approve the request of another person
    Give {
        /// Id of the request, 32 hex digits
        #[arg(value_parser = command_id)]
        command: CommandId,
        /// Show the text that would be signed; send nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Refuse a request; the person who asked withdraws it this way
    Refuse {
        /// Id of the request, 32 hex digits
        #[arg(value_parser = command_id)]
        command: CommandId,
        /// Show the text that would be signed; send nothing
        #[arg(long)]
        dry_run: bool,
    },
}

fn command_id(text: &str) -> Result<CommandId, String> {
    text.parse().map_err(|_| "expected 32 hex digits; see: conductor approval list".into())
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key pair: FILE (mode 0600) and FILE.pub
    New {
        /// The secret key's file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Without a password: for demos and rehearsals
        #[arg(long)]
        unencrypted: bool,
    },
    /// The public key of a secret key file
    Show {
        /// The secret key's file; --key unless given
        file: Option<PathBuf>,
    },
}
