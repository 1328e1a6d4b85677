//! One test a target. `make test` reads the stored examples and some edited ones; `make fuzz` goes on for a minute each.

#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::io::Write as _;
use std::sync::Once;

use conductor_fuzz::corpus;
use conductor_fuzz::target::Target;
use conductor_fuzz::targets::ALL;

/// A target with its examples, which are all written anew first where that is asked for.
fn target(name: &str) -> &'static Target {
    static CORPUS: Once = Once::new();
    CORPUS.call_once(|| {
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            for target in ALL {
                corpus::write(target.name, &(target.examples)());
            }
        }
    });
    ALL.iter().find(|t| t.name == name).expect("a target of this name")
}

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                target(stringify!($name)).check(bolero::check!());
            }
        )*
        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

tests!(
    commands,
    sessions,
    approvals,
    statements,
    checkpoints,
    words,
    minisign_files,
    values,
    sealed,
    bodies,
    disclosures,
    facts,
    proofs,
    receipts,
    evidence,
    signed_checkpoints,
    trust_files,
    rate_cards,
    invoices,
    configs,
    traces,
    windows,
    ranges,
    request_bodies,
    queries,
    answers,
    flags,
    to_console,
    from_console,
    summaries,
    signer_requests,
    signer_answers,
    signer_frames,
    signer_memory,
    bundle_archives,
    bundle_contents,
    rules,
    bundle_data,
    pins,
    outbox,
    nodes,
    signed_sizes,
    rows,
    row_keys,
    tokens,
    key_files,
    key_statements,
);

/// Else a reader would be in the table, and never run.
#[test]
fn every_target_is_tested() {
    let names: Vec<&str> = ALL.iter().map(|t| t.name).collect();
    assert_eq!(names, TESTED, "the table of targets and the list of tests say the same, in the same order");
}

/// The page of docs says what is in the table.
#[test]
fn the_page_of_targets() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/fuzzing.md");
    let page = conductor_fuzz::page::page();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(path, &page).expect("the page can be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == page, "{path} is not what the table says; run: UPDATE_REFERENCE=1 make test");
}

/// Reading a file is bounded by what comes, not by the length that the file claims.
#[test]
fn a_statement_from_a_pipe_is_bounded() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path().join("statement");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let to = path.clone();
    let writer = std::thread::spawn(move || {
        let mut pipe = std::fs::OpenOptions::new().write(true).open(to).expect("a pipe");
        // The reader goes away as soon as it has enough.
        let _ = pipe.write_all(&vec![b' '; 1 << 20]);
    });
    let refused = conductor_tui::cli::operators::read_statement(&path).expect_err("nothing but blanks");
    writer.join().expect("a thread that ends");
    assert!(refused.to_string().contains("more than 16384 bytes"), "{refused}");
}
