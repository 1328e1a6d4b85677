//! Rows of columns with fixed widths.

use crate::style::Look;
use crate::text::wrap::fit;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// A cell of a fixed width.
pub(crate) struct Cell {
    pub(crate) spans: Vec<Span<'static>>,
    pub(crate) right: bool,
}

/// A cell of one text.
pub(crate) fn cell(text: impl Into<String>, style: Style) -> Cell {
    Cell { spans: vec![Span::styled(text.into(), style)], right: false }
}

/// A cell whose text stands on the right: numbers.
pub(crate) fn number(text: impl Into<String>, style: Style) -> Cell {
    Cell { spans: vec![Span::styled(text.into(), style)], right: true }
}

/// Cells side by side, a column apart; each is cut to its width.
pub(crate) fn columns(look: Look, cells: Vec<Cell>, widths: &[u16]) -> Line<'static> {
    let mut out: Vec<Span<'static>> = vec![];
    for (c, w) in cells.into_iter().zip(widths) {
        let w = usize::from(*w);
        let len: usize = c.spans.iter().map(|s| s.content.width()).sum();
        if c.right {
            out.push(Span::raw(" ".repeat(w.saturating_sub(len))));
        }
        if len > w {
            // Only texts are cut; parts with several spans are made to fit.
            if let Some(s) = c.spans.into_iter().next() {
                out.push(Span::styled(fit(&s.content, w, look.more()), s.style));
            }
        } else {
            out.extend(c.spans);
            if !c.right {
                out.push(Span::raw(" ".repeat(w - len)));
            }
        }
        out.push(Span::raw(" "));
    }
    Line::from(out)
}

/// Widths in which the column `flex` takes what the others leave.
pub(crate) fn flex(total: u16, widths: &mut [u16], flex: usize) {
    let others: u16 = widths.iter().enumerate().filter(|(i, _)| *i != flex).map(|(_, w)| *w + 1).sum();
    widths[flex] = total.saturating_sub(others + 1).max(8);
}
