//! The way of a batch to the disk, beside the writer that decides the next one. The sealer seals its rows and writes
//! them; the committer makes them durable, several batches with one sync when they queue up, and only then publishes them
//! and sends their answers. After an error everybody is denied, and nothing more is published.

use super::ask::{CommandReply, Denial, Reply};
use super::queue::Queues;
use super::view::{Board, Event, Shared, View};
use crate::ledger::{Partition, PlainBatch};
use crate::platform::random::Random;
use crate::store::{Store, StoreError};
use conductor_shared::checkpoint::SignedCheckpoint;
use conductor_shared::merkle::Hash;
use conductor_shared::reason::Reason;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Batches that may wait to be sealed: while one is, the next is decided.
const UNSEALED: usize = 1;
/// Batches that may be written and wait for a sync.
const WRITTEN: usize = 2;

/// An answer and where it goes.
pub enum Answer {
    /// To a workload.
    Work(oneshot::Sender<Reply>, Reply),
    /// To a request that had no scope.
    Denied(oneshot::Sender<Denial>, Denial),
    /// To an operator.
    Command(oneshot::Sender<CommandReply>, CommandReply),
    /// To the node itself.
    Done(oneshot::Sender<Result<(), String>>, Result<(), String>),
}

impl Answer {
    fn send(self) {
        // Whoever asked may have gone; what was decided stands, and a retry with the same key will hear it.
        match self {
            Self::Work(to, r) => drop(to.send(r)),
            Self::Denied(to, r) => drop(to.send(r)),
            Self::Command(to, r) => drop(to.send(r)),
            Self::Done(to, r) => drop(to.send(r)),
        }
    }
    /// The receipt could not be made durable: whatever was decided, the answer is no.
    pub fn deny(self) {
        let no = || Denial::bare(Reason::StoreUnavailable);
        match self {
            Self::Work(to, _) => drop(to.send(Err(no()))),
            Self::Denied(to, d) => drop(to.send(Denial { receipt: None, ..d })),
            Self::Command(to, _) => drop(to.send(Err(no()))),
            Self::Done(to, _) => drop(to.send(Err(Reason::StoreUnavailable.description().to_owned()))),
        }
    }
}

/// A log whose checkpoint is due.
pub struct CheckpointItem {
    /// For reading its tiles.
    pub partition: Partition,
    /// Size to sign.
    pub size: u64,
    /// Root to sign.
    pub root: Hash,
    /// Size of the newest signed checkpoint.
    pub signed: u64,
    /// It.
    pub last: Option<Arc<SignedCheckpoint>>,
    /// Leaves of the unfinished lowest tile at `size`.
    pub leaves: Vec<Hash>,
}

/// Checkpoints that are due; everything they cover is durable when the job is handed on.
pub struct CheckpointJob {
    /// For reading tiles.
    pub store: Arc<Store>,
    /// Logs.
    pub items: Vec<CheckpointItem>,
}

/// A batch with all that waits for its sync.
pub struct Commit {
    /// Its rows. Without any it only waits for what was handed over before it.
    pub rows: PlainBatch,
    /// Answers.
    pub answers: Vec<Answer>,
    /// State to publish.
    pub views: Vec<(Arc<Shared>, View)>,
    /// Control facts.
    pub events: Vec<Event>,
    /// Commit sequence.
    pub node_seq: u64,
    /// Receipts in it.
    pub receipts: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Checkpoints to ask for.
    pub job: Option<CheckpointJob>,
}

impl Commit {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.answers.is_empty() && self.views.is_empty() && self.job.is_none()
    }
    /// Denies everybody in it.
    pub fn deny(self) {
        self.answers.into_iter().for_each(Answer::deny);
    }
}

/// Batches on their way from one thread to the next. A channel would do, but those at hand spin and yield before
/// they sleep: beside threads that merge files, a yield is given back milliseconds later, and each costs a whole sync. So do
/// parking_lot's locks, hence those of std here and in the queues (ADR 17).
struct Handover {
    inner: Mutex<Waiting>,
    /// So many may wait.
    most: usize,
    /// There is a batch, or no more will come.
    more: Condvar,
    /// There is room, or nobody takes any more.
    room: Condvar,
}

#[derive(Default)]
struct Waiting {
    batches: Vec<Commit>,
    /// Some were taken and are not done with.
    taken: bool,
    /// Nothing is handed over any more.
    closed: bool,
    /// Nothing is taken any more.
    gone: bool,
}

/// Two ends for so many batches.
fn handover(most: usize) -> (Giver, Taker) {
    let (inner, more, room) = Default::default();
    let both = Arc::new(Handover { inner, most, more, room });
    (Giver(Arc::clone(&both)), Taker(both))
}

