//! One partition as the writer holds it: control state, end of the log, open runs, gate, counters. It is changed in
//! place as facts are staged; if the commit fails all of it is dropped and read back from the store.

use super::admission::AdmissionState;
use super::cuts::Cuts;
use super::denial_dedup::Coalescer;
use super::fold::{Folded, read_control};
use super::lease::Leases;
use super::published::{PartitionCell, PartitionView};
use super::ramp_stats::RampStats;
use super::runs::load_runs;
use super::{BreakGlassTimer, PartitionStatus, QuotaFlood, Run};
use crate::keys::{Key, KeyError, KeyStore, Units};
use crate::ledger::{self, Appended, Log, Partition, ReadError};
use crate::metering::{Meters, day_of};
use crate::platform::random::Random;
use crate::rows::{FoldRow, GateRow, SloRow, StepRow, decode, encode};
use crate::staging::{BatchBuilder, Event};
use crate::store::{Row, Store};
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::change_class::lets_fewer_through;
use conductor_shared::clock::{MonoTime, Now, WallTime};
use conductor_shared::command::Operation;
use conductor_shared::control::{At, CommandKey, ControlState};
use conductor_shared::fact::{ControlFact, DenialsFolded, Fact};
use conductor_shared::ids::{Ident, NodeId, Origin, PartitionId, RunId};
use conductor_shared::meter::{self, Adjustment, Labels, Metered};
use conductor_shared::quota::RateBucket;
use conductor_shared::ramp::Selector;
use conductor_shared::record::PolicyVersion;
use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Kinds of records that share a unit key a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DayKind {
    /// Control facts.
    Control = 1,
    /// Denials.
    Denial = 2,
}

/// Rows of counters that a changed partition adds at the end of a step, besides those of its meters.
const COUNTERS: usize = 3;

/// What partitions are loaded with.
pub struct Loader<'a> {
    pub store: &'a Arc<Store>,
    pub keys: &'a mut KeyStore,
    pub node: NodeId,
    pub now: Now,
    /// Open runs have a full lease from now on.
    pub lease: Duration,
    /// What persons took away alone since then counts.
    pub cuts_since: WallTime,
}

/// A partition.
#[allow(clippy::struct_excessive_bools)] // independent marks, each set and cleared on its own
pub struct PartitionState {
    /// What is fixed.
    pub p: Partition,
    /// End of the log.
    pub log: Log,
    /// Control state.
    pub control: Arc<ControlState>,
    /// Open runs.
    pub runs: FxHashMap<RunId, Run>,
    /// Quotas' state.
    pub gate: AdmissionState,
    /// Decisions that allowed.
    pub allowed: u64,
    /// Decisions that denied, folded ones too.
    pub denied: u64,
    /// Denials of the last second.
    pub folds: Coalescer,
    /// The same of what persons signed.
    pub command_folds: Coalescer,
    /// Where it is in its life.
    pub status: PartitionStatus,
    /// Something was staged since the last publication: see [`PartitionState::touch`].
    dirty: bool,
    /// Since it was opened nobody asked the signer whether it knows a longer log.
    pub unproved: bool,
    /// A checkpoint of it is being signed.
    pub signing: bool,
    /// When the oldest unsigned receipt was staged.
    pub unsigned_since: Option<MonoTime>,
    /// When a quota last denied something.
    pub quota_denied: Option<MonoTime>,
    /// How it is published.
    pub shared: Arc<PartitionCell>,
    /// What was seen under each ramp.
    pub ramp_stats: RampStats,
    /// Denials of quotas that were folded of late.
    pub quota_flood: QuotaFlood,
    /// A freeze is on.
    pub frozen: bool,
    /// Break-glass as this run of the agent has seen it.
    pub glass: Option<BreakGlassTimer>,
    /// What each person took away here alone of late.
    pub cuts: Cuts,
    units: Units,
    day_units: HashMap<(u32, DayKind), (u64, Key)>,
    /// Sums of metered events.
    pub meters: Meters,
    /// Control facts that were read when it was loaded.
    pub folded: u64,
    /// Control facts after the last snapshot of the control state.
    pub since_snapshot: u64,
}

