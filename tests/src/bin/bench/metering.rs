//! Usage of 30 days at a million and at ten million events: over HTTP, cold and warm, while work comes in; in process
//! against `SQLite` over the same rollups and `DuckDB` over the raw events; and what rollups cost the one who writes.

use crate::rig::Core;
use crate::{Report, median};
use conductor_agent::metering::{self, FoldQuery};
use conductor_shared::clock::WallTime;
use conductor_shared::fact::{ActorType, Env};
use conductor_shared::ids::{Ident, TenantUid};
use conductor_shared::meter::{DAY_US, Labels};
use conductor_shared::time_range::Period;
use conductor_shared::usage::{Gathered, GroupBy};
use conductor_tests::backfill::Backfill;
use conductor_tests::prng::Prng;
use conductor_tests::{Client, bin, wait_for};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

const TENANTS: usize = 1_000;
const ROUNDS: usize = 7;
const ASKS: usize = 150;
const DAYS: u64 = 30;
/// Each receipt of a step says three events.
const EVENTS: u64 = 3;
/// Half of all events are one tenant's: 50 workflows, 3 environments, 2 actor types, each on each day.
const BIG: u64 = 2;

fn all_labels() -> Vec<Labels> {
    let mut out = vec![];
    for w in 0..50 {
        for env in [Env::Production, Env::Staging, Env::Development] {
            for actor_type in [ActorType::Service, ActorType::Person] {
                let workflow_type = Ident::new(&format!("workflow-{w:02}")).expect("a name");
                out.push(Labels { env, actor_type, workflow_type });
            }
        }
    }
    out
}

/// A node with so many events.
struct Stored {
    dir: tempfile::TempDir,
    node: conductor_shared::ids::NodeId,
    tenants: Vec<TenantUid>,
    bearers: Vec<String>,
    first_day: u64,
}

impl Stored {
    fn make(events: u64, files: Option<&Path>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let core = Core::start(dir.path(), TENANTS);
        core.lift();
        let (node, tenants) = (core.node(), core.tenants.clone());
        let bearers = tenants.iter().map(|t| Core::bearer(*t)).collect();
        core.stop();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
        let first_day = u64::try_from(now.as_micros()).expect("fits") / DAY_US + 1;
        let (mut d, labels) = (Prng(88_172_645_463_325_252), all_labels());
        let mut backfill =
            Backfill::open(&dir.path().join("data"), &dir.path().join("keys"), node, tenants[0]);
        let mut raw = files
            .map(|f| std::io::BufWriter::new(std::fs::File::create(f.join("events.csv")).expect("a file")));
        let receipts = events / EVENTS;
        for (i, t) in tenants.iter().enumerate() {
            backfill.turn_to(*t);
            let n = if i == 0 { receipts / BIG } else { (receipts - receipts / BIG) / (TENANTS as u64 - 1) };
            for k in 0..n {
                let at = first_day * DAY_US + k * (DAYS * DAY_US + 11 * DAY_US / 24) / n;
                let l = &labels[usize::try_from(d.below(300)).expect("small")];
                let us = d.below(60_000_000);
                let a = backfill.step(at, l, us);
                if let Some(f) = &mut raw {
                    let (w, e, c) = (&l.workflow_type, l.env, l.actor_type);
                    let at = a.time.as_micros();
                    for (event, q) in
                        [("step_executed", us), ("receipt_emitted", 1), ("storage_bytes_written", a.stored)]
                    {
                        writeln!(f, "tenant-{i:05},{at},{w},{e},{c},{event},1,{q}").expect("written");
                    }
                }
                if k % 400 == 399 {
                    backfill.commit();
                }
            }
            backfill.sign();
        }
        if let Some(f) = files {
            days(&backfill, &tenants, f);
        }
        backfill.close();
        Self { dir, node, tenants, bearers, first_day }
    }

    fn backfill(&self) -> Backfill {
        Backfill::open(
            &self.dir.path().join("data"),
            &self.dir.path().join("keys"),
            self.node,
            self.tenants[0],
        )
    }

    fn serve(&self) -> Agent {
        let p = self.dir.path();
        let (socket, config) = (p.join("agent.sock"), p.join("c.toml"));
        let text = format!(
            "name = \"bench\"\nenvironment = \"rehearsal\"\ndata = \"{0}/data\"\nkeys = \"{0}/keys\"\nlisten = [\"unix:{0}/agent.sock\"]\nlisten_operators = [\"unix:{0}/operator.sock\"]\n[signer]\nsocket = \"{0}/none.sock\"\n",
            p.display()
        );
        std::fs::write(&config, text).expect("written");
        let child = Command::new(bin("conductord"))
            .args(["run", "--config"])
            .arg(&config)
            .stderr(Stdio::null())
            .spawn()
            .expect("the agent starts");
        let agent = Agent { child, socket };
        wait_for("the agent is ready", 120, || {
            let mut c = Client::new(&agent.socket, "");
            c.send("GET", "/readyz", b"", &[]).is_ok_and(|a| a.status == 200).then_some(())
        });
        agent
    }
}

