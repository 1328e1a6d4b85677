use super::*;
use crate::codec::Listed;
use crate::fact::ControlFact;
use crate::fact::{Abandoned, ChangeClass, Changed, Effective, LogOpened, Proposed};
use crate::ids::hex;
use crate::untrusted::UntrustedText;
use sha2::{Digest as _, Sha256};

fn change(op: &Operation) -> Listed<String> {
    Listed(op.to_list())
}
fn proposed(n: u8, op: &Operation) -> ControlFact {
    ControlFact::Proposed(Proposed {
        change: change(op),
        before: Listed(vec![]),
        after: Listed(vec![]),
        class: ChangeClass::Loosen,
        person: PersonId([1; 16]),
        why: UntrustedText::new("why"),
        command_id: CommandId([n; 16]),
        expires_at_us: 50,
        judged_at_us: 10 + u64::from(n),
        text: vec![n],
        signature: String::new(),
    })
}
fn changed(n: u8, op: &Operation) -> ControlFact {
    let ControlFact::Proposed(p) = proposed(n, op) else { unreachable!() };
    ControlFact::Changed(Changed {
        change: p.change,
        before: p.before,
        after: p.after,
        class: ChangeClass::Tighten,
        person: p.person,
        why: p.why,
        command_id: p.command_id,
        expires_at_us: p.expires_at_us,
        judged_at_us: p.judged_at_us,
        text: p.text,
        signature: p.signature,
    })
}
/// Of the text of [`proposed`].
fn digest(n: u8) -> [u8; 32] {
    Sha256::digest([n]).into()
}
fn set(h: u16) -> Operation {
    Operation::RampSet(ops::RampSet {
        selector: "*/etl".parse().unwrap(),
        hundredths: BasisPoints::saturating(h),
    })
}
fn golden() -> Vec<ControlFact> {
    let tenant = Ident::new("acme").unwrap();
    vec![
        ControlFact::LogOpened(LogOpened { reason: "created".into(), name: tenant, cites: None }),
        proposed(
            1,
            &Operation::WorkflowRegister(ops::WorkflowRegister { workflow: Ident::new("etl").unwrap() }),
        ),
        ControlFact::Effective(Effective {
            author: PersonId([1; 16]),
            command_id: CommandId([1; 16]),
            proposal: 1,
            digest: digest(1),
            checkpoint_size: 2,
            checkpoint_root: [0; 32],
        }),
        changed(2, &set(1000)),
        proposed(3, &set(5000)),
        ControlFact::Abandoned(Abandoned {
            author: PersonId([1; 16]),
            command_id: CommandId([3; 16]),
            proposal: 4,
            digest: digest(3),
            why: "checkpoint_timeout".into(),
        }),
        changed(4, &Operation::KillSet(ops::KillSet { selector: "*/*".parse().unwrap(), drain: true })),
    ]
}
fn fold(facts: &[ControlFact]) -> ControlState {
    let mut s = ControlState::default();
    for (i, f) in facts.iter().enumerate() {
        s.apply(At { index: i as u64, time_us: 10 + i as u64 }, f).unwrap();
    }
    s
}

/// DESIGN, One idea: golden logs fold to the same digest for ever.
#[test]
fn the_golden_log_folds_to_its_digest() {
    insta::assert_snapshot!("golden-fold-digest", hex(&fold(&golden()).digest()));
    insta::assert_snapshot!("golden-fold-state", serde_json::to_string_pretty(&fold(&golden())).unwrap());
}

