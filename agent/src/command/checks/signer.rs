//! Who signed, and whether they may.

use super::when;
use crate::intake::request::Signed;
use conductor_shared::command::Operation;
use conductor_shared::control::ControlState;
use conductor_shared::ids::{PersonId, TenantUid};
use conductor_shared::operator::OperatorKey;
use conductor_shared::reason::{Reason, Reasons};

pub(super) fn violations(s: &Signed, node: &ControlState) -> Reasons {
    let Some(key) = node.operator(s.key_id).filter(|k| k.person == s.person) else {
        return Reason::SignatureInvalid.into();
    };
    when(!may_sign(&s.content.operation, key, s.content.tenant, node), Reason::RoleMissing)
}

/// Whether a key's roles let its person sign this operation on this log.
pub fn may_sign(op: &Operation, key: &OperatorKey, log: TenantUid, node: &ControlState) -> bool {
    op.steps().iter().all(|step| {
        step.kind().roles.iter().any(|role| key.has_role(*role, log))
            || shuts_out_self(step, key.person, node)
    })
}

/// Whoever fears for their own key shuts it out without asking anybody.
fn shuts_out_self(op: &Operation, person: PersonId, node: &ControlState) -> bool {
    match op {
        Operation::OperatorSuspend(op) => op.person == person,
        Operation::OperatorRevoke(op) => node.operators.get(&op.key).is_some_and(|k| k.person == person),
        _ => false,
    }
}
