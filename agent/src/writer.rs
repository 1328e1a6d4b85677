//! The single writer. It takes requests from the queues, decides each on the staged state, stages rows, and hands batches
//! to the sealer and the committer, which make them durable, publish them and send the answers.
//!
//! Group commit: while one batch syncs, the next one fills. Uncommitted rows and facts that requests can read stay in an
//! overlay. A step touches at most [`STEP_ROWS`](crate::staging::STEP_ROWS) rows; longer work is a job that stages a slice
//! in each step. If a write or sync fails, nothing more is written: all waiting requests are denied, and the store is
//! closed, reopened and folded again before the next decision.

mod changes;
mod damage;
mod dispatch;
mod jobs;
mod pipeline;
mod provision;
mod recovery;
mod snapshots;
mod timers;

#[cfg(test)]
mod tests;

use crate::checkpoint::due::Schedule;
use crate::checkpoint::job::CheckpointJob;
use crate::clock_guard;
use crate::command::Proposals;
use crate::freeze::calendar::Calendar;
use crate::health::Health;
use crate::intake::queue::{BATCH, Queues};
use crate::intake::refuse;
use crate::intake::reply::Answers;
use crate::intake::request::WriterRequest;
use crate::keys::KeyStore;
use crate::ledger::ReadError;
use crate::partition::Partitions;
use crate::partition::published::Registry;
use crate::platform::random::Random;
use crate::policy::Policy;
use crate::rollout::controller::{EvalState, Pace};
use crate::staging::{BatchBuilder, Remembered};
use crate::store::{Space, SpaceLimits, Store};
use conductor_shared::clock::{Clock, Drift, MonoTime};
use conductor_shared::fail_closed::Outage;
use conductor_shared::ids::{NodeId, PartitionId};
use conductor_shared::reason::Reason;
use conductor_shared::stream::SignerState;
use jobs::Job;
use pipeline::{CommitBatch, Committer};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use timers::Round;

/// Maximum time between two passes, so that leases, folds and checkpoints are handled while no request comes in.
const TICK: Duration = Duration::from_millis(20);

/// Limit on what one person tightens alone. Beyond it a second person must approve, so that a stolen key cannot switch off
/// the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TightenLimit {
    /// Maximum number of distinct tenants and persons within the window.
    pub most: usize,
    /// Length of the sliding window.
    pub window: Duration,
}

/// Configuration and collaborators of the writer.
pub struct Parts {
    /// Data folder; the database is in `db` below it.
    pub data: PathBuf,
    /// Folder of the key store.
    pub keys: PathBuf,
    pub node_id: NodeId,
    /// Free disk space below which admissions, then all traffic, are denied.
    pub limits: SpaceLimits,
    /// Duration of a run's lease.
    pub lease: Duration,
    /// What one person may tighten alone.
    pub tighten: TightenLimit,
    /// How often ramps are evaluated.
    pub slo: Pace,
    /// Control facts of a log between two snapshots of its control state.
    pub snapshot_every: u64,
    /// A wall-clock step beyond this opens a clock incident.
    pub clock_tolerance: Duration,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// Source of requests.
    pub queues: Arc<Queues>,
    /// Where committed state is published.
    pub board: Arc<Registry>,
    pub policy: Arc<Policy>,
    /// Probes of all subsystems; their incidents are opened from it.
    pub health: Arc<Health>,
    /// Requests for checkpoints; `None` without a signer.
    pub checkpoints: Option<crossbeam_channel::Sender<CheckpointJob>>,
    /// Runtime of the waiting workload requests; `None` if threads wait.
    pub runtime: Option<tokio::runtime::Handle>,
}

/// State that depends on the open store. Dropped when it is closed, and rebuilt from it when it is reopened.
struct Open {
    tighten: TightenLimit,
    store: Arc<Store>,
    keys: KeyStore,
    partitions: Partitions,
    checkpoints: Schedule,
    /// Logs whose control state has its snapshot next.
    snapshots_due: BTreeSet<PartitionId>,
    /// Pinned key of the signer, base64. Checkpoints signed by another key are dropped.
    signer_key: Option<String>,
    node_seq: u64,
    committer: Committer,
    /// Number of batches handed to the committer.
    handed: u64,
    /// Overlay of each batch that the store may not have yet, by batch number.
    on_the_way: VecDeque<(u64, Arc<Remembered>)>,
}

