//! Tenants and the tokens of their workloads.

use super::when;
use crate::store::MAX_TENANTS;
use conductor_shared::command::ops;
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
