//! A small agent for tests of the replay and the client: it answers the routes of workloads over a unix socket, keeps
//! idempotency keys, and checks what a workload must never do.

use crate::client::endpoint::Endpoint;
use crate::client::http::{AgentClient, Bearer};
use crate::client::workload::Workload;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use conductor_shared::fact::Verdict;
use conductor_shared::http::{
    Decided, FinishRun, FinishStep, OfTenant, Problem, ReceiptRef, StartRun, StartStep,
};
use conductor_shared::ids::{Ident, NodeId, Origin, RunId, TenantUid};
use conductor_shared::reason::Reason;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

/// Requests it received, and what it must deny.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) runs: Vec<StartRun>,
    pub(crate) started: Vec<String>,
    pub(crate) finished: Vec<FinishStep>,
    pub(crate) finished_runs: Vec<FinishRun>,
    pub(crate) cancelled: Vec<String>,
    pub(crate) heartbeats: u64,
    pub(crate) open: u64,
    pub(crate) most_open: u64,
    pub(crate) lease_us: Option<u64>,
    /// Denials to give to the next run starts.
    pub(crate) deny_runs: VecDeque<Problem>,
    /// Denials to give to the next step starts.
    pub(crate) deny_steps: VecDeque<Problem>,
    pub(crate) keys: HashMap<String, u64>,
    receipts: u64,
}

pub(crate) type Shared = Arc<Mutex<Seen>>;

pub(crate) fn problem(reason: Reason, retry_after_us: Option<u64>) -> Problem {
    Problem {
        kind: format!("urn:conductor:reason:{reason}"),
        title: "denied".into(),
        status: reason.status(),
        detail: "as the test asks".into(),
        decision: Some(Verdict::Deny),
        reasons: vec![reason],
        receipt: None,
        folded: false,
        retry_after_us,
    }
}

fn denied(p: Problem) -> Response {
    (StatusCode::from_u16(p.status).unwrap(), Json(p)).into_response()
}

fn allow(s: &mut Seen, run: RunId, step: Option<u64>) -> Response {
    s.receipts += 1;
    let origin = Origin { node: NodeId([1; 16]), tenant: TenantUid([2; 16]), epoch: 1 };
    Json(Decided {
        decision: Verdict::Allow,
        receipt: ReceiptRef { origin, index: s.receipts },
        run_id: run,
        step,
        lease_us: s.lease_us,
        sticky: None,
        folded: false,
        late: None,
    })
    .into_response()
}

/// Counts a request under its key; a request without one, or without the token, is a fault of the client.
fn key(s: &mut Seen, h: &HeaderMap) {
    assert_eq!(h["authorization"], "Bearer cdw_test");
    let k = h["idempotency-key"].to_str().unwrap().to_owned();
    assert!((1..=128).contains(&k.len()));
    *s.keys.entry(k).or_default() += 1;
}

async fn start_run(State(s): State<Shared>, h: HeaderMap, Json(b): Json<StartRun>) -> Response {
    let mut s = s.lock().unwrap();
    key(&mut s, &h);
    if let Some(p) = s.deny_runs.pop_front() {
        return denied(p);
    }
    s.runs.push(b);
    let id = RunId([u8::try_from(s.runs.len()).unwrap(); 16]);
    allow(&mut s, id, None)
}

async fn start_step(
    State(s): State<Shared>,
    Path(run): Path<String>,
    h: HeaderMap,
    Json(b): Json<StartStep>,
) -> Response {
    let mut s = s.lock().unwrap();
    key(&mut s, &h);
    if let Some(p) = s.deny_steps.pop_front() {
        return denied(p);
    }
    s.started.push(b.name.raw().to_owned());
    s.open += 1;
    s.most_open = s.most_open.max(s.open);
    let step = s.started.len() as u64;
    allow(&mut s, run.parse().unwrap(), Some(step))
}

async fn finish_step(
    State(s): State<Shared>,
    Path((run, step)): Path<(String, u64)>,
    h: HeaderMap,
    Json(b): Json<FinishStep>,
) -> Response {
    let mut s = s.lock().unwrap();
    key(&mut s, &h);
    s.finished.push(b);
    s.open -= 1;
    allow(&mut s, run.parse().unwrap(), Some(step))
}

async fn heartbeat(
    State(s): State<Shared>,
    Path(run): Path<String>,
    h: HeaderMap,
    _: Json<OfTenant>,
) -> Response {
    let mut s = s.lock().unwrap();
    key(&mut s, &h);
    s.heartbeats += 1;
    allow(&mut s, run.parse().unwrap(), None)
}

async fn finish_run(
    State(s): State<Shared>,
    Path(run): Path<String>,
    h: HeaderMap,
    Json(b): Json<FinishRun>,
) -> Response {
    let mut s = s.lock().unwrap();
    key(&mut s, &h);
    assert_eq!(s.open, 0, "a run was finished over open steps");
    s.finished_runs.push(b);
    allow(&mut s, run.parse().unwrap(), None)
}

async fn cancel(
    State(s): State<Shared>,
    Path(run): Path<String>,
    h: HeaderMap,
    _: Json<OfTenant>,
) -> Response {
    let mut s = s.lock().unwrap();
    key(&mut s, &h);
    s.cancelled.push(run.clone());
    allow(&mut s, run.parse().unwrap(), None)
}

/// Starts it on a socket in `dir`.
pub(crate) fn start(dir: &std::path::Path) -> (Shared, Workload) {
    let seen: Shared = Arc::default();
    let app = Router::new()
        .route("/v1/runs", post(start_run))
        .route("/v1/runs/{run}/steps", post(start_step))
        .route("/v1/runs/{run}/steps/{step}/finish", post(finish_step))
        .route("/v1/runs/{run}/heartbeat", post(heartbeat))
        .route("/v1/runs/{run}/finish", post(finish_run))
        .route("/v1/runs/{run}/cancel", post(cancel))
        .with_state(Arc::clone(&seen));
    let path = dir.join("agent.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let agent = AgentClient::new(Endpoint::Unix(path)).unwrap();
    let workload = Workload::new(agent, Bearer::new("cdw_test").unwrap(), Ident::new("acme").unwrap());
    (seen, workload)
}
