//! Incidents that the agent opens and closes by itself while something lasts.

use super::{close_incidents, open_by, open_incident};
use crate::health::Health;
use crate::keys::KeyError;
use crate::partition::{FLOOD, PartitionState};
use crate::staging::BatchBuilder;
use conductor_shared::cause::IncidentCause;
use conductor_shared::health::TABLE;
use conductor_shared::untrusted::UntrustedText;
use std::time::Duration;

/// What lasts longer is an incident.
const LASTS: Duration = Duration::from_secs(5);
/// A flood is over when there was none for so long.
const FLOOD_QUIET: Duration = Duration::from_secs(60);

/// A subsystem that has not done its work for too long is an incident of the node, until it does.
pub(crate) fn of_health(
    node: &mut PartitionState,
    st: &mut BatchBuilder,
    health: &Health,
) -> Result<(), KeyError> {
    for row in &TABLE {
        let Some(cause) = row.incident else { continue };
        match health.trouble(row.subsystem) {
            None => close_incidents(node, st, cause, &format!("{} does its work again", row.name))?,
            Some((since, began, found)) => {
                if st.now.mono >= began + LASTS && open_by(node, cause).is_empty() {
                    let detail = UntrustedText::new(format!("{found}; it stops {}", row.stops));
                    open_incident(node, st, cause, detail, (since, st.now.wall), vec![])?;
                }
            }
        }
    }
    Ok(())
}

/// A flood of denials by quota is an incident of its tenant, until it stays quiet.
pub(crate) fn of_quota(live: &mut PartitionState, st: &mut BatchBuilder) -> Result<(), KeyError> {
    let mono = st.now.mono;
    let loud = live.quota_flood.last.is_some_and(|t| mono < t + FLOOD_QUIET);
    if !loud && live.control.incidents.is_empty() {
        return Ok(());
    }
    let open = !open_by(live, IncidentCause::QuotaFlood).is_empty();
    if loud && !open {
        let detail = UntrustedText::new(format!("at least {FLOOD} denials by quota within 10 s"));
        let (times, first) = ((live.quota_flood.from_wall, st.now.wall), live.quota_flood.first);
        return open_incident(live, st, IncidentCause::QuotaFlood, detail, times, vec![first]);
    }
    if open && live.quota_flood.last.is_none() {
        // Found open at start: it is over when it stays quiet from here on.
        live.quota_flood.last = Some(mono);
    } else if open && !loud {
        close_incidents(live, st, IncidentCause::QuotaFlood, "quiet for 60 s")?;
    }
    Ok(())
}
