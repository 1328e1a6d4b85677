//! Status of sinks, and the events that their receivers refused.

use crate::http::access::LogReader;
use crate::http::error::ApiError;
use crate::http::input::Asked;
use crate::http::read::blocking;
use crate::http::state::ApiState;
use crate::sinks::letters;
use axum::Json;
use axum::extract::State;
use conductor_shared::http::{DeadLetter, DeadLetters, LettersAsked, SinkList};
use conductor_shared::untrusted::UntrustedText;

/// Maximum dead letters in one answer.
const PAGE: u64 = 200;

pub(crate) async fn sinks(State(api): State<ApiState>) -> Json<SinkList> {
    let now = api.clock.now().wall;
    Json(SinkList { sinks: api.sinks.iter().map(|s| s.status(now)).collect() })
}

pub(crate) async fn dead_letters(
    log: LogReader,
    Asked(asked): Asked<LettersAsked>,
) -> Result<Json<DeadLetters>, ApiError> {
    let shared = log.cell;
    let (sink, from) = (asked.sink, asked.after.map_or(0, |after| after.saturating_add(1)));
    let limit = asked.limit.unwrap_or(PAGE).clamp(1, PAGE);
    let limit = usize::try_from(limit).unwrap_or(1);
    let list = blocking(&shared, move |store, p| letters(store, p, &sink, from, limit)).await?;
    let letters = list.into_iter().map(|l| DeadLetter {
        number: l.number,
        why: UntrustedText::new(l.why),
        event: l.event,
    });
    Ok(Json(DeadLetters { letters: letters.collect() }))
}
