//! The committer: makes written batches durable, several with one sync when they queue up, and only then publishes them
//! and sends their answers. After an error everybody is denied, and nothing more is published.

use super::ask::{CommandReply, Denial, Reply};
use super::queue::Queues;
use super::view::{Board, Event, Shared, View};
use crate::ledger::Partition;
use crate::store::Store;
use conductor_shared::checkpoint::SignedCheckpoint;
use conductor_shared::merkle::Hash;
use conductor_shared::reason::Reason;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Batches that may be written and not yet durable.
const IN_FLIGHT: usize = 2;

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
            Self::Done(to, _) => drop(to.send(Err(Reason::StoreUnavailable.meaning().to_owned()))),
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

/// A written batch with all that waits for its sync.
pub struct Commit {
    /// Nothing was written: it only waits for what was written before it.
    pub durable: bool,
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
    /// Bytes of its batch.
    pub bytes: u64,
    /// Checkpoints to ask for.
    pub job: Option<CheckpointJob>,
}

impl Commit {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.durable && self.answers.is_empty() && self.views.is_empty() && self.job.is_none()
    }
    /// Denies everybody in it.
    pub fn deny(self) {
        self.answers.into_iter().for_each(Answer::deny);
    }
}

/// Batches on their way from the writer to the committer. A channel would do, but those at hand spin and yield before
/// they sleep: beside threads that merge files, a yield is given back milliseconds later, and each costs a whole sync.
#[derive(Default)]
struct Handover {
    inner: Mutex<Waiting>,
    /// There is a batch, or no more will come.
    more: Condvar,
    /// There is room, or nobody takes any more.
    room: Condvar,
}

#[derive(Default)]
struct Waiting {
    batches: Vec<Commit>,
    /// The writer hands nothing over any more.
    closed: bool,
    /// The committer takes nothing any more.
    gone: bool,
}

impl Handover {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while too many wait.
    fn put(&self, commit: Commit) -> Result<(), Box<Commit>> {
        let mut inner = self.lock();
        while inner.batches.len() >= IN_FLIGHT && !inner.gone {
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

    /// All that wait, at least one; `None` once closed and empty.
    fn take(&self) -> Option<Vec<Commit>> {
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

/// The writer's end. When it goes, what waits is still taken, and then the committer ends.
struct Giver(Arc<Handover>);

impl Drop for Giver {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.more.notify_one();
    }
}

/// The committer's end. When it goes, however it does, the writer is told.
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

/// The committer's thread and what waits for it.
pub struct Committer {
    queue: Giver,
    thread: JoinHandle<()>,
}

impl Committer {
    /// Starts it for an open store.
    pub fn start(
        store: Arc<Store>,
        board: Arc<Board>,
        queues: Arc<Queues>,
        checkpoints: Option<crossbeam_channel::Sender<CheckpointJob>>,
        runtime: Option<tokio::runtime::Handle>,
    ) -> Self {
        let queue = Giver(Arc::default());
        let commits = Taker(Arc::clone(&queue.0));
        let thread = std::thread::spawn(move || {
            crate::name_thread(c"committer");
            while let Some(group) = commits.0.take() {
                let done = sync(&store, &group);
                queues.settled(group.len());
                if let Err(e) = done {
                    tracing::error!("{e}");
                    board.set_store_error(&e.to_string());
                    group.into_iter().for_each(Commit::deny);
                    continue;
                }
                board.note_sync(group.iter().map(|c| c.bytes).sum());
                for c in group {
                    for (shared, view) in c.views {
                        if board.get(shared.id.tenant).is_none_or(|s| !Arc::ptr_eq(&s, &shared)) {
                            board.put(Arc::clone(&shared));
                        }
                        shared.view.store(Arc::new(view));
                    }
                    board.publish(&c.events, c.node_seq, c.receipts);
                    send(runtime.as_ref(), c.answers);
                    if let (Some(job), Some(to)) = (c.job, &checkpoints) {
                        // The writer asks for one job at a time, so there is room.
                        let _ = to.try_send(job);
                    }
                }
            }
        });
        Self { queue, thread }
    }

    /// Hands a written batch over; waits while too many are in flight.
    pub fn send(&self, commit: Commit) -> Result<(), Box<Commit>> {
        self.queue.0.put(commit)
    }

    /// Makes what was handed over durable, and ends.
    pub fn stop(self) {
        drop(self.queue);
        if self.thread.join().is_err() {
            tracing::error!("the committer's thread panicked");
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

fn sync(store: &Store, group: &[Commit]) -> Result<(), crate::store::StoreError> {
    if store.has_failed() {
        return Err(crate::store::StoreError::Failed);
    }
    if group.iter().all(|c| c.durable) {
        return Ok(());
    }
    store.sync()
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
        let commit =
            Commit { durable: true, answers, views, events, node_seq: 0, receipts: 0, bytes: 0, job: None };
        (commit, heard)
    }

    /// DESIGN, one writer and group commit: no more batches wait than may; what waits is taken together; when the writer
    /// ends the rest is still taken.
    #[test]
    fn batches_are_handed_over_in_order_and_bounded() {
        let giver = Giver(Arc::default());
        let taker = Taker(Arc::clone(&giver.0));
        for _ in 0..IN_FLIGHT {
            giver.0.put(batch().0).map_err(|_| "gone").unwrap();
        }
        let queue = Arc::clone(&giver.0);
        let one_more = std::thread::spawn(move || queue.put(batch().0).is_ok());
        std::thread::sleep(Duration::from_millis(50));
        assert!(!one_more.is_finished(), "there is no room");
        assert_eq!(taker.0.take().unwrap().len(), IN_FLIGHT);
        assert!(one_more.join().unwrap());
        drop(giver);
        assert_eq!(taker.0.take().unwrap().len(), 1);
        assert!(taker.0.take().is_none());
    }

    /// SPEC invariant 1: when the committer ends, however it does, nobody waits for ever, and nobody hears yes.
    #[test]
    fn without_a_committer_the_answer_is_no() {
        let giver = Giver(Arc::default());
        let taker = Taker(Arc::clone(&giver.0));
        let (waits, mut heard) = batch();
        giver.0.put(waits).map_err(|_| "gone").unwrap();
        for _ in 1..IN_FLIGHT {
            giver.0.put(batch().0).map_err(|_| "gone").unwrap();
        }
        let queue = Arc::clone(&giver.0);
        let blocked = std::thread::spawn(move || queue.put(batch().0).is_err());
        std::thread::sleep(Duration::from_millis(50));
        drop(taker);
        assert!(blocked.join().unwrap(), "it comes back to the writer");
        assert!(heard.try_recv().unwrap().is_err());
        assert!(giver.0.put(batch().0).is_err());
    }
}
