//! Cost of usage, from rollups, and the node's rate cards.

use super::usage_query::{PeriodAsked, RollupSource, UsageQuery, bad, csv, gather, parse};
use crate::http::access::LogReader;
use crate::http::error::ApiError;
use crate::http::input::Asked;
use crate::http::read::blocking;
use crate::http::state::Api;
use crate::http::state::ApiState;
use crate::ledger::ReadError;
use crate::partition::published::{PartitionCell, PartitionView};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use conductor_shared::clock::WallTime;
use conductor_shared::cost::{self, CostAnswer, Ledger, RateCard, Rates, TooLarge, card_at};
use conductor_shared::http::{CostAsked, CostFormat};
use conductor_shared::time_range::{MAX_STEPS, Period, utc_month};
use conductor_shared::usage::{Group, GroupBy, RangeShown, Usage, cuts};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn cards(api: &Api) -> Vec<RateCard> {
    api.board.node_control().map_or(vec![], |c| c.rate_cards.clone())
}

/// A period within one rate card, one step and one month.
pub(super) struct Priced {
    pub(super) period: Period,
    pub(super) card: Option<RateCard>,
    pub(super) step: usize,
    pub(super) month: Option<(String, Period)>,
}

pub(super) fn priced(
    range: Period,
    steps: Option<&[Period]>,
    cards: &[RateCard],
) -> Result<Vec<Priced>, ApiError> {
    let mut edges: Vec<WallTime> = cards.iter().map(RateCard::effective).collect();
    edges.extend(steps.into_iter().flatten().map(|s| s.from));
    let mut month = utc_month(range.from);
    while let Some((_, p)) = month.filter(|(_, p)| p.to < range.to) {
        edges.push(p.to);
        month = utc_month(p.to);
    }
    let periods = cuts(range, edges)?;
    if periods.len() > MAX_STEPS * 2 {
        return Err(bad("step: too many of them; take a longer step or a shorter range"));
    }
    let of = |period: Period| Priced {
        period,
        card: card_at(cards, period.from).cloned(),
        step: steps.map_or(0, |s| s.partition_point(|p| p.to <= period.from)),
        month: utc_month(period.from),
    };
    Ok(periods.into_iter().map(of).collect())
}

/// The exact cost of each group in each segment.
fn ledger(
    at: RollupSource<'_>,
    view: &PartitionView,
    (segments, now): (&[Priced], WallTime),
    group_by: GroupBy,
    agreed: &BTreeMap<String, bool>,
) -> Result<Result<Ledger, TooLarge>, ReadError> {
    let periods: Vec<Period> = segments.iter().map(|s| s.period).collect();
    let mut cells: Vec<BTreeMap<Group, Usage>> = Vec::new();
    cells.resize_with(segments.len(), BTreeMap::new);
    gather(at, view, (&periods, now), |segment, labels, usage| {
        if let Some(cell) = cells.get_mut(segment) {
            cell.entry(group_by.of(labels)).or_default().beside(&usage);
        }
    })?;
    let mut ledger = Ledger::default();
    for (s, cell) in segments.iter().zip(&cells) {
        let reconciled = s.month.as_ref().is_some_and(|(m, _)| agreed.get(m).copied().unwrap_or(false));
        for (group, usage) in cell {
            if let Err(e) = ledger.add(group, s.card.as_ref(), reconciled, s.step, usage) {
                return Ok(Err(e));
            }
        }
    }
    Ok(Ok(ledger))
}

