//! Explains an amount: its parts by rate card, and the events of the receipts behind them.

use super::cost::{Priced, cards, priced};
use super::usage_query::{PeriodAsked, RollupSource, gather, parse};
use crate::http::access::LogReader;
use crate::http::error::ApiError;
use crate::http::input::Asked;
use crate::http::read::blocking;
use crate::http::state::ApiState;
use crate::ledger::{Partition, ReadError, control_facts, read_receipt};
use crate::metering::EventsOf;
use crate::partition::published::PartitionView;
use crate::store::Store;
use axum::Json;
use axum::extract::State;
use conductor_shared::clock::{WallTime, micros};
use conductor_shared::cost::{Bucket, Explained, ExplainedEvent, Part, RateCard, TooLarge, product};
use conductor_shared::http::ExplainAsked;
use conductor_shared::ids::Ident;
use conductor_shared::meter::{Event, EventType, Labels};
use conductor_shared::time_range::Period;
use conductor_shared::usage::{Group, RangeShown};
use std::sync::Arc;

/// Maximum events in one answer.
const PAGE: u64 = 500;
/// Maximum receipts read for one answer.
const LOOK: u64 = 20_000;

/// The labels to match; a label that is not named matches all.
fn filter(asked: &ExplainAsked) -> Group {
    Group { workflow_type: asked.workflow_type.clone(), env: asked.env, actor_type: asked.actor_type }
}

fn matches(g: &Group, l: &Labels) -> bool {
    g.workflow_type.as_ref().is_none_or(|w| *w == l.workflow_type)
        && g.env.is_none_or(|e| e == l.env)
        && g.actor_type.is_none_or(|a| a == l.actor_type)
}

pub(crate) async fn explain(
    State(api): State<ApiState>,
    log: LogReader,
    Asked(asked): Asked<ExplainAsked>,
) -> Result<Json<Explained>, ApiError> {
    let shared = log.cell;
    let view = shared.view.load_full();
    let (bucket, group) = (asked.bucket, filter(&asked));
    let (after, limit) = (asked.after.unwrap_or(0), asked.limit.unwrap_or(PAGE).clamp(1, PAGE));
    let a = parse(&api, &view, &PeriodAsked { range: asked.range, tz: asked.tz, ..PeriodAsked::default() })?;
    let cards = cards(&api);
    let segments = priced(a.range.period, None, &cards)?;
    let (period, now) = (a.range.period, a.now);
    let name = shared.name.clone();
    let wanted = group.clone();
    let (of, cache) = (Arc::clone(&shared), Arc::clone(&api.rollups));
    let done = blocking(&shared, move |store, p| {
        let q = Question { bucket, group: wanted, period, now, after, limit };
        let at = RollupSource { store, p, shared: &of, cache: &cache };
        let used = quantities(at, &view, &segments, &q)?;
        Ok((used, events((store, p), &view, &name, &q)?, segments))
    });
    let ((quantities, kept_before), (events, next), segments) = done.await?;
    let parts = parts(&segments, quantities, bucket)?;
    Ok(Json(Explained {
        bucket,
        group,
        range: RangeShown::of(&a.range),
        unit: bucket.unit().into(),
        priced_per: bucket.priced_per().into(),
        divisor: bucket.divisor(),
        amount: Explained::amount_of(bucket, &parts)?,
        amount_unit: cards.last().map_or(String::new(), RateCard::unit),
        parts,
        kept_before,
        events,
        next,
    }))
}

struct Question {
    bucket: Bucket,
    group: Group,
    period: Period,
    now: WallTime,
    after: u64,
    limit: u64,
}

impl Question {
    /// End of the period, or now if that is earlier: nothing is stored later.
    fn until(&self) -> WallTime {
        self.period.to.min(self.now.max(self.period.from))
    }
}

/// How much was used in each segment, and for storage the byte-time of what was stored before the period began.
fn quantities(
    at: RollupSource<'_>,
    view: &PartitionView,
    segments: &[Priced],
    q: &Question,
) -> Result<(Vec<i128>, i128), ReadError> {
    let periods: Vec<Period> = segments.iter().map(|s| s.period).collect();
    let mut quantities = vec![0; segments.len()];
    let mut before = 0;
    gather(at, view, (&periods, q.now), |segment, labels, usage| {
        if matches(&q.group, labels) {
            quantities[segment] += q.bucket.quantity(&usage);
            if segment == 0 {
                before += usage.storage_bytes - usage.storage_bytes_written;
            }
        }
    })?;
    let span = i128::from(micros(q.until() - q.period.from));
    let kept = if q.bucket == Bucket::Storage { before * span } else { 0 };
    Ok((quantities, kept))
}

