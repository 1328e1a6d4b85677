//! A trait whose only implementor stands in another module may be there only to turn an import around.

use conductor_house::traits::implemented_once_elsewhere;

use crate::circles::made_of;
use crate::{assert_none, trees};

/// Traits with one implementor that stands in another file of the same crate, and why each exists.
const REASONS: [(&str, &str); 1] = [(
    "http::connection::Handler",
    "limits of time and size of a connection are tested against a handler that is slow on purpose",
)];

#[test]
fn a_trait_for_one_implementor_has_a_reason() {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    for (root, tree) in trees() {
        for (name, implementor) in implemented_once_elsewhere(&tree) {
            println!("{root}: {name} for {implementor}");
            if !REASONS.iter().any(|(known, _)| *known == name) {
                found.push(format!("{root}: {name}, for {implementor} only"));
            }
            seen.push(name);
        }
    }
    for (known, _) in REASONS {
        if !seen.iter().any(|name| name == known) {
            found.push(format!("{known}: it has a reason and needs none"));
        }
    }
    assert_none(
        &found,
        "a trait with one implementor in another file needs a reason, and a reason such a trait",
    );
}

#[test]
fn such_a_trait_is_found() {
    let tree = made_of(&[
        ("src/lib.rs", "mod low; mod high; #[cfg(test)] mod fake;"),
        ("src/low.rs", "pub trait Hook {} pub trait Used {} pub struct A; impl Used for A {} pub trait Open {}"),
        (
            "src/high.rs",
            "use crate::low::{Hook, Used}; struct H; impl Hook for H {} impl Used for H {}
             impl std::fmt::Debug for H {} mod tests { #[cfg(test)] struct T; #[cfg(test)] impl super::Hook for T {} }",
        ),
    ]);
    assert_eq!(implemented_once_elsewhere(&tree), [("low::Hook".to_owned(), "high::H".to_owned())]);
}
