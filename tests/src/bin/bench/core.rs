//! Durable receipts through the ledger, and provisioning.

use crate::rig::{Core, ident, reopen, thread_cpu_micros};
use crate::{Report, median, p99};
use conductor_agent::intake::request::{NewRun, Reply, WorkloadOp, WriterRequest};
use conductor_agent::platform::memory::resident_memory;
use conductor_agent::scope::TenantScope;
use conductor_agent::store::{MAX_TENANTS, SpaceLimits, Store};
use conductor_shared::fact::{ActorType, Env, Outcome};
use conductor_shared::ids::{PartitionId, RunId, TenantUid};
use conductor_shared::untrusted::UntrustedText;
use std::collections::VecDeque;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
/// Who asked looks for answers this often: seldom enough that looking at thousands of runs is no work to speak of, and
/// often enough that few of those that count as waiting have their answer.
fn look(lanes: usize) -> Duration {
    Duration::from_micros(lanes.clamp(250, 1_000) as u64)
}
/// Requests that wait for an answer at a time: so many of each tenant, and enough where there is one.
fn window(tenants: usize) -> usize {
    (20 * tenants).max(2_000)
}

struct Lane {
    scope: TenantScope,
    run: RunId,
    /// Steps whose start was answered: an end that is sent earlier would overtake its start.
    open: Vec<u64>,
    /// What was asked and not answered, oldest first; answers of a run come in turn.
    waiting: VecDeque<Asked>,
    /// Those among them that start a step.
    starting: usize,
}

struct Asked {
    starts: bool,
    at: Instant,
    reply: oneshot::Receiver<Reply>,
}

impl Lane {
    /// Takes the answers that are there.
    fn answered(&mut self, latencies: &mut Vec<f64>) {
        while let Some(asked) = self.waiting.front_mut() {
            let decided = match asked.reply.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => break,
                other => other.expect("answered").expect("allowed"),
            };
            latencies.push(asked.at.elapsed().as_secs_f64() * 1e3);
            if asked.starts {
                self.starting -= 1;
                self.open.push(decided.step.expect("a step"));
            }
            self.waiting.pop_front();
        }
    }

    /// Ends a step, else starts one; `half` of each may wait. False when nothing more may.
    fn ask(&mut self, core: &Core, half: usize) -> bool {
        let ending = self.waiting.len() - self.starting;
        let end = if ending < half { self.open.pop() } else { None };
        if end.is_none() && self.starting >= half {
            return false;
        }
        let op = match end {
            Some(step) => WorkloadOp::FinishStep {
                run: self.run,
                step,
                outcome: Outcome::Succeeded,
                claimed_us: 1_500_000,
                bytes_in: 4096,
                bytes_out: 1024,
            },
            None => {
                WorkloadOp::StartStep { run: self.run, name: UntrustedText::new("individuals_ID0000004") }
            }
        };
        let starts = end.is_none();
        self.starting += usize::from(starts);
        let (tx, reply) = oneshot::channel();
        core.queues.push(WriterRequest::work(self.scope.clone(), op, None, tx)).expect("room");
        self.waiting.push_back(Asked { starts, at: Instant::now(), reply });
        true
    }
}

