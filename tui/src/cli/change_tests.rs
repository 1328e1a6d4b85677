//! Changes from the command line to the agent and back: against an agent that keeps control state with the real fold and
//! computes the real class.

use super::args::Cli;
use super::context::Context;
use super::output::{CliError, Output};
use crate::client::keys::{KeyFile, create};
use crate::replay::fake_agent::problem;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use conductor_shared::change_class::class_of;
use conductor_shared::checkpoint::verify_minisign;
use conductor_shared::command::{Command, Operation, ops};
use conductor_shared::control::ControlState;
use conductor_shared::fact::ChangeClass;
use conductor_shared::http::{
    Challenge, CommandOutcome, CommandStatus, NodeInfo, Preview, PreviewRequest, ReceiptRef, SessionOpened,
    SignedText, TenantDetail, TenantList, TenantRow,
};
use conductor_shared::ids::{Ident, NodeId, Origin, TenantUid, hex};
use conductor_shared::reason::Reason;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

const ACME: TenantUid = TenantUid([2; 16]);

#[derive(Default)]
struct World {
    states: HashMap<String, ControlState>,
    sent: Vec<Command>,
    signer_down: bool,
}
type Shared = Arc<Mutex<World>>;

fn node() -> NodeInfo {
    NodeInfo {
        node_id: NodeId([1; 16]),
        name: Ident::new("demo-1").unwrap(),
        environment: Ident::new("rehearsal").unwrap(),
        version: "0".into(),
        now_us: 1_700_000_000_000_000,
        boot: "b".into(),
        troubles: vec![],
    }
}

fn judged(before: &ControlState, op: &Operation) -> (ControlState, ChangeClass) {
    let after = before.after(op);
    let class = class_of(before, op).into();
    (after, class)
}

async fn detail(State(w): State<Shared>, Path(t): Path<String>) -> Json<TenantDetail> {
    let control = w.lock().unwrap().states.entry(t.clone()).or_default().clone();
    let tenant_uid = t.parse().unwrap();
    Json(TenantDetail { tenant_uid, control, size: 1, root: "r".into(), checkpoint: None, open_runs: 0 })
}

async fn preview(
    State(w): State<Shared>,
    Path(t): Path<String>,
    Json(b): Json<PreviewRequest>,
) -> Json<Preview> {
    let op = Operation::from_list(&b.operation).unwrap();
    let mut w = w.lock().unwrap();
    let before = w.states.entry(t).or_default();
    let (after, class) = judged(before, &op);
    Json(Preview {
        class,
        base: hex(&before.object_digest(&op)),
        before: before.object(&op),
        after: after.object(&op),
        since_us: 0,
        requests: 40,
        newly_allowed: 6,
        newly_denied: 0,
        by_workflow: vec![],
        open_runs_stopped: 2,
        approvals: 0,
        frozen: false,
    })
}

async fn command(State(w): State<Shared>, Json(b): Json<SignedText>) -> Response {
    verify_minisign(&b.public_key, b.text.as_bytes(), &b.signature).unwrap();
    let c = Command::parse(b.text.as_bytes()).unwrap();
    let mut w = w.lock().unwrap();
    let down = w.signer_down;
    let before = w.states.entry(c.tenant.to_string()).or_default();
    let (after, class) = judged(before, &c.operation);
    if class == ChangeClass::Loosen {
        assert_eq!(c.base, Some(before.object_digest(&c.operation)), "a loosening carries what was shown");
        if down {
            let p = problem(Reason::SignerUnavailable, None);
            return (StatusCode::SERVICE_UNAVAILABLE, Json(p)).into_response();
        }
    } else {
        assert_eq!(c.base, None, "a tightening carries no base");
    }
    let origin = Origin { node: node().node_id, tenant: c.tenant, epoch: 1 };
    let outcome = CommandOutcome {
        command_id: c.command_id,
        status: CommandStatus::Effective,
        class,
        receipt: ReceiptRef { origin, index: 9 },
        proposal: (class == ChangeClass::Loosen).then_some(ReceiptRef { origin, index: 8 }),
        reasons: vec![],
        before: before.object(&c.operation),
        after: after.object(&c.operation),
    };
    *before = after;
    w.sent.push(c);
    Json(outcome).into_response()
}

