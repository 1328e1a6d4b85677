//! Reading logs and what proves them. Only what is durable is shown.

use super::auth::{self, Peer};
use super::problem::Refused;
use super::{Api, Shared};
use crate::ledger::{DiskNodes, Partition, ReadError, read_json, read_receipt};
use crate::meter;
use crate::store::Store;
use crate::writer::ask::Denial;
use crate::writer::view;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::http::{
    BUNDLE_TYPE, Consistency, LogHead, RangeBundle, ReceiptBundle, ReceiptJson, ReceiptPage, TenantDetail,
    Totals, TotalsRow,
};
use conductor_shared::ids::parse_decimal;
use conductor_shared::merkle::{self, Hash};
use conductor_shared::meter::{Labels, Sums};
use conductor_shared::reason::Reason;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Receipts in one page at most.
const PAGE: u64 = 500;
pub(super) type Params = Query<HashMap<String, String>>;

/// Reads from the store off the async threads. The store is given up as soon as the read ends.
pub(super) async fn blocking<T: Send + 'static>(
    api: &Api,
    shared: &Arc<view::Shared>,
    read: impl FnOnce(&Store, &Partition) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, Refused> {
    let closed = || Refused::from(Denial::bare(Reason::StoreUnavailable));
    let store = api.board.store.load_full().ok_or_else(closed)?;
    let partition = shared.partition.load_full().ok_or_else(closed)?;
    let done = tokio::task::spawn_blocking(move || read(&store, &partition)).await;
    Ok(done.map_err(|_| closed())??)
}

fn b64(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|h| STANDARD.encode(h)).collect()
}

pub(super) fn number(params: &HashMap<String, String>, name: &str, default: u64) -> Result<u64, Refused> {
    match params.get(name) {
        None => Ok(default),
        Some(t) => parse_decimal(t)
            .ok_or_else(|| Refused::bad(StatusCode::BAD_REQUEST, format!("{name}: expected a whole number"))),
    }
}

