//! Receipts of one log, newest at the bottom.

use crate::model::receipts::verdict_word;
use crate::model::{Model, layout};
use crate::style::Tone;
use crate::text::format::{clock, count, span};
use crate::text::wrap::safe;
use crate::widgets::table::{Cell, cell, columns, flex, number};
use conductor_shared::clock::WallTime;
use conductor_shared::fact::Verdict;
use conductor_shared::http::ReceiptJson;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

pub(crate) fn draw(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let height = usize::from(layout::list(m).height);
    let mut lines = vec![title(m)];
    let mut widths = vec![1, 9, 8, 7, 16, 20];
    if area.width < 100 {
        widths[4] = 14;
    }
    flex(area.width, &mut widths, 5);
    let heads = ["", "index", "time Z", "answer", "kind", "what"];
    let head =
        heads.iter().enumerate().map(|(i, h)| Cell { right: i == 1, ..cell(*h, look.style(Tone::Dim)) });
    lines.push(columns(look, head.collect(), &widths));
    for r in m.receipts.window(m.receipts.offset, height) {
        let selected = m.receipts.selected == Some(r.index);
        let line = columns(look, row(m, r, selected), &widths);
        lines.push(if selected { line.patch_style(look.style(Tone::Selected)) } else { line });
    }
    if m.receipts.len() == 0 {
        let text = if m.receipts.rows.is_empty() {
            "  No receipts are here yet."
        } else {
            "  No receipt passes the filter."
        };
        lines.push(Line::raw(""));
        lines.push(Line::styled(text, look.style(Tone::Dim)));
    }
    f.render_widget(Paragraph::new(lines), area);
}

fn title(m: &Model) -> Line<'static> {
    let look = m.look;
    let Some(key) = m.receipts.key else { return Line::raw("") };
    let node = m.agent_of(key).map_or("", crate::model::agent::Agent::name);
    let whose = match m.tenants.get(key) {
        Some(r) => format!("{} on {node}", r.summary.name),
        None => format!("the node log of {node}"),
    };
    let mut spans = vec![
        Span::styled(format!("  {whose}"), look.style(Tone::Title)),
        Span::styled(format!("  {} entries", count(m.receipts.size)), look.style(Tone::Dim)),
    ];
    let (words, tone) = match (&m.receipts.error, m.receipts.answered) {
        (Some(e), _) => (format!("  {} {}", look.bad(), safe(e, 60)), Tone::Bad),
        (None, None) => ("  loading".into(), Tone::Dim),
        (None, Some(at)) => {
            let age = m.now.mono - at;
            if !m.fresh(key) {
                (format!("  {} as of {} ago", look.warn(), span(age)), Tone::Warn)
            } else if m.receipts.follow {
                ("  follows the end".into(), Tone::Good)
            } else {
                ("  stands still; f follows".into(), Tone::Dim)
            }
        }
    };
    spans.push(Span::styled(words, look.style(tone)));
    Line::from(spans)
}

/// Mark, word and tone of an answer.
pub(crate) fn verdict(m: &Model, v: Option<Verdict>) -> (String, Tone) {
    let word = verdict_word(v);
    match v {
        Some(Verdict::Allow) => (word.to_owned(), Tone::Allow),
        Some(Verdict::Deny) => (format!("{} {word}", m.look.warn()), Tone::Deny),
        None => (String::new(), Tone::Dim),
    }
}

fn row(m: &Model, r: &ReceiptJson, selected: bool) -> Vec<Cell> {
    let look = m.look;
    let fresh = m.receipts.key.is_some_and(|k| m.fresh(k));
    let base = look.style(if fresh { Tone::Text } else { Tone::Stale });
    let tint = |t| if fresh { look.style(t) } else { base };
    let (answer, tone) = verdict(m, r.verdict);
    let control = conductor_shared::fact::is_control(r.kind);
    vec![
        cell(if selected { look.pointer() } else { " " }, look.style(Tone::Accent)),
        number(r.index.to_string(), tint(Tone::Dim)),
        cell(clock(WallTime::from_micros(r.time_us)), base),
        cell(answer, tint(tone)),
        cell(safe(&r.kind_name, 30), tint(if control { Tone::Accent } else { Tone::Text })),
        cell(safe(&r.summary, 300), base),
    ]
}
