//! Who approved a change, and whether they may.

use conductor_shared::control::ControlState;
use conductor_shared::ids::{KeyId, PersonId, TenantUid};
use conductor_shared::operator::Role;
use conductor_shared::reason::{Reason, Reasons};
use std::collections::BTreeSet;

/// Who approved, and how old their keys must be.
#[derive(Debug, Clone, Default)]
pub(super) struct Approvers {
    /// Person and key.
    pub(super) given: Vec<(PersonId, KeyId)>,
    /// Size of the node's log when it was asked for.
    pub(super) node_size: u64,
    /// How many it takes.
    pub(super) needed: u64,
}

impl Approvers {
    /// What stands against them now: SPEC, invariant 4.
    pub(super) fn violations(&self, requester: PersonId, tenant: TenantUid, node: &ControlState) -> Reasons {
        let mut reasons = Reasons::default();
        let mut persons = BTreeSet::new();
        for (person, key) in &self.given {
            if *person == requester {
                reasons.add(Reason::SelfApproval);
            }
            match node.operator(*key).filter(|k| k.person == *person) {
                Some(k) if !k.has_role(Role::Approver, tenant) => reasons.add(Reason::RoleMissing),
                Some(k) if !k.older_than(self.node_size) => reasons.add(Reason::ApproverTooNew),
                Some(_) => drop(persons.insert(*person)),
                None => reasons.add(Reason::SignatureInvalid),
            }
        }
        if (persons.len() as u64) < self.needed && reasons.is_empty() {
            reasons.add(Reason::RoleMissing);
        }
        reasons
    }
}
