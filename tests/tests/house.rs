//! The rules of the house that no compiler checks: which crate may know which, where the database and `unsafe` may
//! stand, and what no file may hold. It reads the sources as they are; it starts nothing and writes nothing.

#![allow(clippy::expect_used, clippy::panic, reason = "a test file: its helpers fail the test by a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

// --- The boundaries of the crates -----------------------------------------------------------------------------------

/// SPEC, Gates of the request: "a check that crates keep their boundaries". The console must work with any agent over
/// the public API alone, so neither side may reach into the other, not even through a third crate.
#[test]
fn tui_and_agent_never_depend_on_each_other() {
    let lock = Lock::read();
    assert!(!lock.reaches("conductor-tui", "conductor-agent"), "tui depends on agent: use the public API");
    assert!(!lock.reaches("conductor-agent", "conductor-tui"), "agent depends on tui");
    let mut found = Vec::new();
    for (krate, forbidden) in [("tui", "conductor_agent"), ("agent", "conductor_tui")] {
        for source in sources().iter().filter(|s| s.is_under(krate)) {
            found.extend(source.places(|tokens, i| tokens[i] == forbidden));
        }
    }
    assert_none(&found, "tui and agent meet only in shared");
}

/// SPEC, Gates of the request. `shared` is vocabulary and pure rules; the fold must run the same in agent, console,
/// restart and restore, so it knows none of them, and no runtime, network or database.
#[test]
fn shared_depends_on_no_room_and_no_machinery() {
    let lock = Lock::read();
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
        assert!(!lock.reaches("conductor-shared", forbidden), "shared depends on {forbidden}");
    }
}

/// SPEC, Gates of the request, and Time: no I/O and no clock in `shared`, in its tests neither (a golden file comes in
/// by `include_str!`), so that what it decides follows from its arguments alone.
#[test]
fn shared_does_no_io_and_reads_no_clock() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| s.is_under("shared/src")) {
        found.extend(source.places(|tokens, i| {
            matches!(tokens[i].as_str(), "tokio" | "SystemTime" | "Instant")
                || ["fs", "net", "env", "process", "thread"].iter().any(|module| names_std(tokens, i, module))
        }));
    }
    assert_none(&found, "shared has no I/O, no clock, no threads and no runtime: pass the value in");
}

/// SPEC, invariants 1 and 2: what is written and under which scope is decided in one room. Only `agent/src/store` may
/// name the database, so that nobody else can read or write a tenant's family.
#[test]
fn only_the_store_names_rocksdb() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| !s.is_under("agent/src/store")) {
        found.extend(source.places(|tokens, i| matches!(tokens[i].as_str(), "rocksdb" | "librocksdb_sys")));
    }
    assert_none(&found, "only agent/src/store names rocksdb and librocksdb_sys");
    for manifest in manifests() {
        let text = read(&manifest);
        let in_agent = manifest.ends_with("agent/Cargo.toml") || manifest == root().join("Cargo.toml");
        let named = text.lines().any(|l| l.starts_with("rocksdb") || l.starts_with("librocksdb-sys"));
        assert!(in_agent || !named, "{} names RocksDB: only the agent may", shown(&manifest));
    }
}

