//! Routes of operators: sessions and commands.

use super::Shared;
use super::auth::{self, Peer};
use super::problem::Refused;
use crate::command::{VerifyError, verify};
use crate::scope::{SESSION_US, SessionError};
use crate::writer::ask::{Ask, Denial};
use crate::writer::queue::Full;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use conductor_shared::http::{
    Challenge, CommandOutcome, NodeInfo, SessionOpened, SignedText, TenantList, TenantRow,
};
use conductor_shared::ids::hex;
use conductor_shared::reason::Reason;
use std::sync::Arc;
use tokio::sync::oneshot;

pub(super) async fn node(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Json<NodeInfo>, Refused> {
    if auth::session(&api, &peer, &headers).is_none() {
        auth::workload(&api, &peer, &headers, "node_show").await?;
    }
    Ok(Json(api.node_info()))
}

pub(super) async fn challenge(State(api): State<Shared>) -> Result<Json<Challenge>, Refused> {
    let busy =
        || Refused::bad(StatusCode::TOO_MANY_REQUESTS, "too many challenges are open; retry in a minute");
    let c = api.sessions.challenge(api.clock.now(), &*api.random).ok_or_else(busy)?;
    Ok(Json(Challenge { challenge: hex(&c), node: api.node_info() }))
}

pub(super) async fn open_session(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Result<Json<SessionOpened>, Refused> {
    let signed: SignedText = serde_json::from_slice(&body).map_err(|e| Refused::body(&e))?;
    let node = api.board.node().ok_or_else(|| Refused::from(Denial::bare(Reason::StoreUnavailable)))?;
    let control = Arc::clone(&node.view.load().control);
    let now = api.clock.now();
    match api.sessions.open(&signed, api.node_id, peer.transport, &control, now, &*api.random) {
        Ok((token, scope, _)) => {
            let roles = control.operators.get(scope.key_id()).map(|k| k.roles.iter().cloned().collect());
            Ok(Json(SessionOpened {
                token,
                expires_at_us: now.wall_us + SESSION_US,
                person: scope.name().clone(),
                roles: roles.unwrap_or_default(),
            }))
        }
        Err(SessionError::TooMany) => {
            Err(Refused::bad(StatusCode::TOO_MANY_REQUESTS, SessionError::TooMany.to_string()))
        }
        Err(e) => {
            let on_record =
                auth::denied(&api, &peer, "session_open", None, "", Reason::Unauthenticated).await;
            let mut p = on_record.0;
            p.detail = e.to_string();
            Err(Refused(p))
        }
    }
}

pub(super) async fn command(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Result<Json<CommandOutcome>, Refused> {
    let signed: SignedText = serde_json::from_slice(&body).map_err(|e| Refused::body(&e))?;
    let node = api.board.node().ok_or_else(|| Refused::from(Denial::bare(Reason::StoreUnavailable)))?;
    let control = Arc::clone(&node.view.load().control);
    let verified = match verify(&signed, &control) {
        Ok(v) => v,
        Err(e) => {
            let reason = Reason::SignatureInvalid;
            let mut p = auth::denied(&api, &peer, "command", None, "", reason).await.0;
            p.detail = e.to_string();
            if matches!(e, VerifyError::Text(_)) {
                p.status = StatusCode::BAD_REQUEST.as_u16();
            }
            return Err(Refused(p));
        }
    };
    let (tx, rx) = oneshot::channel();
    match api.queues.push(Ask::Command(Box::new(verified), tx)) {
        Ok(()) => {}
        Err(Full::Queue(_)) => return Err(Denial::bare(Reason::QueueFull).into()),
        Err(Full::Closed(_)) => return Err(Denial::bare(Reason::Stopping).into()),
    }
    match rx.await {
        Ok(Ok(outcome)) => Ok(Json(outcome)),
        Ok(Err(d)) => Err(d.into()),
        Err(_) => Err(Denial::bare(Reason::StoreUnavailable).into()),
    }
}

pub(super) async fn tenants(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Json<TenantList>, Refused> {
    auth::operator(&api, &peer, &headers, "tenant_list").await?;
    let mut tenants: Vec<TenantRow> = api
        .board
        .all()
        .into_iter()
        .filter(|s| !s.id.tenant.is_node())
        .map(|s| {
            let v = s.view.load();
            TenantRow {
                tenant_uid: s.id.tenant,
                tenant_id: s.name.clone(),
                size: v.size(),
                signed: v.signed,
                open_runs: v.open_runs,
            }
        })
        .collect();
    tenants.sort_by(|a, b| a.tenant_id.cmp(&b.tenant_id));
    Ok(Json(TenantList { tenants }))
}
