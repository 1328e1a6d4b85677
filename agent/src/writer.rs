//! The one writer: it takes requests from the queues, decides each on the state that the one before it left, stages
//! rows, and hands whole batches to sealer and committer, which make them durable, publish them and send the answers.
//!
//! While one batch is on its way to the disk the next is decided. Rows of batches on their way that a workload's request
//! may ask for are remembered until the store has them; before anything else the writer waits until all are there. If a
//! write or sync fails, nothing more is written: everybody who waits is denied, the store is closed, opened and folded
//! anew, and only then decisions go on.

pub mod ask;
mod clock;
pub mod commit;
pub mod denials;
mod freeze;
pub mod gate;
pub mod live;
pub mod queue;
pub mod rows;
pub mod slo;
mod tick;

pub mod view;
pub mod work;

pub use tick::tell;
pub use work::Pause;

use crate::command::{self, Proposals};
use crate::keys::{KeyError, KeyStore};
use crate::ledger::{Partition, ReadError};
use crate::platform::random::Random;
use crate::policy::Policy;
use crate::store::{FamilyId, Row, RowKind, SpaceLimits, Store, StoreError};
use ask::{Ask, Denial};
use commit::{Answer, Commit, Committer, Ground};
use conductor_shared::clock::{Clock, Drift, Micros, SECOND};
use conductor_shared::fact::{Fact, LogOpened, RequestDenied, TenantCreated};
use conductor_shared::fail_closed::Outage;
use conductor_shared::ids::{Ident, NodeId, TenantUid};
use conductor_shared::reason::Reason;
use conductor_shared::stream::SignerState;
use live::{Live, Remembered, Stage};
use queue::{BATCH, Queues};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use view::Board;

/// The writer looks at leases, folds and checkpoints this often when nothing else happens.
const TICK: Duration = Duration::from_millis(20);

/// One person tightens at most so many tenants in a while; beyond that it takes a second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TightenLimit {
    /// Tenants.
    pub tenants: usize,
    /// The while, microseconds.
    pub window_us: Micros,
}

/// What the writer is made of.
pub struct Parts {
    /// Data folder.
    pub data: PathBuf,
    /// Key store.
    pub keys: PathBuf,
    /// This node.
    pub node_id: NodeId,
    /// Room on disk.
    pub limits: SpaceLimits,
    /// How long a lease is.
    pub lease_us: Micros,
    /// How many tenants one person tightens alone.
    pub tighten: TightenLimit,
    /// How often ramps are judged.
    pub slo: slo::Pace,
    /// A wall clock that was stepped further is doubted.
    pub clock_tolerance_us: Micros,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Where requests come from.
    pub queues: Arc<Queues>,
    /// Where state is published.
    pub board: Arc<Board>,
    /// Policy.
    pub policy: Arc<Policy>,
    /// Where checkpoints are asked for; `None` without a signer.
    pub checkpoints: Option<crossbeam_channel::Sender<commit::CheckpointJob>>,
    /// Where those who asked wait; `None` where they are threads.
    pub runtime: Option<tokio::runtime::Handle>,
}

/// The store, key store or fold cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Store or rows.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The key store.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<OpenError> for String {
    fn from(e: OpenError) -> Self {
        e.to_string()
    }
}

/// Open state: dropped and made anew after a failure.
struct Open {
    tighten: TightenLimit,
    store: Arc<Store>,
    keys: KeyStore,
    partitions: FxHashMap<TenantUid, Live>,
    /// Logs whose checkpoints are being signed.
    signing: Vec<TenantUid>,
    /// When all logs are looked at next for a checkpoint that is due, on the monotonic clock.
    look_at: Micros,
    /// Freeze windows that were open when partitions were last marked.
    marked: BTreeMap<Ident, BTreeMap<Ident, Option<u64>>>,
    /// Whose signatures count.
    signer_key: Option<String>,
    node_seq: u64,
    committer: Committer,
    /// Batches handed over.
    handed: u64,
    /// What was remembered of those that may not be in the store yet, by their number.
    on_the_way: VecDeque<(u64, Arc<Remembered>)>,
}