/// SPEC invariant 3: a proposal has no effect, neither before nor after it was abandoned.
#[test]
fn proposals_have_no_effect() {
    let mut s = fold(&golden()[..4]);
    let before = s.ramps.clone();
    s.apply(At { index: 4, time_us: 20 }, &proposed(3, &set(5000))).unwrap();
    assert_eq!(s.ramps, before);
    let ControlFact::Abandoned(a) = golden()[5].clone() else { unreachable!() };
    s.apply(At { index: 5, time_us: 21 }, &ControlFact::Abandoned(a)).unwrap();
    assert_eq!(s.ramps, before);
    assert!(s.pending.is_empty());
    let effective = ControlFact::Effective(Effective {
        author: PersonId([1; 16]),
        command_id: CommandId([3; 16]),
        proposal: 4,
        digest: digest(3),
        checkpoint_size: 5,
        checkpoint_root: [0; 32],
    });
    s.apply(At { index: 6, time_us: 22 }, &effective).unwrap();
    assert_eq!(s.ramps, before, "effective without a proposal does nothing");
}

fn key(person: u8, command: u8) -> CommandKey {
    CommandKey { person: PersonId([person; 16]), command: CommandId([command; 16]) }
}

/// Invariant 3: a command counts once: it is remembered until the clock that judges commands is well past its end. The
/// time of receipts says nothing about that: it runs ahead when the clock was put back.
#[test]
fn commands_are_remembered_by_the_clock_that_judges_them() {
    let at_us = |judged_at_us| {
        let ControlFact::Changed(f) = changed(9, &set(10)) else { unreachable!() };
        ControlFact::Changed(Changed { judged_at_us, expires_at_us: u64::MAX, ..f })
    };
    let mut s = fold(&golden());
    assert!(s.commands.contains_key(&key(1, 2)));
    s.apply(At { index: 9, time_us: u64::MAX / 2 }, &at_us(51)).unwrap();
    assert!(s.commands.contains_key(&key(1, 2)), "receipts are of a time to come");
    s.apply(At { index: 10, time_us: u64::MAX / 2 }, &at_us(60 * 60 * 1_000_000 + 51)).unwrap();
    assert_eq!(s.commands.keys().collect::<Vec<_>>(), [&key(1, 9)]);
}

/// Invariant 4: a command is somebody's: the same id of another person is another command, and a fact that names another
/// text or place than what waits changes nothing and shows.
#[test]
fn ids_of_different_persons_are_different_commands() {
    let of = |person: u8, h: u16| {
        let ControlFact::Proposed(f) = proposed(1, &set(h)) else { unreachable!() };
        ControlFact::Proposed(Proposed { person: PersonId([person; 16]), text: vec![person], ..f })
    };
    let effective = |person: u8, proposal, text: u8| {
        ControlFact::Effective(Effective {
            author: PersonId([person; 16]),
            command_id: CommandId([1; 16]),
            proposal,
            digest: digest(text),
            checkpoint_size: 9,
            checkpoint_root: [0; 32],
        })
    };
    let s = fold(&[of(1, 5_000), of(2, 9_000)]);
    assert_eq!(s.pending.len(), 2);
    let with = |fact| {
        let mut s = s.clone();
        s.apply(At { index: 2, time_us: 12 }, &fact).unwrap();
        let value = s.ramps.values().next().map(|r| r.hundredths.get());
        (value, s.newer, s.pending.into_keys().map(|k| k.person.0[0]).collect::<Vec<_>>())
    };
    assert_eq!(with(effective(1, 0, 1)), (Some(5_000), false, vec![2]));
    assert_eq!(with(effective(2, 1, 2)), (Some(9_000), false, vec![1]));
    for wrong in [effective(1, 1, 1), effective(1, 0, 2), effective(3, 0, 1)] {
        assert_eq!(with(wrong), (None, true, vec![1, 2]));
    }
}

/// Invariant 3: an object that was changed and changed back has another base, also one that is gone again.
#[test]
fn what_was_changed_back_has_another_base() {
    let kill: Operation = ops::KillSet { selector: "*/*".parse().unwrap(), drain: false }.into();
    let clear: Operation = ops::KillClear { selector: "*/*".parse().unwrap() }.into();
    let killed = ControlState::default().after(&kill);
    let again = killed.after(&clear).after(&kill);
    assert_eq!(killed.object(&clear), again.object(&clear));
    assert_ne!(killed.object_digest(&clear), again.object_digest(&clear));
    let none = ControlState::default();
    assert_ne!(none.object_digest(&kill), killed.after(&clear).object_digest(&kill));
    let other = again.after(&set(10));
    assert_eq!(other.object_digest(&clear), again.object_digest(&clear), "other objects do not matter");
}

