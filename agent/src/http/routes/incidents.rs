//! Open incidents, the timeline of a log in words, and the SLO state of ramps.

use crate::http::access::{LogReader, Person};
use crate::http::error::ApiError;
use crate::http::input::Asked;
use crate::http::read::blocking;
use crate::http::state::ApiState;
use crate::ledger::{ReadError, Receipt, control_facts, read_receipt, summary};
use crate::partition::published::PartitionCell;
use axum::Json;
use axum::extract::State;
use conductor_shared::command::Operation;
use conductor_shared::control::ControlState;
use conductor_shared::fact::{ControlFact, Fact, schema};
use conductor_shared::http::{
    IncidentList, IncidentRow, ReceiptRef, SloList, Timeline, TimelineAsked, TimelineRow,
};
use conductor_shared::ids::{Ident, Origin, PersonId, hex};
use conductor_shared::untrusted::UntrustedText;
use std::sync::Arc;

/// Maximum open incidents in one answer.
const MAX_INCIDENTS: usize = 500;
/// Maximum entries in one answer.
const PAGE: usize = 200;
/// Maximum control facts read for one answer.
const MAX_READ: usize = 5_000;

/// The node's control state, which has the names of persons.
fn names(api: &ApiState) -> Arc<ControlState> {
    api.board.node_control().unwrap_or_default()
}

fn name_of(names: &ControlState, person: PersonId) -> Option<Ident> {
    names.keys_of(person).next().map(|k| k.name.clone())
}

/// What was said as an incident was opened, or acknowledged. Control state does not hold it.
fn text_of(r: &Receipt) -> Option<UntrustedText> {
    match &r.fact {
        Some(Fact::Control(ControlFact::IncidentOpened(f))) => Some(f.detail.clone()),
        Some(Fact::Control(ControlFact::Changed(f))) => match Operation::from_list(&f.change.0)? {
            Operation::IncidentAck(op) => Some(op.comment),
            _ => None,
        },
        _ => None,
    }
}

async fn of_log(api: &ApiState, shared: &Arc<PartitionCell>) -> Result<Vec<IncidentRow>, ApiError> {
    let control = Arc::clone(&shared.view.load().control);
    let names = names(api);
    let origin = Origin { node: api.node_id, tenant: shared.id.tenant, epoch: shared.id.epoch };
    let mut rows = Vec::new();
    let mut open: Vec<_> = control.incidents.iter().collect();
    open.sort_by_key(|(_, i)| std::cmp::Reverse(i.index));
    open.truncate(MAX_INCIDENTS);
    let at = open.iter().map(|(_, i)| (i.index, i.acknowledged.as_ref().map(|a| a.receipt)));
    let at: Vec<_> = at.collect();
    let texts = blocking(shared, move |store, p| {
        let text = |index| read_receipt(store, p, index).map(|r| text_of(&r));
        let both = at.into_iter().map(|(opened, acknowledged)| {
            Ok((text(opened)?.unwrap_or_default(), acknowledged.map(text).transpose()?.flatten()))
        });
        both.collect::<Result<Vec<_>, ReadError>>()
    });
    for ((id, i), (detail, comment)) in open.into_iter().zip(texts.await?) {
        let ack = i.acknowledged.as_ref();
        rows.push(IncidentRow {
            tenant_uid: shared.id.tenant,
            tenant_id: shared.name.clone(),
            incident: id.to_string(),
            cause: i.cause.clone(),
            detail,
            receipt: ReceiptRef { origin, index: i.index },
            since_us: i.since_us,
            began_us: i.began_us,
            detected_us: i.detected_us,
            receipts: i.receipts.clone(),
            acknowledged_by: ack.and_then(|a| name_of(&names, a.person)),
            acknowledged_us: ack.map(|a| a.at_us),
            comment,
        });
    }
    Ok(rows)
}

