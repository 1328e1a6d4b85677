//! The command line. Its names are public: snapshots of every help text keep them from changing unseen.

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
    /// For all commands.
    #[command(flatten)]
    pub global: Global,
    /// How the console looks.
    #[command(flatten)]
    pub look: LookArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
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
    /// Refuse everything that changes something
    #[arg(long, global = true)]
    pub read_only: bool,
    /// Answer in JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
}

/// How the console looks.
#[derive(Debug, Clone, Args)]
pub struct LookArgs {
    /// Colours of the console: dark, light or plain. `NO_COLOR` is heeded too
    #[arg(long, env = "CONDUCTOR_THEME", hide_env_values = true, default_value = "dark", value_parser = theme)]
    pub theme: ThemeName,
    /// Draw the console with ASCII only; so it is by itself where the locale is not UTF-8
    #[arg(long)]
    pub ascii: bool,
}

fn theme(text: &str) -> Result<ThemeName, String> {
    text.parse().map_err(|_| "expected dark, light or plain".into())
}

/// Plain commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Which share of subjects a workflow is open to
    #[command(subcommand)]
    Ramp(RampCommand),
    /// What ramps are held to, and what is seen under them
    #[command(subcommand)]
    Slo(SloCommand),
    /// What went wrong and is not over: list, show, ack, close
    #[command(subcommand)]
    Incident(IncidentCommand),
    /// What happened in a log, in words
    Timeline(TimelineArgs),
    /// Kill switches
    #[command(subcommand)]
    Kill(KillCommand),
    /// What a tenant may use
    #[command(subcommand)]
    Quota(QuotaCommand),
    /// Tenants
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// A tenant's catalog of workflow types
    #[command(subcommand)]
    Workflow(WorkflowCommand),
    /// Tokens of workloads
    #[command(subcommand)]
    Token(TokenCommand),
    /// Local users that a tenant lets in without a token
    #[command(subcommand)]
    Peer(PeerCommand),
    /// Persons, their keys and roles
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Commands on their way to nodes that could not be reached: list, deliver, drop
    #[command(subcommand)]
    Command(OutboxCommand),
    /// What waits for a second person: list, show, give, refuse
    #[command(subcommand)]
    Approval(ApprovalCommand),
    /// Policy profiles: freeze windows, break-glass, what holds while policy is out
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Freezes: what is frozen, freeze a tenant on the spot
    #[command(subcommand)]
    Freeze(FreezeCommand),
    /// Break-glass: lift the freezes of one tenant for a while
    #[command(subcommand)]
    Breakglass(BreakGlassCommand),
    /// Policy bundles: build, sign, test, load, explain
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// The way out of a lost signer and of a clock that was stepped; takes two admins on the node itself
    #[command(subcommand)]
    Recover(RecoverCommand),
    /// Receipts: list, show, export
    #[command(subcommand)]
    Receipts(ReceiptsCommand),
    /// Verify receipts or a checkpoint, offline
    Verify(VerifyArgs),
    /// The newest signed checkpoint of a log
    Checkpoint(CheckpointArgs),
    /// What a tenant used in a period: show, recount, correct
    #[command(subcommand)]
    Usage(UsageCommand),
    /// What that costs: show, explain, compare with an invoice, reconcile
    #[command(subcommand)]
    Cost(CostCommand),
    /// Usage or cost as a file: CSV, JSON, FOCUS
    Export(ExportArgs),
    /// Rate cards: check, sign, trust, load, list
    #[command(subcommand)]
    Rate(RateCommand),
    /// Where metered events go: list, dead letters, replay
    #[command(subcommand)]
    Sink(SinkCommand),
    /// Exact sums of a tenant's runs, steps and bytes
    Totals(TenantArg),
    /// The agent: who, which version, what time
    Node,
    /// Operator keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Play recorded workflow runs against the agent
    Replay(ReplayArgs),
}

/// Names a tenant.
#[derive(Debug, Clone, Args)]
pub struct TenantArg {
    /// Display id or uid; "node" for the node's own log
    pub tenant: TenantName,
}

/// How a change is made.
#[derive(Debug, Clone, Default, Args)]
pub struct ChangeArgs {
    /// Why; required to loosen, and stands in the receipt
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Confirm a loosening without being asked
    #[arg(long)]
    pub yes: bool,
    /// Show class, blast radius and the text that would be signed; send nothing
    #[arg(long)]
    pub dry_run: bool,
}
