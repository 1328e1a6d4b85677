//! The pages of threats and of bounds are true: what they name is there, and no bound is left out.

use std::collections::BTreeSet;

use conductor_house::pages::{Row, code, constants, is_named, meant, rows, tests};
use conductor_house::sources::{Source, files, read, relative, root, sources};

use crate::assert_none;

const BOUNDS: &str = "docs/design/bounds.md";
const SECURITY: &str = "docs/security";
/// Where constants are bounds of the programs.
const CODE: [&str; 4] = ["agent/src", "shared/src", "policies/src", "tui/src"];
/// What tests alone use, or what names a bound without being one.
const NO_BOUNDS: [&str; 2] = ["::writer::LIMITS", "::UNLIMITED"];

/// Pages that name tests, by path.
fn pages() -> Vec<(String, String)> {
    let of_security =
        files().into_iter().map(|path| relative(&path)).filter(|path| path.starts_with(SECURITY));
    let paths = of_security.chain([BOUNDS.to_owned()]);
    paths.map(|path| (path.clone(), read(&root().join(path)))).collect()
}

/// A page that names a test which nobody runs promises what nobody holds it to.
#[test]
fn every_test_that_a_page_names_exists() {
    let all: Vec<String> = sources().iter().flat_map(tests).collect();
    assert!(all.len() > 400, "looked for tests in the wrong place: {}", all.len());
    let mut found = Vec::new();
    let mut named = 0_usize;
    for (path, page) in pages() {
        for row in rows(&page) {
            let names = row.tests();
            named += names.len();
            let place = format!("{path}:{}", row.line);
            if row.cells.last().is_some_and(String::is_empty) {
                found.push(format!("{place}: names no test, and does not say why there is none"));
            }
            let missing = names.iter().filter(|name| !is_named(name, &all));
            found.extend(missing.map(|name| format!("{place}: there is no test {name}")));
        }
    }
    assert!(named > 100, "looked for pages in the wrong place: {named} tests are named");
    assert_none(&found, "the last column of a table names tests as module::test");
}

/// A bound that is not listed has nobody who knows whom it is shared by, or what happens there.
#[test]
fn every_bound_is_on_its_page() {
    let is_of = |source: &Source| CODE.iter().any(|folder| source.path.starts_with(&format!("{folder}/")));
    let known: BTreeSet<String> = sources().iter().filter(|s| is_of(s)).flat_map(constants).collect();
    assert!(known.len() > 200, "looked for constants in the wrong place: {}", known.len());
    assert_none(&unlisted(&read(&root().join(BOUNDS)), &known), BOUNDS);
}

/// Bounds that a page does not list, and what it lists that is not there, or could be several.
fn unlisted(page: &str, known: &BTreeSet<String>) -> Vec<String> {
    let last = |full: &str| full.rsplit("::").next().unwrap_or_default().to_owned();
    let is_bound = |name: &str| name.starts_with("MAX_") || name.contains("BUDGET") || name.contains("LIMIT");
    let is_constant = |name: &str| {
        (name.contains('_') || is_bound(name))
            && name.chars().all(|c| matches!(c, 'A'..='Z' | '0'..='9' | '_'))
    };
    let (mut found, mut listed) = (Vec::new(), BTreeSet::new());
    for name in code(page).into_iter().filter(|name| is_constant(&last(name))) {
        let all: Vec<&String> = meant(&name, known).collect();
        match all.as_slice() {
            [] => found.push(format!("{name}: listed, and no constant of this name is there")),
            [one] => {
                listed.insert((*one).clone());
            }
            several => found.push(format!("{name}: {several:?}: say which, as module::{}", last(&name))),
        }
    }
    let missing = known.iter().filter(|full| is_bound(&last(full)) && !listed.contains(*full));
    let missing = missing.filter(|full| !NO_BOUNDS.iter().any(|no| full.ends_with(no)));
    found.extend(missing.map(|full| format!("{full}: not listed")));
    found
}

#[test]
fn a_wrong_name_on_a_page_is_found() {
    let page = "text\n\n| a | shown by |\n| --- | :---: |\n| `x` | `m::one`, `m::two` |\n| y | |\n\n| b | c |\n|---|---|\n| z | `q` |\n";
    let row = |line, cells: [&str; 2]| Row { line, cells: cells.map(str::to_owned).to_vec() };
    assert_eq!(rows(page), [row(5, ["`x`", "`m::one`, `m::two`"]), row(6, ["y", ""])]);
    assert_eq!(rows(page)[0].tests(), ["m::one", "m::two"]);
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let of = tests(&source(
        "a/src/m/tests.rs",
        "#[test] fn one() {} fn not() {} #[tokio::test(flavor = \"x\")] async fn two() {}
         proptest! { #[test] fn three(a in 0..1u8) {} } #[cfg(test)] mod t { fn helper() {} }",
    ));
    assert_eq!(of, ["a::src::m::one", "a::src::m::two", "a::src::m::three"]);
    assert!(is_named("m::one", &of) && is_named("src::m::two", &of));
    for wrong in ["one", "m::not", "n::one", "m::on", "m::helper", "::one"] {
        assert!(!is_named(wrong, &of), "{wrong}");
    }
    let of =
        constants(&source("a.rs", "pub const MAX_A: u8 = 1; const fn f() {} mod m { const B: T<u8> = x; }"));
    assert_eq!(of.iter().collect::<Vec<_>>(), ["a::B", "a::MAX_A"]);
    let known = ["x::a::MAX_A", "x::b::c::MAX_A", "x::b::MAX_B", "x::b::LIMIT"].map(str::to_owned).into();
    let page = "`b::LIMIT`, `a::MAX_A`, `c::MAX_A`, `MAX_B`";
    assert_eq!(unlisted(page, &known), Vec::<String>::new());
    assert_eq!(unlisted(&page.replace("c::", ""), &known).len(), 2, "which of two, and one not listed");
    assert_eq!(unlisted(&page.replace("MAX_B", "MAX_C"), &known).len(), 2, "one is gone, and one not listed");
}