pub(crate) async fn incidents(
    State(api): State<ApiState>,
    log: LogReader,
) -> Result<Json<IncidentList>, ApiError> {
    let shared = log.cell;
    Ok(Json(IncidentList { incidents: of_log(&api, &shared).await? }))
}

pub(crate) async fn all(State(api): State<ApiState>, person: Person) -> Result<Json<IncidentList>, ApiError> {
    let mut rows = Vec::new();
    for (shared, _) in person.logs(&api) {
        if !shared.view.load().control.incidents.is_empty() {
            rows.extend(of_log(&api, &shared).await?);
        }
    }
    rows.sort_by_key(|r| std::cmp::Reverse((r.since_us, r.receipt.index)));
    rows.truncate(MAX_INCIDENTS);
    Ok(Json(IncidentList { incidents: rows }))
}

pub(crate) async fn slo(log: LogReader) -> Json<SloList> {
    let shared = log.cell;
    let ramps = shared.view.load().slo.as_ref().clone();
    Json(SloList { tenant_uid: shared.id.tenant, ramps })
}

/// The person, the incident, and how long the incident went unnoticed.
fn about(fact: &ControlFact) -> (Option<PersonId>, Option<String>, Option<u64>) {
    let of_change = |change: &[String]| {
        let named = change.first().is_some_and(|n| n.starts_with("incident."));
        change.get(2).filter(|_| named).cloned()
    };
    match fact {
        ControlFact::Changed(f) => (Some(f.person), of_change(&f.change.0), None),
        ControlFact::Proposed(f) => (Some(f.person), None, None),
        ControlFact::Requested(f) => (Some(f.person), None, None),
        ControlFact::Approved(f) => (Some(f.person), None, None),
        ControlFact::IncidentOpened(f) => (None, Some(hex(&f.incident)), None),
        ControlFact::IncidentClosed(f) => (None, Some(hex(&f.incident)), None),
        ControlFact::IncidentEvidence(f) => {
            (None, Some(hex(&f.incident)), Some(f.detected_us.saturating_sub(f.began_us)))
        }
        _ => (None, None, None),
    }
}

pub(crate) async fn timeline(
    State(api): State<ApiState>,
    log: LogReader,
    Asked(asked): Asked<TimelineAsked>,
) -> Result<Json<Timeline>, ApiError> {
    let shared = log.cell;
    let size = shared.view.load().size();
    let (from, to) = (asked.from.unwrap_or(0), asked.to.unwrap_or(u64::MAX));
    let first = asked.after.map_or(0, |after| after.saturating_add(1));
    let names = names(&api);
    let page = blocking(&shared, move |store, p| {
        // Only durable facts are shown.
        let mut indices = control_facts(store, p, first..size, MAX_READ + 1)?;
        let more = indices.len() > MAX_READ;
        indices.truncate(MAX_READ);
        let (mut rows, mut next) = (Vec::new(), indices.last().copied().filter(|_| more));
        for index in indices {
            let r = read_receipt(store, p, index)?;
            if r.sealed.header.time_us > to {
                // Receipt times never go back.
                next = None;
                break;
            }
            if r.sealed.header.time_us < from {
                continue;
            }
            if rows.len() == PAGE {
                next = rows.last().map(|r: &TimelineRow| r.index);
                break;
            }
            rows.push(timeline_row(&r, &names));
        }
        Ok(Timeline { origin: p.origin, rows, next })
    });
    Ok(Json(page.await?))
}

fn timeline_row(r: &Receipt, names: &ControlState) -> TimelineRow {
    let kind = schema(r.sealed.header.kind);
    let (person, incident, unnoticed_us) = match &r.fact {
        Some(Fact::Control(f)) => about(f),
        _ => (None, None, None),
    };
    TimelineRow {
        index: r.sealed.header.index,
        time_us: r.sealed.header.time_us,
        kind: kind.map_or("unknown", |k| k.name).to_owned(),
        words: summary(r),
        person: person.and_then(|p| name_of(names, p)),
        incident,
        unnoticed_us,
    }
}
