//! Dialogs over a screen: frames, texts and fields, drawn from the layers of the model.

mod approve;
mod form;
mod loosen;
mod tighten;

use super::help;
use crate::model::Model;
use crate::model::confirmation::Target;
use crate::model::dialog::{Layer, Notice, Unlock, Waiting};
use crate::model::keys::{KeyScope, bindings};
use crate::style::Tone;
use crate::text::format::{date, span};
use crate::text::wrap::{safe, wrap};
use approve::approve;
use conductor_shared::fact::ChangeClass;
use form::{about, boxed, cursor, field, frame};
use loosen::loosen;
use ratatui::Frame;
use ratatui::text::{Line, Span};
use tighten::{confirm, ramp};

/// The layers, from the bottom.
pub(crate) fn draw(m: &Model, f: &mut Frame<'_>) {
    for l in &m.layers {
        match l {
            Layer::Palette(_) | Layer::Filter(_) => {}
            Layer::Help(scroll) => {
                let width = m.size.0.min(100);
                let lines = help::text(m, usize::from(width.saturating_sub(4)));
                let lines: Vec<_> = lines.into_iter().skip(usize::from(*scroll)).collect();
                frame(m, f, " Keys ", Tone::Accent, (width, m.size.1.saturating_sub(1)), lines);
            }
            Layer::Menu(t) => menu(m, f, t),
            Layer::Confirm(c) => confirm(m, f, c),
            Layer::Ramp(r) => ramp(m, f, r),
            Layer::Loosen(l) => loosen(m, f, l),
            Layer::Approve(a) => approve(m, f, a),
            Layer::Waiting(w) => waiting(m, f, w),
            Layer::Notice(n) => notice(m, f, n),
            Layer::Unlock(u) => unlock(m, f, u),
            Layer::Alarms => alarms(m, f),
        }
    }
}

fn menu(m: &Model, f: &mut Frame<'_>, t: &Target) {
    let look = m.look;
    let mut lines = vec![about(m, t), Line::raw("")];
    for b in bindings(&[KeyScope::Menu], m.read_only) {
        lines.push(Line::from(vec![
            Span::styled(format!(" {:<5}", b.keys), look.style(Tone::Key)),
            Span::raw(b.help),
        ]));
    }
    boxed(m, f, " Act ", Tone::Accent, 64, lines);
}

fn waiting(m: &Model, f: &mut Frame<'_>, w: &Waiting) {
    let look = m.look;
    let since = m.now.mono - w.since;
    let what = match w.class {
        ChangeClass::Tighten => "sent, waits for its receipt",
        ChangeClass::Loosen => "proposed, waits for a signed checkpoint (at most 5 s)",
    };
    let lines = vec![
        about(m, &w.target),
        Line::styled(w.sentence.clone(), look.style(Tone::Title)),
        Line::raw(""),
        Line::raw(format!("{what}: {}", span(since))),
    ];
    boxed(m, f, " Under way ", Tone::Accent, 66, lines);
}

fn notice(m: &Model, f: &mut Frame<'_>, n: &Notice) {
    let look = m.look;
    let (mark, tone) = if n.good { (look.ok(), Tone::Good) } else { (look.bad(), Tone::Bad) };
    let mut lines = vec![];
    for l in &n.lines {
        for w in wrap(&safe(l, 400), 62) {
            lines.push(Line::raw(w));
        }
    }
    boxed(m, f, &format!(" {mark} {} ", n.title), tone, 66, lines);
}

fn unlock(m: &Model, f: &mut Frame<'_>, u: &Unlock) {
    let look = m.look;
    let mut lines = vec![
        Line::raw("Agents show their data to enrolled persons only."),
        Line::raw(""),
        field(m, "password", &u.password, !u.busy, true, 40),
    ];
    let (text, tone) = match (&u.error, u.busy) {
        (_, true) => ("unlocking; this takes a second or two".to_owned(), Tone::Dim),
        (Some(e), false) => (safe(e, 300), Tone::Bad),
        (None, false) => (String::new(), Tone::Dim),
    };
    // What is wrong stands after the path of the file, which may be long.
    lines.extend(wrap(&text, 56).into_iter().map(|l| Line::styled(l, look.style(tone))));
    let inside = boxed(m, f, " Unlock your key ", Tone::Accent, 62, lines);
    if !u.busy {
        cursor(f, inside, 2, 13, &u.password);
    }
}

fn alarms(m: &Model, f: &mut Frame<'_>) {
    let look = m.look;
    let width = m.size.0.min(100);
    let inner = usize::from(width.saturating_sub(4));
    let mut lines = vec![];
    if m.alarms.is_empty() {
        lines.push(Line::styled("There was none since the console started.", look.style(Tone::Dim)));
    }
    let room = usize::from(m.size.1.saturating_sub(8)) / 3;
    for a in m.alarms.iter().rev().take(room.max(1)) {
        let (mark, tone) = if a.note { (look.warn(), Tone::Warn) } else { (look.bad(), Tone::Bad) };
        let read = if a.acknowledged { "  acknowledged" } else { "" };
        lines.push(Line::from(vec![
            Span::styled(format!("{mark} {}", a.subject), look.style(tone)),
            Span::styled(format!("  {}{read}", date(a.at)), look.style(Tone::Dim)),
        ]));
        for l in wrap(&a.what, inner.saturating_sub(2)) {
            lines.push(Line::raw(format!("  {l}")));
        }
    }
    if m.alarms.len() > room.max(1) {
        lines
            .push(Line::styled(format!("and {} older", m.alarms.len() - room.max(1)), look.style(Tone::Dim)));
    }
    boxed(m, f, " Alarms ", Tone::Bad, width, lines);
}
