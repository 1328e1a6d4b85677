//! Parses a workload's HTTP request into a request for the writer.

use super::call::Call;
use crate::http::auth::{self, Caller, Peer};
use crate::http::error::ApiError;
use crate::http::state::ApiState;
use crate::intake::request::{Denial, Idempotency, NewRun, WorkloadOp};
use crate::partition::published::PartitionCell;
use crate::scope::TenantScope;
use axum::http::{HeaderMap, StatusCode};
use conductor_shared::fact::Outcome;
use conductor_shared::http::{
    DecideApproval, FinishRun, FinishStep, IDEMPOTENCY_KEY, MAX_NAME, OfTenant, StartRun, StartStep, fits,
};
use conductor_shared::ids::{Ident, RunId};
use conductor_shared::meter::{MAX_CLAIM_BYTES, MAX_CLAIM_US};
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::UntrustedText;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Why a request was not queued.
pub(super) enum Refusal {
    /// Malformed.
    Bad(ApiError),
    /// Denied with a receipt.
    OnRecord { scope: Option<TenantScope>, named: String, reason: Reason },
    /// Denied without a receipt.
    Bare(Denial),
}

impl From<ApiError> for Refusal {
    fn from(r: ApiError) -> Self {
        Self::Bad(r)
    }
}

impl Refusal {
    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::Bad(ApiError::bad(StatusCode::BAD_REQUEST, detail))
    }

    pub(super) async fn into_error(self, api: &ApiState, peer: &Peer, operation: &'static str) -> ApiError {
        match self {
            Self::Bad(refused) => refused,
            Self::OnRecord { scope, named, reason } => {
                let caller = scope.map_or(Caller::Unknown, Caller::Workload);
                auth::denied(api, peer, operation, &caller, &named, reason).await
            }
            Self::Bare(denial) => auth::into_error(denial).await,
        }
    }
}

/// An authenticated request with its idempotency key.
pub(super) struct Request {
    pub(super) scope: TenantScope,
    shared: Arc<PartitionCell>,
    pub(super) once: Option<Idempotency>,
}

