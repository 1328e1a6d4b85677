//! Ramps and the catalog.

use super::when;
use conductor_shared::command::ops;
use conductor_shared::control::ControlState;
use conductor_shared::reason::{Reason, Reasons};

pub(super) fn ramp_override(op: &ops::RampOverride, log: &ControlState) -> Reasons {
    when(!log.bad.contains_key(&op.selector), Reason::ObjectUnknown)
}

pub(super) fn workflow_pin(op: &ops::WorkflowPin, log: &ControlState) -> Reasons {
    when(!log.workflows.contains(&op.workflow), Reason::ObjectUnknown)
}
