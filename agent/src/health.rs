//! What is the matter with this agent: each subsystem is asked for its work, and everybody who tells about health reads what
//! was found here.

use crate::intake::queue::Queues;
use crate::intake::request::WriterRequest;
use crate::partition::PartitionStatus;
use crate::partition::published::{PartitionCell, Registry};
use crate::policy::Policy;
use crate::sinks::Sink;
use crate::store::Space;
use conductor_shared::clock::{Clock, MonoTime, Now, WallTime};
use conductor_shared::health::{Subsystem, TABLE, Trouble};
use conductor_shared::stream::SignerState;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

/// Everything is looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// A row is written and made durable this often, to see that it can be.
const PROBE: Duration = Duration::from_secs(5);
/// The writer has this long to make that row durable.
const SLOW: Duration = Duration::from_secs(5);
/// Receipts wait this long for their signature before it counts as an outage, although the signer answers.
const UNSIGNED: Duration = Duration::from_secs(30);

/// What one subsystem was last found to be.
#[derive(Debug, Clone)]
struct Found {
    since: WallTime,
    began: MonoTime,
    detail: String,
}

/// The row that is on its way to the disk, and what became of the last one.
#[derive(Default)]
struct Probe {
    asked: Option<(MonoTime, oneshot::Receiver<Result<(), String>>)>,
    last: MonoTime,
    failed: Option<String>,
}

/// What is asked.
pub struct Sources {
    pub board: Arc<Registry>,
    pub queues: Arc<Queues>,
    pub policy: Arc<Policy>,
    pub sinks: Vec<Arc<Sink>>,
    pub clock: Arc<dyn Clock>,
}

/// What was found.
pub struct Health {
    sources: Sources,
    found: Mutex<BTreeMap<Subsystem, Found>>,
    probe: Mutex<Probe>,
    /// Passes of the writer's loop, and when they were more than before.
    beats: Mutex<(u64, MonoTime)>,
}

impl Health {
    pub fn new(sources: Sources) -> Arc<Self> {
        Arc::new(Self { sources, found: Mutex::default(), probe: Mutex::default(), beats: Mutex::default() })
    }

    /// Looks at everything, again and again.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.look();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What is the matter now, the worst first.
    pub fn troubles(&self) -> Vec<Trouble> {
        // A store that was closed just now is told at once.
        self.note(Subsystem::Store, self.store(), self.sources.clock.now());
        let found = self.found.lock();
        let told = TABLE.iter().filter_map(|row| {
            let f = found.get(&row.subsystem)?;
            Some(Trouble::of(row.subsystem, f.since.as_micros(), &f.detail))
        });
        told.collect()
    }

    /// Since when a subsystem does not do its work, and what was found.
    pub fn trouble(&self, subsystem: Subsystem) -> Option<(WallTime, MonoTime, String)> {
        let found = self.found.lock();
        found.get(&subsystem).map(|f| (f.since, f.began, f.detail.clone()))
    }

    /// The process answers, and the writer's loop goes round.
    pub fn alive(&self) -> bool {
        let beats = self.sources.board.beats.load(Ordering::Relaxed);
        let mut seen = self.beats.lock();
        let now = self.sources.clock.now().mono;
        if seen.0 != beats {
            *seen = (beats, now);
        }
        now < seen.1 + SLOW
    }

    /// Looks at everything once.
    pub fn look(&self) {
        let now = self.sources.clock.now();
        let writer = self.writer(now);
        for row in &TABLE {
            let detail = match row.subsystem {
                Subsystem::Writer => writer.clone(),
                Subsystem::Store => self.store(),
                Subsystem::NodeLog => self.node_log(),
                Subsystem::Disk => self.disk(),
                Subsystem::Signing => self.signing(now),
                Subsystem::Policy => self.policy(now),
                Subsystem::Clock => self.clock(),
                Subsystem::Partitions => self.partitions(),
                Subsystem::Sinks => self.sinks(),
            };
            self.note(row.subsystem, detail, now);
        }
    }

