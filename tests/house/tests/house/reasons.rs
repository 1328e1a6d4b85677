//! Each reason of a denial is answered by some code, or its table says that it is not.

use std::collections::BTreeMap;

use conductor_house::variants::made;
use conductor_shared::reason::{Reason, ReasonState};

use crate::circles::made_of;
use crate::{assert_none, trees};

/// Every documented reason is answered, reserved for a feature that is to come, or retired for ever.
#[test]
fn every_reason_is_in_the_state_that_its_table_says() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (root, tree) in trees() {
        if root.starts_with("agent/src/") || root.starts_with("shared/src/") {
            for (reason, made) in made(&tree, "reason", "Reason") {
                places.entry(reason).or_default().extend(made);
            }
        }
    }
    let mut found = Vec::new();
    for reason in Reason::ALL {
        match (reason.state(), places.get(&format!("{reason:?}"))) {
            (ReasonState::InUse, None) => {
                found.push(format!("{reason}: in use, and no code answers with it"));
            }
            (ReasonState::Reserved(_) | ReasonState::Retired, Some(places)) => {
                found.push(format!("{reason}: {}, and made by {}", reason.state(), places.join(", ")));
            }
            _ => {}
        }
    }
    assert_none(&found, "the table in shared/src/reason.rs says of each reason whether it can be met");
}

/// Else a reason that is only looked for would count as answered, and one that hides in a macro would not.
#[test]
fn a_variant_is_made_where_it_is_a_value() {
    let variants = |code: &str| {
        let lib = format!("use conductor_shared::reason::Reason;\nmod own;\n{code}");
        let tree = made_of(&[("src/lib.rs", &lib), ("src/own.rs", "pub enum Reason { A }")]);
        made(&tree, "reason", "Reason").into_keys().collect::<Vec<_>>().concat()
    };
    for code in [
        "fn f() -> Reason { Reason::A }",
        "fn f(n: u8) -> Reason { match n { _ if n > 1 => Reason::A, _ => g() } }",
        "fn f(s: &mut Reasons) { s.add(Reason::A); }",
        "fn f() -> Reasons { reason::Reason::A.into() }",
        "fn f() -> Vec<Reason> { vec![g(), Reason::A] }",
        "fn f() { select! { x = g() => h(Reason::A), } }",
        "const ALL: [Reason; 1] = [Reason::A];",
        "mod inner { use super::*; fn f() -> Reason { Reason::A } }",
    ] {
        assert_eq!(variants(code), "A", "{code}");
    }
    for code in [
        "fn f(r: Reason) { match r { Reason::A => g(), _ => {} } }",
        "fn f(r: Reason) -> bool { matches!(r, Reason::A | Reason::B) }",
        "fn f(r: Option<Reason>) { if let Some(Reason::A) = r { g() } }",
        "fn f(r: Reason, s: Reasons) -> bool { r == Reason::A || Reason::B != r || s.has(Reason::C) }",
        "fn f() -> &'static str { Reason::A.remedy() }",
        "fn f() -> own::Reason { own::Reason::A }",
        "mod inner { use crate::own::Reason; fn f() -> Reason { Reason::A } }",
        "#[cfg(test)] mod tests { fn f() -> Reason { Reason::A } }",
        "impl X { #[cfg(test)] fn f() -> Reason { Reason::A } }",
    ] {
        assert_eq!(variants(code), "", "{code}");
    }
}
