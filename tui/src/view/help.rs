//! All keys, from the table.

use super::theme::Tone;
use crate::app::keys::{Scope, bindings};
use crate::app::model::Model;
use ratatui::text::{Line, Span};

/// Width of the column of keys.
const KEYS: usize = 16;

/// The help's lines, in one or two columns of text.
pub(crate) fn text(m: &Model, width: usize) -> Vec<Line<'static>> {
    let look = m.look;
    let mut out = vec![];
    for scope in Scope::ALL {
        if scope == Scope::Menu && m.read_only {
            continue;
        }
        out.push(Line::styled(scope.title(), look.style(Tone::Title)));
        for b in bindings(&[scope], m.read_only) {
            for (i, l) in super::format::wrap(b.help, width.saturating_sub(KEYS + 2)).into_iter().enumerate()
            {
                let keys = if i == 0 { b.keys } else { "" };
                out.push(Line::from(vec![
                    Span::styled(format!("  {keys:<KEYS$}"), look.style(Tone::Key)),
                    Span::raw(l),
                ]));
            }
        }
        out.push(Line::raw(""));
    }
    if m.read_only {
        out.push(Line::styled(
            "This console only reads: it has no keys that change anything.",
            look.style(Tone::Accent),
        ));
    }
    out
}

/// How many lines there are, for scrolling.
pub(crate) fn lines(m: &Model) -> u16 {
    let width = usize::from(m.size.0.saturating_sub(4)).min(96);
    u16::try_from(text(m, width).len()).unwrap_or(u16::MAX)
}
