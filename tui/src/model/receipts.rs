//! State of the screens Receipts and Receipt: a window on one log, fetched when the log grows, and one receipt in detail.

use crate::model::cursor::revealed;
use crate::model::tenants::RowKey;
use conductor_shared::clock::MonoTime;
use conductor_shared::fact::Verdict;
use conductor_shared::http::{ReceiptJson, ReceiptPage};
use conductor_shared::ids::Origin;
use conductor_shared::verify::Report;
use std::collections::VecDeque;

pub(crate) const KEPT: usize = 4_000;
/// Receipts fetched at a time.
pub(crate) const PAGE: u64 = 200;
/// A larger gap than this is jumped over when following.
const JUMP: u64 = 1_000;

/// One receipt in detail.
#[derive(Debug)]
pub(crate) enum Detail {
    Loading,
    /// It could not be fetched.
    Failed(String),
    Ready(Box<Proved>),
}

/// A receipt that came with its proof.
#[derive(Debug)]
pub(crate) struct Proved {
    /// In words made here from the bytes that were verified, not in the agent's. `None` when they cannot be read.
    pub(crate) receipt: Option<ReceiptJson>,
    /// What verifying it here gave.
    pub(crate) report: Report,
}

/// A window on one log.
#[derive(Debug)]
pub(crate) struct Receipts {
    pub(crate) key: Option<RowKey>,
    /// Its origin, once known.
    pub(crate) origin: Option<Origin>,
    pub(crate) rows: VecDeque<ReceiptJson>,
    /// Entries of the log when last asked.
    pub(crate) size: u64,
    /// A query is running.
    pub(crate) busy: bool,
    /// When the last one was sent.
    pub(crate) asked: MonoTime,
    /// When the last answer came.
    pub(crate) answered: Option<MonoTime>,
    /// Index of the selected entry.
    pub(crate) selected: Option<u64>,
    /// First row on the screen, a place among those shown.
    pub(crate) offset: usize,
    /// Goes with the end of the log.
    pub(crate) follow: bool,
    /// What went wrong last.
    pub(crate) error: Option<String>,
    /// The entry in detail.
    pub(crate) detail: Option<(u64, Detail)>,
    /// Lines scrolled in detail.
    pub(crate) scroll: u16,
    filter: String,
    shown: Vec<usize>,
}

impl Default for Receipts {
    fn default() -> Self {
        Self {
            key: None,
            origin: None,
            rows: VecDeque::new(),
            size: 0,
            busy: false,
            asked: MonoTime::default(),
            answered: None,
            selected: None,
            offset: 0,
            follow: true,
            error: None,
            detail: None,
            scroll: 0,
            filter: String::new(),
            shown: vec![],
        }
    }
}

impl Receipts {
    /// Switches to another log. The filter stays.
    pub(crate) fn turn_to(&mut self, key: RowKey) {
        if self.key != Some(key) {
            *self = Self { key: Some(key), filter: std::mem::take(&mut self.filter), ..Self::default() };
        }
    }

    /// One after the last entry held.
    pub(crate) fn next(&self) -> u64 {
        self.rows.back().map_or(0, |r| r.index + 1)
    }

    /// What to ask for when the log has `size` entries: (from, limit). `None` when nothing is missing.
    pub(crate) fn missing(&self, size: u64) -> Option<(i128, u64)> {
        if self.busy {
            return None;
        }
        if self.rows.is_empty() || size > self.next() + JUMP {
            return Some((-i128::from(PAGE), PAGE));
        }
        (size > self.next()).then(|| (i128::from(self.next()), PAGE))
    }

    /// What to ask for to see older entries.
    pub(crate) fn older(&self) -> Option<(i128, u64)> {
        let first = self.rows.front()?.index;
        let from = first.saturating_sub(PAGE);
        (!self.busy && first > 0 && self.rows.len() < KEPT).then(|| (i128::from(from), first - from))
    }

    pub(crate) fn take(&mut self, page: ReceiptPage) {
        let changed = self.origin.is_some_and(|o| o != page.origin);
        self.origin = Some(page.origin);
        self.size = page.size;
        let Some((first, last)) =
            page.receipts.first().zip(page.receipts.last()).map(|(a, b)| (a.index, b.index))
        else {
            return;
        };
        let before = self.rows.front().is_some_and(|r| r.index == last + 1) && !changed;
        if before {
            for r in page.receipts.into_iter().rev() {
                self.rows.push_front(r);
            }
        } else {
            if changed || first != self.next() {
                self.rows.clear();
            }
            self.rows.extend(page.receipts);
            while self.rows.len() > KEPT {
                self.rows.pop_front();
            }
        }
        self.refilter();
    }

