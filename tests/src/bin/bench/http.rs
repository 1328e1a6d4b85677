//! Decisions over HTTP against Redis with `appendfsync always` that runs the same limits in one EVALSHA: the same load
//! program, the same number of connections, both durable before they answer.

use crate::{Report, median, p99};
use conductor_shared::command::Operation;
use conductor_shared::quota::QuotaKind;
use conductor_tests::{Client, Node, Tenant};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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

fn command(args: &[&str]) -> String {
    let mut out = format!("*{}\r\n", args.len());
    for a in args {
        out += &format!("${}\r\n{a}\r\n", a.len());
    }
    out
}

fn call(s: &mut BufReader<UnixStream>, args: &[&str]) -> std::io::Result<String> {
    s.get_mut().write_all(command(args).as_bytes())?;
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

/// Writes the next request.
type Next = Box<dyn FnMut(&mut Vec<u8>) + Send>;

/// One connection's side of the talk.
struct Talk {
    socket: PathBuf,
    next: Next,
    /// Whether what came is a whole answer; stops the bench if it is not a yes.
    whole: fn(&[u8]) -> bool,
}

/// The load program: one thread, so many connections, each asking as soon as it was answered. Decisions a second and
/// latencies in ms.
fn load(connections: usize, talk: impl Fn(usize) -> Talk) -> (f64, Vec<f64>) {
    let talks: Vec<Talk> = (0..connections).map(talk).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let times: Vec<f64> = runtime.block_on(async {
        let begin = Instant::now() + Duration::from_millis(500);
        let tasks: Vec<_> = talks.into_iter().map(|t| tokio::spawn(converse(t, begin))).collect();
        let mut all = vec![];
        for t in tasks {
            all.append(&mut t.await.expect("a connection"));
        }
        all
    });
    (times.len() as f64 / ROUND.as_secs_f64(), times)
}

/// Asks until the round is over; the first half second warms up.
async fn converse(mut talk: Talk, begin: Instant) -> Vec<f64> {
    let mut stream = tokio::net::UnixStream::connect(&talk.socket).await.expect("a connection");
    let (mut out, mut got, mut times) = (vec![], vec![], vec![]);
    while begin.elapsed() < ROUND {
        out.clear();
        got.clear();
        (talk.next)(&mut out);
        let asked = Instant::now();
        stream.write_all(&out).await.expect("sent");
        while !(talk.whole)(&got) {
            assert!(stream.read_buf(&mut got).await.expect("answered") > 0, "hung up");
        }
        if asked >= begin {
            times.push(asked.elapsed().as_secs_f64() * 1e3);
        }
    }
    times
}

fn redis_whole(got: &[u8]) -> bool {
    assert!(b"$5\r\nallow\r\n".starts_with(got), "{}", String::from_utf8_lossy(got));
    got.ends_with(b"allow\r\n")
}

fn http_whole(got: &[u8]) -> bool {
    let Some(head) = got.windows(4).position(|w| w == b"\r\n\r\n") else { return false };
    assert!(got.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(got));
    let text = std::str::from_utf8(&got[..head]).expect("ASCII");
    let length = text.lines().find_map(|l| l.strip_prefix("content-length: ")).expect("a length");
    got.len() >= head + 4 + length.parse::<usize>().expect("a number")
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
    let ours = |i: usize| {
        let t = &tenants[i % tenants.len()];
        let mut c = Client::new(&socket, &t.token);
        let run = c.post("/v1/runs", &conductor_tests::node::run_body(t, None)).json();
        let run = run["run_id"].as_str().expect("a run").to_owned();
        let start = json!({"tenant_id": t.name, "name": "individuals_ID0000004"}).to_string();
        let finish = json!({"tenant_id": t.name, "outcome": "succeeded", "duration_us": 5, "bytes_in": 1, "bytes_out": 1}).to_string();
        let head = format!(
            "HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {}\r\ncontent-type: application/json",
            t.token
        );
        let (mut n, mut open) = (0u64, false);
        let next = move |out: &mut Vec<u8>| {
            n += u64::from(!open);
            let (path, body) = if open { (format!("/{n}/finish"), &finish) } else { (String::new(), &start) };
            open = !open;
            write!(
                out,
                "POST /v1/runs/{run}/steps{path} {head}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .expect("memory");
        };
        Talk { socket: socket.clone(), next: Box::new(next), whole: http_whole }
    };
    let theirs = |i: usize| {
        let ask = command(&[
            "EVALSHA",
            &redis.sha,
            "1",
            &format!("tenant-{}", i % 4),
            "77",
            "individuals_ID0000004",
        ]);
        let next = move |out: &mut Vec<u8>| out.extend_from_slice(ask.as_bytes());
        Talk { socket: redis.socket.clone(), next: Box::new(next), whole: redis_whole }
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
