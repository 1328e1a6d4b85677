//! The watch over the wall clock (SPEC, Time). A step beyond tolerance opens an incident in the node's log; while it is
//! open nothing is loosened and nothing is done that cannot be taken back, until two admins confirm the time.
//!
//! It is looked at before anything else in a batch, so that no command passes between the step and its receipt.

use crate::incident;
use crate::keys::KeyError;
use crate::partition::Partitions;
use crate::staging::BatchBuilder;
use conductor_shared::cause::IncidentCause;
use conductor_shared::clock::{Drift, SECOND_US, WallTime, micros};
use conductor_shared::command::Operation;
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::UntrustedText;
use std::time::Duration;

/// Seconds with a sign and two places, for people.
fn seconds(us: i128) -> String {
    let (sign, us) = (if us < 0 { "back" } else { "forward" }, us.unsigned_abs());
    format!("{sign} by {}.{:02} s", us / u128::from(SECOND_US), us % u128::from(SECOND_US) / 10_000)
}

/// Puts on record that the clock is doubted, once. The node's log takes on the latest time that any log has told, so that
/// confirming the time later covers all of them.
fn doubt(partitions: &mut Partitions, st: &mut BatchBuilder, detail: &str) -> Result<(), KeyError> {
    tracing::error!("{detail}");
    let newest = partitions.newest();
    let Some(node) = partitions.node_mut().filter(|n| n.status.serves()) else {
        return Ok(());
    };
    node.log.not_before(newest);
    // Whoever asked to confirm the time before this step looked at another clock.
    let asked = node.control.requests.iter().filter(|(_, r)| is_confirmation(&r.change));
    let asked: Vec<_> = asked.map(|(key, r)| (*key, r.clone())).collect();
    for (key, request) in &asked {
        crate::command::close(node, st, (*key, request), Reason::ClockUntrusted.into(), None)?;
    }
    if node.control.clock_doubted() {
        return Ok(());
    }
    let now = st.now.wall;
    incident::open_incident(node, st, IncidentCause::Clock, UntrustedText::new(detail), (now, now), vec![])
}

fn is_confirmation(change: &[String]) -> bool {
    matches!(Operation::from_list(change), Some(Operation::TimeConfirm(_)))
}

/// At the start: no receipt can be of a time that is still to come. Those that were ahead when the time was confirmed
/// last are known to be; then it must not be before the time that was confirmed.
pub fn at_start(
    partitions: &mut Partitions,
    st: &mut BatchBuilder,
    tolerance: Duration,
) -> Result<(), KeyError> {
    let newest = partitions.newest();
    let node = partitions.node();
    let confirmed =
        node.and_then(|n| n.control.time_confirmed).filter(|c| newest <= WallTime::from_micros(c.logged_us));
    let ahead = confirmed.map_or(newest, |c| WallTime::from_micros(c.said_us)) - st.now.wall;
    if ahead <= tolerance {
        return Ok(());
    }
    let by = seconds(-i128::from(micros(ahead)));
    doubt(partitions, st, &format!("the clock was stepped {by} or more while the agent was stopped"))
}

/// Looks whether the wall clock was stepped.
pub fn watch(
    drift: &mut Drift,
    partitions: &mut Partitions,
    st: &mut BatchBuilder,
    tolerance: Duration,
) -> Result<(), KeyError> {
    let Some(by) = drift.look(st.now, tolerance) else { return Ok(()) };
    doubt(partitions, st, &format!("the clock was stepped {}", seconds(by)))
}
