//! Each crate's modules stand in layers, and import only what stands below.

use std::collections::BTreeSet;

use conductor_house::graph::{Level, levels};
use conductor_house::layers::{arrows_up, drawn};
use conductor_house::modules::Tree;
use conductor_house::sources::{read, root};

use crate::circles::made_of;
use crate::{assert_none, trees};

/// Layers of each library's modules, lowest first. `ARCHITECTURE.md` shows them.
const LAYERS: [(&str, &[&[&str]]); 5] = [
    (
        "shared",
        &[
            &["basis_points", "clock", "csv_text", "merkle", "reason", "toml_error", "untrusted", "words"],
            &["fail_closed", "ids", "quota"],
            &["cause", "checkpoint", "freeze", "operator", "ramp", "session", "slo"],
            &["access", "codec", "health", "profile"],
            &["fact", "record"],
            &["meter", "policy"],
            &["time_range"],
            &["cloudevents", "usage"],
            &["cost"],
            &["command"],
            &["control"],
            &["change_class", "config", "ofrep"],
            &["http"],
            &["describe", "routes", "stream"],
            &["verify"],
        ],
    ),
    (
        "policies",
        &[
            &["error", "guard", "names", "scan"],
            &["builtins", "data"],
            &["resolve"],
            &["archive", "engine"],
            &["bundle", "rego_tests"],
        ],
    ),
    (
        "agent",
        &[
            &["platform", "rows"],
            &["keys", "scope", "signer", "store"],
            &["intake", "ledger"],
            &["policy", "staging"],
            &["metering"],
            &["partition"],
            &["sinks"],
            &["health"],
            &["command", "freeze", "incident", "workload"],
            &["checkpoint", "clock_guard", "http", "rollout"],
            &["writer"],
            &["node"],
        ],
    ),
    (
        "tui",
        &[
            &["style", "text"],
            &["client", "widgets"],
            &["model", "replay"],
            &["cli", "screens", "update"],
            &["view"],
            &["console", "sample"],
            &["picture"],
        ],
    ),
    (
        "tests",
        &[
            &["prng", "programs"],
            &["backfill", "fake_sink", "http"],
            &["node", "power", "signer_support"],
            &["billing", "events", "fake_signer", "policy", "provision", "terminal", "workload"],
            &["acknowledged", "opa"],
        ],
    ),
];

/// Around the drawing in `ARCHITECTURE.md`.
const MARKS: [&str; 2] = ["<!-- layers: checked by tests/house -->\n", "<!-- end of layers -->"];

fn library(name: &str) -> Tree {
    let wanted = format!("{name}/src/lib.rs");
    let found = trees().into_iter().find(|(file, _)| *file == wanted);
    found.unwrap_or_else(|| panic!("{wanted} is no target")).1
}

fn top_level(tree: &Tree) -> Vec<String> {
    tree.modules[0].children.keys().cloned().collect()
}

#[test]
fn modules_import_only_what_stands_below() {
    for (name, layers) in LAYERS {
        let tree = library(name);
        let mut levels = levels(&tree);
        let level = levels.remove("").unwrap_or_default();
        let found = arrows_up(layers, &top_level(&tree), &level);
        if !found.is_empty() {
            println!("{}", drawn(&format!("{name}, as its imports are"), &computed(&tree, &level)));
        }
        assert_none(&found, &format!("{name}: imports of the same layer or a higher one"));
    }
}

/// The lowest layers that today's imports allow.
fn computed(tree: &Tree, level: &Level) -> Vec<Vec<String>> {
    let names: BTreeSet<String> = top_level(tree).into_iter().collect();
    level.layers(&names)
}

/// Prints what a table of layers may be made from.
#[test]
fn layers_as_imports_are() {
    for (file, tree) in trees().iter().filter(|(file, _)| file.ends_with("src/lib.rs")) {
        let level = levels(tree).remove("").unwrap_or_default();
        println!("{}", drawn(file, &computed(tree, &level)));
    }
}

#[test]
fn the_architecture_shows_the_layers() {
    let text: Vec<String> = LAYERS.iter().map(|(name, layers)| drawn(name, layers)).collect();
    let expected = format!("```text\n{}```\n", text.join("\n"));
    let page = read(&root().join("ARCHITECTURE.md"));
    let shown =
        page.split_once(MARKS[0]).and_then(|(_, rest)| rest.split_once(MARKS[1])).map(|(text, _)| text);
    assert!(shown == Some(expected.as_str()), "ARCHITECTURE.md: between its marks must stand\n{expected}");
}

#[test]
fn an_arrow_up_is_found() {
    let tree = made_of(&[
        ("src/lib.rs", "mod low; mod high; mod beside; mod new;"),
        ("src/low.rs", "use crate::high::High;"),
        ("src/high.rs", "use crate::beside::B;"),
        ("src/beside.rs", "use crate::low::L;"),
        ("src/new.rs", ""),
    ]);
    let layers: &[&[&str]] = &[&["low"], &["high", "beside"], &["gone"]];
    let level = levels(&tree).remove("").unwrap_or_default();
    assert_eq!(
        arrows_up(layers, &top_level(&tree), &level),
        [
            "new: no layer names it",
            "gone: a layer names it, and it is not there",
            "high -> beside: src/high.rs:1: crate::beside::B",
            "low -> high: src/low.rs:1: crate::high::High",
        ]
    );
}
