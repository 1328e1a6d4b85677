//! All keys, from the table.

use crate::model::Model;
use crate::model::help::{self, KEYS};
use crate::style::Tone;
use ratatui::text::{Line, Span};

/// The lines of the page at this width.
pub(crate) fn text(m: &Model, width: usize) -> Vec<Line<'static>> {
    let look = m.look;
    let line = |l| match l {
        help::Line::Title(t) => Line::styled(t, look.style(Tone::Title)),
        help::Line::Key(keys, what) => {
            Line::from(vec![Span::styled(format!("  {keys:<KEYS$}"), look.style(Tone::Key)), Span::raw(what)])
        }
        help::Line::Blank => Line::raw(""),
        help::Line::ReadOnly => Line::styled(
            "This console only reads: it has no keys that change anything.",
            look.style(Tone::Accent),
        ),
    };
    help::lines(m, width).into_iter().map(line).collect()
}
