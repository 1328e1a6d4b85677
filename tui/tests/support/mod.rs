//! A made-up agent on a unix socket: enough HTTP and WebSocket for the console, over a link as slow as asked for.
#![allow(clippy::unwrap_used)] // only tests use it

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::Command;
use conductor_shared::control::ControlState;
use conductor_shared::fact::{ChangeClass, Verdict};
use conductor_shared::http::{
    Challenge, CommandOutcome, CommandStatus, NodeInfo, Preview, ReceiptJson, ReceiptPage, ReceiptRef,
    SessionOpened, SignedText,
};
use conductor_shared::ids::{Ident, NodeId, Origin, TenantUid};
use conductor_shared::ramp::Ramp;
use conductor_shared::stream::{
    FromConsole, MAX_FRAME, NodeHealth, SignerState, Summary, ToConsole, VERSION,
};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Serialize;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// How the made-up agent behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fake {
    pub(crate) tenants: u32,
    /// Bytes a second; 0 for as fast as it goes.
    pub(crate) rate: u64,
    /// Added to each answer.
    pub(crate) delay: Duration,
}

/// A running one. Dropping it stops it and its connections.
pub(crate) struct Running {
    runtime: Option<tokio::runtime::Runtime>,
    /// Commands that were sent, as text.
    pub(crate) commands: Arc<Mutex<Vec<String>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(r) = self.runtime.take() {
            r.shutdown_background();
        }
    }
}

const NODE: NodeId = NodeId([0xaa; 16]);
const NOW_US: u64 = 1_700_000_000_000_000;

fn info() -> NodeInfo {
    NodeInfo {
        node_id: NODE,
        name: Ident::new("node-a").unwrap(),
        environment: Ident::new("production").unwrap(),
        version: env!("CARGO_PKG_VERSION").into(),
        now_us: NOW_US,
        boot: "b1".into(),
        troubles: vec![],
    }
}

fn uid(n: u32) -> TenantUid {
    let mut id = [1; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    TenantUid(id)
}

fn summary(n: u32, beat: u64) -> Summary {
    Summary {
        tenant: uid(n),
        name: Ident::new(&format!("tenant-{n:05}")).unwrap(),
        flags: if n % 50 == 7 { 4 } else { 0 },
        ramp: BasisPoints::saturating(if n % 50 == 7 { 1_000 } else { 10_000 }),
        size: 100 + u64::from(n % 900),
        root: [7; 32],
        signed: 98 + u64::from(n % 900),
        last_us: NOW_US - u64::from(n) * 10_000,
        open_runs: n % 90,
        run_quota: 100,
        steps_used: n % 500,
        step_burst: 2_000,
        step_rate: 1_000,
        backlog_quota: 100_000,
        allowed: beat * (10 + u64::from(n % 13)),
        denied: if n % 50 == 7 { beat * 2 } else { 0 },
        incidents: 0,
        epoch: 1,
    }
}

fn health(tenants: u32) -> NodeHealth {
    NodeHealth {
        node_id: NODE,
        name: Ident::new("node-a").unwrap(),
        now_us: NOW_US,
        node_seq: 9,
        signer: SignerState::Up,
        signer_detail: String::new(),
        troubles: vec![],
        backlog: 20,
        backlog_age_us: 300_000,
        admissions_stop_us: None,
        allow_rate: 812.0,
        deny_rate: 2.0,
        receipts: 123_456,
        tenants: u64::from(tenants),
        open_runs: 55,
        disk_free: 99 << 30,
    }
}

/// Starts one at a socket's path.
pub(crate) fn start(path: &Path, fake: Fake) -> Running {
    let _ = std::fs::remove_file(path);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(async { UnixListener::bind(path).unwrap() });
    let commands = Arc::new(Mutex::new(vec![]));
    let seen = commands.clone();
    runtime.spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            tokio::spawn(connection(io, fake, seen.clone()));
        }
    });
    Running { runtime: Some(runtime), commands }
}

async fn connection(mut io: UnixStream, fake: Fake, commands: Arc<Mutex<Vec<String>>>) {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        match io.read_u8().await {
            Ok(b) if head.len() < 8_192 => head.push(b),
            _ => return,
        }
    }
    tokio::time::sleep(fake.delay).await;
    let head = String::from_utf8_lossy(&head).into_owned();
    let field = |name: &str| {
        head.lines().find_map(|l| {
            let (k, v) = l.split_once(':')?;
            k.eq_ignore_ascii_case(name).then(|| v.trim().to_owned())
        })
    };
    let path = head.split(' ').nth(1).unwrap_or("").to_owned();
    if path == "/v1/stream" {
        let accept = derive_accept_key(field("sec-websocket-key").unwrap_or_default().as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        if io.write_all(answer.as_bytes()).await.is_ok() {
            stream(WebSocketStream::from_raw_socket(io, Role::Server, None).await, fake).await;
        }
        return;
    }
    let len = field("content-length").and_then(|l| l.parse().ok()).unwrap_or(0usize).min(100_000);
    let mut body = vec![0; len];
    if io.read_exact(&mut body).await.is_err() {
        return;
    }
    let (status, json) = answer(&path, &body, &commands);
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    );
    let _ = io.write_all(text.as_bytes()).await;
}

fn json<T: Serialize>(v: &T) -> (&'static str, String) {
    ("200 OK", serde_json::to_string(v).unwrap())
}