pub(super) async fn tenant(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Result<Json<TenantDetail>, Refused> {
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

pub(super) async fn checkpoint(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Result<Json<LogHead>, Refused> {
    let shared = auth::reader(&api, &peer, &headers, "log_head", &tenant).await?;
    let v = shared.view.load_full();
    let origin =
        conductor_shared::ids::Origin { node: api.node_id, tenant: shared.id.tenant, epoch: shared.id.epoch };
    Ok(Json(LogHead {
        origin,
        size: v.size(),
        root: STANDARD.encode(v.frontier.root()),
        checkpoint: v.checkpoint.as_deref().cloned(),
    }))
}

pub(super) async fn receipts(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    Query(params): Params,
    headers: HeaderMap,
) -> Result<Json<ReceiptPage>, Refused> {
    let shared = auth::reader(&api, &peer, &headers, "receipt_list", &tenant).await?;
    let size = shared.view.load().size();
    let limit = number(&params, "limit", 100)?.clamp(1, PAGE);
    let from = match params.get("from").map(String::as_str) {
        Some(t) if t.starts_with('-') => {
            let n = parse_decimal(&t[1..]);
            let n = n.ok_or_else(|| Refused::bad(StatusCode::BAD_REQUEST, "from: expected n or -n"))?;
            size.saturating_sub(n)
        }
        _ => number(&params, "from", 0)?,
    };
    let to = from.saturating_add(limit).min(size);
    let (origin, receipts) = blocking(&api, &shared, move |store, p| {
        let list = (from..to).map(|i| Ok(read_json(&read_receipt(store, p, i)?)));
        Ok((p.origin, list.collect::<Result<Vec<ReceiptJson>, ReadError>>()?))
    })
    .await?;
    Ok(Json(ReceiptPage { origin, size, receipts, next: (to < size).then_some(to.max(from)) }))
}

pub(super) async fn proof(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path((tenant, index)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<ReceiptBundle>, Refused> {
    let shared = auth::reader(&api, &peer, &headers, "receipt_proof", &tenant).await?;
    let v = shared.view.load_full();
    let index = parse_decimal(&index).filter(|i| *i < v.size());
    let index = index
        .ok_or_else(|| Refused::bad(StatusCode::NOT_FOUND, format!("the log has {} entries", v.size())))?;
    let signed = v.signed;
    let (receipt, path) = blocking(&api, &shared, move |store, p| {
        let receipt = read_json(&read_receipt(store, p, index)?);
        let nodes = DiskNodes::new(store, p, signed);
        Ok((receipt, merkle::inclusion_proof(&nodes, index, signed)?))
    })
    .await?;
    let checkpoint = v.checkpoint.as_deref().filter(|_| index < signed).cloned();
    Ok(Json(ReceiptBundle { kind: BUNDLE_TYPE.into(), receipt, proof: b64(&path), checkpoint }))
}

pub(super) async fn consistency(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    Query(params): Params,
    headers: HeaderMap,
) -> Result<Json<Consistency>, Refused> {
    let shared = auth::reader(&api, &peer, &headers, "consistency", &tenant).await?;
    let size = shared.view.load().size();
    let (from, to) = (number(&params, "from", 0)?, number(&params, "to", size)?);
    if from > to || to > size {
        let what = format!("the log has {size} entries: expected from <= to <= {size}");
        return Err(Refused::bad(StatusCode::BAD_REQUEST, what));
    }
    let (origin, root, path) = blocking(&api, &shared, move |store, p| {
        let nodes = DiskNodes::new(store, p, to);
        Ok((p.origin, merkle::root_at(&nodes, to)?, merkle::consistency_proof(&nodes, from, to)?))
    })
    .await?;
    Ok(Json(Consistency { origin, from, to, to_root: STANDARD.encode(root), proof: b64(&path) }))
}

pub(super) async fn export(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    Query(params): Params,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let shared = auth::reader(&api, &peer, &headers, "receipt_export", &tenant).await?;
    let v = shared.view.load_full();
    // What is signed can be proved; the rest can be had without a proof by asking for it.
    let (from, to) = (number(&params, "from", 0)?, number(&params, "to", v.signed)?);
    if from >= to || to > v.size() {
        let what =
            format!("the log has {} entries, {} of them signed: expected from < to", v.size(), v.signed);
        return Err(Refused::bad(StatusCode::BAD_REQUEST, what));
    }
    let covered = to <= v.signed;
    let (signed, checkpoint) = (v.signed, v.checkpoint.as_deref().filter(|_| covered).cloned());
    let head = blocking(&api, &shared, move |store, p| {
        let (mut first, mut last) = (vec![], vec![]);
        if covered {
            let nodes = DiskNodes::new(store, p, signed);
            first = merkle::inclusion_proof(&nodes, from, signed)?;
            last = merkle::inclusion_proof(&nodes, to - 1, signed)?;
        }
        Ok(RangeBundle {
            kind: BUNDLE_TYPE.into(),
            from,
            to,
            first_proof: b64(&first),
            last_proof: b64(&last),
            checkpoint,
        })
    })
    .await?;
    // A page at a time, as fast as the client takes them.
    let stream = futures_util::stream::try_unfold((Some(head), from), move |(head, at)| {
        let (api, shared) = (Arc::clone(&api), Arc::clone(&shared));
        async move {
            if let Some(head) = head {
                return Ok::<_, std::io::Error>(Some((line(&head)?, (None, at))));
            }
            if at >= to {
                return Ok(None);
            }
            let end = (at + PAGE).min(to);
            let page = blocking(&api, &shared, move |store, p| {
                let mut out = Vec::new();
                for i in at..end {
                    let json =
                        serde_json::to_vec(&read_json(&read_receipt(store, p, i)?)).unwrap_or_default();
                    out.extend_from_slice(&json);
                    out.push(b'\n');
                }
                Ok(Bytes::from(out))
            });
            // Breaking off is how a stream tells an error: the reader finds fewer entries than were announced.
            let page = page.await.map_err(|r| std::io::Error::other(r.0.detail))?;
            Ok(Some((page, (None, end))))
        }
    });
    let kind = [(header::CONTENT_TYPE, "application/jsonl")];
    Ok((kind, Body::from_stream(stream)).into_response())
}

fn line(head: &RangeBundle) -> Result<Bytes, std::io::Error> {
    let mut out = serde_json::to_vec(head).map_err(std::io::Error::other)?;
    out.push(b'\n');
    Ok(Bytes::from(out))
}

pub(super) async fn totals(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Totals>, Refused> {
    let shared = auth::reader(&api, &peer, &headers, "totals", &tenant).await?;
    let tenant_uid = shared.id.tenant;
    let labels = Arc::clone(&shared.view.load().series);
    let sums = blocking(&api, &shared, |store, p| meter::all(&store.reading(), p)).await?;
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
