//! The readers' side: usage of segments, from packed days, packed hours and open slots.

use super::rows::{number_in, open_day, open_hour, open_slot};
use super::{HOURS_PER_DAY, SLOTS_PER_HOUR, hour_of};
use crate::ledger::{Partition, ReadError};
use crate::store::{Pair, Reading, Row, Store};
use crate::writer::rows::decode;
use conductor_shared::clock::Micros;
use conductor_shared::meter::{DAY_US, HOUR_US, Labels, SLOT_US, Sums};
use conductor_shared::range::Period;
use conductor_shared::usage::{Folder, Series, Usage};
use std::collections::BTreeMap;

/// Labels of the series of a partition, by number.
pub fn series(store: &Store, p: &Partition) -> Result<Vec<Labels>, ReadError> {
    let rows = store.rows(&p.family, Row::SERIES, 0..u32::MAX)?;
    rows.into_iter().map(|(k, v)| decode(&p.open(&k, &v)?).map_err(|e| p.damaged(&k, &e))).collect()
}

/// What a fold is told besides rows.
pub struct Folded<'a> {
    /// Segments without gaps, in order; their edges are slots.
    pub segments: &'a [Period],
    /// Receipts that no signed checkpoint covers.
    pub unsigned: &'a [(u32, Series, u64)],
    /// Nothing is kept later than this.
    pub now_us: Micros,
}

/// Folds the sums of segments, and tells the usage of each series in each of them, in order.
pub fn fold(
    reading: &Reading<'_>,
    p: &Partition,
    q: &Folded<'_>,
    each: impl FnMut(usize, Series, Usage),
) -> Result<(), ReadError> {
    let (Some(first), Some(last)) = (q.segments.first(), q.segments.last()) else { return Ok(()) };
    let (from, to) = (first.from_us, last.to_us);
    let rows = Rows { reading, p };
    let mut w = Walk { q, at: 0, unsigned: 0, folder: Folder::begin(rows.levels(from)?), each };
    let days = rows.days(number(from.div_ceil(DAY_US)), number(to / DAY_US))?;
    let mut at = from;
    for (day, key, row) in days {
        let begin = u64::from(day) * DAY_US;
        if w.cut(begin, begin + DAY_US) {
            continue;
        }
        rows.hours(at, begin, &mut w)?;
        w.until(begin);
        for (series, (_, sums)) in open_day(p, &key, &row)?.0 {
            w.folder.add(series, &sums);
        }
        at = begin + DAY_US;
    }
    rows.hours(at, to, &mut w)?;
    w.until(Micros::MAX);
    Ok(())
}

/// Sums of everything since the log began, by series.
pub fn all(reading: &Reading<'_>, p: &Partition) -> Result<BTreeMap<Series, Sums>, ReadError> {
    let rows = Rows { reading, p };
    let mut out: BTreeMap<Series, Sums> = BTreeMap::new();
    let mut since = 0;
    for (day, key, row) in rows.days(0, u32::MAX)? {
        for (series, (_, sums)) in open_day(p, &key, &row)?.0 {
            out.entry(series).or_default().merge(&sums);
        }
        since = u64::from(day + 1) * DAY_US;
    }
    rows.slots(since, u64::from(u32::MAX) * SLOT_US, |_, series, sums| {
        out.entry(series).or_default().merge(sums);
    })?;
    Ok(out)
}

fn number(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Goes through the segments in order of time.
struct Walk<'a, F> {
    q: &'a Folded<'a>,
    at: usize,
    unsigned: usize,
    folder: Folder,
    each: F,
}

