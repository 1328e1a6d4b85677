//! Tokens, local users, and operators with their keys.

use crate::checkpoint::key_id;
use crate::command::ops;
use crate::control::{ControlState, Token};
use crate::ids::{Digest, PersonId};
use crate::operator::OperatorKey;

impl ControlState {
    pub(super) fn token_issue(&mut self, op: ops::TokenIssue) {
        let t = Token { name: op.name, secret_sha256: Digest(op.secret_sha256), revoked: false };
        // A token id is used once: issuing it again must not revive a revoked one.
        self.tokens.entry(op.token).or_insert(t);
    }

    pub(super) fn token_revoke(&mut self, op: &ops::TokenRevoke) {
        if let Some(t) = self.tokens.get_mut(&op.token) {
            t.revoked = true;
        }
    }

    pub(super) fn peer_allow(&mut self, op: &ops::PeerAllow) {
        self.peers.insert(op.uid);
    }

    pub(super) fn peer_deny(&mut self, op: &ops::PeerDeny) {
        self.peers.remove(&op.uid);
    }

    pub(super) fn operator_enrol(&mut self, index: u64, op: ops::OperatorEnrol) {
        let Some(id) = key_id(&op.public_key) else { return };
        let key = OperatorKey {
            person: op.person,
            name: op.name,
            public_key: op.public_key,
            roles: op.roles,
            since: index,
            roles_since: None,
            suspended: false,
            revoked: None,
        };
        // A key is enrolled once: doing it again must not revive a revoked one, or give it to another person.
        self.operators.entry(id).or_insert(key);
    }

    pub(super) fn operator_roles(&mut self, index: u64, op: &ops::OperatorRoles) {
        for k in self.keys_of_mut(op.person) {
            k.roles.clone_from(&op.roles);
            k.roles_since = Some(index);
        }
    }

    pub(super) fn operator_suspend(&mut self, op: &ops::OperatorSuspend) {
        self.keys_of_mut(op.person).for_each(|k| k.suspended = true);
    }

    pub(super) fn operator_resume(&mut self, index: u64, op: &ops::OperatorResume) {
        for k in self.keys_of_mut(op.person) {
            k.suspended = false;
            // Whoever comes back cannot approve what was asked for while they were out.
            k.roles_since = Some(index);
        }
    }

    pub(super) fn operator_revoke(&mut self, index: u64, op: &ops::OperatorRevoke) {
        if let Some(k) = self.operators.get_mut(&op.key) {
            k.revoked.get_or_insert(index);
        }
    }

    fn keys_of_mut(&mut self, person: PersonId) -> impl Iterator<Item = &mut OperatorKey> {
        self.operators.values_mut().filter(move |k| k.person == person)
    }
}
