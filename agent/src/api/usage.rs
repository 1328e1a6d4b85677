//! What was used and what it costs. Reads rollups; only an explanation and a recount read receipts.

use super::auth::{self, Peer};
use super::problem::Refused;
use super::read::{Params, blocking, number};
use super::{Api, Shared};
use crate::ledger::{Partition, ReadError, read_receipt};
use crate::meter::{self, Cache, EventsOf, Folded};
use crate::store::{Row, Store};
use crate::writer::view::{self, View};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use conductor_shared::cost::{
    self, Bucket, CostAnswer, Explained, ExplainedEvent, Ledger, Part, RateCard, Rates, card_at,
};
use conductor_shared::fact::{ActorType, Env};
use conductor_shared::http::Recount;
use conductor_shared::ids::Ident;
use conductor_shared::meter::{Event, EventType, Labels};
use conductor_shared::time_range::{MAX_STEPS, Period, Range, RangeError, Step, utc_month};
use conductor_shared::usage::{
    Gathered, Group, GroupBy, MAX_ROWS, RangeShown, Usage, UsageAnswer, UsageStep, cuts,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Events of one page of an explanation.
const PAGE: u64 = 500;
/// Receipts looked at for one page.
const LOOK: u64 = 20_000;

fn bad(e: impl std::fmt::Display) -> Refused {
    Refused::bad(StatusCode::BAD_REQUEST, e.to_string())
}

impl From<RangeError> for Refused {
    fn from(e: RangeError) -> Self {
        bad(e)
    }
}

/// What every question here has: a range, its steps, groups, and the time that counts as now.
struct Asked {
    range: Range,
    now_us: u64,
    steps: Option<Vec<Period>>,
    group_by: GroupBy,
    grouped: bool,
    format: String,
}

fn asked(api: &Api, view: &View, params: &HashMap<String, String>) -> Result<Asked, Refused> {
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
    Ok(Arc::new(meter::series(store, p)?))
}

/// What is read from.
#[derive(Clone, Copy)]
struct At<'a> {
    store: &'a Store,
    p: &'a Partition,
    shared: &'a view::Shared,
    /// Rows that were opened before.
    cache: &'a Cache,
}

