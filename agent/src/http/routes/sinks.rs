//! Status of sinks, and the events that their receivers refused.

use crate::http::auth::{self, Peer};
use crate::http::error::ApiError;
use crate::http::read::{Params, blocking, number};
use crate::http::state::ApiState;
use crate::sinks::letters;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use conductor_shared::http::{DeadLetter, DeadLetters, SinkList};
use conductor_shared::ids::Ident;
use conductor_shared::untrusted::UntrustedText;

/// Maximum dead letters in one answer.
const PAGE: u64 = 200;

pub(crate) async fn sinks(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Json<SinkList>, ApiError> {
    auth::operator(&api, &peer, &headers, "sink_list").await?;
    let now = api.clock.now().wall;
    Ok(Json(SinkList { sinks: api.sinks.iter().map(|s| s.status(now)).collect() }))
}

pub(crate) async fn dead_letters(
    State(api): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    Query(params): Params,
    headers: HeaderMap,
) -> Result<Json<DeadLetters>, ApiError> {
    let shared = auth::reader(&api, &peer, &headers, "dead_letters", &tenant).await?;
    let sink = params.get("sink").and_then(|s| Ident::new(s).ok());
    let sink = sink.ok_or_else(|| ApiError::bad(StatusCode::BAD_REQUEST, "sink: expected its name"))?;
    let from = match params.get("after") {
        None => 0,
        Some(_) => number(&params, "after", 0)?.saturating_add(1),
    };
    let limit = number(&params, "limit", PAGE)?.clamp(1, PAGE);
    let limit = usize::try_from(limit).unwrap_or(1);
    let list = blocking(&shared, move |store, p| letters(store, p, &sink, from, limit)).await?;
    let letters = list.into_iter().map(|l| DeadLetter {
        number: l.number,
        why: UntrustedText::new(l.why),
        event: l.event,
    });
    Ok(Json(DeadLetters { letters: letters.collect() }))
}