/// The rollup table of days, for `SQLite`: what our own rows hold.
fn days(backfill: &Backfill, tenants: &[TenantUid], folder: &Path) {
    let mut f = std::io::BufWriter::new(std::fs::File::create(folder.join("days.csv")).expect("a file"));
    for (i, t) in tenants.iter().enumerate() {
        backfill.days(*t, |day, l, s| {
            let sums = [
                s.runs_started,
                s.steps_executed,
                s.step_us,
                s.bytes_in,
                s.bytes_out,
                s.approval_decisions,
                s.receipts_emitted,
                s.evidence_exported_bytes,
                s.storage_bytes,
            ];
            let sums: Vec<String> = sums.iter().map(i128::to_string).collect();
            let (w, e, a) = (&l.workflow_type, l.env, l.actor_type);
            writeln!(f, "tenant-{i:05},{day},{w},{e},{a},{}", sums.join(",")).expect("written");
        });
    }
}

struct Agent {
    child: Child,
    socket: std::path::PathBuf,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn p95(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v.get(v.len() * 95 / 100).or(v.last()).copied().unwrap_or(0.0)
}

/// Milliseconds of each answer.
fn ask(agent: &Agent, s: &Stored, which: impl Fn(usize) -> usize) -> Vec<f64> {
    let mut clients: std::collections::HashMap<usize, Client> = std::collections::HashMap::new();
    (0..ASKS)
        .map(|n| {
            let t = which(n);
            let c = clients.entry(t).or_insert_with(|| Client::new(&agent.socket, &s.bearers[t]));
            let path = format!("/v1/tenants/{}/usage?range=30d", s.tenants[t]);
            let begun = Instant::now();
            let a = c.get(&path);
            let ms = begun.elapsed().as_secs_f64() * 1e3;
            assert_eq!(a.status, 200);
            ms
        })
        .collect()
}

struct Peer {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Peer {
    fn start(folder: &Path, first: u64, last: u64) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let found = Command::new("bash").arg(root.join("scripts/duckdb.sh")).output().expect("bash");
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let mut child = Command::new("python3")
            .arg(root.join("tests/duckdb/peer.py"))
            .arg(folder)
            .args([first.to_string(), last.to_string(), "tenant-00000".to_owned()])
            .env("PYTHONPATH", String::from_utf8_lossy(&found.stdout).trim())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        out.read_line(&mut line).expect("ready");
        assert_eq!(line.trim(), "ready");
        Self { child, out }
    }