/// The usage of each group in each segment.
fn gather(
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
    meter::fold(&reading, p, &q, |segment, series, usage| {
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

fn csv(text: String, name: &str) -> Response {
    let kind = (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned());
    let file = (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\""));
    ([kind, file], text).into_response()
}

pub(super) async fn usage(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    Query(params): Params,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let shared = auth::reader(&api, &peer, &headers, "usage", &tenant).await?;
    let view = shared.view.load_full();
    let a = asked(&api, &view, &params)?;
    if !matches!(a.format.as_str(), "json" | "csv") {
        return Err(bad("format: expected json or csv"));
    }
    let answer = used(&api, &shared, view, &a).await?;
    Ok(match a.format.as_str() {
        "csv" => csv(conductor_shared::usage::csv(&answer), &format!("usage-{}", answer.tenant_id)),
        _ => Json(answer).into_response(),
    })
}

async fn used(
    api: &Api,
    shared: &Arc<view::Shared>,
    view: Arc<View>,
    a: &Asked,
) -> Result<UsageAnswer, Refused> {
    let (group_by, now_us) = (a.group_by, a.now_us);
    let segments = a.steps.clone().unwrap_or_else(|| vec![a.range.period]);
    let (of, opened) = (Arc::clone(shared), Arc::clone(&api.opened));
    let cells = blocking(api, shared, move |store, p| {
        let mut cells: Vec<Gathered> = Vec::with_capacity(segments.len());
        let mut rows = 0;
        gather(
            At { store, p, shared: &of, cache: &opened },
            &view,
            (&segments, now_us),
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
    let steps = a.steps.iter().flatten().zip(&cells).map(|(p, c)| UsageStep {
        from_us: p.from_us,
        to_us: p.to_us,
        from: a.range.show(p.from_us),
        totals: c.totals(),
        breakdown: if a.grouped { c.rows() } else { vec![] },
    });
    Ok(UsageAnswer {
        tenant_uid: shared.id.tenant,
        tenant_id: shared.name.clone(),
        range: RangeShown::of(&a.range),
        as_of_us: now_us,
        totals: whole.totals(),
        breakdown: whole.rows(),
        steps: steps.collect(),
    })
}

/// Rate cards of the node.
fn cards(api: &Api) -> Vec<RateCard> {
    api.board.node().map_or(vec![], |n| n.view.load().control.rate_cards.clone())
}

/// A segment of a cost: one rate card, one step, one month.
struct Priced {
    period: Period,
    card: Option<RateCard>,
    step: usize,
    month: Option<(String, Period)>,
}

fn priced(range: Period, steps: Option<&[Period]>, cards: &[RateCard]) -> Result<Vec<Priced>, Refused> {
    let mut edges: Vec<u64> = cards.iter().map(RateCard::effective_us).collect();
    edges.extend(steps.into_iter().flatten().map(|s| s.from_us));
    let mut month = utc_month(range.from_us);
    while let Some((_, p)) = month.filter(|(_, p)| p.to_us < range.to_us) {
        edges.push(p.to_us);
        month = utc_month(p.to_us);
    }
    let periods = cuts(range, edges)?;
    if periods.len() > MAX_STEPS * 2 {
        return Err(bad("step: too many of them; take a longer step or a shorter range"));
    }
    let of = |period: Period| Priced {
        period,
        card: card_at(cards, period.from_us).cloned(),
        step: steps.map_or(0, |s| s.partition_point(|p| p.to_us <= period.from_us)),
        month: utc_month(period.from_us),
    };
    Ok(periods.into_iter().map(of).collect())
}

/// The exact cost of segments by groups.
fn ledger(
    at: At<'_>,
    view: &View,
    (segments, now_us): (&[Priced], u64),
    group_by: GroupBy,
    agreed: &BTreeMap<String, bool>,
) -> Result<Ledger, ReadError> {
    let periods: Vec<Period> = segments.iter().map(|s| s.period).collect();
    let mut cells: Vec<BTreeMap<Group, Usage>> = Vec::new();
    cells.resize_with(segments.len(), BTreeMap::new);
    gather(at, view, (&periods, now_us), |segment, labels, usage| {
        if let Some(cell) = cells.get_mut(segment) {
            cell.entry(group_by.of(labels)).or_default().beside(&usage);
        }
    })?;
    let mut ledger = Ledger::default();
    for (s, cell) in segments.iter().zip(&cells) {
        let reconciled = s.month.as_ref().is_some_and(|(m, _)| agreed.get(m).copied().unwrap_or(false));
        for (group, usage) in cell {
            ledger.add(group, s.card.as_ref(), reconciled, s.step, usage);
        }
    }
    Ok(ledger)
}

/// Months of a range that were reconciled, and whether what was confirmed still is what it costs.
fn agreed(
    at: At<'_>,
    view: &View,
    (segments, now_us): (&[Priced], u64),
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
        let now = ledger(at, view, (&month, now_us), by, &none)?.amounts();
        out.insert(name.clone(), now == confirmed.amounts);
    }
    Ok(out)
}

pub(super) async fn cost(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    Query(params): Params,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let shared = auth::reader(&api, &peer, &headers, "cost", &tenant).await?;
    let view = shared.view.load_full();
    let a = asked(&api, &view, &params)?;
    let month = utc_month(a.range.period.from_us).map(|(_, p)| p).filter(|p| a.range.period.to_us <= p.to_us);
    let month = match (a.format.as_str(), month) {
        ("json" | "csv", m) => m,
        ("focus", Some(m)) => Some(m),
        ("focus", None) => {
            return Err(bad(
                "format: FOCUS has one billing period a file; ask for a month in UTC, for instance 2026-10",
            ));
        }
        _ => return Err(bad("format: expected json, csv or focus")),
    };
    let answer = costs(&api, &shared, view, &a).await?;
    let name = format!("cost-{}", answer.tenant_id);
    Ok(match (a.format.as_str(), month) {
        ("csv", _) => csv(cost::csv(&answer), &name),
        ("focus", Some(m)) => {
            csv(cost::focus(&answer, m, &api.node_id.to_string()), &format!("focus-{name}"))
        }
        _ => Json(answer).into_response(),
    })
}

async fn costs(
    api: &Api,
    shared: &Arc<view::Shared>,
    view: Arc<View>,
    a: &Asked,
) -> Result<CostAnswer, Refused> {
    let cards = cards(api);
    let segments = priced(a.range.period, a.steps.as_deref(), &cards)?;
    let (group_by, now_us) = (a.group_by, a.now_us);
    let all = cards.clone();
    let (of, opened) = (Arc::clone(shared), Arc::clone(&api.opened));
    let done = blocking(api, shared, move |store, p| {
        let at = At { store, p, shared: &of, cache: &opened };
        let agreed = agreed(at, &view, (&segments, now_us), &all)?;
        Ok((ledger(at, &view, (&segments, now_us), group_by, &agreed)?, segments))
    });
    let (ledger, segments) = done.await?;
    let rows = ledger.rows();
    let used: Vec<RateCard> =
        cards.iter().filter(|c| segments.iter().any(|s| s.card.as_ref() == Some(c))).cloned().collect();
    let newest = cards.last();
    Ok(CostAnswer {
        tenant_uid: shared.id.tenant,
        tenant_id: shared.name.clone(),
        range: RangeShown::of(&a.range),
        as_of_us: now_us,
        currency: newest.map_or(String::new(), |c| c.currency.clone()),
        decimals: newest.map_or(0, |c| c.decimals),
        unit: newest.map_or(String::new(), RateCard::unit),
        rate_cards: used,
        unpriced: rows.iter().any(|r| r.rate_card.is_none()),
        reconciled: !rows.is_empty() && rows.iter().all(|r| r.reconciled),
        totals: ledger.amounts(),
        rows,
        steps: a.steps.as_ref().map_or(vec![], |s| ledger.steps(s)),
    })
}

/// Labels that are asked for: those that are not named match all.
fn filter(params: &HashMap<String, String>) -> Result<Group, Refused> {
    let text = |name: &str| params.get(name).map(String::as_str);
    Ok(Group {
        workflow_type: text("workflow_type").map(Ident::new).transpose().map_err(bad)?,
        env: text("env").map(str::parse::<Env>).transpose().map_err(|e| bad(format!("env: {e}")))?,
        actor_type: text("actor_type")
            .map(str::parse::<ActorType>)
            .transpose()
            .map_err(|e| bad(format!("actor_type: {e}")))?,
    })
}

fn matches(g: &Group, l: &Labels) -> bool {
    g.workflow_type.as_ref().is_none_or(|w| *w == l.workflow_type)
        && g.env.is_none_or(|e| e == l.env)
        && g.actor_type.is_none_or(|a| a == l.actor_type)
}

pub(super) async fn explain(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    Query(params): Params,
    headers: HeaderMap,
) -> Result<Json<Explained>, Refused> {
    let shared = auth::reader(&api, &peer, &headers, "cost_explain", &tenant).await?;
    let view = shared.view.load_full();
    let a = asked(&api, &view, &params)?;
    let bucket = params.get("bucket").and_then(|b| Bucket::from_word(b));
    let bucket = bucket.ok_or_else(|| bad("bucket: expected compute, storage or signing"))?;
    let group = filter(&params)?;
    let (after, limit) = (number(&params, "after", 0)?, number(&params, "limit", PAGE)?.clamp(1, PAGE));
    let cards = cards(&api);
    let segments = priced(a.range.period, None, &cards)?;
    let (period, now_us) = (a.range.period, a.now_us);
    let name = shared.name.clone();
    let wanted = group.clone();
    let (of, opened) = (Arc::clone(&shared), Arc::clone(&api.opened));
    let done = blocking(&api, &shared, move |store, p| {
        let q = Question { bucket, group: wanted, period, now_us, after, limit };
        let (parts, kept_before) = parts(At { store, p, shared: &of, cache: &opened }, &view, &segments, &q)?;
        let (events, next) = events((store, p), &view, &name, &q)?;
        Ok((parts, kept_before, events, next))
    });
    let (parts, kept_before, events, next) = done.await?;
    Ok(Json(Explained {
        bucket,
        group,
        range: RangeShown::of(&a.range),
        unit: bucket.unit().into(),
        priced_per: bucket.priced_per().into(),
        divisor: bucket.divisor(),
        amount: Explained::amount_of(bucket, &parts),
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
    now_us: u64,
    after: u64,
    limit: u64,
}

/// By rate card, and for storage what was kept before over the whole period.
fn parts(at: At<'_>, view: &View, segments: &[Priced], q: &Question) -> Result<(Vec<Part>, i128), ReadError> {
    let periods: Vec<Period> = segments.iter().map(|s| s.period).collect();
    let mut quantities = vec![0; segments.len()];
    let mut before: i64 = 0;
    gather(at, view, (&periods, q.now_us), |segment, labels, usage| {
        if matches(&q.group, labels) {
            quantities[segment] += q.bucket.quantity(&usage);
            if segment == 0 {
                before += usage.storage_bytes - usage.storage_bytes_written;
            }
        }
    })?;
    let mut out: Vec<Part> = Vec::new();
    for (s, quantity) in segments.iter().zip(quantities) {
        let (rate_card, price) = s.card.as_ref().map_or((None, 0), |c| (Some(c.version), c.price(q.bucket)));
        let product = quantity.saturating_mul(i128::from(price));
        match out.last_mut().filter(|p| p.rate_card == rate_card) {
            Some(last) => {
                last.to_us = s.period.to_us;
                last.quantity += quantity;
                last.product = last.product.saturating_add(product);
            }
            None => out.push(Part {
                from_us: s.period.from_us,
                to_us: s.period.to_us,
                rate_card,
                price,
                quantity,
                product,
            }),
        }
    }
    let to = q.period.to_us.min(q.now_us.max(q.period.from_us));
    let kept =
        if q.bucket == Bucket::Storage { i128::from(before) * i128::from(to - q.period.from_us) } else { 0 };
    Ok((out, kept))
}

/// The events that an amount rests on, from an index on: first those of receipts of the period, then corrections of it,
/// which were put on record later or earlier.
fn events(
    (store, p): (&Store, &Partition),
    view: &View,
    tenant_id: &Ident,
    q: &Question,
) -> Result<(Vec<ExplainedEvent>, Option<u64>), ReadError> {
    let of = EventsOf { store, p, tenant_id };
    let size = view.size();
    let begin = first_at(store, p, size, q.period.from_us)?;
    let end = first_at(store, p, size, q.period.to_us)?;
    let to = q.period.to_us.min(q.now_us.max(q.period.from_us));
    let kind = match q.bucket {
        Bucket::Compute => EventType::StepExecuted,
        Bucket::Storage => EventType::StorageBytesWritten,
        Bucket::Signing => EventType::ReceiptEmitted,
    };
    let explained = |e: &Event| {
        let counts = e.amount().event == kind
            && matches(&q.group, e.labels())
            && (q.period.from_us..q.period.to_us).contains(&e.at_us())
            && (q.bucket != Bucket::Signing
                || e.source().index < view.signed
                || e.at_us() != e.source().recorded_us);
        counts.then(|| {
            let quantity = if q.bucket == Bucket::Signing { e.amount().count } else { e.amount().quantity };
            let adds = match q.bucket {
                Bucket::Storage => i128::from(quantity) * (i128::from(to) - i128::from(e.at_us())),
                _ => i128::from(quantity),
            };
            ExplainedEvent {
                id: e.id(),
                receipt: e.source().index,
                at_us: e.at_us(),
                recorded_us: e.source().recorded_us,
                labels: e.labels().clone(),
                quantity,
                adds,
            }
        })
    };
    let mut out = Vec::new();
    let mut looked = 0;
    let mut at = q.after;
    while at < size {
        // Between the receipts of the period and the end only control facts can matter.
        let control = !(begin..end).contains(&at);
        if control {
            let Some(next) = next_control(store, p, at, size)? else { return Ok((out, None)) };
            let jump = if at < begin { next.min(begin) } else { next };
            at = jump;
            if at >= size {
                break;
            }
        }
        if out.len() as u64 >= q.limit || looked >= LOOK {
            return Ok((out, Some(at)));
        }
        looked += 1;
        let receipt = read_receipt(store, p, at)?;
        out.extend(of.receipt(&receipt)?.iter().filter_map(explained));
        at += 1;
    }
    Ok((out, None))
}

/// The next control fact; past the end when there is none.
fn next_control(store: &Store, p: &Partition, from: u64, size: u64) -> Result<Option<u64>, ReadError> {
    let mut found = None;
    store.scan(&p.family, &Row::Control(from).key(), &[Row::CONTROLS + 1], |k, _| {
        found = k.get(1..).and_then(|b| <[u8; 8]>::try_from(b).ok()).map(u64::from_be_bytes);
        false
    })?;
    Ok(Some(found.unwrap_or(size)))
}

/// Index of the first receipt that is not older.
fn first_at(store: &Store, p: &Partition, size: u64, us: u64) -> Result<u64, ReadError> {
    let (mut low, mut high) = (0, size);
    while low < high {
        let mid = low + (high - low) / 2;
        if read_receipt(store, p, mid)?.sealed.header.time_us < us {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    Ok(low)
}

pub(super) async fn recount(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Recount>, Refused> {
    let shared = auth::reader(&api, &peer, &headers, "usage_recount", &tenant).await?;
    let signed = shared.view.load().signed;
    // It reads every receipt: one at a time, so that nobody keeps all of a node's threads busy with it.
    let turn = Arc::clone(&api.recounts).acquire_owned().await;
    let found = blocking(&api, &shared, move |store, p| {
        let _turn = turn;
        meter::recount(store, p, signed)
    });
    let found = found.await?;
    Ok(Json(Recount {
        tenant_uid: shared.id.tenant,
        receipts: found.receipts,
        erased: found.erased,
        differences: found.differences,
    }))
}

pub(super) async fn rates(
    State(api): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Json<Rates>, Refused> {
    if auth::session(&api, &peer, &headers).is_none() {
        auth::workload(&api, &peer, &headers, "rates").await?;
    }
    let control = api.board.node().map(|n| Arc::clone(&n.view.load().control));
    Ok(Json(Rates {
        billing_key: control.as_ref().and_then(|c| c.billing_key.clone()),
        cards: control.map_or(vec![], |c| c.rate_cards.clone()),
    }))
}
