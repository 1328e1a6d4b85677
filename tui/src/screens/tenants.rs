//! All tenants, one per row. Only the visible rows are built.

use crate::model::tenants::Row;
use crate::model::{Model, layout};
use crate::screens::marks::state;
use crate::style::Tone;
use crate::text::format::{rate, short_count, short_span};
use crate::text::wrap::fit;
use crate::widgets::gauge::{gauge, gauge_tone, spark};
use crate::widgets::table::{Cell, cell, columns, flex, number};
use conductor_shared::basis_points::{BasisPoints, percent};
use conductor_shared::clock::WallTime;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::time::Duration;

/// Columns, left to right: heading, width, the width of screen from which they are there, numbers on the right.
const COLUMNS: &[(&str, u16, u16, bool)] = &[
    ("  tenant", 16, 0, false),
    ("state", 9, 0, false),
    ("node", 14, 110, false),
    ("environment", 13, 180, false),
    ("runs", 13, 0, false),
    ("steps", 13, 110, false),
    ("ramp", 8, 0, true),
    ("backlog", 7, 0, true),
    ("allowed", 12, 0, false),
    ("denied", 12, 110, false),
    ("deny/s", 6, 0, true),
    ("last", 5, 90, true),
    ("entries", 8, 160, true),
    ("signed", 8, 160, true),
    ("incidents", 9, 180, true),
    ("uid", 12, 170, false),
];

pub(crate) fn draw(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let shown: Vec<usize> = (0..COLUMNS.len()).filter(|i| COLUMNS[*i].2 <= area.width).collect();
    let mut widths: Vec<u16> = shown.iter().map(|i| COLUMNS[*i].1).collect();
    flex(area.width, &mut widths, 0);
    let list = layout::list(m);
    let height = usize::from(list.height);
    let mut lines = Vec::with_capacity(height + 2);
    lines.push(title(m, height));
    let head = shown.iter().map(|i| {
        let (name, _, _, right) = COLUMNS[*i];
        Cell { right, ..cell(name, look.style(Tone::Dim)) }
    });
    lines.push(columns(look, head.collect(), &widths));
    for r in m.tenants.window(m.tenants.offset, height) {
        let selected = m.tenants.selected == Some(r.key);
        let cells =
            row(m, r, selected).into_iter().enumerate().filter(|(i, _)| shown.contains(i)).map(|c| c.1);
        let line = columns(look, cells.collect(), &widths);
        lines.push(if selected { line.patch_style(look.style(Tone::Selected)) } else { line });
    }
    if m.tenants.shown() == 0 {
        let text = if m.tenants.total() > 0 {
            "  No tenant passes the filter."
        } else if m.agents.iter().all(|a| a.fresh(m.now)) {
            "  No tenants yet: conductor tenant create <name>"
        } else {
            "  No tenants are known yet."
        };
        lines.push(Line::raw(""));
        lines.push(Line::styled(text, look.style(Tone::Dim)));
    }
    f.render_widget(Paragraph::new(lines), area);
}

fn title(m: &Model, height: usize) -> Line<'static> {
    let (shown, total) = (m.tenants.shown(), m.tenants.total());
    let count = if shown == total { format!("{total}") } else { format!("{shown} of {total}") };
    let from = if shown == 0 { 0 } else { m.tenants.offset + 1 };
    let to = (m.tenants.offset + height).min(shown);
    let order = if m.tenants.reverse { ", turned round" } else { "" };
    Line::from(vec![
        Span::styled(format!("  {count} tenants"), m.look.style(Tone::Title)),
        Span::styled(format!("  {from}-{to}  by {}{order}", m.tenants.sort.name()), m.look.style(Tone::Dim)),
    ])
}

fn row(m: &Model, r: &Row, selected: bool) -> Vec<Cell> {
    let look = m.look;
    let s = &r.summary;
    let agent = m.agent_of(r.key);
    let fresh = m.fresh(r.key);
    let base = look.style(if fresh { Tone::Text } else { Tone::Stale });
    let tint = |t: Tone| if fresh { look.style(t) } else { base };
    let (mark, word, tone) = state(look, r);
    let pointer = if selected { look.pointer() } else { " " };
    let mark = if fresh { mark } else { look.lost() };
    let name = if fresh { base.add_modifier(Modifier::empty()) } else { base };
    let slots = r.spark.last(m.now.mono, 12);
    let deny = r.spark.deny_rate(m.now.mono);
    let limit = |used: u64, limit: u64| {
        let words = format!("{}/{}", short_count(used), short_count(limit));
        let pad = 13usize.saturating_sub(words.len() + 1);
        let mut spans = gauge(look, used, limit, pad.min(5));
        if !fresh {
            for s in &mut spans {
                s.style = base;
            }
        }
        let near = gauge_tone(used, limit);
        let style = if near == Tone::Allow { base } else { tint(near) };
        spans.push(Span::styled(format!(" {words}"), style));
        Cell { spans, right: false }
    };
    let backlog = gauge_tone(s.backlog(), u64::from(s.backlog_quota));
    let ramp = match s.ramp {
        BasisPoints::FULL => number("100 %", tint(Tone::Dim)),
        n => number(percent(n), tint(Tone::Accent)),
    };
    let last = agent.map_or(Duration::ZERO, |a| a.time(m.now) - WallTime::from_micros(s.last_us));
    vec![
        Cell {
            spans: vec![
                Span::styled(pointer, look.style(Tone::Accent)),
                Span::styled(mark, tint(tone)),
                Span::styled(format!(" {}", fit(s.name.as_str(), 63, look.more())), name),
            ],
            right: false,
        },
        cell(word, tint(tone)),
        cell(agent.map_or("", crate::model::agent::Agent::name), base),
        cell(agent.and_then(crate::model::agent::Agent::environment).unwrap_or(""), base),
        limit(u64::from(s.open_runs), u64::from(s.run_quota)),
        limit(u64::from(s.steps_used), u64::from(s.step_burst)),
        ramp,
        number(short_count(s.backlog()), if backlog == Tone::Allow { base } else { tint(backlog) }),
        cell(spark(look, &slots, |c| c.0), tint(Tone::Allow)),
        cell(spark(look, &slots, |c| c.1), tint(Tone::Deny)),
        number(rate(deny), if deny > 0.0 { tint(Tone::Deny) } else { tint(Tone::Dim) }),
        number(if s.last_us == 0 { "-".into() } else { short_span(last) }, base),
        number(short_count(s.size), base),
        number(short_count(s.signed), base),
        number(s.incidents.to_string(), if s.incidents > 0 { tint(Tone::Bad) } else { base }),
        cell(s.tenant.to_string(), tint(Tone::Dim)),
    ]
}