fn origin(n: TenantUid) -> Origin {
    Origin { node: NODE, tenant: n, epoch: 1 }
}

fn answer(path: &str, body: &[u8], commands: &Mutex<Vec<String>>) -> (&'static str, String) {
    if path == "/v1/sessions/challenge" {
        return json(&Challenge { challenge: "ab".repeat(16), node: info() });
    }
    if path == "/v1/sessions" {
        return json(&SessionOpened {
            token: format!("cds_{}", "0".repeat(64)),
            expires_at_us: NOW_US + 3_600_000_000,
            person: Ident::new("mira").unwrap(),
            roles: vec!["operator".into()],
        });
    }
    if path == "/v1/commands" {
        let signed: SignedText = serde_json::from_slice(body).unwrap();
        let c = Command::parse(signed.text.as_bytes()).unwrap();
        conductor_shared::checkpoint::verify_minisign(
            &signed.public_key,
            signed.text.as_bytes(),
            &signed.signature,
        )
        .unwrap();
        commands.lock().unwrap().push(signed.text);
        return json(&CommandOutcome {
            command_id: c.command_id,
            status: CommandStatus::Effective,
            class: if c.base.is_some() { ChangeClass::Loosen } else { ChangeClass::Tighten },
            receipt: ReceiptRef { origin: origin(c.tenant), index: 41 },
            proposal: None,
            reasons: vec![],
            before: vec![],
            after: c.operation.to_list()[1..].to_vec(),
        });
    }
    if path.ends_with("/preview") {
        return json(&Preview {
            frozen: false,
            class: ChangeClass::Loosen,
            base: "cd".repeat(32),
            before: vec!["hundredths".into(), "1000".into()],
            after: vec!["hundredths".into(), "5000".into()],
            since_us: NOW_US - 3_600_000_000,
            requests: 4_821,
            newly_allowed: 1_930,
            newly_denied: 0,
            by_workflow: vec![],
            open_runs_stopped: 0,
            approvals: 0,
        });
    }
    if path.contains("/receipts?") {
        return receipts();
    }
    (
        "404 Not Found",
        r#"{"type":"about:blank","title":"not here","status":404,"detail":"not made up"}"#.into(),
    )
}

fn receipts() -> (&'static str, String) {
    let receipts = (60..100u64).map(|index| ReceiptJson {
        index,
        time_us: NOW_US + index,
        kind: 0x1001,
        kind_name: "RunDecided".into(),
        sealed: String::new(),
        fields: vec![],
        summary: format!("run of etl {index} \u{1b}[2J hostile"),
        verdict: Some(if index % 4 == 0 { Verdict::Deny } else { Verdict::Allow }),
    });
    json(&ReceiptPage { origin: origin(uid(0)), size: 100, receipts: receipts.collect(), next: None })
}

async fn stream(mut ws: WebSocketStream<UnixStream>, fake: Fake) {
    let text = |m: &ToConsole| Message::text(serde_json::to_string(m).unwrap());
    let Some(Ok(_hello)) = ws.next().await else { return };
    tokio::time::sleep(fake.delay).await;
    let hello =
        ToConsole::Hello { version: VERSION, node: info(), node_seq: 9, resumed: false, resync: None };
    let _ = ws.send(text(&hello)).await;
    let _ = ws.send(text(&ToConsole::OverviewBegin { tenants: u64::from(fake.tenants) })).await;
    let all: Vec<u32> = (0..fake.tenants).collect();
    for part in all.chunks(MAX_FRAME / Summary::LEN) {
        let mut bytes = vec![];
        for n in part {
            summary(*n, 1).put(&mut bytes);
        }
        if let Some(us) = (bytes.len() as u64 * 1_000_000).checked_div(fake.rate) {
            tokio::time::sleep(Duration::from_micros(us)).await;
        }
        if ws.send(Message::binary(bytes)).await.is_err() {
            return;
        }
    }
    let _ = ws.send(text(&ToConsole::OverviewEnd)).await;
    let mut beats = tokio::time::interval(Duration::from_millis(500));
    let mut beat = 1u64;
    loop {
        tokio::select! {
            _ = beats.tick() => {
                beat += 1;
                if ws.send(text(&ToConsole::Node(Box::new(health(fake.tenants))))).await.is_err() { return; }
                let mut bytes = vec![];
                for n in 0..fake.tenants.min(200) {
                    summary(n, beat).put(&mut bytes);
                }
                if ws.send(Message::binary(bytes)).await.is_err() { return; }
            }
            m = ws.next() => match m {
                Some(Ok(Message::Text(t))) => {
                    if let Ok(FromConsole::Open { tenant }) = serde_json::from_str(&t) {
                        let mut state = ControlState { last: Some(40), ..ControlState::default() };
                        state.workflows.insert(Ident::new("etl").unwrap());
                        state.ramps.insert("run/etl".parse().unwrap(), Ramp { hundredths: BasisPoints::saturating(1_000), revision: 2, history: vec![BasisPoints::saturating(100)] });
                        let state = ToConsole::State { tenant, node_seq: 9, state: Box::new(state) };
                        if ws.send(text(&state)).await.is_err() { return; }
                    }
                }
                Some(Ok(_)) => {}
                _ => return,
            },
        }
    }
}
