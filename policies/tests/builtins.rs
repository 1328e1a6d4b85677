//! Which of OPA's functions rules may call: the page about it, and that it is so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use conductor_policies::{Builtin, Bundle, BundleError, builtin};
use std::collections::BTreeSet;

/// Name, number of arguments, and the operator that it is written as: `opa capabilities --current` of OPA 1.21.3, which a
/// test of tests/ compares.
const OPA: &str = include_str!("opa-builtins.txt");
/// Tells the number of its arguments by nothing.
const ANY_NUMBER: &str = "print";

fn all() -> impl Iterator<Item = (&'static str, usize, Option<&'static str>)> {
    OPA.lines().map(|l| {
        let mut words = l.split(' ');
        (words.next().unwrap(), words.next().unwrap().parse().unwrap(), words.next())
    })
}

fn page() -> String {
    let mut t = "# Functions of rules\n\nMade from `policies/src/builtins.rs` and the functions of OPA 1.21.3; a test \
                 keeps it so. `policy test`, `policy build` and `policy load` refuse a rule that names another function, \
                 with file and line.\n\n\
                 - built in: as in OPA, save for [what is known](../guide/policy.md#what-differs-from-opa).\n\
                 - built in, bounded: an argument that would take too much time or memory is an error, and so a denial.\n\
                 - operator: written as such, and not by name.\n\
                 - refused: its answer does not follow from the input alone.\n\
                 - not built in: nobody could call it.\n\n\
                 | function | arguments | state |\n|---|---|---|\n"
        .to_owned();
    for (name, arguments, operator) in all() {
        let state = match (builtin(name), operator) {
            (_, Some(sign)) => format!("operator `{}`", sign.replace('|', "\\|")),
            (Builtin::Here, _) => "built in".to_owned(),
            (Builtin::Bounded, _) => "built in, bounded".to_owned(),
            (Builtin::Refused, _) => "refused".to_owned(),
            (Builtin::Absent, _) => "not built in".to_owned(),
        };
        let arguments = if name == ANY_NUMBER { "any".to_owned() } else { arguments.to_string() };
        t += &format!("| `{name}` | {arguments} | {state} |\n");
    }
    t
}

/// The page lists every function of OPA with its state.
#[test]
fn the_page_is_true() {
    let path = format!("{}/../docs/reference/builtins.md", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page(), "{path} is not what the code says; run: UPDATE_REFERENCE=1 make test");
}

fn built_with(call: &str) -> Result<Bundle, BundleError> {
    let text = format!(
        "package conductor\n\ndefault allow := false\n\nreasons contains \"q\" if false\n\nallow if {{\n\tinput.never\n\t{call}\n}}\n"
    );
    Bundle::from_files([("main.rego".to_owned(), text)])
}

/// A rule that calls what is built in, with as many arguments as OPA wants, makes a bundle; one that calls something else is
/// refused with its line.
#[test]
fn what_is_said_to_be_built_in_can_be_called() {
    for (name, arguments, operator) in all() {
        let call = |n: usize| format!("{name}({})", vec!["input.x"; n].join(", "));
        let made = built_with(&call(arguments.max(1)));
        let here = operator.is_none() && matches!(builtin(name), Builtin::Here | Builtin::Bounded);
        assert_eq!(made.is_ok(), here, "{name}: {made:?}");
        let refused = if here { built_with(&call(arguments + 2)) } else { made };
        let Err(e) = refused else {
            assert_eq!(name, ANY_NUMBER);
            continue;
        };
        assert!(e.to_string().starts_with("main.rego:9"), "{name}: {e}");
    }
}

/// What is pure in regex, glob, semver, base64, JSON Patch and YAML is there; what is not pure is nowhere.
#[test]
fn the_pure_families_are_built_in() {
    let here: BTreeSet<&str> = all()
        .filter(|(n, ..)| matches!(builtin(n), Builtin::Here | Builtin::Bounded))
        .filter_map(|(n, ..)| n.split_once('.').map(|(family, _)| family))
        .collect();
    for family in
        ["regex", "glob", "semver", "base64", "base64url", "hex", "json", "yaml", "urlquery", "graph"]
    {
        assert!(here.contains(family), "{family}");
    }
    for family in ["http", "net", "time", "rand", "opa", "uuid", "io", "crypto", "providers"] {
        assert!(!here.contains(family), "{family}");
    }
    assert_eq!(builtin("json.patch"), Builtin::Here);
}
