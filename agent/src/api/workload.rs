//! Routes of workloads.

use super::auth::{self, Peer, told};
use super::problem::Refused;
use super::{Api, Shared};
use crate::scope::TenantScope;
use crate::store::Row;
use crate::writer::ask::{Ask, Denial, Idempotency, Op};
use crate::writer::queue::Full;
use crate::writer::rows::{RunRow, decode};
use crate::writer::view;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use conductor_shared::fact::Outcome;
use conductor_shared::http::{
    DecideApproval, Decided, FinishRun, FinishStep, IDEMPOTENCY_KEY, MAX_NAME, OfTenant, RunView, StartRun,
    StartStep,
};
use conductor_shared::ids::{Ident, RunId};
use conductor_shared::meter::{MAX_CLAIM_BYTES, MAX_CLAIM_US};
use conductor_shared::reason::Reason;
use conductor_shared::shown::Text;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

type Answer = Result<Json<Decided>, Refused>;
type Path2 = Path<(String, String)>;

/// A request on its way to the writer: proved, read, and with its key.
struct Request<'a> {
    api: &'a Shared,
    peer: &'a Peer,
    name: &'static str,
    scope: TenantScope,
    shared: Arc<view::Shared>,
    once: Option<Idempotency>,
}

impl<'a> Request<'a> {
    async fn prove(
        api: &'a Shared,
        peer: &'a Peer,
        headers: &HeaderMap,
        name: &'static str,
        path: &str,
        body: &[u8],
    ) -> Result<Self, Refused> {
        let (scope, shared) = auth::workload(api, peer, headers, name).await?;
        let once = match headers.get(IDEMPOTENCY_KEY) {
            None => None,
            Some(v) => {
                let key = v
                    .to_str()
                    .ok()
                    .filter(|k| (1..=128).contains(&k.len()) && k.bytes().all(|c| c.is_ascii_graphic()));
                let bad = || {
                    Refused::bad(
                        StatusCode::BAD_REQUEST,
                        "Idempotency-Key takes 1 to 128 visible ASCII characters",
                    )
                };
                let mut h = Sha256::new();
                h.update(path.as_bytes());
                h.update([0]);
                h.update(body);
                Some(Idempotency { key: key.ok_or_else(bad)?.to_owned(), body: h.finalize().into() })
            }
        };
        Ok(Self { api, peer, name, scope, shared, once })
    }

    /// Reads the body, and makes sure that it names the tenant that was proved.
    async fn body<T: DeserializeOwned>(
        &self,
        body: &[u8],
        tenant: impl Fn(&T) -> &Ident,
    ) -> Result<T, Refused> {
        let named = match serde_json::from_slice::<T>(body) {
            Ok(t) if *tenant(&t) == self.shared.name => return Ok(t),
            Ok(t) => tenant(&t).to_string(),
            Err(e) => {
                // A body that names no tenant, or none there can be, is a matter of scope; any other is a mistake.
                let Ok(any) = serde_json::from_slice::<serde_json::Value>(body) else {
                    return Err(Refused::body(&e));
                };
                let named = any.get("tenant_id").and_then(serde_json::Value::as_str).unwrap_or("").to_owned();
                if !any.is_object() || Ident::new(&named).is_ok_and(|n| n == self.shared.name) {
                    return Err(Refused::body(&e));
                }
                named
            }
        };
        Err(auth::denied(self.api, self.peer, self.name, Some(&self.scope), &named, Reason::ScopeMismatch)
            .await)
    }

    async fn ask(self, op: Op) -> Answer {
        let (tx, rx) = oneshot::channel();
        let ask = Ask::work(self.scope, op, self.once, tx);
        match self.api.queues.push(ask) {
            Ok(()) => {}
            Err(Full::Queue(_)) => return Err(told(Denial::bare(Reason::QueueFull)).await),
            Err(Full::Closed(_)) => return Err(Denial::bare(Reason::Stopping).into()),
        }
        match rx.await {
            Ok(Ok(d)) => Ok(Json(d)),
            Ok(Err(d)) => Err(told(d).await),
            Err(_) => Err(Denial::bare(Reason::StoreUnavailable).into()),
        }
    }
}

fn run_id(text: &str) -> Result<RunId, Refused> {
    text.parse().map_err(|e| Refused::bad(StatusCode::BAD_REQUEST, format!("run: {e}")))
}

fn bounded(what: &str, text: &Text) -> Result<(), Refused> {
    if text.raw().len() > MAX_NAME {
        return Err(Refused::bad(StatusCode::BAD_REQUEST, format!("{what} has more than {MAX_NAME} bytes")));
    }
    Ok(())
}

fn reached(outcome: Outcome, allowed: &[Outcome]) -> Result<(), Refused> {
    if allowed.contains(&outcome) {
        return Ok(());
    }
    let words: Vec<_> = allowed.iter().map(|o| o.as_str()).collect();
    Err(Refused::bad(StatusCode::BAD_REQUEST, format!("outcome: expected one of {}", words.join(", "))))
}

pub(super) async fn run_start(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let r = Request::prove(&api, &peer, &headers, "run_start", "", &body).await?;
    let b: StartRun = r.body(&body, |b: &StartRun| &b.tenant_id).await?;
    if let Some(s) = &b.subject {
        bounded("subject", s)?;
    }
    let prompt = match &b.prompt_sha256 {
        None => None,
        Some(hex) => Some(conductor_shared::ids::unhex::<32>(hex).ok_or_else(|| {
            Refused::bad(StatusCode::BAD_REQUEST, "prompt_sha256: expected 64 hex digits, lower case")
        })?),
    };
    let subject = b.subject.filter(|s| !s.raw().is_empty());
    r.ask(Op::StartRun {
        workflow: b.workflow_type,
        env: b.env,
        actor: b.actor_type,
        action: b.action,
        subject,
        prompt,
    })
    .await
}

