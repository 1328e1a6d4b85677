//! Incidents that the agent opens and closes by itself while something lasts.

use super::{close_incidents, open_by, open_incident};
use crate::keys::KeyError;
use crate::partition::{FLOOD, PartitionState};
use crate::staging::BatchBuilder;
use conductor_shared::cause::IncidentCause;
use conductor_shared::clock::Now;
use conductor_shared::fail_closed::Outage;
use conductor_shared::untrusted::UntrustedText;
use std::time::Duration;

/// A signer that is out for longer is an incident.
const SIGNER_OUT: Duration = Duration::from_secs(5);
/// A flood is over when there was none for so long.
const FLOOD_QUIET: Duration = Duration::from_secs(60);

/// A signer that is out for too long is an incident of the node, until it signs again.
pub(crate) fn of_signer(
    node: &mut PartitionState,
    st: &mut BatchBuilder,
    down: &mut Option<Now>,
    outage: Outage,
) -> Result<(), KeyError> {
    if !outage.signer {
        *down = None;
        return close_incidents(node, st, IncidentCause::SignerOutage, "the signer signs again");
    }
    let since = *down.get_or_insert(st.now);
    if st.now.mono > since.mono + SIGNER_OUT && open_by(node, IncidentCause::SignerOutage).is_empty() {
        let detail = UntrustedText::new(
            "the signer does not sign: nothing can be loosened, and receipts wait unsigned",
        );
        let times = (since.wall, st.now.wall);
        open_incident(node, st, IncidentCause::SignerOutage, detail, times, vec![])?;
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