impl Open {
    /// Forgets what is in the store by now, and gives the rest, oldest first.
    fn remembered(&mut self) -> Vec<Arc<Remembered>> {
        let written = self.committer.written();
        while self.on_the_way.front().is_some_and(|(n, _)| *n <= written) {
            self.on_the_way.pop_front();
        }
        self.on_the_way.iter().map(|(_, m)| Arc::clone(m)).collect()
    }
}

/// The writer.
pub struct Writer {
    parts: Parts,
    open: Option<Open>,
    proposals: Proposals,
    last_slow_tick: Micros,
    judging: slo::Judging,
    /// Holds the wall clock against the monotonic one.
    drift: Drift,
    space: crate::store::Space,
    retry_at: Micros,
    /// When a freeze window opens or closes next.
    calendar: freeze::Calendar,
    /// Durable sizes of the logs when the store was closed: what comes back shorter has lost receipts that were
    /// acknowledged.
    floor: HashMap<TenantUid, u64>,
}

impl Writer {
    /// Opens store and key store and reads everything back. Nothing is written before this succeeded.
    pub fn open(parts: Parts) -> Result<Self, OpenError> {
        let drift = Drift::begin(parts.clock.now());
        let mut w = Self {
            parts,
            open: None,
            proposals: Proposals::default(),
            last_slow_tick: 0,
            judging: slo::Judging::default(),
            drift,
            space: crate::store::Space::Ample,
            retry_at: 0,
            calendar: freeze::Calendar::default(),
            floor: HashMap::new(),
        };
        w.reopen()?;
        Ok(w)
    }

    fn reopen(&mut self) -> Result<(), OpenError> {
        let p = &self.parts;
        let mut keys = KeyStore::open(&p.keys)?;
        let store = Arc::new(Store::open(&p.data.join("db"), p.limits)?);
        let now = p.clock.now();
        let mut load = |id: FamilyId, name: Option<&Ident>| {
            Live::load(&store, &mut keys, p.node_id, id, name, now, p.lease_us)
        };
        let node = load(FamilyId { tenant: TenantUid::NODE, epoch: 1 }, None)?;
        let mut partitions = FxHashMap::default();
        for (&tenant, entry) in &node.control.tenants {
            let id = FamilyId { tenant, epoch: entry.epoch };
            // A family is made before the receipt that creates its tenant; never the other way round.
            partitions.insert(tenant, load(id, Some(&entry.name))?);
        }
        for bundle in read_bundles(&store, &node.p)? {
            p.policy.keep(bundle);
        }
        p.policy.follow(&node.control);
        let signer_key = node.control.signer_key.clone();
        partitions.insert(TenantUid::NODE, node);
        for (tenant, live) in &partitions {
            let (known, found) = (self.floor.get(tenant).copied().unwrap_or(0), live.log.size());
            if found < known {
                return Err(StoreError::Lost { origin: live.p.origin.to_string(), known, found }.into());
            }
        }
        let node_seq = partitions.values().map(|l| l.log.size()).sum();
        p.board.begin(node_seq);
        for live in partitions.values() {
            p.board.put(Arc::clone(&live.shared));
        }
        p.board.store.store(Some(Arc::clone(&store)));
        p.board.set_store_error("");
        let committer = Committer::start(Ground {
            store: Arc::clone(&store),
            random: Arc::clone(&p.random),
            board: Arc::clone(&p.board),
            queues: Arc::clone(&p.queues),
            checkpoints: p.checkpoints.clone(),
            runtime: p.runtime.clone(),
        });
        self.space = store.space();
        self.calendar = freeze::Calendar::default();
        let marked = BTreeMap::new();
        let tighten = p.tighten;
        let (handed, on_the_way) = (0, VecDeque::new());
        self.open = Some(Open {
            tighten,
            store,
            keys,
            partitions,
            signing: Vec::new(),
            look_at: 0,
            marked,
            signer_key,
            node_seq,
            committer,
            handed,
            on_the_way,
        });
        self.after_open()
    }

