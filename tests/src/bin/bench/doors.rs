//! Every public door flooded at once, with and without credentials, while an operator makes things safer.

use crate::{Report, p99};
use conductor_shared::command::{Audience, Command, ops};
use conductor_shared::http::{CommandOutcome, CommandStatus, SessionOpened};
use conductor_shared::ids::{CommandId, TenantUid};
use conductor_shared::untrusted::UntrustedText;
use conductor_tests::programs::random;
use conductor_tests::{Client, Node, Tenant, run_body};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const LASTS: Duration = Duration::from_secs(30);
const TIGHTENINGS: u32 = 200;
const TENANTS: usize = 5;
/// A person who waits for a safe state waits no longer.
const LIMIT_MS: f64 = 1_000.0;
/// Requests that are sent before an answer is read.
const AHEAD: usize = 4;
/// After a refused or ended connection.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Clone)]
enum Door {
    Unix(PathBuf),
    /// A port of this machine.
    Tcp(u16),
}

/// One kind of flood: so many connections that send the same bytes over and over.
struct Flood {
    name: &'static str,
    door: Door,
    bytes: Vec<u8>,
    connections: usize,
}

/// What a kind of flood came to.
#[derive(Default)]
struct Counts {
    /// Bytes that came back.
    read: AtomicU64,
    connects: AtomicU64,
}

fn request(method: &str, path: &str, bearer: &str, body: &str) -> Vec<u8> {
    let bearer =
        if bearer.is_empty() { String::new() } else { format!("authorization: Bearer {bearer}\r\n") };
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: node\r\n{bearer}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
        .repeat(AHEAD)
}

/// All floods: workloads' doors and operators' doors, over unix sockets and TCP, as a stranger, as a tenant's workload, as a
/// viewer, with commands that count already, with bodies that never end, and with what is no HTTP.
fn floods(node: &Node, ports: (u16, u16), a: &Tenant) -> Vec<Flood> {
    let (workloads, operators) = (Door::Unix(node.socket()), Door::Unix(node.operator_socket()));
    let (workload_port, operator_port) = (Door::Tcp(ports.0), Door::Tcp(ports.1));
    let start = run_body(a, None).to_string();
    let run = Client::new(&node.socket(), &a.token).post("/v1/runs", &run_body(a, None)).decided().run_id;
    let own = json!({"tenant_id": a.name}).to_string();
    let beat = format!("/v1/runs/{run}/heartbeat");
    let viewer = node.session_of("eve").read::<SessionOpened>().token;
    let counted = node
        .compose(a.uid, ops::KillSet { selector: "run/counted".parse().expect("a selector"), drain: false });
    assert_eq!(node.send(&counted).read::<CommandOutcome>().status, CommandStatus::Effective);
    let counted = node.signed(&counted.text()).to_string();
    let denied =
        node.absolute(a.uid, ops::KillClear { selector: "run/counted".parse().expect("a selector") });
    let denied = node.signed_by("eve", &denied.text()).to_string();
    let half = b"POST /v1/runs HTTP/1.1\r\nhost: node\r\ncontent-length: 1500000\r\n\r\n{".to_vec();
    let receipts = format!("/v1/tenants/{}/receipts/export", a.uid);
    let kind = |name, door: &Door, bytes, connections| Flood { name, door: door.clone(), bytes, connections };
    vec![
        kind("stranger starts runs, unix", &workloads, request("POST", "/v1/runs", "", &start), 128),
        kind("stranger starts runs, tcp", &workload_port, request("POST", "/v1/runs", "", &start), 128),
        kind(
            "forged token, tcp",
            &workload_port,
            request("POST", "/v1/runs", &format!("{}0", &a.token[..a.token.len() - 1]), &start),
            64,
        ),
        kind("half bodies, tcp", &workload_port, half.clone(), 128),
        kind("no HTTP, tcp", &workload_port, vec![0x16; 600], 64),
        kind("workload starts runs, unix", &workloads, request("POST", "/v1/runs", &a.token, &start), 128),
        kind("workload's heartbeats, tcp", &workload_port, request("POST", &beat, &a.token, &own), 128),
        kind("workload exports its log, unix", &workloads, request("GET", &receipts, &a.token, ""), 16),
        kind(
            "stranger asks for challenges, operators' tcp",
            &operator_port,
            request("POST", "/v1/sessions/challenge", "", "{}"),
            128,
        ),
        kind("half bodies, operators' tcp", &operator_port, half, 64),
        kind(
            "counted command again, operators' tcp",
            &operator_port,
            request("POST", "/v1/commands", "", &counted),
            64,
        ),
        kind(
            "viewer's denied command, operators' tcp",
            &operator_port,
            request("POST", "/v1/commands", "", &denied),
            64,
        ),
        kind(
            "viewer lists tenants, operators' unix",
            &operators,
            request("GET", "/v1/tenants", &viewer, ""),
            32,
        ),
        kind("viewer exports a log, operators' unix", &operators, request("GET", &receipts, &viewer, ""), 16),
    ]
}

