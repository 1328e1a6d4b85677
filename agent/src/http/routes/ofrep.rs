//! Ramps as feature flags by the `OpenFeature` Remote Evaluation Protocol, for workloads of the same tenant. Reads the
//! published view and leaves no receipt. Errors of the protocol have its form; all others are problem documents.

use crate::http::access::OwnTenant;
use crate::http::auth::{self, Caller, Peer};
use crate::http::error::ApiError;
use crate::http::input::RawBody;
use crate::http::state::ApiState;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use conductor_shared::http::{MAX_NAME, fits};
use conductor_shared::ids::hex;
use conductor_shared::ofrep::{
    self as flag, ErrorCode, Evaluated, Evaluation, Evaluations, Failure, Flag, FlagContext, FlagError,
    MAX_FLAGS,
};
use conductor_shared::reason::Reason;
use conductor_shared::routes::Name;
use conductor_shared::untrusted::escape;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// An error in the protocol's form.
fn failed(key: Option<&str>, code: ErrorCode, details: &str) -> Response {
    let status =
        if code == ErrorCode::FlagNotFound { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
    let failure =
        Failure { key: key.map(|key| escape(key, 200)), error_code: code, error_details: details.to_owned() };
    (status, Json(failure)).into_response()
}

/// Reads the body, or gives an error about it.
fn context(key: Option<&str>, body: &[u8]) -> Result<FlagContext, Box<Response>> {
    let bad = |code, details: String| Box::new(failed(key, code, &details));
    let mut asked: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|e| bad(ErrorCode::ParseError, format!("the body is not an evaluation request: {e}")))?;
    let context =
        asked.remove("context").map_or(Ok(FlagContext::default()), serde_json::from_value::<FlagContext>);
    let context = context.map_err(|e| bad(ErrorCode::InvalidContext, format!("context: {e}")))?;
    match &context.targeting_key {
        Some(subject) if !fits(subject) => {
            let long = format!("targetingKey has more than {MAX_NAME} characters");
            Err(bad(ErrorCode::InvalidContext, long))
        }
        _ => Ok(context),
    }
}

/// A context need not name a tenant, since clients that are made for many services do not; if it names one, that is the
/// one of the credentials.
async fn of_own_tenant(
    (api, peer): (&ApiState, &Peer),
    own: &OwnTenant,
    operation: Name,
    asked: &FlagContext,
) -> Result<(), ApiError> {
    let Some(named) = asked.tenant_id.as_deref().filter(|t| *t != own.cell.name.as_str()) else {
        return Ok(());
    };
    let caller = Caller::Workload(own.scope.clone());
    Err(auth::denied(api, peer, operation.word(), &caller, named, Reason::ScopeMismatch).await)
}

pub(crate) async fn one(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    own: OwnTenant,
    Path(key): Path<String>,
    RawBody(body): RawBody,
) -> Result<Response, ApiError> {
    let asked = match context(Some(&key), &body) {
        Ok(asked) => asked,
        Err(r) => return Ok(*r),
    };
    of_own_tenant((&api, &peer), &own, Name::FlagEvaluate, &asked).await?;
    let (tenant, subject) = (own.cell, asked.targeting_key);
    let control = std::sync::Arc::clone(&tenant.view.load().control);
    let Ok(lease) = tenant.lease() else { return Err(closed()) };
    let found = Flag::parse(&key).ok_or(FlagError::NotFound);
    let answer = found
        .and_then(|f| flag::evaluate(&control, lease.partition().keys.ramp.bytes(), &f, subject.as_deref()));
    Ok(match answer {
        // The key exactly as requested: clients look up the answer by it.
        Ok(e) => Json(Evaluation { key, ..e }).into_response(),
        Err(e) => failed(Some(&key), e.code(), &e.to_string()),
    })
}

pub(crate) async fn all(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    own: OwnTenant,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Response, ApiError> {
    let asked = match context(None, &body) {
        Ok(asked) => asked,
        Err(r) => return Ok(*r),
    };
    of_own_tenant((&api, &peer), &own, Name::FlagEvaluateAll, &asked).await?;
    let (tenant, subject) = (own.cell, asked.targeting_key);
    let control = std::sync::Arc::clone(&tenant.view.load().control);
    let Ok(lease) = tenant.lease() else { return Err(closed()) };
    let Some(flags) = flag::all(&control) else {
        let many = format!("there are more than {MAX_FLAGS} flags: ask for each by its key");
        return Ok(failed(None, ErrorCode::General, &many));
    };
    let mut list = Vec::with_capacity(flags.len());
    for f in flags {
        let ramp_key = lease.partition().keys.ramp.bytes();
        list.push(match flag::evaluate(&control, ramp_key, &f, subject.as_deref()) {
            Ok(e) => Evaluated::Is(e),
            Err(e) => Evaluated::Failed(Failure {
                key: Some(f.to_string()),
                error_code: e.code(),
                error_details: e.to_string(),
            }),
        });
    }
    let body = serde_json::to_string(&Evaluations { flags: list }).map_err(|e| ApiError::unwritten(&e))?;
    let tag = format!("\"{}\"", hex(&Sha256::digest(&body)[..16]));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    let same = known.is_some_and(|k| k.split(',').any(|t| t.trim().trim_start_matches("W/") == tag));
    let mut r = if same {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    if let Ok(v) = HeaderValue::from_str(&tag) {
        r.headers_mut().insert(header::ETAG, v);
    }
    Ok(r)
}

/// The store is closed: the ramp key is not available, and nothing would be admitted either.
fn closed() -> ApiError {
    crate::intake::request::Denial::bare(Reason::StoreUnavailable).into()
}