/// SPEC, invariant 2, scope by construction: a proof made of a type is worth nothing where memory can be forged. One
/// file of `agent/src/store` may use `unsafe`, for the one C call that has no safe wrapper.
#[test]
fn unsafe_stands_in_one_file_of_the_store() {
    let mut files = BTreeSet::new();
    let mut found = Vec::new();
    for source in sources() {
        let places = source.places(|tokens, i| {
            tokens[i] == "unsafe"
                || (tokens[i] == "unsafe_code" && tokens[..i].iter().rev().take(2).any(|t| t == "allow"))
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

/// SPEC, 1.3 and Bad input: nothing allocates without bound. A queue without a limit turns a flood by one tenant into
/// the end of all. (Clippy refuses the same by path; an `allow` beside the call would silence that, and not this.)
#[test]
fn no_channel_is_unbounded() {
    let found: Vec<String> = sources().iter().flat_map(|s| s.places(makes_unbounded_channel)).collect();
    assert_none(&found, "every queue is bounded");
}

/// The lints in the workspace manifest hold only in a crate that asks for them.
#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let crates = manifests();
    assert!(crates.len() >= 5, "looked for the manifests in the wrong place: {crates:?}");
    for manifest in crates.iter().filter(|m| **m != root().join("Cargo.toml")) {
        let text = read(manifest);
        let asked = text
            .split("[lints]")
            .nth(1)
            .is_some_and(|rest| rest.trim_start().starts_with("workspace = true"));
        assert!(asked, "{}: add [lints] workspace = true", shown(manifest));
    }
}

// --- What is written twice must agree -------------------------------------------------------------------------------

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
    let lock = Lock::read();
    let linked: Vec<&str> =
        lock.packages.iter().filter(|p| p.name == "librocksdb-sys").map(|p| p.version.as_str()).collect();
    assert_eq!(linked, [compiled], "scripts/rocksdb.sh compiles {compiled}, Cargo.lock links {linked:?}");
}

// --- What no file may hold ------------------------------------------------------------------------------------------

/// SPEC, Bad input and hostile text: control characters that turn the direction of text make a reviewer read other
/// code than the compiler. A test that needs one writes it as an escape.
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
                found.push(format!("{}:{}: U+{:04X}", shown(&path), number + 1, u32::from(c)));
            }
        }
    }
    assert!(looked_at > 10, "looked for the files in the wrong place: {looked_at}");
    assert_none(&found, "bidirectional control characters");
}

/// The characters of the Unicode property `Bidi_Control` (Unicode, `PropList.txt`).
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

// --- The checks check -----------------------------------------------------------------------------------------------

/// A check that cannot fail protects nothing: each pattern is tried on text that must and text that must not match.
#[test]
fn the_patterns_find_what_they_are_for() {
    let hits = |text: &str, hit: fn(&[String], usize) -> bool| {
        let (tokens, _) = tokens(text);
        (0..tokens.len()).filter(|i| hit(&tokens, *i)).count()
    };
    let fs: fn(&[String], usize) -> bool = |t, i| names_std(t, i, "fs");
    for (text, expected) in [
        ("use std::fs;", 1),
        ("use std::fs::File;", 1),
        ("std :: fs :: read(p)", 1),
        ("use std::{collections::BTreeMap, fs};", 1),
        ("use std::{io::{self, Read}, fs::File};", 1),
        ("use std::{collections::{btree_map, fs}};", 0),
        ("use mine::fs; let std = 1;", 0),
        ("// use std::fs;\n/* std::fs /* std::fs */ std::fs */", 0),
        ("let s = \"std::fs\"; let r = r#\"std::fs \" std::fs\"#; let b = b\"std::fs\";", 0),
        ("fn f<'a>(s: &'a str) -> char { '\"' } use std::fs;", 1),
        ("let c = '\\''; use std::fs; let d = '\\\\'; let e = \"\\\"\";", 1),
    ] {
        assert_eq!(hits(text, fs), expected, "{text}");
    }
    for (text, expected) in [
        ("tokio::sync::mpsc::unbounded_channel::<u8>()", 1),
        ("use tokio::sync::mpsc::UnboundedSender;", 1),
        ("crossbeam_channel::unbounded()", 1),
        ("let (a, b) = unbounded::<u8>();", 1),
        ("let (a, b) = std::sync::mpsc::channel();", 1),
        ("let (a, b) = mpsc::channel::<Vec<u8>>();", 1),
        ("let (a, b) = channel();", 1),
        ("tokio::sync::mpsc::channel(16)", 0),
        ("tokio::sync::oneshot::channel()", 0),
        ("oneshot::channel::<Reply>()", 0),
        ("self.channel() + fn channel() {}", 0),
        ("let unbounded = Quota::unbounded;", 0),
    ] {
        assert_eq!(hits(text, makes_unbounded_channel), expected, "{text}");
    }
    let (words, lines) = tokens("a\n\"x\ny\"\nb");
    assert_eq!((words, lines), (vec!["a".to_owned(), "b".to_owned()], vec![1, 4]));
    assert!(turns_direction('\u{202e}') && turns_direction('\u{2066}') && !turns_direction('a'));
}

