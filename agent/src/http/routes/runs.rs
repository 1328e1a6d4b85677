//! Mutations of workloads, the hot path. Hand-rolled dispatch: axum's router and extractors cost 3 us, more than the
//! decision (ADR 18).

mod call;
mod request;
mod show;

pub(crate) use call::Call;
pub(crate) use show::show;

use crate::http::auth::{self, Peer};
use crate::http::connection::{Answer, IdleTracker};
use crate::http::error::{self, ApiError};
use crate::http::state::ApiState;
use crate::intake::queue::Full;
use crate::intake::request::{Denial, Reply, WriterRequest};
use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::IntoResponse as _;
use conductor_shared::http::MAX_BODY;
use conductor_shared::reason::Reason;
use http_body_util::{BodyExt as _, Either, Full as Whole, LengthLimitError, Limited};
use hyper::Response;
use hyper::body::Incoming;
use request::{Refusal, Request};
use tokio::sync::oneshot;

/// Answers one mutation.
///
/// Thousands of requests wait for the writer at a time, so this future is small: head and body are dropped before the
/// wait, and rare paths are boxed.
pub(crate) async fn answer(
    api: &ApiState,
    peer: &Peer,
    parts: Parts,
    name: &'static str,
    body: Incoming,
    tracker: &IdleTracker,
) -> Answer {
    if parts.method != Method::POST {
        let mut r = Box::pin(error::method_not_allowed()).await.into_response();
        r.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return tracker.response(r.map(Either::Right));
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
            return tracker.response(ApiError::bad(status, what).into_response().map(Either::Right));
        }
    };
    let answering = tracker.server_turn();
    let asked = enqueue(api, peer, &parts, &body);
    drop((parts, body));
    let done = match asked {
        Ok(answer) => match answer.await {
            Ok(Ok(decided)) => serde_json::to_vec(&decided).map_err(|e| ApiError::unwritten(&e)),
            Ok(Err(denial)) => Err(Box::pin(auth::into_error(denial)).await),
            Err(_) => Err(Denial::bare(Reason::StoreUnavailable).into()),
        },
        Err(refusal) => Err(Box::pin(refusal.into_error(api, peer, name)).await),
    };
    drop(answering);
    tracker.response(match done {
        Ok(json) => {
            let mut r = Response::new(Either::Left(Whole::new(Bytes::from(json))));
            r.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            r
        }
        Err(refused) => refused.into_response().map(Either::Right),
    })
}

/// Authenticates and parses the request and queues it for the writer.
fn enqueue(
    api: &ApiState,
    peer: &Peer,
    parts: &Parts,
    body: &[u8],
) -> Result<oneshot::Receiver<Reply>, Refusal> {
    let call = Call::of(parts.uri.path()).ok_or_else(|| Refusal::bad("no such path"))?;
    let r = Request::prove(api, peer, &parts.headers, call, body)?;
    let op = r.op(call, body)?;
    let (tx, rx) = oneshot::channel();
    match api.queues.push(WriterRequest::work(r.scope, op, r.once, tx)) {
        Ok(()) => Ok(rx),
        Err(Full::Queue(_)) => Err(Refusal::Bare(Denial::bare(Reason::QueueFull))),
        Err(Full::Closed(_)) => Err(Refusal::Bare(Denial::bare(Reason::Stopping))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC X1, bounded everything: a request that waits for the writer takes at most 1 KiB.
    #[test]
    fn a_request_that_waits_is_small() {
        type WriterRequest<F> =
            fn(&'static ApiState, &'static Peer, Parts, &'static str, Incoming, &'static IdleTracker) -> F;
        fn size<F>(_: WriterRequest<F>) -> usize {
            size_of::<F>()
        }
        assert!(size(answer) <= 1_024, "{} bytes", size(answer));
    }
}
