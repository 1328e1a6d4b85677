use super::*;
use conductor_shared::ids::TenantUid;
use conductor_shared::merkle::{Frontier, Nodes, consistency_proof, root_at};
use proptest::prelude::*;

const SEEN: WallTime = WallTime::from_micros(1);

fn origin(epoch: u64) -> Origin {
    Origin { node: NodeId([1; 16]), tenant: TenantUid([2; 16]), epoch }
}

/// A log in memory.
#[derive(Default)]
struct Log(std::collections::HashMap<(u8, u64), Hash>, Frontier);
impl Nodes for Log {
    type Error = ();
    fn node(&self, level: u8, index: u64) -> Result<Hash, ()> {
        self.0.get(&(level, index)).copied().ok_or(())
    }
}
fn log(n: u64, salt: u8) -> Log {
    let mut l = Log::default();
    for i in 0..n {
        let leaf = [if i < 5 { 0 } else { salt } ^ u8::try_from(i % 251).unwrap(); 32];
        let nodes = &mut l.0;
        nodes.insert((0, i), leaf);
        l.1.push(leaf, |level, index, h| {
            nodes.insert((level, index), *h);
        });
    }
    l
}
fn pin(l: &Log, size: u64) -> Pin {
    Pin { size, root: root_at(l, size).unwrap(), seen: SEEN, signed: None }
}

/// Issue, Pins: a log that grew is proved, a log that forked or shrank is caught.
#[test]
fn growth_is_proved_and_forks_are_caught() {
    let (a, b) = (log(20, 0), log(20, 9));
    let proof = consistency_proof(&a, 8, 20).unwrap();
    let p = pin(&a, 8);
    assert_eq!(judge(&p, 20, root_at(&a, 20).unwrap(), &proof, SEEN), Checked::Grew(pin(&a, 20)));
    let other = consistency_proof(&b, 8, 20).unwrap();
    assert!(matches!(judge(&p, 20, root_at(&b, 20).unwrap(), &other, SEEN), Checked::Forked(_)));
    assert!(matches!(judge(&p, 7, root_at(&a, 7).unwrap(), &[], SEEN), Checked::Forked(_)));
    let mut pins = Pins::default();
    assert_eq!(pins.compare(origin(1), 8, p.root, SEEN), LogChange::New);
    assert_eq!(pins.compare(origin(1), 8, p.root, SEEN), LogChange::Same);
    assert_eq!(pins.compare(origin(1), 9, p.root, SEEN), LogChange::Longer);
    assert!(matches!(pins.compare(origin(1), 7, p.root, SEEN), LogChange::Forked(_)));
    assert!(matches!(pins.compare(origin(1), 8, [0; 32], SEEN), LogChange::Forked(_)));
    assert_eq!(pins.compare(origin(2), 1, [0; 32], SEEN), LogChange::Epoch(origin(1)));
}

/// SPEC, Origins, and A5: a new epoch is a restore only where it cites what was pinned; what cannot be held against that is
/// an alarm, and what contradicts it a fork.
#[test]
fn an_epoch_is_held_against_what_was_pinned() {
    let (mut old, new) = (pin(&log(20, 0), 20), pin(&log(3, 0), 3));
    let signed = conductor_shared::checkpoint::Checkpoint {
        origin: origin(1),
        size: 15,
        root: root_at(&log(20, 0), 15).unwrap(),
    };
    old.signed = Some(SignedCheckpoint { text: signed.text(), signature: String::new() });
    let judge = |cites| judge_epoch(origin(1), &old, new.clone(), cites);
    assert!(
        matches!(judge(Some((origin(1), 15, signed.root))), Checked::Restored(_, w) if w.contains("5 seen since are lost"))
    );
    assert!(matches!(judge(Some((origin(1), 20, old.root))), Checked::Restored(..)));
    for (size, root) in [(14, [1; 32]), (21, [1; 32]), (0, [1; 32])] {
        assert!(matches!(judge(Some((origin(1), size, root))), Checked::Unproved(..)), "{size}");
    }
    assert!(matches!(judge(Some((origin(2), 20, old.root))), Checked::Unproved(..)), "an epoch nobody saw");
    for (size, root) in [(20, [1; 32]), (15, [1; 32])] {
        assert!(matches!(judge(Some((origin(1), size, root))), Checked::Forked(_)), "{size}");
    }
    let other = Origin { tenant: TenantUid([9; 16]), ..origin(1) };
    assert!(matches!(judge(Some((other, 20, old.root))), Checked::Forked(_)));
    assert!(matches!(judge(None), Checked::Forked(_)));
    let mut pins = Pins::default();
    pins.put(origin(1), old.clone());
    assert_eq!(pins.epoch_before(origin(4)).map(|(o, _)| o), Some(origin(1)));
    assert_eq!(pins.epoch_before(origin(1)), None);
}

