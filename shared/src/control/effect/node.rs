//! Tenants, policy, the signer, the clock and incidents.

use crate::command::ops;
use crate::control::{ControlState, TenantEntry};
use crate::ids::{Digest, IncidentId};
use crate::policy::LoadedBundle;

impl ControlState {
    pub(super) fn tenant_create(&mut self, op: ops::TenantCreate) {
        let entry = TenantEntry { name: op.tenant_id, epoch: 1 };
        self.tenants.entry(op.tenant_uid).or_insert(entry);
    }

    pub(super) fn policy_trust(&mut self, op: ops::PolicyTrust) {
        self.policy_key = Some(op.public_key);
    }

    pub(super) fn policy_load(&mut self, op: &ops::PolicyLoad) {
        let statement = &op.statement;
        // Revisions only rise, whatever a log says.
        if self.policy.as_ref().is_none_or(|p| p.revision < statement.revision) {
            self.policy = Some(LoadedBundle {
                revision: statement.revision,
                digest: Digest(statement.digest),
                expires_at_us: statement.expires_at_us,
            });
        }
    }

    pub(super) fn signer_replace(&mut self, op: ops::SignerReplace) {
        self.signer_key = Some(op.public_key);
    }

    pub(super) fn time_confirm(&mut self, op: &ops::TimeConfirm) {
        self.incidents.remove(&IncidentId(op.incident));
    }

    pub(super) fn incident_close(&mut self, op: &ops::IncidentClose) {
        self.incidents.remove(&IncidentId(op.incident));
    }
}