impl PartitionState {
    /// Reads a partition back, or begins an empty one.
    pub fn load(ctx: Loader<'_>, id: PartitionId, name: Option<&Ident>) -> Result<Self, ReadError> {
        let Loader { store, keys, node, now, lease, cuts_since: since } = ctx;
        let (p, units) = handle(store, keys, node, id)?;
        let log = Log::load(store, &p, PolicyVersion::built_in())?;
        let gate_row: GateRow = row_or_default(store, &p, Row::Gate)?;
        let Folded { state: control, cuts, read: folded, since_snapshot } = read_control(store, &p, since)?;
        let seen: SloRow = row_or_default(store, &p, Row::Slo)?;
        let ramp_stats = RampStats::restored(seen, &control, log.size());
        let runs = load_runs(store, &p, now.mono + lease)?;
        let meters = Meters::load(store, &p, log.last(), (log.signed, log.size()))?;
        let bucket = RateBucket::from_ahead(now.mono, gate_row.step_ahead_us);
        let unsigned_since = (log.size() > log.signed).then_some(now.mono);
        let fallback = Ident::new("unnamed").ok();
        let display = control.name.clone().or_else(|| name.cloned()).or(fallback);
        let display = display.ok_or_else(|| p.damaged(&[], "the partition has no name"))?;
        let leases = Leases::new(Some((Arc::clone(store), p.clone())));
        let cell = PartitionCell::new(id, display, leases, PartitionView::default());
        let control = Arc::new(control);
        let live = Self {
            gate: AdmissionState { open_runs: runs.len() as u64, bucket },
            allowed: gate_row.allowed,
            denied: gate_row.denied,
            folds: Coalescer::restored(gate_row.folds),
            command_folds: Coalescer::of_persons(),
            shared: Arc::new(cell),
            p,
            log,
            control,
            runs,
            status: PartitionStatus::Serving,
            dirty: false,
            unproved: true,
            signing: false,
            unsigned_since,
            quota_denied: None,
            ramp_stats,
            quota_flood: QuotaFlood::default(),
            frozen: false,
            glass: None,
            cuts,
            units,
            day_units: HashMap::new(),
            meters,
            folded,
            since_snapshot,
        };
        // What was read back is durable.
        let view = live.view(0);
        live.shared.view.store(Arc::new(view));
        Ok(live)
    }

    /// What is published of a partition that cannot be loaded: its control state, if that can be read, so that whoever
    /// asks can prove who they are and is told.
    pub fn damaged(ctx: Loader<'_>, id: PartitionId, name: Ident) -> PartitionCell {
        let Loader { store, keys, node, .. } = ctx;
        let read = |keys: &mut KeyStore| {
            let (p, _) = handle(store, keys, node, id)?;
            read_control(store, &p, WallTime::from_micros(u64::MAX)).map(|f| f.state)
        };
        let control = Arc::new(read(keys).unwrap_or_default());
        let view = PartitionView { control, ..PartitionView::default() };
        let cell = PartitionCell::new(id, name, Leases::new(None), view);
        cell.set_status(PartitionStatus::Damaged);
        cell
    }

    /// Open runs and steps: whatever of it is said to have ended must find room on the disk.
    pub fn open_work(&self) -> u64 {
        self.runs.values().map(|r| 1 + r.steps.len() as u64).sum()
    }

    /// From now on nothing is decided and written in it.
    pub fn stop(&mut self, status: PartitionStatus) {
        self.status = status;
        self.shared.set_status(status);
    }

    /// What is published of it.
    pub fn view(&self, version: u64) -> PartitionView {
        PartitionView {
            control: Arc::clone(&self.control),
            frontier: self.log.frontier().clone(),
            signed: self.log.signed,
            checkpoint: self.log.checkpoint.clone(),
            open_runs: self.gate.open_runs,
            allowed: self.allowed,
            denied: self.denied,
            bucket: self.gate.bucket,
            last: self.log.last(),
            version,
            unsigned_since: self.unsigned_since,
            quota_denied: self.quota_denied,
            folding: [self.folds.counts(), self.command_folds.counts()].concat(),
            slo: self.ramp_stats.published(),
            frozen: self.frozen,
            series: Arc::clone(self.meters.labels()),
            open_hour: self.meters.open_hour(),
            unsigned: Arc::new(self.meters.unsigned()),
        }
    }

    /// What is published of it changes with this batch.
    pub fn touch(&mut self, st: &mut BatchBuilder) {
        let rows = self.rows_of_touch();
        if !std::mem::replace(&mut self.dirty, true) {
            st.touch(self.p.id, rows);
        }
    }

    /// Rows that the first change in a step adds at its end, at most: counters, and those of meters.
    pub fn rows_of_touch(&self) -> usize {
        if self.dirty { 0 } else { COUNTERS + self.meters.rows_at_end() }
    }

    /// Receipts not covered by a signed checkpoint.
    pub fn unsigned(&self) -> u64 {
        self.log.size().saturating_sub(self.log.signed)
    }

    /// Stages one fact, and what follows from it: control state, meters, counters of the stream.
    pub fn append(&mut self, st: &mut BatchBuilder, fact: &Fact, unit: (u64, &Key)) -> Appended {
        self.append_for(st, fact, unit, None)
    }

