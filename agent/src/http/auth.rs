//! Authenticates a request: from its connection and headers to a proof of scope. Each failure is denied with a receipt,
//! in the log of the token's tenant or else in the node's log.

use super::conn_limit::Owner;
use super::error::ApiError;
use super::peer::ListenerKind;
pub(super) use super::peer::Peer;
use super::state::{self, ApiState};
use crate::intake::queue::Full;
use crate::intake::request::{Denial, Unscoped, WriterRequest};
use crate::partition::published::PartitionCell;
use crate::scope::{OperatorScope, TenantScope, TokenParts, prove_peer};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use conductor_shared::clock::MonoTime;
use conductor_shared::ids::{Ident, PartitionId, TenantUid};
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
    value.strip_prefix("Bearer ").map(str::trim)
}

/// Records a denial and returns it as an error.
pub(super) async fn denied(
    api: &ApiState,
    peer: &Peer,
    operation: &'static str,
    scope: Option<&TenantScope>,
    named: &str,
    reason: Reason,
) -> ApiError {
    let (tx, rx) = oneshot::channel();
    let ask = WriterRequest::Unscoped(
        Unscoped {
            log: scope.map_or(PartitionId::NODE, TenantScope::partition),
            principal: scope.map_or_else(|| "unknown".to_owned(), |s| s.principal().to_owned()),
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
    api: &ApiState,
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

/// The tenant of the workload, or a denial with a receipt.
pub(super) async fn workload(
    api: &ApiState,
    peer: &Peer,
    headers: &HeaderMap,
    operation: &'static str,
) -> Result<(TenantScope, Arc<PartitionCell>), ApiError> {
    match prove(api, peer, headers) {
        Some(p) => Ok(p),
        None => Err(denied(api, peer, operation, None, "", Reason::Unauthenticated).await),
    }
}

/// The operator of a session, and when it ends on the monotonic clock. Only operators' listeners take one.
pub(super) fn session(api: &ApiState, peer: &Peer, headers: &HeaderMap) -> Option<(OperatorScope, MonoTime)> {
    if peer.listener != ListenerKind::Operators {
        return None;
    }
    let node = api.board.node()?;
    let control = Arc::clone(&node.view.load().control);
    let proved = api.sessions.prove(bearer(headers)?, peer.transport, &control, api.clock.now());
    proved.inspect(|(scope, _)| peer.show(Owner::Person(scope.person())))
}

/// The operator, or a denial with a receipt.
pub(super) async fn operator(
    api: &ApiState,
    peer: &Peer,
    headers: &HeaderMap,
    operation: &'static str,
) -> Result<OperatorScope, ApiError> {
    match session(api, peer, headers) {
        Some((scope, _)) => Ok(scope),
        None => Err(denied(api, peer, operation, None, "", Reason::Unauthenticated).await),
    }
}

/// Authorises a read of this partition: by an operator, or by a workload of the same tenant.
pub(super) async fn reader(
    api: &ApiState,
    peer: &Peer,
    headers: &HeaderMap,
    operation: &'static str,
    tenant: &str,
) -> Result<Arc<PartitionCell>, ApiError> {
    // The path names a tenant by uid or by display id, which is unique on a node.
    let named =
        || Ident::new(tenant).ok().and_then(|n| api.board.node()?.view.load().control.tenant_named(&n));
    let uid = tenant.parse::<TenantUid>().or_else(|e| named().ok_or(e));
    if session(api, peer, headers).is_some() {
        let uid = uid.map_err(|e| ApiError::bad(StatusCode::BAD_REQUEST, format!("tenant: {e}")))?;
        let unknown =
            || ApiError::bad(StatusCode::NOT_FOUND, "this node has no such tenant; see GET /v1/tenants");
        return api.board.get(uid).ok_or_else(unknown);
    }
    let (scope, shared) = workload(api, peer, headers, operation).await?;
    if uid.is_ok_and(|u| u == scope.tenant()) {
        return Ok(shared);
    }
    Err(denied(api, peer, operation, Some(&scope), tenant, Reason::ScopeMismatch).await)
}
