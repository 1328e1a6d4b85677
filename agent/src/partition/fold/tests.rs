//! Control state read back from its log: what is read, and what is refused.

use super::*;
use crate::keys::KeyStore;
use crate::ledger::TENANT_KEY;
use crate::partition::{Loader, PartitionState};
use crate::platform::random::{OsRandom, Random};
use crate::staging::BatchBuilder;
use crate::store::{Batch, SpaceLimits};
use conductor_shared::cause::IncidentCause;
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::clock::{MonoTime, Now};
use conductor_shared::fact::{IncidentOpened, LogOpened, StateSnapshot};
use conductor_shared::ids::{Ident, NodeId, PartitionId, TenantUid};
use conductor_shared::record::PolicyVersion;
use conductor_shared::untrusted::UntrustedText;
use std::sync::Arc;
use std::time::Duration;

const ID: PartitionId = PartitionId { tenant: TenantUid([1; 16]), epoch: 1 };
/// Receipt time of the first fact; each one after it is a second later.
const BEGIN_S: u64 = 1_000_000;

struct Log {
    store: Arc<Store>,
    keys: KeyStore,
    random: Arc<dyn Random>,
    state: PartitionState,
    facts: u64,
    _folder: tempfile::TempDir,
}

fn load(store: &Arc<Store>, keys: &mut KeyStore, cuts_since: WallTime) -> Result<PartitionState, ReadError> {
    let (node, now) = (NodeId([9; 16]), Now { wall: WallTime::EPOCH, mono: MonoTime::default() });
    let ctx = Loader { store, keys, node, now, lease: Duration::ZERO, cuts_since };
    PartitionState::load(ctx, ID, Ident::new("acme").ok().as_ref())
}

fn second(n: u64) -> WallTime {
    WallTime::from_micros((BEGIN_S + n) * 1_000_000)
}

impl Log {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let random: Arc<dyn Random> = Arc::new(OsRandom::default());
        let limits = SpaceLimits { reserve_bytes: 0, ..SpaceLimits::default() };
        let store = Arc::new(Store::create(&folder.path().join("db"), limits).unwrap());
        let mut keys = KeyStore::create(&folder.path().join("keys"), &*random).unwrap();
        keys.create_tenants(&[(ID.tenant, ID.epoch)], &*random).unwrap();
        store.create_families(&[ID]).unwrap();
        let state = load(&store, &mut keys, WallTime::EPOCH).unwrap();
        let mut log = Self { store, keys, random, state, facts: 0, _folder: folder };
        log.write(|live, st| {
            let opened =
                LogOpened { reason: "created".into(), name: Ident::new("acme").unwrap(), cites: None };
            live.control_fact(st, opened).unwrap();
        });
        log
    }

    /// Writes what is staged, at the time of the next fact.
    fn write(&mut self, stage: impl FnOnce(&mut PartitionState, &mut BatchBuilder)) {
        let now = Now { wall: second(self.facts), mono: MonoTime::default() };
        let mut st = BatchBuilder::new(0, now, Arc::clone(&self.random), PolicyVersion::built_in());
        stage(&mut self.state, &mut st);
        self.facts += st.receipts;
        self.state.stage_counters(&mut st);
        self.store.write(st.rows.seal(&*self.random).unwrap()).unwrap();
    }

    /// An incident is opened: a fact that changes the state, with a text that the state does not hold.
    fn open_incidents(&mut self, count: u64) {
        for _ in 0..count {
            let mut incident = [0; 16];
            incident[..8].copy_from_slice(&self.facts.to_be_bytes());
            let cause = IncidentCause::Clock.into();
            let detail = UntrustedText::new("said of somebody");
            self.write(|live, st| {
                live.control_fact(st, IncidentOpened { incident, cause, detail }).unwrap();
            });
        }
    }

    fn snapshot(&mut self) {
        self.write(PartitionState::snapshot);
    }

    /// All of it: what is not signed is read for other reasons.
    fn sign(&mut self) {
        self.write(|live, st| {
            let c = Checkpoint { origin: live.p.origin, size: live.log.size(), root: live.log.root() };
            let signed = SignedCheckpoint { text: c.text(), signature: String::new() };
            live.log.set_checkpoint(&mut st.rows, &live.p, c.size, signed);
        });
    }

    fn put(&self, row: Row, len: usize) {
        let mut batch = Batch::default();
        batch.put(&self.state.p.family, &row.key(), len);
        self.store.write(batch).unwrap();
    }

    fn load(&mut self, cuts_since: WallTime) -> Result<PartitionState, ReadError> {
        load(&self.store, &mut self.keys, cuts_since)
    }

    /// As it is read back, which is as it was left: and how many control facts that took.
    fn read(&mut self) -> (u64, u64) {
        let back = self.load(second(self.facts)).unwrap();
        assert_eq!(back.control, self.state.control);
        assert_eq!(back.since_snapshot, self.state.since_snapshot);
        (back.folded, back.since_snapshot)
    }
}