    /// Microseconds, and what was found.
    fn ask(&mut self, which: &str) -> (f64, Vec<i64>) {
        writeln!(self.child.stdin.as_mut().expect("its input"), "{which}").expect("asked");
        let mut line = String::new();
        self.out.read_line(&mut line).expect("answered");
        let mut parts = line.split_whitespace();
        let us = parts.next().and_then(|t| t.parse().ok()).expect("a time");
        (us, parts.map(|t| t.parse().expect("a number")).collect())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Measures metering: ingest, queries over HTTP, and the fold against `SQLite` and `DuckDB`.
pub(crate) fn metering(report: &mut Report) {
    ingest(report);
    let files = tempfile::tempdir().expect("a folder");
    let small = Stored::make(1_000_000, None);
    let large = Stored::make(10_000_000, Some(files.path()));
    over_http(report, &small, &large);
    in_process(report, &large, files.path());
}

fn over_http(report: &mut Report, small: &Stored, large: &Stored) {
    let (a, b) = (small.serve(), large.serve());
    let cold = p95(ask(&b, large, |n| 1 + n * 6 % (TENANTS - 1)));
    let (mut one, mut ten, mut busy) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        one.push(p95(ask(&a, small, |_| 0)));
        ten.push(p95(ask(&b, large, |_| 0)));
    }
    let (stop, runs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (stop, runs) = (Arc::clone(&stop), Arc::clone(&runs));
            let (socket, bearer) = (b.socket.clone(), large.bearers[n * 7].clone());
            scope.spawn(move || {
                let mut c = Client::new(&socket, &bearer);
                let body = json!({"tenant_id": format!("tenant-{:05}", n * 7), "workflow_type": "etl", "env": "production", "actor_type": "service"});
                while !stop.load(Ordering::Relaxed) {
                    let a = c.post("/v1/runs", &body).json();
                    let Some(run) = a["run_id"].as_str() else { continue };
                    let done = json!({"tenant_id": body["tenant_id"], "outcome": "succeeded"});
                    c.post(&format!("/v1/runs/{run}/finish"), &done);
                    runs.fetch_add(2, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..ROUNDS {
            busy.push(p95(ask(&b, large, |_| 0)));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let rate = runs.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    let (one, ten, busy) = (median(one), median(ten), median(busy));
    report.line("usage-30d-p95", (ten, "ms"), ("limit", 2.0), ten / 2.0, "<=1");
    report.line("usage-30d-p95-busy", (busy, "ms"), ("limit", 2.0), busy / 2.0, "<=1");
    report.note(&format!("{rate:.0} receipts a second came in meanwhile, over 4 connections"));
    report.line("usage-30d-p95-cold", (cold, "ms"), ("limit", 2.0), cold / 2.0, "<=1");
    report.note("the first question about each of 150 tenants after a start");
    report.line("usage-30d-flat", (ten, "ms"), ("1M-events", one), ten / one, "<=1.2");
}

fn in_process(report: &mut Report, s: &Stored, files: &Path) {
    let (first, last) = (s.first_day, s.first_day + DAYS);
    let mut peer = Peer::start(files, first, last);
    let backfill = s.backfill();
    let labels = backfill.live.meters.labels().clone();
    let segments =
        [Period { from: WallTime::from_micros(first * DAY_US), to: WallTime::from_micros(last * DAY_US) }];
    let ours = || {
        let begun = Instant::now();
        let reading = backfill.store.reading();
        let mut rows = Gathered::default();
        let q = FoldQuery { segments: &segments, unsigned: &[], now: WallTime::MAX, open: None, cache: None };
        let by = GroupBy::default();
        metering::fold(&reading, &backfill.live.p, &q, |_, series, u| {
            rows.beside(by.of(&labels[series as usize]), &u);
        })
        .expect("read");
        let answer = (rows.rows().len(), rows.totals());
        (begun.elapsed().as_secs_f64() * 1e6, answer)
    };
    let (mut mine, mut lite, mut duck) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        for _ in 0..10 {
            mine.push(ours().0);
            lite.push(peer.ask("sqlite").0);
        }
        duck.push(peer.ask("duckdb").0);
    }
    let (rows, t) = ours().1;
    let sums = [t.steps_executed, t.step_us, t.receipts_emitted, t.storage_bytes_written];
    let mut same = vec![i64::try_from(rows).expect("few")];
    same.extend(sums.map(|n| i64::try_from(n).expect("64 bits")));
    assert_eq!(peer.ask("sqlite").1, same, "the same answer");
    assert_eq!(peer.ask("duckdb").1, same, "the same answer");
    let (mine, lite, duck) = (median(mine), median(lite), median(duck));
    report.line("usage-fold-sqlite", (mine, "us"), ("sqlite", lite), lite / mine, ">=1.5");
    report.note("SQLite has the nine sums of each day and series in the clear; ours opens sealed rows, and keeps storage over time as well");
    report.line("usage-fold-duckdb", (mine, "us"), ("duckdb-parquet", duck), duck / mine, ">=20");
}

/// Receipts a second with and without rollups, 128 a batch, each made durable.
fn ingest(report: &mut Report) {
    let s = Stored::make(3 * TENANTS as u64, None);
    let mut backfill = s.backfill();
    let (mut d, labels) = (Prng(88_172_645_463_325_252), all_labels());
    let mut at = (s.first_day + DAYS + 1) * DAY_US;
    let (mut with, mut without) = (vec![], vec![]);
    for round in 0..2 * ROUNDS {
        let off = round % 2 == 1;
        backfill.live.meters.turn_off(off);
        let begun = Instant::now();
        for _ in 0..100 {
            for _ in 0..128 {
                at += 1_000;
                let l = &labels[usize::try_from(d.below(300)).expect("small")];
                backfill.step(at, l, 1_000);
            }
            backfill.commit();
            backfill.store.sync().expect("durable");
        }
        let rate = 12_800.0 / begun.elapsed().as_secs_f64();
        if off {
            without.push(rate);
        } else {
            with.push(rate);
        }
        backfill.sign();
    }
    let (with, without) = (median(with), median(without));
    report.line("ingest-rollups", (with, "/s"), ("without", without), with / without, ">=0.9");
    report.note("one writer, one tenant of 300 series, batches of 128, each synced");
}