    /// The same for a fact that names a run which may be over: `of_run` are its labels.
    pub fn append_for(
        &mut self,
        st: &mut BatchBuilder,
        fact: &Fact,
        unit: (u64, &Key),
        of_run: Option<Labels>,
    ) -> Appended {
        let random = Arc::clone(&st.random);
        self.log.go_by(st.policy);
        let a = self.log.append(&mut st.rows, &self.p, fact, unit, st.now.wall, &*random);
        st.node_seq += 1;
        st.receipts += 1;
        self.touch(st);
        if self.unsigned_since.is_none() {
            self.unsigned_since = Some(st.now.mono);
        }
        if let Fact::Control(c) = fact {
            let before = Arc::clone(&self.control);
            self.fold(a, c);
            let harmless =
                change_of(c, &before).is_some_and(|op| self.takes_nothing(&op, &before, &self.control));
            if !harmless {
                self.cuts.note(self.p.id.tenant, c, (&before, &self.control), a.time);
            }
            self.ramp_stats.follow(&self.control, a.index);
            st.remember_fact(&self.p, a.index, fact);
            st.events.push(Event { node_seq: st.node_seq, partition: self.p.id, index: a.index });
        }
        let slots = self.meters.rows_at_end();
        match meter::metered(fact) {
            Some(Metered::As(labels)) => self.meters.add(&labels, fact, a),
            Some(Metered::AsRun(run)) => {
                if let Some(labels) = of_run.or_else(|| self.runs.get(&run).map(|r| r.row.labels())) {
                    self.meters.add(&labels, fact, a);
                }
            }
            None => {}
        }
        st.owe(self.meters.rows_at_end() - slots);
        a
    }

    fn fold(&mut self, a: Appended, fact: &ControlFact) {
        let of_state = matches!(fact, ControlFact::StateSnapshot(_));
        self.since_snapshot = if of_state { 0 } else { self.since_snapshot + 1 };
        let at = At { index: a.index, time_us: a.time.as_micros() };
        if let Err(e) = Arc::make_mut(&mut self.control).apply(at, fact) {
            tracing::error!("{} entry {}: {e}", self.p.origin, a.index);
        }
    }

    /// True for what takes nothing from a tenant: it is being set up and has never run anything, or this takes back what the
    /// agent itself judges to breach its thresholds, to where it was healthy last. To shut off a tenant before its first run
    /// takes something from it.
    pub fn takes_nothing(&self, op: &Operation, before: &ControlState, after: &ControlState) -> bool {
        let idle = !self.p.id.tenant.is_node() && self.allowed == 0 && !lets_fewer_through(before, after);
        let rolls_back = |selector: &Selector, to: BasisPoints| {
            let breached = self.ramp_stats.published.iter().any(|s| s.selector == *selector && s.breached());
            breached && before.ramps.get(selector).is_some_and(|r| r.rollback_to() == to)
        };
        idle || match op {
            Operation::RampSet(op) => rolls_back(&op.selector, op.hundredths),
            Operation::RampCap(op) => rolls_back(&op.selector, op.hundredths),
            _ => false,
        }
    }

    /// Stages compensating events, in the batch of the receipt that puts them into effect.
    pub fn correct(
        &mut self,
        store: &Store,
        st: &mut BatchBuilder,
        list: &[Adjustment],
    ) -> Result<(), ReadError> {
        let done = self.meters.correct(store, &self.p, st, list);
        // Before the batch is written: whoever sees its rows sees this as well.
        self.shared.corrections.store(self.meters.corrections(), Ordering::SeqCst);
        done
    }

    /// A fresh unit key for a run.
    pub fn new_unit(&mut self, random: &dyn Random) -> Result<(u64, Key), KeyError> {
        self.units.take(random)
    }

    /// The unit key of today's records of a kind.
    pub fn day_unit(&mut self, st: &mut BatchBuilder, kind: DayKind) -> Result<(u64, Key), KeyError> {
        let day = day_of(st.now.wall);
        if let Some(u) = self.day_units.get(&(day, kind)) {
            return Ok(u.clone());
        }
        let random = Arc::clone(&st.random);
        let (number, key) = self.units.take(&*random)?;
        // The row is for purges by day: it tells which key to destroy. A restart begins another key for the same day.
        st.rows.mark(&self.p.family, &Row::DayKey(day, kind as u8, number).key());
        self.day_units.retain(|(d, _), _| *d == day);
        self.day_units.insert((day, kind), (number, key.clone()));
        Ok((number, key))
    }

    /// Stages a control fact.
    pub fn control_fact(
        &mut self,
        st: &mut BatchBuilder,
        fact: impl Into<Fact>,
    ) -> Result<Appended, KeyError> {
        let unit = self.day_unit(st, DayKind::Control)?;
        Ok(self.append(st, &fact.into(), (unit.0, &unit.1)))
    }

