//! Usage from rollups, and the recount, which reads all receipts.

use super::usage_query::{PeriodAsked, RollupSource, UsageQuery, bad, csv, gather, parse};
use crate::http::access::LogReader;
use crate::http::error::ApiError;
use crate::http::input::Asked;
use crate::http::read::blocking;
use crate::http::state::Api;
use crate::http::state::ApiState;
use crate::metering;
use crate::partition::published::{PartitionCell, PartitionView};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use conductor_shared::http::{Recount, UsageAsked, UsageFormat};
use conductor_shared::usage::{Gathered, MAX_ROWS, RangeShown, UsageAnswer, UsageStep};
use std::sync::Arc;

pub(crate) async fn usage(
    State(api): State<ApiState>,
    log: LogReader,
    Asked(asked): Asked<UsageAsked>,
) -> Result<Response, ApiError> {
    let shared = log.cell;
    let view = shared.view.load_full();
    let period = PeriodAsked { range: asked.range, step: asked.step, group_by: asked.group_by, tz: asked.tz };
    let q = parse(&api, &view, &period)?;
    let answer = used(&api, &shared, view, &q).await?;
    Ok(match asked.format {
        UsageFormat::Csv => {
            csv(conductor_shared::usage::csv(&answer), &format!("usage-{}", answer.tenant_id))
        }
        UsageFormat::Json => Json(answer).into_response(),
    })
}

async fn used(
    api: &Api,
    shared: &Arc<PartitionCell>,
    view: Arc<PartitionView>,
    q: &UsageQuery,
) -> Result<UsageAnswer, ApiError> {
    let (group_by, now) = (q.group_by, q.now);
    let segments = q.steps.clone().unwrap_or_else(|| vec![q.range.period]);
    let (of, cache) = (Arc::clone(shared), Arc::clone(&api.rollups));
    let cells = blocking(shared, move |store, p| {
        let mut cells: Vec<Gathered> = Vec::with_capacity(segments.len());
        let mut rows = 0;
        gather(
            RollupSource { store, p, shared: &of, cache: &cache },
            &view,
            (&segments, now),
            |segment, labels, usage| {
                cells.resize_with(cells.len().max(segment + 1), Gathered::default);
                if rows <= MAX_ROWS
                    && let Some(cell) = cells.get_mut(segment)
                {
                    let before = cell.len();
                    cell.beside(group_by.of(labels), &usage);
                    rows += cell.len() - before;
                }
            },
        )?;
        cells.resize_with(segments.len(), Gathered::default);
        Ok((cells, rows > MAX_ROWS))
    });
    let (cells, too_many) = cells.await?;
    if too_many {
        return Err(bad(
            "the answer has too many rows: ask for a longer step, a shorter range or fewer groups",
        ));
    }
    let mut whole = Gathered::default();
    for c in &cells {
        whole.then(c);
    }
    let steps = q.steps.iter().flatten().zip(&cells).map(|(p, c)| UsageStep {
        from_us: p.from.as_micros(),
        to_us: p.to.as_micros(),
        from: q.range.show(p.from),
        totals: c.totals(),
        breakdown: if q.grouped { c.rows() } else { vec![] },
    });
    Ok(UsageAnswer {
        tenant_uid: shared.id.tenant,
        tenant_id: shared.name.clone(),
        range: RangeShown::of(&q.range),
        as_of_us: now.as_micros(),
        totals: whole.totals(),
        breakdown: whole.rows(),
        steps: steps.collect(),
    })
}

/// Receipts that a recount reads under one lease.
const SLICE: usize = 4_096;

pub(crate) async fn recount(State(api): State<ApiState>, log: LogReader) -> Result<Json<Recount>, ApiError> {
    let shared = log.cell;
    let signed = shared.view.load().signed;
    // A recount reads every receipt: one at a time, so that they cannot take all threads of the node.
    let _turn = Arc::clone(&api.recounts).acquire_owned().await;
    let begun = blocking(&shared, move |store, p| metering::Recount::begin(store, p, signed));
    let (mut recount, mut more) = (begun.await?, true);
    while more {
        // A lease for each slice: whoever closes the store waits for no more than that.
        let slice = blocking(&shared, move |store, p| Ok((recount.slice(store, p, SLICE)?, recount)));
        (more, recount) = slice.await?;
    }
    let found = recount.end();
    Ok(Json(Recount {
        tenant_uid: shared.id.tenant,
        receipts: found.receipts,
        erased: found.erased,
        differences: found.differences,
    }))
}
