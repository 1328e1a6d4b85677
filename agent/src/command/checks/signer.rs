//! Who signed, and whether they may.

use super::when;
use crate::intake::request::Signed;
use conductor_shared::command::Operation;
use conductor_shared::control::ControlState;
use conductor_shared::ids::PersonId;
use conductor_shared::reason::{Reason, Reasons};

pub(super) fn violations(s: &Signed, node: &ControlState) -> Reasons {
    let Some(key) = node.operator(s.key_id).filter(|k| k.person == s.person) else {
        return Reason::SignatureInvalid.into();
    };
    let may = |op: &Operation| {
        op.kind().roles.iter().any(|role| key.has_role(*role, s.content.tenant))
            || shuts_out_self(op, s.person, node)
    };
    when(!s.content.operation.steps().iter().all(may), Reason::RoleMissing)
}

/// Whoever fears for their own key shuts it out without asking anybody.
fn shuts_out_self(op: &Operation, person: PersonId, node: &ControlState) -> bool {
    match op {
        Operation::OperatorSuspend(op) => op.person == person,
        Operation::OperatorRevoke(op) => node.operators.get(&op.key).is_some_and(|k| k.person == person),
        _ => false,
    }
}
