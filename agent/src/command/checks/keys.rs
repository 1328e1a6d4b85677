//! One purpose a key.

use super::when;
use conductor_shared::checkpoint::{is_same_key, key_id};
use conductor_shared::command::{KeyPurpose, Operation};
use conductor_shared::control::ControlState;
use conductor_shared::reason::{Reason, Reasons};

/// What a key is for on this node, under whatever id.
fn purposes(key: &str, node: &ControlState) -> impl Iterator<Item = KeyPurpose> {
    let is = |known: &Option<String>| known.as_deref().is_some_and(|k| is_same_key(k, key));
    [
        (node.operators.values().any(|k| is_same_key(&k.public_key, key)), KeyPurpose::Operator),
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
    if key_id(key).is_none() {
        return Reason::ObjectExists.into();
    }
    let again = matches!(purpose, KeyPurpose::Policy | KeyPurpose::Billing);
    when(purposes(key, node).any(|other| other != purpose || !again), Reason::ObjectExists)
}
