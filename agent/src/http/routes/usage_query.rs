//! Common parts of usage and cost queries: range, steps, groups, and sums by labels.

use crate::http::error::ApiError;
use crate::http::state::Api;
use crate::ledger::{Partition, ReadError};
use crate::metering::{self, Cache, FoldQuery};
use crate::partition::published::{PartitionCell, PartitionView};
use crate::store::Store;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use conductor_shared::clock::WallTime;
use conductor_shared::cost::TooLarge;
use conductor_shared::meter::Labels;
use conductor_shared::time_range::{Period, Range, RangeError, Step};
use conductor_shared::usage::{GroupBy, Usage};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) fn bad(e: impl std::fmt::Display) -> ApiError {
    ApiError::bad(StatusCode::BAD_REQUEST, e.to_string())
}

impl From<TooLarge> for ApiError {
    fn from(e: TooLarge) -> Self {
        bad(e)
    }
}

impl From<RangeError> for ApiError {
    fn from(e: RangeError) -> Self {
        bad(e)
    }
}

/// The parameters of a query, and the time that counts as now.
pub(super) struct UsageQuery {
    pub(super) range: Range,
    pub(super) now: WallTime,
    pub(super) steps: Option<Vec<Period>>,
    pub(super) group_by: GroupBy,
    pub(super) grouped: bool,
}

/// The period that is asked about, as it came.
#[derive(Default)]
pub(super) struct PeriodAsked {
    pub(super) range: Option<String>,
    pub(super) step: Option<String>,
    pub(super) group_by: Option<String>,
    pub(super) tz: Option<String>,
}

pub(super) fn parse(api: &Api, view: &PartitionView, asked: &PeriodAsked) -> Result<UsageQuery, ApiError> {
    // Receipt times never go back, and may be ahead of a clock that was stepped back.
    let now = api.clock.now().wall.max(view.last);
    let range = Range::parse(asked.range.as_deref().unwrap_or("30d"), asked.tz.as_deref(), now)?;
    let steps = asked.step.as_deref().map(|s| Step::parse(s).and_then(|s| range.steps(s))).transpose()?;
    let group_by = asked.group_by.as_deref().map(GroupBy::parse).transpose().map_err(bad)?;
    Ok(UsageQuery { range, now, steps, grouped: group_by.is_some(), group_by: group_by.unwrap_or_default() })
}

/// Labels by series number. The store may have more series than the published view.
fn labels(
    store: &Store,
    p: &Partition,
    view: &PartitionView,
    series: u32,
) -> Result<Arc<Vec<Labels>>, ReadError> {
    if (series as usize) < view.series.len() {
        return Ok(Arc::clone(&view.series));
    }
    Ok(Arc::new(metering::series(store, p)?))
}

#[derive(Clone, Copy)]
pub(super) struct RollupSource<'a> {
    pub(super) store: &'a Store,
    pub(super) p: &'a Partition,
    pub(super) shared: &'a PartitionCell,
    pub(super) cache: &'a Cache,
}

/// Calls `each` with the usage of each series in each segment.
pub(super) fn gather(
    RollupSource { store, p, shared, cache }: RollupSource<'_>,
    view: &PartitionView,
    (segments, now): (&[Period], WallTime),
    mut each: impl FnMut(usize, &Labels, Usage),
) -> Result<(), ReadError> {
    let reading = store.reading();
    // A correction may be in the rows and not yet in the view. Then only rows are read, so that it counts completely.
    let no_correction_pending = shared.corrections.load(Ordering::SeqCst) == view.open_hour.corrections;
    let open = no_correction_pending.then_some(&view.open_hour);
    let q = FoldQuery { segments, unsigned: &view.unsigned, now, open, cache: Some(cache) };
    let mut known = Arc::clone(&view.series);
    let mut failed = None;
    metering::fold(&reading, p, &q, |segment, series, usage| {
        if series as usize >= known.len() {
            match labels(store, p, view, series) {
                Ok(l) => known = l,
                Err(e) => failed = Some(e),
            }
        }
        if let Some(l) = known.get(series as usize) {
            each(segment, l, usage);
        }
    })?;
    failed.map_or(Ok(()), Err)
}

pub(super) fn csv(text: String, name: &str) -> Response {
    let kind = (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned());
    let file = (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\""));
    ([kind, file], text).into_response()
}
