//! Plain commands: the same actions as the console, for scripts and runbooks, over the same client.
//!
//! Every command answers in text or, with `--json`, in one JSON document on standard output. Exit codes are public:
//! 0 done; 1 denied or failed; 2 bad input; `verify` has its own. Text from an agent or a file is untrusted and
//! escaped. A loosening asks first; a tightening never does.

pub mod args;
pub mod change;
pub mod context;
pub mod fanout;
pub mod freezes;
pub mod history;
pub mod incidents;
mod lookup;
pub mod operators;
pub mod output;
pub mod policy;
pub mod ramps;
mod rate_card;
pub mod receipts;
pub mod recover;
pub mod replay;
pub mod sinks;
pub mod status;
pub mod tenants;
pub mod usage;
pub mod verify;

use args::{Cli, Command, KeyCommand, RampCommand};
use context::Context;
use output::{CliError, Output};

/// What `main` is to do.
#[derive(Debug)]
pub enum Parsed {
    Console(context::ConsoleArgs),
    /// Run a plain command.
    Plain(Box<Context>, Command),
}

/// Sorts out the arguments.
pub fn parsed(cli: Cli) -> Result<Parsed, CliError> {
    let context = Context::new(cli.global)?;
    Ok(match cli.command {
        None => Parsed::Console(context.console()),
        Some(c) => Parsed::Plain(Box::new(context), c),
    })
}

/// Runs a plain command.
pub async fn run(context: &Context, command: Command) -> Result<Output, CliError> {
    match command {
        Command::Ramp(RampCommand::Kill(k)) => ramps::kill_set(context, k).await,
        Command::Ramp(RampCommand::Plan(c)) => incidents::plan(context, c).await,
        Command::Ramp(RampCommand::Override(c)) => incidents::ramp_override(context, c).await,
        Command::Slo(c) => incidents::slo(context, c).await,
        Command::Incident(c) => incidents::incident(context, c).await,
        Command::Timeline(c) => incidents::timeline(context, c).await,
        Command::Ramp(c) => ramps::ramp(context, c).await,
        Command::Kill(c) => ramps::kill(context, c).await,
        Command::Quota(c) => ramps::quota(context, c).await,
        Command::Tenant(c) => tenants::tenant(context, c).await,
        Command::Workflow(c) => tenants::workflow(context, c).await,
        Command::Token(c) => tenants::token(context, c).await,
        Command::Peer(c) => operators::peer(context, c).await,
        Command::Operator(c) => operators::operator(context, c).await,
        Command::Approval(c) => operators::approval(context, c).await,
        Command::Profile(c) => freezes::profile(context, c).await,
        Command::Freeze(c) => freezes::freeze(context, c).await,
        Command::Breakglass(c) => freezes::break_glass(context, c).await,
        Command::Policy(c) => policy::policy(context, c).await,
        Command::Recover(c) => recover::recover(context, c).await,
        Command::Receipts(c) => receipts::receipts(context, c).await,
        Command::Checkpoint(c) => receipts::checkpoint(context, c).await,
        Command::Totals(c) => status::totals(context, c).await,
        Command::Usage(c) => usage::usage(context, c).await,
        Command::Cost(c) => usage::cost(context, c).await,
        Command::Export(c) => usage::export(context, c).await,
        Command::Sink(c) => sinks::sink(context, c).await,
        Command::Rate(c) => usage::rate(context, c).await,
        Command::Node => status::node(context).await,
        Command::Verify(c) => verify::verify(&c),
        Command::Key(KeyCommand::New { out, unencrypted }) => status::key_new(out, unencrypted).await,
        Command::Key(KeyCommand::Show { file }) => status::key_show(context, file).await,
        Command::Command(c) => fanout::outgoing(context, c).await,
        Command::Replay(c) => replay::replay(context, c).await,
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod change_tests;
