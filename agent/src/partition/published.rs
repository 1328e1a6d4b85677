//! What the writer publishes after a commit, and everybody else reads: never staged, never torn.

use super::PartitionStatus;
use super::lease::{Lease, Leases};
use crate::metering::OpenHour;
use crate::staging::Event;
use crate::store::{Space, Store};
use arc_swap::{ArcSwap, ArcSwapOption};
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::checkpoint::SignedCheckpoint;
use conductor_shared::clock::{MonoTime, WallTime};
use conductor_shared::control::ControlState;
use conductor_shared::fail_closed::Class;
use conductor_shared::http::SloStatus;
use conductor_shared::ids::{Ident, NodeId, PartitionId, TenantUid};
use conductor_shared::merkle::Frontier;
use conductor_shared::meter::Labels;
use conductor_shared::quota::RateBucket;
use conductor_shared::reason::Reason;
use conductor_shared::stream::{self, SignerState, Summary};
use conductor_shared::usage::Series;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Control facts kept for consoles that come back.
pub const WINDOW: usize = 10_000;

/// A partition as of its last commit.
#[derive(Debug, Clone, Default)]
pub struct PartitionView {
    /// Control state.
    pub control: Arc<ControlState>,
    /// Durable entries and the roots that make their root.
    pub frontier: Frontier,
    /// Size of the newest signed checkpoint.
    pub signed: u64,
    /// It.
    pub checkpoint: Option<Arc<SignedCheckpoint>>,
    /// Open runs.
    pub open_runs: u64,
    /// Decisions that allowed.
    pub allowed: u64,
    /// Decisions that denied.
    pub denied: u64,
    /// Steps.
    pub bucket: RateBucket,
    /// Time of the newest receipt.
    pub last: WallTime,
    /// Commit sequence of its last change.
    pub version: u64,
    /// When the oldest unsigned receipt was written, on the monotonic clock.
    pub unsigned_since: Option<MonoTime>,
    /// When a quota last denied something, on the monotonic clock.
    pub quota_denied: Option<MonoTime>,
    /// Denials counted and not yet on record: index of the receipt of the first, and how many came after it.
    pub folding: Vec<(u64, u64)>,
    /// What was seen under each ramp, as of the last judgement.
    pub slo: Arc<Vec<SloStatus>>,
    /// A freeze is on.
    pub frozen: bool,
    /// Labels of metered series, by number.
    pub series: Arc<Vec<Labels>>,
    /// Sums of the hour that is not packed.
    pub open_hour: OpenHour,
    /// Metered receipts that no signed checkpoint covers: slot, series, how many.
    pub unsigned: Arc<Vec<(u32, Series, u64)>>,
}

impl PartitionView {
    /// Durable entries.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }
    /// Receipts not covered by a signed checkpoint.
    pub fn backlog(&self) -> u64 {
        self.size().saturating_sub(self.signed)
    }
}

/// A partition as others see it.
pub struct PartitionCell {
    /// Which.
    pub id: PartitionId,
    /// Display id.
    pub name: Ident,
    leases: Arc<Leases>,
    status: AtomicU8,
    /// Its state.
    pub view: ArcSwap<PartitionView>,
    /// Corrections of usage whose batch was begun. While it is ahead of what the view says, rows that were read may have
    /// one that the view does not have.
    pub corrections: AtomicU64,
}

impl PartitionCell {
    pub fn new(id: PartitionId, name: Ident, leases: Arc<Leases>, view: PartitionView) -> Self {
        Self {
            id,
            name,
            leases,
            status: AtomicU8::new(PartitionStatus::Serving as u8),
            view: ArcSwap::from_pointee(view),
            corrections: AtomicU64::new(0),
        }
    }

    /// Where the partition is in its life. It is not part of the view: what stops a partition holds at once, also while
    /// batches that were decided before are on their way to the disk.
    pub fn status(&self) -> PartitionStatus {
        PartitionStatus::from_repr(self.status.load(Ordering::Acquire)).unwrap_or(PartitionStatus::Damaged)
    }

