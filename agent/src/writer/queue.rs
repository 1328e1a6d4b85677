//! What waits before the writer: one bounded queue for each partition, served round robin, settle and tighten first. A
//! tenant that floods fills its own queue and nobody else's.

use super::ask::Ask;
use conductor_shared::ids::TenantUid;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Requests of one partition that may wait.
pub const QUEUE: usize = 1_024;
/// Requests one partition gets served before the next one's turn.
const TURN: usize = 16;

#[derive(Default)]
struct Lane {
    /// Settle, tighten and the agent's own.
    urgent: VecDeque<Ask>,
    normal: VecDeque<Ask>,
    queued: bool,
}

#[derive(Default)]
struct Inner {
    lanes: HashMap<TenantUid, Lane>,
    ring: VecDeque<TenantUid>,
    closed: bool,
}

/// The queues.
#[derive(Default)]
pub struct Queues {
    inner: Mutex<Inner>,
    more: Condvar,
    waiting: AtomicU64,
}

/// Why a request was not taken.
#[derive(Debug)]
pub enum Full {
    /// The partition's queue is full.
    Queue(Ask),
    /// The agent stops.
    Closed(Ask),
}

impl Queues {
    /// Takes a request into its partition's queue. Urgent ones have as much room again.
    #[allow(clippy::result_large_err)] // the request itself comes back; boxing it would cost every refusal
    pub fn push(&self, ask: Ask) -> Result<(), Full> {
        let mut guard = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *guard;
        if inner.closed {
            return Err(Full::Closed(ask));
        }
        let tenant = ask.partition();
        let lane = inner.lanes.entry(tenant).or_default();
        let queue = if ask.urgent() { &mut lane.urgent } else { &mut lane.normal };
        if queue.len() >= QUEUE {
            return Err(Full::Queue(ask));
        }
        queue.push_back(ask);
        if !lane.queued {
            lane.queued = true;
            inner.ring.push_back(tenant);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        drop(guard);
        self.more.notify_one();
        Ok(())
    }

    /// Up to `max` requests, round robin; waits for the first one at most `wait`. `None` once closed and empty.
    pub fn take(&self, max: usize, wait: Duration) -> Option<Vec<Ask>> {
        let mut guard = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.ring.is_empty() && !guard.closed {
            guard = self.more.wait_timeout(guard, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        let inner = &mut *guard;
        if inner.ring.is_empty() && inner.closed {
            return None;
        }
        let mut out = Vec::with_capacity(max.min(64));
        while out.len() < max
            && let Some(tenant) = inner.ring.pop_front()
        {
            let Some(lane) = inner.lanes.get_mut(&tenant) else { continue };
            for _ in 0..TURN {
                let Some(ask) = lane.urgent.pop_front().or_else(|| lane.normal.pop_front()) else { break };
                out.push(ask);
                if out.len() == max {
                    break;
                }
            }
            if lane.urgent.is_empty() && lane.normal.is_empty() {
                inner.lanes.remove(&tenant);
            } else {
                inner.ring.push_back(tenant);
            }
        }
        self.waiting.fetch_sub(out.len() as u64, Ordering::Relaxed);
        Some(out)
    }

    /// How many wait.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes no more; what waits is still served.
    pub fn close(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.more.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::ask::{Ask, Op, Reply};

    fn ask(tenant: u8, op: Op) -> Ask {
        let (tx, _rx) = tokio::sync::oneshot::channel::<Reply>();
        Ask::work(crate::scope::TenantScope::of_agent(TenantUid([tenant; 16])), op, None, tx)
    }
    fn start() -> Op {
        Op::StartStep {
            run: conductor_shared::ids::RunId([0; 16]),
            name: conductor_shared::shown::Text::new("s"),
        }
    }
    fn settle() -> Op {
        Op::Heartbeat { run: conductor_shared::ids::RunId([0; 16]) }
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
        assert_eq!(got[TURN].partition(), TenantUid([2; 16]), "the other tenant's turn comes after {TURN}");
        q.close();
        assert!(matches!(q.push(ask(2, start())), Err(Full::Closed(_))));
        let mut rest = 0;
        while let Some(got) = q.take(100, Duration::ZERO) {
            rest += got.len();
        }
        assert_eq!(rest + TURN + 1, QUEUE + 2, "what waits is still served");
    }
}
