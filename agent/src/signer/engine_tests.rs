use super::super::decide::tests::{Log, known};
use super::super::keys::generate;
use super::*;

struct Rig {
    dir: tempfile::TempDir,
    engine: Engine,
}

fn rig() -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let (key, _) = generate(None).unwrap();
    SignerState::create(dir.path(), key.public.digest()).unwrap();
    let (memory, _) = SignerState::open(dir.path(), key.public.digest()).unwrap();
    let mut engine = Engine::new(dir.path(), key.public.clone(), memory, "unlock it".into()).unwrap();
    engine.unlock(key).unwrap();
    Rig { dir, engine }
}

fn one(e: &mut Engine, item: Item) -> Answer {
    e.checkpoints(&[item]).unwrap().remove(0)
}
fn signed(a: &Answer) -> &SignedCheckpoint {
    match a {
        Answer::Signed { checkpoint } => checkpoint,
        Answer::Refused { reason, .. } => panic!("refused: {reason}"),
    }
}

/// DESIGN, Origins: growth is signed, also step by step within one request; a fork or a shrink is refused, with what
/// is remembered.
#[test]
fn it_signs_growth_only() {
    let mut r = rig();
    let log = Log(1);
    let answers = r.engine.checkpoints(&[log.item(0, 3), log.item(3, 8), log.item(3, 9), Log(2).item(0, 8)]);
    let answers = answers.unwrap();
    assert_eq!(signed(&answers[0]).verify(&r.engine.public().base64), Ok(log.item(0, 3).checkpoint()));
    assert_eq!(signed(&answers[1]).verify(&r.engine.public().base64), Ok(log.item(0, 8).checkpoint()));
    let last = Some(known(&log.item(0, 8)));
    assert_eq!(answers[2], Answer::Refused { reason: ItemReason::NeedsProof, last });
    assert_eq!(answers[3], Answer::Refused { reason: ItemReason::Forked, last });
    let shorter = one(&mut r.engine, log.item(0, 7));
    assert_eq!(shorter, Answer::Refused { reason: ItemReason::Shorter, last });
    signed(&one(&mut r.engine, log.item(0, 8)));
    assert_eq!(r.engine.status().signed, 3);
}

/// DESIGN, Origins: a checkpoint of our own key that the memory does not know stops the signer, also after a start.
#[test]
fn a_memory_that_went_back_stops_it() {
    let mut r = rig();
    let log = Log(1);
    let five = signed(&one(&mut r.engine, log.item(0, 5))).clone();
    let other = signed(&one(&mut rig().engine, log.item(0, 9))).clone();
    // What is known, and what another key signed, is no evidence.
    for last in [five.clone(), other] {
        signed(&one(&mut r.engine, Item { last: Some(last), ..log.item(5, 5) }));
    }
    // The key signed size 9, and the memory never heard of it.
    let key = r.engine.key.take().unwrap();
    let nine = key.checkpoint(&log.item(0, 9).checkpoint()).unwrap();
    r.engine.key = Some(key);
    let refused = r.engine.checkpoints(&[log.item(5, 6), Item { last: Some(nine), ..log.item(5, 10) }]);
    assert_eq!(refused.unwrap_err().reason, Reason::MemoryRolledBack);
    let refused = r.engine.checkpoints(&[log.item(0, 5)]).unwrap_err();
    assert_eq!(refused.reason, Reason::MemoryRolledBack);
    assert!(r.engine.probe(&Nonce([0; 16])).is_err());
    let status = r.engine.status();
    assert_eq!(status.state, State::Refuses);
    assert!(status.detail.contains("memory_rolled_back") && status.detail.contains("recover"));
    let public = r.engine.public().clone();
    let (memory, _) = SignerState::open(r.dir.path(), public.digest()).unwrap();
    let again = Engine::new(r.dir.path(), public, memory, String::new()).unwrap();
    assert_eq!((again.status().state, again.status().detail), (State::Refuses, status.detail));
}

/// DESIGN, Origins: same size, other root, our signature: that too is another memory than ours.
#[test]
fn a_fork_under_our_own_key_stops_it() {
    let mut r = rig();
    let log = Log(1);
    one(&mut r.engine, log.item(0, 5));
    let fork = Log(2).item(0, 5);
    let fork = r.engine.key.as_ref().unwrap().checkpoint(&fork.checkpoint()).unwrap();
    let refused = r.engine.checkpoints(&[Item { last: Some(fork), ..log.item(5, 6) }]).unwrap_err();
    assert_eq!(refused.reason, Reason::MemoryRolledBack);
}

/// DESIGN, Signer client: locked is not down, tells the command, and takes no other key.
#[test]
fn locked_signs_nothing() {
    let mut r = rig();
    let key = r.engine.key.take();
    assert_eq!(r.engine.status().state, State::Locked);
    assert_eq!(r.engine.status().unlock_command, "unlock it");
    assert_eq!(r.engine.checkpoints(&[Log(1).item(0, 5)]).unwrap_err().reason, Reason::Locked);
    assert_eq!(r.engine.memory.origins(), 0);
    let (other, _) = generate(None).unwrap();
    assert_eq!(r.engine.unlock(other).unwrap_err().reason, Reason::KeyUnusable);
    r.engine.unlock(key.unwrap()).unwrap();
    assert_eq!(r.engine.status().state, State::Ready);
}

/// SPEC, Bad input: a request is bounded.
#[test]
fn too_many_items() {
    let mut r = rig();
    let items = vec![Log(1).item(0, 1); MAX_ITEMS + 1];
    assert_eq!(r.engine.checkpoints(&items).unwrap_err().reason, Reason::Malformed);
    assert_eq!(r.engine.checkpoints(&items[1..]).unwrap().len(), MAX_ITEMS);
}