impl Open {
    /// Drops the overlay of batches that the store has by now and returns the rest, oldest first.
    fn remembered(&mut self) -> Vec<Arc<Remembered>> {
        let written = self.committer.written();
        while self.on_the_way.front().is_some_and(|(n, _)| *n <= written) {
            self.on_the_way.pop_front();
        }
        self.on_the_way.iter().map(|(_, m)| Arc::clone(m)).collect()
    }
}

pub struct Writer {
    parts: Parts,
    open: Option<Open>,
    proposals: Proposals,
    /// When the last round over all partitions began.
    last_round: MonoTime,
    round: Option<Round>,
    jobs: VecDeque<Job>,
    eval: EvalState,
    /// Compares the wall clock with the monotonic clock.
    drift: Drift,
    space: Space,
    retry_at: MonoTime,
    /// Knows when a freeze window opens or closes next.
    calendar: Calendar,
    /// Durable sizes of the logs when the store was closed. A log that is shorter after reopening lost acknowledged
    /// receipts.
    floor: HashMap<PartitionId, u64>,
    /// Tenants whose damage has an incident already.
    reported: HashSet<PartitionId>,
}

impl Writer {
    /// Opens the store and the key store and loads all partitions. Writes nothing unless that succeeds.
    pub fn open(parts: Parts) -> Result<Self, ReadError> {
        let drift = Drift::begin(parts.clock.now());
        let mut w = Self {
            parts,
            open: None,
            proposals: Proposals::default(),
            last_round: MonoTime::default(),
            round: None,
            jobs: VecDeque::new(),
            eval: EvalState::default(),
            drift,
            space: Space::Ample,
            retry_at: MonoTime::default(),
            calendar: Calendar::default(),
            floor: HashMap::new(),
            reported: HashSet::new(),
        };
        w.reopen()?;
        Ok(w)
    }

    fn stage(&mut self) -> Option<BatchBuilder> {
        let open = self.open.as_mut()?;
        let before = open.remembered();
        let (now, random) = (self.parts.clock.now(), Arc::clone(&self.parts.random));
        let mut st = BatchBuilder::new(open.node_seq, now, random, self.parts.policy.version());
        st.before = before;
        Some(st)
    }

    /// Runs until the queues are closed and drained, commits what is staged, and returns.
    pub fn run(mut self) {
        crate::name_thread(c"writer");
        while let Some(asks) = {
            let queues = Arc::clone(&self.parts.queues);
            queues.take(BATCH, if self.jobs.is_empty() { TICK } else { Duration::ZERO })
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
            self.parts.board.all().iter().for_each(|cell| cell.revoke());
        }
        self.parts.board.store.store(None);
    }

    /// One pass: leftover work, then the requests, then timers and jobs as far as the step has room.
    fn pass(&mut self, asks: Vec<WriterRequest>) {
        let Some(mut st) = self.stage() else { return };
        let mut answers = Answers::default();
        let tolerance = self.parts.clock_tolerance;
        if let Some(open) = &mut self.open
            && let Err(e) = clock_guard::watch(&mut self.drift, &mut open.partitions, &mut st, tolerance)
        {
            for ask in asks {
                refuse(ask, Reason::StoreUnavailable);
            }
            self.fail(&e.to_string());
            return;
        }
        let Some(mut st) = self.left_over(st, &mut answers) else {
            for ask in asks {
                refuse(ask, Reason::StoreUnavailable);
            }
            return;
        };
        for ask in asks {
            if !st.fits(self.cost(&ask)) {
                self.finish(st, &mut answers);
                let Some(next) = self.stage() else { return refuse(ask, Reason::StoreUnavailable) };
                st = next;
            }
            let changes = ask.changes();
            let done = self.one(&mut st, ask, &mut answers);
            if changes {
                self.follow(&mut st);
            }
            if let Err(e) = done
                && !self.contain(&e, &mut st, &mut answers)
            {
                return;
            }
        }
        let worked = !self.jobs.is_empty();
        let done = self.tick(&mut st, &mut answers).and_then(|()| self.fill_with_jobs(&mut st, &mut answers));
        if worked {
            self.follow(&mut st);
        }
        if let Err(e) = done
            && !self.contain(&e, &mut st, &mut answers)
        {
            return;
        }
        self.finish(st, &mut answers);
    }

