//! What would a change do? Its class, and its exact blast radius over the last hour's requests, from the receipts.

use crate::http::auth::{self, Peer};
use crate::http::error::ApiError;
use crate::http::read::blocking;
use crate::http::state::ApiState;
use crate::ledger::{Receipt, read_receipt};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use conductor_shared::change_class;
use conductor_shared::command::Operation;
use conductor_shared::control::ControlState;
use conductor_shared::fact::{ChangeClass, Fact, RunDecided, TrafficFact};
use conductor_shared::http::{Preview, PreviewRequest, PreviewRow};
use conductor_shared::ids::{Ident, hex};
use conductor_shared::meter::HOUR_US;
use conductor_shared::profile;
use conductor_shared::ramp::effective;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Rows of the answer.
const ROWS: usize = 50;

pub(crate) async fn preview(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Preview>, ApiError> {
    let who = auth::operator(&api, &peer, &headers, "preview").await?;
    let shared = auth::reader(&api, &peer, &headers, "preview", &tenant).await?;
    let request: PreviewRequest = serde_json::from_slice(&body).map_err(|e| ApiError::body(&e))?;
    let unknown =
        || ApiError::bad(StatusCode::BAD_REQUEST, "operation: not an operation that this agent knows");
    let op = Operation::from_list(&request.operation).ok_or_else(unknown)?;
    let view = shared.view.load_full();
    let (before, after) = (view.control.as_ref().clone(), view.control.after(&op));
    let since_us = api.clock.now().wall_us.saturating_sub(HOUR_US);
    let (size, folding) = (view.size(), view.folding.clone());
    let states = (before.clone(), after.clone());
    let (sums, open) = blocking(&api, &shared, move |store, p| {
        let mut sums = Sums { folded: folding.into_iter().collect(), ..Sums::default() };
        for index in (0..size).rev() {
            let r = read_receipt(store, p, index)?;
            if r.sealed.header.time_us < since_us {
                break;
            }
            sums.add(&r, &states.0, &states.1);
        }
        let mut open = 0;
        let first = crate::store::Row::OPEN_RUNS;
        let mut rows = Vec::new();
        store.scan(&p.family, &[first], &[first + 1], |k, v| {
            rows.push((k.to_vec(), v.to_vec()));
            true
        })?;
        for (k, v) in rows {
            let row: crate::writer::rows::RunRow =
                crate::writer::rows::decode(&p.open(&k, &v)?).map_err(|e| p.damaged(&k, &e))?;
            let stops = |s: &ControlState| {
                s.killed(row.action.as_str(), row.workflow.as_str()).is_some_and(|k| !k.drain)
            };
            open += u64::from(stops(&states.1) && !stops(&states.0));
        }
        Ok((sums, open))
    })
    .await?;
    let mut by_workflow: Vec<PreviewRow> = sums
        .by_workflow
        .into_iter()
        .map(|(workflow_type, s)| PreviewRow {
            workflow_type,
            requests: s.requests,
            newly_allowed: s.newly_allowed,
            newly_denied: s.newly_denied,
        })
        .collect();
    let total = |f: fn(&PreviewRow) -> u64| by_workflow.iter().map(f).sum::<u64>();
    let (requests, newly_allowed, newly_denied) =
        (total(|r| r.requests), total(|r| r.newly_allowed), total(|r| r.newly_denied));
    by_workflow.sort_by_key(|r| std::cmp::Reverse((r.newly_allowed + r.newly_denied, r.requests)));
    by_workflow.truncate(ROWS);
    let class = change_class::of_change(&before, &after);
    let node = api.board.node().map(|n| Arc::clone(&n.view.load().control)).unwrap_or_default();
    Ok(Json(Preview {
        class,
        base: hex(&before.object_digest(&op)),
        before: before.object(&op),
        after: after.object(&op),
        since_us,
        requests,
        newly_allowed,
        newly_denied,
        by_workflow,
        open_runs_stopped: open,
        approvals: match class {
            ChangeClass::Loosen => {
                let now_us = api.clock.now().wall_us;
                let all = api.board.all();
                let alone = all.iter().map(|s| {
                    let v = s.view.load();
                    profile::alone_on_day(&v.control, who.person(), now_us.max(v.last_us))
                });
                profile::approvals(&op, &before, &node, alone.sum())
            }
            ChangeClass::Tighten => 0,
        },
        frozen: class == ChangeClass::Loosen
            && before.break_glass.is_none()
            && profile::forbids(&before, &node, &op),
    }))
}

#[derive(Default)]
struct Sum {
    requests: u64,
    newly_allowed: u64,
    newly_denied: u64,
}

/// Walks back from the newest receipt, so a fold's count is met before the denial it counts.
#[derive(Default)]
struct Sums {
    by_workflow: BTreeMap<Ident, Sum>,
    folded: HashMap<u64, u64>,
}

impl Sums {
    fn add(&mut self, r: &Receipt, before: &ControlState, after: &ControlState) {
        match &r.fact {
            Some(Fact::Traffic(TrafficFact::DenialsFolded(f))) => {
                *self.folded.entry(f.first).or_default() += f.count;
            }
            Some(Fact::Traffic(TrafficFact::RunDecided(f))) => {
                let n = 1 + self.folded.remove(&r.sealed.header.index).unwrap_or(0);
                let (was, would) = (passes(f, before), passes(f, after));
                let s = self.by_workflow.entry(f.workflow.clone()).or_default();
                s.requests += n;
                s.newly_allowed += if would && !was { n } else { 0 };
                s.newly_denied += if was && !would { n } else { 0 };
            }
            _ => {}
        }
    }
}

/// Would ramp and kill switches of this state let the request through?
fn passes(f: &RunDecided, state: &ControlState) -> bool {
    let (action, workflow) = (f.action.as_str(), f.workflow.as_str());
    state.killed(action, workflow).is_none()
        && state.workflows.contains(&f.workflow)
        && f.bucket < u64::from(effective(&state.ramps, action, workflow))
}
