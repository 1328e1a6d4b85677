//! The command line. Its names are public: a snapshot of every help text shows any change of them.

// Doc comments here are help texts, read at a terminal: backquotes and brackets would stand in them as they are.
#![allow(clippy::doc_markdown)]

mod incidents;
mod people;
mod policy;
mod ramps;
mod receipts;
mod replay;
mod tenants;
mod usage;

pub use incidents::*;
pub use people::*;
pub use policy::*;
pub use ramps::*;
pub use receipts::*;
pub use replay::*;
pub use tenants::*;
pub use usage::*;

use crate::client::endpoint::Endpoint;
use crate::client::resolve::TenantName;
use crate::style::ThemeName;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// The console of Conductor, and the same actions as plain commands.
#[derive(Debug, Parser)]
#[command(
    name = "conductor",
    version,
    about,
    after_help = "Without a command the console opens.\n\
Exit codes: 0 done, 1 denied or failed, 2 bad input, 5 kept for a node that cannot be reached; verify: 0 verified, 3 refuted, 4 unconfirmed."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(flatten)]
    pub look: LookArgs,
    #[command(subcommand)]
    pub command: Option<PlainCommand>,
}

/// Options of all commands.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Agent: unix:/path, http://host:port (demo), https://host:port#sha256=<pin>. The console and tightenings take several
    #[arg(
        long = "agent",
        value_name = "ENDPOINT",
        env = "CONDUCTOR_AGENT",
        hide_env_values = true,
        global = true,
        value_delimiter = ','
    )]
    pub agents: Vec<Endpoint>,
    /// Your operator key, a minisign secret key file
    #[arg(long, value_name = "FILE", env = "CONDUCTOR_KEY", hide_env_values = true, global = true)]
    pub key: Option<PathBuf>,
    /// Read only: refuse all changes
    #[arg(long, global = true)]
    pub read_only: bool,
    /// Answer in JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct LookArgs {
    /// Colours of the console: dark, light or plain. NO_COLOR counts too
    #[arg(long, env = "CONDUCTOR_THEME", hide_env_values = true, default_value = "dark", value_parser = theme)]
    pub theme: ThemeName,
    /// Draw the console with ASCII only; the default where the locale is not UTF-8
    #[arg(long)]
    pub ascii: bool,
}

fn theme(text: &str) -> Result<ThemeName, String> {
    text.parse().map_err(|_| "expected dark, light or plain".into())
}

#[derive(Debug, Subcommand)]
pub enum PlainCommand {
    /// Ramps: the share of subjects that may run a workflow
    #[command(subcommand)]
    Ramp(RampCommand),
    /// SLOs of ramps: thresholds and present status
    #[command(subcommand)]
    Slo(SloCommand),
    /// Incidents: list, show, acknowledge, close
    #[command(subcommand)]
    Incident(IncidentCommand),
    /// Events of a log in order, in words
    Timeline(TimelineArgs),
    /// Kill switches: set, clear, show
    #[command(subcommand)]
    Kill(KillCommand),
    /// Quotas of a tenant
    #[command(subcommand)]
    Quota(QuotaCommand),
    /// Tenants and the history of their configuration
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// A tenant's catalog of workflow types
    #[command(subcommand)]
    Workflow(WorkflowCommand),
    /// Tokens of workloads: issue, revoke, list
    #[command(subcommand)]
    Token(TokenCommand),
    /// Local users that need no token on a tenant's socket
    #[command(subcommand)]
    Peer(PeerCommand),
    /// Operators, their keys and roles
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Commands kept for nodes that could not be reached: list, deliver, drop
    #[command(subcommand)]
    Command(OutboxCommand),
    /// Requests that wait for a second person: list, show, give, refuse
    #[command(subcommand)]
    Approval(ApprovalCommand),
    /// Policy profiles: freeze windows, break-glass, behaviour while policy is unavailable
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Freezes: show them, freeze or unfreeze a tenant
    #[command(subcommand)]
    Freeze(FreezeCommand),
    /// Break-glass: lift the freezes of one tenant for a while
    #[command(subcommand)]
    Breakglass(BreakGlassCommand),
    /// Policy bundles: build, sign, test, load, explain
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Recover from a lost signer or a stepped clock; takes two admins on the node itself
    #[command(subcommand)]
    Recover(RecoverCommand),
    /// Receipts: list, show, export
    #[command(subcommand)]
    Receipts(ReceiptsCommand),
    /// Verify receipts or a checkpoint, offline
    Verify(VerifyArgs),
    /// The newest signed checkpoint of a log
    Checkpoint(CheckpointArgs),
    /// Usage of a tenant in a period: show, recount, correct
    #[command(subcommand)]
    Usage(UsageCommand),
    /// Cost of a period: show, explain, compare with an invoice, reconcile
    #[command(subcommand)]
    Cost(CostCommand),
    /// Usage or cost as a file: CSV, JSON, FOCUS
    Export(ExportArgs),
    /// Rate cards: check, sign, trust, load, list
    #[command(subcommand)]
    Rate(RateCommand),
    /// Sinks of metered events: list, dead letters, replay, redeliver
    #[command(subcommand)]
    Sink(SinkCommand),
    /// Exact sums of a tenant's runs, steps and bytes
    Totals(TenantArg),
    /// Name, version and time of the agent
    Node,
    /// Operator keys: make one, show its public key
    #[command(subcommand)]
    Key(KeyCommand),
    /// Play recorded workflow runs against the agent
    Replay(ReplayArgs),
}

#[derive(Debug, Clone, Args)]
pub struct TenantArg {
    /// Display id or uid; "node" for the node's own log
    pub tenant: TenantName,
}

/// How a change is made.
#[derive(Debug, Clone, Default, Args)]
pub struct ChangeArgs {
    /// Reason, recorded in the receipt; required for a loosening
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Confirm a loosening without being asked
    #[arg(long)]
    pub yes: bool,
    /// Show class, blast radius and the text that would be signed; send nothing
    #[arg(long)]
    pub dry_run: bool,
}
