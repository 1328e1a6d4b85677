//! Worker threads, each with an engine of its own, and the watch over them. The queue is bounded, in all and for each
//! tenant. A worker that dies, or whose evaluation does not end, is replaced; what it was asked is answered, by a denial.

mod seat;
#[cfg(test)]
mod tests;
mod watch;

pub(super) use watch::{STUCK, start};

use super::{PROBE, Policy, Query};
use crate::intake::queue::{Full, Queues};
use crate::intake::refuse;
use crate::intake::request::WriterRequest;
use conductor_policies::{Engine, EngineError};
use conductor_shared::clock::MonoTime;
use conductor_shared::ids::TenantUid;
use conductor_shared::reason::Reason;
use conductor_shared::record::PolicyVersion;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;
use seat::Seat;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;

/// Threads.
const THREADS: usize = 2;
/// Questions that may wait. After a start, or with a new bundle, every request is one, of every tenant at once.
const QUEUE: usize = 32_768;
/// Questions of one tenant that may wait: as many as requests before the writer. When a bundle is new all ask the same,
/// and the first answer serves them all.
const EACH: usize = crate::intake::queue::QUEUE;
/// The engine is probed this often, and this often while it does not answer.
const PROBE_UP: Duration = Duration::from_secs(10);
const PROBE_DOWN: Duration = Duration::from_secs(1);
/// A worker that has nothing to do looks around this often.
const IDLE: Duration = Duration::from_millis(200);

pub(super) enum Then {
    /// Put this before the writer again.
    Again(Box<WriterRequest>),
    Tell(oneshot::Sender<()>),
    Nothing,
}

pub(super) struct Job {
    pub(super) query: Query,
    pub(super) then: Then,
}

pub(super) struct Workers {
    /// Boxed, for the channel keeps a place for each from the beginning.
    jobs: Sender<Box<Job>>,
    waiting: Mutex<HashMap<TenantUid, usize>>,
    alive: AtomicUsize,
    given_up: AtomicUsize,
}

impl Workers {
    pub(super) fn new() -> (Self, Receiver<Box<Job>>) {
        let (jobs, rx) = crossbeam_channel::bounded(QUEUE);
        let (waiting, given_up) = (Mutex::default(), AtomicUsize::default());
        (Self { jobs, waiting, alive: AtomicUsize::new(THREADS), given_up }, rx)
    }

    /// Threads that evaluate, and those that were given up.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.alive.load(Ordering::Relaxed), self.given_up.load(Ordering::Relaxed))
    }

    fn take_place(&self, tenant: TenantUid) -> bool {
        let mut waiting = self.waiting.lock();
        let n = waiting.entry(tenant).or_default();
        let room = *n < EACH;
        *n += usize::from(room);
        room
    }

    fn give_place(&self, tenant: TenantUid) {
        let mut waiting = self.waiting.lock();
        if let Some(n) = waiting.get_mut(&tenant) {
            *n -= 1;
            if *n == 0 {
                waiting.remove(&tenant);
            }
        }
    }

    /// False when there is no room.
    pub(super) fn send(&self, job: Job) -> bool {
        let tenant = job.query.tenant;
        let sent = self.take_place(tenant);
        if sent && self.jobs.try_send(Box::new(job)).is_err() {
            self.give_place(tenant);
            return false;
        }
        sent
    }

    #[allow(clippy::result_large_err)] // the request itself comes back
    pub(super) fn send_ask(&self, query: Query, ask: WriterRequest) -> Result<(), WriterRequest> {
        let tenant = query.tenant;
        if !self.take_place(tenant) {
            return Err(ask);
        }
        let job = Box::new(Job { query, then: Then::Again(Box::new(ask)) });
        self.jobs.try_send(job).map_err(|e| {
            self.give_place(tenant);
            match e.into_inner().then {
                Then::Again(ask) => *ask,
                Then::Tell(_) | Then::Nothing => unreachable!("it was sent as a request"),
            }
        })
    }

    /// Hands a job back to whoever waits for it, answered or not.
    #[allow(clippy::boxed_local)] // it comes out of a channel so
    fn deliver(&self, job: Box<Job>, queues: &Queues) {
        self.give_place(job.query.tenant);
        match job.then {
            Then::Nothing => {}
            Then::Tell(to) => drop(to.send(())),
            Then::Again(ask) => match queues.push(*ask) {
                Ok(()) => {}
                Err(Full::Queue(ask)) => refuse(ask, Reason::QueueFull),
                Err(Full::Closed(ask)) => refuse(ask, Reason::Stopping),
            },
        }
    }
}

