//! The mark in a list that is told by its number, and the part of the list that is shown.

/// The marked row, and the first one on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ListCursor {
    /// The marked row.
    pub(crate) place: usize,
    /// First row that is shown.
    pub(crate) offset: usize,
}

impl ListCursor {
    /// Moves the mark within so many rows.
    pub(crate) fn step(&mut self, by: isize, rows: usize) {
        self.place = self.place.saturating_add_signed(by).min(rows.saturating_sub(1));
    }

    /// Keeps the mark within the rows, and on a page of so many.
    pub(crate) fn reveal(&mut self, page: usize, rows: usize) {
        let page = page.max(1);
        self.place = self.place.min(rows.saturating_sub(1));
        self.offset = self.offset.min(self.place).max((self.place + 1).saturating_sub(page));
    }
}
