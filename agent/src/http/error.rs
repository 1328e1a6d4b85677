//! Errors of the API as RFC 9457 problem documents.

use crate::intake::request::Denial;
use crate::ledger::ReadError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use conductor_shared::clock::micros;
use conductor_shared::fact::Verdict;
use conductor_shared::http::Problem;
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::escape;

pub(super) struct ApiError(pub(super) Box<Problem>);

impl ApiError {
    /// An error without a decision: the request is malformed or names nothing that exists.
    pub(super) fn bad(status: StatusCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("error").to_owned(),
            status: status.as_u16(),
            detail: escape(&detail.into(), 600),
            decision: None,
            reasons: vec![],
            receipt: None,
            folded: false,
            retry_after_us: None,
        }))
    }

    pub(super) fn body(e: &serde_json::Error) -> Self {
        Self::bad(StatusCode::BAD_REQUEST, format!("the body is not what this route takes: {e}"))
    }

    /// There is no memory for the body.
    pub(super) fn no_memory() -> Self {
        let mut e =
            Self::bad(StatusCode::SERVICE_UNAVAILABLE, "other requests take all memory for bodies; retry");
        e.0.retry_after_us = Some(1_000_000);
        e
    }

    /// A response that cannot be serialised: a bug.
    pub(super) fn unwritten(e: &serde_json::Error) -> Self {
        tracing::error!("an answer could not be written: {e}");
        Self::bad(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written; see the agent's log")
    }
}

impl From<Denial> for ApiError {
    fn from(d: Denial) -> Self {
        let reasons: Vec<Reason> = d.reasons.iter().collect();
        // The status is that of the gravest reason: one that a retry cannot help comes before one that it can.
        let first =
            reasons.iter().copied().min_by_key(|r| r.status() == 429).unwrap_or(Reason::StoreUnavailable);
        let detail: Vec<String> =
            reasons.iter().map(|r| format!("{} {}", r.description().trim(), r.remedy())).collect();
        let retryable = reasons.iter().all(|r| matches!(r.status(), 429 | 503));
        Self(Box::new(Problem {
            kind: format!("urn:conductor:reason:{}", first.code()),
            title: first.description().trim().trim_end_matches('.').to_owned(),
            status: first.status(),
            detail: detail.join(" "),
            decision: Some(Verdict::Deny),
            reasons,
            receipt: d.receipt,
            folded: d.folded,
            retry_after_us: d.retry_after.map(micros).or(retryable.then_some(1_000_000)),
        }))
    }
}

impl From<ReadError> for ApiError {
    fn from(e: ReadError) -> Self {
        // Paths and rows go to the agent's log, not to the client.
        tracing::error!("{e}");
        Self::bad(StatusCode::INTERNAL_SERVER_ERROR, "what was asked for cannot be read; see the agent's log")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry = self.0.retry_after_us;
        let mut r = (status, Json(*self.0)).into_response();
        let h = r.headers_mut();
        h.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(us) = retry {
            // Whole seconds, rounded up, at least one.
            if let Ok(v) = HeaderValue::from_str(&us.div_ceil(1_000_000).max(1).to_string()) {
                h.insert(header::RETRY_AFTER, v);
            }
        }
        if status == StatusCode::UNAUTHORIZED {
            h.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        r
    }
}

pub(super) async fn not_found() -> ApiError {
    ApiError::bad(StatusCode::NOT_FOUND, "there is no such route; see /v1/openapi.json")
}

pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::bad(StatusCode::METHOD_NOT_ALLOWED, "this route takes another method; see /v1/openapi.json")
}
