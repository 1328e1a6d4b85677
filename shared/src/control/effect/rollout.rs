//! Ramps, what they are held to, and their plans.

use crate::basis_points::BasisPoints;
use crate::command::ops;
use crate::control::{ControlState, PlanState};

impl ControlState {
    pub(super) fn ramp_set(&mut self, op: ops::RampSet) {
        // Whoever sets it by hand takes it out of its plan.
        self.plans.remove(&op.selector);
        self.set_ramp(op.selector, op.hundredths);
    }

    pub(super) fn ramp_cap(&mut self, op: ops::RampCap) {
        // A cap on a rule that is not there makes it, so that what it covers stays at or below.
        let now = self.ramps.get(&op.selector).map(|r| r.hundredths);
        if now.is_none_or(|n| n > op.hundredths) {
            self.plans.remove(&op.selector);
            self.set_ramp(op.selector, op.hundredths);
        }
    }

    pub(super) fn ramp_clear(&mut self, op: &ops::RampClear) {
        self.plans.remove(&op.selector);
        self.ramps.remove(&op.selector);
    }

    pub(super) fn ramp_override(&mut self, op: &ops::RampOverride) {
        self.bad.remove(&op.selector);
    }

    pub(super) fn slo_set(&mut self, op: ops::SloSet) {
        self.slos.insert(op.selector, op.thresholds);
    }

    pub(super) fn plan_set(&mut self, ops::PlanSet { selector, plan }: ops::PlanSet) {
        let first = plan.steps().first().map_or(BasisPoints::ZERO, |s| s.hundredths);
        self.plans.remove(&selector);
        if plan.steps().len() > 1 {
            let p = PlanState { steps: plan.to_string(), at: 0, revision: self.revision, key: None };
            self.plans.insert(selector.clone(), p);
        }
        self.set_ramp(selector, first);
    }

    pub(super) fn plan_stop(&mut self, op: &ops::PlanStop) {
        self.plans.remove(&op.selector);
    }
}
