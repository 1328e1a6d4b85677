use super::*;
use crate::model::tenants::{RowKey, Sort};
use crate::sample;

/// Microseconds.
fn at(us: u64) -> MonoTime {
    MonoTime::from_micros(us)
}

fn names(t: &Tenants) -> Vec<&str> {
    t.window(0, 99).map(|r| r.summary.name.as_str()).collect()
}

fn three() -> Tenants {
    let mut t = Tenants::default();
    t.apply(0, at(0), ["beta", "alpha", "gamma"].iter().map(|n| sample::summary(n)).collect());
    t
}

/// Terminal craft: the selection is the row's identity, wherever it moves.
#[test]
fn selection_follows_the_row() {
    let mut t = three();
    t.select_place(1);
    assert_eq!(t.selected_row().unwrap().summary.name.as_str(), "beta");
    t.apply(0, at(1), vec![sample::summary("aaron")]);
    assert_eq!(t.place(), Some(2));
    assert_eq!(t.selected_row().unwrap().summary.name.as_str(), "beta");
    t.reverse = true;
    t.refresh(at(1));
    assert_eq!(names(&t), ["gamma", "beta", "alpha", "aaron"]);
    assert_eq!(t.place(), Some(1));
}

/// Terminal craft: equal rows keep their order under every sort.
#[test]
fn sorting_is_stable() {
    let mut t = three();
    for sort in Sort::VARIANTS.iter().copied() {
        t.sort = sort;
        t.refresh(at(0));
        let first: Vec<String> = names(&t).iter().map(|n| (*n).to_owned()).collect();
        t.refresh(at(0));
        assert_eq!(names(&t), first, "{sort:?}");
    }
}

/// Issue, Console: the filter knows names, nodes and marks.
#[test]
fn filter_by_name_node_and_mark() {
    let mut t = three();
    t.agent_words = vec!["node-a production".into()];
    t.set_filter("al", at(0));
    assert_eq!(names(&t), ["alpha"]);
    t.set_filter("@prod mm", at(0));
    assert_eq!(names(&t), ["gamma"]);
    t.apply(0, at(1), vec![Summary { flags: FLAG_KILLED, ..sample::summary("alpha") }]);
    t.set_filter("killed", at(1));
    assert_eq!(names(&t), ["alpha"]);
    assert_eq!((t.shown(), t.total(), t.counts(0).killed), (1, 3, 1));
    t.set_filter("nothing", at(1));
    assert!(names(&t).is_empty());
    t.step(1);
    t.reveal(10);
}

/// Issue, Console: the window follows the selection and never leaves the list.
#[test]
fn the_window_follows() {
    let mut t = Tenants::default();
    t.apply(0, at(0), (0..100).map(|n| sample::summary(&format!("t{n:03}"))).collect());
    t.select_place(50);
    t.reveal(10);
    assert_eq!(t.offset, 41);
    t.step(-20);
    t.reveal(10);
    assert_eq!(t.offset, 30);
    t.step(isize::MAX);
    t.reveal(10);
    assert_eq!((t.place(), t.offset), (Some(99), 90));
    t.reveal(200);
    assert_eq!(t.offset, 0);
}

/// Issue, Tenants: what was allowed and denied since the last summary is in the sparkline.
#[test]
fn sparks_count_differences() {
    let mut t = three();
    let s = sample::summary("alpha");
    t.apply(0, at(10_000_000), vec![Summary { allowed: s.allowed + 7, denied: s.denied + 2, ..s.clone() }]);
    let row = t.get(RowKey { agent: 0, tenant: s.tenant }).unwrap();
    assert_eq!(row.spark.last(at(10_000_000), 1), [(7, 2)]);
}
