//! Commands and approvals. Signatures are verified here; the writer decides.

use super::policy;
use crate::command::{VerifyError, verify, verify_approval};
use crate::http::auth::{self, Peer};
use crate::http::error::ApiError;
use crate::http::read::blocking;
use crate::http::state::ApiState;
use crate::intake::queue::Full;
use crate::intake::request::{CommandReply, Denial, WriterRequest};
use crate::ledger::read_receipt;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use conductor_shared::fact::{ControlFact, Fact};
use conductor_shared::http::{CommandOutcome, ReceiptRef, RequestList, RequestRow, SignedText};
use conductor_shared::ids::{Ident, Origin, PersonId};
use conductor_shared::reason::Reason;
use std::sync::Arc;
use tokio::sync::oneshot;

pub(crate) async fn command(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Result<Json<CommandOutcome>, ApiError> {
    let signed: SignedText = serde_json::from_slice(&body).map_err(|e| ApiError::body(&e))?;
    let node = api.board.node().ok_or_else(|| ApiError::from(Denial::bare(Reason::StoreUnavailable)))?;
    let control = Arc::clone(&node.view.load().control);
    let verified = match verify(&signed, &control, peer.local()) {
        Ok(v) => v,
        Err(e) => return Err(not_verified(&api, &peer, "command", e).await),
    };
    policy::prepare(&api, verified.content.tenant, &verified.content.operation).await;
    let about = api.board.about(verified.content.tenant);
    let (tx, rx) = oneshot::channel();
    answered(&api, WriterRequest::Command(about, Box::new(verified), tx), rx).await
}

async fn answered(
    api: &ApiState,
    ask: WriterRequest,
    rx: oneshot::Receiver<CommandReply>,
) -> Result<Json<CommandOutcome>, ApiError> {
    match api.queues.push(ask) {
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

async fn not_verified(api: &ApiState, peer: &Peer, what: &'static str, e: VerifyError) -> ApiError {
    let mut p = auth::denied(api, peer, what, None, "", Reason::SignatureInvalid).await.0;
    p.detail = e.to_string();
    if matches!(e, VerifyError::Text(_) | VerifyError::Approval) {
        p.status = StatusCode::BAD_REQUEST.as_u16();
    }
    ApiError(p)
}

pub(crate) async fn approval(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Result<Json<CommandOutcome>, ApiError> {
    let signed: SignedText = serde_json::from_slice(&body).map_err(|e| ApiError::body(&e))?;
    let node = api.board.node().ok_or_else(|| ApiError::from(Denial::bare(Reason::StoreUnavailable)))?;
    let control = Arc::clone(&node.view.load().control);
    match verify_approval(&signed, &control, peer.local()) {
        Ok(a) => {
            policy::prepare_request(&api, a.content.tenant, a.content.command_id).await;
            let about = api.board.about(a.content.tenant);
            let (tx, rx) = oneshot::channel();
            answered(&api, WriterRequest::Approval(about, Box::new(a), tx), rx).await
        }
        Err(e) => Err(not_verified(&api, &peer, "approval", e).await),
    }
}

/// Commands that wait for approval, in all logs, with the exact text that the approver signs.
pub(crate) async fn approvals(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Json<RequestList>, ApiError> {
    auth::operator(&api, &peer, &headers, "approval_list").await?;
    let names = api.board.node().map(|n| Arc::clone(&n.view.load().control)).unwrap_or_default();
    let name = |p: &PersonId| names.keys_of(*p).next().map_or_else(unknown_person, |k| k.name.clone());
    let mut requests = Vec::new();
    for shared in api.board.all() {
        let control = Arc::clone(&shared.view.load().control);
        for (id, r) in &control.requests {
            let (command_id, index) = (*id, r.index);
            let read = blocking(&shared, move |store, p| read_receipt(store, p, index));
            let Some(Fact::Control(ControlFact::Requested(f))) = read.await?.fact else { continue };
            requests.push(RequestRow {
                tenant_uid: shared.id.tenant,
                tenant_id: shared.name.clone(),
                command_id,
                text: String::from_utf8_lossy(&f.text).into_owned(),
                class: r.class,
                person: name(&r.person),
                needed: r.needed,
                approved: r.approvals.keys().map(&name).collect(),
                expires_at_us: r.expires_at_us,
                receipt: ReceiptRef {
                    origin: Origin { node: api.node_id, tenant: shared.id.tenant, epoch: shared.id.epoch },
                    index,
                },
            });
        }
    }
    requests.sort_by(|a, b| (&a.tenant_id, a.receipt.index).cmp(&(&b.tenant_id, b.receipt.index)));
    Ok(Json(RequestList { requests }))
}

fn unknown_person() -> Ident {
    // "unknown" is a valid identifier.
    Ident::new("unknown").unwrap_or_else(|_| unreachable!())
}
