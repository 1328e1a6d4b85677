//! Worker threads, each with an engine of its own. The queue is bounded, in all and for each tenant.

use super::{PROBE, Policy, Query};
use crate::intake::queue::{Full, Queues};
use crate::intake::refuse;
use crate::intake::request::WriterRequest;
use conductor_policies::Engine;
use conductor_shared::clock::MonoTime;
use conductor_shared::ids::TenantUid;
use conductor_shared::reason::Reason;
use conductor_shared::record::PolicyVersion;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;
use std::collections::HashMap;
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
}

impl Workers {
    pub(super) fn new() -> (Self, Receiver<Box<Job>>) {
        let (jobs, rx) = crossbeam_channel::bounded(QUEUE);
        (Self { jobs, waiting: Mutex::default() }, rx)
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
}

/// The engine of one thread, replaced when the bundle changes.
struct Own {
    version: Option<PolicyVersion>,
    engine: Result<Engine, String>,
    /// It is compiled, or cannot be.
    tried: bool,
}

/// To compile a bundle may take a thread this long; one whose rules are slower is interpreted.
const COMPILE: Duration = Duration::from_millis(300);

pub(super) fn start(policy: &Arc<Policy>, jobs: &Receiver<Box<Job>>, queues: &Arc<Queues>) {
    for n in 0..THREADS {
        let (policy, jobs, queues) = (Arc::downgrade(policy), jobs.clone(), Arc::clone(queues));
        std::thread::spawn(move || run(&policy, &jobs, &queues, n == 0));
    }
}

fn run(policy: &Weak<Policy>, jobs: &Receiver<Box<Job>>, queues: &Queues, probes: bool) {
    crate::name_thread(c"policy");
    let mut own = Own { version: None, engine: Err(String::new()), tried: true };
    let mut probed: Option<MonoTime> = None;
    loop {
        let job = match jobs.recv_timeout(Duration::from_millis(200)) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let Some(policy) = policy.upgrade() else { return };
        let now = policy.clock.now();
        if probes && policy.remote.is_some() {
            let every = if policy.up(now) { PROBE_UP } else { PROBE_DOWN };
            if probed.is_none_or(|at| now.mono >= at + every) {
                probed = Some(now.mono);
                policy.probe();
            }
        }
        let Some(job) = job else { continue };
        let Job { query, then } = *job;
        // Of many that asked the same the first answer serves all. A command is always asked about: it must find out
        // when the engine is gone.
        let again = matches!(then, Then::Again(_));
        if !(again && policy.known(&query)) {
            policy.answer(&mut own, &query);
        }
        policy.workers.give_place(query.tenant);
        match then {
            Then::Nothing => {}
            Then::Tell(to) => drop(to.send(())),
            Then::Again(ask) => match queues.push(*ask) {
                Ok(()) => {}
                Err(Full::Queue(ask)) => refuse(ask, Reason::QueueFull),
                Err(Full::Closed(ask)) => refuse(ask, Reason::Stopping),
            },
        }
        // After the first answer under a bundle, so that nobody waits for it.
        if let (Ok(engine), false) = (&mut own.engine, own.tried) {
            own.tried = true;
            let until = policy.clock.now().mono + COMPILE;
            engine.compile(|| policy.clock.now().mono < until);
        }
    }
}

impl Policy {
    fn probe(&self) {
        let Some(opa) = &self.remote else { return };
        let loaded = self.loaded.load_full();
        let Some(bundle) = &loaded.bundle else { return };
        let trouble = opa.ask(bundle, PROBE).err().map(|e| e.to_string());
        if let Some(t) = &trouble {
            tracing::warn!("policy: {t}");
        }
        *self.trouble.lock() = trouble;
    }

    fn known(&self, q: &Query) -> bool {
        self.loaded.load().cache.is_fresh(q.tenant, &q.digest, self.clock.now().mono)
    }

    fn answer(&self, own: &mut Own, q: &Query) {
        let loaded = self.loaded.load_full();
        if own.version != Some(loaded.version) {
            *own = Own { version: Some(loaded.version), engine: loaded.engine.clone(), tried: false };
        }
        let embedded = |own: &mut Own| match &mut own.engine {
            Ok(e) => e.allows(&q.json).map_err(|e| e.to_string()),
            Err(e) => Err(e.clone()),
        };
        let trouble = self.why_down(&loaded, self.clock.now());
        let verdict = match (&self.remote, &loaded.bundle) {
            // Whoever waited behind the one that found out does not wait for the same again.
            _ if trouble.is_some() => Err(trouble.unwrap_or_default()),
            (None, _) | (_, None) => embedded(own),
            (Some(opa), Some(bundle)) => match opa.ask(bundle, &q.json) {
                // What cannot be taken back, or makes something riskier, both engines must allow.
                Ok(true) if !q.admit => embedded(own),
                Ok(allow) => Ok(allow),
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
}