    /// Leave to read its rows, or why they cannot be read now.
    pub fn lease(&self) -> Result<Lease, Reason> {
        match self.status().refuses(Class::Read) {
            Some(reason) => Err(reason),
            None => self.leases.take().ok_or(Reason::StoreUnavailable),
        }
    }

    /// Lends no lease any more.
    pub(crate) fn revoke(&self) {
        self.leases.revoke();
    }

    /// Waits until no lease is held, and so long at most. False: some still are.
    pub(crate) fn wait_for_readers(&self, most: Duration) -> bool {
        self.leases.wait(most)
    }

    pub(super) fn set_status(&self, status: PartitionStatus) {
        self.status.store(status as u8, Ordering::Release);
    }

    /// The fixed-size summary for consoles.
    pub fn summary(&self, mono: MonoTime) -> Summary {
        let v = self.view.load();
        let c = &v.control;
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let lowest = c.ramps.values().map(|r| r.hundredths).min().unwrap_or(BasisPoints::FULL);
        let mut flags = 0;
        let mut set = |on: bool, flag: u16| {
            if on {
                flags |= flag;
            }
        };
        set(c.kills.values().any(|k| !k.drain), stream::FLAG_KILLED);
        set(c.kills.values().any(|k| k.drain), stream::FLAG_DRAINING);
        set(lowest < BasisPoints::FULL, stream::FLAG_RAMPED);
        set(c.newer, stream::FLAG_NEWER);
        set(v.frozen, stream::FLAG_FROZEN);
        set(!c.pending.is_empty(), stream::FLAG_PENDING);
        set(v.quota_denied.is_some_and(|t| mono - t < Duration::from_secs(60)), stream::FLAG_QUOTA);
        Summary {
            tenant: self.id.tenant,
            name: self.name.clone(),
            flags,
            ramp: lowest,
            size: v.size(),
            root: v.frontier.root(),
            signed: v.signed,
            last_us: v.last.as_micros(),
            open_runs: small(v.open_runs),
            run_quota: small(c.quotas.concurrent_runs.granted),
            steps_used: small(v.bucket.used(mono, c.quotas.step_rate.granted)),
            step_burst: small(c.quotas.step_burst.granted),
            step_rate: small(c.quotas.step_rate.granted),
            backlog_quota: small(c.quotas.receipt_backlog.granted),
            allowed: v.allowed,
            denied: v.denied,
            incidents: u16::try_from(c.incidents.len() + usize::from(!self.status().serves()))
                .unwrap_or(u16::MAX),
            epoch: small(self.id.epoch),
        }
    }
}

/// Everything that is published.
pub struct Registry {
    /// This node.
    pub node_id: NodeId,
    /// Random, for this start.
    pub boot: [u8; 16],
    /// The store, while it is open.
    pub store: ArcSwapOption<Store>,
    tenants: RwLock<FxHashMap<TenantUid, Arc<PartitionCell>>>,
    events: Mutex<VecDeque<Event>>,
    node_seq: watch::Sender<u64>,
    signer: Mutex<(SignerState, String)>,
    store_error: Mutex<String>,
    /// Receipts made durable since the start.
    pub receipts: AtomicU64,
    /// Batches made durable since the start.
    pub commits: AtomicU64,
    /// Bytes of batches made durable since the start.
    pub bytes: AtomicU64,
    /// Commands and approvals that had counted before and were refused, since the start.
    pub replays: AtomicU64,
    /// When asked for: bytes made durable by each sync, for measuring against a bare loop.
    pub sync_sizes: Mutex<Option<Vec<u32>>>,
    /// Passes of the writer's loop: what the watchdog watches.
    pub beats: AtomicU64,
    /// Rows that one step of the writer touched, at most since the start.
    pub largest_step: AtomicUsize,
    space: Mutex<Space>,
}

