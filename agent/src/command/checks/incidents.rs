//! Incidents, that of the clock among them.

use super::when;
use crate::command::context::SKEW;
use conductor_shared::cause::IncidentCause;
use conductor_shared::clock::WallTime;
use conductor_shared::command::{Operation, ops};
use conductor_shared::control::ControlState;
use conductor_shared::ids::{IncidentId, PersonId};
use conductor_shared::reason::{Reason, Reasons};

fn is_clock(incident: &[u8; 16], log: &ControlState) -> bool {
    log.incidents.get(&IncidentId(*incident)).is_some_and(|i| i.cause == IncidentCause::Clock)
}

pub(super) fn time_confirm(op: &ops::TimeConfirm, issued_at: WallTime, log: &ControlState) -> Reasons {
    // What is confirmed is the time at which it was signed, and no other.
    if WallTime::from_micros(op.now_us).abs_diff(issued_at) > SKEW {
        return Reason::CommandExpired.into();
    }
    when(!is_clock(&op.incident, log), Reason::ObjectUnknown)
}

pub(super) fn incident_ack(op: &ops::IncidentAck, log: &ControlState) -> Reasons {
    when(!log.incidents.contains_key(&IncidentId(op.incident)), Reason::ObjectUnknown)
}

/// Whoever opened break-glass alone does not close the review of it.
pub(super) fn own_review(op: &Operation, person: PersonId, log: &ControlState) -> Reasons {
    let Operation::IncidentClose(op) = op else { return Reasons::default() };
    let incident = log.incidents.get(&IncidentId(op.incident));
    when(incident.is_some_and(|i| i.review_of == Some(person)), Reason::SelfApproval)
}

pub(super) fn incident_close(op: &ops::IncidentClose, log: &ControlState) -> Reasons {
    // The doubt of the clock ends when the time is confirmed, and by nothing else.
    let mut reasons = when(is_clock(&op.incident, log), Reason::ClockUntrusted);
    reasons.extend(when(!log.incidents.contains_key(&IncidentId(op.incident)), Reason::ObjectUnknown).iter());
    reasons
}
