//! Sinks: export of metered events as CloudEvents, over HTTP or into files.
//!
//! The log is the outbox. A sink has a cursor in each tenant's log, stored in the tenant's partition and advanced by the
//! writer after delivery. So delivery is at least once, and duplicates after a crash have the same ids. A receiver that
//! is down delays only its own sink, and no queue grows. An event that the receiver rejects becomes a dead letter; an
//! operator can have dead letters delivered again.

mod config;
mod cursor;
mod files;
mod http;

pub use config::SinkConfig;
pub use cursor::{Letter, letters};

use crate::intake::queue::Queues;
use crate::partition::published::{PartitionCell, Registry};
use crate::platform::random::{Random, bytes};
use conductor_shared::clock::{Clock, WallTime, micros};
use conductor_shared::http::SinkStatus;
use conductor_shared::ids::PartitionId;
use cursor::{Batch, Cursor, Update};
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Maximum dead letters of one tenant and sink. At this number the receiver probably rejects everything: the sink waits.
const MAX_LETTERS: u64 = 10_000;
/// First and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));
/// Interval between polls for new receipts.
const POLL: Duration = Duration::from_millis(200);

/// Result of a delivery.
enum Delivered {
    Yes,
    /// Rejected for good.
    Rejected(String),
    /// Failed for now; with the pause that the receiver asks for.
    Later(String, Option<Duration>),
}

enum Target {
    Http(http::Http),
    Files(files::Files),
}

impl Target {
    async fn deliver(&mut self, events: &[Value]) -> Delivered {
        match self {
            Self::Http(h) => h.deliver(events).await,
            Self::Files(f) => f.deliver(events).await,
        }
    }
}

/// A sink and its state for the API and metrics.
pub struct Sink {
    pub config: SinkConfig,
    delivered: AtomicU64,
    failures: AtomicU64,
    dead_letters: AtomicU64,
    waiting: AtomicU64,
    /// Wall time when receipts were first seen to wait, in microseconds; 0 if none do.
    since_us: AtomicU64,
    trouble: Mutex<String>,
}

impl Sink {
    pub fn new(config: SinkConfig) -> Self {
        Self {
            config,
            delivered: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            since_us: AtomicU64::new(0),
            trouble: Mutex::default(),
        }
    }

    pub fn status(&self, now: WallTime) -> SinkStatus {
        let n = |a: &AtomicU64| a.load(Ordering::Relaxed);
        let since = n(&self.since_us);
        SinkStatus {
            name: self.config.name.clone(),
            target: self.config.target(),
            delivered: n(&self.delivered),
            failures: n(&self.failures),
            dead_letters: n(&self.dead_letters),
            waiting_receipts: n(&self.waiting),
            lag_us: if since == 0 { 0 } else { micros(now - WallTime::from_micros(since)) },
            trouble: self.trouble.lock().clone(),
        }
    }

    fn note(&self, trouble: &str) {
        let mut t = self.trouble.lock();
        if *t != trouble {
            if trouble.is_empty() {
                tracing::info!("sink {} delivers", self.config.name);
            } else {
                tracing::warn!("sink {}: {trouble}", self.config.name);
            }
            trouble.clone_into(&mut t);
        }
    }
}

/// The services that a sink uses.
pub struct SinkCtx {
    pub board: Arc<Registry>,
    pub queues: Arc<Queues>,
    pub random: Arc<dyn Random>,
    pub clock: Arc<dyn Clock>,
    /// True once the agent stops.
    pub stopping: watch::Receiver<bool>,
}

/// Why a round failed, and the pause that the receiver asks for.
struct Wait(String, Option<Duration>);

/// Delivers until the agent stops.
pub async fn run(sink: Arc<Sink>, mut ctx: SinkCtx) {
    let mut target = match sink.config.open() {
        Ok(t) => t,
        Err(e) => return sink.note(&e),
    };
    let mut cursors: HashMap<PartitionId, Cursor> = HashMap::new();
    let mut failures = 0u32;
    loop {
        let mut busy = false;
        let mut pause = POLL;
        let tenants: Vec<_> = ctx.board.all().into_iter().filter(|s| !s.id.tenant.is_node()).collect();
        for shared in &tenants {
            if *ctx.stopping.borrow() {
                return;
            }
            match round(&sink, &mut target, &ctx, shared, &mut cursors).await {
                Ok(more) => {
                    busy |= more;
                    if more {
                        failures = 0;
                        sink.note("");
                    }
                }
                Err(Wait(why, after)) => {
                    sink.failures.fetch_add(1, Ordering::Relaxed);
                    sink.note(&why);
                    pause = after.unwrap_or_else(|| backoff(failures, &*ctx.random));
                    failures = failures.saturating_add(1);
                    busy = false;
                    break;
                }
            }
        }
        measure(&sink, &tenants, &cursors, ctx.clock.now().wall);
        if !busy {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = ctx.stopping.changed() => return,
            }
        }
    }
}

/// Exponential backoff with jitter, so that sinks of many nodes do not retry at the same time.
fn backoff(failures: u32, random: &dyn Random) -> Duration {
    let (first, most) = PAUSE;
    let whole = first.saturating_mul(2u32.saturating_pow(failures.min(16))).min(most);
    let [b] = bytes::<1>(random);
    whole / 2 + whole / 2 * u32::from(b) / 255
}