/// The engine of one thread, replaced when the bundle changes.
#[derive(Default)]
struct Own {
    version: Option<PolicyVersion>,
    engine: Option<Engine>,
}

/// What a worker works with.
struct Worker {
    policy: Weak<Policy>,
    jobs: Receiver<Box<Job>>,
    queues: Arc<Queues>,
    seat: Arc<Seat>,
    /// It also finds out whether the engine answers at all.
    probes: bool,
}

impl Worker {
    fn run(self) {
        crate::name_thread(c"policy");
        let mut own = Own::default();
        let mut probed: Option<MonoTime> = None;
        loop {
            let job = match self.jobs.recv_timeout(IDLE) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let Some(policy) = self.policy.upgrade() else { return };
            let now = policy.clock.now();
            if let Some(job) = job {
                let query = job.query.clone();
                // Of many that asked the same the first answer serves all. A command is always asked about: it must
                // find out when the engine is gone.
                let again = matches!(job.then, Then::Again(_));
                let ticket = self.seat.take(job, now.mono);
                if !(again && policy.known(&query)) {
                    policy.answer(&mut own, &query);
                }
                // Given up meanwhile: another sits here.
                let Some(job) = self.seat.give_back(ticket) else { return };
                policy.workers.deliver(job, &self.queues);
            }
            let every = if policy.up(now) { PROBE_UP } else { PROBE_DOWN };
            if self.probes && probed.is_none_or(|at| now.mono >= at + every) {
                probed = Some(now.mono);
                policy.probe();
            }
        }
    }
}

impl Policy {
    /// Proves that something evaluates, when nobody asks. The engine that is built in is asked like by anybody.
    fn probe(&self) {
        let Some(opa) = &self.remote else {
            let query =
                Query { tenant: TenantUid::NODE, digest: [0; 32], json: PROBE.to_owned(), admit: true };
            self.workers.send(Job { query, then: Then::Nothing });
            return;
        };
        let loaded = self.loaded.load_full();
        let Some(bundle) = &loaded.bundle else { return };
        let trouble = opa.probe(bundle, PROBE).err().map(|e| e.to_string());
        match &trouble {
            Some(t) => tracing::warn!("policy: {t}"),
            None => loaded.seen.evaluated(self.clock.now()),
        }
        *self.trouble.lock() = trouble;
    }

    fn known(&self, q: &Query) -> bool {
        self.loaded.load().cache.is_fresh(q.tenant, &q.digest, self.clock.now().mono)
    }

    fn answer(&self, own: &mut Own, q: &Query) {
        let loaded = self.loaded.load_full();
        let trouble = self.why_down(&loaded, self.clock.now());
        let verdict = match (&self.remote, &loaded.bundle) {
            // Whoever waited behind the one that found out does not wait for the same again.
            _ if trouble.is_some() => Err(trouble.unwrap_or_default()),
            (None, _) | (_, None) => self.embedded(own, &loaded, &q.json),
            (Some(opa), Some(bundle)) => match opa.ask(bundle, &q.json) {
                // What cannot be taken back, or makes something riskier, both engines must allow.
                Ok(true) if !q.admit => self.embedded(own, &loaded, &q.json),
                Ok(allow) => {
                    loaded.seen.evaluated(self.clock.now());
                    Ok(allow)
                }
                Err(e) => {
                    *self.trouble.lock() = Some(e.to_string());
                    Err(e.to_string())
                }
            },
        };
        if let Err(e) = &verdict {
            tracing::warn!("policy: {e}");
        }
        loaded.cache.note(q.tenant, q.digest, verdict.ok(), self.clock.now().mono);
    }

    /// Asks the engine that is built in, on this thread.
    fn embedded(&self, own: &mut Own, loaded: &super::Loaded, json: &str) -> Result<bool, String> {
        if own.version != Some(loaded.version) {
            *own = Own { version: Some(loaded.version), engine: Some(loaded.engine.clone()?) };
        }
        let Some(engine) = &mut own.engine else { return Err("no engine".to_owned()) };
        let answer = engine.allows(json);
        let now = self.clock.now();
        match &answer {
            Ok(_) => loaded.seen.evaluated(now),
            Err(e @ EngineError::Broke(_)) => loaded.seen.broke(now.wall, &e.to_string()),
            Err(EngineError::Failed(_) | EngineError::Slow(_) | EngineError::Late(_)) => {}
        }
        answer.map_err(|e| e.to_string())
    }
}
