//! Large files and functions need a reason.

use conductor_house::sizes::{doc_comments, functions, percentile};
use conductor_house::sources::{Source, sources};

use crate::assert_none;

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 60;

/// Files and functions above the bounds, and why each is better so. An entry that is not needed fails as well.
const REASONS: [(&str, &str); 9] = [
    ("agent/src/http/health.rs::node_health", "one list of findings, each with its words"),
    ("shared/src/command.rs::Command::parse", "one text from its first line to its last"),
    ("shared/src/control/apply.rs::ControlState::change", "one match: an arm for each control fact"),
    (
        "shared/src/control/canonical.rs::state",
        "names every field, so that a new one does not compile unwritten",
    ),
    ("shared/src/cost/export.rs::focus_row", "one line a column, in the order of the specification"),
    ("shared/src/freeze.rs::tests::the_edges_of_daylight_saving", "a table of cases"),
    (
        "tests/tests/node/opa.rs::bundles_of_opa_build_are_taken",
        "each kind of bundle of `opa build`, in turn",
    ),
    ("tui/src/cli/policy.rs::tests::built_and_signed", "one bundle, from its folder to its signature"),
    ("shared/tests/reference.rs::vectors", "one page of docs, written from its first line to its last"),
];

/// The anchors' figures in docs of the project, measured the same way: ours stand beside them in the report.
const ANCHORS: [[&str; 4]; 5] = [
    ["", "linkerd2-proxy", "restate", "gitui"],
    ["file lines, median / 90 % / longest", "141 / 419 / 1838", "139 / 647 / 5346", "221 / 642 / 1959"],
    ["functions over 60 lines, %", "2.2", "5.1", "4.1"],
    ["functions with 7 or more parameters, %", "0.15", "0.6", "0.3"],
    ["doc comments of at most 3 words, %", "4", "5", "74"],
];

fn large() -> Vec<(String, usize)> {
    let sources = sources();
    let files = sources.iter().map(|source| (source.path.clone(), source.text.lines().count()));
    let functions = sources.iter().flat_map(functions).map(|f| (f.name, f.lines));
    files.filter(|(_, n)| *n > FILE_LINES).chain(functions.filter(|(_, n)| *n > FUNCTION_LINES)).collect()
}

#[test]
fn large_files_and_functions_have_a_reason() {
    let large = large();
    let mut found: Vec<String> = large
        .iter()
        .filter(|(name, _)| !REASONS.iter().any(|(known, _)| known == name))
        .map(|(name, lines)| format!("{lines} lines: {name}"))
        .collect();
    let needed = |known: &str| large.iter().any(|(name, _)| name == known);
    let stale = REASONS.iter().filter(|(known, _)| !needed(known));
    found.extend(stale.map(|(known, _)| format!("{known}: it has a reason and needs none")));
    assert_none(&found, "split it, or say in REASONS why it is better whole");
}

/// Reported, not gates.
#[test]
fn report() {
    let sources = sources();
    let mut files: Vec<usize> = sources.iter().map(|source| source.text.lines().count()).collect();
    let functions: Vec<_> = sources.iter().flat_map(functions).collect();
    let docs: Vec<usize> = sources.iter().flat_map(doc_comments).collect();
    let share = |part: usize, all: usize| format!("{:.2}", 100.0 * part as f64 / all as f64);
    let lines = [50, 90, 100].map(|n| percentile(&mut files, n).to_string()).join(" / ");
    let long = functions.iter().filter(|f| f.lines > FUNCTION_LINES).count();
    let wide = functions.iter().filter(|f| f.parameters >= 7).count();
    let short = docs.iter().filter(|words| **words <= 3).count();
    let ours = [
        "ours".to_owned(),
        lines,
        share(long, functions.len()),
        share(wide, functions.len()),
        share(short, docs.len()),
    ];
    for (ours, [what, others @ ..]) in ours.iter().zip(ANCHORS) {
        let columns = others.map(|other| format!("{other:18}")).concat();
        println!("{what:40}{ours:18}{}", columns.trim_end());
    }
}

#[test]
fn a_long_function_is_found_wherever_it_stands() {
    let body = "();\n".repeat(61);
    for text in [
        format!("fn f() {{\n{body}}}"),
        format!("impl A {{ fn f(&self) {{\n{body}}} }}"),
        format!("trait A {{ fn f(&self) {{\n{body}}} }}"),
        format!("mod m {{ fn g() {{ fn f() {{\n{body}}} }} }}"),
    ] {
        let found = functions(&Source { path: "a.rs".to_owned(), text: text.clone() });
        assert!(found.iter().any(|f| f.lines > FUNCTION_LINES && f.name.ends_with("::f")), "{text}");
    }
}
