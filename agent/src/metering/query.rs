//! Reads usage of segments from day rows, hour rows and the current hour.

use super::rollups::OpenHour;
use super::rows::{Slotted, number_of, open_day, open_hour_slots, open_list, open_slot};
use super::{HOURS_PER_DAY, begin_of, day_of, hour_of, slot_of};
use crate::ledger::{Partition, ReadError};
use crate::store::{Reading, Row, RowKind};
use conductor_shared::clock::WallTime;
use conductor_shared::ids::PartitionId;
use conductor_shared::meter::{DAY_US, HOUR_US, SLOT_US, Sums};
use conductor_shared::time_range::Period;
use conductor_shared::usage::{Folder, Series, Usage};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

pub struct FoldQuery<'a> {
    /// In order and without gaps; their edges are slot boundaries.
    pub segments: &'a [Period],
    /// Receipts that no signed checkpoint covers: slot, series and count.
    pub unsigned: &'a [(u32, Series, u64)],
    /// Stored bytes count up to this time.
    pub now: WallTime,
    /// The current hour as published; if `None`, its rows are read.
    pub open: Option<&'a OpenHour>,
    pub cache: Option<&'a Cache>,
}

/// A day or hour by series: bytes stored when it began, and its sums.
type List = Arc<Vec<(Series, i128, Sums)>>;

/// The slots of an hour.
type Slots = Arc<Vec<Slotted>>;

/// Cache of decrypted rollups, keyed by row and validated by the stored nonce.
pub struct Cache(quick_cache::sync::Cache<(PartitionId, Vec<u8>), Opened, Weight>);

#[derive(Clone)]
struct Opened {
    /// Start of the sealed row, up to its nonce.
    seal: Vec<u8>,
    sums: Cached,
}

#[derive(Clone)]
enum Cached {
    Whole(List),
    Slots(Slots),
}

#[derive(Clone)]
struct Weight;

impl quick_cache::Weighter<(PartitionId, Vec<u8>), Opened> for Weight {
    fn weight(&self, _: &(PartitionId, Vec<u8>), row: &Opened) -> u64 {
        let entries = match &row.sums {
            Cached::Whole(l) => l.len(),
            Cached::Slots(l) => l.len(),
        };
        entries as u64 + 1
    }
}

/// Maximum weight of the cache, in series: about 40 MiB.
const CACHE_WEIGHT: u64 = 300_000;
/// Bytes of key number and nonce, which differ each time a row is sealed.
const SEAL: usize = 40;

fn seal(row: &[u8]) -> &[u8] {
    row.get(..SEAL).unwrap_or(row)
}

impl Default for Cache {
    fn default() -> Self {
        Self(quick_cache::sync::Cache::with_weighter(4_096, CACHE_WEIGHT, Weight))
    }
}

/// Folds the sums of the segments and calls `each` with the usage of each series in each segment, in order.
pub fn fold(
    reading: &Reading<'_>,
    p: &Partition,
    q: &FoldQuery<'_>,
    each: impl FnMut(usize, Series, Usage),
) -> Result<(), ReadError> {
    let (Some(first), Some(last)) = (q.segments.first(), q.segments.last()) else { return Ok(()) };
    let (from, to) = (first.from, last.to);
    let rows = Rows { reading, p, open: q.open, cache: q.cache };
    let mut w = Walk { q, at: 0, unsigned: 0, folder: Folder::begin(rows.stored_bytes_at(from)?), each };
    let days = rows.days(number(from.as_micros().div_ceil(DAY_US)), day_of(to))?;
    let mut at = from;
    for run in runs(&days, DAY_US, |begin, end| w.cut(begin, end)) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let begin = begin_of(first.number, DAY_US);
        rows.hours(at, begin, &mut w)?;
        w.until(begin);
        for (series, _, sums) in rows.total(run)?.iter() {
            w.folder.add(*series, sums);
        }
        at = begin_of(last.number + 1, DAY_US);
    }
    rows.hours(at, to, &mut w)?;
    w.until(WallTime::MAX);
    Ok(())
}

