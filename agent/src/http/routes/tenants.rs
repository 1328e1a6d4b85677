//! Tenants of the node, their present state and their total sums.

use crate::http::auth::{self, Peer};
use crate::http::error::ApiError;
use crate::http::read::blocking;
use crate::http::state::ApiState;
use crate::metering;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::http::{TenantDetail, TenantList, TenantRow, Totals, TotalsRow};
use conductor_shared::meter::{Labels, Sums};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) async fn list(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Json<TenantList>, ApiError> {
    auth::operator(&api, &peer, &headers, "tenant_list").await?;
    let mut tenants: Vec<TenantRow> = api
        .board
        .all()
        .into_iter()
        .filter(|s| !s.id.tenant.is_node())
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
    Ok(Json(TenantList { tenants }))
}

pub(crate) async fn show(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Result<Json<TenantDetail>, ApiError> {
    let shared = auth::reader(&api, &peer, &headers, "tenant_show", &tenant).await?;
    let v = shared.view.load_full();
    Ok(Json(TenantDetail {
        tenant_uid: shared.id.tenant,
        control: v.control.as_ref().clone(),
        size: v.size(),
        root: STANDARD.encode(v.frontier.root()),
        checkpoint: v.checkpoint.as_deref().cloned(),
        open_runs: v.open_runs,
    }))
}

pub(crate) async fn totals(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Totals>, ApiError> {
    let shared = auth::reader(&api, &peer, &headers, "totals", &tenant).await?;
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