struct Desk {
    dir: tempfile::TempDir,
    world: Shared,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world: Shared = Arc::default();
        create(&dir.path().join("ana"), None).unwrap();
        assert!(!KeyFile::load(&dir.path().join("ana")).unwrap().is_encrypted());
        let opened = || async {
            Json(SessionOpened {
                token: "cds_x".into(),
                expires_at_us: u64::MAX,
                person: Ident::new("ana").unwrap(),
                roles: vec![],
            })
        };
        let row = || TenantRow {
            tenant_uid: ACME,
            tenant_id: Ident::new("acme").unwrap(),
            size: 5,
            signed: 3,
            open_runs: 0,
        };
        let app = Router::new()
            .route(
                "/v1/sessions/challenge",
                post(|| async { Json(Challenge { challenge: hex(&[7; 16]), node: node() }) }),
            )
            .route("/v1/sessions", post(opened))
            .route("/v1/node", get(|| async { Json(node()) }))
            .route("/v1/tenants", get(move || async move { Json(TenantList { tenants: vec![row()] }) }))
            .route("/v1/tenants/{t}", get(detail))
            .route("/v1/tenants/{t}/preview", post(preview))
            .route("/v1/commands", post(command))
            .with_state(Arc::clone(&world));
        let listener = tokio::net::UnixListener::bind(dir.path().join("a.sock")).unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { dir, world }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn run(&self, line: &str) -> Result<Output, CliError> {
        let agent = format!("--agent=unix:{}", self.file("a.sock").display());
        let key = format!("--key={}", self.file("ana").display());
        let args = ["conductor", &agent, &key].map(str::to_owned).into_iter();
        let cli = Cli::try_parse_from(args.chain(line.split(' ').map(str::to_owned))).unwrap();
        let context = Context::new(cli.global).unwrap();
        super::run(&context, cli.command.unwrap()).await
    }

    fn last(&self) -> (String, usize) {
        let w = self.world.lock().unwrap();
        (w.sent.last().map(|c| c.operation.name().to_owned()).unwrap_or_default(), w.sent.len())
    }
}

/// SPEC invariant 3 and 3.1: tightening does not ask; loosening needs a reason and a yes; a rollback is a cap.
#[tokio::test]
async fn a_ramp_from_the_command_line() {
    let desk = Desk::new();
    let mut said = String::new();
    for (line, code, sent) in [
        ("ramp set acme run/etl 10", 0, ("ramp.set", 1)),
        ("ramp set acme run/etl 25 --yes", 2, ("ramp.set", 1)),
        ("ramp set acme run/etl 25 --reason ok", 2, ("ramp.set", 1)),
        ("ramp set acme run/etl 25 --reason ok --yes", 0, ("ramp.set", 2)),
        ("ramp rollback acme run/etl", 0, ("ramp.cap", 3)),
        ("ramp set acme run/etl 5", 0, ("ramp.cap", 4)),
        ("ramp show acme", 0, ("ramp.cap", 4)),
        ("ramp rollback acme run/other", 2, ("ramp.cap", 4)),
        ("ramp kill acme run/etl", 0, ("kill.set", 5)),
        ("kill clear acme run/etl", 2, ("kill.set", 5)),
        ("kill show acme", 0, ("kill.set", 5)),
        ("ramp show acmee", 2, ("kill.set", 5)),
    ] {
        // Standard input of the tests may be a terminal, where the second one would ask.
        if line.ends_with("--reason ok") && std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            continue;
        }
        let done = desk.run(line).await;
        let (text, got) = match &done {
            Ok(o) => (o.text.clone(), o.code),
            Err(e) => (format!("{e}\n"), e.code()),
        };
        assert_eq!(got, code, "{line}: {text}");
        assert_eq!(desk.last(), (sent.0.to_owned(), sent.1), "{line}");
        let _ = writeln!(
            said,
            "$ conductor {line}\n{}",
            text.replace(&*desk.dir.path().to_string_lossy(), "DIR")
        );
    }
    insta::assert_snapshot!(said);
    desk.world.lock().unwrap().signer_down = true;
    let e = desk.run("ramp set acme run/etl 90 --yes --reason up").await.unwrap_err();
    assert_eq!((e.code(), e.json()["problem"]["reasons"][0].as_str()), (1, Some("signer_unavailable")));
    desk.run("ramp set acme run/etl 1").await.unwrap();
    assert_eq!(desk.last().0, "ramp.cap");
}

