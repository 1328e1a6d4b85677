//! What workloads ask. Their requests to change something are most of what an agent hears, and each waits for an answer:
//! they are told apart by hand here, where the router and its extractors would take more time than the decision does.

use super::auth::{self, Peer, told};
use super::problem::{self, Refused};
use super::talk::Turn;
use super::{Answered, Api, Shared};
use crate::scope::TenantScope;
use crate::store::Row;
use crate::writer::ask::{Ask, Denial, Idempotency, Op, Reply};
use crate::writer::queue::Full;
use crate::writer::rows::{RunRow, decode};
use crate::writer::view;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::{Extension, Json};
use conductor_shared::fact::Outcome;
use conductor_shared::http::{
    DecideApproval, FinishRun, FinishStep, IDEMPOTENCY_KEY, MAX_BODY, MAX_NAME, OfTenant, RunView, StartRun,
    StartStep,
};
use conductor_shared::ids::{Ident, RunId};
use conductor_shared::meter::{MAX_CLAIM_BYTES, MAX_CLAIM_US};
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::UntrustedText;
use http_body_util::{BodyExt as _, Either, Full as Whole, LengthLimitError, Limited};
use hyper::Response;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A change that a workload asks for, as its path names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call<'a> {
    RunStart,
    StepStart(&'a str),
    StepFinish(&'a str, &'a str),
    Heartbeat(&'a str),
    Approve(&'a str),
    RunFinish(&'a str),
    RunCancel(&'a str),
}

impl<'a> Call<'a> {
    /// `None`: the router knows, or nobody does.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/v1/runs")?;
        if rest.is_empty() {
            return Some(Self::RunStart);
        }
        let (run, rest) = rest.strip_prefix('/')?.split_once('/')?;
        match rest {
            "steps" => Some(Self::StepStart(run)),
            "heartbeat" => Some(Self::Heartbeat(run)),
            "approvals" => Some(Self::Approve(run)),
            "finish" => Some(Self::RunFinish(run)),
            "cancel" => Some(Self::RunCancel(run)),
            _ => {
                let step = rest.strip_prefix("steps/")?.strip_suffix("/finish")?;
                (!step.contains('/')).then_some(Self::StepFinish(run, step))
            }
        }
    }

    /// As in the table of routes.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RunStart => "run_start",
            Self::StepStart(_) => "step_start",
            Self::StepFinish(..) => "step_finish",
            Self::Heartbeat(_) => "run_heartbeat",
            Self::Approve(_) => "approval_decide",
            Self::RunFinish(_) => "run_finish",
            Self::RunCancel(_) => "run_cancel",
        }
    }

    /// What it is about, as an idempotency key binds it.
    fn about(self) -> String {
        match self {
            Self::RunStart => String::new(),
            Self::StepFinish(run, step) => format!("{run}/{step}"),
            Self::StepStart(run)
            | Self::Heartbeat(run)
            | Self::Approve(run)
            | Self::RunFinish(run)
            | Self::RunCancel(run) => run.to_owned(),
        }
    }
}

/// Why a request did not come before the writer.
enum Refusal {
    /// It cannot be read.
    Bad(Refused),
    /// It is denied for this reason, and the denial goes on record.
    OnRecord { scope: Option<TenantScope>, named: String, reason: Reason },
    /// It is denied without a receipt.
    Bare(Denial),
}

impl From<Refused> for Refusal {
    fn from(r: Refused) -> Self {
        Self::Bad(r)
    }
}

impl Refusal {
    fn bad(detail: impl Into<String>) -> Self {
        Self::Bad(Refused::bad(StatusCode::BAD_REQUEST, detail))
    }

    /// The answer, at the time when it may be given.
    async fn told(self, api: &Shared, peer: &Peer, operation: &'static str) -> Refused {
        match self {
            Self::Bad(refused) => refused,
            Self::OnRecord { scope, named, reason } => {
                auth::denied(api, peer, operation, scope.as_ref(), &named, reason).await
            }
            Self::Bare(denial) => told(denial).await,
        }
    }
}

/// Answers one.
///
/// What a request brought is given back before the writer decides it, and what seldom happens is kept apart: thousands
/// of requests wait at a time, and as little of each as can be.
pub(super) async fn answer(
    api: &Shared,
    peer: &Peer,
    parts: Parts,
    name: &'static str,
    body: Incoming,
    turn: &Turn,
) -> Answered {
    if parts.method != Method::POST {
        let mut r = Box::pin(problem::method_not_allowed()).await.into_response();
        r.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return turn.ours(r.map(Either::Right));
    }
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(e) => {
            drop(parts);
            let (status, what) = if e.is::<LengthLimitError>() {
                (StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {MAX_BODY} bytes"))
            } else {
                (StatusCode::BAD_REQUEST, "the body could not be read to its end".to_owned())
            };
            return turn.ours(Refused::bad(status, what).into_response().map(Either::Right));
        }
    };
    let answering = turn.begin();
    let asked = put_before_the_writer(api, peer, &parts, &body);
    drop((parts, body));
    let done = match asked {
        Ok(answer) => match answer.await {
            Ok(Ok(decided)) => serde_json::to_vec(&decided).map_err(|e| Refused::unwritten(&e)),
            Ok(Err(denial)) => Err(Box::pin(told(denial)).await),
            Err(_) => Err(Denial::bare(Reason::StoreUnavailable).into()),
        },
        Err(refusal) => Err(Box::pin(refusal.told(api, peer, name)).await),
    };
    drop(answering);
    turn.ours(match done {
        Ok(json) => {
            let mut r = Response::new(Either::Left(Whole::new(Bytes::from(json))));
            r.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            r
        }
        Err(refused) => refused.into_response().map(Either::Right),
    })
}

/// Proves whose request it is, reads it, and has the writer decide it.
fn put_before_the_writer(
    api: &Shared,
    peer: &Peer,
    parts: &Parts,
    body: &[u8],
) -> Result<oneshot::Receiver<Reply>, Refusal> {
    let call = Call::of(parts.uri.path()).ok_or_else(|| Refusal::bad("no such path"))?;
    let r = Request::prove(api, peer, &parts.headers, call, body)?;
    let op = r.op(call, body)?;
    let (tx, rx) = oneshot::channel();
    match api.queues.push(Ask::work(r.scope, op, r.once, tx)) {
        Ok(()) => Ok(rx),
        Err(Full::Queue(_)) => Err(Refusal::Bare(Denial::bare(Reason::QueueFull))),
        Err(Full::Closed(_)) => Err(Refusal::Bare(Denial::bare(Reason::Stopping))),
    }
}

/// A request whose scope is proved, with its key.
struct Request {
    scope: TenantScope,
    shared: Arc<view::Shared>,
    once: Option<Idempotency>,
}

impl Request {
    fn prove(
        api: &Shared,
        peer: &Peer,
        headers: &HeaderMap,
        call: Call<'_>,
        body: &[u8],
    ) -> Result<Self, Refusal> {
        let Some((scope, shared)) = auth::prove(api, peer, headers) else {
            return Err(Refusal::OnRecord {
                scope: None,
                named: String::new(),
                reason: Reason::Unauthenticated,
            });
        };
        let once = match headers.get(IDEMPOTENCY_KEY) {
            None => None,
            Some(v) => {
                let key = v
                    .to_str()
                    .ok()
                    .filter(|k| (1..=128).contains(&k.len()) && k.bytes().all(|c| c.is_ascii_graphic()));
                let bad = || Refusal::bad("Idempotency-Key takes 1 to 128 visible ASCII characters");
                let mut h = Sha256::new();
                h.update(call.about().as_bytes());
                h.update([0]);
                h.update(body);
                Some(Idempotency { key: key.ok_or_else(bad)?.to_owned(), body: h.finalize().into() })
            }
        };
        Ok(Self { scope, shared, once })
    }

    /// Reads the body, and makes sure that it names the tenant that was proved.
    fn body<T: DeserializeOwned>(&self, body: &[u8], tenant: impl Fn(&T) -> &Ident) -> Result<T, Refusal> {
        let named = match serde_json::from_slice::<T>(body) {
            Ok(t) if *tenant(&t) == self.shared.name => return Ok(t),
            Ok(t) => tenant(&t).to_string(),
            Err(e) => {
                // A body that names no tenant, or none there can be, is a matter of scope; any other is a mistake.
                let Ok(any) = serde_json::from_slice::<serde_json::Value>(body) else {
                    return Err(Refused::body(&e).into());
                };
                let named = any.get("tenant_id").and_then(serde_json::Value::as_str).unwrap_or("").to_owned();
                if !any.is_object() || Ident::new(&named).is_ok_and(|n| n == self.shared.name) {
                    return Err(Refused::body(&e).into());
                }
                named
            }
        };
        Err(Refusal::OnRecord { scope: Some(self.scope.clone()), named, reason: Reason::ScopeMismatch })
    }

    /// What is asked.
    fn op(&self, call: Call<'_>, body: &[u8]) -> Result<Op, Refusal> {
        Ok(match call {
            Call::RunStart => {
                let b: StartRun = self.body(body, |b: &StartRun| &b.tenant_id)?;
                if let Some(s) = &b.subject {
                    bounded("subject", s)?;
                }
                let prompt =
                    b.prompt_sha256.as_deref().map(|hex| conductor_shared::ids::unhex(hex).ok_or(()));
                let prompt = prompt
                    .transpose()
                    .map_err(|()| Refusal::bad("prompt_sha256: expected 64 hex digits, lower case"))?;
                let subject = b.subject.filter(|s| !s.raw().is_empty());
                let (workflow, env, actor, action) = (b.workflow_type, b.env, b.actor_type, b.action);
                Op::StartRun { workflow, env, actor, action, subject, prompt }
            }
            Call::StepStart(run) => {
                let b: StartStep = self.body(body, |b: &StartStep| &b.tenant_id)?;
                bounded("name", &b.name)?;
                Op::StartStep { run: run_id(run)?, name: b.name }
            }
            Call::StepFinish(run, step) => {
                let b: FinishStep = self.body(body, |b: &FinishStep| &b.tenant_id)?;
                reached(b.outcome, &[Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled])?;
                if b.duration_us > MAX_CLAIM_US
                    || b.bytes_in > MAX_CLAIM_BYTES
                    || b.bytes_out > MAX_CLAIM_BYTES
                {
                    let what = "duration_us is at most 366 days, bytes_in and bytes_out at most 1 PiB";
                    return Err(Refusal::bad(what));
                }
                let number = conductor_shared::ids::parse_decimal(step);
                let step = number.ok_or_else(|| Refusal::bad("step: expected a number"))?;
                let (run, outcome, claimed_us) = (run_id(run)?, b.outcome, b.duration_us);
                Op::FinishStep {
                    run,
                    step,
                    outcome,
                    claimed_us,
                    bytes_in: b.bytes_in,
                    bytes_out: b.bytes_out,
                }
            }
            Call::Heartbeat(run) => {
                let _: OfTenant = self.body(body, |b: &OfTenant| &b.tenant_id)?;
                Op::Heartbeat { run: run_id(run)? }
            }
            Call::Approve(run) => {
                let b: DecideApproval = self.body(body, |b: &DecideApproval| &b.tenant_id)?;
                bounded("name", &b.name)?;
                bounded("approver", &b.approver)?;
                Op::Approve { run: run_id(run)?, name: b.name, approver: b.approver, approved: b.approved }
            }
            Call::RunFinish(run) => {
                let b: FinishRun = self.body(body, |b: &FinishRun| &b.tenant_id)?;
                reached(b.outcome, &[Outcome::Succeeded, Outcome::Failed])?;
                Op::FinishRun { run: run_id(run)?, outcome: b.outcome }
            }
            Call::RunCancel(run) => {
                let _: OfTenant = self.body(body, |b: &OfTenant| &b.tenant_id)?;
                Op::CancelRun { run: run_id(run)? }
            }
        })
    }
}

fn run_id(text: &str) -> Result<RunId, Refused> {
    text.parse().map_err(|e| Refused::bad(StatusCode::BAD_REQUEST, format!("run: {e}")))
}

fn bounded(what: &str, text: &UntrustedText) -> Result<(), Refused> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::fail_closed::Class;
    use conductor_shared::routes::{Caller, ROUTES};

    /// SPEC X1, bounded everything: a request that waits for the writer keeps little more than what it waits for.
    #[test]
    fn a_request_that_waits_is_small() {
        type Ask<F> = fn(&'static Shared, &'static Peer, Parts, &'static str, Incoming, &'static Turn) -> F;
        fn size<F>(_: Ask<F>) -> usize {
            size_of::<F>()
        }
        assert!(size(answer) <= 1_024, "{} bytes", size(answer));
    }

    /// SPEC 1.2: each change that the table of routes gives to workloads is one of these, and nothing else is.
    #[test]
    fn calls_are_those_of_the_table() {
        let mut found = 0;
        for route in ROUTES {
            let path = route.path.replace("{run}", "0a").replace("{step}", "7");
            let call = Call::of(&path).map(Call::name);
            let changes = route.caller == Caller::Workload && route.class != Class::Read;
            assert_eq!(call, changes.then_some(route.name), "{path}");
            found += usize::from(changes);
        }
        assert_eq!(found, 7);
        assert_eq!(Call::of("/v1/runs/0a/steps/7/finish"), Some(Call::StepFinish("0a", "7")));
        for other in [
            "/v1/runs/",
            "/v1/runsx",
            "/v1/runs//",
            "/v1/runs/a",
            "/v1/runs/a/",
            "/v1/runs/a/steps/",
            "/v1/runs/a/steps/7",
            "/v1/runs/a/steps/7/8/finish",
            "/v1/runs/a/steps/7/finish/",
            "/v1/runs/a/finish/",
            "/v1",
            "",
        ] {
            assert_eq!(Call::of(other), None, "{other}");
        }
    }
}