impl<F: FnMut(usize, Series, Usage)> Walk<'_, F> {
    /// A segment begins or ends within.
    fn cut(&self, from: Micros, to: Micros) -> bool {
        let edge = self.q.segments.partition_point(|s| s.from_us <= from);
        self.q.segments.get(edge).is_some_and(|s| s.from_us < to)
            || self.q.segments.last().is_some_and(|s| s.to_us < to)
    }

    /// Ends the segments that are over at `us`.
    fn until(&mut self, us: Micros) {
        while let Some(s) = self.q.segments.get(self.at).filter(|s| s.to_us <= us) {
            while let Some((slot, series, n)) = self.q.unsigned.get(self.unsigned) {
                let at = u64::from(*slot) * SLOT_US;
                if at >= s.to_us {
                    break;
                }
                if at >= s.from_us {
                    self.folder.unsigned(*series, *n);
                }
                self.unsigned += 1;
            }
            let i = self.at;
            self.folder.end(*s, self.q.now_us, |series, usage| (self.each)(i, series, usage));
            self.at += 1;
        }
    }

    fn add(&mut self, at: Micros, series: Series, sums: &Sums) {
        self.until(at);
        self.folder.add(series, sums);
    }
}

/// Number of a day, and its row.
type Numbered = (u32, Vec<u8>, Vec<u8>);

/// Rows of a partition.
struct Rows<'a> {
    reading: &'a Reading<'a>,
    p: &'a Partition,
}

impl Rows<'_> {
    fn days(&self, from: u32, to: u32) -> Result<Vec<Numbered>, ReadError> {
        if from >= to {
            return Ok(vec![]);
        }
        let rows: Vec<Pair> = self.reading.rows(&self.p.family, Row::DAYS, from..to)?;
        rows.into_iter().map(|(k, v)| Ok((number_in(self.p, &k)?, k, v))).collect()
    }

    /// The slots of a period, in order, from packed hours and open slots.
    fn slots(
        &self,
        from: Micros,
        to: Micros,
        mut each: impl FnMut(Micros, Series, &Sums),
    ) -> Result<(), ReadError> {
        if from >= to {
            return Ok(());
        }
        let hours = hour_of(from)..number(to.div_ceil(HOUR_US));
        for (key, row) in self.reading.rows(&self.p.family, Row::HOURS, hours)? {
            let hour = number_in(self.p, &key)?;
            for ((quarter, series), sums) in &open_hour(self.p, &key, &row)?.0 {
                let at = u64::from(hour * SLOTS_PER_HOUR + u32::from(*quarter)) * SLOT_US;
                if at >= from && at < to {
                    each(at, *series, sums);
                }
            }
        }
        // The open hour comes after all that are packed.
        for (key, row) in
            self.reading.rows(&self.p.family, Row::SLOTS, number(from / SLOT_US)..number(to / SLOT_US))?
        {
            let (slot, series, sums) = open_slot(self.p, &key, &row)?;
            each(u64::from(slot) * SLOT_US, series, &sums);
        }
        Ok(())
    }

    fn hours<F: FnMut(usize, Series, Usage)>(
        &self,
        from: Micros,
        to: Micros,
        w: &mut Walk<'_, F>,
    ) -> Result<(), ReadError> {
        self.slots(from, to, |at, series, sums| w.add(at, series, sums))
    }

    /// What every series kept at a moment.
    fn levels(&self, at: Micros) -> Result<BTreeMap<Series, i64>, ReadError> {
        let day = number(at / DAY_US);
        let (mut levels, since) =
            match self.reading.last_before(&self.p.family, Row::DAYS, day.saturating_add(1))? {
                None => (BTreeMap::new(), 0),
                Some((key, row)) => {
                    let found = number_in(self.p, &key)?;
                    let row = open_day(self.p, &key, &row)?;
                    if found == day {
                        (row.0.iter().map(|(s, (level, _))| (*s, *level)).collect(), found * HOURS_PER_DAY)
                    } else {
                        (row.levels_after(), (found + 1) * HOURS_PER_DAY)
                    }
                }
            };
        self.slots(u64::from(since) * HOUR_US, at, |_, series, sums| {
            *levels.entry(series).or_default() += sums.storage_bytes;
        })?;
        Ok(levels)
    }
}