/// The amount's parts by rate card.
fn parts(segments: &[Priced], quantities: Vec<i128>, bucket: Bucket) -> Result<Vec<Part>, TooLarge> {
    let mut out: Vec<Part> = Vec::new();
    for (s, quantity) in segments.iter().zip(quantities) {
        let (rate_card, price) = s.card.as_ref().map_or((None, 0), |c| (Some(c.version), c.price(bucket)));
        match out.last_mut().filter(|p| p.rate_card == rate_card) {
            Some(last) => {
                last.to_us = s.period.to.as_micros();
                last.quantity += quantity;
                last.product = product(last.quantity, price)?;
            }
            None => out.push(Part {
                from_us: s.period.from.as_micros(),
                to_us: s.period.to.as_micros(),
                rate_card,
                price,
                quantity,
                product: product(quantity, price)?,
            }),
        }
    }
    Ok(out)
}

/// A page of the events behind an amount, from an index on: those of receipts of the period, and corrections of the
/// period, which may be recorded before or after it. Also returns the index of the next page.
fn events(
    (store, p): (&Store, &Partition),
    view: &PartitionView,
    tenant_id: &Ident,
    q: &Question,
) -> Result<(Vec<ExplainedEvent>, Option<u64>), ReadError> {
    let of = EventsOf { store, p, tenant_id };
    let size = view.size();
    let begin = first_at(store, p, size, q.period.from)?;
    let end = first_at(store, p, size, q.period.to)?;
    let mut out = Vec::new();
    let mut looked = 0;
    let mut at = q.after;
    while at < size {
        // Outside the receipts of the period only control facts can matter: corrections.
        let control = !(begin..end).contains(&at);
        if control {
            let next = next_control(store, p, at, size)?;
            at = if at < begin { next.min(begin) } else { next };
            if at >= size {
                break;
            }
        }
        if out.len() as u64 >= q.limit || looked >= LOOK {
            return Ok((out, Some(at)));
        }
        looked += 1;
        let receipt = read_receipt(store, p, at)?;
        out.extend(of.receipt(&receipt)?.iter().filter_map(|e| explained(e, view.signed, q)));
        at += 1;
    }
    Ok((out, None))
}

/// What an event adds to the amount; `None` if it does not count. `signed` is the size of the last signed checkpoint.
fn explained(e: &Event, signed: u64, q: &Question) -> Option<ExplainedEvent> {
    let kind = match q.bucket {
        Bucket::Compute => EventType::StepExecuted,
        Bucket::Storage => EventType::StorageBytesWritten,
        Bucket::Signing => EventType::ReceiptEmitted,
    };
    let counts = e.amount().event == kind
        && matches(&q.group, e.labels())
        && (q.period.from..q.period.to).contains(&e.at())
        && (q.bucket != Bucket::Signing || e.source().index < signed || e.at() != e.source().recorded);
    if !counts {
        return None;
    }
    let quantity = if q.bucket == Bucket::Signing { e.amount().count } else { e.amount().quantity };
    let adds = match q.bucket {
        Bucket::Storage => {
            i128::from(quantity) * (i128::from(q.until().as_micros()) - i128::from(e.at().as_micros()))
        }
        _ => i128::from(quantity),
    };
    Some(ExplainedEvent {
        id: e.id(),
        receipt: e.source().index,
        at_us: e.at().as_micros(),
        recorded_us: e.source().recorded.as_micros(),
        labels: e.labels().clone(),
        quantity,
        adds,
    })
}

/// Index of the next control fact; `size` if there is none.
fn next_control(store: &Store, p: &Partition, from: u64, size: u64) -> Result<u64, ReadError> {
    Ok(control_facts(store, p, from..u64::MAX, 1)?.first().copied().unwrap_or(size))
}

/// Index of the first receipt that is not older than `time`.
fn first_at(store: &Store, p: &Partition, size: u64, time: WallTime) -> Result<u64, ReadError> {
    let (mut low, mut high) = (0, size);
    while low < high {
        let mid = low + (high - low) / 2;
        if read_receipt(store, p, mid)?.sealed.header.time_us < time.as_micros() {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    Ok(low)
}