fn measure(
    sink: &Sink,
    tenants: &[Arc<PartitionCell>],
    cursors: &HashMap<PartitionId, Cursor>,
    now: WallTime,
) {
    let mut waiting = 0;
    for s in tenants {
        let next = cursors.get(&s.id).map_or(0, |p| p.row.next);
        waiting += s.view.load().size().saturating_sub(next);
    }
    sink.waiting.store(waiting, Ordering::Relaxed);
    let since = sink.since_us.load(Ordering::Relaxed);
    sink.since_us.store(
        if waiting == 0 {
            0
        } else if since == 0 {
            now.as_micros()
        } else {
            since
        },
        Ordering::Relaxed,
    );
}

/// Delivers one batch of a tenant. True if there may be more.
async fn round(
    sink: &Sink,
    target: &mut Target,
    ctx: &SinkCtx,
    shared: &Arc<PartitionCell>,
    cursors: &mut HashMap<PartitionId, Cursor>,
) -> Result<bool, Wait> {
    let partition = shared.id;
    let cursor = if let Some(p) = cursors.get(&partition) {
        p.clone()
    } else {
        let p = Cursor::read(shared, &sink.config.name).await.map_err(later)?;
        sink.dead_letters.fetch_add(p.letters, Ordering::Relaxed);
        cursors.entry(partition).or_insert(p).clone()
    };
    let view = shared.view.load_full();
    let wanted = view.control.sink_replays.get(&sink.config.name).copied().unwrap_or(0);
    if wanted > cursor.row.replays {
        let update = replay(sink, target, ctx, shared, &cursor, wanted).await?;
        sink.dead_letters.fetch_sub(cursor.letters - update.letters, Ordering::Relaxed);
        cursors.insert(partition, update);
        return Ok(true);
    }
    if cursor.row.next >= view.size() || !shared.status().serves() {
        return Ok(false);
    }
    if cursor.letters >= MAX_LETTERS {
        return Err(Wait(
            format!("{} has {MAX_LETTERS} dead letters: the receiver refuses everything", shared.name),
            Some(PAUSE.1),
        ));
    }
    let batch = cursor.batch(shared, view.size(), sink.config.batch).await.map_err(later)?;
    let rejected = deliver(target, &batch.events).await?;
    let count = (batch.events.len() - rejected.len()) as u64;
    let update = cursor.advance(&batch, &rejected);
    let after = update.after.clone();
    // A cursor that only skipped receipts is written once in 1,000 of them.
    if !batch.events.is_empty() || batch.next >= cursor.stored + 1_000 {
        update.write(ctx, shared).await.map_err(later)?;
    }
    sink.delivered.fetch_add(count, Ordering::Relaxed);
    sink.dead_letters.fetch_add(rejected.len() as u64, Ordering::Relaxed);
    if count > 0 {
        sink.since_us.store(0, Ordering::Relaxed);
    }
    cursors.insert(partition, after);
    Ok(true)
}

fn later(why: String) -> Wait {
    Wait(why, None)
}

/// Delivers events. Returns those that the receiver rejects, with its reason. A rejected batch is halved until single
/// events are left.
async fn deliver(target: &mut Target, events: &[Value]) -> Result<Vec<(usize, String)>, Wait> {
    let mut rejected = Vec::new();
    let mut todo = Vec::from([(0, events.len())]);
    while let Some((from, to)) = todo.pop() {
        let range = from..to;
        if range.is_empty() {
            continue;
        }
        match target.deliver(events.get(range.clone()).unwrap_or_default()).await {
            Delivered::Yes => {}
            Delivered::Later(why, after) => return Err(Wait(why, after)),
            Delivered::Rejected(why) if range.len() == 1 => rejected.push((range.start, why)),
            Delivered::Rejected(_) => {
                let middle = range.start + range.len() / 2;
                todo.push((middle, to));
                todo.push((from, middle));
            }
        }
    }
    rejected.sort_by_key(|(i, _)| *i);
    Ok(rejected)
}

/// Delivers dead letters again. Those that are rejected again stay.
async fn replay(
    sink: &Sink,
    target: &mut Target,
    ctx: &SinkCtx,
    shared: &Arc<PartitionCell>,
    cursor: &Cursor,
    wanted: u64,
) -> Result<Cursor, Wait> {
    let mut at = 0;
    let mut left = cursor.letters;
    loop {
        let page = cursor::page(shared, &sink.config.name, at).await.map_err(later)?;
        let Some(last) = page.last() else { break };
        at = last.number + 1;
        let events: Vec<Value> = page.iter().map(|l| l.event.clone()).collect();
        let rejected = deliver(target, &events).await?;
        let gone: Vec<u64> = page
            .iter()
            .enumerate()
            .filter(|(i, _)| !rejected.iter().any(|(r, _)| r == i))
            .map(|(_, l)| l.number)
            .collect();
        left = left.saturating_sub(gone.len() as u64);
        sink.delivered.fetch_add(gone.len() as u64, Ordering::Relaxed);
        cursor.delete_letters(&gone).write(ctx, shared).await.map_err(later)?;
    }
    let mut done = cursor.clone();
    done.row.replays = wanted;
    done.letters = left;
    Update::of(&done).write(ctx, shared).await.map_err(later)?;
    Ok(done)
}

impl Batch {
    fn number(&self, event: usize) -> u64 {
        self.numbers.get(event).copied().unwrap_or(u64::MAX)
    }
}