/// The reconciled months of a range, and whether the confirmed amounts still match the cost.
fn agreed(
    at: RollupSource<'_>,
    view: &PartitionView,
    (segments, now): (&[Priced], WallTime),
    cards: &[RateCard],
) -> Result<BTreeMap<String, bool>, ReadError> {
    let mut out = BTreeMap::new();
    for (name, period) in segments.iter().filter_map(|s| s.month.as_ref()) {
        let Some(confirmed) = view.control.reconciled.get(name) else { continue };
        if out.contains_key(name) {
            continue;
        }
        let Ok(month) = priced(*period, None, cards) else { continue };
        let none = BTreeMap::new();
        let by = GroupBy { workflow_type: false, env: false, actor_type: false };
        let amounts = ledger(at, view, (&month, now), by, &none)?.and_then(|l| l.amounts());
        out.insert(name.clone(), amounts == Ok(confirmed.amounts));
    }
    Ok(out)
}

pub(crate) async fn cost(
    State(api): State<ApiState>,
    log: LogReader,
    Asked(asked): Asked<CostAsked>,
) -> Result<Response, ApiError> {
    let shared = log.cell;
    let view = shared.view.load_full();
    let period = PeriodAsked { range: asked.range, step: asked.step, group_by: asked.group_by, tz: asked.tz };
    let q = parse(&api, &view, &period)?;
    let month = utc_month(q.range.period.from).map(|(_, p)| p).filter(|p| q.range.period.to <= p.to);
    if asked.format == CostFormat::Focus && month.is_none() {
        return Err(bad(
            "format: FOCUS has one billing period a file; ask for a month in UTC, for instance 2026-10",
        ));
    }
    let answer = costs(&api, &shared, view, &q).await?;
    let name = format!("cost-{}", answer.tenant_id);
    Ok(match (asked.format, month) {
        (CostFormat::Csv, _) => csv(cost::csv(&answer), &name),
        (CostFormat::Focus, Some(m)) => {
            csv(cost::focus(&answer, m, &api.node_id.to_string()), &format!("focus-{name}"))
        }
        _ => Json(answer).into_response(),
    })
}

async fn costs(
    api: &Api,
    shared: &Arc<PartitionCell>,
    view: Arc<PartitionView>,
    q: &UsageQuery,
) -> Result<CostAnswer, ApiError> {
    let cards = cards(api);
    let segments = priced(q.range.period, q.steps.as_deref(), &cards)?;
    let (group_by, now) = (q.group_by, q.now);
    let all = cards.clone();
    let (of, cache) = (Arc::clone(shared), Arc::clone(&api.rollups));
    let done = blocking(shared, move |store, p| {
        let at = RollupSource { store, p, shared: &of, cache: &cache };
        let agreed = agreed(at, &view, (&segments, now), &all)?;
        Ok((ledger(at, &view, (&segments, now), group_by, &agreed)?, segments))
    });
    let (ledger, segments) = done.await?;
    let ledger = ledger?;
    let rows = ledger.rows()?;
    let steps = q.steps.as_ref().map(|s| ledger.steps(s)).transpose()?;
    let used: Vec<RateCard> =
        cards.iter().filter(|c| segments.iter().any(|s| s.card.as_ref() == Some(c))).cloned().collect();
    let newest = cards.last();
    Ok(CostAnswer {
        tenant_uid: shared.id.tenant,
        tenant_id: shared.name.clone(),
        range: RangeShown::of(&q.range),
        as_of_us: now.as_micros(),
        currency: newest.map_or(String::new(), |c| c.currency.clone()),
        decimals: newest.map_or(0, |c| c.decimals),
        unit: newest.map_or(String::new(), RateCard::unit),
        rate_cards: used,
        unpriced: rows.iter().any(|r| r.rate_card.is_none()),
        reconciled: !rows.is_empty() && rows.iter().all(|r| r.reconciled),
        totals: ledger.amounts()?,
        rows,
        steps: steps.unwrap_or_default(),
    })
}

pub(crate) async fn rates(State(api): State<ApiState>) -> Json<Rates> {
    let control = api.board.node_control();
    Json(Rates {
        billing_key: control.as_ref().and_then(|c| c.billing_key.clone()),
        cards: control.map_or(vec![], |c| c.rate_cards.clone()),
    })
}
