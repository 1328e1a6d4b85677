//! One run as it is stored.

use super::request::run_id;
use crate::http::access::OwnTenant;
use crate::http::auth::{self, Caller, Peer};
use crate::http::error::ApiError;
use crate::http::input::Asked;
use crate::http::read::blocking;
use crate::http::state::{Api, ApiState};
use crate::intake::request::Denial;
use crate::partition::published::PartitionCell;
use crate::rows::{RunRow, decode};
use crate::store::{Row, RowKind};
use axum::extract::{Path, State};
use axum::{Extension, Json};
use conductor_shared::http::{RunAsked, RunView};
use conductor_shared::reason::Reason;

pub(crate) async fn show(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    OwnTenant { scope, cell: shared }: OwnTenant,
    Path(run): Path<String>,
    Asked(asked): Asked<RunAsked>,
) -> Result<Json<RunView>, ApiError> {
    if asked.tenant_id != shared.name.as_str() {
        let (caller, named) = (Caller::Workload(scope), asked.tenant_id);
        return Err(auth::denied(&api, &peer, "run_show", &caller, &named, Reason::ScopeMismatch).await);
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
