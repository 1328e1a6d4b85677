//! Public names: every help text, and the errors for bad arguments.

use super::args::Cli;
use super::context::Context;
use super::output::{CliError, table, time};
use clap::{CommandFactory, Parser};
use std::fmt::Write as _;

fn helps(command: &mut clap::Command, path: &str, out: &mut String) {
    let path = if path.is_empty() {
        command.get_name().to_owned()
    } else {
        format!("{path} {}", command.get_name())
    };
    let text = command.clone().bin_name(&path).term_width(100).render_long_help();
    let _ = writeln!(out, "##### {path} --help\n{text}");
    for sub in command.get_subcommands_mut() {
        if sub.get_name() != "help" {
            helps(sub, &path, out);
        }
    }
}

/// DESIGN, Habits: the help of every command, so that a public name cannot change unseen.
#[test]
fn every_help() {
    let mut out = String::new();
    let mut root = Cli::command();
    root.build();
    helps(&mut root, "", &mut out);
    insta::assert_snapshot!(out);
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

/// SPEC, Bad input: a bad argument is refused with exit code 2 and says what was expected.
#[test]
fn bad_arguments() {
    let mut said = String::new();
    for line in [
        "ramp set acme run/etl 101",
        "ramp set acme run/etl 10.123",
        "ramp set acme etl 10",
        "ramp set Acme run/etl 10",
        "quota set acme runs 5",
        "quota set acme step_rate -5",
        "tenant create A",
        "tenant create \u{1b}[2J",
        "--agent ftp://x node",
        "--agent https://h:1 node",
        "receipts list acme --last 501",
        "receipts list acme --limit 5",
        "receipts export acme",
        "verify x",
        "replay --tenant a --workflow w --token-file t",
        "replay x.json --tenant a --workflow w --token-file t --speed -1",
        "replay x.json --tenant a --workflow w --token-file t --speed NaN",
        "replay x.json --tenant a --workflow w --token-file t --env prod",
        "replay x.json --generate 3 --tenant a --workflow w --token-file t",
        "frobnicate",
    ] {
        let args = std::iter::once("conductor").chain(line.split(' '));
        let e = Cli::try_parse_from(args).expect_err(line);
        assert_eq!(e.exit_code(), 2, "{line}");
        let _ = writeln!(said, "$ conductor {}\n{e}", conductor_shared::untrusted::escape(line, 200));
    }
    insta::assert_snapshot!(said);
}

fn context(args: &[&str]) -> Context {
    let cli = Cli::try_parse_from(std::iter::once("conductor").chain(args.iter().copied())).unwrap();
    Context::new(cli.global).unwrap()
}

async fn error(args: &[&str]) -> CliError {
    let cli = Cli::try_parse_from(std::iter::once("conductor").chain(args.iter().copied())).unwrap();
    let context = Context::new(cli.global).unwrap();
    super::run(&context, cli.command.unwrap()).await.unwrap_err()
}

/// SPEC, Bad input: what a command lacks is named, with how to fix it.
#[tokio::test]
async fn what_is_missing_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("k");
    crate::client::keys::create(&key, None).unwrap();
    let key = key.to_string_lossy();
    let none = "unix:/nonexistent/agent.sock";
    let mut said = String::new();
    for args in [
        vec!["node"],
        vec!["--agent", none, "--key", &key, "node"],
        vec!["--agent", none, "--agent", "http://h:1", "--key", &key, "node"],
        vec!["--key", "/nonexistent/key", "node"],
        vec!["--read-only", "kill", "set", "acme", "*/*"],
        vec!["tenant", "create", "node"],
        vec!["quota", "set", "acme", "step_rate", "99999999999"],
    ] {
        // The environment of whoever runs the tests must not count.
        if std::env::var_os("CONDUCTOR_KEY").is_some() || std::env::var_os("CONDUCTOR_AGENT").is_some() {
            return;
        }
        let e = error(&args).await;
        let line = args.join(" ").replace(&*key, "KEY");
        let _ = writeln!(said, "$ conductor {line} ({})\n{e}\n", e.code());
    }
    insta::assert_snapshot!(said);
    assert!(context(&["--read-only"]).may_change().is_err());
}

#[test]
fn tables_and_times() {
    let rows = vec![vec!["a".into(), "日本".into()], vec!["long".into(), "b".into()]];
    assert_eq!(table(&["X", "Y"], &rows), "X     Y\na     日本\nlong  b\n");
    assert_eq!(time(1_700_000_000_123_456), "2023-11-14T22:13:20.123Z");
    assert_eq!(time(u64::MAX), format!("{} us", i64::MAX));
}