    fn note(&self, subsystem: Subsystem, detail: Option<String>, now: Now) {
        let mut found = self.found.lock();
        match detail {
            None => drop(found.remove(&subsystem)),
            Some(detail) => {
                let new = Found { since: now.wall, began: now.mono, detail: String::new() };
                found.entry(subsystem).or_insert(new).detail = detail;
            }
        }
    }

    /// Has a row made durable every few seconds, on the way that every receipt takes.
    fn writer(&self, now: Now) -> Option<String> {
        let mut probe = self.probe.lock();
        if let Some((asked, mut answer)) = probe.asked.take() {
            match answer.try_recv() {
                Ok(done) => probe.failed = done.err(),
                Err(oneshot::error::TryRecvError::Closed) => {
                    probe.failed = Some("the writer gave no answer".into());
                }
                Err(oneshot::error::TryRecvError::Empty) => {
                    let waits = now.mono - asked;
                    probe.asked = Some((asked, answer));
                    return (waits >= SLOW).then(|| {
                        format!(
                            "a row was not durable after {} s: the disk or the writer hangs",
                            waits.as_secs()
                        )
                    });
                }
            }
        }
        if probe.last == MonoTime::default() || now.mono >= probe.last + PROBE {
            let (reply, answer) = oneshot::channel();
            probe.last = now.mono;
            if self.sources.queues.push(WriterRequest::Probe(reply)).is_ok() {
                probe.asked = Some((now.mono, answer));
            }
        }
        None
    }

    /// It failed, or failed to write the last row that it was asked for: it is well again when it has written one.
    fn store(&self) -> Option<String> {
        let error = self.sources.board.store_error();
        (!error.is_empty()).then_some(error).or_else(|| self.probe.lock().failed.clone())
    }

    fn node_log(&self) -> Option<String> {
        let node = self.sources.board.node()?;
        (node.status() == PartitionStatus::RolledBack).then(|| {
            "it is not the log that was signed: the database was put back, or is another one".to_owned()
        })
    }

    fn disk(&self) -> Option<String> {
        match self.sources.board.space() {
            Space::Ample | Space::Low => None,
            Space::Critical => {
                Some("little room is left, or the room for settles is not set aside whole".into())
            }
            Space::ControlOnly => Some("full: only what people sign and checkpoints are written".into()),
        }
    }

    fn signing(&self, now: Now) -> Option<String> {
        let (state, detail) = self.sources.board.signer();
        if state != SignerState::Up {
            return Some(format!("the signer does not sign: {detail}"));
        }
        let oldest = |cell: &Arc<PartitionCell>| {
            cell.status().serves().then(|| cell.view.load().unsigned_since).flatten()
        };
        let oldest = self.sources.board.all().iter().filter_map(oldest).min()?;
        let age = now.mono - oldest;
        (age >= UNSIGNED).then(|| format!("receipts have waited {} s for their signature", age.as_secs()))
    }

    fn policy(&self, now: Now) -> Option<String> {
        let trouble = self.sources.policy.health(now).trouble();
        (!trouble.is_empty()).then_some(trouble)
    }

    fn clock(&self) -> Option<String> {
        let doubted = self.sources.board.node()?.view.load().control.clock_doubted();
        doubted.then(|| "it was stepped, and nobody has confirmed the time".to_owned())
    }

    fn partitions(&self) -> Option<String> {
        // Strangers read this: which ones, the console and the incidents tell.
        let all = self.sources.board.all();
        let stopped = all.iter().filter(|c| !c.id.tenant.is_node() && !c.status().serves());
        let mut by_status = BTreeMap::<&str, usize>::new();
        stopped.for_each(|c| *by_status.entry(c.status().word()).or_default() += 1);
        let words: Vec<_> = by_status.iter().map(|(word, n)| format!("{n} {word}")).collect();
        (!words.is_empty()).then(|| format!("of the tenants {}", words.join(", ")))
    }

    fn sinks(&self) -> Option<String> {
        let now = self.sources.clock.now().wall;
        let line = |sink: &Arc<Sink>| {
            let status = sink.status(now);
            (!status.trouble.is_empty()).then(|| format!("{}: {}", status.name, status.trouble))
        };
        let lines: Vec<_> = self.sources.sinks.iter().filter_map(line).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}
