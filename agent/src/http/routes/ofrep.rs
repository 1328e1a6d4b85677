//! Ramps as feature flags by the `OpenFeature` Remote Evaluation Protocol, for workloads of the same tenant. Reads the
//! published view and leaves no receipt. Errors of the protocol have its form; all others are problem documents.

use crate::http::auth::{self, Peer};
use crate::http::error::ApiError;
use crate::http::state::ApiState;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use conductor_shared::http::MAX_NAME;
use conductor_shared::ids::hex;
use conductor_shared::ofrep::{self as flag, Evaluation, Flag, FlagError, MAX_FLAGS};
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::escape;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// An error in the protocol's form.
fn failed(key: Option<&str>, code: &str, details: &str) -> Response {
    let status =
        if code == FlagError::NotFound.code() { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
    let mut body = json!({ "errorCode": code, "errorDetails": details });
    if let Some(key) = key {
        body["key"] = json!(escape(key, 200));
    }
    (status, Json(body)).into_response()
}

/// The subject, or an error about the body. Other fields of the context do not matter to a ramp.
fn subject(key: Option<&str>, body: &[u8]) -> Result<Option<String>, Box<Response>> {
    let bad = |code, details: &str| Err(Box::new(failed(key, code, details)));
    let asked: Map<String, Value> = match serde_json::from_slice(body) {
        Ok(a) => a,
        Err(e) => return bad("PARSE_ERROR", &format!("the body is not an evaluation request: {e}")),
    };
    let context = match asked.get("context") {
        None => return Ok(None),
        Some(Value::Object(c)) => c,
        Some(_) => return bad("INVALID_CONTEXT", "context: expected an object"),
    };
    match context.get("targetingKey") {
        None => Ok(None),
        Some(Value::String(s)) if s.len() <= MAX_NAME => Ok(Some(s.clone())),
        Some(Value::String(_)) => {
            bad("INVALID_CONTEXT", &format!("targetingKey has more than {MAX_NAME} bytes"))
        }
        Some(_) => bad("INVALID_CONTEXT", "targetingKey: expected a string"),
    }
}

pub(crate) async fn one(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let (_, tenant) = auth::workload(&api, &peer, &headers, "flag_evaluate").await?;
    let subject = match subject(Some(&key), &body) {
        Ok(s) => s,
        Err(r) => return Ok(*r),
    };
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
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let (_, tenant) = auth::workload(&api, &peer, &headers, "flag_evaluate_all").await?;
    let subject = match subject(None, &body) {
        Ok(s) => s,
        Err(r) => return Ok(*r),
    };
    let control = std::sync::Arc::clone(&tenant.view.load().control);
    let Ok(lease) = tenant.lease() else { return Err(closed()) };
    let Some(flags) = flag::all(&control) else {
        let many = format!("there are more than {MAX_FLAGS} flags: ask for each by its key");
        return Ok(failed(None, "GENERAL", &many));
    };
    let mut list = Vec::with_capacity(flags.len());
    for f in flags {
        list.push(
            match flag::evaluate(&control, lease.partition().keys.ramp.bytes(), &f, subject.as_deref()) {
                Ok(e) => json!(e),
                Err(e) => {
                    json!({ "key": f.to_string(), "errorCode": e.code(), "errorDetails": e.to_string() })
                }
            },
        );
    }
    let body = json!({ "flags": list }).to_string();
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
