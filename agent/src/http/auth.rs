//! Authenticates a request: from its connection and headers to a proof of scope. Each failure is denied with a receipt,
//! in the log of the token's tenant or else in the node's log.

use super::conn_limit::Owner;
use super::error::ApiError;
use super::peer::ListenerKind;
pub(super) use super::peer::Peer;
use super::state::{self, Api};
use crate::intake::queue::Full;
use crate::intake::request::{Denial, Unscoped, WriterRequest};
use crate::partition::published::PartitionCell;
use crate::scope::{OperatorScope, TenantScope, TokenParts, prove_peer};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use conductor_shared::clock::MonoTime;
use conductor_shared::ids::{PartitionId, PersonId};
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::UntrustedText;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// Requests with an `Origin` header come from browsers. They are refused: a web page must not use this API.
pub(super) fn browser_refused() -> Response {
    ApiError::bad(StatusCode::FORBIDDEN, "requests with an Origin header are refused").into_response()
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    // Names of schemes have no case (RFC 9110, 11.1).
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// Who was denied, as far as proved: their log gets the receipt.
#[derive(Debug)]
pub(super) enum Caller {
    Unknown,
    Person(OperatorScope),
    Workload(TenantScope),
}

impl Caller {
    fn log(&self) -> PartitionId {
        match self {
            Self::Unknown | Self::Person(_) => PartitionId::NODE,
            Self::Workload(scope) => scope.partition(),
        }
    }

    fn person(&self) -> Option<PersonId> {
        match self {
            Self::Person(scope) => Some(scope.person()),
            Self::Unknown | Self::Workload(_) => None,
        }
    }

    fn principal(&self) -> String {
        match self {
            Self::Unknown => "unknown".to_owned(),
            Self::Person(scope) => format!("person:{}", scope.person()),
            Self::Workload(scope) => scope.principal().to_owned(),
        }
    }
}

/// Records a denial and returns it as an error.
pub(super) async fn denied(
    api: &Api,
    peer: &Peer,
    operation: &'static str,
    caller: &Caller,
    named: &str,
    reason: Reason,
) -> ApiError {
    let (tx, rx) = oneshot::channel();
    let ask = WriterRequest::Unscoped(
        Unscoped {
            log: caller.log(),
            principal: caller.principal(),
            person: caller.person(),
            peer: peer.name(),
            operation,
            named: UntrustedText::new(named.chars().take(63).collect::<String>()),
            reasons: reason.into(),
        },
        tx,
    );
    let denial = match api.queues.push(ask) {
        Ok(()) => state::answered(rx).await.unwrap_or_else(|_| Denial::bare(reason)),
        // The queue is full or closed: the request is denied without a receipt.
        Err(Full::Queue(_) | Full::Closed(_)) => Denial { held: true, ..Denial::bare(reason) },
    };
    into_error(denial).await
}

/// Delay of an answer to a flood, milliseconds: this long to twice as long, so that the retries are spread.
const FLOOD_DELAY_MS: u32 = 250;
static DELAYED_SO_FAR: AtomicU32 = AtomicU32::new(0);

/// A denial as an error, delayed if it is one of a flood.
pub(super) async fn into_error(denial: Denial) -> ApiError {
    if denial.held {
        let turn = DELAYED_SO_FAR.fetch_add(1, Ordering::Relaxed).wrapping_mul(97) % FLOOD_DELAY_MS;
        tokio::time::sleep(Duration::from_millis(u64::from(FLOOD_DELAY_MS + turn))).await;
    }
    denial.into()
}

/// Proves the tenant of a workload by its token, or by its unix user on the tenant's socket.
pub(super) fn prove(
    api: &Api,
    peer: &Peer,
    headers: &HeaderMap,
) -> Option<(TenantScope, Arc<PartitionCell>)> {
    if peer.listener == ListenerKind::Operators {
        return None;
    }
    let proved = match bearer(headers) {
        Some(text) => TokenParts::parse(text).and_then(|parts| {
            let shared = api.board.get(parts.tenant).filter(|s| !s.id.tenant.is_node())?;
            let scope = parts.prove(shared.id, &shared.view.load().control)?;
            Some((scope, shared))
        }),
        None => peer.tenant_socket().zip(peer.uid).and_then(|(tenant, uid)| {
            let shared = api.board.get(tenant)?;
            let scope = prove_peer(shared.id, &shared.view.load().control, uid)?;
            Some((scope, shared))
        }),
    };
    let proved = proved.filter(|(s, _)| peer.tenant_socket().is_none_or(|t| t == s.tenant()));
    proved.inspect(|(scope, _)| peer.show(Owner::Tenant(scope.tenant())))
}

/// The operator of a session, and when it ends on the monotonic clock. Only operators' listeners take one.
pub(super) fn session(api: &Api, peer: &Peer, headers: &HeaderMap) -> Option<(OperatorScope, MonoTime)> {
    if peer.listener != ListenerKind::Operators {
        return None;
    }
    let control = api.board.node_control()?;
    let proved = api.sessions.prove(bearer(headers)?, peer.transport, &control, api.clock.now());
    proved.inspect(|(scope, _)| peer.show(Owner::Person(scope.person())))
}
