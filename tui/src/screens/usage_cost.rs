//! Usage and cost of one tenant: figures compared with the period before, a chart, and a table.

use crate::model::usage_cost::{self, CostShown, UsageShown};
use crate::model::{Model, layout};
use crate::screens::marks::heading;
use crate::style::Tone;
use crate::text::format::{count, date, gb_hours, hours, span};
use crate::widgets::table::{Cell, cell, columns, flex, number};
use conductor_shared::clock::WallTime;
use conductor_shared::cost::{CostStep, money};
use conductor_shared::usage::{RangeShown, Usage};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::symbols::bar;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};
use std::time::Duration;

/// Bars for terminals without block characters: a column is a hash or nothing.
const ASCII: bar::Set<'static> = bar::Set {
    full: "#",
    seven_eighths: "#",
    three_quarters: "#",
    five_eighths: "+",
    half: "+",
    three_eighths: "-",
    one_quarter: "-",
    one_eighth: ".",
    empty: " ",
};

/// The line above the chart: tenant, period, age.
fn head(m: &Model, what: &str, age: Option<Duration>) -> Line<'static> {
    let Some(key) = m.subject() else { return heading(m, what) };
    let name = m.tenants.get(key).map_or_else(String::new, |r| r.summary.name.to_string());
    let node = m.agent_of(key).map_or("", crate::model::agent::Agent::name);
    let age = match age {
        Some(age) if age < 2 * usage_cost::EVERY => String::new(),
        Some(age) => format!(", {} old", span(age)),
        None => ", loading".to_owned(),
    };
    heading(m, &format!("{what} of {name} on {node}, {}{age}", m.usage_cost.choice().name))
}

/// The change against the period before, in percent.
fn change(now: i128, before: i128) -> String {
    if before == 0 {
        return if now == 0 { "=".into() } else { "new".into() };
    }
    let tenths = (now - before) * 1_000 / before.abs();
    let sign = if tenths < 0 { "-" } else { "+" };
    format!("{sign}{}.{} %", (tenths / 10).abs(), (tenths % 10).abs())
}

fn figure(m: &Model, name: &str, value: String, change: &str) -> Vec<Span<'static>> {
    vec![
        Span::styled(format!("  {name} "), m.look.style(Tone::Dim)),
        Span::raw(value),
        Span::styled(format!(" {change}"), m.look.style(Tone::Dim)),
    ]
}

/// A series of a chart: begin of each step and its value.
type ChartSeries = Vec<(WallTime, u64)>;

/// What a chart shows, its highest value in words, and its steps.
fn chart(
    m: &Model,
    f: &mut Frame<'_>,
    area: Rect,
    (name, range): (&str, &RangeShown),
    values: &ChartSeries,
    words: impl Fn(u64) -> String,
) {
    let look = m.look;
    let top = values.iter().map(|v| v.1).max().unwrap_or(0);
    let line = Line::from(vec![
        Span::styled(format!("  {name}, highest {}; ", words(top)), look.style(Tone::Dim)),
        Span::styled(
            format!(
                "{} to {}",
                date(WallTime::from_micros(range.from_us)),
                date(WallTime::from_micros(range.to_us - 1))
            ),
            look.style(Tone::Dim),
        ),
    ]);
    f.render_widget(Paragraph::new(line), Rect { height: 1, ..area });
    let room = usize::from(area.width.saturating_sub(4));
    let axis = u16::from(area.height > 3);
    let height = area.height.saturating_sub(1 + axis);
    let bars = Rect { x: area.x + 2, y: area.y + 1, width: area.width.saturating_sub(4), height };
    if values.is_empty() || room == 0 || height == 0 {
        return;
    }
    // Each step as wide as fits; where there are more steps than columns, the newest.
    let wide = (room / values.len()).max(1);
    let newest = &values[values.len().saturating_sub(room / wide)..];
    if axis > 0 {
        let line = Line::styled(ticks(newest, wide, room), look.style(Tone::Dim));
        f.render_widget(Paragraph::new(line), Rect { y: bars.y + height, height: 1, ..bars });
    }
    let data: Vec<u64> = newest.iter().flat_map(|v| std::iter::repeat_n(v.1, wide)).collect();
    let set = if look.ascii { ASCII } else { bar::NINE_LEVELS };
    let spark = Sparkline::default().data(data).max(top.max(1)).bar_set(set).style(look.style(Tone::Accent));
    f.render_widget(spark, bars);
}

