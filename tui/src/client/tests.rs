//! Sessions, commands and transports, against a small agent that checks what a real one would.

use super::clock::SystemClock;
use super::commands::{self, Draft, Prepared};
use super::endpoint::Endpoint;
use super::error::ClientError;
use super::export::MAX_LINE;
use super::http::{AgentClient, Bearer};
use super::keys::{KeyFile, UnlockedKey, create};
use super::session::ReadSession;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::checkpoint::verify_minisign;
use conductor_shared::clock::WallTime;
use conductor_shared::command::{Command, Operation, ops};
use conductor_shared::fact::ChangeClass;
use conductor_shared::http::{
    Challenge, CommandOutcome, CommandStatus, NodeInfo, Preview, PreviewRequest, ReceiptRef, SessionOpened,
    SignedText,
};
use conductor_shared::ids::{Ident, NodeId, Origin, TenantUid, hex};
use conductor_shared::reason::Reason;
use conductor_shared::session::{Session, Transport};
use conductor_shared::untrusted::UntrustedText;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NOW: u64 = 1_700_000_000_000_000;
const TENANT: TenantUid = TenantUid([2; 16]);

#[derive(Default)]
struct Seen {
    sessions: u64,
    /// Length of the sessions given, microseconds.
    session_us: u64,
    commands: Vec<Command>,
    class: Option<ChangeClass>,
    preview_down: bool,
    sessions_down: bool,
}
type Shared = Arc<Mutex<Seen>>;

fn node() -> NodeInfo {
    NodeInfo {
        node_id: NodeId([1; 16]),
        name: Ident::new("demo-1").unwrap(),
        environment: Ident::new("rehearsal").unwrap(),
        version: "0".into(),
        now_us: NOW,
        boot: "b".into(),
        troubles: vec![],
    }
}

async fn session(State(s): State<Shared>, Json(b): Json<SignedText>) -> Response {
    verify_minisign(&b.public_key, b.text.as_bytes(), &b.signature).unwrap();
    let asked = Session::parse(b.text.as_bytes()).unwrap();
    assert_eq!((asked.node, asked.transport, asked.challenge), (node().node_id, Transport::Unix, [7; 16]));
    assert_eq!(asked.issued_at_us, NOW);
    let mut s = s.lock().unwrap();
    if s.sessions_down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    s.sessions += 1;
    let opened = SessionOpened {
        token: format!("cds_{}", s.sessions),
        expires_at_us: NOW + s.session_us,
        person: Ident::new("ana").unwrap(),
        roles: vec!["admin".into()],
    };
    Json(opened).into_response()
}

async fn command(State(s): State<Shared>, Json(b): Json<SignedText>) -> Response {
    let comment = verify_minisign(&b.public_key, b.text.as_bytes(), &b.signature).unwrap();
    let c = Command::parse(b.text.as_bytes()).unwrap();
    assert_eq!(comment, format!("conductor/command/v1 {}", c.command_id));
    let mut s = s.lock().unwrap();
    let origin = Origin { node: node().node_id, tenant: c.tenant, epoch: 1 };
    let outcome = CommandOutcome {
        command_id: c.command_id,
        status: CommandStatus::Effective,
        class: s.class.unwrap_or(ChangeClass::Tighten),
        receipt: ReceiptRef { origin, index: 5 },
        proposal: None,
        reasons: vec![],
        before: vec![],
        after: vec![],
    };
    s.commands.push(c);
    Json(outcome).into_response()
}

async fn preview(State(s): State<Shared>, Json(b): Json<PreviewRequest>) -> Response {
    assert!(Operation::from_list(&b.operation).is_some());
    let s = s.lock().unwrap();
    if s.preview_down {
        return (StatusCode::SERVICE_UNAVAILABLE, "down\u{1b}[2J").into_response();
    }
    let p = Preview {
        frozen: false,
        class: s.class.unwrap_or(ChangeClass::Tighten),
        base: hex(&[4; 32]),
        before: vec![],
        after: vec![],
        since_us: 0,
        requests: 0,
        newly_allowed: 0,
        newly_denied: 0,
        by_workflow: vec![],
        open_runs_stopped: 0,
        approvals: 0,
    };
    Json(p).into_response()
}

async fn show_node(h: HeaderMap) -> Response {
    assert!(h.get(header::ORIGIN).is_none());
    if h[header::AUTHORIZATION] == "Bearer old" {
        let p = crate::replay::fake_agent::problem(Reason::Unauthenticated, None);
        return (StatusCode::UNAUTHORIZED, Json(p)).into_response();
    }
    Json(node()).into_response()
}