/// Sums since the log began, by series.
pub fn all(reading: &Reading<'_>, p: &Partition) -> Result<BTreeMap<Series, Sums>, ReadError> {
    let rows = Rows { reading, p, open: None, cache: None };
    let mut out: BTreeMap<Series, Sums> = BTreeMap::new();
    let mut since = WallTime::EPOCH;
    for day in rows.days(0, u32::MAX)? {
        for (series, _, sums) in rows.list(&day)?.iter() {
            out.entry(*series).or_default().merge(sums);
        }
        since = begin_of(day.number + 1, DAY_US);
    }
    rows.segments(
        since..begin_of(u32::MAX, SLOT_US),
        |_, _| false,
        |_, series, sums| {
            out.entry(series).or_default().merge(sums);
        },
    )?;
    Ok(out)
}

fn number(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Goes through the segments in time order.
struct Walk<'a, F> {
    q: &'a FoldQuery<'a>,
    at: usize,
    unsigned: usize,
    folder: Folder,
    each: F,
}

impl<F: FnMut(usize, Series, Usage)> Walk<'_, F> {
    /// Whether a segment begins or ends within.
    fn cut(&self, from: WallTime, to: WallTime) -> bool {
        let edge = self.q.segments.partition_point(|s| s.from <= from);
        self.q.segments.get(edge).is_some_and(|s| s.from < to)
            || self.q.segments.last().is_some_and(|s| s.to < to)
    }

    /// Ends the segments up to a moment.
    fn until(&mut self, end: WallTime) {
        while let Some(s) = self.q.segments.get(self.at).filter(|s| s.to <= end) {
            while let Some((slot, series, n)) = self.q.unsigned.get(self.unsigned) {
                let at = begin_of(*slot, SLOT_US);
                if at >= s.to {
                    break;
                }
                if at >= s.from {
                    self.folder.unsigned(*series, *n);
                }
                self.unsigned += 1;
            }
            let i = self.at;
            self.folder.end(*s, self.q.now, |series, usage| (self.each)(i, series, usage));
            self.at += 1;
        }
    }

    fn add(&mut self, at: WallTime, series: Series, sums: &Sums) {
        self.until(at);
        self.folder.add(series, sums);
    }
}

/// A day or hour row.
struct Numbered {
    number: u32,
    key: Vec<u8>,
    /// See [`Opened::seal`].
    seal: Vec<u8>,
    row: Found,
}

enum Found {
    /// From the cache.
    Opened(List),
    Sealed(Vec<u8>),
}

/// Groups days or hours into runs within which no segment begins or ends, as `cut` tells. A row that is cut itself is in
/// no run.
fn runs(rows: &[Numbered], unit: u64, cut: impl Fn(WallTime, WallTime) -> bool) -> Vec<&[Numbered]> {
    let end = |n: u32| begin_of(n + 1, unit);
    let mut out: Vec<&[Numbered]> = Vec::new();
    let mut from = 0;
    while let Some(first) = rows.get(from) {
        let begin = begin_of(first.number, unit);
        let n = rows[from..].iter().take_while(|r| !cut(begin, end(r.number))).count();
        if n > 0 {
            out.push(&rows[from..from + n]);
        }
        from += n.max(1);
    }
    out
}

/// Calls `each` for the slots that lie in the period.
fn within(period: &Range<WallTime>, list: &[Slotted], each: &mut impl FnMut(WallTime, Series, &Sums)) {
    for (slot, series, sums) in list {
        let at = begin_of(*slot, SLOT_US);
        if period.contains(&at) {
            each(at, *series, sums);
        }
    }
}

/// The rows of a partition.
struct Rows<'a> {
    reading: &'a Reading<'a>,
    p: &'a Partition,
    open: Option<&'a OpenHour>,
    cache: Option<&'a Cache>,
}

