//! The watch over the wall clock (SPEC, Time). A step beyond tolerance opens an incident in the node's log; while it is
//! open nothing is loosened and nothing is done that cannot be taken back, until two admins confirm the time.
//!
//! It is looked at before anything else in a batch, so that no command passes between the step and its receipt.

use super::live::Stage;
use super::{Open, Writer, slo};
use crate::keys::KeyError;
use conductor_shared::cause::IncidentCause;
use conductor_shared::clock::{Micros, SECOND};
use conductor_shared::command::Operation;
use conductor_shared::ids::TenantUid;
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::UntrustedText;

/// Seconds with a sign and two places, for people.
fn seconds(us: i128) -> String {
    let (sign, us) = (if us < 0 { "back" } else { "forward" }, us.unsigned_abs());
    format!("{sign} by {}.{:02} s", us / u128::from(SECOND), us % u128::from(SECOND) / 10_000)
}

/// Puts on record that the clock is doubted, once. The node's log takes on the latest time that any log has told, so that
/// confirming the time later covers all of them.
fn doubt(open: &mut Open, st: &mut Stage, detail: &str) -> Result<(), KeyError> {
    tracing::error!("{detail}");
    let newest = open.partitions.values().map(|l| l.log.last_us()).max().unwrap_or(0);
    let Some(node) = open.partitions.get_mut(&TenantUid::NODE).filter(|n| !n.rolled_back) else {
        return Ok(());
    };
    node.log.not_before(newest);
    // Whoever asked to confirm the time before this step looked at another clock.
    let asked = node.control.requests.iter().filter(|(_, r)| is_confirmation(&r.change));
    let asked: Vec<_> = asked.map(|(id, r)| (*id, r.index)).collect();
    for (id, index) in asked {
        crate::command::close(node, st, id, index, Reason::ClockUntrusted.into(), None)?;
    }
    if node.control.clock_doubted() {
        return Ok(());
    }
    slo::open_incident(
        node,
        st,
        IncidentCause::Clock,
        UntrustedText::new(detail),
        (st.now.wall_us, st.now.wall_us),
        vec![],
    )
}

fn is_confirmation(change: &[String]) -> bool {
    matches!(Operation::from_list(change), Some(Operation::TimeConfirm(_)))
}

/// At the start: no receipt can be of a time that is still to come. Those that were ahead when the time was confirmed
/// last are known to be; then it must not be before the time that was confirmed.
pub(super) fn at_start(open: &mut Open, st: &mut Stage, tolerance_us: Micros) -> Result<(), KeyError> {
    let newest = open.partitions.values().map(|l| l.log.last_us()).max().unwrap_or(0);
    let node = open.partitions.get(&TenantUid::NODE);
    let confirmed = node.and_then(|n| n.control.time_confirmed).filter(|c| newest <= c.logged_us);
    let ahead = confirmed.map_or(newest, |c| c.said_us).saturating_sub(st.now.wall_us);
    if ahead <= tolerance_us {
        return Ok(());
    }
    let by = seconds(-i128::from(ahead));
    doubt(open, st, &format!("the clock was stepped {by} or more while the agent was stopped"))
}

impl Writer {
    /// Looks whether the wall clock was stepped.
    pub(super) fn watch_clock(&mut self, st: &mut Stage) -> Result<(), String> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let Some(by) = self.drift.look(st.now, self.parts.clock_tolerance_us) else { return Ok(()) };
        doubt(open, st, &format!("the clock was stepped {}", seconds(by))).map_err(|e| e.to_string())
    }
}
