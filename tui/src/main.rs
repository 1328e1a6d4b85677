//! `conductor`: the console, and the same actions as plain commands.

use clap::Parser;
use conductor_tui::cli::context::ConsoleConfig;
use conductor_tui::cli::output::{self, CliError, Output};
use conductor_tui::cli::{self, Parsed};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = cli::args::Cli::parse();
    let as_json = args.global.json;
    ExitCode::from(output::write(&work(args), as_json))
}

fn work(args: cli::args::Cli) -> Result<Output, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CliError::Failed(format!("cannot start: {e}")))?;
    match cli::parsed(args)? {
        Parsed::Console(config) => runtime.block_on(open_console(config)),
        Parsed::Plain(context, command) => runtime.block_on(cli::run(&context, command)),
    }
}

/// The seam between plain commands and the console: the one place where the console is opened.
#[allow(clippy::unused_async)] // the console is async; until it is connected there is nothing to wait for
async fn open_console(config: ConsoleConfig) -> Result<Output, CliError> {
    let agents: Vec<String> = config.agents.iter().map(ToString::to_string).collect();
    Err(CliError::Failed(format!(
        "the console is not connected in this build (agents: {}); see conductor --help for the plain commands",
        agents.join(", ")
    )))
}
