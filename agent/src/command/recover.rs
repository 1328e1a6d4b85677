//! Recovery operations (SPEC, invariant 3): exempt from policy and checkpoints, for admins on the node itself.

use super::approvers::Approvers;
use super::facts::incident;
use crate::intake::request::Signed;
use crate::keys::KeyError;
use crate::partition::state::PartitionState;
use crate::staging::BatchBuilder;
use conductor_shared::cause::IncidentCause;
use conductor_shared::checkpoint::key_id;
use conductor_shared::command::Operation;
use conductor_shared::control::ControlState;
use conductor_shared::ids::{KeyId, TenantUid};
use conductor_shared::operator::Role;

/// It came over the agent's own socket, and all who asked and approved are admins.
pub(super) fn allowed(signed: &Signed, approved: Option<&Approvers>, node: &ControlState) -> bool {
    let admin = |key: KeyId| node.operator(key).is_some_and(|k| k.has_role(Role::Admin, TenantUid::NODE));
    let approvers = approved.is_none_or(|a| a.given.iter().all(|(_, key)| admin(*key)));
    signed.local && admin(signed.key_id) && approvers
}

/// Others are to look at it.
pub(super) fn open_incident(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    op: &Operation,
    node: &ControlState,
) -> Result<(), KeyError> {
    let by = "by two admins on the node itself";
    let (cause, detail) = match op {
        Operation::TimeConfirm(_) => (IncidentCause::TimeConfirmed, format!("the time was confirmed {by}")),
        Operation::SignerReplace(op) => {
            let id = |k: &str| key_id(k).map_or_else(String::new, |id| id.to_string());
            let old = node.signer_key.as_deref().map_or_else(String::new, id);
            let new = id(&op.public_key);
            (
                IncidentCause::SignerReplaced,
                format!(
                    "signer {old} was replaced by {new} {by}: nothing that {old} signs counts from here on"
                ),
            )
        }
        _ => (IncidentCause::PolicyRecovered, format!("{} {by} while policy was out", op.name())),
    };
    incident(live, st, cause, &detail)
}
