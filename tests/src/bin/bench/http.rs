//! Decisions over HTTP against Redis with `appendfsync always` that runs the same limits in one EVALSHA: the same load
//! program, the same number of connections, both durable before they answer.

use crate::load::{Talk, load, load_each, steps};
use crate::rig::settle;
use crate::{Report, median, p99};
use conductor_shared::command::ops;
use conductor_shared::quota::QuotaKind;
use conductor_tests::{Node, Tenant};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Many and short: the rate of either side wanders by a tenth from one second to the next.
const ROUNDS: usize = 11;
const ROUND: Duration = Duration::from_secs(2);

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

fn redis_whole(got: &[u8]) -> bool {
    assert!(b"$5\r\nallow\r\n".starts_with(got), "{}", String::from_utf8_lossy(got));
    got.ends_with(b"allow\r\n")
}

/// Lifts quotas that would bind.
pub(crate) fn lift(node: &Node, t: &Tenant) {
    for kind in
        [QuotaKind::StepRate, QuotaKind::StepBurst, QuotaKind::ReceiptBacklog, QuotaKind::ConcurrentRuns]
    {
        node.command(t.uid, ops::QuotaSet { kind, limit: kind.max() });
    }
}

/// 64 and 512 connections.
pub(crate) fn http(report: &mut Report) {
    let node = Node::start();
    let tenants: Vec<Tenant> = ["acme", "bolt", "coil", "dyne"].iter().map(|n| node.tenant(n)).collect();
    for t in &tenants {
        lift(&node, t);
    }
    let dir = tempfile::tempdir().expect("a folder");
    let redis = Redis::start(dir.path());
    let socket = node.socket();
    let ours = |i: usize| steps(&socket, &tenants[i % tenants.len()]);
    let theirs = |i: usize| {
        let ask = command(&[
            "EVALSHA",
            &redis.sha,
            "1",
            &format!("tenant-{}", i % 4),
            "77",
            "individuals_ID0000004",
        ]);
        let next = move |_: &[u8], out: &mut Vec<u8>| out.extend_from_slice(ask.as_bytes());
        Talk { socket: redis.socket.clone(), next: Box::new(next), whole: redis_whole, pause: Duration::ZERO }
    };
    for connections in [64, 512] {
        let (mut a, mut b, mut r, mut la, mut lb) = (vec![], vec![], vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            let (x, mut lx) = load(connections, ROUND, ours);
            settle(|| merging(&node));
            let (y, mut ly) = load(connections, ROUND, theirs);
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
            "p99 {:.1} ms ours, {:.1} ms redis; ours parses HTTP and JSON, proves scope, hashes, seals and signs as well; ours alternates step start and finish; files that are left to be merged after its round are merged before that of redis",
            p99(la), p99(lb)
        ));
    }
}

/// Files of a node's store that are being written or merged.
fn merging(node: &Node) -> u64 {
    let page = String::from_utf8(node.client("").get("/metrics").body).expect("text");
    metric(&page, "conductor_store_merging").expect("the metric")
}

/// A number on a page of metrics.
pub(crate) fn metric(page: &str, name: &str) -> Option<u64> {
    page.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// A tenant that asks now and then, alone and beside another that floods.
pub(crate) fn flood(report: &mut Report) {
    let node = Node::start();
    let (victim, hostile) = (node.tenant("acme"), node.tenant("bolt"));
    lift(&node, &victim);
    let socket = node.socket();
    let round = |floods: usize| {
        let paced = (0..8).map(|_| Talk { pause: Duration::from_millis(10), ..steps(&socket, &victim) });
        let mut each = load_each(
            paced.chain((0..floods).map(|_| crate::load::flood(&socket, &hostile))).collect(),
            ROUND,
        );
        let flooded = each.split_off(8).iter().map(Vec::len).sum::<usize>();
        (p99(each.into_iter().flatten().collect()), flooded as f64 / ROUND.as_secs_f64())
    };
    for floods in [64, 512] {
        let (mut a, mut b, mut r, mut f) = (vec![], vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            let (alone, _) = round(0);
            let (beside, rate) = round(floods);
            a.push(beside);
            b.push(alone);
            r.push(beside / alone);
            f.push(rate);
        }
        let name = format!("p99-beside-{floods}-flooding");
        report.line(&name, (median(a), "ms"), ("p99-alone", median(b)), median(r), "<=2");
        report.note(&format!(
            "the flood asks and is refused {:.0} times a second, from the same two cores",
            median(f)
        ));
    }
}