/// When steps began, below them: days by their date, shorter steps by their hour, each where it begins.
fn ticks(values: &[(WallTime, u64)], wide: usize, room: usize) -> String {
    let mut line = String::new();
    let daily = values.windows(2).all(|w| w[1].0 - w[0].0 >= Duration::from_secs(23 * 3_600));
    for (i, (at, _)) in values.iter().enumerate() {
        let day = date(*at).get(5..10).unwrap_or("").to_owned();
        let hour = date(*at).get(11..16).unwrap_or("").to_owned();
        // A mark of hours that begins a day says which.
        let text = if daily || hour == "00:00" { day } else { hour };
        let from = i * wide;
        let free = line.is_empty() || from >= line.len() + 3;
        if free && from + text.len() <= room {
            line += &" ".repeat(from - line.len());
            line += &text;
        }
    }
    line
}

fn no_tenant(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let text = Line::styled("  No tenant is selected: press 2 and mark one.", m.look.style(Tone::Dim));
    f.render_widget(Paragraph::new(vec![Line::raw(""), text]), area);
}

/// Lines above the chart, the chart, then the table from `list` on.
fn frame(m: &Model, f: &mut Frame<'_>, area: Rect, top: Vec<Line<'static>>) -> (Rect, Rect) {
    let list = layout::list(m);
    let above = u16::try_from(top.len()).unwrap_or(0).min(area.height);
    f.render_widget(Paragraph::new(top), Rect { height: above, ..area });
    let table = list.y.saturating_sub(1);
    let chart = Rect { y: area.y + above, height: table.saturating_sub(area.y + above), ..area };
    let table = Rect { y: table, height: (area.y + area.height).saturating_sub(table), ..area };
    (chart, table)
}

/// The table: a line of heads, then rows, the marked one set off.
fn table(
    m: &Model,
    f: &mut Frame<'_>,
    area: Rect,
    heads: &[(&str, u16, bool)],
    rows: Vec<Vec<Cell>>,
    fresh: bool,
) {
    let look = m.look;
    let mut widths: Vec<u16> = heads.iter().map(|h| h.1).collect();
    flex(area.width, &mut widths, 1);
    let head = heads.iter().map(|(t, _, right)| Cell { right: *right, ..cell(*t, look.style(Tone::Dim)) });
    let mut lines = vec![columns(look, head.collect(), &widths)];
    let empty = rows.is_empty();
    let room = usize::from(area.height.saturating_sub(1));
    for (n, cells) in rows.into_iter().enumerate().skip(m.lists.cursor.offset).take(room) {
        let line = columns(look, cells, &widths);
        lines.push(if n == m.lists.cursor.place {
            line.patch_style(look.style(Tone::Selected))
        } else {
            line
        });
    }
    if empty {
        let text = if fresh { "  Nothing in this period." } else { "  Loading." };
        lines.push(Line::styled(text, look.style(Tone::Dim)));
    }
    f.render_widget(Paragraph::new(lines), area);
}

