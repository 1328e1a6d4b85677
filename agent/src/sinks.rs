//! Sinks: metered events on their way out, as CloudEvents, over HTTP or into files.
//!
//! The log is the outbox. A sink has a place in each tenant's log, kept in a row of the tenant's partition and moved by
//! the writer once what lies before it was delivered: nothing is lost, and what is delivered twice after a crash has the
//! same ids. A receiver that is down holds up its own sink and nothing else: no queue grows. An event that the receiver
//! refuses as such is set aside as a dead letter, to be looked at and, on an operator's word, delivered again.

mod config;
mod cursor;
mod files;
mod http;

pub use config::SinkConfig;
pub use cursor::{Letter, letters};

use crate::platform::random::{Random, bytes};
use crate::writer::queue::Queues;
use crate::writer::view::{Board, Shared};
use conductor_shared::clock::Clock;
use conductor_shared::http::SinkStatus;
use conductor_shared::ids::TenantUid;
use parking_lot::Mutex;
use cursor::{Batch, Cursor, Moved};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Dead letters of one tenant and sink. With more than these the receiver refuses everything, and the sink waits.
const MAX_LETTERS: u64 = 10_000;
/// The first pause after a failure, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));
/// Looks for new receipts this often.
const LOOK: Duration = Duration::from_millis(200);

/// What became of a delivery.
enum Delivered {
    /// It is there.
    Yes,
    /// The receiver will never take it.
    No(String),
    /// Not now.
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

/// How a sink is doing, for the API and metrics.
pub struct Sink {
    /// Its configuration.
    pub config: SinkConfig,
    delivered: AtomicU64,
    failures: AtomicU64,
    set_aside: AtomicU64,
    waiting: AtomicU64,
    /// Receipt time of the oldest that waits; 0 when none does.
    since_us: AtomicU64,
    trouble: Mutex<String>,
}

impl Sink {
    /// Not begun.
    pub fn new(config: SinkConfig) -> Self {
        Self {
            config,
            delivered: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            set_aside: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            since_us: AtomicU64::new(0),
            trouble: Mutex::default(),
        }
    }

