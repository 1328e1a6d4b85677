//! Mutations of workloads, the hot path. Hand-rolled dispatch: axum's router and extractors cost 3 us, more than the
//! decision (ADR 18).

mod call;
mod request;
mod show;

pub(crate) use call::Call;
pub(crate) use show::show;

use crate::http::auth::{self, Caller, Peer};
use crate::http::connection::Answer;
use crate::http::error::{self, ApiError};
use crate::http::idle::{IdleTracker, NoAnswer};
use crate::http::request_body::{BodyLease, FREE_BYTES, drain};
use crate::http::state::ApiState;
use crate::intake::queue::Full;
use crate::intake::request::{Denial, Reply, WriterRequest};
use crate::partition::published::PartitionCell;
use crate::scope::TenantScope;
use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::IntoResponse as _;
use conductor_shared::http::MAX_BODY;
use conductor_shared::reason::Reason;
use conductor_shared::routes::Name;
use http_body_util::{BodyExt as _, Either, Full as Whole, LengthLimitError, Limited};
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use request::{Refusal, Request};
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Answers one mutation.
///
/// Thousands of requests wait for the writer at a time, so this future is small: head and body are dropped before the
/// wait, and rare paths are boxed.
pub(crate) async fn answer(
    api: &ApiState,
    peer: &Peer,
    parts: Parts,
    name: Name,
    body: Incoming,
    tracker: &IdleTracker,
) -> Answer {
    if parts.method != Method::POST {
        let mut body = body;
        drain(&mut body, tracker).await;
        let mut r = Box::pin(error::method_not_allowed()).await.into_response();
        r.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return tracker.response(r.map(Either::Right));
    }
    let mut body = body;
    let proof = auth::prove(api, peer, &parts.headers);
    let whole = match proof {
        // Of its own: what reading keeps would be kept while the writer decides.
        Some(_) => Box::pin(read(&mut body, peer)).await,
        None => Err(BodyRefused::Stranger),
    };
    let whole = match whole {
        Ok(whole) => whole,
        Err(refused) => return Box::pin(refused.answer(api, peer, name, (parts, body), tracker)).await,
    };
    let answering = tracker.server_turn();
    // What was proved before a body that took its time may hold no more.
    let proof = if whole.waited { auth::prove(api, peer, &parts.headers) } else { proof };
    let asked = enqueue(api, &parts, &whole.bytes, proof);
    drop((parts, body, whole));
    let done = match asked {
        Ok(answer) => match tracker.writer(answer).await {
            Ok(Ok(decided)) => serde_json::to_vec(&decided).map_err(|e| ApiError::unwritten(&e)),
            Ok(Err(denial)) => Err(Box::pin(auth::into_error(denial)).await),
            Err(NoAnswer::Dropped) => Err(Denial::bare(Reason::StoreUnavailable).into()),
            Err(NoAnswer::Late) => Err(Denial::bare(Reason::DecisionLate).into()),
        },
        Err(refusal) => Err(Box::pin(refusal.into_error(api, peer, name.word())).await),
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

/// A body with what it takes of the memory for bodies.
struct WholeBody {
    bytes: Bytes,
    /// It was not there yet when the request was.
    waited: bool,
    _lease: Option<Arc<BodyLease>>,
}

enum BodyRefused {
    /// It came without valid credentials, and is not read.
    Stranger,
    Memory,
    Long,
    Broken,
}

async fn read(body: &mut Incoming, peer: &Peer) -> Result<WholeBody, BodyRefused> {
    let most = body.size_hint().upper().map_or(MAX_BODY, |n| usize::try_from(n).unwrap_or(usize::MAX));
    if most > MAX_BODY {
        return Err(BodyRefused::Long);
    }
    let lease = match most {
        0..=FREE_BYTES => None,
        _ => Some(BodyLease::of(&peer.bodies, most).ok_or(BodyRefused::Memory)?),
    };
    let mut collected = pin!(Limited::new(body, MAX_BODY).collect());
    let mut waited = false;
    let whole = std::future::poll_fn(|cx| {
        let polled = collected.as_mut().poll(cx);
        waited |= polled.is_pending();
        polled
    });
    match whole.await {
        Ok(whole) => Ok(WholeBody { bytes: whole.to_bytes(), waited, _lease: lease }),
        Err(e) if e.is::<LengthLimitError>() => Err(BodyRefused::Long),
        Err(_) => Err(BodyRefused::Broken),
    }
}

impl BodyRefused {
    /// Says why, once the client has sent what it has to send.
    async fn answer(
        self,
        api: &ApiState,
        peer: &Peer,
        name: Name,
        (parts, mut body): (Parts, Incoming),
        tracker: &IdleTracker,
    ) -> Answer {
        if !parts.headers.contains_key(header::EXPECT) {
            drain(&mut body, tracker).await;
        }
        let answering = tracker.server_turn();
        let error = match self {
            Self::Stranger => {
                auth::denied(api, peer, name.word(), &Caller::Unknown, "", Reason::Unauthenticated).await
            }
            Self::Memory => ApiError::no_memory(),
            Self::Long => {
                let most = format!("a body has at most {MAX_BODY} bytes");
                ApiError::bad(StatusCode::PAYLOAD_TOO_LARGE, most)
            }
            Self::Broken => ApiError::bad(StatusCode::BAD_REQUEST, "the body could not be read to its end"),
        };
        drop(answering);
        tracker.response(error.into_response().map(Either::Right))
    }
}

/// Parses the request and queues it for the writer.
fn enqueue(
    api: &ApiState,
    parts: &Parts,
    body: &[u8],
    proof: Option<(TenantScope, Arc<PartitionCell>)>,
) -> Result<oneshot::Receiver<Reply>, Refusal> {
    let call = Call::of(parts.uri.path()).ok_or_else(|| Refusal::bad("no such path"))?;
    let r = Request::of(proof, &parts.headers, call, body)?;
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
            fn(&'static ApiState, &'static Peer, Parts, Name, Incoming, &'static IdleTracker) -> F;
        fn size<F>(_: WriterRequest<F>) -> usize {
            size_of::<F>()
        }
        assert!(size(answer) <= 1_024, "{} bytes", size(answer));
    }
}
