//! Snapshots of control state: read back, compared, refused.

use super::*;
use crate::basis_points::BasisPoints;
use crate::control::{LIMITS, MAX_OBJECTS, PlanState, Token};
use crate::fact::{ControlFact, SNAPSHOT};
use crate::ids::{Digest, Ident, KeyId, TokenId};
use crate::ramp::{HISTORY, Kill, Ramp, Selector};
use crate::slo::{MAX_STEPS, Thresholds};

fn at(index: u64) -> At {
    At { index, time_us: 100 + index }
}

fn state() -> ControlState {
    ControlState { name: Ident::new("acme").ok(), revision: 7, last: Some(9), ..ControlState::default() }
}

/// Invariant 1 and docs/adr/0030: a snapshot changes nothing but where the log ends, and the state after it is the same
/// whether it was folded or read from the snapshot alone.
#[test]
fn a_snapshot_changes_nothing_and_is_enough() {
    let before = state();
    let snapshot = before.snapshot().unwrap();
    assert_eq!(snapshot.digest, before.digest());
    let mut folded = before.clone();
    folded.apply(at(10), &ControlFact::StateSnapshot(snapshot.clone())).unwrap();
    assert_eq!(folded, ControlState { last: Some(10), ..before });
    assert_eq!(ControlState::restored(at(10), &snapshot), Ok(folded));
}

/// docs/adr/0030: a log whose facts make another state than its snapshot says is damaged, and nothing loosens in it.
#[test]
fn a_snapshot_of_another_state_is_damage() {
    let other = ControlState { revision: 8, ..state() }.snapshot().unwrap();
    let mut s = state();
    let done = s.apply(at(10), &ControlFact::StateSnapshot(other.clone()));
    assert!(matches!(done, Err(FoldError::Differs { .. })), "{done:?}");
    assert!(s.newer);
    let wrong = StateSnapshot { digest: state().digest(), ..other };
    assert_eq!(state().apply(at(10), &ControlFact::StateSnapshot(wrong.clone())), Err(FoldError::Digest));
    assert_eq!(ControlState::restored(at(10), &wrong), Err(FoldError::Digest));
}

/// DESIGN, What can never change later: another version is refused, never guessed at. A fold that meets it goes on by the
/// facts, and shows that there is something it does not understand.
#[test]
fn another_version_is_refused() {
    let mut bytes = state().to_bytes();
    let version = bytes.iter().position(|b| *b == 0).unwrap() - 1;
    bytes[version] += 1;
    let newer = StateSnapshot { digest: Sha256::digest(&bytes).into(), state: bytes };
    assert_eq!(ControlState::restored(at(10), &newer), Err(StateError::Version.into()));
    let mut s = state();
    s.apply(at(10), &ControlFact::StateSnapshot(newer)).unwrap();
    assert_eq!(s, ControlState { newer: true, last: Some(10), ..state() });
}

/// What this program does not understand is not made to look understood.
#[test]
fn a_state_that_is_not_understood_has_no_snapshot() {
    let mut s = ControlState { newer: true, ..state() };
    assert_eq!(s.snapshot(), Err(NoSnapshot::Newer));
    s.apply(at(10), &ControlFact::StateSnapshot(state().snapshot().unwrap())).unwrap();
    assert!(s.newer, "a snapshot in the middle does not heal it");
}

/// docs/adr/0030: one that is withheld, as on the way to a console, or erased, says nothing and hides nothing.
#[test]
fn a_withheld_snapshot_is_none() {
    let mut s = state();
    s.apply_receipt(at(10), SNAPSHOT, None).unwrap();
    assert_eq!(s, ControlState { last: Some(10), ..state() });
    s.apply_receipt(at(11), SNAPSHOT + 1, None).unwrap();
    assert!(s.newer, "any other kind that is not known marks the state");
}

/// SPEC, Bad input: a snapshot has a bound.
#[test]
fn a_state_that_is_too_large_has_no_snapshot() {
    let many = (0_u32..200_000).map(|n| (format!("{n:0>60}"), u64::from(n)));
    let s = ControlState { objects: many.collect(), ..state() };
    assert!(matches!(s.snapshot(), Err(NoSnapshot::TooLarge(n)) if n > MAX_STATE));
    let bytes = s.to_bytes();
    assert_eq!(ControlState::from_bytes(&bytes), Err(StateError::TooLong(bytes.len())));
}

/// docs/adr/0030: a log that holds the most of everything still has one, with room for the commands that it remembers.
#[test]
fn the_most_of_everything_fits() {
    let name = |n: usize| Ident::new(&format!("a{n:0>62}")).unwrap();
    let most = |what: &str| LIMITS.iter().find(|l| l.name == what).unwrap().most;
    let selector = |n: usize| format!("{0}/{0}", name(n)).parse::<Selector>().unwrap();
    let hundredths = BasisPoints::saturating(9_999);
    let ramp = Ramp { hundredths, revision: u64::MAX, history: vec![hundredths; HISTORY] };
    let slo = Thresholds { errors_hundredths: hundredths, p99_us: 1, backlog: 1, min_settled: 1 };
    let token = |n| Token { name: name(n), secret_sha256: Digest([1; 32]), revoked: true };
    let steps = "x".repeat(40 * MAX_STEPS);
    let plan = PlanState { steps, at: 1, revision: 1, key: Some(KeyId([1; 8])) };
    let tokens = "tokens, revoked ones too";
    let s = ControlState {
        ramps: (0..most("ramps")).map(|n| (selector(n), ramp.clone())).collect(),
        bad: (0..most("ramps")).map(|n| (selector(n), hundredths)).collect(),
        kills: (0..most("kill switches")).map(|n| (selector(n), Kill { drain: true })).collect(),
        plans: (0..most("staged plans")).map(|n| (selector(n), plan.clone())).collect(),
        slos: (0..most("SLO thresholds")).map(|n| (selector(n), slo)).collect(),
        workflows: (0..most("workflow types")).map(name).collect(),
        prompts: (0..most("pinned prompts")).map(|n| (name(n), Digest([1; 32]))).collect(),
        tokens: (0..most(tokens)).map(|n| (TokenId((n as u128).to_be_bytes()), token(n))).collect(),
        objects: (0..MAX_OBJECTS).map(|n| (format!("ramp/{}", selector(n)), u64::MAX)).collect(),
        ..state()
    };
    let len = s.snapshot().unwrap().state.len();
    assert!(len < MAX_STATE * 3 / 4, "{len}");
}
