//! Requests that wait for a second person: a list, and below it the selected request as its approver will read it.

use crate::model::agent::Agent;
use crate::model::approvals::PendingRequest;
use crate::model::{Model, layout};
use crate::style::Tone;
use crate::text::format::clock;
use crate::text::wrap::safe;
use crate::widgets::table::{Cell, cell, columns, flex};
use conductor_shared::clock::WallTime;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

pub(crate) fn draw(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let list = layout::list(m);
    let mut lines = vec![title(m)];
    let mut widths = vec![1, 12, 14, 10, 8, 9, 20];
    flex(area.width, &mut widths, 6);
    let heads = ["", "node", "tenant", "asked by", "approved", "until Z", "what"];
    lines.push(columns(look, heads.iter().map(|h| cell(*h, look.style(Tone::Dim))).collect(), &widths));
    let shown =
        m.approvals.rows.iter().enumerate().skip(m.approvals.cursor.offset).take(usize::from(list.height));
    for (n, w) in shown {
        let line = columns(look, row(m, w, n == m.approvals.cursor.place), &widths);
        lines.push(if n == m.approvals.cursor.place {
            line.patch_style(look.style(Tone::Selected))
        } else {
            line
        });
    }
    if m.approvals.rows.is_empty() {
        let text = if m.approvals.answered { "  Nothing waits for another person." } else { "  Loading." };
        lines.push(Line::raw(""));
        lines.push(Line::styled(text, look.style(Tone::Dim)));
    }
    f.render_widget(Paragraph::new(lines), area);
    let below = list.y + list.height;
    let rest = Rect { y: below, height: (area.y + area.height).saturating_sub(below), ..area };
    if let Some(w) = m.approvals.selected() {
        f.render_widget(Paragraph::new(detail(m, w)).wrap(Wrap { trim: false }), rest);
    }
}

fn title(m: &Model) -> Line<'static> {
    let look = m.look;
    let mut spans = vec![Span::styled("  waits for another person", look.style(Tone::Title))];
    for (agent, e) in &m.approvals.errors {
        let node = m.agents.get(*agent).map_or("", Agent::name);
        spans.push(Span::styled(format!("  {} {node}: {}", look.bad(), safe(e, 60)), look.style(Tone::Bad)));
    }
    Line::from(spans)
}

fn what(w: &PendingRequest) -> String {
    match &w.command {
        None => "a text that is no command: do not approve it".into(),
        Some(c) => {
            let args: Vec<String> = c.operation.args().into_iter().map(|(_, v)| v).collect();
            format!("{} {}", c.operation.name(), args.join(" "))
        }
    }
}

fn row(m: &Model, w: &PendingRequest, selected: bool) -> Vec<Cell> {
    let look = m.look;
    let agent = m.agents.get(w.agent);
    let base = look.style(if agent.is_some_and(|a| a.fresh(m.now)) { Tone::Text } else { Tone::Stale });
    vec![
        cell(if selected { look.pointer() } else { " " }, look.style(Tone::Accent)),
        cell(safe(agent.map_or("", Agent::name), 63), base),
        cell(w.row.tenant_id.to_string(), base),
        cell(w.row.person.to_string(), base),
        cell(format!("{} of {}", w.row.approved.len(), w.row.needed), base),
        cell(clock(WallTime::from_micros(w.row.expires_at_us)), base),
        cell(safe(&what(w), 300), base),
    ]
}

fn detail(m: &Model, w: &PendingRequest) -> Vec<Line<'static>> {
    let look = m.look;
    let line = |name: &str, text: String| {
        Line::from(vec![Span::styled(format!("  {name:<11}"), look.style(Tone::Dim)), Span::raw(text)])
    };
    let mut lines = vec![Line::raw("")];
    match &w.command {
        None => lines.push(Line::styled(
            format!("  {} the node shows a text that is not this command: do not approve it", look.bad()),
            look.style(Tone::Bad),
        )),
        Some(c) => {
            lines.push(line("operation", c.operation.name().to_owned()));
            lines.extend(
                c.operation.args().into_iter().map(|(k, v)| line("", format!("{k} = {}", safe(&v, 120)))),
            );
            lines.push(line("reason", c.reason.escaped(200)));
        }
    }
    lines.push(line("class", w.row.class.as_str().to_owned()));
    let by: Vec<String> = w.row.approved.iter().map(ToString::to_string).collect();
    let by = if by.is_empty() { "nobody yet".to_owned() } else { by.join(" ") };
    lines.push(line("approved", format!("by {by}; it takes {}", w.row.needed)));
    let press = |key: &str| if m.read_only { String::new() } else { format!("{key}, or ") };
    lines.push(line("approve", format!("{}conductor approval give {}", press("A"), w.row.command_id)));
    lines.push(line("refuse", format!("{}conductor approval refuse {}", press("R"), w.row.command_id)));
    lines
}
