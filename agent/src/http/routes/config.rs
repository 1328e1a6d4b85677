//! History of a tenant's configuration: each revision with person, reason and differences, and the state it left. Each
//! request folds the control facts of the log again, on a blocking thread.

use crate::http::access::LogReader;
use crate::http::error::ApiError;
use crate::http::input::Asked;
use crate::http::read::blocking;
use crate::http::state::ApiState;
use crate::ledger::{Partition, ReadError, control_facts, read_receipt, redacted, summary};
use crate::store::{Row, Store};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use conductor_shared::config::{config, differences};
use conductor_shared::control::{At, ControlState};
use conductor_shared::fact::{ControlFact, Fact};
use conductor_shared::http::{ConfigHistory, ConfigRevision, ConfigRow, HistoryAsked};
use conductor_shared::ids::{PersonId, parse_decimal};
use conductor_shared::untrusted::UntrustedText;
use std::collections::{HashMap, VecDeque};

/// Maximum revisions in one answer.
const PAGE: u64 = 500;

/// One revision and the state it left.
struct Step<'a> {
    at: At,
    control: &'a ControlState,
    /// Person and reason, if a person asked for it.
    by: Option<(PersonId, UntrustedText)>,
    words: String,
}

/// Folds the control facts of a log from its beginning and calls `each` for every new revision, until it returns false.
fn fold(
    store: &Store,
    p: &Partition,
    size: u64,
    mut each: impl FnMut(&Step<'_>) -> bool,
) -> Result<(), ReadError> {
    let mut control = ControlState::default();
    let mut proposed: HashMap<u64, (PersonId, UntrustedText)> = HashMap::new();
    let mut next = 0;
    loop {
        // Only durable facts are shown.
        let indices = control_facts(store, p, next..size, 1_000)?;
        let Some(last) = indices.last() else { return Ok(()) };
        next = last + 1;
        for index in indices {
            let r = read_receipt(store, p, index)?;
            let at = At { index, time_us: r.sealed.header.time_us };
            let before = control.revision;
            let fits = control.apply_receipt(at, r.sealed.header.kind, r.fact.as_ref());
            fits.map_err(|e| p.damaged(&Row::Receipt(index).key(), &e.to_string()))?;
            let by = match &r.fact {
                Some(Fact::Control(ControlFact::Changed(f))) => Some((f.person, f.why.clone())),
                Some(Fact::Control(ControlFact::Proposed(f))) => {
                    proposed.insert(index, (f.person, f.why.clone()));
                    None
                }
                Some(Fact::Control(ControlFact::Effective(f))) => proposed.remove(&f.proposal),
                Some(Fact::Control(ControlFact::Abandoned(f))) => {
                    proposed.remove(&f.proposal);
                    None
                }
                _ => None,
            };
            if control.revision == before {
                continue;
            }
            let step = Step { at, control: &control, by, words: summary(&r) };
            if !each(&step) {
                return Ok(());
            }
        }
    }
}

pub(crate) async fn history(
    State(api): State<ApiState>,
    log: LogReader,
    Asked(asked): Asked<HistoryAsked>,
) -> Result<Json<ConfigHistory>, ApiError> {
    let shared = log.cell;
    let v = shared.view.load_full();
    let limit = usize::try_from(asked.limit.unwrap_or(100).clamp(1, PAGE)).unwrap_or(1);
    let before = asked.before.unwrap_or(u64::MAX);
    let names = api.board.node_control().unwrap_or_default();
    let (size, revision, tenant_uid) = (v.size(), v.control.revision, shared.id.tenant);
    let page = blocking(&shared, move |store, p| {
        let mut rows: VecDeque<ConfigRow> = VecDeque::new();
        let mut more = false;
        let mut last = config(&ControlState::default());
        fold(store, p, size, |s| {
            if s.control.revision >= before {
                return false;
            }
            let now = config(s.control);
            let name = |p: PersonId| names.keys_of(p).next().map(|k| k.name.clone());
            rows.push_back(ConfigRow {
                revision: s.control.revision,
                index: s.at.index,
                time_us: s.at.time_us,
                person: s.by.as_ref().and_then(|b| name(b.0)),
                why: s.by.as_ref().map(|b| b.1.clone()),
                words: s.words.clone(),
                differences: differences(&last, &now),
            });
            last = now;
            if rows.len() > limit {
                rows.pop_front();
                more = true;
            }
            true
        })?;
        let next = rows.front().map(|r| r.revision).filter(|_| more);
        Ok(ConfigHistory { tenant_uid, revision, rows: rows.into_iter().rev().collect(), next })
    });
    Ok(Json(page.await?))
}

pub(crate) async fn revision(
    log: LogReader,
    Path((_, revision)): Path<(String, String)>,
) -> Result<Json<ConfigRevision>, ApiError> {
    let (shared, sight) = (log.cell, log.sight);
    let bad = || ApiError::bad(StatusCode::BAD_REQUEST, "revision: expected a whole number");
    let wanted = parse_decimal(&revision).ok_or_else(bad)?;
    let (size, tenant_uid) = (shared.view.load().size(), shared.id.tenant);
    let found = blocking(&shared, move |store, p| {
        let mut found = None;
        fold(store, p, size, |s| {
            if s.control.revision == wanted {
                let (index, time_us) = (s.at.index, s.at.time_us);
                let control = redacted(s.control, sight);
                found =
                    Some(ConfigRevision { tenant_uid, revision: control.revision, index, time_us, control });
            }
            found.is_none()
        })?;
        Ok(found)
    });
    let none = || {
        let text = format!("the tenant has no revision {wanted}; see the history of its configuration");
        ApiError::bad(StatusCode::NOT_FOUND, text)
    };
    Ok(Json(found.await?.ok_or_else(none)?))
}
