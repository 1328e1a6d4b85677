//! Kill switches, quotas and the catalog of workflow types.

use crate::command::ops;
use crate::control::ControlState;
use crate::ids::Digest;
use crate::quota::Grant;
use crate::ramp::Kill;

impl ControlState {
    pub(super) fn kill_set(&mut self, op: ops::KillSet) {
        self.kills.insert(op.selector, Kill { drain: op.drain });
    }

    pub(super) fn kill_clear(&mut self, op: &ops::KillClear) {
        self.kills.remove(&op.selector);
    }

    pub(super) fn quota_set(&mut self, op: &ops::QuotaSet) {
        *self.quotas.get_mut(op.kind) = Grant::local(op.limit);
    }

    pub(super) fn quota_cap(&mut self, op: &ops::QuotaCap) {
        let g = self.quotas.get_mut(op.kind);
        *g = Grant { limit: g.limit.min(op.limit), granted: g.granted.min(op.limit) };
    }

    pub(super) fn workflow_register(&mut self, op: ops::WorkflowRegister) {
        self.workflows.insert(op.workflow);
    }

    pub(super) fn workflow_retire(&mut self, op: &ops::WorkflowRetire) {
        self.workflows.remove(&op.workflow);
        self.prompts.remove(&op.workflow);
    }

    pub(super) fn workflow_pin(&mut self, op: ops::WorkflowPin) {
        self.prompts.insert(op.workflow, Digest(op.prompt_sha256));
    }

    pub(super) fn workflow_unpin(&mut self, op: &ops::WorkflowUnpin) {
        self.prompts.remove(&op.workflow);
    }
}
