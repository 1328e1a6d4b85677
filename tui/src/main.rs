//! `conductor`: the console, and the plain commands.

use clap::Parser as _;
use conductor_tui::app::{ConsoleConfig, ConsoleError, ThemeName, locale_is_ascii, run};
use conductor_tui::client::endpoint::Endpoint;
use std::process::ExitCode;

/// The console of Conductor.
#[derive(Debug, clap::Parser)]
#[command(version)]
struct Args {
    /// An agent: unix:/path, http://host:port or https://host:port#sha256=<digest>. May be given several times.
    #[arg(long, env = "CONDUCTOR_AGENT", value_delimiter = ' ', required = true)]
    agent: Vec<Endpoint>,
    /// Your minisign secret key file.
    #[arg(long, env = "CONDUCTOR_KEY")]
    key: std::path::PathBuf,
    /// Only look.
    #[arg(long)]
    read_only: bool,
    /// dark, light or plain.
    #[arg(long, env = "CONDUCTOR_THEME", default_value = "dark", value_parser = theme)]
    theme: ThemeName,
    /// Marks and frames of ASCII only.
    #[arg(long)]
    ascii: bool,
}

fn theme(text: &str) -> Result<ThemeName, String> {
    ThemeName::from_name(text).ok_or_else(|| "expected dark, light or plain".into())
}

fn open_console(a: Args) -> Result<(), ConsoleError> {
    let config = ConsoleConfig {
        agents: a.agent,
        key_file: a.key,
        read_only: a.read_only,
        theme: a.theme,
        no_color: std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()),
        ascii: a.ascii || locale_is_ascii(),
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(config))
}

fn main() -> ExitCode {
    match open_console(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("conductor: {e}");
            ExitCode::FAILURE
        }
    }
}
