//! Which crate may know which, where the database and `unsafe` may stand, and what no file may hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use cargo_metadata::PackageId;
use conductor_house::patterns::{is_any, makes_unbounded_channel, names_std, turns_direction};
use conductor_house::sources::{files, read, relative, resolved, root, sources, workspace};

use crate::assert_none;

/// All packages that `from` needs, directly or through others, in its tests too.
fn needed_by(from: &str) -> BTreeSet<String> {
    let metadata = resolved();
    let graph = metadata.resolve.as_ref().expect("a resolved graph");
    let names: BTreeMap<&PackageId, String> =
        metadata.packages.iter().map(|package| (&package.id, package.name.to_string())).collect();
    let needs: BTreeMap<&PackageId, &[PackageId]> =
        graph.nodes.iter().map(|node| (&node.id, node.dependencies.as_slice())).collect();
    let start = names.iter().find(|(_, name)| *name == from).expect("a package of the workspace");
    let (mut seen, mut open) = (BTreeSet::new(), vec![*start.0]);
    while let Some(id) = open.pop() {
        open.extend(needs[id].iter().filter(|need| seen.insert(*need)));
    }
    assert!(seen.len() > 5, "cargo's answer was not understood: {seen:?}");
    seen.into_iter().map(|id| names[id].clone()).collect()
}

/// Gates of the request: "a check that crates keep their boundaries". The console must work with any agent over the
/// public API alone, so neither side may reach into the other, not even through a third crate.
#[test]
fn tui_and_agent_never_depend_on_each_other() {
    assert!(
        !needed_by("conductor-tui").contains("conductor-agent"),
        "tui depends on agent: use the public API"
    );
    assert!(!needed_by("conductor-agent").contains("conductor-tui"), "agent depends on tui");
    let mut found = Vec::new();
    for (krate, forbidden) in [("tui", "conductor_agent"), ("agent", "conductor_tui")] {
        for source in sources().iter().filter(|s| s.is_under(krate)) {
            found.extend(source.places(|tokens, i| is_any(tokens, i, &[forbidden])));
        }
    }
    assert_none(&found, "tui and agent meet only in shared");
}

/// Gates of the request: `shared` is vocabulary and pure rules; the fold must run the same in agent, console, restart
/// and restore, so it knows none of them, and no runtime, network or database.
#[test]
fn shared_depends_on_no_other_crate_of_ours_and_no_machinery() {
    let needed = needed_by("conductor-shared");
    for forbidden in [
        "conductor-agent",
        "conductor-tui",
        "conductor-tests",
        "tokio",
        "mio",
        "hyper",
        "reqwest",
        "crossterm",
        "rocksdb",
        "librocksdb-sys",
    ] {
        assert!(!needed.contains(forbidden), "shared depends on {forbidden}");
    }
}

/// Gates of the request, and Time: no I/O and no clock in `shared`, in its tests neither (a golden file comes in by
/// `include_str!`), so that what it decides follows from its arguments alone.
#[test]
fn shared_does_no_io_and_reads_no_clock() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| s.is_under("shared/src")) {
        found.extend(source.places(|tokens, i| {
            is_any(tokens, i, &["tokio", "SystemTime", "Instant"])
                || ["fs", "net", "env", "process", "thread"].iter().any(|module| names_std(tokens, i, module))
        }));
    }
    assert_none(&found, "shared has no I/O, no clock, no threads and no runtime: pass the value in");
}

/// Invariants 1 and 2: what is written and under which scope is decided in one room. Only `agent/src/store` may name
/// the database, so that nobody else can read or write a tenant's family.
#[test]
fn only_the_store_names_rocksdb() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| !s.is_under("agent/src/store")) {
        found.extend(source.places(|tokens, i| is_any(tokens, i, &["rocksdb", "librocksdb_sys"])));
    }
    assert_none(&found, "only agent/src/store names rocksdb and librocksdb_sys");
    let metadata = workspace();
    for package in metadata.workspace_packages() {
        let named =
            package.dependencies.iter().any(|d| matches!(d.name.as_str(), "rocksdb" | "librocksdb-sys"));
        assert_eq!(
            named,
            package.name.as_str() == "conductor-agent",
            "{}: only the agent names RocksDB",
            package.name
        );
    }
}

