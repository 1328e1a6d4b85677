//! The commit pipeline, which runs beside the writer. The sealer encrypts the rows of a batch and writes them unsynced. The
//! committer syncs once for all batches that wait, and only then publishes their views and sends their answers. After an
//! error all waiting requests are denied, and nothing more is published.

use crate::checkpoint::job::CheckpointJob;
use crate::intake::queue::Queues;
use crate::intake::reply::Answer;
use crate::ledger::PlainBatch;
use crate::partition::published::{PartitionCell, PartitionView, Registry};
use crate::platform::random::Random;
use crate::staging::Event;
use crate::store::{FamilyChange, Store, StoreError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Maximum number of batches that wait to be sealed. One is enough to keep the sealer busy while the writer decides.
const UNSEALED: usize = 1;
/// Maximum number of written batches that wait for a sync.
const WRITTEN: usize = 2;

/// A batch, and everything that is sent or published after its sync.
pub(super) struct CommitBatch {
    /// Families made and dropped before its rows are written.
    pub(super) families: Vec<FamilyChange>,
    /// Rows to write. A batch without rows only waits for the batches before it.
    pub(super) rows: PlainBatch,
    /// Answers to send after the sync.
    pub(super) answers: Vec<Answer>,
    /// New view of each partition that changed.
    pub(super) views: Vec<(Arc<PartitionCell>, PartitionView)>,
    /// Control facts for the stream.
    pub(super) events: Vec<Event>,
    /// Commit sequence number after this batch.
    pub(super) node_seq: u64,
    /// Number of receipts in the batch.
    pub(super) receipts: u64,
    /// Bytes written by the sealer.
    pub(super) bytes: u64,
    /// Logs to have signed once the batch is durable.
    pub(super) job: Option<CheckpointJob>,
}

impl CommitBatch {
    /// True if the batch writes, publishes and answers nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.families.is_empty()
            && self.rows.is_empty()
            && self.answers.is_empty()
            && self.views.is_empty()
            && self.job.is_none()
    }
    /// Denies all its requests.
    pub(super) fn deny(self) {
        self.answers.into_iter().for_each(Answer::deny);
    }
}

/// Bounded queue between two threads of the pipeline. Not a crossbeam channel: it yields before parking, and next to
/// compaction threads a yield can cost milliseconds, as much as a sync (ADR 17).
struct BatchQueue {
    inner: Mutex<Waiting>,
    /// Capacity in batches.
    most: usize,
    /// Signalled when a batch is put in or the sender is gone.
    more: Condvar,
    /// Signalled when there is room or the receiver is gone.
    room: Condvar,
}

#[derive(Default)]
struct Waiting {
    batches: Vec<CommitBatch>,
    /// The sender is gone.
    closed: bool,
    /// The receiver is gone.
    gone: bool,
}

/// A queue of this capacity, as its two ends.
fn batch_queue(most: usize) -> (BatchSender, BatchReceiver) {
    let (inner, more, room) = Default::default();
    let both = Arc::new(BatchQueue { inner, most, more, room });
    (BatchSender(Arc::clone(&both)), BatchReceiver(both))
}

impl BatchQueue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks while the queue is full. Returns the batch if the receiver is gone.
    fn put(&self, commit: CommitBatch) -> Result<(), Box<CommitBatch>> {
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

    /// Blocks until there is a batch and takes all that wait. `None` once the sender is gone and the queue is empty.
    fn take(&self) -> Option<Vec<CommitBatch>> {
        let mut inner = self.lock();
        while inner.batches.is_empty() && !inner.closed {
            inner = self.more.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        let taken = std::mem::take(&mut inner.batches);
        drop(inner);
        self.room.notify_one();
        (!taken.is_empty()).then_some(taken)
    }
}

/// Sending end. When it is dropped, the receiver still gets what waits.
struct BatchSender(Arc<BatchQueue>);

impl Drop for BatchSender {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.more.notify_one();
    }
}

/// Receiving end. When it is dropped, even by a panic, waiting batches are denied and the sender gets an error.
struct BatchReceiver(Arc<BatchQueue>);

impl Drop for BatchReceiver {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.gone = true;
        std::mem::take(&mut inner.batches).into_iter().for_each(CommitBatch::deny);
        drop(inner);
        self.0.room.notify_one();
    }
}

/// The running pipeline.
pub(super) struct Committer {
    queue: BatchSender,
    written: Arc<AtomicU64>,
    threads: [JoinHandle<()>; 2],
}

/// What the sealer and the committer share.
#[derive(Clone)]
pub(super) struct CommitCtx {
    pub(super) store: Arc<Store>,
    /// Source of nonces.
    pub(super) random: Arc<dyn Random>,
    pub(super) board: Arc<Registry>,
    /// Learns how many requests are no longer in flight.
    pub(super) queues: Arc<Queues>,
    /// Requests for checkpoints; `None` without a signer.
    pub(super) checkpoints: Option<crossbeam_channel::Sender<CheckpointJob>>,
    /// Runtime of the waiting workload requests; `None` if threads wait.
    pub(super) runtime: Option<tokio::runtime::Handle>,
}