pub(super) async fn step_start(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(run): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let r = Request::prove(&api, &peer, &headers, "step_start", &run, &body).await?;
    let b: StartStep = r.body(&body, |b: &StartStep| &b.tenant_id).await?;
    bounded("name", &b.name)?;
    r.ask(Op::StartStep { run: run_id(&run)?, name: b.name }).await
}

pub(super) async fn step_finish(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path((run, step)): Path2,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let r = Request::prove(&api, &peer, &headers, "step_finish", &format!("{run}/{step}"), &body).await?;
    let b: FinishStep = r.body(&body, |b: &FinishStep| &b.tenant_id).await?;
    reached(b.outcome, &[Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled])?;
    if b.duration_us > MAX_CLAIM_US || b.bytes_in > MAX_CLAIM_BYTES || b.bytes_out > MAX_CLAIM_BYTES {
        let what = "duration_us is at most 366 days, bytes_in and bytes_out at most 1 PiB";
        return Err(Refused::bad(StatusCode::BAD_REQUEST, what));
    }
    let number = conductor_shared::ids::parse_decimal(&step);
    let step = number.ok_or_else(|| Refused::bad(StatusCode::BAD_REQUEST, "step: expected a number"))?;
    r.ask(Op::FinishStep {
        run: run_id(&run)?,
        step,
        outcome: b.outcome,
        claimed_us: b.duration_us,
        bytes_in: b.bytes_in,
        bytes_out: b.bytes_out,
    })
    .await
}

pub(super) async fn heartbeat(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(run): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let r = Request::prove(&api, &peer, &headers, "run_heartbeat", &run, &body).await?;
    let _: OfTenant = r.body(&body, |b: &OfTenant| &b.tenant_id).await?;
    r.ask(Op::Heartbeat { run: run_id(&run)? }).await
}

pub(super) async fn approve(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(run): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let r = Request::prove(&api, &peer, &headers, "approval_decide", &run, &body).await?;
    let b: DecideApproval = r.body(&body, |b: &DecideApproval| &b.tenant_id).await?;
    bounded("name", &b.name)?;
    bounded("approver", &b.approver)?;
    r.ask(Op::Approve { run: run_id(&run)?, name: b.name, approver: b.approver, approved: b.approved }).await
}

pub(super) async fn run_finish(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(run): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let r = Request::prove(&api, &peer, &headers, "run_finish", &run, &body).await?;
    let b: FinishRun = r.body(&body, |b: &FinishRun| &b.tenant_id).await?;
    reached(b.outcome, &[Outcome::Succeeded, Outcome::Failed])?;
    r.ask(Op::FinishRun { run: run_id(&run)?, outcome: b.outcome }).await
}

pub(super) async fn run_cancel(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(run): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let r = Request::prove(&api, &peer, &headers, "run_cancel", &run, &body).await?;
    let _: OfTenant = r.body(&body, |b: &OfTenant| &b.tenant_id).await?;
    r.ask(Op::CancelRun { run: run_id(&run)? }).await
}

pub(super) async fn run_show(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(run): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Json<RunView>, Refused> {
    let (scope, shared) = auth::workload(&api, &peer, &headers, "run_show").await?;
    let named = query.get("tenant_id").map_or("", String::as_str);
    if named != shared.name.as_str() {
        return Err(auth::denied(&api, &peer, "run_show", Some(&scope), named, Reason::ScopeMismatch).await);
    }
    let id = run_id(&run)?;
    let view = super::read::blocking(&api, &shared, move |store, p| {
        for key in [Row::OpenRun(id.0).key(), Row::EndedRun(id.0).key()] {
            let Some(row) = store.get(&p.family, &key)? else { continue };
            let row: RunRow = decode(&p.open(&key, &row)?).map_err(|e| p.damaged(&key, &e))?;
            let (mut open, mut all) = (0, 0);
            for (first, is_open) in [(Row::OPEN_STEPS, true), (Row::OPEN_STEPS + 1, false)] {
                let prefix = [&[first][..], &id.0].concat();
                let end = [&prefix[..], &[0xff; 9]].concat();
                store.scan(&p.family, &prefix, &end, |_, _| {
                    all += 1;
                    open += u64::from(is_open);
                    true
                })?;
            }
            return Ok(Some((row, all, open)));
        }
        Ok(None)
    })
    .await?;
    let (row, steps, open_steps) = view.ok_or_else(|| Refused::from(Denial::bare(Reason::RunUnknown)))?;
    wait_durable(&api, &shared, row.last).await;
    Ok(Json(RunView {
        run_id: id,
        workflow_type: row.workflow,
        outcome: row.outcome,
        started_us: row.started_us,
        steps,
        open_steps,
    }))
}

/// A row may be read before its receipt is durable; nobody is told of it before it is.
async fn wait_durable(api: &Api, shared: &view::Shared, last: u64) {
    let mut commits = api.board.watch();
    while shared.view.load().size() <= last && api.board.store.load().is_some() {
        let wait = tokio::time::timeout(std::time::Duration::from_secs(5), commits.changed());
        if !matches!(wait.await, Ok(Ok(()))) {
            break;
        }
    }
}