/// Invariant 2, scope by construction: a proof made of a type is worth nothing where memory can be forged. One file of
/// `agent/src/store` may use `unsafe`, for the one C call that has no safe wrapper.
#[test]
fn unsafe_stands_in_one_file_of_the_store() {
    let mut files = BTreeSet::new();
    let mut found = Vec::new();
    for source in sources() {
        let places = source.places(|tokens, i| {
            let allowed = |k: &usize| is_any(tokens, *k, &["allow"]);
            is_any(tokens, i, &["unsafe"])
                || (is_any(tokens, i, &["unsafe_code"]) && (i.saturating_sub(2)..i).any(|k| allowed(&k)))
        });
        if source.is_under("agent/src/store") && !places.is_empty() {
            files.insert(source.path.clone());
        } else {
            found.extend(places);
        }
    }
    assert_none(&found, "unsafe stands outside agent/src/store");
    assert!(files.len() <= 1, "unsafe stands in more than one file of the store: {files:?}");
}

/// Bad input: nothing allocates without bound. A queue without a limit turns a flood by one tenant into the end of all.
/// (Clippy refuses the same by path; an `allow` beside the call would silence that, and not this.)
#[test]
fn no_channel_is_unbounded() {
    let found: Vec<String> = sources().iter().flat_map(|s| s.places(makes_unbounded_channel)).collect();
    assert_none(&found, "every queue is bounded");
}

/// The lints in the workspace manifest hold only in a crate that asks for them.
#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let metadata = workspace();
    let crates = metadata.workspace_packages();
    assert!(crates.len() >= 5, "looked for the manifests in the wrong place");
    for package in crates {
        let text = read(package.manifest_path.as_std_path());
        let asked = text
            .split("[lints]")
            .nth(1)
            .is_some_and(|rest| rest.trim_start().starts_with("workspace = true"));
        assert!(asked, "{}: add [lints] workspace = true", package.manifest_path);
    }
}

/// Rule of docs/adr/0001: RocksDB is compiled once a machine, outside cargo's graph. If the script compiled another
/// version than cargo links, the declarations and the library would disagree without a word.
#[test]
fn the_rocksdb_that_is_compiled_is_the_one_that_is_linked() {
    let script = read(&root().join("scripts/rocksdb.sh"));
    let compiled = script
        .lines()
        .find_map(|line| line.strip_prefix("SYS_VERSION="))
        .and_then(|rest| rest.split_whitespace().next())
        .expect("scripts/rocksdb.sh has a line SYS_VERSION=");
    let metadata = resolved();
    let linked = metadata.packages.iter().filter(|package| package.name.as_str() == "librocksdb-sys");
    let linked: Vec<String> = linked.map(|package| package.version.to_string()).collect();
    assert_eq!(linked, [compiled], "scripts/rocksdb.sh compiles {compiled}, Cargo.lock links {linked:?}");
}

/// Bad input and hostile text: control characters that turn the direction of text make a reviewer read other code than
/// the compiler. A test that needs one writes it as an escape.
#[test]
fn no_file_turns_the_direction_of_text() {
    let mut found = Vec::new();
    let mut looked_at = 0_u32;
    for path in files() {
        let bytes = fs::read(&path).unwrap_or_default();
        if bytes.contains(&0) {
            continue; // a picture or another binary, which nobody reads as text
        }
        looked_at += 1;
        let text = String::from_utf8_lossy(&bytes);
        for (number, line) in text.lines().enumerate() {
            if let Some(c) = line.chars().find(|c| turns_direction(*c)) {
                found.push(format!("{}:{}: U+{:04X}", relative(&path), number + 1, u32::from(c)));
            }
        }
    }
    assert!(looked_at > 10, "looked for the files in the wrong place: {looked_at}");
    assert_none(&found, "bidirectional control characters");
}
