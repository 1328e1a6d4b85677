//! The one place where the agent opens and closes incidents by itself, each with the receipts that prove it.

mod conditions;

pub(crate) use conditions::{of_health, of_quota};

use crate::keys::KeyError;
use crate::partition::PartitionState;
use crate::staging::BatchBuilder;
use conductor_shared::cause::IncidentCause;
use conductor_shared::clock::WallTime;
use conductor_shared::codec::Listed;
use conductor_shared::fact::{Fact, IncidentClosed, IncidentEvidence, IncidentOpened};
use conductor_shared::untrusted::UntrustedText;

/// Opens an incident with what proves it.
pub(crate) fn open_incident(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    cause: IncidentCause,
    detail: UntrustedText,
    (began, detected): (WallTime, WallTime),
    receipts: Vec<u64>,
) -> Result<(), KeyError> {
    let incident = crate::platform::random::bytes(&*st.random);
    live.control_fact(st, Fact::from(IncidentOpened { incident, cause: cause.into(), detail }))?;
    let (began_us, detected_us) = (began.as_micros(), detected.as_micros());
    let evidence = IncidentEvidence { incident, began_us, detected_us, receipts: Listed(receipts) };
    live.control_fact(st, Fact::from(evidence))?;
    Ok(())
}

/// Open incidents of this cause, as ids.
pub(crate) fn open_by(live: &PartitionState, cause: IncidentCause) -> Vec<[u8; 16]> {
    let of = live.control.incidents.iter().filter(|(_, i)| i.cause == cause);
    of.map(|(id, _)| id.0).collect()
}

pub(crate) fn close_incidents(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    cause: IncidentCause,
    how: &str,
) -> Result<(), KeyError> {
    for incident in open_by(live, cause) {
        live.control_fact(st, Fact::from(IncidentClosed { incident, detail: UntrustedText::new(how) }))?;
    }
    Ok(())
}
