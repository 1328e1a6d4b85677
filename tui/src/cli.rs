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

use args::{Cli, KeyCommand, PlainCommand, RampCommand};
use context::Context;
use output::{CliError, Output};

/// What `main` is to do.
#[derive(Debug)]
pub enum Parsed {
    Console(context::ConsoleArgs),
    /// Run a plain command.
    Plain(Box<Context>, Box<PlainCommand>),
}

/// Separates the console from plain commands.
pub fn parsed(cli: Cli) -> Result<Parsed, CliError> {
    let context = Context::new(cli.global)?;
    Ok(match cli.command {
        None => Parsed::Console(context.console()),
        Some(c) => Parsed::Plain(Box::new(context), Box::new(c)),
    })
}

/// Runs a plain command, and closes what it opened.
pub async fn run(context: &Context, command: PlainCommand) -> Result<Output, CliError> {
    let done = dispatch(context, command).await;
    context.close().await;
    done
}

async fn dispatch(context: &Context, command: PlainCommand) -> Result<Output, CliError> {
    match command {
        PlainCommand::Ramp(RampCommand::Kill(k)) => ramps::kill_set(context, k).await,
        PlainCommand::Ramp(RampCommand::Plan(c)) => incidents::ramp_plan(context, c).await,
        PlainCommand::Ramp(RampCommand::Override(c)) => incidents::ramp_override(context, c).await,
        PlainCommand::Slo(c) => incidents::slo(context, c).await,
        PlainCommand::Incident(c) => incidents::incident(context, c).await,
        PlainCommand::Timeline(c) => incidents::timeline(context, c).await,
        PlainCommand::Ramp(c) => ramps::ramp(context, c).await,
        PlainCommand::Kill(c) => ramps::kill(context, c).await,
        PlainCommand::Quota(c) => ramps::quota(context, c).await,
        PlainCommand::Tenant(c) => tenants::tenant(context, c).await,
        PlainCommand::Workflow(c) => tenants::workflow(context, c).await,
        PlainCommand::Token(c) => tenants::token(context, c).await,
        PlainCommand::Peer(c) => operators::peer(context, c).await,
        PlainCommand::Operator(c) => operators::operator(context, c).await,
        PlainCommand::Approval(c) => operators::approval(context, c).await,
        PlainCommand::Profile(c) => freezes::profile(context, c).await,
        PlainCommand::Freeze(c) => freezes::freeze(context, c).await,
        PlainCommand::Breakglass(c) => freezes::break_glass(context, c).await,
        PlainCommand::Policy(c) => policy::policy(context, c).await,
        PlainCommand::Recover(c) => recover::recover(context, c).await,
        PlainCommand::Receipts(c) => receipts::receipts(context, c).await,
        PlainCommand::Checkpoint(c) => receipts::checkpoint(context, c).await,
        PlainCommand::Totals(c) => status::totals(context, c).await,
        PlainCommand::Usage(c) => usage::usage(context, c).await,
        PlainCommand::Cost(c) => usage::cost(context, c).await,
        PlainCommand::Export(c) => usage::export(context, c).await,
        PlainCommand::Sink(c) => sinks::sink(context, c).await,
        PlainCommand::Rate(c) => usage::rate(context, c).await,
        PlainCommand::Node => status::node(context).await,
        PlainCommand::Verify(c) => verify::verify(&c),
        PlainCommand::Key(KeyCommand::New { out, unencrypted }) => status::key_new(out, unencrypted).await,
        PlainCommand::Key(KeyCommand::Show { file }) => status::key_show(context, file).await,
        PlainCommand::Command(c) => fanout::command(context, c).await,
        PlainCommand::Replay(c) => replay::replay(context, c).await,
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod change_tests;
