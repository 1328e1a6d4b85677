//! Open incidents: a list, the selected one below it, and the timeline around it.

use crate::model::agent::Agent;
use crate::model::screen::Screen;
use crate::model::{Model, layout, lists};
use crate::screens::marks::heading;
use crate::style::Tone;
use crate::text::format::{clock, date, span};
use crate::text::wrap::{safe, wrap};
use crate::widgets::table::{Cell, cell, columns, flex};
use conductor_shared::clock::WallTime;
use conductor_shared::http::IncidentRow;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::time::Duration;

pub(crate) fn draw(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let list = layout::list(m);
    let mut lines = vec![heading(m, "what went wrong and is not over")];
    let mut widths = vec![1, 9, 12, 14, 14, 12, 20];
    flex(area.width, &mut widths, 6);
    let heads = ["", "since Z", "node", "log", "cause", "acknowledged", "what"];
    lines.push(columns(look, heads.iter().map(|h| cell(*h, look.style(Tone::Dim))).collect(), &widths));
    let all = m.lists.all_incidents();
    for (n, (agent, r)) in all.iter().enumerate().skip(m.lists.cursor.offset).take(usize::from(list.height)) {
        let here = n == m.lists.cursor.place;
        let line = columns(look, row(m, *agent, r, here), &widths);
        lines.push(if here { line.patch_style(look.style(Tone::Selected)) } else { line });
    }
    if all.is_empty() {
        let answered = !m.lists.incidents.is_empty();
        let text = match (answered, m.lists.filter(Screen::Incidents)) {
            (false, _) => "  Loading.",
            (true, "") => "  Nothing is wrong, as far as the nodes know.",
            (true, _) => "  None has these words.",
        };
        lines.push(Line::raw(""));
        lines.push(Line::styled(text, look.style(Tone::Dim)));
    }
    f.render_widget(Paragraph::new(lines), area);
    let below = list.y + list.height;
    let rest = Rect { y: below, height: (area.y + area.height).saturating_sub(below), ..area };
    if let Some((_, r)) = lists::incident(m) {
        f.render_widget(Paragraph::new(detail(m, r, usize::from(area.width))), rest);
    }
}

fn row(m: &Model, agent: usize, r: &IncidentRow, here: bool) -> Vec<Cell> {
    let look = m.look;
    let node = m.agents.get(agent);
    let fresh = node.is_some_and(|a| a.fresh(m.now));
    let base = look.style(if fresh { Tone::Text } else { Tone::Stale });
    let bad = look.style(if fresh && r.acknowledged_by.is_none() { Tone::Bad } else { Tone::Text });
    vec![
        cell(if here { look.pointer() } else { " " }, look.style(Tone::Accent)),
        cell(clock(WallTime::from_micros(r.since_us)), base),
        cell(node.map_or("", Agent::name).to_owned(), base),
        cell(r.tenant_id.to_string(), base),
        cell(r.cause.to_string(), if fresh { bad } else { base }),
        cell(r.acknowledged_by.as_ref().map_or_else(|| "nobody".into(), ToString::to_string), base),
        cell(safe(&r.detail.escaped(300), 300), base),
    ]
}

fn detail(m: &Model, r: &IncidentRow, width: usize) -> Vec<Line<'static>> {
    let look = m.look;
    let line = |name: &str, text: String| {
        Line::from(vec![Span::styled(format!("  {name:<13}"), look.style(Tone::Dim)), Span::raw(text)])
    };
    let mut lines = vec![Line::raw("")];
    let words = wrap(&r.detail.escaped(300), width.saturating_sub(16));
    for (n, w) in words.into_iter().enumerate() {
        lines.push(line(if n == 0 { "what" } else { "" }, w));
    }
    if let (Some(began), Some(seen)) = (r.began_us, r.detected_us) {
        let began = WallTime::from_micros(began);
        let after = match WallTime::from_micros(seen) - began {
            d if d < Duration::from_secs(1) => "within a second".to_owned(),
            d => format!("{} later", span(d)),
        };
        lines.push(line("began", format!("{}, noticed {after}", date(began))));
    } else {
        lines.push(line("since", date(WallTime::from_micros(r.since_us))));
    }
    let proof: Vec<String> = r.receipts.iter().map(u64::to_string).collect();
    let proof = if proof.is_empty() { String::new() } else { format!(", proved by {}", proof.join(" ")) };
    lines.push(line("receipt", format!("{}{proof}", r.receipt.index)));
    let acknowledged = match (&r.acknowledged_by, r.acknowledged_us) {
        (Some(who), Some(at)) => {
            let said = r.comment.as_ref().map_or_else(String::new, |c| format!(": {}", c.escaped(100)));
            format!("by {who} since {}Z{said}", clock(WallTime::from_micros(at)))
        }
        _ => "by nobody yet: press c".into(),
    };
    lines.push(line("acknowledged", acknowledged));
    if r.cause == conductor_shared::cause::IncidentCause::Clock {
        lines.push(line("way out", "conductor recover time, by two admins on the node".into()));
    }
    lines
}

/// Events around an incident, oldest first.
pub(crate) fn timeline(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let list = layout::list(m);
    let Some((key, from, _)) = &m.lists.timeline else { return };
    let rows = lists::timeline(m);
    let name =
        m.tenants.get(*key).map_or_else(|| "the node's log".to_owned(), |r| r.summary.name.to_string());
    let mut lines = vec![heading(m, &format!("{name}, from {} on", date(*from)))];
    let mut widths = vec![1, 9, 8, 12, 8, 20];
    flex(area.width, &mut widths, 5);
    let heads = ["", "time Z", "receipt", "who", "noticed", "what"];
    lines.push(columns(look, heads.iter().map(|h| cell(*h, look.style(Tone::Dim))).collect(), &widths));
    let shown = rows.iter().flatten().enumerate().skip(m.lists.cursor.offset).take(usize::from(list.height));
    let fresh = m.fresh(*key);
    for (n, r) in shown {
        let here = n == m.lists.cursor.place;
        let tone = match (&r.incident, fresh) {
            (_, false) => Tone::Stale,
            (Some(_), true) => Tone::Bad,
            (None, true) => Tone::Text,
        };
        let base = look.style(tone);
        let cells = vec![
            cell(if here { look.pointer() } else { " " }, look.style(Tone::Accent)),
            cell(clock(WallTime::from_micros(r.time_us)), base),
            cell(r.index.to_string(), base),
            cell(r.person.as_ref().map_or_else(|| "-".into(), ToString::to_string), base),
            cell(
                r.unnoticed_us.map_or_else(String::new, |us| {
                    if us < 1_000_000 {
                        "< 1 s".into()
                    } else {
                        format!("+{}", span(Duration::from_micros(us)))
                    }
                }),
                base,
            ),
            cell(safe(&r.words, 300), base),
        ];
        let line = columns(look, cells, &widths);
        lines.push(if here { line.patch_style(look.style(Tone::Selected)) } else { line });
    }
    let none = match &rows {
        None => Some("  Loading."),
        Some(r) if r.is_empty() && !m.lists.filter(Screen::Timeline).is_empty() => {
            Some("  None has these words.")
        }
        Some(r) if r.is_empty() => Some("  Nothing is on record from then on."),
        Some(_) => None,
    };
    lines.extend(none.map(|t| Line::styled(t, look.style(Tone::Dim))));
    f.render_widget(Paragraph::new(lines), area);
}