/// SPEC, Bad input: a dry run shows the text that would be signed, and sends nothing.
#[tokio::test]
async fn a_dry_run_sends_nothing() {
    let desk = Desk::new();
    let out = desk.run("ramp set acme run/etl 10 --dry-run --json").await.unwrap();
    assert_eq!(desk.last().1, 0);
    let text = out.json["text"].as_str().unwrap();
    assert!(Command::parse(text.as_bytes()).is_ok() && out.text.contains(text));
}

/// SPEC 1.3 and 4.1: quotas, catalog, and a tenant whose uid is chosen here.
#[tokio::test]
async fn quotas_catalog_and_tenants() {
    let desk = Desk::new();
    for (line, operation) in [
        ("quota set acme concurrent_runs 20", "quota.cap"),
        ("quota set acme concurrent_runs 21 --yes --reason r", "quota.set"),
        ("workflow register acme etl --yes --reason r", "workflow.register"),
        ("workflow retire acme etl", "workflow.retire"),
        ("tenant create globex --yes --reason r", "tenant.create"),
    ] {
        let out = desk.run(line).await.unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!((out.code, desk.last().0.as_str()), (0, operation), "{line}");
    }
    let w = desk.world.lock().unwrap();
    assert_eq!(w.sent.last().unwrap().tenant, TenantUid::NODE);
    assert_eq!(
        w.states[&TenantUid::NODE.to_string()].tenants.values().next().unwrap().name.as_str(),
        "globex"
    );
}

/// SPEC, Words (workload): the secret is made here and never sent; its file is private, and goes when the token does not
/// count.
#[tokio::test]
async fn a_tokens_secret_stays_here() {
    use std::os::unix::fs::MetadataExt;
    let desk = Desk::new();
    let file = desk.file("token");
    let line = format!("token issue acme replay --out {} --yes --reason r", file.display());
    let out = desk.run(&line).await.unwrap();
    let token = std::fs::read_to_string(&file).unwrap();
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    let parts: Vec<&str> = token.trim().split('_').collect();
    assert_eq!(
        (parts[0], parts[1], parts[2]),
        ("cdw", ACME.to_string().as_str(), out.json["token_id"].as_str().unwrap())
    );
    let secret: [u8; 32] = conductor_shared::ids::unhex(parts[3]).unwrap();
    assert!(!out.text.contains(parts[3]) && !out.json.to_string().contains(parts[3]));
    {
        let w = desk.world.lock().unwrap();
        let c = w.sent.last().unwrap();
        let digest: [u8; 32] = Sha256::digest(secret).into();
        assert!(
            matches!(&c.operation, Operation::TokenIssue(ops::TokenIssue { secret_sha256, .. }) if *secret_sha256 == digest)
        );
        assert!(!c.text().contains(parts[3]));
    }
    assert!(desk.run(&line).await.unwrap_err().to_string().contains("never overwritten"));
    desk.run("token revoke acme replay").await.unwrap();
    assert!(desk.run("token list acme").await.unwrap().text.contains("revoked"));
    desk.world.lock().unwrap().signer_down = true;
    let other = desk.file("other");
    let line = format!("token issue acme again --out {} --yes --reason r", other.display());
    assert!(desk.run(&line).await.is_err() && !other.exists());
}