/// docs/adr/0030: a start reads the newest snapshot and the facts after it. The facts before it may be gone.
#[test]
fn a_start_reads_no_fact_before_the_newest_snapshot() {
    let mut log = Log::new();
    log.open_incidents(299);
    assert_eq!(log.read(), (300, 300), "from the beginning");
    log.snapshot();
    assert_eq!(log.read(), (1, 0));
    log.open_incidents(2);
    log.snapshot();
    log.open_incidents(3);
    assert_eq!(log.read(), (4, 3));
    log.sign();
    // What lies before cannot be opened any more, and nobody tries. Of the last 256 receipts the leaves are needed.
    for index in 0..40 {
        log.put(Row::Receipt(index), 64);
    }
    assert_eq!(log.read(), (4, 3));
    assert_eq!(read_receipt(&log.store, &log.state.p, 39).unwrap_err().damages(), Some(ID));
}

/// docs/adr/0030: a snapshot stays when what the facts before it said is erased, and says none of it.
#[test]
fn a_snapshot_is_sealed_as_what_stays() {
    let mut log = Log::new();
    log.open_incidents(1);
    log.snapshot();
    let row = |index| log.store.get(&log.state.p.family, &Row::Receipt(index).key()).unwrap().unwrap();
    let body = |index| {
        let row = row(index);
        let (len, rest) = row.split_first_chunk::<4>().unwrap();
        crate::keys::key_number(&rest[u32::from_be_bytes(*len) as usize..]).unwrap()
    };
    assert_ne!(body(1), TENANT_KEY);
    assert_eq!(body(2), TENANT_KEY);
    let said = read_receipt(&log.store, &log.state.p, 2).unwrap().fact;
    let Some(Fact::Control(ControlFact::StateSnapshot(f))) = said else { panic!("{said:?}") };
    assert!(!f.state.windows(4).any(|w| w == b"said"));
}

/// Invariant 3: what one person took away of late is counted across a start, so facts as new as that are read although a
/// snapshot follows them.
#[test]
fn facts_that_count_for_a_limit_are_read_again() {
    let mut log = Log::new();
    log.open_incidents(4);
    log.snapshot(); // second 5
    log.open_incidents(4);
    log.snapshot(); // second 10
    log.open_incidents(1);
    let folded = |log: &mut Log, since| {
        let back = log.load(second(since)).unwrap();
        assert_eq!((&back.control, back.since_snapshot), (&log.state.control, 1));
        back.folded
    };
    assert_eq!(folded(&mut log, 10), 2);
    assert_eq!(folded(&mut log, 9), 2 + 6, "the newest is too new, so it is read from the one before");
    assert_eq!(folded(&mut log, 5), 2 + 6);
    assert_eq!(folded(&mut log, 4), 2 + 12, "none is old enough: from the beginning");
}

/// DESIGN, What can never change later: a snapshot of another version is not guessed at. The start reads from the one before
/// it, and shows that there is something that it does not understand.
#[test]
fn a_snapshot_of_a_newer_program_is_passed_over() {
    let mut log = Log::new();
    log.open_incidents(2);
    log.snapshot();
    let mut state = log.state.control.snapshot().unwrap().state;
    let version = state.iter().position(|b| *b == 0).unwrap() - 1;
    state[version] += 1;
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&state).into();
    log.write(|live, st| {
        live.control_fact(st, StateSnapshot { digest, state }).unwrap();
    });
    assert!(log.state.control.newer);
    assert_eq!(log.read(), (3, 0));
    // No snapshot is made of what is not understood.
    log.snapshot();
    assert_eq!(log.read(), (3, 0));
}

/// SPEC, Bad input: a snapshot that is not of the state that its log makes, or a mark where there is none, stops the
/// partition and names the row.
#[test]
fn a_wrong_snapshot_is_damage() {
    let mut log = Log::new();
    log.open_incidents(2);
    log.put(Row::Snapshot(1), 0);
    let said = log.load(second(9)).err().expect("a mark where there is none");
    assert_eq!(said.damages(), Some(ID));
    assert!(said.to_string().contains("marked as a snapshot"), "{said}");

    let mut log = Log::new();
    log.open_incidents(2);
    log.snapshot();
    let other = ControlState { revision: 77, ..ControlState::clone(&log.state.control) };
    let other = other.snapshot().unwrap();
    log.write(|live, st| {
        live.control_fact(st, other.clone()).unwrap();
    });
    let said = log.load(WallTime::EPOCH).err().expect("another state than the facts make");
    assert_eq!(said.damages(), Some(ID));
    assert!(said.to_string().contains("the facts before it make"), "{said}");

    let mut log = Log::new();
    log.write(|live, st| {
        live.control_fact(st, StateSnapshot { digest: [3; 32], ..other }).unwrap();
    });
    let said = log.load(second(9)).err().expect("a digest of something else");
    assert!(said.to_string().contains("do not have the digest"), "{said}");
}
