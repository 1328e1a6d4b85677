//! Tenants of the node, their present state and their total sums.

use crate::http::access::{LogReader, Person};
use crate::http::error::ApiError;
use crate::http::read::blocking;
use crate::http::state::ApiState;
use crate::ledger::redacted;
use crate::metering;
use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::http::{TenantDetail, TenantList, TenantRow, Totals, TotalsRow};
use conductor_shared::ids::TenantUid;
use conductor_shared::meter::{Labels, Sums};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) async fn list(State(api): State<ApiState>, person: Person) -> Json<TenantList> {
    // Their names stand in the node's log.
    let all = person.sight(TenantUid::NODE).is_some();
    let mut tenants: Vec<TenantRow> = api
        .board
        .all()
        .into_iter()
        .filter(|s| !s.id.tenant.is_node() && (all || person.sight(s.id.tenant).is_some()))
        .map(|s| {
            let v = s.view.load();
            TenantRow {
                tenant_uid: s.id.tenant,
                tenant_id: s.name.clone(),
                size: v.size(),
                signed: v.signed,
                open_runs: v.open_runs,
            }
        })
        .collect();
    tenants.sort_by(|a, b| a.tenant_id.cmp(&b.tenant_id));
    Json(TenantList { tenants })
}

pub(crate) async fn show(log: LogReader) -> Json<TenantDetail> {
    let shared = log.cell;
    let v = shared.view.load_full();
    Json(TenantDetail {
        tenant_uid: shared.id.tenant,
        control: redacted(&v.control, log.sight),
        size: v.size(),
        root: STANDARD.encode(v.frontier.root()),
        checkpoint: v.checkpoint.as_deref().cloned(),
        open_runs: v.open_runs,
    })
}

pub(crate) async fn totals(log: LogReader) -> Result<Json<Totals>, ApiError> {
    let shared = log.cell;
    let tenant_uid = shared.id.tenant;
    let labels = Arc::clone(&shared.view.load().series);
    let sums = blocking(&shared, |store, p| metering::all(&store.reading(), p)).await?;
    let mut total = Sums::default();
    let mut by: BTreeMap<Labels, Sums> = BTreeMap::new();
    for (series, sums) in sums {
        total.merge(&sums);
        if let Some(l) = labels.get(series as usize) {
            by.entry(l.clone()).or_default().merge(&sums);
        }
    }
    let by_labels = by.into_iter().map(|(labels, sums)| TotalsRow { labels, sums }).collect();
    Ok(Json(Totals { tenant_uid, total, by_labels }))
}
