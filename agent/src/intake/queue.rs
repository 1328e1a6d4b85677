//! What waits before the writer, in three lanes. What the agent itself has to tell is a state, one slot a log: it is never
//! dropped, and what is newer takes the place of what is older. What people sign waits in a queue for each person and is
//! served before all traffic. Workloads have one bounded queue for each partition, served round robin, settles first: a
//! tenant that floods fills its own queue and nobody else's.

mod told;

use super::request::WriterRequest;
use conductor_shared::ids::{PartitionId, PersonId};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use told::Told;

/// Requests of one partition that may wait.
pub const QUEUE: usize = 1_024;
/// Requests decided in one batch at most.
pub const BATCH: usize = 160;
/// Commands and approvals of one person that may wait.
pub const CONTROL_OF_PERSON: usize = 64;
/// Commands and approvals that may wait in all.
pub const CONTROL: usize = 1_024;
/// Commands and approvals in one batch at most. They are served first, so the next one waits for so many at most.
pub const CONTROL_TURN: usize = 32;
/// So few on their way to the disk are no reason to gather a full batch.
const FEW: usize = BATCH / 4;
/// Requests one partition gets served before the next one's turn.
const TURN: usize = 32;

#[derive(Default)]
struct Lane {
    /// The agent's own, each of which waits for its answer: there are no more than there are sinks and uploads.
    own: VecDeque<WriterRequest>,
    /// Settles.
    urgent: VecDeque<WriterRequest>,
    normal: VecDeque<WriterRequest>,
    queued: bool,
}

impl Lane {
    fn pop(&mut self) -> Option<WriterRequest> {
        let own = self.own.pop_front();
        own.or_else(|| self.urgent.pop_front()).or_else(|| self.normal.pop_front())
    }

    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.urgent.is_empty() && self.normal.is_empty()
    }
}

/// What people signed: a queue for each, served in turn.
#[derive(Default)]
struct Control {
    persons: FxHashMap<PersonId, VecDeque<WriterRequest>>,
    ring: VecDeque<PersonId>,
    waiting: usize,
}

impl Control {
    #[allow(clippy::result_large_err)] // as in `Queues::push`
    fn push(&mut self, person: PersonId, ask: WriterRequest) -> Result<(), WriterRequest> {
        let full = self.waiting >= CONTROL;
        let queue = self.persons.entry(person).or_default();
        if full || queue.len() >= CONTROL_OF_PERSON {
            return Err(ask);
        }
        if queue.is_empty() {
            self.ring.push_back(person);
        }
        queue.push_back(ask);
        self.waiting += 1;
        Ok(())
    }

    /// One of each person in turn.
    fn take(&mut self, most: usize, out: &mut Vec<WriterRequest>) {
        for _ in 0..most {
            let Some(person) = self.ring.pop_front() else { return };
            let Some(queue) = self.persons.get_mut(&person) else { continue };
            out.extend(queue.pop_front());
            self.waiting -= 1;
            if queue.is_empty() {
                self.persons.remove(&person);
            } else {
                self.ring.push_back(person);
            }
        }
    }
}

#[derive(Default)]
struct Inner {
    told: Told,
    control: Control,
    lanes: FxHashMap<PartitionId, Lane>,
    ring: VecDeque<PartitionId>,
    /// In lanes.
    waiting: usize,
    /// Requests that were taken, decided and are not durable yet.
    in_flight: usize,
    /// The writer waits: a system call wakes it, and nothing is owed otherwise.
    asleep: bool,
    closed: bool,
}

impl Inner {
    /// Group commit: while a batch syncs, the next one fills. It is taken early when it is full, or when at most [`FEW`] requests
    /// are in flight and at least as many wait: clients that wait for their answers will not send more. What people sign is
    /// taken at once.
    fn ready(&self) -> bool {
        let few = self.in_flight <= FEW && self.waiting >= self.in_flight;
        let first = self.control.waiting > 0 || !self.told.is_empty();
        self.closed || first || self.waiting >= BATCH || (self.waiting > 0 && few)
    }
}

