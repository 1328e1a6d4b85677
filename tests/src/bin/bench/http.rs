//! Decisions over HTTP against Redis with `appendfsync always` that runs the same limits in one EVALSHA: the same load
//! program, the same number of connections, both durable before they answer.

use crate::{Report, median, p99};
use conductor_shared::command::Operation;
use conductor_shared::quota::QuotaKind;
use conductor_tests::{Client, Node, Tenant};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);

/// Open runs, steps a second with burst, backlog, ramp: then the step is recorded.
const SCRIPT: &str = r"
local t = KEYS[1]
if tonumber(redis.call('HGET', t, 'open') or '0') > 100000 then return 'deny' end
if tonumber(redis.call('HGET', t, 'backlog') or '0') > 100000000 then return 'deny' end
if redis.call('HGET', t, 'killed') then return 'deny' end
if tonumber(ARGV[1]) >= 10000 then return 'deny' end
local now = redis.call('TIME')
local us = now[1] * 1000000 + now[2]
local tat = tonumber(redis.call('HGET', t, 'tat') or '0')
if tat < us then tat = us end
if tat - us > 1000000 then return 'deny' end
redis.call('HSET', t, 'tat', tat + 1)
redis.call('HINCRBY', t, 'steps', 1)
redis.call('RPUSH', t .. ':log', ARGV[2])
return 'allow'
";

struct Redis {
    child: Child,
    socket: std::path::PathBuf,
    sha: String,
}

impl Redis {
    fn start(dir: &Path) -> Self {
        let socket = dir.join("redis.sock");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--appendonly", "yes", "--appendfsync", "always", "--save", ""])
            .args(["--maxclients", "2000", "--dir"])
            .arg(dir)
            .arg("--unixsocket")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed by make setup");
        conductor_tests::wait_for("redis listens", 10, || UnixStream::connect(&socket).ok());
        let mut s = BufReader::new(UnixStream::connect(&socket).expect("redis"));
        let sha = call(&mut s, &["SCRIPT", "LOAD", SCRIPT]).expect("loaded");
        Self { child, socket, sha }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn call(s: &mut BufReader<UnixStream>, args: &[&str]) -> std::io::Result<String> {
    let mut out = format!("*{}\r\n", args.len());
    for a in args {
        out += &format!("${}\r\n{a}\r\n", a.len());
    }
    s.get_mut().write_all(out.as_bytes())?;
    let mut line = String::new();
    s.read_line(&mut line)?;
    match line.strip_prefix('$').and_then(|n| n.trim().parse::<usize>().ok()) {
        Some(n) => {
            let mut b = vec![0; n + 2];
            s.read_exact(&mut b)?;
            b.truncate(n);
            Ok(String::from_utf8_lossy(&b).into_owned())
        }
        None => Ok(line.trim().to_owned()),
    }
}

/// The load program: so many threads, each asking as soon as it was answered. Decisions a second and latencies in ms.
fn load(connections: usize, connect: impl Fn(usize) -> Box<dyn FnMut() + Send> + Sync) -> (f64, Vec<f64>) {
    let (go, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let all: Vec<Vec<f64>> = std::thread::scope(|s| {
        let threads: Vec<_> = (0..connections)
            .map(|i| {
                let (connect, go, stop) = (&connect, &go, &stop);
                s.spawn(move || {
                    let mut ask = connect(i);
                    ask();
                    while !go.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    let mut times = vec![];
                    while !stop.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        ask();
                        times.push(begun.elapsed().as_secs_f64() * 1e3);
                    }
                    times
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        go.store(true, Ordering::Relaxed);
        std::thread::sleep(ROUND);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|t| t.join().expect("a thread")).collect()
    });
    let times: Vec<f64> = all.into_iter().flatten().collect();
    (times.len() as f64 / ROUND.as_secs_f64(), times)
}

/// 64 and 512 connections.
pub(crate) fn http(report: &mut Report) {
    let node = Node::start();
    let tenants: Vec<Tenant> = ["acme", "bolt", "coil", "dyne"].iter().map(|n| node.tenant(n)).collect();
    for t in &tenants {
        for kind in
            [QuotaKind::StepRate, QuotaKind::StepBurst, QuotaKind::ReceiptBacklog, QuotaKind::ConcurrentRuns]
        {
            node.command(t.uid, Operation::QuotaSet { kind, limit: kind.max() });
        }
    }
    let dir = tempfile::tempdir().expect("a folder");
    let redis = Redis::start(dir.path());
    let socket = node.socket();
    let ours = |i: usize| -> Box<dyn FnMut() + Send> {
        let t = tenants[i % tenants.len()].clone();
        let mut c = Client::new(&socket, &t.token);
        let run = c.post("/v1/runs", &conductor_tests::node::run_body(&t, None)).json();
        let run = run["run_id"].as_str().expect("a run").to_owned();
        let body = json!({"tenant_id": t.name, "name": "individuals_ID0000004"}).to_string();
        let done = json!({"tenant_id": t.name, "outcome": "succeeded", "duration_us": 5, "bytes_in": 1, "bytes_out": 1}).to_string();
        let (start, mut n, mut open) = (format!("/v1/runs/{run}/steps"), 0u64, false);
        Box::new(move || {
            let path = if open { format!("{start}/{n}/finish") } else { start.clone() };
            let r = c
                .once("POST", &path, if open { done.as_bytes() } else { body.as_bytes() }, &[])
                .expect("answered");
            assert_eq!(r.status, 200, "{}", String::from_utf8_lossy(&r.body));
            n += u64::from(!open);
            open = !open;
        })
    };
    let theirs = |i: usize| -> Box<dyn FnMut() + Send> {
        let mut s = BufReader::new(UnixStream::connect(&redis.socket).expect("redis"));
        let (sha, key) = (redis.sha.clone(), format!("tenant-{}", i % 4));
        Box::new(move || {
            let said =
                call(&mut s, &["EVALSHA", &sha, "1", &key, "77", "individuals_ID0000004"]).expect("answered");
            assert_eq!(said, "allow");
        })
    };
    for connections in [64, 512] {
        let (mut a, mut b, mut r, mut la, mut lb) = (vec![], vec![], vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            let (x, mut lx) = load(connections, ours);
            let (y, mut ly) = load(connections, theirs);
            a.push(x);
            b.push(y);
            r.push(x / y);
            la.append(&mut lx);
            lb.append(&mut ly);
        }
        report.line(
            &format!("http-{connections}"),
            (median(a), "/s"),
            ("redis-evalsha", median(b)),
            median(r),
            ">=1.0",
        );
        report.note(&format!(
            "p99 {:.1} ms ours, {:.1} ms redis; ours parses HTTP and JSON, proves scope, hashes, seals and signs as well; ours alternates step start and finish",
            p99(la), p99(lb)
        ));
    }
}