/// A8: two consoles write one file: of each log the larger pin stays, whoever writes last, and what contradicts is told.
#[test]
fn two_consoles_keep_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/pins");
    let with = |pins: &[(Origin, Pin)]| {
        let mut p = Pins::default();
        for (o, pin) in pins {
            p.put(*o, pin.clone());
        }
        p
    };
    let other = Origin { node: NodeId([7; 16]), ..origin(1) };
    let l = log(20, 0);
    let one = with(&[(origin(1), pin(&l, 20))]);
    let two = with(&[(origin(1), pin(&l, 8)), (other, pin(&l, 3))]);
    assert_eq!(save(&path, one).unwrap().1, []);
    let (merged, forked) = save(&path, two).unwrap();
    assert_eq!((merged.get(&origin(1)), forked.len()), (Some(&pin(&l, 20)), 0));
    assert_eq!(load(&path).unwrap(), merged);
    assert_eq!(merged.get(&other), Some(&pin(&l, 3)));
    let (kept, forked) = save(&path, with(&[(origin(1), pin(&log(20, 9), 20))])).unwrap();
    assert_eq!(forked.len(), 1, "{forked:?}");
    assert_eq!(kept.get(&origin(1)).map(|p| p.size), Some(20));
    // Many at once: none is lost.
    std::thread::scope(|s| {
        for n in 1..=8u8 {
            let (path, l) = (&path, &l);
            s.spawn(move || {
                let mut p = Pins::default();
                p.put(Origin { node: NodeId([100 + n; 16]), ..origin(1) }, pin(l, u64::from(n)));
                // Another one may hold the file for longer than one of them waits.
                while save(path, p.clone()).is_err() {}
            });
        }
    });
    let all = load(&path).unwrap();
    for n in 1..=8u8 {
        let saved = all.get(&Origin { node: NodeId([100 + n; 16]), ..origin(1) });
        assert_eq!(saved.map(|p| p.size), Some(u64::from(n)), "{n}");
    }
}

/// Issue, Pins: 0600, replaced in one step, and what was written is read.
#[test]
fn saved_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/conductor/pins");
    assert_eq!(load(&path).unwrap(), Pins::default());
    let mut pins = Pins::default();
    let signed = SignedCheckpoint { text: "a\nb\n".into(), signature: "x y".into() };
    pins.put(origin(1), Pin { signed: Some(signed), ..pin(&log(3, 0), 3) });
    pins.put(origin(2), pin(&log(4, 0), 4));
    assert!(pins.signer(NodeId([1; 16]), "RWQkey") && !pins.signer(NodeId([1; 16]), "RWQother"));
    crate::client::state_dir::replace(&path, &pins.text()).unwrap();
    pins.changed = false;
    assert_eq!(load(&path).unwrap(), pins);
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let names = std::fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["pins"]);
    for bad in ["", "conductor-pins/v2\n", "conductor-pins/v1\nlog x\n"] {
        assert!(Pins::parse(bad).is_err(), "{bad:?}");
    }
}

/// Issue, Pins: no more are kept than the bound.
#[test]
fn bounded() {
    let mut pins = Pins::default();
    let p = pin(&log(1, 0), 1);
    for n in 0..=MAX_PINS as u64 {
        pins.put(origin(n + 1), p.clone());
    }
    assert_eq!(pins.len(), MAX_PINS);
}

proptest! {
    /// SPEC, Bad input: no text makes the reader panic, and what it takes is written the same.
    #[test]
    fn any_text_is_refused_or_read(edit in ".{0,40}", at in 0usize..400) {
        let mut pins = Pins::default();
        pins.put(origin(1), Pin { size: 3, root: [7; 32], seen: SEEN, signed: None });
        let mut text = pins.text();
        let at = at.min(text.len());
        if text.is_char_boundary(at) { text.insert_str(at, &edit); }
        if let Ok(p) = Pins::parse(&text) { prop_assert_eq!(Pins::parse(&p.text()), Ok(p)); }
    }
}