impl Inner {
    #[allow(clippy::result_large_err)] // as in `push`
    fn push_to_lane(&mut self, ask: WriterRequest) -> Result<(), Full> {
        let partition = ask.lane();
        let lane = self.lanes.entry(partition).or_default();
        let (queue, most) = match &ask {
            WriterRequest::Workload { op, .. } if op.settles() => (&mut lane.urgent, QUEUE),
            WriterRequest::Workload { .. } | WriterRequest::Unscoped(..) => (&mut lane.normal, QUEUE),
            _ => (&mut lane.own, usize::MAX),
        };
        if queue.len() >= most {
            return Err(Full::Queue(ask));
        }
        queue.push_back(ask);
        if !lane.queued {
            lane.queued = true;
            self.ring.push_back(partition);
        }
        self.waiting += 1;
        Ok(())
    }

    /// Up to `max` requests of workloads, round robin.
    fn take_from_lanes(&mut self, max: usize, out: &mut Vec<WriterRequest>) {
        let before = out.len();
        while out.len() < max
            && let Some(partition) = self.ring.pop_front()
        {
            let Some(lane) = self.lanes.get_mut(&partition) else { continue };
            for _ in 0..TURN {
                let Some(ask) = lane.pop() else { break };
                out.push(ask);
                if out.len() == max {
                    break;
                }
            }
            if lane.is_empty() {
                self.lanes.remove(&partition);
            } else {
                self.ring.push_back(partition);
            }
        }
        self.waiting -= out.len() - before;
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

    /// Takes a request into its lane.
    #[allow(clippy::result_large_err)] // the request itself comes back; boxing it would cost every refusal
    pub fn push(&self, ask: WriterRequest) -> Result<(), Full> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if inner.closed {
            return Err(Full::Closed(ask));
        }
        match &ask {
            WriterRequest::Signed(..) | WriterRequest::RolledBack(..) | WriterRequest::SignerChanged => {
                inner.told.tell(ask);
            }
            WriterRequest::Command(_, signed, _) => {
                inner.control.push(signed.person, ask).map_err(Full::Queue)?;
            }
            WriterRequest::Approval(_, signed, _) => {
                inner.control.push(signed.person, ask).map_err(Full::Queue)?;
            }
            _ => inner.push_to_lane(ask)?,
        }
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

    /// What the agent has to tell, and up to `max` requests: of people first, then of workloads. Waits at most `wait`: for a
    /// full batch while another is in flight, else for the first request. `None` once closed and empty.
    pub fn take(&self, max: usize, wait: Duration) -> Option<Vec<WriterRequest>> {
        let mut guard = self.lock();
        if !guard.ready() {
            guard.asleep = true;
            guard = self.more.wait_timeout(guard, wait).unwrap_or_else(PoisonError::into_inner).0;
            guard.asleep = false;
        }
        let inner = &mut *guard;
        if inner.closed && inner.ring.is_empty() && inner.control.waiting == 0 && inner.told.is_empty() {
            return None;
        }
        let mut out = inner.told.take();
        let max = max + out.len();
        out.reserve(max.min(64));
        inner.control.take(CONTROL_TURN, &mut out);
        inner.take_from_lanes(max, &mut out);
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

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        let inner = self.lock();
        inner.waiting + inner.control.waiting
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
        assert!(matches!(&got[0], WriterRequest::Workload { op, .. } if op.settles()), "settle first");
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

    /// Whatever a person without a right is denied about a tenant, that tenant's own work finds its queue as it was.
    #[test]
    fn what_a_person_is_denied_fills_no_tenants_queue() {
        let q = Queues::default();
        let denied = || {
            let unscoped = crate::intake::request::Unscoped {
                log: partition(1),
                principal: String::new(),
                person: Some(PersonId([1; 16])),
                peer: String::new(),
                operation: "command",
                named: conductor_shared::untrusted::UntrustedText::default(),
                reasons: conductor_shared::reason::Reason::CommandExpired.into(),
            };
            WriterRequest::Unscoped(unscoped, tokio::sync::oneshot::channel().0)
        };
        (0..QUEUE).for_each(|_| q.push(denied()).unwrap());
        assert!(matches!(q.push(denied()), Err(Full::Queue(_))), "they have an end of their own");
        q.push(ask(1, start())).unwrap();
        let got = q.take(TURN + 1, Duration::ZERO).unwrap();
        assert_eq!(got.iter().filter(|r| matches!(r, WriterRequest::Workload { .. })).count(), 1);
    }

    fn command(person: u8) -> WriterRequest {
        let (tx, _rx) = tokio::sync::oneshot::channel();
        let signed = crate::intake::request::Verified {
            content: conductor_shared::operator::Approval {
                command_id: conductor_shared::ids::CommandId([0; 16]),
                command_digest: [0; 32],
                node: conductor_shared::ids::NodeId([0; 16]),
                tenant: TenantUid([1; 16]),
                verdict: conductor_shared::operator::Answer::Approve,
                issued_at_us: 0,
                expires_at_us: 0,
                nonce: [0; 16],
            },
            text: vec![],
            signature: String::new(),
            person: PersonId([person; 16]),
            key_id: conductor_shared::ids::KeyId([0; 8]),
            local: false,
        };
        WriterRequest::Approval(partition(1), Box::new(signed), tx)
    }
    fn person(ask: &WriterRequest) -> Option<u8> {
        match ask {
            WriterRequest::Approval(_, a, _) => Some(a.person.0[0]),
            _ => None,
        }
    }

    /// Invariant 3: whatever workloads do, and whatever another person does, what somebody signs is decided in the next
    /// batch, behind at most so many others.
    #[test]
    fn what_people_sign_goes_first_and_nobody_fills_anothers_lane() {
        let q = Queues::default();
        for tenant in 1..=2 {
            (0..QUEUE).for_each(|_| q.push(ask(tenant, settle())).unwrap());
            (0..QUEUE).for_each(|_| q.push(ask(tenant, start())).unwrap());
        }
        (0..CONTROL_OF_PERSON).for_each(|_| q.push(command(1)).unwrap());
        assert!(matches!(q.push(command(1)), Err(Full::Queue(_))));
        q.push(command(2)).unwrap();
        let got = q.take(BATCH, Duration::ZERO).unwrap();
        assert_eq!(got.len(), BATCH);
        let persons: Vec<_> = got.iter().map_while(person).collect();
        assert_eq!((persons.len(), persons[0], persons[1]), (CONTROL_TURN, 1, 2), "in turn");
        assert!(
            got[CONTROL_TURN..].iter().all(|r| person(r).is_none()),
            "the rest of the batch is for workloads"
        );
    }

    /// Invariant 3: what is signed makes the next batch go at once, however much is on its way.
    #[test]
    fn what_people_sign_does_not_wait_for_a_full_batch() {
        let q = Queues::default();
        q.handed_over(BATCH);
        q.push(ask(1, start())).unwrap();
        assert!(!q.lock().ready(), "a workload waits for more");
        q.push(command(1)).unwrap();
        assert!(q.lock().ready());
    }

    /// The agent's own events are never refused, and of one log only the newest counts.
    #[test]
    fn what_the_agent_tells_is_never_lost() {
        use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
        let q = Queues::default();
        let signed = |log: u8, size: u64, key: &str| {
            let origin = conductor_shared::ids::Origin {
                node: conductor_shared::ids::NodeId([0; 16]),
                tenant: TenantUid([log; 16]),
                epoch: 1,
            };
            let checkpoint = Checkpoint { origin, size, root: [0; 32] };
            let text = SignedCheckpoint { text: String::new(), signature: String::new() };
            WriterRequest::Signed(key.into(), vec![(partition(log), checkpoint, text)])
        };
        for size in 0..10_000 {
            q.push(signed(1, size, "old")).unwrap();
            q.push(WriterRequest::RolledBack(partition(1), size.to_string())).unwrap();
            q.push(WriterRequest::SignerChanged).unwrap();
        }
        q.push(signed(2, 7, "old")).unwrap();
        let got = q.take(BATCH, Duration::ZERO).unwrap();
        let sizes = got.iter().find_map(|r| match r {
            WriterRequest::Signed(_, list) => Some(list.iter().map(|(_, c, _)| c.size).collect::<Vec<_>>()),
            _ => None,
        });
        assert_eq!((got.len(), sizes), (3, Some(vec![9_999, 7])));
        q.push(signed(1, 1, "old")).unwrap();
        q.push(signed(2, 2, "new")).unwrap();
        let got = q.take(BATCH, Duration::ZERO).unwrap();
        assert!(
            matches!(&got[..], [WriterRequest::Signed(key, list)] if key == "new" && list.len() == 1),
            "what another signer signed does not count any more"
        );
    }

    /// One writer and group commit: while a batch is being made durable the next one gathers; it goes early when
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
