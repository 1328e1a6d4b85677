//! The dialog of a loosening, with its blast radius.

use super::form::{about, boxed, button, cursor, field};
use crate::model::Model;
use crate::model::confirmation::object_words;
use crate::model::dialog::Field;
use crate::model::dialog::loosen::{Loosen, Radius};
use crate::style::Tone;
use crate::text::format::{count, span};
use crate::text::wrap::{fit, safe, wrap};
use conductor_shared::fact::ChangeClass;
use ratatui::Frame;
use ratatui::text::{Line, Span};

pub(super) fn loosen(m: &Model, f: &mut Frame<'_>, l: &Loosen) {
    let look = m.look;
    let width = m.size.0.clamp(60, 76);
    let inner = usize::from(width) - 4;
    let op = l.action.as_ref().map_or(&l.operation, |a| &a.command().operation);
    let mut lines = vec![about(m, &l.target), Line::styled(op.sentence(), look.style(Tone::Title))];
    radius(m, &l.radius, inner, &mut lines);
    lines.push(Line::raw(""));
    let name_y = lines.len();
    let room = inner - 14;
    lines.push(field(m, "tenant name", &l.name, l.focus == Field::Name, false, room));
    lines.push(field(m, "why", &l.reason, l.focus == Field::Reason, false, room));
    if let Some(p) = &l.password {
        lines.push(field(m, "password", p, l.focus == Field::Password, true, room));
    }
    lines.push(Line::raw(""));
    let barred = l.lock(m.fresh(l.target.key));
    let yes = if barred.is_some() { look.style(Tone::Dim) } else { look.style(Tone::Bad) };
    lines.push(Line::from(vec![
        button(m, "Cancel", l.focus == Field::Cancel, look.style(Tone::Text)),
        Span::raw("  "),
        button(m, "Loosen", l.focus == Field::Confirm, yes),
    ]));
    let (text, tone) = match (&l.error, barred) {
        (Some(e), _) => (safe(e, 200), Tone::Bad),
        (None, Some(why)) => (why.to_owned(), Tone::Warn),
        (None, None) => ("waits for a signed checkpoint before it takes effect".into(), Tone::Dim),
    };
    lines.push(Line::styled(fit(&text, inner, look.more()), look.style(tone)));
    let inside = boxed(m, f, " This makes something riskier ", Tone::Bad, width, lines);
    let at = match l.focus {
        Field::Name => Some((name_y, &l.name)),
        Field::Reason => Some((name_y + 1, &l.reason)),
        Field::Password => l.password.as_ref().map(|p| (name_y + 2, p)),
        Field::Cancel | Field::Confirm => None,
    };
    if let Some((y, input)) = at {
        cursor(f, inside, y, 13, input);
    }
}

fn radius(m: &Model, r: &Radius, width: usize, lines: &mut Vec<Line<'static>>) {
    let look = m.look;
    match r {
        Radius::Loading => {
            lines.push(Line::styled("counting the last hour's requests", look.style(Tone::Dim)));
        }
        Radius::Failed(e) => {
            for l in wrap(&format!("{} no blast radius: {}", look.bad(), safe(e, 160)), width) {
                lines.push(Line::styled(l, look.style(Tone::Bad)));
            }
        }
        Radius::Ready(p, at) => {
            let words = format!("{} {} {}", object_words(&p.before), look.arrow(), object_words(&p.after));
            lines.push(Line::styled(fit(&words, width, look.more()), look.style(Tone::Accent)));
            lines.push(Line::raw(""));
            let age = span(m.now.mono - *at);
            lines.push(Line::from(vec![
                Span::styled("Blast radius", look.style(Tone::Title)),
                Span::styled(
                    format!("  {} run requests in the last hour, counted {age} ago", count(p.requests)),
                    look.style(Tone::Dim),
                ),
            ]));
            let mut said = vec![Span::styled(
                format!("{} newly allowed", count(p.newly_allowed)),
                look.style(if p.newly_allowed > 0 { Tone::Warn } else { Tone::Text }),
            )];
            said.push(Span::raw(format!(", {} newly denied", count(p.newly_denied))));
            if p.open_runs_stopped > 0 {
                said.push(Span::styled(
                    format!(", {} open runs stopped", count(p.open_runs_stopped)),
                    look.style(Tone::Warn),
                ));
            }
            if p.class == ChangeClass::Tighten {
                said.push(Span::styled("  the agent says: nothing is looser", look.style(Tone::Good)));
            }
            lines.push(Line::from(said));
            for row in p.by_workflow.iter().take(3) {
                let text = format!(
                    "  {:<24} {:>8} requests  {:>8} allowed",
                    fit(row.workflow_type.as_str(), 24, look.more()),
                    count(row.requests),
                    count(row.newly_allowed)
                );
                lines.push(Line::styled(text, look.style(Tone::Dim)));
            }
            if p.by_workflow.len() > 3 {
                let more = format!("  and {} more workflows", p.by_workflow.len() - 3);
                lines.push(Line::styled(more, look.style(Tone::Dim)));
            }
        }
    }
}