pub(crate) fn usage(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let Some(key) = m.subject() else { return no_tenant(m, f, area) };
    let shown = usage_cost::usage(m);
    let mut top = vec![head(m, "usage", shown.map(|s| s.1))];
    if let Some((UsageShown { now, before }, _)) = shown {
        let (n, b) = (&now.totals, &before.totals);
        let one = |name: &str, of: fn(&Usage) -> i128, text: fn(i128) -> String| {
            figure(m, name, text(of(n)), &change(of(n), of(b)))
        };
        let whole = |n: i128| u64::try_from(n).map_or_else(|_| n.to_string(), count);
        let row = |parts: Vec<Vec<Span<'static>>>| Line::from(parts.concat());
        top.push(row(vec![
            one("runs", |u| u.runs_started, whole),
            one("steps", |u| u.steps_executed, whole),
            one("step hours", |u| u.step_us, hours),
        ]));
        top.push(row(vec![
            one("receipts", |u| u.receipts_emitted, whole),
            figure(m, "unsigned", whole(n.receipts_emitted - n.receipts_signed), ""),
            one("stored bytes", |u| u.storage_bytes, whole),
        ]));
    }
    let (up, below) = frame(m, f, area, top);
    if let Some((shown, _)) = shown {
        let metric = m.usage_cost.chart();
        let values = shown
            .now
            .steps
            .iter()
            .map(|s| (WallTime::from_micros(s.from_us), metric.of(&s.totals)))
            .collect();
        chart(m, f, up, (metric.name(), &shown.now.range), &values, count);
    }
    let style = m.look.style(if m.fresh(key) { Tone::Text } else { Tone::Stale });
    let rows = usage_cost::usage_rows(m);
    let rows = rows.into_iter().map(|r| {
        let u = &r.usage;
        vec![
            cell(" ", style),
            cell(r.group.name(), style),
            number(u.runs_started.to_string(), style),
            number(u.steps_executed.to_string(), style),
            number(hours(u.step_us), style),
            number(u.receipts_emitted.to_string(), style),
            number(gb_hours(u.storage_byte_us), style),
        ]
    });
    let heads = [
        ("", 1, false),
        ("workflow/env", 20, false),
        ("runs", 8, true),
        ("steps", 9, true),
        ("step hours", 11, true),
        ("receipts", 9, true),
        ("GB-hours", 12, true),
    ];
    table(m, f, below, &heads, rows.collect(), shown.is_some());
}

pub(crate) fn cost(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let Some(key) = m.subject() else { return no_tenant(m, f, area) };
    let shown = usage_cost::cost(m);
    let mut top = vec![head(m, "cost", shown.map(|s| s.1))];
    if let Some((c, _)) = shown {
        top.extend(figures(m, c));
    }
    let (up, below) = frame(m, f, area, top);
    if let Some((c, _)) = shown {
        let of =
            |s: &CostStep| (WallTime::from_micros(s.from_us), u64::try_from(s.amounts.total).unwrap_or(0));
        let values = c.now.steps.iter().map(of).collect();
        let words = |n| money(i64::try_from(n).unwrap_or(i64::MAX), c.now.decimals, &c.now.currency);
        chart(m, f, up, ("cost", &c.now.range), &values, words);
    }
    let look = m.look;
    let style = look.style(if m.fresh(key) { Tone::Text } else { Tone::Stale });
    let rows = usage_cost::cost_rows(m).into_iter().map(|r| {
        let (decimals, currency) = shown.map_or((0, ""), |(c, _)| (c.now.decimals, c.now.currency.as_str()));
        let (agreed, tone) = if r.reconciled { (look.ok(), Tone::Good) } else { (look.note(), Tone::Dim) };
        vec![
            cell(agreed, look.style(tone)),
            cell(r.group.name(), style),
            cell(r.bucket.as_str(), style),
            number(r.rate_card.map_or("none".to_owned(), |v| format!("v{v}")), style),
            cell(if r.reconciled { "reconciled" } else { "open" }, style),
            number(money(r.amount, decimals, currency), style),
        ]
    });
    let heads = [
        ("", 1, false),
        ("workflow/env", 20, false),
        ("of", 8, false),
        ("card", 5, true),
        ("invoice", 10, false),
        ("amount", 22, true),
    ];
    table(m, f, below, &heads, rows.collect(), shown.is_some());
}

fn figures(m: &Model, c: &CostShown) -> Vec<Line<'static>> {
    let look = m.look;
    if c.now.currency.is_empty() {
        let text = format!("  {} No rate card: nothing has a price (conductor rate load).", look.warn());
        return vec![Line::styled(text, look.style(Tone::Warn)), Line::raw("")];
    }
    let amount = |n: i64| money(n, c.now.decimals, &c.now.currency);
    let (n, b) = (&c.now.totals, &c.before.totals);
    let mut first = figure(m, "total", amount(n.total), &change(n.total.into(), b.total.into()));
    if c.now.unpriced {
        first.push(Span::styled(
            format!("  {} some of it has no rate card", look.warn()),
            look.style(Tone::Warn),
        ));
    }
    let mut second = figure(m, "this month", amount(c.month.totals.total), "so far");
    if let Some(p) = c.projection() {
        second.extend(figure(m, "projected", amount(p), "at this pace"));
    }
    vec![Line::from(first), Line::from(second)]
}
