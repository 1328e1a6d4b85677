//! What waits before the writer: one bounded queue for each partition, served round robin, settle and tighten first. A
//! tenant that floods fills its own queue and nobody else's.

use super::request::WriterRequest;
use conductor_shared::ids::PartitionId;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Requests of one partition that may wait.
pub const QUEUE: usize = 1_024;
/// Requests decided in one batch at most.
pub const BATCH: usize = 160;
/// So few on their way to the disk are no reason to gather a full batch.
const FEW: usize = BATCH / 4;
/// Requests one partition gets served before the next one's turn.
const TURN: usize = 32;

#[derive(Default)]
struct Lane {
    /// Settle, tighten and the agent's own.
    urgent: VecDeque<WriterRequest>,
    normal: VecDeque<WriterRequest>,
    queued: bool,
}

#[derive(Default)]
struct Inner {
    lanes: FxHashMap<PartitionId, Lane>,
    ring: VecDeque<PartitionId>,
    waiting: usize,
    /// Requests that were taken, decided and are not durable yet.
    in_flight: usize,
    /// The writer waits: a system call wakes it, and nothing is owed otherwise.
    asleep: bool,
    closed: bool,
}

impl Inner {
    /// A sync costs the same for one request as for a batch: while one goes on, the next batch gathers, and is taken
    /// early only when it is full. Or when few are on their way, and as many wait: more may not come before those are
    /// answered, and what waits is decided and written by the time the disk is free.
    fn ready(&self) -> bool {
        let few = self.in_flight <= FEW && self.waiting >= self.in_flight;
        self.closed || self.waiting >= BATCH || (self.waiting > 0 && few)
    }
}

/// The queues.
#[derive(Default)]
pub struct Queues {
    inner: Mutex<Inner>,
    more: Condvar,
}

/// Why a request was not taken.
#[derive(Debug)]
pub enum Full {
    /// The partition's queue is full.
    Queue(WriterRequest),
    /// The agent stops.
    Closed(WriterRequest),
}

