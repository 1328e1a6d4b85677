//! One name, one type: a search for a name of the console finds one definition.

use conductor_house::names::types;

use crate::circles::made_of;
use crate::{assert_none, trees};

/// The crate that keeps this rule, and the one that it uses most: a name of both would be read wrongly.
const CONSOLE: &str = "tui/src/lib.rs";
const SHARED: &str = "shared/src/lib.rs";

#[test]
fn a_type_of_the_console_has_a_name_of_its_own() {
    let trees = trees();
    let tree = |root: &str| &trees.iter().find(|(file, _)| file == root).expect("its root is there").1;
    let (own, shared) = (types(tree(CONSOLE), false), types(tree(SHARED), true));
    let mut found = Vec::new();
    for (name, files) in &own {
        let others = shared.get(name).into_iter().flatten();
        let all: Vec<&str> = files.iter().chain(others).map(String::as_str).collect();
        if all.len() > 1 {
            found.push(format!("{name}: {}", all.join(", ")));
        }
    }
    assert!(own.len() > 100 && shared.len() > 100, "types of both crates are found");
    assert_none(&found, "two types with one name: rename the one that is less known");
}

#[test]
fn types_are_found_wherever_they_stand() {
    let tree = made_of(&[
        ("src/lib.rs", "mod a; pub struct Public; #[cfg(test)] struct Test;"),
        (
            "src/a.rs",
            "pub(crate) enum Own {} pub type Public = u8; mod inner { trait Own {} } fn f() { struct Local; }",
        ),
    ]);
    let names =
        |public| types(&tree, public).into_iter().map(|(name, at)| (name, at.len())).collect::<Vec<_>>();
    let named = |list: &[(&str, usize)]| list.iter().map(|(n, k)| ((*n).to_owned(), *k)).collect::<Vec<_>>();
    assert_eq!(names(false), named(&[("Local", 1), ("Own", 2), ("Public", 2)]));
    assert_eq!(names(true), named(&[("Public", 2)]));
}