    /// Proposals found open never take effect, and the start itself is a receipt.
    fn after_open(&mut self) -> Result<(), OpenError> {
        let boot = self.parts.board.boot;
        let Some(mut st) = self.stage() else { return Ok(()) };
        let Some(open) = &mut self.open else { return Ok(()) };
        clock::at_start(open, &mut st, self.parts.clock_tolerance_us)?;
        let mut answers = Vec::new();
        let mut runs = 0;
        for live in open.partitions.values_mut() {
            runs += live.gate.open_runs;
            let pending: Vec<_> = live.control.pending.iter().map(|(id, p)| (*id, p.index)).collect();
            for (id, index) in pending {
                command::abandon(live, &mut st, id, index, Reason::CheckpointTimeout.into())?;
            }
        }
        if let Some(node) = open.partitions.get_mut(&TenantUid::NODE) {
            let fact = conductor_shared::fact::AgentStarted {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                boot,
                open_runs: runs,
            };
            node.control_fact(&mut st, fact)?;
        }
        self.finish(st, &mut answers);
        Ok(())
    }

    fn stage(&mut self) -> Option<Stage> {
        let open = self.open.as_mut()?;
        let before = open.remembered();
        let (now, random) = (self.parts.clock.now(), Arc::clone(&self.parts.random));
        Some(Stage { before, ..Stage::new(open.node_seq, now, random, self.parts.policy.version()) })
    }

    /// Runs until the queues are closed and empty, then makes everything durable and returns.
    pub fn run(mut self) {
        crate::name_thread(c"writer");
        while let Some(asks) = {
            let queues = Arc::clone(&self.parts.queues);
            queues.take(BATCH, TICK)
        } {
            self.parts.board.beats.fetch_add(1, Ordering::Relaxed);
            if self.open.as_ref().is_some_and(|o| o.store.has_failed()) {
                self.close("the store failed");
            }
            if self.open.is_none() && !self.try_again() {
                for ask in asks {
                    refuse(ask, Reason::StoreUnavailable);
                }
                continue;
            }
            self.pass(asks);
        }
        if let Some(open) = self.open.take() {
            open.committer.stop();
        }
        self.parts.board.store.store(None);
    }

    /// Decides what came in, does what time brought, and hands the batch over.
    fn pass(&mut self, asks: Vec<Ask>) {
        let Some(mut st) = self.stage() else { return };
        let mut answers = Vec::with_capacity(asks.len());
        if let Err(e) = self.watch_clock(&mut st) {
            tracing::error!("{e}");
            for ask in asks {
                refuse(ask, Reason::StoreUnavailable);
            }
            self.fail(&e);
            return;
        }
        for ask in asks {
            let changes = ask.changes();
            let done = self.one(&mut st, ask, &mut answers);
            if changes {
                self.follow_policy(&mut st);
                self.follow_signer();
            }
            if let Err(e) = done {
                // What is staged may be half of something: none of it is written.
                tracing::error!("{e}");
                answers.into_iter().for_each(Answer::deny);
                self.fail(&e);
                return;
            }
        }
        if let Err(e) = self.tick(&mut st, &mut answers) {
            tracing::error!("{e}");
            answers.into_iter().for_each(Answer::deny);
            self.fail(&e);
            return;
        }
        self.finish(st, &mut answers);
    }

