//! The selected row of a list by its number, and the first row on the screen.

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
        let page = page.max(1);
        self.place = self.place.min(rows.saturating_sub(1));
        self.offset = self.offset.min(self.place).max((self.place + 1).saturating_sub(page));
    }
}