    /// Stages a snapshot of the control state. It is sealed as what stays, whatever is erased of the facts before it.
    pub fn snapshot(&mut self, st: &mut BatchBuilder) {
        match self.control.snapshot() {
            Ok(snapshot) => {
                let key = self.p.keys.tenant.clone();
                self.append(st, &snapshot.into(), (ledger::TENANT_KEY, &key));
            }
            Err(e) => {
                // Tried again after as many facts.
                self.since_snapshot = 0;
                tracing::warn!("{}: no snapshot of the control state: {e}", self.p.origin);
            }
        }
    }

    /// Stages the rows that change with every batch, as the last thing done to it in one.
    pub fn stage_counters(&mut self, st: &mut BatchBuilder) {
        self.dirty = false;
        self.meters.stage(&self.p, st, self.log.last(), self.log.signed);
        let row = GateRow {
            allowed: self.allowed,
            denied: self.denied,
            step_ahead_us: self.gate.bucket.ahead_us(st.now.mono),
            folds: self.open_folds(),
        };
        st.rows.put(&self.p, &Row::Gate.key(), &encode(&row));
        if let Some(seen) = self.ramp_stats.row_if_changed() {
            st.rows.put(&self.p, &Row::Slo.key(), &encode(&seen));
        }
    }

    /// Denials that are counted and not on record yet.
    pub fn open_folds(&self) -> Vec<FoldRow> {
        let mut rows = [self.folds.rows(), self.command_folds.rows()].concat();
        rows.sort_by_key(|r| r.first);
        rows
    }

    /// Folds that are over, as facts to write, so many of either kind at most.
    pub fn closed_folds(&mut self, mono: MonoTime, most: usize) -> Vec<DenialsFolded> {
        let each = [&mut self.folds, &mut self.command_folds].into_iter();
        each.filter(|f| f.due(mono)).flat_map(|f| f.close(mono, most)).collect()
    }

    /// Stages a run's row.
    pub fn put_run(&self, st: &mut BatchBuilder, id: RunId, run: &Run) {
        let key = if run.row.outcome.is_some() { Row::EndedRun(id.0) } else { Row::OpenRun(id.0) }.key();
        let plain = encode(&run.row);
        st.rows.put_under(&self.p, &key, (run.unit.0, &run.unit.1), &plain);
        if run.row.outcome.is_some() {
            st.rows.delete(&self.p.family, &Row::OpenRun(id.0).key());
            st.remember(&self.p, key, plain);
        }
    }

    /// Stages a step's row.
    pub fn put_step(&self, st: &mut BatchBuilder, id: RunId, unit: &(u64, Key), number: u64, step: &StepRow) {
        let ended = step.outcome.is_some();
        let key = if ended { Row::EndedStep(id.0, number) } else { Row::OpenStep(id.0, number) }.key();
        let plain = encode(step);
        st.rows.put_under(&self.p, &key, (unit.0, &unit.1), &plain);
        if ended {
            st.rows.delete(&self.p.family, &Row::OpenStep(id.0, number).key());
            st.remember(&self.p, key, plain);
        }
    }
}

/// 16 bytes of HMAC-SHA256 under the tenant's index key: what stands in row keys instead of text.
pub fn index_hash(key: &Key, text: &[u8]) -> [u8; 16] {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut out = [0; 16];
    // HMAC takes keys of every length.
    if let Ok(mut m) = Hmac::<sha2::Sha256>::new_from_slice(key.bytes()) {
        m.update(text);
        out.copy_from_slice(&m.finalize().into_bytes()[..16]);
    }
    out
}

/// The operation that takes effect with a fact.
fn change_of(fact: &ControlFact, before: &ControlState) -> Option<Operation> {
    match fact {
        ControlFact::Changed(f) => Operation::from_list(&f.change.0),
        ControlFact::Effective(f) => {
            let key = CommandKey { person: f.author, command: f.command_id };
            before.pending.get(&key).and_then(|p| Operation::from_list(&p.change))
        }
        _ => None,
    }
}

/// What is fixed about a partition, and the unit keys it makes.
fn handle(
    store: &Store,
    keys: &mut KeyStore,
    node: NodeId,
    id: PartitionId,
) -> Result<(Partition, Units), ReadError> {
    let family = store.family(id).ok_or(crate::store::StoreError::Missing(store.path().to_owned()))?;
    let units = keys.units(id.tenant, id.epoch)?;
    let origin = Origin { node, tenant: id.tenant, epoch: id.epoch };
    let keys = keys.tenant(id.tenant, id.epoch)?;
    Ok((Partition { id, origin, family, keys, units: units.reader() }, units))
}

/// A row that is there once, or what stands for it before it was written.
fn row_or_default<T: Default + DeserializeOwned>(
    store: &Store,
    p: &Partition,
    row: Row,
) -> Result<T, ReadError> {
    let key = row.key();
    let Some(found) = store.get(&p.family, &key)? else { return Ok(T::default()) };
    decode(&p.open(&key, &found)?).map_err(|e| p.damaged(&key, &e))
}
