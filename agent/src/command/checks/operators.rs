//! Persons and their keys.

use super::{keys, when};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::checkpoint::verify_minisign;
use conductor_shared::command::{Operation, ops};
use conductor_shared::control::ControlState;
use conductor_shared::ids::PersonId;
use conductor_shared::operator::key_statement;
use conductor_shared::reason::{Reason, Reasons};

/// One purpose a key, one person a key, one name a person.
pub(super) fn enrol(op: &Operation, enrol: &ops::OperatorEnrol, log: &ControlState) -> Reasons {
    let mut reasons = keys::one_purpose(op, log);
    let statement = key_statement(enrol.person, &enrol.name, &enrol.public_key);
    let proof = STANDARD.decode(&enrol.proof).ok().and_then(|b| String::from_utf8(b).ok());
    if verify_minisign(&enrol.public_key, statement.as_bytes(), &proof.unwrap_or_default()).is_err() {
        reasons.add(Reason::ProofInvalid);
    }
    let other_name = log.keys_of(enrol.person).any(|k| k.name != enrol.name);
    let name_taken = log.operators.values().any(|k| k.name == enrol.name && k.person != enrol.person);
    if other_name || name_taken {
        reasons.add(Reason::ObjectExists);
    }
    reasons
}

pub(super) fn known(person: PersonId, log: &ControlState) -> Reasons {
    when(log.keys_of(person).next().is_none(), Reason::ObjectUnknown)
}

pub(super) fn revoke(op: &ops::OperatorRevoke, log: &ControlState) -> Reasons {
    when(!log.operators.contains_key(&op.key), Reason::ObjectUnknown)
}
