//! What questions about usage and cost have in common: a range, its steps and groups, and sums by labels.

use crate::http::error::ApiError;
use crate::http::state::Api;
use crate::ledger::{Partition, ReadError};
use crate::metering::{self, Cache, Folded};
use crate::store::Store;
use crate::writer::view::{self, View};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use conductor_shared::meter::Labels;
use conductor_shared::time_range::{Period, Range, RangeError, Step};
use conductor_shared::usage::{GroupBy, Usage};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) fn bad(e: impl std::fmt::Display) -> ApiError {
    ApiError::bad(StatusCode::BAD_REQUEST, e.to_string())
}

impl From<RangeError> for ApiError {
    fn from(e: RangeError) -> Self {
        bad(e)
    }
}

/// What every question here has: a range, its steps, groups, and the time that counts as now.
pub(super) struct Asked {
    pub(super) range: Range,
    pub(super) now_us: u64,
    pub(super) steps: Option<Vec<Period>>,
    pub(super) group_by: GroupBy,
    pub(super) grouped: bool,
    pub(super) format: String,
}

pub(super) fn asked(api: &Api, view: &View, params: &HashMap<String, String>) -> Result<Asked, ApiError> {
    let text = |name: &str| params.get(name).map(String::as_str);
    // Receipt times never go back, and may be ahead of a clock that was put back.
    let now_us = api.clock.now().wall_us.max(view.last_us);
    let range = Range::parse(text("range").unwrap_or("30d"), text("tz"), now_us)?;
    let steps = text("step").map(|s| Step::parse(s).and_then(|s| range.steps(s))).transpose()?;
    let group_by = text("group_by").map(GroupBy::parse).transpose().map_err(bad)?;
    let format = text("format").unwrap_or("json").to_owned();
    Ok(Asked {
        range,
        now_us,
        steps,
        grouped: group_by.is_some(),
        group_by: group_by.unwrap_or_default(),
        format,
    })
}

/// Labels by number. The store may have a series more than what was published.
fn labels(store: &Store, p: &Partition, view: &View, series: u32) -> Result<Arc<Vec<Labels>>, ReadError> {
    if (series as usize) < view.series.len() {
        return Ok(Arc::clone(&view.series));
    }
    Ok(Arc::new(metering::series(store, p)?))
}

/// What is read from.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) store: &'a Store,
    pub(super) p: &'a Partition,
    pub(super) shared: &'a view::Shared,
    /// Rows that were opened before.
    pub(super) cache: &'a Cache,
}

/// The usage of each group in each segment.
pub(super) fn gather(
    At { store, p, shared, cache }: At<'_>,
    view: &View,
    (segments, now_us): (&[Period], u64),
    mut each: impl FnMut(usize, &Labels, Usage),
) -> Result<(), ReadError> {
    let reading = store.reading();
    // A correction that is in the rows and not yet in the view must be counted whole: then only rows are read.
    let even = shared.corrections.load(Ordering::SeqCst) == view.open_hour.corrections;
    let open = even.then_some(&view.open_hour);
    let q = Folded { segments, unsigned: &view.unsigned, now_us, open, cache: Some(cache) };
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
