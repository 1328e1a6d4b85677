//! Nodes, one per row, and what needs attention.

use crate::model::agent::Agent;
use crate::model::alarm::attention;
use crate::model::{Model, layout};
use crate::screens::marks::{level, link, signer};
use crate::style::Tone;
use crate::text::format::{bytes, clock, rate, short_count, span};
use crate::text::wrap::safe;
use crate::widgets::gauge::spark;
use crate::widgets::table::{Cell, cell, columns, flex, number};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::time::Duration;

/// Columns, left to right, with the width of screen from which they are there.
const COLUMNS: &[(&str, u16, u16)] = &[
    ("  node", 12, 0),
    ("signer", 8, 0),
    ("backlog", 7, 0),
    ("oldest", 7, 0),
    ("allow/s", 7, 0),
    ("deny/s", 7, 0),
    ("runs", 6, 0),
    ("tenants", 7, 0),
    ("last minute", 12, 100),
    ("receipts", 9, 100),
    ("disk free", 10, 120),
    ("environment", 13, 140),
    ("version", 10, 150),
    ("logs proved", 11, 160),
    ("endpoint", 24, 180),
];

pub(crate) fn draw(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let shown: Vec<usize> = (0..COLUMNS.len()).filter(|i| COLUMNS[*i].2 <= area.width).collect();
    let mut widths: Vec<u16> = shown.iter().map(|i| COLUMNS[*i].1).collect();
    flex(area.width, &mut widths, 0);
    let head = shown.iter().map(|i| {
        let (name, ..) = COLUMNS[*i];
        let c = cell(name, look.style(Tone::Dim));
        Cell { right: (2..=7).contains(i) || *i == 9, ..c }
    });
    let mut lines = vec![Line::raw(""), columns(look, head.collect(), &widths)];
    let list = layout::list(m);
    let first = layout::first_agent(m);
    for (n, a) in m.agents.iter().enumerate().skip(first).take(usize::from(list.height)) {
        let cells = row(m, a, n == m.agent);
        let cells: Vec<Cell> =
            cells.into_iter().enumerate().filter(|(i, _)| shown.contains(i)).map(|c| c.1).collect();
        let line = columns(look, cells, &widths);
        lines.push(if n == m.agent { line.patch_style(look.style(Tone::Selected)) } else { line });
    }
    let used = u16::try_from(lines.len()).unwrap_or(area.height);
    f.render_widget(Paragraph::new(lines), area);
    let rest = Rect { y: area.y + used, height: area.height.saturating_sub(used), ..area };
    needs(m, f, rest);
}

fn row(m: &Model, a: &Agent, selected: bool) -> Vec<Cell> {
    let look = m.look;
    let (mark, _, tone) = link(m, a);
    let fresh = a.fresh(m.now);
    let base = look.style(if fresh { Tone::Text } else { Tone::Stale });
    let tint = |t: Tone| if fresh { look.style(t) } else { base };
    let pointer = if selected { look.pointer() } else { " " };
    let name = Cell {
        spans: vec![
            Span::styled(pointer, look.style(Tone::Accent)),
            Span::styled(mark, look.style(tone)),
            Span::styled(format!(" {}", a.name()), base),
        ],
        right: false,
    };
    let Some(h) = &a.health else {
        return vec![name];
    };
    let (s, s_tone) = signer(h.signer);
    let old = if h.backlog_age_us == 0 { "-".into() } else { span(Duration::from_micros(h.backlog_age_us)) };
    let late = if h.backlog_age_us > 10_000_000 { Tone::Warn } else { Tone::Text };
    let deny = if h.deny_rate > 0.0 { Tone::Deny } else { Tone::Text };
    let slots = a.spark.last(m.now.mono, 12);
    let info = a.info.as_ref();
    vec![
        name,
        cell(format!("{} {s}", if s_tone == Tone::Good { look.ok() } else { look.bad() }), tint(s_tone)),
        number(short_count(h.backlog), tint(late)),
        number(old, tint(late)),
        number(rate(h.allow_rate), tint(Tone::Allow)),
        number(rate(h.deny_rate), tint(deny)),
        number(short_count(h.open_runs), base),
        number(short_count(h.tenants), base),
        cell(spark(look, &slots, |c| c.0), tint(Tone::Allow)),
        number(short_count(h.receipts), base),
        cell(bytes(h.disk_free), base),
        cell(info.map_or_else(String::new, |i| i.environment.to_string()), base),
        cell(info.map_or_else(String::new, |i| safe(&i.version, 10)), base),
        number(short_count(a.proofs), base),
        cell(a.endpoint.clone(), base),
    ]
}

/// Sentences about what needs attention, or that nothing does.
fn needs(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let mut lines = vec![Line::raw("")];
    let found = attention(m);
    let stale = m.agents.iter().filter(|a| !a.fresh(m.now)).count();
    if found.is_empty() && stale == 0 {
        lines.push(Line::from(vec![
            Span::styled(format!("  {} ", look.ok()), look.style(Tone::Good)),
            Span::raw("All calm: signers sign, policy answers, stores write, nothing is held back."),
        ]));
    } else if !found.is_empty() {
        lines.push(Line::styled("  Needs attention", look.style(Tone::Title)));
    }
    for a in &found {
        let (mark, tone) = level(m, a.level);
        let agent = m.agents.get(a.agent);
        let fresh = agent.is_some_and(|a| a.fresh(m.now));
        let mut spans =
            vec![Span::styled(format!("  {mark} "), look.style(if fresh { tone } else { Tone::Stale }))];
        if m.agents.len() > 1 {
            spans.push(Span::styled(format!("{}: ", agent.map_or("", Agent::name)), look.style(Tone::Title)));
        }
        let text = if fresh { Tone::Text } else { Tone::Stale };
        spans.push(Span::styled(a.text.clone(), look.style(text)));
        if !a.filter.is_empty() {
            spans.push(Span::styled(format!("   :tenants {}", a.filter), look.style(Tone::Dim)));
        }
        lines.push(Line::from(spans));
    }
    outgoing(m, &mut lines);
    if stale > 0 {
        lines.push(Line::raw(""));
        let text = match stale {
            1 => "  Data of 1 node are not live; grey is old, its age stands above.".to_owned(),
            n => format!("  Data of {n} nodes are not live; grey is old, their age stands above."),
        };
        lines.push(Line::styled(text, look.style(Tone::Warn)));
    }
    f.render_widget(Paragraph::new(lines), area);
}

/// Commands that some node has not answered.
fn outgoing(m: &Model, lines: &mut Vec<Line<'static>>) {
    let look = m.look;
    let open: Vec<_> = m.outgoing.iter().filter(|o| o.open(m.now.wall)).collect();
    if !open.is_empty() {
        lines.push(Line::raw(""));
        lines.push(Line::styled("  Commands kept for unreachable nodes", look.style(Tone::Title)));
    }
    for o in open.iter().take(6) {
        lines.push(Line::from(vec![
            Span::styled(format!("  {} ", look.warn()), look.style(Tone::Warn)),
            Span::styled(o.status_line.clone(), look.style(Tone::Warn)),
            Span::raw(format!(": {}", o.what)),
        ]));
        let waiting = o.waiting();
        if !waiting.is_empty() {
            let until = clock(o.expires);
            let text = format!("    until {until}Z it waits for {}", safe(&waiting.join(", "), 200));
            lines.push(Line::styled(text, look.style(Tone::Dim)));
        }
    }
    if open.len() > 6 {
        let text = format!("    and {} more: conductor command list", open.len() - 6);
        lines.push(Line::styled(text, look.style(Tone::Dim)));
    }
}
