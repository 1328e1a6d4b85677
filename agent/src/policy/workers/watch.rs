//! The watch over the workers: one that died, or whose evaluation does not end, gives its seat to another.

use super::seat::Seat;
use super::{Job, THREADS, Worker};
use crate::intake::queue::Queues;
use crate::policy::Policy;
use conductor_policies::{FAR_LIMIT, STACK};
use conductor_shared::record::PolicyVersion;
use crossbeam_channel::Receiver;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// An evaluation that takes longer does not end: it is in a function that looks at no clock. Well beyond what the engine
/// itself lets pass.
pub(in crate::policy) const STUCK: Duration = Duration::from_secs(FAR_LIMIT.as_secs() + 5);
/// Threads that one bundle may make be given up while they run on. Each uses a processor.
const MAX_GIVEN_UP: usize = 4;

struct Watch {
    policy: Weak<Policy>,
    jobs: Receiver<Box<Job>>,
    queues: Arc<Queues>,
    stuck: Duration,
    seats: Vec<(Arc<Seat>, Option<JoinHandle<()>>)>,
    /// Those of the bundle in force.
    given_up: Vec<JoinHandle<()>>,
    version: PolicyVersion,
}

/// Starts the workers, and the watch over them.
pub(in crate::policy) fn start(
    policy: &Arc<Policy>,
    jobs: &Receiver<Box<Job>>,
    queues: &Arc<Queues>,
    stuck: Duration,
) {
    let (version, jobs, queues) = (policy.version(), jobs.clone(), Arc::clone(queues));
    let seats = (0..THREADS).map(|_| (Arc::default(), None)).collect();
    let policy = Arc::downgrade(policy);
    let mut watch = Watch { policy, jobs, queues, stuck, seats, given_up: vec![], version };
    for n in 0..THREADS {
        watch.sit(n);
    }
    std::thread::spawn(move || watch.run());
}

impl Watch {
    fn run(mut self) {
        crate::name_thread(c"policy-watch");
        loop {
            std::thread::sleep(LOOK);
            let Some(policy) = self.policy.upgrade() else { return };
            self.look(&policy);
        }
    }

    /// A new worker for a seat.
    fn sit(&mut self, n: usize) {
        let (policy, jobs, queues) = (self.policy.clone(), self.jobs.clone(), Arc::clone(&self.queues));
        // A worker that was given up keeps its old seat, in which it finds nothing.
        let seat = Arc::new(Seat::default());
        let worker = Worker { policy, jobs, queues, seat: Arc::clone(&seat), probes: n == 0 };
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || worker.run());
        if let Err(e) = &thread {
            tracing::error!("policy: no thread to evaluate: {e}");
        }
        self.seats[n] = (seat, thread.ok());
    }

    fn look(&mut self, policy: &Policy) {
        self.given_up.retain(|t| !t.is_finished());
        if self.version != policy.version() {
            // Another bundle begins with all its threads.
            self.version = policy.version();
            self.given_up.clear();
        }
        let now = policy.clock.now().mono;
        for n in 0..self.seats.len() {
            let (seat, thread) = &mut self.seats[n];
            let dead = thread.as_ref().is_none_or(JoinHandle::is_finished);
            let job = if dead { seat.clear() } else { seat.overdue(now - self.stuck) };
            if !dead && job.is_none() {
                continue;
            }
            if let Some(thread) = thread.take().filter(|_| !dead) {
                self.given_up.push(thread);
            }
            if let Some(job) = job {
                let why = if dead { "its thread died" } else { "it does not end" };
                policy
                    .lost(&job.query, &format!("evaluating a request of {} failed: {why}", job.query.tenant));
                policy.workers.deliver(job, &self.queues);
            }
            if self.given_up.len() < MAX_GIVEN_UP {
                self.sit(n);
            }
        }
        let alive = self.seats.iter().filter(|(_, t)| t.is_some()).count();
        policy.workers.alive.store(alive, Ordering::Relaxed);
        policy.workers.given_up.store(self.given_up.len(), Ordering::Relaxed);
        // Whoever waits for a worker that never comes is answered: policy is down now.
        while alive == 0
            && let Ok(job) = self.jobs.try_recv()
        {
            policy.workers.deliver(job, &self.queues);
        }
    }
}

impl Policy {
    /// A question whose worker is gone: it has no answer, and the bundle is to blame.
    fn lost(&self, query: &super::Query, why: &str) {
        tracing::error!("policy: {why}");
        let (loaded, now) = (self.loaded.load_full(), self.clock.now());
        loaded.seen.broke(now.wall, why);
        loaded.cache.note(query.tenant, query.digest, None, now.mono);
    }
}
