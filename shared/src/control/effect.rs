//! What each operation makes of the state when it takes effect: one arm each, its effect in a file by theme.

mod access;
mod billing;
mod freezes;
mod node;
mod rollout;
mod workloads;

use super::ControlState;
use crate::command::Operation;

impl ControlState {
    pub(super) fn apply_operation(&mut self, index: u64, op: Operation) {
        // A rollback is each of its steps.
        if !matches!(op, Operation::ConfigRollback(_)) {
            self.revise(&op);
        }
        match op {
            Operation::ConfigRollback(op) => {
                for step in op.changes {
                    self.apply_operation(index, step);
                }
            }
            Operation::RampSet(op) => self.ramp_set(op),
            Operation::RampCap(op) => self.ramp_cap(op),
            Operation::RampClear(op) => self.ramp_clear(&op),
            Operation::RampOverride(op) => self.ramp_override(&op),
            Operation::SloSet(op) => self.slo_set(op),
            Operation::PlanSet(op) => self.plan_set(op),
            Operation::PlanStop(op) => self.plan_stop(&op),
            Operation::KillSet(op) => self.kill_set(op),
            Operation::KillClear(op) => self.kill_clear(&op),
            Operation::QuotaSet(op) => self.quota_set(&op),
            Operation::QuotaCap(op) => self.quota_cap(&op),
            Operation::WorkflowRegister(op) => self.workflow_register(op),
            Operation::WorkflowRetire(op) => self.workflow_retire(&op),
            Operation::WorkflowPin(op) => self.workflow_pin(op),
            Operation::WorkflowUnpin(op) => self.workflow_unpin(&op),
            Operation::TokenIssue(op) => self.token_issue(op),
            Operation::TokenRevoke(op) => self.token_revoke(&op),
            Operation::PeerAllow(op) => self.peer_allow(&op),
            Operation::PeerDeny(op) => self.peer_deny(&op),
            Operation::OperatorEnrol(op) => self.operator_enrol(index, op),
            Operation::OperatorRoles(op) => self.operator_roles(index, &op),
            Operation::OperatorSuspend(op) => self.operator_suspend(&op),
            Operation::OperatorResume(op) => self.operator_resume(index, &op),
            Operation::OperatorRevoke(op) => self.operator_revoke(index, &op),
            Operation::PolicyTrust(op) => self.policy_trust(op),
            Operation::PolicyLoad(op) => self.policy_load(&op),
            // Who acknowledged it, and when, is in the fact and not in the operation.
            Operation::IncidentAck(_) => {}
            Operation::IncidentClose(op) => self.incident_close(&op),
            Operation::TimeConfirm(op) => self.time_confirm(&op),
            Operation::SignerReplace(op) => self.signer_replace(op),
            Operation::TenantCreate(op) => self.tenant_create(op),
            Operation::ProfileCreate(op) => self.profile_create(op),
            Operation::ProfileSet(op) => self.profile_set(op),
            Operation::ProfileWindow(op) => self.profile_window(op),
            Operation::ProfileUnwindow(op) => self.profile_unwindow(&op),
            Operation::ProfileAssign(op) => self.profile_assign(op),
            Operation::FreezeSet(op) => self.freeze_set(op),
            Operation::FreezeClear(op) => self.freeze_clear(&op),
            Operation::BreakGlassOpen(op) => self.break_glass_open(op),
            Operation::BreakGlassClose(op) => self.break_glass_close(&op),
            Operation::UsageCorrect(op) => self.usage_correct(&op),
            Operation::RateTrust(op) => self.rate_trust(op),
            Operation::RateLoad(op) => self.rate_load(&op),
            Operation::CostReconcile(op) => self.cost_reconcile(index, op),
            Operation::SinkReplay(op) => self.sink_replay(op),
            Operation::SinkRedeliver(op) => self.sink_redeliver(op),
        }
    }
}
