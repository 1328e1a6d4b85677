//! The command line. Its names are public: snapshots of every help text keep them from changing unseen.

// Doc comments here are help texts, read at a terminal: backquotes and brackets would stand in them as they are.
#![allow(clippy::doc_markdown)]

use super::usage_args::{CostCommand, ExportArgs, RateCommand, SinkCommand, UsageCommand};
use crate::app::ThemeName;
use crate::client::endpoint::Endpoint;
use crate::client::resolve::TenantName;
use clap::{Args, Parser, Subcommand};
use conductor_shared::fact::{ActorType, Env};
use conductor_shared::ids::{CommandId, Ident, PersonId, TenantUid};
use conductor_shared::operator::{ROLES, parse_roles, roles_text};
use conductor_shared::quota::QuotaKind;
use conductor_shared::ramp::{Selector, parse_percent};
use conductor_shared::slo::Plan;
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
    ThemeName::from_name(text).ok_or_else(|| "expected dark, light or plain".into())
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

/// A rule of a tenant, to change.
#[derive(Debug, Clone, Args)]
pub struct RuleArgs {
    /// Display id or uid of the tenant
    pub tenant: TenantName,
    /// action/workflow, with * for any: run/etl, */etl, */*
    pub rule: Selector,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `kill set` and `ramp kill`
#[derive(Debug, Clone, Args)]
pub struct KillArgs {
    /// Which.
    #[command(flatten)]
    pub rule: RuleArgs,
    /// Deny new runs only; open runs go on
    #[arg(long)]
    pub drain: bool,
}

/// `conductor command`
#[derive(Debug, Subcommand)]
pub enum OutboxCommand {
    /// What is on its way, and which nodes have acknowledged it
    List,
    /// Try to deliver all of it now
    Deliver {
        /// Go on until nothing waits any more; what expires is given up
        #[arg(long)]
        wait: bool,
    },
    /// Deliver one to nobody else
    Drop {
        /// Its id
        command: CommandId,
    },
}

/// `conductor ramp`
#[derive(Debug, Subcommand)]
pub enum RampCommand {
    /// All rules of a tenant
    Show(TenantArg),
    /// Set a rule; lowering an existing one is sent as a cap, which always counts
    Set {
        /// Which.
        #[command(flatten)]
        rule: RuleArgs,
        /// 0 to 100, with up to two decimals
        #[arg(value_parser = percent)]
        percent: u16,
    },
    /// Lower a rule, never raise it; on all agents that are named, also later on those that cannot be reached now
    Cap {
        /// Which.
        #[command(flatten)]
        rule: RuleArgs,
        /// 0 to 100, with up to two decimals
        #[arg(value_parser = percent)]
        percent: u16,
    },
    /// Lower a rule to its last lower value, else to 0 %
    Rollback(RuleArgs),
    /// Remove a rule
    Clear(RuleArgs),
    /// The same as: conductor kill set
    Kill(KillArgs),
    /// Staged plans, which the agent carries on while all is healthy
    #[command(subcommand)]
    Plan(PlanCommand),
    /// Let a rule go again to where it was rolled back from by what was seen
    Override(RuleArgs),
}

/// `conductor ramp plan`
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Begin a plan at its first step
    Set {
        /// Which.
        #[command(flatten)]
        rule: RuleArgs,
        /// Rising steps, each but the last with its bake in seconds: "1%@3600s 5%@3600s 25%@7200s 100%"
        steps: Plan,
    },
    /// End a plan where it stands
    Stop(RuleArgs),
    /// Plans of a tenant: step, bake and verdict
    Show(TenantArg),
}

/// `conductor slo`
#[derive(Debug, Subcommand)]
pub enum SloCommand {
    /// What is seen under each ramp of a tenant
    Show(TenantArg),
    /// Set what a ramp is held to; what is not given stays as it is
    Set {
        /// Which.
        #[command(flatten)]
        rule: RuleArgs,
        /// Rate of errors in percent, above 0 and below 100; 0.5 at first
        #[arg(long, value_name = "PERCENT", value_parser = error_rate)]
        errors: Option<u16>,
        /// Step latency that 99 % stay within, milliseconds; 0: not watched, as at first
        #[arg(long, value_name = "MS")]
        p99_ms: Option<u64>,
        /// Receipts that may wait for a signature; 50000 at first
        #[arg(long, value_name = "N")]
        backlog: Option<u64>,
        /// Runs that must settle before anything is healthy; 200 at first
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        min_settled: Option<u64>,
    },
}

