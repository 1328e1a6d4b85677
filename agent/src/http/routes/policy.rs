//! Policy: the active bundle, upload and download of bundles, explanations.

use crate::http::error::ApiError;
use crate::http::input::Body;
use crate::http::state::{self, ApiState};
use crate::intake::request::{Denial, WriterRequest};
use crate::policy::{Query, unpack};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::clock::WallTime;
use conductor_shared::command::Operation;
use conductor_shared::http::{BundleFiles, BundleKept, ExplainRequest, Explanation, PolicyShown};
use conductor_shared::ids::{TenantUid, hex, unhex};
use conductor_shared::operator::Approval;
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::escape;
use tokio::sync::oneshot;

/// Queries the policy engine about a command and caches the verdict, because the writer does not wait for engines.
pub(crate) async fn prepare(api: &ApiState, tenant: TenantUid, op: &Operation) {
    let Some(shared) = api.board.get(tenant) else { return };
    let log = shared.view.load().control.clone();
    let Some(node) = api.board.node_control() else { return };
    if crate::command::replaces_policy(op) && api.policy.is_broken() {
        return;
    }
    let class = conductor_shared::change_class::class_of(&log, op);
    let input = crate::command::policy_input(op, class, shared.name.as_str(), &log, &node);
    api.policy.prepare(class, Query::of(tenant, &input)).await;
}

/// Like [`prepare`], for a command that waits for an approval.
pub(crate) async fn prepare_request(api: &ApiState, tenant: TenantUid, approval: &Approval) {
    let control = api.board.get(tenant).map(|s| s.view.load().control.clone());
    let request =
        control.as_ref().and_then(|c| c.request_meant(approval.command_id, &approval.command_digest));
    if let Some(op) = request.and_then(|(_, r)| Operation::from_list(&r.change)) {
        prepare(api, tenant, &op).await;
    }
}

pub(crate) async fn show(State(api): State<ApiState>) -> Json<PolicyShown> {
    let h = api.policy.health(api.clock.now());
    let key = api.board.node_control().and_then(|c| c.policy_key.clone());
    Json(PolicyShown {
        revision: h.version.revision,
        digest: hex(&h.version.digest),
        expires_at_us: h.expires_at.map(WallTime::as_micros),
        engine: h.engine.to_owned(),
        trouble: escape(&h.trouble(), 300),
        down: !h.down.is_empty(),
        evaluated_at_us: h.evaluated_at.map(WallTime::as_micros),
        workers: h.workers as u64,
        given_up: h.given_up as u64,
        trusted_key: key,
    })
}

pub(crate) async fn upload(
    State(api): State<ApiState>,
    Body(files): Body<BundleFiles>,
) -> Result<Json<BundleKept>, ApiError> {
    let bad = |e: String| ApiError::bad(StatusCode::BAD_REQUEST, e);
    let archive = STANDARD.decode(&files.archive).map_err(|e| bad(format!("archive: {e}")))?;
    // Compiling takes long.
    let unpacked = tokio::task::spawn_blocking(move || unpack(&archive)).await;
    let bundle = unpacked.map_err(|e| bad(e.to_string()))?.map_err(|e| bad(e.to_string()))?;
    let digest = hex(&bundle.digest());
    let (tx, rx) = oneshot::channel();
    if api.queues.push(WriterRequest::Bundle(Box::new(bundle), tx)).is_err() {
        return Err(Denial::bare(Reason::QueueFull).into());
    }
    match state::answered(rx).await {
        Ok(Ok(())) => Ok(Json(BundleKept { digest })),
        Ok(Err(e)) => Err(ApiError::bad(StatusCode::SERVICE_UNAVAILABLE, e)),
        Err(reason) => Err(Denial::bare(reason).into()),
    }
}

pub(crate) async fn bundle(
    State(api): State<ApiState>,
    Path(digest): Path<String>,
) -> Result<Json<BundleFiles>, ApiError> {
    let found = unhex(&digest).and_then(|d| api.policy.bundle(&d));
    let found =
        found.ok_or_else(|| ApiError::bad(StatusCode::NOT_FOUND, "no bundle of this digest is kept here"))?;
    let packed =
        found.pack(0).map_err(|e| ApiError::bad(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
    Ok(Json(BundleFiles { archive: STANDARD.encode(packed) }))
}

pub(crate) async fn explain(
    State(api): State<ApiState>,
    Body(request): Body<ExplainRequest>,
) -> Result<Json<Explanation>, ApiError> {
    let (policy, json) = (std::sync::Arc::clone(&api.policy), request.input.to_string());
    let version = policy.version();
    let done = tokio::task::spawn_blocking(move || policy.explain(&json)).await;
    let bad = |e: String| ApiError::bad(StatusCode::UNPROCESSABLE_ENTITY, e);
    let (allow, reasons) = done.map_err(|e| bad(e.to_string()))?.map_err(bad)?;
    Ok(Json(Explanation {
        allow,
        reasons: reasons.iter().map(|r| escape(r, 300)).collect(),
        revision: version.revision,
        digest: hex(&version.digest),
    }))
}