impl Handover {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while too many wait.
    fn put(&self, commit: Commit) -> Result<(), Box<Commit>> {
        let mut inner = self.lock();
        while inner.batches.len() >= self.most && !inner.gone {
            inner = self.room.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        if inner.gone {
            return Err(Box::new(commit));
        }
        inner.batches.push(commit);
        drop(inner);
        self.more.notify_one();
        Ok(())
    }

    /// Waits until nothing waits or was taken.
    fn drained(&self) {
        let mut inner = self.lock();
        while (inner.taken || !inner.batches.is_empty()) && !inner.gone {
            inner = self.room.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// All that wait, at least one; `None` once closed and empty. Those taken before are done with.
    fn take(&self) -> Option<Vec<Commit>> {
        let mut inner = self.lock();
        inner.taken = false;
        self.room.notify_one();
        while inner.batches.is_empty() && !inner.closed {
            inner = self.more.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        let taken = std::mem::take(&mut inner.batches);
        inner.taken = !taken.is_empty();
        drop(inner);
        self.room.notify_one();
        (!taken.is_empty()).then_some(taken)
    }
}

/// The end that gives. When it goes, what waits is still taken, and then nothing more.
struct Giver(Arc<Handover>);

impl Drop for Giver {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.more.notify_one();
    }
}

/// The end that takes. When it goes, however it does, whoever gives is told.
struct Taker(Arc<Handover>);

impl Drop for Taker {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.gone = true;
        std::mem::take(&mut inner.batches).into_iter().for_each(Commit::deny);
        drop(inner);
        self.0.room.notify_one();
    }
}

/// Sealer and committer, and what waits for them.
pub struct Committer {
    queue: Giver,
    written: Arc<AtomicU64>,
    threads: [JoinHandle<()>; 2],
}

/// What sealer and committer work on.
#[derive(Clone)]
pub struct Ground {
    /// Where rows go.
    pub store: Arc<Store>,
    /// For nonces.
    pub random: Arc<dyn Random>,
    /// Where state is published.
    pub board: Arc<Board>,
    /// Told what is durable, so that the next batch may go.
    pub queues: Arc<Queues>,
    /// Where checkpoints are asked for; `None` without a signer.
    pub checkpoints: Option<crossbeam_channel::Sender<CheckpointJob>>,
    /// Where those who asked wait; `None` where they are threads.
    pub runtime: Option<tokio::runtime::Handle>,
}

impl Ground {
    /// A batch, or several, did not reach the disk.
    fn failed(&self, why: &str, group: Vec<Commit>) {
        tracing::error!("{why}");
        self.board.set_store_error(why);
        self.settled(&group);
        group.into_iter().for_each(Commit::deny);
    }

    fn settled(&self, group: &[Commit]) {
        self.queues.settled(group.iter().map(|c| c.answers.len()).sum());
    }

    fn seal_and_write(&self, c: &mut Commit) -> Result<(), String> {
        if self.store.has_failed() {
            return Err(StoreError::Failed.to_string());
        }
        if !c.rows.is_empty() {
            let sealed = std::mem::take(&mut c.rows).seal(&*self.random).map_err(|e| {
                self.store.fail();
                e.to_string()
            })?;
            c.bytes = self.store.write(sealed).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    fn seal_all(&self, unsealed: &Taker, to: &Giver, written: &AtomicU64) {
        while let Some(group) = unsealed.0.take() {
            for mut c in group {
                let done = self.seal_and_write(&mut c);
                written.fetch_add(1, Ordering::Release);
                match done {
                    Ok(()) => {
                        if let Err(c) = to.0.put(c) {
                            self.store.fail();
                            self.failed("the committer stopped", vec![*c]);
                        }
                    }
                    Err(e) => self.failed(&e, vec![c]),
                }
            }
        }
    }

    fn commit_all(&self, written: &Taker) {
        while let Some(group) = written.0.take() {
            let bytes = group.iter().map(|c| c.bytes).sum();
            // Where nothing was written, those before were durable already.
            let done = match self.store.has_failed() {
                true => Err(StoreError::Failed),
                false if bytes == 0 => Ok(()),
                false => self.store.sync(),
            };
            if let Err(e) = done {
                self.failed(&e.to_string(), group);
                continue;
            }
            self.settled(&group);
            self.board.note_sync(bytes);
            for c in group {
                self.publish(c);
            }
        }
    }

    fn publish(&self, c: Commit) {
        for (shared, view) in c.views {
            if self.board.get(shared.id.tenant).is_none_or(|s| !Arc::ptr_eq(&s, &shared)) {
                self.board.put(Arc::clone(&shared));
            }
            shared.view.store(Arc::new(view));
        }
        self.board.publish(&c.events, c.node_seq, c.receipts);
        send(self.runtime.as_ref(), c.answers);
        if let (Some(job), Some(to)) = (c.job, &self.checkpoints) {
            // The writer asks for one job at a time, so there is room.
            let _ = to.try_send(job);
        }
    }
}

impl Committer {
    /// Starts both for an open store.
    pub fn start(ground: Ground) -> Self {
        let (queue, unsealed) = handover(UNSEALED);
        let (to, from) = handover(WRITTEN);
        let written = Arc::new(AtomicU64::new(0));
        let (here, count) = (ground.clone(), Arc::clone(&written));
        let sealer = std::thread::spawn(move || {
            crate::name_thread(c"sealer");
            here.seal_all(&unsealed, &to, &count);
        });
        let committer = std::thread::spawn(move || {
            crate::name_thread(c"committer");
            ground.commit_all(&from);
        });
        Self { queue, written, threads: [sealer, committer] }
    }

    /// So many batches of those handed over are in the store.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Waits until all that was handed over is in the store, or never will be.
    pub fn drained(&self) {
        self.queue.0.drained();
    }

    /// Hands a batch over; waits while too many wait.
    pub fn send(&self, commit: Commit) -> Result<(), Box<Commit>> {
        self.queue.0.put(commit)
    }

    /// Makes what was handed over durable, and ends.
    pub fn stop(self) {
        drop(self.queue);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread on the way to the disk panicked");
            }
        }
    }
}

/// Each answer wakes a task. From inside the runtime that costs a place in its queue, from here a system call.
fn send(runtime: Option<&tokio::runtime::Handle>, answers: Vec<Answer>) {
    match runtime {
        Some(r) if answers.len() > 1 => drop(r.spawn(async { answers.into_iter().for_each(Answer::send) })),
        _ => answers.into_iter().for_each(Answer::send),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    type Heard = oneshot::Receiver<Result<(), String>>;

    fn batch() -> (Commit, Heard) {
        let (to, heard) = oneshot::channel();
        let answers = vec![Answer::Done(to, Ok(()))];
        let (views, events) = (vec![], vec![]);
        let commit = Commit {
            rows: PlainBatch::default(),
            answers,
            views,
            events,
            node_seq: 0,
            receipts: 0,
            bytes: 0,
            job: None,
        };
        (commit, heard)
    }

    /// DESIGN, one writer and group commit: no more batches wait than may; what waits is taken together; when the writer
    /// ends the rest is still taken.
    #[test]
    fn batches_are_handed_over_in_order_and_bounded() {
        let (giver, taker) = handover(2);
        for _ in 0..2 {
            giver.0.put(batch().0).map_err(|_| "gone").unwrap();
        }
        let queue = Arc::clone(&giver.0);
        let one_more = std::thread::spawn(move || queue.put(batch().0).is_ok());
        std::thread::sleep(Duration::from_millis(50));
        assert!(!one_more.is_finished(), "there is no room");
        assert_eq!(taker.0.take().unwrap().len(), 2);
        assert!(one_more.join().unwrap());
        let queue = Arc::clone(&giver.0);
        let drained = std::thread::spawn(move || queue.drained());
        std::thread::sleep(Duration::from_millis(50));
        assert!(!drained.is_finished(), "some were taken, and one waits");
        assert_eq!(taker.0.take().unwrap().len(), 1);
        std::thread::sleep(Duration::from_millis(50));
        assert!(!drained.is_finished(), "it was taken and is not done with");
        giver.0.put(batch().0).map_err(|_| "gone").unwrap();
        drop(giver);
        assert_eq!(taker.0.take().unwrap().len(), 1);
        assert!(taker.0.take().is_none());
        drained.join().unwrap();
    }

    /// SPEC invariant 1: when the committer ends, however it does, nobody waits for ever, and nobody hears yes.
    #[test]
    fn without_a_committer_the_answer_is_no() {
        let (giver, taker) = handover(2);
        let (waits, mut heard) = batch();
        giver.0.put(waits).map_err(|_| "gone").unwrap();
        giver.0.put(batch().0).map_err(|_| "gone").unwrap();
        let queue = Arc::clone(&giver.0);
        let blocked = std::thread::spawn(move || queue.put(batch().0).is_err());
        std::thread::sleep(Duration::from_millis(50));
        drop(taker);
        assert!(blocked.join().unwrap(), "it comes back to the writer");
        assert!(heard.try_recv().unwrap().is_err());
        assert!(giver.0.put(batch().0).is_err());
        giver.0.drained();
    }
}