impl Registry {
    /// Empty.
    pub fn new(node_id: NodeId, boot: [u8; 16]) -> Self {
        Self {
            node_id,
            boot,
            store: ArcSwapOption::empty(),
            tenants: RwLock::default(),
            events: Mutex::default(),
            node_seq: watch::Sender::new(0),
            signer: Mutex::new((SignerState::Down, "not asked yet".into())),
            store_error: Mutex::new("not opened yet".into()),
            receipts: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            replays: AtomicU64::new(0),
            sync_sizes: Mutex::new(None),
            beats: AtomicU64::new(0),
            largest_step: AtomicUsize::new(0),
            space: Mutex::new(Space::Ample),
        }
    }

    /// A partition.
    pub fn get(&self, tenant: TenantUid) -> Option<Arc<PartitionCell>> {
        self.tenants.read().get(&tenant).cloned()
    }

    /// The partition whose log a command about a tenant goes to: the node's own when the tenant is not here.
    pub fn about(&self, tenant: TenantUid) -> PartitionId {
        self.get(tenant).map_or(PartitionId::NODE, |cell| cell.id)
    }

    /// The node's own.
    pub fn node(&self) -> Option<Arc<PartitionCell>> {
        self.get(TenantUid::NODE)
    }

    /// The node's control state: operators, profiles, rate cards. `None` while it was never loaded.
    pub fn node_control(&self) -> Option<Arc<ControlState>> {
        self.node().map(|n| Arc::clone(&n.view.load().control))
    }

    /// All partitions, the node's own too.
    pub fn all(&self) -> Vec<Arc<PartitionCell>> {
        self.tenants.read().values().cloned().collect()
    }

    pub(crate) fn put(&self, shared: Arc<PartitionCell>) {
        self.tenants.write().insert(shared.id.tenant, shared);
    }

    /// Commit sequence, as of the last commit; a reader may wait for it to change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.node_seq.subscribe()
    }

    /// Commit sequence, as of the last commit.
    pub fn node_seq(&self) -> u64 {
        *self.node_seq.borrow()
    }

    pub(crate) fn publish(&self, events: &[Event], node_seq: u64, receipts: u64) {
        {
            let mut ring = self.events.lock();
            ring.extend(events.iter().copied());
            while ring.len() > WINDOW {
                ring.pop_front();
            }
        }
        self.receipts.fetch_add(receipts, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.node_seq.send_replace(node_seq);
    }

    pub(crate) fn note_sync(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(sizes) = &mut *self.sync_sizes.lock() {
            sizes.push(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }

    pub(crate) fn begin(&self, node_seq: u64) {
        self.events.lock().clear();
        self.node_seq.send_replace(node_seq);
    }

    /// Control facts after `after` of the partitions that `wanted` names, oldest first; `None` when some of them are no
    /// longer kept.
    pub fn events_after(
        &self,
        after: u64,
        floor: u64,
        wanted: impl Fn(TenantUid) -> bool,
    ) -> Option<Vec<Event>> {
        let ring = self.events.lock();
        let oldest = if ring.len() < WINDOW { floor } else { ring.front().map_or(floor, |e| e.node_seq) };
        if after < oldest {
            return None;
        }
        let from = ring.partition_point(|e| e.node_seq <= after);
        Some(ring.iter().skip(from).filter(|e| wanted(e.partition.tenant)).copied().collect())
    }

    /// State of the signer.
    pub fn signer(&self) -> (SignerState, String) {
        self.signer.lock().clone()
    }
    /// Sets it; true when it changed.
    pub fn set_signer(&self, state: SignerState, detail: &str) -> bool {
        let mut s = self.signer.lock();
        let changed = s.0 != state;
        *s = (state, detail.to_owned());
        changed
    }
    /// How much room there is on the disk, as the writer found it last.
    pub fn space(&self) -> Space {
        *self.space.lock()
    }
    pub(crate) fn set_space(&self, space: Space) {
        *self.space.lock() = space;
    }
    /// What is the matter with the store; empty when it writes.
    pub fn store_error(&self) -> String {
        self.store_error.lock().clone()
    }
    pub(crate) fn set_store_error(&self, what: &str) {
        what.clone_into(&mut self.store_error.lock());
    }
}