/// Drives step starts and finishes for a while; gives receipts, seconds, bytes of each sync, and latencies.
fn drive(core: &Core, lanes: &mut [Lane], time: Duration) -> (u64, f64, Vec<u32>, Vec<f64>) {
    let receipts = core.board.receipts.load(Ordering::Relaxed);
    *core.board.sync_sizes.lock() = Some(vec![]);
    let half = window(core.tenants.len()) / lanes.len() / 2;
    let (mut latencies, begun) = (vec![], Instant::now());
    while begun.elapsed() < time {
        for lane in &mut *lanes {
            lane.answered(&mut latencies);
            while lane.ask(core, half) {}
        }
        // Nobody sleeps until one certain answer is there: to wake a thread by each costs the committer more than the
        // answer does, and to look all the time costs one of the processors. An agent's runtime spares it both.
        std::thread::sleep(look(lanes.len()));
    }
    while lanes.iter().any(|l| !l.waiting.is_empty()) {
        for lane in &mut *lanes {
            lane.answered(&mut latencies);
        }
        std::thread::sleep(look(lanes.len()));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let sizes = core.board.sync_sizes.lock().take().unwrap_or_default();
    (core.board.receipts.load(Ordering::Relaxed) - receipts, seconds, sizes, latencies)
}

/// The physical limit: the same bytes, in the same pieces, each followed by fdatasync. Seconds.
fn bare(dir: &Path, sizes: &[u32]) -> f64 {
    let path = dir.join("bare");
    let mut f = std::fs::File::create(&path).expect("a file");
    let largest = sizes.iter().copied().max().unwrap_or(0) as usize;
    let bytes = vec![0xa5u8; largest];
    let begun = Instant::now();
    for n in sizes {
        f.write_all(&bytes[..*n as usize]).expect("written");
        let _ = f.as_raw_fd();
        f.sync_data().expect("synced");
    }
    let took = begun.elapsed().as_secs_f64();
    let _ = std::fs::remove_file(path);
    took
}

/// Open runs of every tenant.
fn lanes(core: &Core) -> Vec<Lane> {
    // More than one run of a tenant where there are few: a run holds a bounded number of open steps.
    let runs = 16usize.div_ceil(core.tenants.len());
    let all = core.tenants.iter().flat_map(|t| std::iter::repeat_n(*t, runs));
    let open = |tenant| {
        let op = WorkloadOp::StartRun(NewRun {
            workflow: ident("etl"),
            env: Env::Production,
            actor: ActorType::Service,
            action: ident("run"),
            subject: None,
            prompt: None,
        });
        Lane {
            scope: core.scope(tenant),
            run: core.ask(tenant, op).run_id,
            open: vec![],
            waiting: VecDeque::new(),
            starting: 0,
        }
    };
    all.map(open).collect()
}

/// Seconds of the ledger for one admission, over 100 tenants.
pub(crate) fn admissions() -> f64 {
    let dir = tempfile::tempdir().expect("a folder");
    let core = Core::start(dir.path(), 100);
    core.lift();
    let mut of = lanes(&core);
    let mut each = vec![];
    for _ in 0..ROUNDS {
        let (receipts, seconds, _, _) = drive(&core, &mut of, ROUND);
        each.push(seconds / receipts as f64);
    }
    core.stop();
    median(each)
}

/// Receipts through the ledger against a bare loop, over 1, 100 and 1,000 tenants.
pub(crate) fn ledger(report: &mut Report) {
    for tenants in [1usize, 100, 1_000] {
        let dir = tempfile::tempdir().expect("a folder");
        let core = Core::start(dir.path(), tenants);
        core.lift();
        let mut lanes = lanes(&core);
        drive(&core, &mut lanes, Duration::from_secs(1));
        let (mut ratios, mut ours, mut peer, mut rates, mut each, mut late) =
            (vec![], vec![], vec![], vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            let (n, seconds, sizes, mut l) = drive(&core, &mut lanes, ROUND);
            let bytes: f64 = sizes.iter().map(|s| f64::from(*s)).sum();
            core.settle();
            let limit = bare(dir.path(), &sizes);
            ours.push(bytes / seconds / 1e6);
            peer.push(bytes / limit / 1e6);
            ratios.push(limit / seconds);
            rates.push(n as f64 / seconds);
            each.push(bytes / n as f64);
            late.append(&mut l);
        }
        report.line(
            &format!("ledger-{tenants}-tenants"),
            (median(ours), "MB/s"),
            ("fdatasync-loop", median(peer)),
            median(ratios),
            ">=0.3",
        );
        report.note(&format!(
            "{:.0} receipts/s, {:.0} bytes a receipt with its rows, p50 {:.1} ms, p99 {:.1} ms with {} waiting; goal 0.5; the loop writes the same number of bytes a sync, on a quiet disk, and decides, hashes, seals and merges nothing; files that are left to be merged after a round are merged before it",
            median(rates), median(each), median(late.clone()), p99(late), window(tenants)
        ));
        signing(report, &core, tenants);
        core.stop();
    }
}

/// Processor time of signing for each receipt so far, against a minisign signature for each.
fn signing(report: &mut Report, core: &Core, tenants: usize) {
    let receipts = core.board.receipts.load(Ordering::Relaxed) as f64;
    let (cpu, signed) =
        (core.signing.micros.load(Ordering::Relaxed), core.signing.count.load(Ordering::Relaxed));
    let key = minisign::KeyPair::generate_unencrypted_keypair().expect("a key");
    let text = "conductor-log/00000000000000000000000000000000/00000000000000000000000000000000/1\n4096\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let one = thread_cpu_micros();
    for _ in 0..500 {
        minisign::sign(None, &key.sk, text.as_bytes(), Some("t"), None).expect("signed");
    }
    let each = (thread_cpu_micros() - one) as f64 / 500.0;
    let ours = cpu as f64 / receipts;
    // With many tenants each log is signed for itself; nothing is asked of that case but to be told.
    let bar = if tenants == 1 { ">=40" } else { ">=1" };
    report.line(
        &format!("signing-{tenants}-tenants"),
        (ours, "us"),
        ("minisign-each", each),
        each / ours,
        bar,
    );
    report.note(&format!(
        "processor time of the signing thread: {signed} checkpoints for {receipts:.0} receipts"
    ));
}

/// Maximum time to open a node with as many tenants as it may have, seconds.
const REOPENED_WITHIN: f64 = 10.0;

pub(crate) fn provision(report: &mut Report) {
    for tenants in [1_000, MAX_TENANTS] {
        let opened = provision_with(report, tenants);
        if tenants == MAX_TENANTS {
            let ratio = opened / REOPENED_WITHIN;
            report.line("reopen-limit", (opened, "s"), ("allowed", REOPENED_WITHIN), ratio, "<=1");
        }
    }
}

/// Making and opening tenants, against the store alone with as many families. Returns the time to open them, seconds.
fn provision_with(report: &mut Report, tenants: usize) -> f64 {
    let dir = tempfile::tempdir().expect("a folder");
    let bare = dir.path().join("bare");
    std::fs::create_dir(&bare).expect("a folder");
    let (made_bare, opened_bare) = rocksdb_alone(&bare, tenants as u64);
    let before = resident_memory();
    let begun = Instant::now();
    let core = Core::start(dir.path(), tenants);
    let made = begun.elapsed().as_secs_f64();
    let node = core.node();
    core.stop();
    let opened: Vec<f64> = (0..5).map(|_| reopen(dir.path(), node).as_secs_f64()).collect();
    let after = resident_memory();
    let provision = format!("provision-{tenants}");
    report.line(&provision, (made, "s"), ("families-alone", made_bare), made / made_bare, "<=2");
    let (opened, opened_bare) = (median(opened), median(opened_bare));
    let reopen = format!("reopen-{tenants}");
    report.line(&reopen, (opened, "s"), ("families-alone", opened_bare), opened / opened_bare, "<=2");
    report.note(&format!(
        "ours makes keys, begins {tenants} logs and signs them, and reads their ends back; {} MB more memory after five openings",
        after.saturating_sub(before) / 1_000_000
    ));
    opened
}

fn rocksdb_alone(path: &Path, families: u64) -> (f64, Vec<f64>) {
    let limits = SpaceLimits::default();
    let begun = Instant::now();
    let store = Store::create(path, limits).expect("made");
    let id = |n: u64| {
        let mut uid = [9u8; 16];
        uid[..8].copy_from_slice(&n.to_be_bytes());
        PartitionId { tenant: TenantUid(uid), epoch: 1 }
    };
    store.create_families(&(0..families).map(id).collect::<Vec<_>>()).expect("made");
    let made = begun.elapsed().as_secs_f64();
    drop(store);
    let open = |_| {
        let begun = Instant::now();
        drop(Store::open(path, limits).expect("opened"));
        begun.elapsed().as_secs_f64()
    };
    (made, (0..5).map(open).collect())
}