/// Whether the token at `i` begins a use of `std::<module>`, alone or inside `std::{...}`.
fn names_std(tokens: &[String], i: usize, module: &str) -> bool {
    if tokens[i] != "std" || tokens.get(i + 1).map(String::as_str) != Some("::") {
        return false;
    }
    let rest = &tokens[i + 2..];
    if rest.first().map(String::as_str) != Some("{") {
        return rest.first().map(String::as_str) == Some(module);
    }
    let mut depth = 0_u32;
    for (k, token) in rest.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return false,
            "}" => depth -= 1,
            name if name == module && depth == 1 && matches!(rest[k - 1].as_str(), "{" | ",") => return true,
            _ => {}
        }
    }
    false
}

/// Whether the token at `i` makes, or names the type of, a channel without a limit. `oneshot` holds one value.
fn makes_unbounded_channel(tokens: &[String], i: usize) -> bool {
    let at = |k: usize| tokens.get(k).map_or("", String::as_str);
    let before = |n: usize| if i >= n { at(i - n) } else { "" };
    match at(i) {
        "unbounded_channel" | "UnboundedSender" | "UnboundedReceiver" => true,
        "unbounded" => matches!(at(i + 1), "(" | "::") && !matches!(before(1), "fn" | "."),
        "channel" => {
            let made_elsewhere =
                matches!(before(1), "fn" | ".") || (before(1) == "::" && before(2) != "mpsc");
            !made_elsewhere && called_without_arguments(&tokens[i + 1..])
        }
        _ => false,
    }
}

/// Whether these tokens begin with `()` or `::<...>()`.
fn called_without_arguments(tokens: &[String]) -> bool {
    let mut rest = tokens;
    if rest.len() > 1 && rest[0] == "::" && rest[1] == "<" {
        let mut depth = 0_i32;
        let end = rest.iter().position(|token| {
            depth += i32::from(token == "<") - i32::from(token == ">");
            depth == 0 && token == ">"
        });
        rest = end.map_or(&[], |end| &rest[end + 1..]);
    }
    rest.len() > 1 && rest[0] == "(" && rest[1] == ")"
}

// --- Reading the house ----------------------------------------------------------------------------------------------

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the workspace is where it was compiled")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", shown(path)))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn assert_none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

/// Every file of the checkout, except what git and cargo keep there.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", shown(&folder))) {
            let entry = entry.expect("a folder entry");
            let kind = entry.file_type().expect("the type of a folder entry");
            let name = entry.file_name();
            if kind.is_dir() && name != ".git" && name != "target" {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    files
}

fn manifests() -> Vec<PathBuf> {
    files().into_iter().filter(|path| path.ends_with("Cargo.toml")).collect()
}

struct Source {
    path: String,
    tokens: Vec<String>,
    lines: Vec<usize>,
}

impl Source {
    fn is_under(&self, folder: &str) -> bool {
        self.path.starts_with(&format!("{folder}/")) || self.path == format!("{folder}.rs")
    }

    /// `path:line: token` of each token for which `hit` is true.
    fn places(&self, hit: impl Fn(&[String], usize) -> bool) -> Vec<String> {
        let hits = (0..self.tokens.len()).filter(|i| hit(&self.tokens, *i));
        hits.map(|i| format!("{}:{}: {}", self.path, self.lines[i], self.tokens[i])).collect()
    }
}

/// All Rust files of the checkout.
fn sources() -> Vec<Source> {
    let rust = files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let sources: Vec<Source> = rust
        .map(|path| {
            let (tokens, lines) = tokens(&read(&path));
            Source { path: shown(&path), tokens, lines }
        })
        .collect();
    assert!(sources.len() >= 6, "looked for the sources in the wrong place: {}", sources.len());
    sources
}