impl Rows<'_> {
    fn cache_key(&self, key: &[u8]) -> (PartitionId, Vec<u8>) {
        (self.p.id, key.to_vec())
    }

    /// The cached sums, if the row they came from is still the stored one.
    fn cached(&self, key: &[u8], seal: &[u8]) -> Option<Cached> {
        self.cache?.0.get(&self.cache_key(key)).filter(|o| o.seal == seal).map(|o| o.sums)
    }

    fn keep(&self, key: &[u8], seal: &[u8], sums: Cached) {
        if let Some(cache) = self.cache {
            cache.0.insert(self.cache_key(key), Opened { seal: seal.to_vec(), sums });
        }
    }

    fn list(&self, r: &Numbered) -> Result<List, ReadError> {
        let row = match &r.row {
            Found::Opened(list) => return Ok(Arc::clone(list)),
            Found::Sealed(row) => row,
        };
        let list = Arc::new(open_list(self.p, &r.key, row)?);
        self.keep(&r.key, &r.seal, Cached::Whole(Arc::clone(&list)));
        Ok(list)
    }

    /// The total of several days or hours. It is cached like a row and valid while all its rows are the stored ones, so
    /// thirty days are added as fast as one.
    fn total(&self, run: &[Numbered]) -> Result<List, ReadError> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(List::default()) };
        if run.len() == 1 {
            return self.list(first);
        }
        let mut seals = Sha256::new();
        for r in run {
            seals.update(&r.seal);
        }
        let (key, seal) = ([&first.key[..], &last.key].concat(), seals.finalize());
        if let Some(Cached::Whole(list)) = self.cached(&key, &seal) {
            return Ok(list);
        }
        let mut sums: BTreeMap<Series, Sums> = BTreeMap::new();
        for r in run {
            for (series, _, more) in self.list(r)?.iter() {
                sums.entry(*series).or_default().merge(more);
            }
        }
        let list: List = Arc::new(sums.into_iter().map(|(series, s)| (series, 0, s)).collect());
        self.keep(&key, &seal, Cached::Whole(Arc::clone(&list)));
        Ok(list)
    }

    fn slots(&self, hour: u32, key: &[u8], row: &[u8]) -> Result<Slots, ReadError> {
        if let Some(Cached::Slots(slots)) = self.cached(key, seal(row)) {
            return Ok(slots);
        }
        let slots = Arc::new(open_hour_slots(self.p, key, row)?.slots(hour));
        self.keep(key, seal(row), Cached::Slots(Arc::clone(&slots)));
        Ok(slots)
    }

    fn days(&self, from: u32, to: u32) -> Result<Vec<Numbered>, ReadError> {
        if from >= to {
            return Ok(vec![]);
        }
        self.numbered(RowKind::Day, from..to)
    }

    fn numbered(&self, kind: RowKind, numbers: Range<u32>) -> Result<Vec<Numbered>, ReadError> {
        let mut out: Vec<Result<Numbered, ReadError>> = Vec::new();
        self.reading.scan(&self.p.family, &Row::scan_numbers(kind, numbers), |row, value| {
            let key = row.key().to_vec();
            let opened = match self.cached(&key, seal(value)) {
                Some(Cached::Whole(list)) => Found::Opened(list),
                _ => Found::Sealed(value.to_vec()),
            };
            let numbered = |number| Numbered { number, key, seal: seal(value).to_vec(), row: opened };
            out.push(number_of(self.p, row).map(numbered));
            true
        })?;
        out.into_iter().collect()
    }

    /// The sums of a period in time order: packed hours, by slot where `cut` or the period cuts them, then the hours
    /// that are not packed yet.
    fn segments(
        &self,
        period: Range<WallTime>,
        cut: impl Fn(WallTime, WallTime) -> bool,
        mut each: impl FnMut(WallTime, Series, &Sums),
    ) -> Result<(), ReadError> {
        if period.is_empty() {
            return Ok(());
        }
        let hours = hour_of(period.start)..number(period.end.as_micros().div_ceil(HOUR_US));
        let packed = self.numbered(RowKind::Hour, hours.clone())?;
        let cut =
            |begin: WallTime, end: WallTime| begin < period.start || end > period.end || cut(begin, end);
        let mut whole = runs(&packed, HOUR_US, cut).into_iter().peekable();
        let mut rest = packed.as_slice();
        while let Some(Numbered { number: hour, .. }) = rest.first() {
            if let Some(run) = whole.next_if(|run| run.first().is_some_and(|first| first.number == *hour)) {
                let begin = begin_of(*hour, HOUR_US);
                for (series, _, sums) in self.total(run)?.iter() {
                    each(begin, *series, sums);
                }
                rest = &rest[run.len()..];
                continue;
            }
            let key = Row::Quarters(*hour).key();
            let row = self.reading.get(&self.p.family, &key)?;
            let row = row.ok_or_else(|| self.p.damaged(&key, "the slots of an hour are missing"))?;
            within(&period, &self.slots(*hour, &key, &row)?, &mut each);
            rest = &rest[1..];
        }
        let packed_to = packed.last().map_or(hours.start, |last| last.number + 1);
        self.not_packed(&period, packed_to..hours.end, each)
    }

    /// The sums of hours after the packed ones, from the published current hour or else from rows.
    fn not_packed(
        &self,
        period: &Range<WallTime>,
        hours: Range<u32>,
        mut each: impl FnMut(WallTime, Series, &Sums),
    ) -> Result<(), ReadError> {
        if let Some(open) = self.open {
            if hours.end <= open.hour {
                return Ok(());
            }
            // The hour may have been packed since it was published.
            if hours.start <= open.hour {
                within(period, &open.finished, &mut each);
                within(period, &open.current, &mut each);
                return Ok(());
            }
        }
        let hours = hours.start.min(hours.end)..hours.end;
        for (row, value) in self.reading.rows(&self.p.family, &Row::scan_numbers(RowKind::Quarters, hours))? {
            within(period, &self.slots(number_of(self.p, row)?, &row.key(), &value)?, &mut each);
        }
        let slots = slot_of(period.start)..slot_of(period.end);
        for (row, value) in self.reading.rows(&self.p.family, &Row::scan_numbers(RowKind::Slot, slots))? {
            within(period, &[open_slot(self.p, row, &value)?], &mut each);
        }
        Ok(())
    }

    fn hours<F: FnMut(usize, Series, Usage)>(
        &self,
        from: WallTime,
        to: WallTime,
        w: &mut Walk<'_, F>,
    ) -> Result<(), ReadError> {
        // The segment edges, copied: `w` is borrowed mutably below.
        let edges: Vec<WallTime> = w.q.segments.iter().map(|s| s.from).collect();
        let cut = |begin: WallTime, end: WallTime| {
            edges.get(edges.partition_point(|e| *e <= begin)).is_some_and(|e| *e < end)
        };
        self.segments(from..to, cut, |at, series, sums| w.add(at, series, sums))
    }

    /// Stored bytes of each series at a time.
    fn stored_bytes_at(&self, at: WallTime) -> Result<BTreeMap<Series, i128>, ReadError> {
        let day = day_of(at);
        let days = Row::scan_numbers(RowKind::Day, 0..day.saturating_add(1));
        let (mut levels, since) = match self.reading.last(&self.p.family, &days)? {
            None => (BTreeMap::new(), 0),
            Some((row, value)) => {
                let found = number_of(self.p, row)?;
                let row = open_day(self.p, &row.key(), &value)?;
                if found == day {
                    (row.0.iter().map(|(s, (level, _))| (*s, *level)).collect(), found * HOURS_PER_DAY)
                } else {
                    (row.levels_after(), (found + 1) * HOURS_PER_DAY)
                }
            }
        };
        self.segments(
            begin_of(since, HOUR_US)..at,
            |_, _| false,
            |_, series, sums| {
                *levels.entry(series).or_default() += sums.storage_bytes;
            },
        )?;
        Ok(levels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Invariant 5: runs hold all rows that are not cut, each once and in order, and no segment begins or ends within
        /// a run.
        #[test]
        fn no_segment_ends_within_a_run(
            days in proptest::collection::btree_set(0u32..40, 0..30),
            edges in proptest::collection::btree_set(0u64..400, 0..8),
        ) {
            const UNIT: u64 = 10;
            let row = |number| Numbered { number, key: vec![], seal: vec![], row: Found::Sealed(vec![]) };
            let rows: Vec<Numbered> = days.iter().map(|d| row(*d)).collect();
            let cut = |begin: u64, end: u64| edges.iter().any(|e| *e > begin && *e < end);
            let found = runs(&rows, UNIT, |begin, end| cut(begin.as_micros(), end.as_micros()));
            let numbers = |run: &[Numbered]| run.iter().map(|r| u64::from(r.number)).collect::<Vec<_>>();
            let all: Vec<u64> = found.iter().flat_map(|r| numbers(r)).collect();
            let whole: Vec<u64> =
                days.iter().map(|d| u64::from(*d)).filter(|d| !cut(d * UNIT, (d + 1) * UNIT)).collect();
            prop_assert_eq!(all, whole);
            for run in &found {
                let n = numbers(run);
                prop_assert!(!cut(n[0] * UNIT, (n[n.len() - 1] + 1) * UNIT));
            }
            let edges_apart = edges.iter().filter(|e| **e > 0).count();
            prop_assert!(found.len() <= edges_apart + 1, "no more runs than it takes");
        }
    }
}
