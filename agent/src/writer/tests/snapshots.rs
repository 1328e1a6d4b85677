//! Snapshots of control state, as the writer makes them.

use super::rig::*;
use crate::keys::KeyStore;
use crate::ledger::{control_facts, read_receipt};
use crate::node::check::check;
use crate::partition::published::Registry;
use crate::partition::{Loader, PartitionState};
use crate::platform::clock::RealClock;
use crate::platform::random::{OsRandom, Random};
use crate::staging::BatchBuilder;
use crate::store::{Row, RowKind, Store};
use conductor_shared::clock::Clock as _;
use conductor_shared::command::{Operation, ops};
use conductor_shared::fact::SNAPSHOT;
use conductor_shared::ids::PartitionId;
use conductor_shared::quota::QuotaKind;
use std::sync::Arc;
use std::time::Duration;

const EVERY: u64 = 8;
const CHANGES: u64 = 40;

/// A partition as a start reads it.
fn load(folder: &tempfile::TempDir, node: &Registry, id: PartitionId) -> (Arc<Store>, PartitionState) {
    let at = |name| folder.path().join(name);
    let mut keys = KeyStore::open(&at("keys")).unwrap();
    let store = Arc::new(Store::open(&at("data").join("db"), NO_RESERVE).unwrap());
    let now = RealClock::default().now();
    let lease = Duration::ZERO;
    let ctx = Loader { store: &store, keys: &mut keys, node: node.node_id, now, lease, cuts_since: now.wall };
    let live = PartitionState::load(ctx, id, None).unwrap();
    (store, live)
}

/// docs/adr/0030: the writer stages a snapshot as soon as so many control facts follow the last, and a start reads no more
/// than those and the snapshot. `conductord check`, which folds from the first fact, makes the same state.
#[test]
fn a_log_has_a_snapshot_after_so_many_control_facts() {
    let mut node = Node::with_snapshots(EVERY);
    node.create(0..1).unwrap();
    let log = first(0);
    for limit in 0..CHANGES {
        let kind = QuotaKind::StepRate;
        node.change(log, Operation::QuotaCap(ops::QuotaCap { kind, limit: 1_000 - limit }));
    }
    let control = Arc::clone(&node.board.get(log.tenant).unwrap().view.load().control);
    let board = Arc::clone(&node.board);
    let folder = node.stop();
    let (store, live) = load(&folder, &board, log);
    assert_eq!((&live.control.quotas, live.control.revision), (&control.quotas, control.revision));
    assert!(live.since_snapshot <= EVERY, "{}", live.since_snapshot);
    assert_eq!(live.folded, live.since_snapshot + 1, "the snapshot, and what follows it");

    let facts = control_facts(&store, &live.p, 0..u64::MAX, usize::MAX).unwrap();
    let kind = |index| read_receipt(&store, &live.p, index).unwrap().sealed.header.kind;
    let snapshots: Vec<usize> = (0..facts.len()).filter(|n| kind(facts[*n]) == SNAPSHOT).collect();
    assert!(snapshots.len() as u64 >= CHANGES / (EVERY + 2), "{snapshots:?}");
    for pair in snapshots.windows(2) {
        let between = (pair[1] - pair[0] - 1) as u64;
        assert!((EVERY..=EVERY + 1).contains(&between), "{snapshots:?}");
    }
    assert_eq!(store.rows(&live.p.family, &Row::scan_of(RowKind::Snapshot)).unwrap().len(), snapshots.len());
}

/// docs/adr/0030: `conductord check` folds from the first fact and compares at each snapshot, and knows a mark that is
/// missing.
#[test]
fn a_check_compares_the_fold_with_each_snapshot() {
    let mut node = Node::with_snapshots(EVERY);
    node.create(0..1).unwrap();
    let log = first(0);
    for limit in 0..EVERY * 2 {
        let kind = QuotaKind::StepRate;
        node.change(log, Operation::QuotaCap(ops::QuotaCap { kind, limit: 1_000 - limit }));
    }
    let board = Arc::clone(&node.board);
    let folder = node.stop();
    let (store, mut live) = load(&folder, &board, log);
    // The bytes are a state and have their digest, and the state is another.
    let mut other = (*live.control).clone();
    other.revision += 1;
    let random: Arc<dyn Random> = Arc::new(OsRandom::default());
    let mut st = BatchBuilder::new(0, RealClock::default().now(), Arc::clone(&random), live.log.policy());
    live.control_fact(&mut st, other.snapshot().unwrap()).unwrap();
    live.stage_counters(&mut st);
    let mark = store.last(&live.p.family, &Row::scan_of(RowKind::Snapshot)).unwrap().unwrap().0;
    st.rows.delete(&live.p.family, &mark.key());
    store.write(st.rows.seal(&*random).unwrap()).unwrap();
    drop((store, live));
    let at = |name| folder.path().join(name);
    let said = check(&at("data"), &at("keys"), NO_RESERVE).unwrap().join("\n");
    assert!(said.contains("the facts before it make"), "{said}");
    assert!(said.contains("snapshots of control state: row"), "{said}");
}