    /// How it is doing.
    pub fn status(&self, now_us: u64) -> SinkStatus {
        let n = |a: &AtomicU64| a.load(Ordering::Relaxed);
        let since = n(&self.since_us);
        SinkStatus {
            name: self.config.name.clone(),
            target: self.config.target(),
            delivered: n(&self.delivered),
            failures: n(&self.failures),
            dead_letters: n(&self.set_aside),
            waiting_receipts: n(&self.waiting),
            lag_us: if since == 0 { 0 } else { now_us.saturating_sub(since) },
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

/// What a sink works with.
pub struct SinkCtx {
    /// Published state.
    pub board: Arc<Board>,
    /// Way to the writer.
    pub queues: Arc<Queues>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Turns true when the agent stops.
    pub stopping: watch::Receiver<bool>,
}

/// Why a round ended without success.
struct Wait(String, Option<Duration>);

/// Delivers until the agent stops.
pub async fn run(sink: Arc<Sink>, mut ctx: SinkCtx) {
    let mut target = match sink.config.open() {
        Ok(t) => t,
        Err(e) => return sink.note(&e),
    };
    let mut cursors: HashMap<TenantUid, Cursor> = HashMap::new();
    let mut failures = 0u32;
    loop {
        let mut busy = false;
        let mut pause = LOOK;
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
        measure(&sink, &tenants, &cursors, ctx.clock.now().wall_us);
        if !busy {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = ctx.stopping.changed() => return,
            }
        }
    }
}

/// Twice as long after each failure, and somewhere between half of that and all of it, so that sinks of many nodes do not
/// come back all at once.
fn backoff(failures: u32, random: &dyn Random) -> Duration {
    let (first, most) = PAUSE;
    let whole = first.saturating_mul(2u32.saturating_pow(failures.min(16))).min(most);
    let [b] = bytes::<1>(random);
    whole / 2 + whole / 2 * u32::from(b) / 255
}

fn measure(sink: &Sink, tenants: &[Arc<Shared>], cursors: &HashMap<TenantUid, Cursor>, now_us: u64) {
    let mut waiting = 0;
    for s in tenants {
        let next = cursors.get(&s.id.tenant).map_or(0, |p| p.row.next);
        waiting += s.view.load().size().saturating_sub(next);
    }
    sink.waiting.store(waiting, Ordering::Relaxed);
    let since = sink.since_us.load(Ordering::Relaxed);
    // How long it has waited is counted from when something was first seen to wait.
    sink.since_us.store(
        if waiting == 0 {
            0
        } else if since == 0 {
            now_us
        } else {
            since
        },
        Ordering::Relaxed,
    );
}

/// Delivers one batch of a tenant. True when there may be more.
async fn round(
    sink: &Sink,
    target: &mut Target,
    ctx: &SinkCtx,
    shared: &Arc<Shared>,
    cursors: &mut HashMap<TenantUid, Cursor>,
) -> Result<bool, Wait> {
    let tenant = shared.id.tenant;
    let cursor = if let Some(p) = cursors.get(&tenant) {
        p.clone()
    } else {
        let p = Cursor::read(&ctx.board, shared, &sink.config.name).await.map_err(later)?;
        sink.set_aside.fetch_add(p.letters, Ordering::Relaxed);
        cursors.entry(tenant).or_insert(p).clone()
    };
    let view = shared.view.load_full();
    let wanted = view.control.sink_replays.get(&sink.config.name).copied().unwrap_or(0);
    if wanted > cursor.row.replays {
        let moved = again(sink, target, ctx, shared, &cursor, wanted).await?;
        sink.set_aside.fetch_sub(cursor.letters - moved.letters, Ordering::Relaxed);
        cursors.insert(tenant, moved);
        return Ok(true);
    }
    if cursor.row.next >= view.size() || view.rolled_back {
        return Ok(false);
    }
    if cursor.letters >= MAX_LETTERS {
        return Err(Wait(
            format!("{} has {MAX_LETTERS} dead letters: the receiver refuses everything", shared.name),
            Some(PAUSE.1),
        ));
    }
    let batch = cursor.batch(&ctx.board, shared, view.size(), sink.config.batch).await.map_err(later)?;
    let refused = deliver(target, &batch.events).await?;
    let count = (batch.events.len() - refused.len()) as u64;
    let moved = cursor.moved(&batch, &refused);
    let after = moved.after.clone();
    // What was only passed over is not worth a write each time.
    if !batch.events.is_empty() || batch.next >= cursor.stored + 1_000 {
        moved.write(ctx, shared).await.map_err(later)?;
    }
    sink.delivered.fetch_add(count, Ordering::Relaxed);
    sink.set_aside.fetch_add(refused.len() as u64, Ordering::Relaxed);
    if count > 0 {
        sink.since_us.store(0, Ordering::Relaxed);
    }
    cursors.insert(tenant, after);
    Ok(true)
}

fn later(why: String) -> Wait {
    Wait(why, None)
}

/// Delivers events, and tells which of them the receiver will never take and why. A batch that is refused is cut in two
/// until single events are left.
async fn deliver(target: &mut Target, events: &[Value]) -> Result<Vec<(usize, String)>, Wait> {
    let mut refused = Vec::new();
    let mut todo = Vec::from([(0, events.len())]);
    while let Some((from, to)) = todo.pop() {
        let range = from..to;
        if range.is_empty() {
            continue;
        }
        match target.deliver(events.get(range.clone()).unwrap_or_default()).await {
            Delivered::Yes => {}
            Delivered::Later(why, after) => return Err(Wait(why, after)),
            Delivered::No(why) if range.len() == 1 => refused.push((range.start, why)),
            Delivered::No(_) => {
                let middle = range.start + range.len() / 2;
                todo.push((middle, to));
                todo.push((from, middle));
            }
        }
    }
    refused.sort_by_key(|(i, _)| *i);
    Ok(refused)
}

/// Delivers dead letters again. Those that are refused again stay.
async fn again(
    sink: &Sink,
    target: &mut Target,
    ctx: &SinkCtx,
    shared: &Arc<Shared>,
    cursor: &Cursor,
    wanted: u64,
) -> Result<Cursor, Wait> {
    let mut at = 0;
    let mut left = cursor.letters;
    loop {
        let page = cursor::page(&ctx.board, shared, &sink.config.name, at).await.map_err(later)?;
        let Some(last) = page.last() else { break };
        at = last.number + 1;
        let events: Vec<Value> = page.iter().map(|l| l.event.clone()).collect();
        let refused = deliver(target, &events).await?;
        let gone: Vec<u64> = page
            .iter()
            .enumerate()
            .filter(|(i, _)| !refused.iter().any(|(r, _)| r == i))
            .map(|(_, l)| l.number)
            .collect();
        left = left.saturating_sub(gone.len() as u64);
        sink.delivered.fetch_add(gone.len() as u64, Ordering::Relaxed);
        cursor.without(&gone).write(ctx, shared).await.map_err(later)?;
    }
    let mut done = cursor.clone();
    done.row.replays = wanted;
    done.letters = left;
    Moved::of(&done).write(ctx, shared).await.map_err(later)?;
    Ok(done)
}

impl Batch {
    fn number(&self, event: usize) -> u64 {
        self.numbers.get(event).copied().unwrap_or(u64::MAX)
    }
}