async fn attack(f: Arc<Flood>, counts: Arc<Counts>, over: Arc<AtomicBool>) {
    while !over.load(Ordering::Relaxed) {
        counts.connects.fetch_add(1, Ordering::Relaxed);
        let ended = match &f.door {
            Door::Unix(path) => match tokio::net::UnixStream::connect(path).await {
                Ok(s) => send(s, &f.bytes, &counts, &over).await,
                Err(e) => Err(e),
            },
            Door::Tcp(port) => match tokio::net::TcpStream::connect(("127.0.0.1", *port)).await {
                Ok(s) => send(s, &f.bytes, &counts, &over).await,
                Err(e) => Err(e),
            },
        };
        drop(ended);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Until the other side ends it: sends, and takes what comes.
async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    mut s: S,
    bytes: &[u8],
    counts: &Counts,
    over: &AtomicBool,
) -> std::io::Result<()> {
    let mut got = vec![0; 64 << 10];
    while !over.load(Ordering::Relaxed) {
        s.write_all(bytes).await?;
        match s.read(&mut got).await? {
            0 => return Ok(()),
            n => counts.read.fetch_add(n as u64, Ordering::Relaxed),
        };
    }
    Ok(())
}

/// One tightening, on a connection of its own, as a person's console would: how long it took, ms.
fn tighten(node: &Node, tenant: TenantUid, n: u32) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let now = u64::try_from(now.as_micros()).expect("microseconds");
    let selector = format!("run/flood-{n}").parse().expect("a selector");
    let command = Command {
        command_id: CommandId(random()),
        audience: Audience::Nodes(vec![node.id]),
        tenant,
        base: None,
        operation: ops::KillSet { selector, drain: false }.into(),
        reason: UntrustedText::new("flood"),
        issued_at_us: now,
        expires_at_us: now + 60_000_000,
        nonce: random(),
    };
    let body = node.signed(&command.text());
    let begun = Instant::now();
    let answer = Client::new(&node.operator_socket(), "").post("/v1/commands", &body);
    let took = begun.elapsed().as_secs_f64() * 1e3;
    assert_eq!(answer.came_to(), ["effective"], "tightening {n}: {answer}");
    took
}

/// So many, evenly over the time that a flood lasts.
fn tightenings(node: &Node, tenants: &[Tenant], from: u32, number: u32, within: Duration) -> Vec<f64> {
    let begun = Instant::now();
    let one = |i: u32| {
        std::thread::sleep((within / number * i).saturating_sub(begun.elapsed()));
        tighten(node, tenants[i as usize % tenants.len()].uid, from + i)
    };
    (0..number).map(one).collect()
}

/// Runs the floods while `work` runs.
fn under<T>(floods: Vec<Flood>, work: impl FnOnce() -> T) -> (T, Vec<(&'static str, Arc<Counts>)>) {
    let over = Arc::new(AtomicBool::new(false));
    let kinds: Vec<_> = floods.into_iter().map(|f| (Arc::new(f), Arc::new(Counts::default()))).collect();
    let told = kinds.iter().map(|(f, c)| (f.name, Arc::clone(c))).collect();
    let stop = Arc::clone(&over);
    let flooding = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            for (f, counts) in &kinds {
                for _ in 0..f.connections {
                    tokio::spawn(attack(Arc::clone(f), Arc::clone(counts), Arc::clone(&stop)));
                }
            }
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(PAUSE).await;
            }
        });
        runtime.shutdown_background();
    });
    let done = work();
    over.store(true, Ordering::Relaxed);
    flooding.join().expect("the flood ended");
    (done, told)
}

/// 200 tightenings of five tenants under all floods at once: all take effect, and 99 of 100 within a second.
pub(crate) fn doors(report: &mut Report) {
    let mut node = Node::start_with(tempfile::tempdir().expect("a folder"), "", &["eve:viewer"]);
    let ports = (node.listen_on_tcp(), node.listen_to_operators_on_tcp());
    let names = ["acme", "bolt", "coil", "dyne", "eddy"];
    let tenants: Vec<Tenant> = names.iter().take(TENANTS).map(|n| node.tenant(n)).collect();
    let alone = tightenings(&node, &tenants, 0, TIGHTENINGS / 4, LASTS / 8);
    let floods = floods(&node, ports, &tenants[0]);
    let connections: usize = floods.iter().map(|f| f.connections).sum();
    let (times, told) = under(floods, || {
        std::thread::sleep(Duration::from_secs(1));
        tightenings(&node, &tenants, TIGHTENINGS, TIGHTENINGS, LASTS)
    });
    let (worst, p99_ms) = (times.iter().copied().fold(0.0, f64::max), p99(times));
    report.line("tighten-p99-under-flood", (p99_ms, "ms"), ("limit", LIMIT_MS), p99_ms / LIMIT_MS, "<=1");
    report.note(&format!(
        "{TIGHTENINGS} tightenings, all effective, the slowest {worst:.0} ms; p99 alone {:.1} ms; {connections} connections flood from the same cores",
        p99(alone)
    ));
    for (name, c) in told {
        let (connects, read) = (c.connects.load(Ordering::Relaxed), c.read.load(Ordering::Relaxed));
        report.note(&format!("{name}: {connects} connections, {} KiB of answers", read >> 10));
    }
}
