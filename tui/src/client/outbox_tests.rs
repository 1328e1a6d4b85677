use super::*;
use crate::client::commands::{Draft, Prepared};
use conductor_shared::command::{Operation, ops};
use conductor_shared::ids::TenantUid;
use conductor_shared::untrusted::UntrustedText;
use std::os::unix::fs::PermissionsExt as _;

fn wall(us: u64) -> WallTime {
    WallTime::from_micros(us)
}

fn kept(issued_us: u64, operation: Operation, base: Option<[u8; 32]>) -> (CommandId, KeptCommand) {
    let ids = [1, 2].map(|n| NodeId([n; 16]));
    let p = Prepared::compose(Draft {
        nodes: ids.to_vec(),
        tenant: TenantUid([9; 16]),
        operation,
        base,
        reason: UntrustedText::new("why"),
        now: wall(issued_us),
        life: Duration::from_millis(1),
    })
    .unwrap();
    let id = p.parsed().unwrap().command_id;
    let signed = SignedText { text: p.text().to_owned(), signature: "s".into(), public_key: "k".into() };
    let nodes = ids.map(|node_id| Addressee {
        node_id,
        name: Ident::new("site").unwrap(),
        endpoint: "unix:/nowhere/agent.sock".into(),
        state: State::Waiting { last: String::new() },
    });
    (id, KeptCommand { tenant: "acme".into(), signed, nodes: nodes.to_vec() })
}

fn kill() -> Operation {
    Operation::KillSet(ops::KillSet { selector: "run/etl".parse().unwrap(), drain: false })
}

/// Issue "privileged commands", 1: a kept command survives the program, is readable by its owner only, and is forgotten a
/// day after its end.
#[test]
fn commands_are_kept_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::at(dir.path().join("state/outbox"));
    assert_eq!(outbox.load(wall(0)).unwrap().0.len(), 0, "no folder yet");
    let (second, k2) = kept(20, kill(), None);
    let (first, k1) = kept(10, kill(), None);
    outbox.keep(&k2).unwrap();
    outbox.keep(&k1).unwrap();
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&outbox.path(first)), 0o600);
    assert_eq!(mode(&outbox.folder), 0o700);
    let (all, bad) = Outbox::at(outbox.folder.clone()).load(wall(500)).unwrap();
    assert_eq!(all.iter().map(|(c, _)| c.command_id).collect::<Vec<_>>(), [first, second], "oldest first");
    assert_eq!((all[0].1.clone(), bad.len()), (k1, 0));
    assert!(outbox.drop(first).unwrap() && !outbox.drop(first).unwrap());
    assert_eq!(outbox.load(wall(1_020) + SHOWN).unwrap().0.len(), 0, "it ended a day ago");
    assert!(!outbox.path(second).exists());
}

/// A8: two programs deliver one command: neither forgets what the other heard, and what was dropped stays dropped.
#[test]
fn two_programs_keep_one_outbox() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::at(dir.path().join("outbox"));
    let (id, k) = kept(10, kill(), None);
    outbox.keep(&k).unwrap();
    let origin = format!("conductor-log/{}/{}/1", NodeId([1; 16]), TenantUid([9; 16])).parse().unwrap();
    let heard = |node: usize| {
        let mut k = k.clone();
        k.nodes[node].state = State::Acknowledged { receipt: ReceiptRef { origin, index: node as u64 } };
        k
    };
    outbox.update(&mut heard(0)).unwrap();
    let mut second = heard(1);
    outbox.update(&mut second).unwrap();
    assert_eq!(second.acknowledged(), 2);
    assert_eq!(outbox.load(wall(20)).unwrap().0[0].1, second);
    assert!(outbox.drop(id).unwrap());
    outbox.update(&mut heard(0)).unwrap();
    assert_eq!(outbox.load(wall(20)).unwrap().0.len(), 0, "it was dropped meanwhile");
}

/// Invariant 3: only what rests on no state is kept; a file that was tampered with is named, left alone and not sent.
#[test]
fn only_bounds_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::at(dir.path().to_owned());
    let looser = Operation::KillClear(ops::KillClear { selector: "run/etl".parse().unwrap() });
    for (op, base) in [(looser, Some([7; 32])), (kill(), Some([7; 32]))] {
        let e = outbox.keep(&kept(10, op, base).1).unwrap_err().to_string();
        assert!(e.contains("rests on a state"), "{e}");
    }
    let (id, mut k) = kept(10, kill(), None);
    outbox.keep(&k).unwrap();
    k.nodes[0].node_id = NodeId([3; 16]);
    std::fs::write(outbox.path(id), serde_json::to_string(&k).unwrap()).unwrap();
    let other = outbox.path(CommandId([4; 16]));
    std::fs::write(&other, serde_json::to_string(&kept(10, kill(), None).1).unwrap()).unwrap();
    std::fs::write(dir.path().join("half.json"), "{\"tenant\":").unwrap();
    let (all, bad) = outbox.load(wall(20)).unwrap();
    let bad = bad.join("\n");
    assert_eq!(all.len(), 0);
    for what in ["not signed for", "not named after", "half.json"] {
        assert!(bad.contains(what), "{what}: {bad}");
    }
    assert!(outbox.path(id).exists() && other.exists());
}

/// Issue "privileged commands", 1: "3 of 5 nodes acknowledged"; what has expired is not sent any more.
#[tokio::test]
async fn what_cannot_be_reached_waits_until_it_expires() {
    let (_, mut k) = kept(10, kill(), None);
    let receipt = ReceiptRef {
        origin: format!("conductor-log/{}/{}/1", NodeId([1; 16]), TenantUid([9; 16])).parse().unwrap(),
        index: 4,
    };
    k.nodes[0].state = State::Acknowledged { receipt };
    assert_eq!((k.status_line().as_str(), k.waiting()), ("1 of 2 nodes acknowledged", 1));
    let before = std::mem::replace(&mut k.nodes[1].state, State::Requested { receipt });
    assert_eq!((k.acknowledged(), k.waiting(), k.is_settled()), (1, 0, false), "it waits for a person there");
    assert!(k.status_line().contains("1 wait for another person"), "{}", k.status_line());
    k.nodes[1].state = before;
    assert_eq!(k.deliver(wall(500), |n| n == NodeId([1; 16])).await, Ok(false), "that one has it");
    assert_eq!(k.deliver(wall(500), |_| true).await, Ok(true));
    let State::Waiting { last } = &k.nodes[1].state else { panic!("{k:?}") };
    assert!(last.contains("cannot reach"), "{last}");
    k.nodes[1].state = State::Waiting { last: "before".into() };
    assert_eq!(k.deliver(wall(1_010), |_| true).await, Ok(false), "it has expired");
    assert_eq!(k.nodes[1].state, State::Waiting { last: "before".into() });
}

/// A console in a loop does not fill the disk: one command too many is refused, with what to do; one that is there already is
/// still written.
#[test]
fn the_outbox_has_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::at(dir.path().join("outbox"));
    let (id, first) = kept(10, kill(), None);
    outbox.keep(&first).unwrap();
    let text = std::fs::read(outbox.path(id)).unwrap();
    for n in 1..MAX_KEPT as u128 {
        std::fs::write(outbox.path(CommandId(n.to_be_bytes())), &text).unwrap();
    }
    let refused = outbox.keep(&kept(20, kill(), None).1).unwrap_err().to_string();
    assert!(refused.contains("conductor command drop"), "{refused}");
    outbox.keep(&first).unwrap();
}