    fn one(&mut self, st: &mut Stage, ask: Ask, answers: &mut Vec<Answer>) -> Result<(), String> {
        let Some(open) = &mut self.open else {
            refuse(ask, Reason::StoreUnavailable);
            return Ok(());
        };
        if ask.reads_rows(!self.proposals.pending.is_empty()) {
            open.committer.drained();
        }
        match ask {
            Ask::Work { scope, op, once, tries, reply } => {
                let Some(node) = open.partitions.get(&TenantUid::NODE).map(|n| Arc::clone(&n.control)) else {
                    let _ = reply.send(Err(Denial::bare(Reason::StoreUnavailable)));
                    return Ok(());
                };
                let Some(live) = open.partitions.get_mut(&scope.tenant()) else {
                    let _ = reply.send(Err(Denial::bare(Reason::ScopeMismatch)));
                    return Ok(());
                };
                let work = work::Work {
                    store: &open.store,
                    space: self.space,
                    lease_us: self.parts.lease_us,
                    principal: scope.principal(),
                    policy: &self.parts.policy,
                    node: &node,
                    tries,
                };
                match work.once(live, st, &op, once.as_ref()) {
                    Ok(answer) => answers.push(Answer::Work(reply, answer)),
                    Err(Pause::Policy(question)) => {
                        let again = Ask::Work { scope, op, once, tries: tries + 1, reply };
                        if let Err(ask) = self.parts.policy.ask(*question, again) {
                            refuse(ask, Reason::QueueFull);
                        }
                    }
                    Err(Pause::Read(e)) => {
                        let _ = reply.send(Err(Denial::bare(Reason::StoreUnavailable)));
                        return Err(e.to_string());
                    }
                }
            }
            Ask::Unscoped(u, reply) => {
                let log = if open.partitions.contains_key(&u.log) { u.log } else { TenantUid::NODE };
                let Some(live) = open.partitions.get_mut(&log) else { return Ok(()) };
                let about = format!("{} {}", u.operation, u.peer);
                let fact = || -> Fact {
                    RequestDenied {
                        principal: u.principal.clone(),
                        peer: conductor_shared::untrusted::UntrustedText::new(u.peer.clone()),
                        operation: u.operation.to_owned(),
                        named_tenant: u.named.clone(),
                        reasons: conductor_shared::codec::Listed(u.reasons.codes()),
                    }
                    .into()
                };
                let denial = work::deny_folded(live, st, &u.principal, &about, u.reasons, None, fact)
                    .map_err(|e| e.to_string())?;
                answers.push(Answer::Denied(reply, denial));
            }
            Ask::Command(signed, reply) => return self.command(st, signed, reply, answers),
            Ask::Approval(a, reply) => return self.approval(st, &a, reply, answers),
            Ask::Signed(key, list) => return self.signed(st, &key, list, answers),
            Ask::RolledBack(id, detail) => self.rolled_back(st, id, &detail)?,
            Ask::SignerChanged => {}
            Ask::Bundle(bundle, reply) => {
                let done = self.keep_bundle(st, *bundle);
                answers.push(Answer::Done(reply, done));
            }
            Ask::Sink(moved, reply) => {
                let live = open.partitions.get(&moved.tenant).filter(|l| !l.rolled_back);
                let done =
                    live.ok_or_else(|| Reason::StoreUnavailable.description().to_owned()).map(|live| {
                        for (key, plain) in &moved.rows {
                            match plain {
                                Some(plain) => st.rows.put(&live.p, key, plain),
                                None => st.rows.delete(&live.p.family, key),
                            }
                        }
                    });
                answers.push(Answer::Done(reply, done));
            }
            Ask::CreateTenants(list, reply) => {
                let done = self.create_tenants(st, &list);
                let failed = done.as_ref().err().cloned();
                answers.push(Answer::Done(reply, done));
                if let (Some(e), true) = (failed, self.open.as_ref().is_some_and(|o| o.store.has_failed())) {
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    /// What is out, as the law asks.
    fn outage(&self) -> Outage {
        let (signer, _) = self.parts.board.signer();
        let policy = !self.parts.policy.up(self.parts.clock.now());
        Outage { signer: signer != SignerState::Up, policy, store: false }
    }

    /// A bundle that was loaded holds from the next request on, and for its receipt.
    fn follow_policy(&self, st: &mut Stage) {
        if let Some(node) = self.open.as_ref().and_then(|o| o.partitions.get(&TenantUid::NODE)) {
            self.parts.policy.follow(&node.control);
            st.policy = self.parts.policy.version();
        }
    }

    /// Another signer knows no log yet: it is asked about every one, changed or not.
    fn follow_signer(&mut self) {
        let Some(open) = &mut self.open else { return };
        let now = open.partitions.get(&TenantUid::NODE).and_then(|n| n.control.signer_key.clone());
        if open.signer_key != now {
            open.signer_key = now;
            open.partitions.values_mut().for_each(|l| l.unproved = true);
        }
    }

    /// Keeps the files of a bundle in the node's own partition, so that they are there when the command takes effect.
    fn keep_bundle(&mut self, st: &mut Stage, bundle: conductor_policies::Bundle) -> Result<(), String> {
        let node = self.open.as_ref().and_then(|o| o.partitions.get(&TenantUid::NODE));
        let Some(node) = node.filter(|n| !n.rolled_back) else {
            return Err(Reason::StoreUnavailable.description().to_owned());
        };
        let packed = bundle.pack(0).map_err(|e| e.to_string())?;
        let row = |digest: &[u8; 32]| Row::Bundle(live::index_hash(&node.p.keys.index, digest)).key();
        let key = row(&bundle.digest());
        st.rows.put(&node.p, &key, &packed);
        for old in self.parts.policy.keep(bundle) {
            st.rows.delete(&node.p.family, &row(&old));
        }
        Ok(())
    }

    /// Makes partitions: keys first, then families, then the receipts that say so.
    fn create_tenants(&mut self, st: &mut Stage, list: &[(TenantUid, Ident)]) -> Result<(), String> {
        let random = Arc::clone(&self.parts.random);
        let (node_id, lease) = (self.parts.node_id, self.parts.lease_us);
        let Some(open) = &mut self.open else { return Err("the store is closed".into()) };
        for (uid, name) in list {
            let Some(node) = open.partitions.get(&TenantUid::NODE) else { return Err("no node log".into()) };
            if node.control.tenant_named(name).is_some() || open.partitions.contains_key(uid) {
                return Err(format!("tenant {name} exists already"));
            }
        }
        let ids: Vec<FamilyId> = list.iter().map(|(t, _)| FamilyId { tenant: *t, epoch: 1 }).collect();
        make_partitions(open, &ids, &*random).map_err(|e| e.to_string())?;
        for (uid, name) in list {
            let fact = TenantCreated { tenant_uid: *uid, tenant_id: name.clone(), epoch: 1 };
            if let Some(node) = open.partitions.get_mut(&TenantUid::NODE) {
                node.control_fact(st, fact).map_err(|e| e.to_string())?;
            }
            begin_partition(open, st, node_id, lease, *uid, name, "created").map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Stages counters and hands the batch to the committer.
    fn finish(&mut self, mut st: Stage, answers: &mut Vec<Answer>) {
        let Some(open) = &mut self.open else { return };
        freeze::mark(open, &mut st);
        let touched = std::mem::take(&mut st.touched);
        let mut views = Vec::with_capacity(touched.len());
        for tenant in &touched {
            let Some(live) = open.partitions.get_mut(tenant) else { continue };
            live.stage_counters(&mut st);
            views.push((Arc::clone(&live.shared), live.view(st.node_seq)));
        }
        let jobs = if self.parts.checkpoints.is_some() { self.proposals.pending.len() } else { 0 };
        let Some(open) = &mut self.open else { return };
        let job = tick::due(open, &self.proposals, &touched, st.now.mono_us, jobs > 0);
        open.node_seq = st.node_seq;
        let commit = Commit {
            rows: st.rows,
            answers: std::mem::take(answers),
            views,
            events: st.events,
            node_seq: st.node_seq,
            receipts: st.receipts,
            bytes: 0,
            job,
        };
        if commit.is_empty() {
            return;
        }
        open.handed += 1;
        if !st.staged.is_empty() {
            open.on_the_way.push_back((open.handed, Arc::new(st.staged)));
        }
        let requests = commit.answers.len();
        self.parts.queues.handed_over(requests);
        if let Err(commit) = open.committer.send(commit) {
            self.parts.queues.settled(requests);
            commit.deny();
            self.fail("the committer stopped");
        }
    }

    fn fail(&mut self, why: &str) {
        if let Some(open) = &self.open {
            open.store.fail();
        }
        self.close(why);
    }

    /// Closes the store. What was staged and not handed over is forgotten.
    fn close(&mut self, why: &str) {
        let Some(open) = self.open.take() else { return };
        let found = self.parts.board.store_error();
        let why = if found.is_empty() { why.to_owned() } else { found };
        tracing::error!("the store is closed: {why}");
        self.parts.board.set_store_error(&why);
        self.parts.board.store.store(None);
        for (tenant, live) in &open.partitions {
            live.shared.partition.store(None);
            self.floor.insert(*tenant, live.shared.view.load().size());
        }
        for p in self.proposals.pending.drain(..) {
            p.lost();
        }
        // Room for what must still be written, should the disk be full.
        if open.store.release_reserve() {
            tracing::warn!("gave up the disk reserve");
        }
        open.committer.stop();
        // Nothing is on its way any more, also when a thread on it panicked and told nobody.
        self.parts.queues.settled(usize::MAX);
        drop(open.partitions);
        // Readers hold the store for the time of one request.
        let begun = self.parts.clock.now().mono_us;
        let mut store = open.store;
        loop {
            match Arc::try_unwrap(store) {
                Ok(s) => {
                    drop(s);
                    break;
                }
                Err(s) if self.parts.clock.now().mono_us < begun + 30 * SECOND => {
                    store = s;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) => break,
            }
        }
        self.retry_at = self.parts.clock.now().mono_us;
    }

    fn try_again(&mut self) -> bool {
        let now = self.parts.clock.now().mono_us;
        if now < self.retry_at {
            return false;
        }
        match self.reopen() {
            Ok(()) => {
                tracing::info!("the store is open again");
                true
            }
            Err(e) => {
                let e = e.to_string();
                if self.parts.board.store_error() != e {
                    tracing::error!("{e}");
                }
                self.parts.board.set_store_error(&e);
                self.retry_at = now + SECOND;
                false
            }
        }
    }
}

/// Keys and families of new partitions. The order matters: what a crash leaves is an unused key or family.
fn make_partitions(open: &mut Open, ids: &[FamilyId], random: &dyn Random) -> Result<(), OpenError> {
    let new: Vec<FamilyId> = ids.iter().filter(|id| open.store.family(**id).is_none()).copied().collect();
    let keyless: Vec<_> = ids
        .iter()
        .filter(|id| open.keys.tenant(id.tenant, id.epoch).is_err())
        .map(|id| (id.tenant, id.epoch))
        .collect();
    open.keys.create_tenants(&keyless, random)?;
    open.keys.begin_units(&keyless, random)?;
    open.store.create_families(&new)?;
    Ok(())
}

/// Loads a new partition and writes the first entry of its log.
fn begin_partition(
    open: &mut Open,
    st: &mut Stage,
    node: NodeId,
    lease_us: Micros,
    uid: TenantUid,
    name: &Ident,
    reason: &str,
) -> Result<(), OpenError> {
    let id = FamilyId { tenant: uid, epoch: 1 };
    let mut live = Live::load(&open.store, &mut open.keys, node, id, Some(name), st.now, lease_us)?;
    live.control_fact(st, LogOpened { reason: reason.to_owned(), name: name.clone(), cites: None })?;
    open.partitions.insert(uid, live);
    Ok(())
}

/// The policy bundles that are kept. One that this program cannot read is passed over: should it be the one that is
/// loaded, policy is down and says so.
fn read_bundles(store: &Store, node: &Partition) -> Result<Vec<conductor_policies::Bundle>, ReadError> {
    let mut bundles = Vec::new();
    for (row, value) in store.rows(&node.family, &Row::scan_of(RowKind::Bundle))? {
        match conductor_policies::Bundle::unpack(&node.open(&row.key(), &value)?) {
            Ok(b) => bundles.push(b),
            Err(e) => tracing::error!("a stored policy bundle: {e}"),
        }
    }
    Ok(bundles)
}

/// Answers without deciding.
pub(crate) fn refuse(ask: Ask, reason: Reason) {
    match ask {
        Ask::Work { reply, .. } => drop(reply.send(Err(Denial::bare(reason)))),
        Ask::Unscoped(u, reply) => {
            let _ = reply.send(Denial { reasons: u.reasons, ..Denial::bare(reason) });
        }
        Ask::Command(_, reply) | Ask::Approval(_, reply) => drop(reply.send(Err(Denial::bare(reason)))),
        Ask::CreateTenants(_, reply) | Ask::Bundle(_, reply) | Ask::Sink(_, reply) => {
            drop(reply.send(Err(reason.description().to_owned())));
        }
        Ask::Signed(..) | Ask::RolledBack(..) | Ask::SignerChanged => {}
    }
}