    /// The filter as typed.
    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }

    /// Filters by words that a line must have.
    pub(crate) fn set_filter(&mut self, filter: &str) {
        filter.clone_into(&mut self.filter);
        self.refilter();
    }

    fn refilter(&mut self) {
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let hit = |r: &ReceiptJson| {
            words.iter().all(|w| {
                r.summary.to_lowercase().contains(w)
                    || r.kind_name.to_lowercase().contains(w)
                    || r.verdict.is_some_and(|v| v.as_str() == w)
                    || r.index.to_string() == *w
            })
        };
        self.shown = self.rows.iter().enumerate().filter(|(_, r)| hit(r)).map(|(i, _)| i).collect();
        if self.follow || self.selected.is_none() {
            self.selected = self.shown.last().map(|i| self.rows[*i].index);
        }
    }

    /// Entries that pass the filter.
    pub(crate) fn len(&self) -> usize {
        self.shown.len()
    }

    /// The entries at these places.
    pub(crate) fn window(&self, from: usize, len: usize) -> impl Iterator<Item = &ReceiptJson> {
        self.shown.iter().skip(from).take(len).map(|i| &self.rows[*i])
    }

    /// Place of the selected entry among those shown, or where it would be.
    pub(crate) fn place(&self) -> Option<usize> {
        let sel = self.selected?;
        let p = self.shown.partition_point(|i| self.rows[*i].index < sel);
        (p < self.shown.len()).then_some(p)
    }

    /// Selects the entry at a place. At the last place the console follows again.
    pub(crate) fn select_place(&mut self, place: usize) {
        let last = self.shown.len().saturating_sub(1);
        if let Some(i) = self.shown.get(place.min(last)) {
            self.selected = Some(self.rows[*i].index);
            self.follow = place >= last;
        }
    }

    pub(crate) fn step(&mut self, by: isize) {
        let at = self.place().unwrap_or(self.shown.len().saturating_sub(1));
        self.select_place(at.saturating_add_signed(by));
    }

    /// Keeps the selection within a window of this many rows.
    pub(crate) fn reveal(&mut self, height: usize) {
        self.offset = revealed(self.offset, self.place(), self.shown.len(), height);
    }

    pub(crate) fn selected_row(&self) -> Option<&ReceiptJson> {
        let sel = self.selected?;
        let p = self.rows.partition_point(|r| r.index < sel);
        self.rows.get(p).filter(|r| r.index == sel)
    }
}

/// The mark and word of an answer.
pub(crate) fn verdict_word(v: Option<Verdict>) -> &'static str {
    match v {
        Some(Verdict::Allow) => "allow",
        Some(Verdict::Deny) => "deny",
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn page(from: u64, to: u64) -> ReceiptPage {
        ReceiptPage {
            origin: sample::origin(),
            size: to,
            receipts: (from..to).map(|i| sample::receipt(i, "RunDecided", &format!("run {i}"))).collect(),
            next: None,
        }
    }

    /// Issue, Receipts: the tail is asked for when the log grew, and only what is missing.
    #[test]
    fn asks_for_what_is_missing() {
        let mut r = Receipts::default();
        assert_eq!(r.missing(10), Some((-200, 200)));
        r.take(page(0, 10));
        assert_eq!((r.missing(10), r.missing(12)), (None, Some((10, 200))));
        r.take(page(10, 12));
        assert_eq!((r.len(), r.selected), (12, Some(11)));
        assert_eq!(r.missing(99_999), Some((-200, 200)));
        r.take(page(99_799, 99_999));
        assert_eq!((r.len(), r.older()), (200, Some((99_599, 200))));
        r.take(page(99_599, 99_799));
        assert_eq!((r.len(), r.selected), (400, Some(99_998)));
        r.busy = true;
        assert_eq!((r.missing(100_000), r.older()), (None, None));
    }

    /// Issue, Receipts: who scrolled up is not pulled back by new entries.
    #[test]
    fn follows_only_at_the_end() {
        let mut r = Receipts::default();
        r.take(page(0, 10));
        r.step(-3);
        r.take(page(10, 20));
        assert_eq!((r.selected, r.follow), (Some(6), false));
        r.select_place(usize::MAX);
        assert!(r.follow);
        r.set_filter("run 16");
        assert_eq!((r.len(), r.selected), (1, Some(16)));
    }
}