fn router(seen: &Shared) -> Router {
    let challenge = || async { Json(Challenge { challenge: hex(&[7; 16]), node: node() }) };
    Router::new()
        .route("/v1/sessions/challenge", post(challenge))
        .route("/v1/sessions", post(session))
        .route("/v1/commands", post(command))
        .route("/v1/node", get(show_node))
        .route("/v1/tenants", get(|| async { (StatusCode::FOUND, [(header::LOCATION, "http://evil/")]) }))
        .route("/v1/tenants/{t}", get(|| async { "x".repeat(super::http::MAX_ANSWER + 1) }))
        .route("/v1/tenants/{t}/totals", get(|| async { "{\"not\": \"totals\u{1b}\"}" }))
        .route(
            "/v1/tenants/{t}/receipts/export",
            get(|| async { format!("a\n\nbc\n{}", "x".repeat(MAX_LINE + 9)) }),
        )
        .route("/v1/tenants/{t}/preview", post(preview))
        .with_state(Arc::clone(seen))
}

/// Issue 3, Attacks (a hostile node that sends a command as its challenge): the console signs its own session text and
/// never what a node sent; what is no challenge is refused before the key is used.
#[tokio::test]
async fn a_command_is_no_challenge() {
    let command = "conductor/command/v1\ncommand_id: 01010101010101010101010101010101\n";
    let hex_of_it = hex(command.as_bytes());
    let newline = format!("{}\noperation: kill.clear", hex(&[7; 16]));
    for hostile in [command.to_owned(), hex_of_it, newline, String::new(), "07".repeat(17), "Z".repeat(32)] {
        let dir = tempfile::tempdir().unwrap();
        let signed = Arc::new(Mutex::new(0u32));
        let path = dir.path().join("agent.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let counted = Arc::clone(&signed);
        let app = Router::new()
            .route(
                "/v1/sessions/challenge",
                post(move || async move { Json(Challenge { challenge: hostile, node: node() }) }),
            )
            .route(
                "/v1/sessions",
                post(move || async move {
                    *counted.lock().unwrap() += 1;
                    StatusCode::IM_A_TEAPOT
                }),
            );
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let agent = AgentClient::new(Endpoint::Unix(path)).unwrap();
        let session = ReadSession::new(agent, Arc::new(key(dir.path())), Arc::new(SystemClock));
        let e = session.bearer().await.unwrap_err().to_string();
        assert!(e.contains("challenge"), "{e}");
        assert_eq!(*signed.lock().unwrap(), 0, "nothing signed was sent");
    }
}

fn key(dir: &Path) -> UnlockedKey {
    let path = dir.join("ana");
    create(&path, None).unwrap();
    KeyFile::load(&path).unwrap().unlock(None).unwrap()
}

fn start(dir: &Path) -> (Shared, ReadSession) {
    let seen: Shared = Arc::new(Mutex::new(Seen { session_us: 600_000_000, ..Seen::default() }));
    let path = dir.join("agent.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let app = router(&seen);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let agent = AgentClient::new(Endpoint::Unix(path)).unwrap();
    (seen, ReadSession::new(agent, Arc::new(key(dir)), Arc::new(SystemClock)))
}

fn cap() -> Operation {
    Operation::RampCap(ops::RampCap {
        selector: "run/etl".parse().unwrap(),
        hundredths: BasisPoints::saturating(100),
    })
}

/// DESIGN, Signed texts: a session is opened once, shared, and renewed before it ends.
#[tokio::test]
async fn a_session_is_kept_and_renewed() {
    let dir = tempfile::tempdir().unwrap();
    let (seen, session) = start(dir.path());
    assert_eq!(session.bearer().await.unwrap().secret(), "cds_1");
    assert_eq!(session.clone().get().await.unwrap().person.as_str(), "ana");
    assert_eq!(seen.lock().unwrap().sessions, 1);
    session.forget().await;
    seen.lock().unwrap().session_us = 20_000_000; // less than the margin: renewed at each use
    assert_eq!(session.bearer().await.unwrap().secret(), "cds_2");
    assert_eq!(session.bearer().await.unwrap().secret(), "cds_3");
    let all = format!("{:?} {session:?}", session.bearer().await.unwrap());
    assert!(!all.contains("cds_"), "{all}");
}

/// SPEC invariant 3: a tightening has no base and goes on without a preview; a loosening has the base that was shown,
/// and does not go on without it.
#[tokio::test]
async fn commands_carry_what_their_class_needs() {
    let dir = tempfile::tempdir().unwrap();
    let (seen, session) = start(dir.path());
    let why = || UntrustedText::new("why");
    let plan = commands::plan(&session, TENANT, cap(), why(), true).await.unwrap();
    assert!(!plan.needs_confirmation());
    plan.prepared.sign_and_send(&session).await.unwrap();

    seen.lock().unwrap().preview_down = true;
    let plan = commands::plan(&session, TENANT, cap(), why(), true).await.unwrap();
    assert!(plan.preview.is_none() && !plan.needs_confirmation());
    plan.prepared.sign_and_send(&session).await.unwrap();
    let e = commands::plan(&session, TENANT, cap(), why(), false).await.unwrap_err();
    assert!(e.to_string().contains("down\\u{1b}[2J"), "{e}");

    session.forget().await;
    seen.lock().unwrap().sessions_down = true;
    let plan = commands::plan(&session, TENANT, cap(), why(), true).await.unwrap();
    plan.prepared.sign_and_send(&session).await.unwrap();
    assert!(commands::plan(&session, TENANT, cap(), why(), false).await.is_err());
    seen.lock().unwrap().sessions_down = false;

    {
        let mut s = seen.lock().unwrap();
        (s.preview_down, s.class) = (false, Some(ChangeClass::Loosen));
    }
    let op = Operation::RampSet(ops::RampSet {
        selector: "run/etl".parse().unwrap(),
        hundredths: BasisPoints::saturating(5000),
    });
    let plan = commands::plan(&session, TENANT, op.clone(), why(), false).await.unwrap();
    assert!(plan.needs_confirmation());
    assert_eq!(plan.prepared.parsed().unwrap().operation, op);
    plan.prepared.sign_and_send(&session).await.unwrap();

    let s = seen.lock().unwrap();
    let bases: Vec<_> = s.commands.iter().map(|c| c.base).collect();
    assert_eq!(bases, [None, None, None, Some([4; 32])]);
    for c in &s.commands {
        assert_eq!((c.issued_at_us, c.expires_at_us), (NOW, NOW + 300_000_000));
        assert_eq!(c.tenant, TENANT);
    }
    assert_ne!(s.commands[0].command_id, s.commands[1].command_id);
    assert_ne!(s.commands[0].nonce, s.commands[1].nonce);
}

/// SPEC, Bad input: a reason that the agent would refuse is refused before anything is signed.
#[test]
fn reasons_are_checked_before_signing() {
    assert!(commands::reason("ticket 7").is_ok());
    for bad in ["", "  ", "a\nb", "a\u{202e}b", &"x".repeat(201)] {
        assert!(commands::reason(bad).is_err(), "{bad:?}");
    }
    let bad = Prepared::compose(Draft {
        nodes: vec![NodeId([1; 16])],
        tenant: TENANT,
        operation: cap(),
        base: None,
        reason: UntrustedText::new("a\nnonce: 1"),
        now: WallTime::from_micros(1),
        life: Duration::from_micros(1),
    });
    assert!(matches!(bad, Err(ClientError::Usage(_))));
}

/// SPEC, Bad input: answers are bounded, redirects are not followed, and hostile bytes are escaped.
#[tokio::test]
async fn answers_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let (_seen, session) = start(dir.path());
    let (agent, bearer) = (session.agent(), session.bearer().await.unwrap());
    let mut said = vec![
        agent.node(&Bearer::new("old").unwrap()).await.unwrap_err().to_string(),
        agent.tenants(&bearer).await.unwrap_err().to_string(),
        agent.tenant(&bearer, TENANT).await.unwrap_err().to_string(),
        agent.totals(&bearer, TENANT).await.unwrap_err().to_string(),
    ];
    let mut lines = agent.export(&bearer, TENANT, 0, 1).await.unwrap();
    for want in ["a", "", "bc"] {
        assert_eq!(lines.next().await.unwrap().unwrap(), want.as_bytes());
    }
    said.push(lines.next().await.unwrap_err().to_string());
    let path = dir.path().to_string_lossy().into_owned();
    insta::assert_snapshot!(said.join("\n").replace(&path, "DIR"));
    for bad in ["", "a b", "a\r\nx: y", "é", &"x".repeat(600)] {
        assert!(Bearer::new(bad).is_err(), "{bad:?}");
    }
}

/// DESIGN, Listening: TLS counts by the pin alone; another certificate is refused before anything is sent.
#[tokio::test]
async fn tls_is_pinned() {
    use sha2::{Digest, Sha256};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let made = rcgen::generate_simple_self_signed(vec!["anything".to_owned()]).unwrap();
    let der = made.cert.der().clone();
    let secret = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], secret.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(0usize));
    let counter = Arc::clone(&heard);
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let mut buf = [0u8; 4096];
            if tls.read(&mut buf).await.is_ok_and(|n| n > 0) {
                *counter.lock().unwrap() += 1;
                let body = serde_json::to_string(&node()).unwrap();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = tls.write_all(answer.as_bytes()).await;
                let _ = tls.shutdown().await;
            }
        }
    });
    let pin: [u8; 32] = Sha256::digest(der.as_ref()).into();
    let at = |pin| Endpoint::Tls { host: "127.0.0.1".into(), port, pin };
    let bearer = Bearer::new("cds_x").unwrap();
    assert_eq!(AgentClient::new(at(pin)).unwrap().node(&bearer).await.unwrap(), node());
    assert_eq!(*heard.lock().unwrap(), 1);
    let wrong = AgentClient::new(at([9; 32])).unwrap().node(&bearer).await.unwrap_err();
    assert!(matches!(&wrong, ClientError::Pin { found, .. } if *found == hex(&pin)), "{wrong}");
    let wrong = super::ws::connect_ws(&at([9; 32]), &bearer).await.err().unwrap();
    assert!(matches!(wrong, ClientError::Pin { .. }), "{wrong}");
    assert_eq!(*heard.lock().unwrap(), 1);
}
