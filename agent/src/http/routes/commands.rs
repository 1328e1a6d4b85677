//! Commands and approvals. Signatures are verified here; the writer decides.

use super::policy;
use crate::command::{VerifyError, verify, verify_approval};
use crate::http::access::Person;
use crate::http::auth::{self, Caller, Peer};
use crate::http::conn_limit::Owner;
use crate::http::error::ApiError;
use crate::http::input::Body;
use crate::http::read::blocking;
use crate::http::state::{self, ApiState};
use crate::intake::queue::Full;
use crate::intake::request::{
    CommandReply, Denial, Signed, SignedApproval, Unscoped, Verified, WriterRequest,
};
use crate::ledger::read_receipt;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use conductor_shared::access::Sight;
use conductor_shared::clock::WallTime;
use conductor_shared::command::Audience;
use conductor_shared::fact::{ControlFact, Fact};
use conductor_shared::http::{CommandOutcome, ReceiptRef, RequestList, RequestRow, SignedText};
use conductor_shared::ids::{Ident, Origin, PartitionId, PersonId};
use conductor_shared::operator::Role;
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::UntrustedText;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

pub(crate) async fn command(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Body(signed): Body<SignedText>,
) -> Result<Json<CommandOutcome>, ApiError> {
    let control = api.node_control()?;
    let verified = match verify(&signed, &control, peer.local()) {
        Ok(v) => v,
        Err(e) => return Err(not_verified(&api, &peer, "command", e).await),
    };
    peer.show(Owner::Person(verified.person));
    let about = api.board.about(verified.content.tenant);
    if let Some(reason) = stale(&api, about, &verified) {
        return Err(refused(&api, &peer, about, &verified, reason).await);
    }
    policy::prepare(&api, verified.content.tenant, &verified.content.operation).await;
    let (tx, rx) = oneshot::channel();
    answered(&api, WriterRequest::Command(about, Box::new(verified), tx), rx).await
}

/// Why a command cannot count, whatever the state: its text is known to whoever reads a receipt, and must not cost the
/// writer anything.
fn stale(api: &ApiState, about: PartitionId, signed: &Signed) -> Option<Reason> {
    let control = Arc::clone(&api.board.get(about.tenant)?.view.load().control);
    if control.commands.contains_key(&signed.key()) {
        return Some(Reason::CommandReplayed);
    }
    let here = matches!(&signed.content.audience, Audience::Nodes(ids) if ids.contains(&api.node_id));
    let over = WallTime::from_micros(signed.content.expires_at_us) <= api.clock.now().wall;
    (!here).then_some(Reason::CommandAudience).or(over.then_some(Reason::CommandExpired))
}

/// The same of an answer to a request.
fn answers_nothing(api: &ApiState, about: PartitionId, signed: &SignedApproval) -> Option<Reason> {
    let control = Arc::clone(&api.board.get(about.tenant)?.view.load().control);
    let said = &signed.content;
    match control.request_meant(said.command_id, &said.command_digest) {
        Some((_, r)) if r.approvals.contains_key(&signed.person) => Some(Reason::CommandReplayed),
        Some(_) => None,
        None if control.requests.keys().any(|k| k.command == said.command_id) => Some(Reason::BaseStale),
        None => Some(Reason::ObjectUnknown),
    }
}

/// A replay is counted. Everything else leaves a receipt, folded by person, in the lane of the node's own denials.
async fn refused<T>(
    api: &ApiState,
    peer: &Peer,
    about: PartitionId,
    signed: &Verified<T>,
    reason: Reason,
) -> ApiError {
    if reason == Reason::CommandReplayed {
        api.board.replays.fetch_add(1, Ordering::Relaxed);
        return Denial::bare(reason).into();
    }
    let (tx, rx) = oneshot::channel();
    let unscoped = Unscoped {
        log: about,
        principal: format!("person:{}", signed.person),
        person: Some(signed.person),
        peer: peer.name(),
        operation: "command",
        named: UntrustedText::default(),
        reasons: reason.into(),
    };
    match api.queues.push(WriterRequest::Unscoped(unscoped, tx)) {
        Ok(()) => state::answered(rx).await.unwrap_or_else(Denial::bare).into(),
        Err(Full::Queue(_)) => Denial::bare(reason).into(),
        Err(Full::Closed(_)) => Denial::bare(Reason::Stopping).into(),
    }
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
    match state::answered(rx).await {
        Ok(Ok(outcome)) => Ok(Json(outcome)),
        Ok(Err(d)) => Err(d.into()),
        Err(reason) => Err(Denial::bare(reason).into()),
    }
}

async fn not_verified(api: &ApiState, peer: &Peer, what: &'static str, e: VerifyError) -> ApiError {
    let mut p = auth::denied(api, peer, what, &Caller::Unknown, "", Reason::SignatureInvalid).await.0;
    p.detail = e.to_string();
    if matches!(e, VerifyError::Text(_) | VerifyError::Approval) {
        p.status = StatusCode::BAD_REQUEST.as_u16();
    }
    ApiError(p)
}

pub(crate) async fn approval(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Body(signed): Body<SignedText>,
) -> Result<Json<CommandOutcome>, ApiError> {
    let control = api.node_control()?;
    match verify_approval(&signed, &control, peer.local()) {
        Ok(a) => {
            peer.show(Owner::Person(a.person));
            let about = api.board.about(a.content.tenant);
            if let Some(reason) = answers_nothing(&api, about, &a) {
                return Err(refused(&api, &peer, about, &a, reason).await);
            }
            policy::prepare_request(&api, a.content.tenant, &a.content).await;
            let (tx, rx) = oneshot::channel();
            answered(&api, WriterRequest::Approval(about, Box::new(a), tx), rx).await
        }
        Err(e) => Err(not_verified(&api, &peer, "approval", e).await),
    }
}

/// Commands that wait for approval, in all logs, with the exact text that the approver signs.
pub(crate) async fn approvals(
    State(api): State<ApiState>,
    person: Person,
) -> Result<Json<RequestList>, ApiError> {
    let names = api.board.node_control().unwrap_or_default();
    let name = |p: &PersonId| names.keys_of(*p).next().map_or_else(unknown_person, |k| k.name.clone());
    let mut requests = Vec::new();
    for shared in api.board.all() {
        // The exact text shows all that a command says. Whoever is asked to approve it sees it.
        let log = shared.id.tenant;
        if person.sight(log) != Some(Sight::Full) && !person.has_role(Role::Approver, log) {
            continue;
        }
        let control = Arc::clone(&shared.view.load().control);
        for (id, r) in &control.requests {
            let (command_id, index) = (id.command, r.index);
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