impl Request {
    pub(super) fn of(
        proof: Option<(TenantScope, Arc<PartitionCell>)>,
        headers: &HeaderMap,
        call: Call<'_>,
        body: &[u8],
    ) -> Result<Self, Refusal> {
        let Some((scope, shared)) = proof else {
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
                h.update(call.object().as_bytes());
                h.update([0]);
                h.update(body);
                Some(Idempotency { key: key.ok_or_else(bad)?.to_owned(), body: h.finalize().into() })
            }
        };
        Ok(Self { scope, shared, once })
    }

    /// Parses the body, which must name the authenticated tenant.
    fn body<T: DeserializeOwned>(&self, body: &[u8], tenant: impl Fn(&T) -> &Ident) -> Result<T, Refusal> {
        let named = match serde_json::from_slice::<T>(body) {
            Ok(t) if *tenant(&t) == self.shared.name => return Ok(t),
            Ok(t) => tenant(&t).to_string(),
            Err(e) => {
                // A body without this tenant is a scope mismatch; other errors are a bad request.
                let Ok(any) = serde_json::from_slice::<serde_json::Value>(body) else {
                    return Err(ApiError::body(&e).into());
                };
                let named = any.get("tenant_id").and_then(serde_json::Value::as_str).unwrap_or("").to_owned();
                if !any.is_object() || Ident::new(&named).is_ok_and(|n| n == self.shared.name) {
                    return Err(ApiError::body(&e).into());
                }
                named
            }
        };
        Err(Refusal::OnRecord { scope: Some(self.scope.clone()), named, reason: Reason::ScopeMismatch })
    }

    fn run_start(&self, body: &[u8]) -> Result<WorkloadOp, Refusal> {
        let b: StartRun = self.body(body, |b: &StartRun| &b.tenant_id)?;
        if let Some(s) = &b.subject {
            bounded("subject", s)?;
        }
        let prompt = b.prompt_sha256.as_deref().map(|hex| conductor_shared::ids::unhex(hex).ok_or(()));
        let prompt = prompt
            .transpose()
            .map_err(|()| Refusal::bad("prompt_sha256: expected 64 hex digits, lower case"))?;
        let subject = b.subject.filter(|s| !s.raw().is_empty());
        let (workflow, env, actor, action) = (b.workflow_type, b.env, b.actor_type, b.action);
        Ok(WorkloadOp::StartRun(NewRun { workflow, env, actor, action, subject, prompt }))
    }

    fn step_finish(&self, run: &str, step: &str, body: &[u8]) -> Result<WorkloadOp, Refusal> {
        let b: FinishStep = self.body(body, |b: &FinishStep| &b.tenant_id)?;
        reached(b.outcome, &[Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled])?;
        if b.duration_us > MAX_CLAIM_US || b.bytes_in > MAX_CLAIM_BYTES || b.bytes_out > MAX_CLAIM_BYTES {
            return Err(Refusal::bad(
                "duration_us is at most 366 days, bytes_in and bytes_out at most 1 PiB",
            ));
        }
        let number = conductor_shared::ids::parse_decimal(step);
        let step = number.ok_or_else(|| Refusal::bad("step: expected a number"))?;
        Ok(WorkloadOp::FinishStep {
            run: run_id(run)?,
            step,
            outcome: b.outcome,
            claimed_us: b.duration_us,
            bytes_in: b.bytes_in,
            bytes_out: b.bytes_out,
        })
    }

    pub(super) fn op(&self, call: Call<'_>, body: &[u8]) -> Result<WorkloadOp, Refusal> {
        Ok(match call {
            Call::RunStart => self.run_start(body)?,
            Call::StepStart(run) => {
                let b: StartStep = self.body(body, |b: &StartStep| &b.tenant_id)?;
                bounded("name", &b.name)?;
                WorkloadOp::StartStep { run: run_id(run)?, name: b.name }
            }
            Call::StepFinish(run, step) => self.step_finish(run, step, body)?,
            Call::Heartbeat(run) => {
                let _: OfTenant = self.body(body, |b: &OfTenant| &b.tenant_id)?;
                WorkloadOp::Heartbeat { run: run_id(run)? }
            }
            Call::Approve(run) => {
                let b: DecideApproval = self.body(body, |b: &DecideApproval| &b.tenant_id)?;
                bounded("name", &b.name)?;
                bounded("approver", &b.approver)?;
                WorkloadOp::Approve {
                    run: run_id(run)?,
                    name: b.name,
                    approver: b.approver,
                    approved: b.approved,
                }
            }
            Call::RunFinish(run) => {
                let b: FinishRun = self.body(body, |b: &FinishRun| &b.tenant_id)?;
                reached(b.outcome, &[Outcome::Succeeded, Outcome::Failed])?;
                WorkloadOp::FinishRun { run: run_id(run)?, outcome: b.outcome }
            }
            Call::RunCancel(run) => {
                let _: OfTenant = self.body(body, |b: &OfTenant| &b.tenant_id)?;
                WorkloadOp::CancelRun { run: run_id(run)? }
            }
        })
    }
}

pub(super) fn run_id(text: &str) -> Result<RunId, ApiError> {
    text.parse().map_err(|e| ApiError::bad(StatusCode::BAD_REQUEST, format!("run: {e}")))
}

fn bounded(what: &str, text: &UntrustedText) -> Result<(), ApiError> {
    if fits(text.raw()) {
        return Ok(());
    }
    Err(ApiError::bad(StatusCode::BAD_REQUEST, format!("{what} has more than {MAX_NAME} characters")))
}

fn reached(outcome: Outcome, allowed: &[Outcome]) -> Result<(), ApiError> {
    if allowed.contains(&outcome) {
        return Ok(());
    }
    let words: Vec<_> = allowed.iter().map(|o| o.as_str()).collect();
    Err(ApiError::bad(StatusCode::BAD_REQUEST, format!("outcome: expected one of {}", words.join(", "))))
}
