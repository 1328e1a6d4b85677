//! One run as it is stored.

use super::request::run_id;
use crate::http::auth::{self, Peer};
use crate::http::error::ApiError;
use crate::http::read::blocking;
use crate::http::state::{Api, ApiState};
use crate::intake::request::Denial;
use crate::partition::published::PartitionCell;
use crate::rows::{RunRow, decode};
use crate::store::{Row, RowKind};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use conductor_shared::http::RunView;
use conductor_shared::reason::Reason;
use std::collections::HashMap;

pub(crate) async fn show(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Path(run): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Json<RunView>, ApiError> {
    let (scope, shared) = auth::workload(&api, &peer, &headers, "run_show").await?;
    let named = query.get("tenant_id").map_or("", String::as_str);
    if named != shared.name.as_str() {
        return Err(auth::denied(&api, &peer, "run_show", Some(&scope), named, Reason::ScopeMismatch).await);
    }
    let id = run_id(&run)?;
    let view = blocking(&shared, move |store, p| {
        for key in [Row::OpenRun(id.0).key(), Row::EndedRun(id.0).key()] {
            let Some(row) = store.get(&p.family, &key)? else { continue };
            let row: RunRow = decode(&p.open(&key, &row)?).map_err(|e| p.damaged(&key, &e))?;
            let (mut open, mut all) = (0, 0);
            for kind in [RowKind::OpenStep, RowKind::EndedStep] {
                store.scan(&p.family, &Row::scan_ids(kind, id.0, 0), |_, _| {
                    all += 1;
                    open += u64::from(kind == RowKind::OpenStep);
                    true
                })?;
            }
            return Ok(Some((row, all, open)));
        }
        Ok(None)
    })
    .await?;
    let (row, steps, open_steps) = view.ok_or_else(|| ApiError::from(Denial::bare(Reason::RunUnknown)))?;
    wait_durable(&api, &shared, row.last).await;
    Ok(Json(RunView {
        run_id: id,
        workflow_type: row.workflow,
        outcome: row.outcome,
        started_us: row.started.as_micros(),
        steps,
        open_steps,
    }))
}

/// A row may be readable before its receipt is durable: wait until it is.
async fn wait_durable(api: &Api, shared: &PartitionCell, last: u64) {
    let mut commits = api.board.watch();
    while shared.view.load().size() <= last && api.board.store.load().is_some() {
        let wait = tokio::time::timeout(std::time::Duration::from_secs(5), commits.changed());
        if !matches!(wait.await, Ok(Ok(()))) {
            break;
        }
    }
}