    /// Gives the next job and the round in progress a step each before any request: requests never stop coming, and an item
    /// that needs most of a step would never fit beside them.
    fn left_over(&mut self, mut st: BatchBuilder, answers: &mut Answers) -> Option<BatchBuilder> {
        if !self.jobs.is_empty() {
            st = self.step_of(st, answers, Self::next_job)?;
        }
        if self.round.is_some() {
            st = self.step_of(st, answers, Self::go_on_with_round)?;
        }
        Some(st)
    }

    /// Runs one part in a step of its own. `None` if the store was closed.
    fn step_of(
        &mut self,
        mut st: BatchBuilder,
        answers: &mut Answers,
        part: fn(&mut Self, &mut BatchBuilder, &mut Answers) -> Result<(), ReadError>,
    ) -> Option<BatchBuilder> {
        let done = part(self, &mut st, answers);
        self.follow(&mut st);
        if let Err(e) = done
            && !self.contain(&e, &mut st, answers)
        {
            return None;
        }
        self.finish(st, answers);
        self.stage()
    }

    /// Lets a change of policy or signer take effect for the next request.
    fn follow(&mut self, st: &mut BatchBuilder) {
        self.follow_policy(st);
        self.follow_signer();
    }

    /// Which dependencies are down, as the fail-closed table asks.
    fn outage(&self) -> Outage {
        let (signer, _) = self.parts.board.signer();
        let policy = !self.parts.policy.up(self.parts.clock.now());
        Outage { signer: signer != SignerState::Up, policy, store: false }
    }

    /// A newly loaded bundle applies from the next request on, and receipts name it.
    fn follow_policy(&self, st: &mut BatchBuilder) {
        if let Some(node) = self.open.as_ref().and_then(|o| o.partitions.node()) {
            self.parts.policy.follow(&node.control);
            st.policy = self.parts.policy.version();
        }
    }

    /// A new signer has signed no log yet, so every log is due, changed or not.
    fn follow_signer(&mut self) {
        let Some(open) = &mut self.open else { return };
        let now = open.partitions.node().and_then(|n| n.control.signer_key.clone());
        if open.signer_key != now {
            open.signer_key = now;
            open.partitions.iter_mut().for_each(|l| l.unproved = true);
        }
    }

    /// Ends the step: stages counters and views, and hands the batch to the committer.
    fn finish(&mut self, mut st: BatchBuilder, answers: &mut Answers) {
        let Some(open) = &mut self.open else { return };
        self.calendar.mark(&mut open.partitions, &mut st);
        let touched = std::mem::take(&mut st.touched);
        let mut views = Vec::with_capacity(touched.len());
        for id in &touched {
            let Some(live) = open.partitions.get_mut(*id) else { continue };
            live.stage_counters(&mut st);
            if live.since_snapshot >= self.parts.snapshot_every {
                open.snapshots_due.insert(*id);
            }
            views.push((Arc::clone(&live.shared), live.view(st.node_seq)));
        }
        let job = self
            .parts
            .checkpoints
            .is_some()
            .then_some(st.now.mono)
            .and_then(|mono| open.checkpoints.due(&mut open.partitions, &self.proposals, &touched, mono));
        open.node_seq = st.node_seq;
        self.parts.board.largest_step.fetch_max(st.rows.len(), Ordering::Relaxed);
        let commit = CommitBatch {
            families: st.families,
            rows: st.rows,
            answers: answers.take(),
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
}
