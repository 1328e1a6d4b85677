//! Persons of the selected node, their keys and roles, and the tokens of the selected tenant. Read-only: plain commands
//! change them, and the screen names these.

use crate::model::agent::Agent;
use crate::model::{Model, layout, lists};
use crate::screens::marks::heading;
use crate::style::Tone;
use crate::text::wrap::safe;
use crate::widgets::table::{cell, columns, flex};
use conductor_shared::control::profiles;
use conductor_shared::operator::{OperatorKey, roles_shown};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

fn state(k: &OperatorKey) -> (&'static str, Tone) {
    match (k.revoked, k.suspended) {
        (Some(_), _) => ("revoked", Tone::Dim),
        (None, true) => ("suspended", Tone::Warn),
        (None, false) => ("live", Tone::Good),
    }
}

pub(crate) fn draw(m: &Model, f: &mut Frame<'_>, area: Rect) {
    let look = m.look;
    let list = layout::list(m);
    let node = m.agents.get(m.agent);
    let fresh = node.is_some_and(|a| a.fresh(m.now));
    let base = look.style(if fresh { Tone::Text } else { Tone::Stale });
    let mut lines = vec![heading(m, &format!("persons of {}", node.map_or("", Agent::name)))];
    let mut widths = vec![1, 14, 17, 11, 8, 30];
    flex(area.width, &mut widths, 5);
    let heads = ["", "person", "key", "state", "since", "roles"];
    lines.push(columns(look, heads.iter().map(|h| cell(*h, look.style(Tone::Dim))).collect(), &widths));
    let all = lists::persons(m);
    for (n, (id, k)) in all.iter().enumerate().skip(m.lists.cursor.offset).take(usize::from(list.height)) {
        let here = n == m.lists.cursor.place;
        let (word, tone) = state(k);
        let cells = vec![
            cell(if here { look.pointer() } else { " " }, look.style(Tone::Accent)),
            cell(k.name.to_string(), base),
            cell(id.to_string(), base),
            cell(word, if fresh { look.style(tone) } else { base }),
            cell(k.since.to_string(), base),
            cell(safe(&roles_shown(&k.roles), 300), base),
        ];
        let line = columns(look, cells, &widths);
        lines.push(if here { line.patch_style(look.style(Tone::Selected)) } else { line });
    }
    if all.is_empty() {
        lines.push(Line::styled("  Loading.", look.style(Tone::Dim)));
    }
    f.render_widget(Paragraph::new(lines), area);
    let below = list.y + list.height;
    let rest = Rect { y: below, height: (area.y + area.height).saturating_sub(below), ..area };
    f.render_widget(Paragraph::new(under(m)), rest);
}

fn under(m: &Model) -> Vec<Line<'static>> {
    let look = m.look;
    let mut lines = vec![Line::raw("")];
    let line = |name: &str, text: String| {
        Line::from(vec![Span::styled(format!("  {name:<12}"), look.style(Tone::Dim)), Span::raw(text)])
    };
    let tenant = m.tenants.selected.and_then(|k| Some((m.tenants.get(k)?, m.state(k)?)));
    if let Some((row, s)) = tenant {
        let name = row.summary.name.to_string();
        lines.push(Line::styled(format!("  The selected tenant, {name}"), look.style(Tone::Title)));
        lines.push(line("profile", profiles::name_of(s).to_owned()));
        let tokens: Vec<String> = s
            .tokens
            .values()
            .map(|t| if t.revoked { format!("{} (revoked)", t.name) } else { t.name.to_string() })
            .collect();
        let tokens = if tokens.is_empty() { "none".into() } else { tokens.join(", ") };
        lines.push(line("tokens", safe(&tokens, 300)));
        let peers: Vec<String> = s.peers.iter().map(u32::to_string).collect();
        let peers = if peers.is_empty() { "none".into() } else { peers.join(", ") };
        lines.push(line("local users", safe(&peers, 300)));
        lines.push(line("revision", format!("{}: conductor tenant history {name}", s.revision)));
        lines.push(Line::raw(""));
    }
    lines.push(Line::styled("  Changed by plain commands, each a receipt", look.style(Tone::Title)));
    for (what, command) in [
        ("persons", "conductor operator enrol|roles|suspend|resume|revoke"),
        ("tenants", "conductor tenant create|rollback, conductor profile assign, conductor quota set"),
        ("tokens", "conductor token issue|revoke, conductor peer allow|deny"),
    ] {
        lines.push(line(what, command.to_owned()));
    }
    lines
}
