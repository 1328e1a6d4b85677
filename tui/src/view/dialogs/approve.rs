//! The answer to another person's request.

use super::form::{about, boxed, button, cursor, field};
use crate::model::Model;
use crate::model::dialog::Field;
use crate::model::dialog::approve::Approve;
use crate::style::Tone;
use crate::text::wrap::{fit, safe};
use conductor_shared::operator::Answer;
use ratatui::Frame;
use ratatui::text::{Line, Span};

/// What another person asked for, read from the text that waits, and the answer, read from the text that is signed.
pub(super) fn approve(m: &Model, f: &mut Frame<'_>, a: &Approve) {
    let look = m.look;
    let width = m.size.0.clamp(60, 76);
    let inner = usize::from(width) - 4;
    let approves = a.approval.verdict == Answer::Approve;
    let dim = look.style(Tone::Dim);
    let mut lines = request(m, a, inner);
    lines.push(Line::raw(""));
    let name_y = lines.len();
    if approves {
        lines.push(field(m, "name", &a.name, a.focus == Field::Name, false, inner - 14));
    }
    let password_y = lines.len();
    if let Some(p) = &a.password {
        lines.push(field(m, "password", p, a.focus == Field::Password, true, inner - 14));
    }
    lines.push(Line::raw(""));
    let barred = a.lock(m.fresh(a.target.key));
    let risky = if approves { Tone::Bad } else { Tone::Text };
    let yes = if barred.is_some() { dim } else { look.style(risky) };
    lines.push(Line::from(vec![
        button(m, "Cancel", a.focus == Field::Cancel, look.style(Tone::Text)),
        Span::raw("  "),
        button(m, if approves { "Approve" } else { "Refuse" }, a.focus == Field::Confirm, yes),
    ]));
    let (text, tone) = match (&a.error, barred) {
        (Some(e), _) => (safe(e, 200), Tone::Bad),
        (None, Some(why)) => (why.to_owned(), Tone::Warn),
        (None, None) => ("your key is unlocked for this answer alone".into(), Tone::Dim),
    };
    lines.push(Line::styled(fit(&text, inner, look.more()), look.style(tone)));
    let (title, tone) = if approves {
        (" Approve what another asked for ", Tone::Bad)
    } else {
        (" Refuse a request ", Tone::Accent)
    };
    let inside = boxed(m, f, title, tone, width, lines);
    match (a.focus, &a.password) {
        (Field::Name, _) => cursor(f, inside, name_y, 13, &a.name),
        (Field::Password, Some(p)) => cursor(f, inside, password_y, 13, p),
        _ => {}
    }
}

/// What was asked for, by whom, and what is signed.
fn request(m: &Model, a: &Approve, inner: usize) -> Vec<Line<'static>> {
    let look = m.look;
    let dim = look.style(Tone::Dim);
    let mut lines = vec![about(m, &a.target)];
    lines.push(Line::styled(
        fit(&a.command.operation.sentence(), inner, look.more()),
        look.style(Tone::Title),
    ));
    let room = usize::from(m.size.1).saturating_sub(17).clamp(1, 8);
    let args = a.command.operation.args();
    for (k, v) in args.iter().take(room) {
        lines.push(Line::raw(fit(&format!("  {k} = {}", safe(v, 120)), inner, look.more())));
    }
    if args.len() > room {
        let text = format!("  and {} more: read them with conductor approval show", args.len() - room);
        lines.push(Line::styled(text, look.style(Tone::Warn)));
    }
    lines.push(Line::styled(
        fit(&format!("asked by {}: {}", safe(&a.by, 63), a.command.reason.escaped(200)), inner, look.more()),
        dim,
    ));
    let digest = conductor_shared::ids::hex(&a.approval.command_digest[..8]);
    lines.push(Line::styled(
        format!("digest of its text {digest}..., you sign: {}", a.approval.verdict.as_str()),
        dim,
    ));
    lines
}
