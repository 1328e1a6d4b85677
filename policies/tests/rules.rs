//! The built-in rules and their Rego tests, under the engine that is built in.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use conductor_policies::{Bundle, TestOutcome, run_tests};
use std::path::Path;

fn files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|e| e == "rego") {
            out.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    out.sort();
    out
}

/// What fails; a bundle that is refused fails as a whole.
fn failed(files: &[(String, String)]) -> Vec<String> {
    let outcomes: Vec<TestOutcome> = match run_tests(files) {
        Ok(outcomes) => outcomes,
        Err(e) => return vec![e.to_string()],
    };
    let failed = outcomes.iter().filter_map(|t| t.passed.as_ref().err().map(|e| format!("{}: {e}", t.name)));
    failed.collect()
}

/// The Rego tests of the built-in rules pass under the embedded engine too, and every file of the folder is in the
/// bundle.
#[test]
fn the_rego_tests_pass() {
    let all = files();
    let run = run_tests(&all).unwrap().len();
    assert!(run >= 30, "only {run} tests were found");
    assert_eq!(failed(&all), Vec::<String>::new());
    let folder = Bundle::from_files(all).unwrap();
    assert_eq!(folder.digest(), Bundle::built_in().digest());
}

/// Every rule has Rego tests that allow and deny. Each rule is left out once, and turned into one that always
/// denies; a test fails each time.
#[test]
fn every_rule_is_tested() {
    let all = files();
    let mut rules = 0;
    for (n, (name, text)) in all.iter().enumerate().filter(|(_, (f, _))| !f.ends_with("_test.rego")) {
        for rule in text.split("\n\n") {
            let head: Vec<&str> = rule.lines().skip_while(|l| l.starts_with('#')).collect();
            let Some(first) = head.first().filter(|l| l.contains(" contains ")) else { continue };
            if first.contains("if false") {
                continue;
            }
            rules += 1;
            let reason = first.split(" if ").next().unwrap();
            let reason = if reason.contains("sprintf") { "deny contains \"always\"" } else { reason };
            let reason =
                if name == "main.rego" { reason.replace("deny", "reasons") } else { reason.to_owned() };
            for other in [String::new(), format!("{reason} if true")] {
                let mut changed = all.clone();
                changed[n].1 = text.replace(rule, &other);
                assert_ne!(&changed[n].1, text);
                // The tests of that file are enough, and the others take a while.
                let own = name.replace(".rego", "_test.rego");
                changed.retain(|(f, _)| !f.ends_with("_test.rego") || *f == own || f == "fixtures_test.rego");
                assert!(!failed(&changed).is_empty(), "{name}: no test minds {other:?} instead of\n{rule}");
            }
        }
    }
    assert!(rules >= 20, "only {rules} rules were found");
}