impl CommitCtx {
    /// Denies batches that did not become durable.
    fn failed(&self, why: &str, group: Vec<CommitBatch>) {
        tracing::error!("{why}");
        self.board.set_store_error(why);
        self.settled(&group);
        group.into_iter().for_each(CommitBatch::deny);
    }

    fn settled(&self, group: &[CommitBatch]) {
        self.queues.settled(group.iter().map(|c| c.answers.len()).sum());
    }

    fn seal_and_write(&self, c: &mut CommitBatch) -> Result<(), String> {
        if self.store.has_failed() {
            return Err(StoreError::Failed.to_string());
        }
        self.store.change_families(&c.families).map_err(|e| e.to_string())?;
        if !c.rows.is_empty() {
            let sealed = std::mem::take(&mut c.rows).seal(&*self.random).map_err(|e| {
                self.store.fail();
                e.to_string()
            })?;
            c.bytes = self.store.write(sealed).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    fn seal_all(&self, unsealed: &BatchReceiver, to: &BatchSender, written: &AtomicU64) {
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

    fn commit_all(&self, written: &BatchReceiver) {
        while let Some(group) = written.0.take() {
            let bytes = group.iter().map(|c| c.bytes).sum();
            // Nothing to sync: earlier batches are durable already.
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

    fn publish(&self, c: CommitBatch) {
        for (shared, view) in c.views {
            if self.board.get(shared.id.tenant).is_none_or(|s| !Arc::ptr_eq(&s, &shared)) {
                self.board.put(Arc::clone(&shared));
            }
            shared.view.store(Arc::new(view));
        }
        self.board.publish(&c.events, c.node_seq, c.receipts);
        send(self.runtime.as_ref(), c.answers);
        if let (Some(job), Some(to)) = (c.job, &self.checkpoints) {
            // At most one job is outstanding, so the channel has room.
            let _ = to.try_send(job);
        }
    }
}

impl Committer {
    /// Starts both threads for an open store.
    pub(super) fn start(ctx: CommitCtx) -> Self {
        let (queue, unsealed) = batch_queue(UNSEALED);
        let (to, from) = batch_queue(WRITTEN);
        let written = Arc::new(AtomicU64::new(0));
        let (here, count) = (ctx.clone(), Arc::clone(&written));
        let sealer = std::thread::spawn(move || {
            crate::name_thread(c"sealer");
            here.seal_all(&unsealed, &to, &count);
        });
        let committer = std::thread::spawn(move || {
            crate::name_thread(c"committer");
            ctx.commit_all(&from);
        });
        Self { queue, written, threads: [sealer, committer] }
    }

    /// Number of batches, of those handed over, that are written to the store.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Hands a batch over. Blocks while the pipeline is full.
    pub(super) fn send(&self, commit: CommitBatch) -> Result<(), Box<CommitBatch>> {
        self.queue.0.put(commit)
    }

    /// Commits what was handed over, and ends both threads.
    pub(super) fn stop(self) {
        drop(self.queue);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread on the way to the disk panicked");
            }
        }
    }
}

/// Sends answers. Waking tasks from a runtime thread avoids an eventfd write per reply, so several workload answers are sent
/// by one task. Operators are answered from here: their runtime is another one, and they wait behind no workload task.
fn send(runtime: Option<&tokio::runtime::Handle>, mut answers: Vec<Answer>) {
    answers.extract_if(.., |a| matches!(a, Answer::Command(..))).for_each(Answer::send);
    match runtime {
        Some(r) if answers.len() > 1 => drop(r.spawn(async { answers.into_iter().for_each(Answer::send) })),
        _ => answers.into_iter().for_each(Answer::send),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::oneshot;

    type Heard = oneshot::Receiver<Result<(), String>>;

    fn batch() -> (CommitBatch, Heard) {
        let (to, heard) = oneshot::channel();
        let answers = vec![Answer::Done(to, Ok(()))];
        let (views, events) = (vec![], vec![]);
        let commit = CommitBatch {
            families: vec![],
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

    /// Group commit: no more batches wait than may; what waits is taken together; when the writer
    /// ends the rest is still taken.
    #[test]
    fn batches_are_handed_over_in_order_and_bounded() {
        let (giver, taker) = batch_queue(2);
        for _ in 0..2 {
            giver.0.put(batch().0).map_err(|_| "gone").unwrap();
        }
        let queue = Arc::clone(&giver.0);
        let one_more = std::thread::spawn(move || queue.put(batch().0).is_ok());
        std::thread::sleep(Duration::from_millis(50));
        assert!(!one_more.is_finished(), "there is no room");
        assert_eq!(taker.0.take().unwrap().len(), 2);
        assert!(one_more.join().unwrap());
        assert_eq!(taker.0.take().unwrap().len(), 1);
        giver.0.put(batch().0).map_err(|_| "gone").unwrap();
        drop(giver);
        assert_eq!(taker.0.take().unwrap().len(), 1);
        assert!(taker.0.take().is_none());
    }

    /// Invariant 1: when the committer ends, however it does, nobody waits for ever, and nobody hears yes.
    #[test]
    fn without_a_committer_the_answer_is_no() {
        let (giver, taker) = batch_queue(2);
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
    }
}
