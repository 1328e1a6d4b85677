//! No circle of modules: siblings that need each other cannot be read, tested or changed alone.

use std::collections::BTreeMap;

use conductor_house::graph::{Level, levels};
use conductor_house::modules::Tree;

use crate::trees;

#[test]
fn circles() {
    let mut count = 0;
    for (root, tree) in trees() {
        for (parent, level) in levels(&tree) {
            for circle in level.circles() {
                count += 1;
                println!("\n{root} {parent}: {} need each other: {circle:?}", circle.len());
                print!("{}", edges_within(&level, &|name| circle.contains(name)));
            }
        }
    }
    println!("\n{count} circles");
    assert_eq!(count, 0, "circles of modules: see the list above");
}

/// The edges between the named siblings, those with fewest places first, since they are the easiest to remove.
fn edges_within(level: &Level, named: &dyn Fn(&str) -> bool) -> String {
    let mut edges: Vec<_> = level.edges.iter().filter(|((a, b), _)| named(a) && named(b)).collect();
    edges.sort_by_key(|(_, places)| places.len());
    let mut text = String::new();
    for ((from, to), places) in edges {
        text.push_str(&format!("  {from} -> {to}, {} places\n", places.len()));
        for place in places.iter().take(6) {
            text.push_str(&format!("      {place}\n"));
        }
    }
    text
}

/// A crate made of these files; the first is its root.
pub(crate) fn made_of(files: &[(&str, &str)]) -> Tree {
    let texts: BTreeMap<&str, &str> = files.iter().copied().collect();
    Tree::read(files[0].0, &|path| texts.get(path).map(|text| (*text).to_owned()))
}

fn edges_of(tree: &Tree, parent: &str) -> Vec<String> {
    let levels = levels(tree);
    let edges = levels.get(parent).into_iter().flat_map(|level| level.edges.keys());
    edges.map(|(a, b)| format!("{a}->{b}")).collect()
}

#[test]
fn a_circle_is_found_wherever_its_arrows_start() {
    for (a, b) in [
        ("use crate::b::B; pub struct A;", "use super::a::A; pub struct B;"),
        ("pub fn f() { crate::b::g() }", "pub fn g() { super::a::f() }"),
        ("pub struct A(crate::b::B);", "pub struct B(Box<crate::a::A>);"),
        ("pub fn f() { println!(\"{}\", crate::b::g()) }", "impl From<crate::a::A> for B {} pub struct B;"),
        (
            "#[derive(X)] #[serde(with = \"crate::b\")] pub struct A;",
            "pub(in crate::b) mod inner { use super::super::a::A; }",
        ),
    ] {
        let tree = made_of(&[("src/lib.rs", "mod a; mod b;"), ("src/a.rs", a), ("src/b.rs", b)]);
        assert_eq!(edges_of(&tree, ""), ["a->b", "b->a"], "{a} {b}");
        assert_eq!(levels(&tree)[""].circles().len(), 1, "{a} {b}");
    }
}

#[test]
fn parent_child_and_tests_are_one() {
    let tree = made_of(&[
        ("src/lib.rs", "mod a; mod b; pub fn root() { a::f() }"),
        ("src/a.rs", "mod child; pub fn f() { child::g() } #[cfg(test)] mod tests { use crate::b::B; }"),
        ("src/a/child.rs", "use super::f; use crate::root; pub fn g() { f(); root() }"),
        ("src/b.rs", "use crate::a::f; #[cfg(test)] use crate::b::x; #[cfg(test)] mod tests;"),
    ]);
    assert_eq!(edges_of(&tree, ""), ["b->a"]);
    assert!(edges_of(&tree, "a").is_empty());
}

#[test]
fn a_name_that_a_parent_hands_on_is_an_edge_to_where_it_stands() {
    let tree = made_of(&[
        ("src/lib.rs", "mod a; mod b;"),
        (
            "src/a.rs",
            "mod one; mod two; mod three; pub use one::One; pub use three::*; use crate::b::{self, B};",
        ),
        ("src/a/one.rs", "use super::two::Two; pub struct One; fn f() { let _ = super::Three; }"),
        ("src/a/two.rs", "use super::One; use super::B; pub struct Two;"),
        ("src/a/three.rs", "pub struct Three;"),
        ("src/b.rs", "pub struct B;"),
    ]);
    assert_eq!(edges_of(&tree, "a"), ["one->three", "one->two", "two->one"]);
    assert_eq!(edges_of(&tree, ""), ["a->b"]);
}

#[test]
fn a_folder_reaches_what_any_file_of_it_reaches() {
    let tree = made_of(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "mod deep;"),
        ("src/a/deep.rs", "use crate::b::low;"),
        ("src/b.rs", "pub mod low; mod high;"),
        ("src/b/low.rs", ""),
        ("src/b/high.rs", "use crate::a;"),
    ]);
    assert_eq!(edges_of(&tree, ""), ["a->b", "b->a"]);
}

#[test]
fn a_macro_called_by_name_is_an_edge() {
    let tree = made_of(&[
        ("src/lib.rs", "#[macro_use] mod list; mod user; mod other;"),
        ("src/list.rs", "macro_rules! list { () => { $crate::other::f() } }"),
        ("src/user.rs", "list!();"),
        ("src/other.rs", "pub fn f() {}"),
    ]);
    assert_eq!(edges_of(&tree, ""), ["list->other", "user->list"]);
}
