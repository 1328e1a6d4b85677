//! Small parts that several screens draw: gauges, sparklines, marks of rows, tables of fixed columns.

use super::format::{fit, safe};
use super::theme::{Look, Tone};
use crate::app::model::Model;
use crate::app::tenants::Row;
use conductor_shared::stream::{
    FLAG_DRAINING, FLAG_FROZEN, FLAG_KILLED, FLAG_NEWER, FLAG_PENDING, FLAG_QUOTA, FLAG_RAMPED,
};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// How much of a limit is taken: a bar, in the tone of how near it is.
pub(crate) fn gauge(look: Look, used: u64, limit: u64, width: usize) -> Vec<Span<'static>> {
    let (full, empty) = look.gauge();
    let filled = if limit == 0 {
        width
    } else {
        let n = (u128::from(used) * width as u128).div_ceil(u128::from(limit));
        usize::try_from(n).unwrap_or(width).min(width)
    };
    let tone = gauge_tone(used, limit);
    vec![
        Span::styled(full.to_string().repeat(filled), look.style(tone)),
        Span::styled(empty.to_string().repeat(width - filled), look.style(Tone::Dim)),
    ]
}

/// Calm below four fifths, a warning from there on, bad when all is taken.
pub(crate) fn gauge_tone(used: u64, limit: u64) -> Tone {
    if used >= limit {
        Tone::Bad
    } else if u128::from(used) * 5 >= u128::from(limit) * 4 {
        Tone::Warn
    } else {
        Tone::Allow
    }
}

/// One column a slot; `which` picks what is counted.
pub(crate) fn spark(look: Look, slots: &[(u16, u16)], which: fn(&(u16, u16)) -> u16) -> String {
    let top = slots.iter().map(which).max().unwrap_or(0).max(1);
    slots
        .iter()
        .map(|s| {
            let n = which(s);
            look.level(usize::from(n.min(top)).saturating_mul(8).div_ceil(usize::from(top)))
        })
        .collect()
}

/// The gravest thing about a row: mark, word, tone.
pub(crate) fn state(look: Look, r: &Row) -> (&'static str, &'static str, Tone) {
    if r.forked {
        (look.bad(), "forked", Tone::Bad)
    } else if r.summary.incidents > 0 {
        (look.bad(), "incident", Tone::Bad)
    } else if r.flag(FLAG_DRAINING) {
        (look.warn(), "draining", Tone::Warn)
    } else if r.flag(FLAG_KILLED) {
        (look.warn(), "killed", Tone::Warn)
    } else if r.flag(FLAG_QUOTA) {
        (look.warn(), "quota", Tone::Warn)
    } else if r.flag(FLAG_FROZEN) {
        (look.note(), "frozen", Tone::Accent)
    } else if r.flag(FLAG_PENDING) {
        (look.note(), "pending", Tone::Accent)
    } else if r.flag(FLAG_NEWER) {
        (look.note(), "newer", Tone::Accent)
    } else if r.flag(FLAG_RAMPED) {
        (look.note(), "ramped", Tone::Text)
    } else {
        (look.ok(), "", Tone::Good)
    }
}

/// The first line of a board: what it shows, and which nodes did not answer.
pub(crate) fn heading(m: &Model, what: &str) -> Line<'static> {
    let look = m.look;
    let mut spans = vec![Span::styled(format!("  {}", safe(what, 200)), look.style(Tone::Title))];
    let filter = m.boards.filter(m.screen());
    if !filter.is_empty() {
        spans.push(Span::styled(format!("  /{}", safe(filter, 40)), look.style(Tone::Accent)));
    }
    for (agent, e) in &m.boards.errors {
        let node = m.agents.get(*agent).map_or("", crate::app::model::Agent::name);
        spans.push(Span::styled(format!("  {} {node}: {}", look.bad(), safe(e, 60)), look.style(Tone::Bad)));
    }
    Line::from(spans)
}

/// A cell of a fixed width.
pub(crate) struct Cell {
    pub(crate) spans: Vec<Span<'static>>,
    pub(crate) right: bool,
}

/// A cell of one text.
pub(crate) fn cell(text: impl Into<String>, style: Style) -> Cell {
    Cell { spans: vec![Span::styled(text.into(), style)], right: false }
}

/// A cell whose text stands on the right: numbers.
pub(crate) fn number(text: impl Into<String>, style: Style) -> Cell {
    Cell { spans: vec![Span::styled(text.into(), style)], right: true }
}

/// Cells side by side, a column apart; each is cut to its width.
pub(crate) fn columns(look: Look, cells: Vec<Cell>, widths: &[u16]) -> Line<'static> {
    let mut out: Vec<Span<'static>> = vec![];
    for (c, w) in cells.into_iter().zip(widths) {
        let w = usize::from(*w);
        let len: usize = c.spans.iter().map(|s| s.content.width()).sum();
        if c.right {
            out.push(Span::raw(" ".repeat(w.saturating_sub(len))));
        }
        if len > w {
            // Only texts are cut; parts with several spans are made to fit.
            if let Some(s) = c.spans.into_iter().next() {
                out.push(Span::styled(fit(&s.content, w, look.more()), s.style));
            }
        } else {
            out.extend(c.spans);
            if !c.right {
                out.push(Span::raw(" ".repeat(w - len)));
            }
        }
        out.push(Span::raw(" "));
    }
    Line::from(out)
}

/// Widths in which the column `flex` takes what the others leave.
pub(crate) fn flex(total: u16, widths: &mut [u16], flex: usize) {
    let others: u16 = widths.iter().enumerate().filter(|(i, _)| *i != flex).map(|(_, w)| *w + 1).sum();
    widths[flex] = total.saturating_sub(others + 1).max(8);
}