/// The words and signs of Rust code, each with its line; comments, text and character literals are left out, because a
/// rule about code must not depend on what is said about it. `::` is one token, every other sign its own.
fn tokens(text: &str) -> (Vec<String>, Vec<usize>) {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    let (mut tokens, mut lines) = (Vec::new(), Vec::new());
    let (mut i, mut line) = (0, 1);
    while i < chars.len() {
        let start = i;
        if at(i) == '/' && at(i + 1) == '/' {
            while i < chars.len() && at(i) != '\n' {
                i += 1;
            }
        } else if at(i) == '/' && at(i + 1) == '*' {
            i = end_of_comment(&chars, i);
        } else if at(i) == '"' {
            i = end_of_text(&chars, i);
        } else if at(i) == '\'' && (at(i + 1) == '\\' || at(i + 2) == '\'') {
            i += if at(i + 1) == '\\' { 3 } else { 2 };
            while i < chars.len() && at(i) != '\'' {
                i += 1;
            }
            i += 1;
        } else if is_word(at(i)) {
            while is_word(at(i)) {
                i += 1;
            }
            let word: String = chars[start..i].iter().collect();
            if matches!(word.as_str(), "r" | "br" | "cr") && raw_text_begins(&chars, i) {
                i = end_of_raw_text(&chars, i);
            } else {
                tokens.push(word);
                lines.push(line);
            }
        } else {
            i += if at(i) == ':' && at(i + 1) == ':' { 2 } else { 1 };
            if !at(start).is_whitespace() {
                tokens.push(chars[start..i].iter().collect());
                lines.push(line);
            }
        }
        line += chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    (tokens, lines)
}

/// Comments nest in Rust.
fn end_of_comment(chars: &[char], start: usize) -> usize {
    let (mut i, mut depth) = (start, 0_u32);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn end_of_text(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

fn raw_text_begins(chars: &[char], after_r: usize) -> bool {
    chars[after_r..].iter().find(|c| **c != '#') == Some(&'"')
}

fn end_of_raw_text(chars: &[char], after_r: usize) -> usize {
    let hashes = chars[after_r..].iter().take_while(|c| **c == '#').count();
    let mut i = after_r + hashes + 1;
    while i < chars.len() {
        if chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return i + 1 + hashes;
        }
        i += 1;
    }
    i
}

struct Package {
    name: String,
    version: String,
    needs: Vec<String>,
}

/// `Cargo.lock`, as far as it is wanted here. It holds what cargo resolved, so a dependency under another name or
/// through a third crate is seen as well.
struct Lock {
    packages: Vec<Package>,
}

impl Lock {
    fn read() -> Self {
        let text = read(&root().join("Cargo.lock"));
        let quoted = |line: &str| line.split('"').nth(1).unwrap_or_default().to_owned();
        let packages = text.split("[[package]]").skip(1).map(|block| {
            let value =
                |key: &str| block.lines().find(|l| l.starts_with(key)).map(quoted).unwrap_or_default();
            let needs = block.lines().filter(|l| l.starts_with(" \"")).map(quoted);
            let needs = needs.map(|need| need.split(' ').next().unwrap_or_default().to_owned()).collect();
            Package { name: value("name = "), version: value("version = "), needs }
        });
        let lock = Self { packages: packages.collect() };
        assert!(lock.packages.len() > 50, "Cargo.lock was not understood: {} packages", lock.packages.len());
        lock
    }

    /// Whether `from` needs `to`, directly or through others. Versions of one name are taken together.
    fn reaches(&self, from: &str, to: &str) -> bool {
        let mut needs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for package in &self.packages {
            needs.entry(&package.name).or_default().extend(package.needs.iter().map(String::as_str));
        }
        assert!(needs.contains_key(from), "Cargo.lock has no package {from}");
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(name) = open.pop() {
            for need in needs.get(name).into_iter().flatten() {
                if *need == to {
                    return true;
                }
                if seen.insert(*need) {
                    open.push(need);
                }
            }
        }
        false
    }
}
