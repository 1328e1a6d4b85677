//! The dialog of a tightening, and the form of a ramp's new value.

use super::form::{about, boxed, cursor, field, staleness};
use crate::model::Model;
use crate::model::confirmation::{Target, object_words};
use crate::model::dialog::{Confirm, RampForm};
use crate::style::Tone;
use crate::text::wrap::fit;
use conductor_shared::basis_points::percent;
use conductor_shared::command::{Operation, ops};
use ratatui::Frame;
use ratatui::text::{Line, Span};

pub(super) fn confirm(m: &Model, f: &mut Frame<'_>, c: &Confirm) {
    let look = m.look;
    let Some(chosen) = c.choices.get(c.chosen) else { return };
    let mut lines = vec![about(m, &chosen.target), Line::raw("")];
    lines.extend(choices(m, c));
    lines.push(Line::raw(""));
    let y = lines.len();
    if let Some(comment) = &c.comment {
        lines.push(field(m, "comment", comment, true, false, 50));
        let stands = match &chosen.command().operation {
            Operation::IncidentAck(ops::IncidentAck { comment, .. })
            | Operation::IncidentClose(ops::IncidentClose { comment, .. }) => comment.escaped(50),
            _ => String::new(),
        };
        lines.push(Line::styled(format!("             receipt will say: {stands}"), look.style(Tone::Dim)));
    }
    lines.extend(staleness(m, &chosen.target));
    if c.elsewhere {
        lines.extend(reach(m, &chosen.target));
    }
    if chosen.target.offline && chosen.command().operation.is_absolute() {
        let text = format!("{} Who cannot be reached gets it later, within a day.", look.warn());
        lines.push(Line::styled(text, look.style(Tone::Warn)));
    }
    let others = if c.choices.len() > 1 { "   up down choose" } else { "" };
    lines.push(Line::from(vec![
        Span::styled("enter", look.style(Tone::Key)),
        Span::raw(" does it now   "),
        Span::styled("esc", look.style(Tone::Key)),
        Span::raw(" cancels"),
        Span::styled(others, look.style(Tone::Dim)),
    ]));
    let inside = boxed(m, f, " Make it safer ", Tone::Accent, 66, lines);
    if let Some(comment) = &c.comment {
        cursor(f, inside, y, 13, comment);
    }
}

/// What can be chosen, the marked one with the state it would change.
fn choices(m: &Model, c: &Confirm) -> Vec<Line<'static>> {
    let look = m.look;
    let mut lines = vec![];
    let first = (c.chosen + 1).saturating_sub(6);
    for (i, a) in c.choices.iter().enumerate().skip(first).take(6) {
        let marked = i == c.chosen;
        let pointer = if marked { look.pointer() } else { " " };
        let style = if marked { look.style(Tone::Title) } else { look.style(Tone::Dim) };
        lines.push(Line::from(vec![
            Span::styled(format!("{pointer} "), look.style(Tone::Accent)),
            Span::styled(a.command().operation.sentence(), style),
        ]));
        if marked && let Some(before) = &a.before {
            let text = format!("    now: {}", object_words(before));
            lines.push(Line::styled(fit(&text, 60, look.more()), look.style(Tone::Dim)));
        }
    }
    if c.choices.len() > 6 {
        lines.push(Line::styled(format!("    {} in all", c.choices.len()), look.style(Tone::Dim)));
    }
    lines
}

/// Which nodes are meant, and the key that changes it.
fn reach(m: &Model, target: &Target) -> [Line<'static>; 2] {
    let look = m.look;
    let nodes = target.nodes();
    let names: Vec<String> = nodes.iter().map(|n| n.1.to_string()).collect();
    let (what, other) = match nodes.len() {
        1 => (format!("on {} only", names.join(", ")), "means all nodes that hold it"),
        n => (format!("on {n} nodes: {}", names.join(", ")), "means this node only"),
    };
    [
        Line::from(vec![Span::raw(fit(&what, 62, look.more()))]),
        Line::from(vec![
            Span::styled("a", look.style(Tone::Key)),
            Span::styled(format!(" {other}"), look.style(Tone::Dim)),
        ]),
    ]
}

pub(super) fn ramp(m: &Model, f: &mut Frame<'_>, r: &RampForm) {
    let look = m.look;
    let mut lines = vec![about(m, &r.target), Line::raw("")];
    let first = (r.chosen + 1).saturating_sub(8);
    for (i, (sel, now)) in r.rules.iter().enumerate().skip(first).take(8) {
        let marked = i == r.chosen;
        let now = now.map_or_else(|| "no rule".into(), percent);
        let style = look.style(if marked { Tone::Title } else { Tone::Dim });
        lines.push(Line::from(vec![
            Span::styled(if marked { look.pointer() } else { " " }, look.style(Tone::Accent)),
            Span::styled(format!(" {:<30} {now}", sel.to_string()), style),
        ]));
    }
    lines.push(Line::raw(""));
    let y = lines.len();
    lines.push(field(m, "new value %", &r.percent, true, false, 10));
    if let Some(e) = &r.error {
        lines.push(Line::styled(e.clone(), look.style(Tone::Warn)));
    }
    lines.push(Line::styled("down is done at once, up shows its blast radius first", look.style(Tone::Dim)));
    let inside = boxed(m, f, " Set a ramp ", Tone::Accent, 60, lines);
    cursor(f, inside, y, 13, &r.percent);
}
