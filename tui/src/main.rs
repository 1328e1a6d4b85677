//! `conductor`: the console, and the same actions as plain commands.

use clap::Parser;
use conductor_tui::cli::args::LookArgs;
use conductor_tui::cli::context::ConsoleArgs;
use conductor_tui::cli::output::{self, CliError, Output};
use conductor_tui::cli::{self, Parsed};
use conductor_tui::client::keys::KeyError;
use conductor_tui::console::{self, ConsoleError};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = cli::args::Cli::parse();
    let as_json = args.global.json;
    ExitCode::from(output::write(&work(args), as_json))
}

fn work(args: cli::args::Cli) -> Result<Output, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CliError::Failed(format!("cannot start: {e}")))?;
    let look = args.look.clone();
    match cli::parsed(args)? {
        Parsed::Console(config) => runtime.block_on(open_console(config, look)),
        Parsed::Plain(context, command) => runtime.block_on(cli::run(&context, *command)),
    }
}

/// The seam between plain commands and the console: the one place where the console is opened.
async fn open_console(config: ConsoleArgs, look: LookArgs) -> Result<Output, CliError> {
    let config = console::ConsoleConfig {
        agents: config.agents,
        key_file: config.key.ok_or(KeyError::Missing)?,
        read_only: config.read_only,
        theme: look.theme,
        no_color: std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()),
        ascii: look.ascii || console::locale_is_ascii(),
    };
    console::run(config).await.map_err(|e| match e {
        ConsoleError::Client(e) => CliError::Client(e),
        ConsoleError::Key(e) => e.into(),
        e => CliError::Failed(e.to_string()),
    })?;
    Ok(Output::ok("", serde_json::Value::Null))
}