fn error_rate(text: &str) -> Result<u16, String> {
    let good = parse_percent(text).filter(|h| *h > 0 && *h < conductor_shared::ramp::FULL);
    good.ok_or_else(|| "expected a percentage above 0 and below 100, such as 0.5".into())
}

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
    /// Say that you look after it
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
    /// Say that it is over
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

/// `conductor kill`
#[derive(Debug, Subcommand)]
pub enum KillCommand {
    /// Deny new runs and steps; on all agents that are named, also later on those that cannot be reached now
    Set(KillArgs),
    /// Lift a kill switch
    Clear(RuleArgs),
    /// All kill switches of a tenant
    Show(TenantArg),
}

/// `conductor quota`
#[derive(Debug, Subcommand)]
pub enum QuotaCommand {
    /// All quotas of a tenant
    Show(TenantArg),
    /// Set one; lowering is sent as a cap, which always counts
    Set {
        /// Display id or uid of the tenant
        tenant: TenantName,
        /// concurrent_runs, step_rate (a second), step_burst, receipt_backlog or evidence_bytes
        #[arg(value_parser = quota)]
        quota: QuotaKind,
        /// New limit, a whole number
        limit: u64,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
}

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

fn digest(text: &str) -> Result<Digest32, String> {
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

/// `conductor operator`
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Who holds which keys and roles
    List,
    /// Sign whose key --key is, for an admin to enrol; needs no agent
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
        /// The statement's file
        file: PathBuf,
        /// Roles, as in "operator approver"; with @UID for one tenant alone
        #[arg(long, value_name = "ROLES", value_parser = roles)]
        roles: RoleSet,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Set a person's roles; granting takes a second person
    Roles {
        /// Name or id of the person
        name: String,
        /// Roles, as in "operator approver"
        #[arg(value_parser = roles)]
        roles: Option<RoleSet>,
        /// Take all roles away
        #[arg(long)]
        none: bool,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Shut a person out for now
    Suspend {
        /// Name or id of the person
        name: String,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Let them in again; takes a second person
    Resume {
        /// Name or id of the person
        name: String,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Shut a key out for ever
    Revoke {
        /// Minisign key id, 16 hex digits
        #[arg(value_parser = key_id)]
        key: String,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
}

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
        #[arg(long, default_value_t = super::freezes::now())]
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
        #[arg(long, default_value_t = super::freezes::now())]
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

/// Roles of a person.
pub type RoleSet = std::collections::BTreeSet<String>;

fn roles(text: &str) -> Result<RoleSet, String> {
    let words: RoleSet = text.split([' ', ',']).filter(|w| !w.is_empty()).map(str::to_owned).collect();
    parse_roles(&roles_text(&words)).ok_or_else(|| {
        format!("expected words of: {}; each alone or with @ and a tenant's uid", ROLES.join(", "))
    })
}

fn person(text: &str) -> Result<PersonId, String> {
    text.parse().map_err(|_| "expected 32 hex digits".into())
}

fn key_id(text: &str) -> Result<String, String> {
    let hex = text.len() == 16 && text.bytes().all(|c| c.is_ascii_hexdigit());
    if hex {
        Ok(text.to_ascii_uppercase())
    } else {
        Err("expected 16 hex digits, as minisign shows them".into())
    }
}

/// `conductor approval`
#[derive(Debug, Subcommand)]
pub enum ApprovalCommand {
    /// What waits
    List,
    /// One request, read from the text that would be approved
    Show {
        /// Its id
        #[arg(value_parser = command_id)]
        command: CommandId,
    },
    /// Approve it
    Give {
        /// Its id
        #[arg(value_parser = command_id)]
        command: CommandId,
        /// Show the text that would be signed; send nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Refuse it; whoever asked takes it back this way
    Refuse {
        /// Its id
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

/// `conductor receipts`
#[derive(Debug, Subcommand)]
pub enum ReceiptsCommand {
    /// Receipts in order
    List {
        /// Display id or uid; "node" for the node's own log
        tenant: TenantName,
        /// The last so many
        #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "from", value_parser = clap::value_parser!(u16).range(1..=500))]
        last: u16,
        /// From this index on
        #[arg(long, value_name = "INDEX")]
        from: Option<u64>,
        /// How many, with --from
        #[arg(long, value_name = "N", default_value_t = 100, requires = "from", value_parser = clap::value_parser!(u16).range(1..=500))]
        limit: u16,
    },
    /// One receipt with its fields
    Show {
        /// Display id or uid; "node" for the node's own log
        tenant: TenantName,
        /// Its index
        index: u64,
        /// With what proves it, for: conductor verify
        #[arg(long)]
        proof: bool,
        /// Write the proof to this new file
        #[arg(long, value_name = "FILE", requires = "proof")]
        out: Option<PathBuf>,
    },
    /// A range with what proves it whole, as JSON lines, for: conductor verify
    Export {
        /// Display id or uid; "node" for the node's own log
        tenant: TenantName,
        /// First index
        #[arg(long, value_name = "INDEX", default_value_t = 0)]
        from: u64,
        /// One after the last index; the size of the newest signed checkpoint unless given
        #[arg(long, value_name = "INDEX")]
        to: Option<u64>,
        /// Write to this new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// `conductor verify`
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// A receipt with its proof, an export, or a checkpoint (with FILE.minisig beside it)
    pub file: PathBuf,
    /// What you trust, decided beforehand: trust.toml
    #[arg(long, value_name = "FILE")]
    pub trust: PathBuf,
}

/// `conductor checkpoint`
#[derive(Debug, Clone, Args)]
pub struct CheckpointArgs {
    /// Display id or uid; "node" for the node's own log
    pub tenant: TenantName,
    /// Write FILE and FILE.minisig, for: minisign -V
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `conductor key`
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

/// `conductor replay`
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// Records in WfFormat 1.5
    #[arg(value_name = "FILE", required_unless_present = "generate", conflicts_with = "generate")]
    pub files: Vec<PathBuf>,
    /// Display id of the tenant that the token belongs to
    #[arg(long)]
    pub tenant: Ident,
    /// Workflow type, from the tenant's catalog
    #[arg(long)]
    pub workflow: Ident,
    /// File with the workload's token (mode 0600)
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// So many times as fast as recorded; "max" or 0 does not wait
    #[arg(long, value_name = "X", default_value = "1", value_parser = speed)]
    pub speed: f64,
    /// production, staging, development or rehearsal
    #[arg(long, default_value = "rehearsal", value_parser = env)]
    pub env: Env,
    /// person, service, schedule or agent
    #[arg(long, default_value = "service", value_parser = actor)]
    pub actor: ActorType,
    /// What is asked for
    #[arg(long, default_value = "run")]
    pub action: Ident,
    /// Subjects are TEXT and the number of the run; without it each run is its own subject
    #[arg(long, value_name = "TEXT")]
    pub subject_prefix: Option<String>,
    /// SHA-256 of the prompt that the runs declare, where the catalog pins one
    #[arg(long, value_name = "SHA256", value_parser = digest)]
    pub prompt: Option<Digest32>,
    /// Make this share of the runs fail, spread evenly, to rehearse a breach: 0 to 100
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    pub fail: u16,
    /// Steps of one run that may be open at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub parallel: u16,
    /// Runs that may be open at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: u16,
    /// Play everything so many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub repeat: u32,
    /// How long one request is tried again before its denial stands, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub max_wait: u32,
    /// Make up N workflows instead of reading records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub generate: Option<u64>,
    /// Seed of --generate
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

fn percent(text: &str) -> Result<u16, String> {
    parse_percent(text).ok_or_else(|| "expected 0 to 100 with up to two decimals, such as 10 or 12.5".into())
}

fn quota(text: &str) -> Result<QuotaKind, String> {
    QuotaKind::from_name(text)
        .ok_or_else(|| format!("expected one of {}", QuotaKind::ALL.map(QuotaKind::name).join(", ")))
}

fn env(text: &str) -> Result<Env, String> {
    Env::from_word(text).ok_or_else(|| "expected production, staging, development or rehearsal".into())
}

fn actor(text: &str) -> Result<ActorType, String> {
    ActorType::from_word(text).ok_or_else(|| "expected person, service, schedule or agent".into())
}

/// 0 stands for no waiting.
fn speed(text: &str) -> Result<f64, String> {
    if text == "max" {
        return Ok(0.0);
    }
    let x = text.parse::<f64>().ok().filter(|x| x.is_finite() && *x >= 0.0);
    x.ok_or_else(|| "expected a number such as 1, 10 or 0.5, or max".into())
}