impl Queues {
    /// Not `parking_lot`: it yields before it sleeps, as channels do (ADR 17).
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request into its partition's queue. Urgent ones have as much room again.
    #[allow(clippy::result_large_err)] // the request itself comes back; boxing it would cost every refusal
    pub fn push(&self, ask: WriterRequest) -> Result<(), Full> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if inner.closed {
            return Err(Full::Closed(ask));
        }
        let partition = ask.partition();
        let lane = inner.lanes.entry(partition).or_default();
        let queue = if ask.urgent() { &mut lane.urgent } else { &mut lane.normal };
        if queue.len() >= QUEUE {
            return Err(Full::Queue(ask));
        }
        queue.push_back(ask);
        if !lane.queued {
            lane.queued = true;
            inner.ring.push_back(partition);
        }
        inner.waiting += 1;
        self.wake(guard);
        Ok(())
    }

    fn wake(&self, mut inner: MutexGuard<'_, Inner>) {
        let owed = inner.asleep && inner.ready();
        if owed {
            inner.asleep = false;
            drop(inner);
            self.more.notify_one();
        }
    }

    /// Up to `max` requests, round robin. Waits at most `wait`: for a full batch while another is in flight, else for
    /// the first request. `None` once closed and empty.
    pub fn take(&self, max: usize, wait: Duration) -> Option<Vec<WriterRequest>> {
        let mut guard = self.lock();
        if !guard.ready() {
            guard.asleep = true;
            guard = self.more.wait_timeout(guard, wait).unwrap_or_else(PoisonError::into_inner).0;
            guard.asleep = false;
        }
        let inner = &mut *guard;
        if inner.ring.is_empty() && inner.closed {
            return None;
        }
        let mut out = Vec::with_capacity(max.min(64));
        while out.len() < max
            && let Some(partition) = inner.ring.pop_front()
        {
            let Some(lane) = inner.lanes.get_mut(&partition) else { continue };
            for _ in 0..TURN {
                let Some(ask) = lane.urgent.pop_front().or_else(|| lane.normal.pop_front()) else { break };
                out.push(ask);
                if out.len() == max {
                    break;
                }
            }
            if lane.urgent.is_empty() && lane.normal.is_empty() {
                inner.lanes.remove(&partition);
            } else {
                inner.ring.push_back(partition);
            }
        }
        inner.waiting -= out.len();
        Some(out)
    }

    /// So many requests were decided and are on their way to the disk.
    pub fn handed_over(&self, requests: usize) {
        self.lock().in_flight += requests;
    }

    /// So many are no longer on their way: they are durable, or failed.
    pub fn settled(&self, requests: usize) {
        let mut inner = self.lock();
        inner.in_flight = inner.in_flight.saturating_sub(requests);
        self.wake(inner);
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// Takes no more; what waits is still served.
    pub fn close(&self) {
        self.lock().closed = true;
        self.more.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::request::{Reply, WorkloadOp, WriterRequest};
    use conductor_shared::ids::TenantUid;

    fn partition(n: u8) -> PartitionId {
        PartitionId { tenant: TenantUid([n; 16]), epoch: 1 }
    }
    fn ask(tenant: u8, op: WorkloadOp) -> WriterRequest {
        let (tx, _rx) = tokio::sync::oneshot::channel::<Reply>();
        WriterRequest::work(crate::scope::TenantScope::of_agent(partition(tenant)), op, None, tx)
    }
    fn start() -> WorkloadOp {
        WorkloadOp::StartStep {
            run: conductor_shared::ids::RunId([0; 16]),
            name: conductor_shared::untrusted::UntrustedText::new("s"),
        }
    }
    fn settle() -> WorkloadOp {
        WorkloadOp::Heartbeat { run: conductor_shared::ids::RunId([0; 16]) }
    }

    /// SPEC 1.3: a flood of one tenant fills its own queue, and does not keep another from its turn.
    #[test]
    fn a_flood_does_not_starve_others() {
        let q = Queues::default();
        for _ in 0..QUEUE {
            q.push(ask(1, start())).unwrap();
        }
        assert!(matches!(q.push(ask(1, start())), Err(Full::Queue(_))));
        q.push(ask(1, settle())).unwrap();
        q.push(ask(2, start())).unwrap();
        let got = q.take(TURN + 1, Duration::ZERO).unwrap();
        assert!(got[0].urgent(), "settle first");
        assert_eq!(got[TURN].partition(), partition(2), "the other tenant's turn comes after {TURN}");
        assert_eq!(q.waiting() + TURN + 1, QUEUE + 2);
        q.close();
        assert!(matches!(q.push(ask(2, start())), Err(Full::Closed(_))));
        let mut rest = 0;
        while let Some(got) = q.take(100, Duration::ZERO) {
            rest += got.len();
        }
        assert_eq!(rest + TURN + 1, QUEUE + 2, "what waits is still served");
    }

    /// DESIGN, one writer and group commit: while a batch is being made durable the next one gathers; it goes early when
    /// it is full or as large, and nobody waits for ever for a disk that is slow.
    #[test]
    fn a_batch_gathers_while_another_is_in_flight() {
        let long = Duration::from_secs(60);
        let q = std::sync::Arc::new(Queues::default());
        q.push(ask(1, start())).unwrap();
        assert_eq!(q.take(BATCH, long).unwrap().len(), 1, "nothing is in flight: it goes at once");
        q.handed_over(4);
        let taker = |q: &std::sync::Arc<Queues>| {
            let q = std::sync::Arc::clone(q);
            std::thread::spawn(move || q.take(BATCH, long).unwrap().len())
        };
        let one = taker(&q);
        q.push(ask(1, start())).unwrap();
        q.push(ask(2, start())).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(q.waiting(), 2, "it gathers");
        q.settled(4);
        assert_eq!(one.join().unwrap(), 2);
        q.handed_over(2);
        let large = taker(&q);
        q.push(ask(1, start())).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(q.waiting(), 1, "it is smaller than what is on its way");
        q.push(ask(1, start())).unwrap();
        assert_eq!(large.join().unwrap(), 2, "few, and as many: it does not wait");
        q.handed_over(FEW);
        let full = taker(&q);
        (0..BATCH).for_each(|_| q.push(ask(1, start())).unwrap());
        assert_eq!(full.join().unwrap(), BATCH, "a full batch does not wait");
        q.push(ask(1, start())).unwrap();
        assert_eq!(
            q.take(BATCH, Duration::from_millis(1)).unwrap().len(),
            1,
            "a slow disk: the writer goes on"
        );
    }

    /// SPEC invariant 1: when the store is closed nothing is on its way any more, also what a thread that panicked had
    /// taken with it: the first request after that does not wait for it.
    #[test]
    fn what_was_lost_on_the_way_is_not_waited_for() {
        let q = std::sync::Arc::new(Queues::default());
        q.handed_over(FEW + 1);
        q.settled(usize::MAX);
        q.push(ask(1, start())).unwrap();
        let taken = std::thread::spawn(move || q.take(BATCH, Duration::from_secs(60)).unwrap().len());
        for _ in 0..200 {
            std::thread::sleep(Duration::from_millis(50));
            if taken.is_finished() {
                break;
            }
        }
        assert!(taken.is_finished(), "it waits for what never comes");
        assert_eq!(taken.join().unwrap(), 1);
    }
}
