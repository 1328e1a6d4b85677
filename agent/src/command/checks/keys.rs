//! One purpose a key.

use super::when;
use conductor_shared::checkpoint::key_id;
use conductor_shared::command::{KeyPurpose, Operation};
use conductor_shared::control::ControlState;
use conductor_shared::ids::KeyId;
use conductor_shared::reason::{Reason, Reasons};

/// What keys with an id are for on this node.
fn purposes(id: KeyId, node: &ControlState) -> impl Iterator<Item = KeyPurpose> {
    let is = |key: &Option<String>| key.as_deref().and_then(key_id).is_some_and(|k| k == id);
    [
        (node.operators.contains_key(&id), KeyPurpose::Operator),
        (is(&node.signer_key), KeyPurpose::Signer),
        (is(&node.policy_key), KeyPurpose::Policy),
        (is(&node.billing_key), KeyPurpose::Billing),
    ]
    .into_iter()
    .filter_map(|(used, purpose)| used.then_some(purpose))
}

/// The key that an operation brings in is for nothing else on this node. To trust the same key again changes nothing;
/// an enrolled key is not enrolled again, nor the signer replaced by itself.
pub(super) fn one_purpose(op: &Operation, node: &ControlState) -> Reasons {
    let Some((purpose, key)) = op.introduces() else { return Reasons::default() };
    let Some(id) = key_id(key) else { return Reason::ObjectExists.into() };
    let again = matches!(purpose, KeyPurpose::Policy | KeyPurpose::Billing);
    when(purposes(id, node).any(|other| other != purpose || !again), Reason::ObjectExists)
}
