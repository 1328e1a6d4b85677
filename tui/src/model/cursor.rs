//! The selected row of a list by its number, and the first row on the screen.

/// First row of a page that shows the row at `place`: scrolled as little as possible, and not past the last full page.
pub(crate) fn revealed(offset: usize, place: Option<usize>, rows: usize, page: usize) -> usize {
    let page = page.max(1);
    let shown = place.map_or(offset, |p| offset.min(p).max((p + 1).saturating_sub(page)));
    shown.min(rows.saturating_sub(page))
}

/// The selected row, and the first one on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ListCursor {
    pub(crate) place: usize,
    /// First row that is shown.
    pub(crate) offset: usize,
}

impl ListCursor {
    /// Moves the selection within `rows`.
    pub(crate) fn step(&mut self, by: isize, rows: usize) {
        self.place = self.place.saturating_add_signed(by).min(rows.saturating_sub(1));
    }

    /// Keeps the selection within `rows` and on the visible page.
    pub(crate) fn reveal(&mut self, page: usize, rows: usize) {
        self.place = self.place.min(rows.saturating_sub(1));
        self.offset = revealed(self.offset, Some(self.place), rows, page);
    }
}
