//! Receipts and their proofs. Only durable receipts are shown.

use crate::http::access::{GoingOn, LogReader};
use crate::http::error::ApiError;
use crate::http::input::Asked;
use crate::http::read::blocking;
use crate::http::state::ApiState;
use crate::ledger::{DiskNodes, ReadError, read_evidence, read_json, read_receipt};
use crate::partition::published::PartitionCell;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::access::Sight;
use conductor_shared::http::{
    BUNDLE_TYPE, Consistency, LogHead, RangeAsked, RangeBundle, ReceiptBundle, ReceiptJson, ReceiptPage,
    ReceiptsAsked,
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
    log: LogReader,
) -> Result<Json<LogHead>, ApiError> {
    let shared = log.cell;
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
    log: LogReader,
    Asked(asked): Asked<ReceiptsAsked>,
) -> Result<Json<ReceiptPage>, ApiError> {
    let (shared, sight) = (log.cell, log.sight);
    let size = shared.view.load().size();
    let limit = asked.limit.unwrap_or(100).clamp(1, PAGE);
    let from = asked.from.as_deref().unwrap_or("0");
    let wrong = || ApiError::bad(StatusCode::BAD_REQUEST, "from: expected n or -n");
    let from = match from.strip_prefix('-') {
        Some(back) => size.saturating_sub(parse_decimal(back).ok_or_else(wrong)?),
        None => parse_decimal(from).ok_or_else(wrong)?,
    };
    let to = from.saturating_add(limit).min(size);
    let (origin, receipts) = blocking(&shared, move |store, p| {
        let list = (from..to).map(|i| Ok(read_json(&read_receipt(store, p, i)?, sight)));
        Ok((p.origin, list.collect::<Result<Vec<ReceiptJson>, ReadError>>()?))
    })
    .await?;
    Ok(Json(ReceiptPage { origin, size, receipts, next: (to < size).then_some(to.max(from)) }))
}

pub(crate) async fn proof(
    log: LogReader,
    Path((_, index)): Path<(String, String)>,
) -> Result<Json<ReceiptBundle>, ApiError> {
    let (shared, sight) = (log.cell, log.sight);
    let v = shared.view.load_full();
    let index = parse_decimal(&index).filter(|i| *i < v.size());
    let index = index
        .ok_or_else(|| ApiError::bad(StatusCode::NOT_FOUND, format!("the log has {} entries", v.size())))?;
    let signed = v.signed;
    let (receipt, path) = blocking(&shared, move |store, p| {
        let receipt = read_evidence(&read_receipt(store, p, index)?, sight);
        let nodes = DiskNodes::new(store, p, signed);
        Ok((receipt, merkle::inclusion_proof(&nodes, index, signed)?))
    })
    .await?;
    let checkpoint = v.checkpoint.as_deref().filter(|_| index < signed).cloned();
    Ok(Json(ReceiptBundle { kind: BUNDLE_TYPE.into(), receipt, proof: b64(&path), checkpoint }))
}

pub(crate) async fn consistency(
    log: LogReader,
    Asked(asked): Asked<RangeAsked>,
) -> Result<Json<Consistency>, ApiError> {
    let shared = log.cell;
    let size = shared.view.load().size();
    let (from, to) = (asked.from.unwrap_or(0), asked.to.unwrap_or(size));
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
    log: LogReader,
    Asked(asked): Asked<RangeAsked>,
) -> Result<Response, ApiError> {
    let (shared, sight) = (log.cell, log.sight);
    let v = shared.view.load_full();
    // Signed receipts come with a proof. Later ones are exported without, but only if `to` asks for them.
    let (from, to) = (asked.from.unwrap_or(0), asked.to.unwrap_or(v.signed));
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
    let download = Download { api, shared, sight, going_on: log.going_on };
    let stream = pages(download, head, from..to);
    let kind = [(header::CONTENT_TYPE, "application/jsonl")];
    Ok((kind, Body::from_stream(stream)).into_response())
}

/// A range of a log on its way to whoever may read it.
struct Download {
    api: ApiState,
    shared: Arc<PartitionCell>,
    sight: Sight,
    going_on: GoingOn,
}

/// The head, then one page at a time, at the client's pace, while the right by which it was begun holds.
fn pages(
    download: Download,
    head: RangeBundle,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    futures_util::stream::try_unfold((Some(head), range.start), move |(head, at)| {
        let (shared, to) = (Arc::clone(&download.shared), range.end);
        let (sight, holds) = (download.sight, download.going_on.holds(&download.api));
        async move {
            if !holds {
                return Err(std::io::Error::other("the right to read this log is gone"));
            }
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
                    let evidence = read_evidence(&read_receipt(store, p, i)?, sight);
                    let json = serde_json::to_vec(&evidence).unwrap_or_default();
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
