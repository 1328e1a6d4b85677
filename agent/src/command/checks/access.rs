//! Tenants and the tokens of their workloads.

use super::when;
use crate::store::MAX_TENANTS;
use conductor_shared::command::{Command, Operation, ops};
use conductor_shared::control::ControlState;
use conductor_shared::reason::{Reason, Reasons};

pub(super) fn token_issue(op: &ops::TokenIssue, log: &ControlState) -> Reasons {
    when(log.tokens.contains_key(&op.token), Reason::ObjectExists)
}

pub(super) fn token_revoke(op: &ops::TokenRevoke, log: &ControlState) -> Reasons {
    when(!log.tokens.contains_key(&op.token), Reason::ObjectUnknown)
}

pub(super) fn tenant_create(op: &ops::TenantCreate, log: &ControlState) -> Reasons {
    let taken = log.tenants.contains_key(&op.tenant_uid)
        || log.tenant_named(&op.tenant_id).is_some()
        || op.tenant_uid.is_node();
    let mut reasons = when(taken, Reason::ObjectExists);
    reasons.extend(when(log.tenants.len() >= MAX_TENANTS, Reason::TenantsTooMany).iter());
    reasons
}

/// The first local user that a tenant lets in needs a socket, which takes one of the files that the agent may open.
pub(super) fn socket_of_peers(c: &Command, log: &ControlState, sockets_left: bool) -> Reasons {
    let lets_in = c.operation.steps().iter().any(|step| matches!(step, Operation::PeerAllow(_)));
    when(lets_in && log.peers.is_empty() && !sockets_left, Reason::SocketsTooMany)
}
