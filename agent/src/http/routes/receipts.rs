//! Receipts and their proofs. Only durable receipts are shown.

use crate::http::auth::{self, Peer};
use crate::http::error::ApiError;
use crate::http::read::{Params, blocking, number};
use crate::http::state::ApiState;
use crate::ledger::{DiskNodes, ReadError, read_json, read_receipt};
use crate::partition::published::PartitionCell;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::http::{
    BUNDLE_TYPE, Consistency, LogHead, RangeBundle, ReceiptBundle, ReceiptJson, ReceiptPage,
};
use conductor_shared::ids::parse_decimal;
use conductor_shared::merkle::{self, Hash};
use futures_util::Stream;
use std::ops::Range;
use std::sync::Arc;

/// Maximum receipts in one page.
const PAGE: u64 = 500;

fn b64(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|h| STANDARD.encode(h)).collect()
}

pub(crate) async fn checkpoint(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Result<Json<LogHead>, ApiError> {
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

pub(crate) async fn receipts(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    Query(params): Params,
    headers: HeaderMap,
) -> Result<Json<ReceiptPage>, ApiError> {
    let shared = auth::reader(&api, &peer, &headers, "receipt_list", &tenant).await?;
    let size = shared.view.load().size();
    let limit = number(&params, "limit", 100)?.clamp(1, PAGE);
    let from = match params.get("from").map(String::as_str) {
        Some(t) if t.starts_with('-') => {
            let n = parse_decimal(&t[1..]);
            let n = n.ok_or_else(|| ApiError::bad(StatusCode::BAD_REQUEST, "from: expected n or -n"))?;
            size.saturating_sub(n)
        }
        _ => number(&params, "from", 0)?,
    };
    let to = from.saturating_add(limit).min(size);
    let (origin, receipts) = blocking(&shared, move |store, p| {
        let list = (from..to).map(|i| Ok(read_json(&read_receipt(store, p, i)?)));
        Ok((p.origin, list.collect::<Result<Vec<ReceiptJson>, ReadError>>()?))
    })
    .await?;
    Ok(Json(ReceiptPage { origin, size, receipts, next: (to < size).then_some(to.max(from)) }))
}

pub(crate) async fn proof(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Path((tenant, index)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<ReceiptBundle>, ApiError> {
    let shared = auth::reader(&api, &peer, &headers, "receipt_proof", &tenant).await?;
    let v = shared.view.load_full();
    let index = parse_decimal(&index).filter(|i| *i < v.size());
    let index = index
        .ok_or_else(|| ApiError::bad(StatusCode::NOT_FOUND, format!("the log has {} entries", v.size())))?;
    let signed = v.signed;
    let (receipt, path) = blocking(&shared, move |store, p| {
        let receipt = read_json(&read_receipt(store, p, index)?);
        let nodes = DiskNodes::new(store, p, signed);
        Ok((receipt, merkle::inclusion_proof(&nodes, index, signed)?))
    })
    .await?;
    let checkpoint = v.checkpoint.as_deref().filter(|_| index < signed).cloned();
    Ok(Json(ReceiptBundle { kind: BUNDLE_TYPE.into(), receipt, proof: b64(&path), checkpoint }))
}

pub(crate) async fn consistency(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    Query(params): Params,
    headers: HeaderMap,
) -> Result<Json<Consistency>, ApiError> {
    let shared = auth::reader(&api, &peer, &headers, "consistency", &tenant).await?;
    let size = shared.view.load().size();
    let (from, to) = (number(&params, "from", 0)?, number(&params, "to", size)?);
    if from > to || to > size {
        let what = format!("the log has {size} entries: expected from <= to <= {size}");
        return Err(ApiError::bad(StatusCode::BAD_REQUEST, what));
    }
    let (origin, root, path) = blocking(&shared, move |store, p| {
        let nodes = DiskNodes::new(store, p, to);
        Ok((p.origin, merkle::root_at(&nodes, to)?, merkle::consistency_proof(&nodes, from, to)?))
    })
    .await?;
    Ok(Json(Consistency { origin, from, to, to_root: STANDARD.encode(root), proof: b64(&path) }))
}

pub(crate) async fn export(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    Query(params): Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let shared = auth::reader(&api, &peer, &headers, "receipt_export", &tenant).await?;
    let v = shared.view.load_full();
    // Signed receipts come with a proof. Later ones are exported without, but only if `to` asks for them.
    let (from, to) = (number(&params, "from", 0)?, number(&params, "to", v.signed)?);
    if from >= to || to > v.size() {
        let what =
            format!("the log has {} entries, {} of them signed: expected from < to", v.size(), v.signed);
        return Err(ApiError::bad(StatusCode::BAD_REQUEST, what));
    }
    let covered = to <= v.signed;
    let (signed, checkpoint) = (v.signed, v.checkpoint.as_deref().filter(|_| covered).cloned());
    let head = blocking(&shared, move |store, p| {
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
    let stream = pages(shared, head, from..to);
    let kind = [(header::CONTENT_TYPE, "application/jsonl")];
    Ok((kind, Body::from_stream(stream)).into_response())
}

/// The head, then one page at a time, at the client's pace.
fn pages(
    shared: Arc<PartitionCell>,
    head: RangeBundle,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    futures_util::stream::try_unfold((Some(head), range.start), move |(head, at)| {
        let (shared, to) = (Arc::clone(&shared), range.end);
        async move {
            if let Some(head) = head {
                return Ok::<_, std::io::Error>(Some((line(&head)?, (None, at))));
            }
            if at >= to {
                return Ok(None);
            }
            let end = (at + PAGE).min(to);
            let page = blocking(&shared, move |store, p| {
                let mut out = Vec::new();
                for i in at..end {
                    let json =
                        serde_json::to_vec(&read_json(&read_receipt(store, p, i)?)).unwrap_or_default();
                    out.extend_from_slice(&json);
                    out.push(b'\n');
                }
                Ok(Bytes::from(out))
            });
            // A stream can report an error only by ending early: the client then has fewer entries than announced.
            let page = page.await.map_err(|r| std::io::Error::other(r.0.detail))?;
            Ok(Some((page, (None, end))))
        }
    })
}

fn line(head: &RangeBundle) -> Result<Bytes, std::io::Error> {
    let mut out = serde_json::to_vec(head).map_err(std::io::Error::other)?;
    out.push(b'\n');
    Ok(Bytes::from(out))
}