/// The revisions of objects are bounded: what is forgotten counts as changed with the newest that was.
#[test]
fn forgotten_objects_only_make_commands_stale() {
    let freeze =
        |n: usize| -> Operation { ops::FreezeClear { freeze: Ident::new(&format!("f{n}")).unwrap() }.into() };
    let first = ControlState::default().after(&freeze(0));
    let base = first.object_digest(&freeze(0));
    let mut s = (1..MAX_OBJECTS).fold(first, |s, n| s.after(&freeze(n)));
    assert_eq!((s.objects.len(), s.object_digest(&freeze(0))), (MAX_OBJECTS, base));
    for n in MAX_OBJECTS..MAX_OBJECTS + 3 {
        s = s.after(&freeze(n));
    }
    assert_eq!(s.objects.len(), MAX_OBJECTS);
    assert_ne!(s.object_digest(&freeze(0)), base);
}

/// SPEC 3.3: a freeze on the spot only grows, break-glass is never prolonged, and a window that is removed or replaced
/// is no longer open.
#[test]
fn freezes_grow_and_the_glass_does_not() {
    let ident = |t: &str| Ident::new(t).unwrap();
    let set = |until_us| Operation::FreezeSet(ops::FreezeSet { freeze: ident("now"), until_us });
    let mut s = ControlState::default().after(&set(Some(9))).after(&set(Some(5)));
    assert_eq!(s.freezes[&ident("now")].until_us, Some(9));
    s = s.after(&set(None)).after(&set(Some(50)));
    assert_eq!(s.freezes[&ident("now")].until_us, None);
    let open = |n: u8, minutes| {
        Operation::BreakGlassOpen(ops::BreakGlassOpen {
            grant: crate::ids::GrantId([n; 16]),
            ticket: "INC-1".into(),
            minutes,
        })
    };
    s = s.after(&open(1, 5)).after(&open(2, 60)).after(&open(1, 60));
    let glass = s.break_glass.clone().unwrap();
    assert_eq!((glass.grant.0[0], glass.minutes), (1, 5));
    s.freezes.clear();
    let window = |when: &str| {
        Operation::ProfileWindow(ops::ProfileWindow {
            profile: ident("default"),
            window: ident("w"),
            when: when.parse().unwrap(),
        })
    };
    let friday = window("weekly fri 18:00 for 62h00m Europe/Berlin");
    s = s.after(&friday);
    let began = crate::fact::FreezeBegan { profile: ident("default"), window: ident("w"), until_us: None };
    s.apply(At { index: 1, time_us: 1 }, &ControlFact::FreezeBegan(began)).unwrap();
    assert_eq!(s.after(&friday).active_windows, s.active_windows, "the same again changes nothing");
    assert!(s.after(&window("weekly mon 18:00 for 1h00m UTC")).active_windows.is_empty());
    let unwindow =
        Operation::ProfileUnwindow(ops::ProfileUnwindow { profile: ident("default"), window: ident("w") });
    assert!(!crate::control::profiles::forbids(&s, &s, &unwindow), "a freeze does not keep itself");
    assert!(crate::control::profiles::forbids(&s, &s, &set(None)), "whatever else loosens");
    assert!(s.after(&unwindow).active_windows.is_empty());
}

/// SPEC invariant 3: a revoked token stays revoked, whatever is issued later.
#[test]
fn revoked_stays_revoked() {
    let token = TokenId([4; 16]);
    let issue = Operation::TokenIssue(ops::TokenIssue {
        token,
        name: Ident::new("t").unwrap(),
        secret_sha256: [1; 32],
    });
    let mut s = ControlState::default();
    for op in [issue.clone(), Operation::TokenRevoke(ops::TokenRevoke { token }), issue] {
        s = s.after(&op);
    }
    assert!(s.live_token(token).is_none());
}
