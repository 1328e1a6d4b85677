//! The writer's side: sums that still change, and packing them into hours and days.

use super::labels::{labels_of, series};
use super::rows::{DayRow, HourSlots, Slotted, open_day, open_hour_slots, open_slot};
use super::{HOURS_PER_DAY, SLOTS_PER_HOUR, hour_of, slot_of};
use crate::ledger::{Appended, Partition, ReadError, read_receipt};
use crate::rows::encode;
use crate::staging::BatchBuilder;
use crate::store::{Row, RowKey, RowKind, Store};
use conductor_shared::clock::WallTime;
use conductor_shared::fact::Fact;
use conductor_shared::meter::{Adjustment, Labels, Sums};
use conductor_shared::usage::Series;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// One series of a slot that is not packed.
#[derive(Default)]
struct OpenSlot {
    sums: Sums,
    /// Changed since the last batch.
    dirty: bool,
}

/// Counts of receipts that no signed checkpoint covers, by slot and series.
type Unsigned = Vec<(u32, Series, u64)>;

/// The current hour as of a commit: all sums that are not packed.
#[derive(Debug, Clone, Default)]
pub struct OpenHour {
    /// Its number. All earlier hours are packed.
    pub hour: u32,
    /// Its finished slots.
    pub(super) finished: Arc<Vec<Slotted>>,
    /// The current slot, and later ones.
    pub(super) current: Arc<Vec<Slotted>>,
    /// Corrections begun until then.
    pub corrections: u64,
}

/// The sums of a partition that are not packed, and what packing needs.
#[derive(Default)]
pub struct Meters {
    numbers: FxHashMap<Labels, Series>,
    labels: Arc<Vec<Labels>>,
    /// Number of labels that are in the store or in this batch.
    stored: usize,
    slots: BTreeMap<(u32, Series), OpenSlot>,
    /// Finished slots of the current hour.
    hour_slots: HourSlots,
    /// The same, for readers.
    finished: Arc<Vec<Slotted>>,
    corrections: u64,
    /// The current hour: that of the newest receipt when the last batch was staged.
    hour: u32,
    /// Total of the packed hours of the current day.
    today: BTreeMap<Series, Sums>,
    /// Stored bytes when the current day began.
    levels: BTreeMap<Series, i128>,
    /// Receipts that no signed checkpoint covers, oldest first: index, slot, series.
    tail: VecDeque<(u64, u32, Series)>,
    unsigned: BTreeMap<(u32, Series), u64>,
    /// Counts nothing. For benchmarks.
    off: bool,
}

impl Meters {
    /// Reads them from the store. No signed checkpoint covers the receipts `signed..size`.
    pub fn load(
        store: &Store,
        p: &Partition,
        last: WallTime,
        (signed, size): (u64, u64),
    ) -> Result<Self, ReadError> {
        let labels = series(store, p)?;
        let mut m = Self {
            numbers: labels.iter().cloned().zip(0..).collect(),
            stored: labels.len(),
            labels: Arc::new(labels),
            hour: hour_of(last),
            ..Self::default()
        };
        for (row, value) in store.rows(&p.family, &Row::scan_of(RowKind::Slot))? {
            let (slot, series, sums) = open_slot(p, row, &value)?;
            m.slots.insert((slot, series), OpenSlot { sums, dirty: false });
        }
        let key = Row::Quarters(m.hour).key();
        if let Some(row) = store.get(&p.family, &key)? {
            m.hour_slots = open_hour_slots(p, &key, &row)?;
            m.finished = Arc::new(m.hour_slots.slots(m.hour));
        }
        let day = m.hour / HOURS_PER_DAY;
        for (row, value) in store.rows(&p.family, &Row::Hour(day * HOURS_PER_DAY).scan_from())? {
            m.add_to_day(&open_day(p, &row.key(), &value)?);
        }
        if let Some((row, value)) = store.last(&p.family, &Row::scan_numbers(RowKind::Day, 0..day))? {
            m.levels = open_day(p, &row.key(), &value)?.levels_after();
        }
        for index in signed..size {
            let r = read_receipt(store, p, index)?;
            let Some(fact) = &r.fact else { continue };
            if let Some(labels) = labels_of(store, p, fact)? {
                let series = m.number(&labels);
                m.wait(index, slot_of(WallTime::from_micros(r.sealed.header.time_us)), series);
            }
        }
        Ok(m)
    }

    pub fn labels(&self) -> &Arc<Vec<Labels>> {
        &self.labels
    }

    /// Rows that ending a step can touch: each slot is written, or removed when it is finished, and what is packed.
    pub fn rows_at_end(&self) -> usize {
        self.slots.len() + 4
    }

    /// Rows that a correction can touch: two for each hour, and every day since the oldest.
    pub fn rows_to_correct(&self, adjustments: &[Adjustment]) -> usize {
        let oldest = adjustments
            .iter()
            .map(|a| slot_of(WallTime::from_micros(a.at_us)) / SLOTS_PER_HOUR)
            .min()
            .unwrap_or(self.hour);
        let days = self.hour.saturating_sub(oldest) / HOURS_PER_DAY + 2;
        2 * adjustments.len() + days as usize
    }

    pub fn unsigned(&self) -> Unsigned {
        self.unsigned.iter().map(|((slot, series), n)| (*slot, *series, *n)).collect()
    }

    pub fn open_hour(&self) -> OpenHour {
        let current = self.slots.iter().map(|((slot, series), open)| (*slot, *series, open.sums));
        OpenHour {
            hour: self.hour,
            finished: Arc::clone(&self.finished),
            current: Arc::new(current.collect()),
            corrections: self.corrections,
        }
    }

    /// Corrections begun since the partition was opened.
    pub fn corrections(&self) -> u64 {
        self.corrections
    }

    fn number(&mut self, labels: &Labels) -> Series {
        if let Some(n) = self.numbers.get(labels) {
            return *n;
        }
        let n = u32::try_from(self.labels.len()).unwrap_or(u32::MAX);
        Arc::make_mut(&mut self.labels).push(labels.clone());
        self.numbers.insert(labels.clone(), n);
        n
    }

    fn wait(&mut self, index: u64, slot: u32, series: Series) {
        self.tail.push_back((index, slot, series));
        *self.unsigned.entry((slot, series)).or_default() += 1;
    }

    /// Turns counting off, to measure its cost. The agent never does.
    pub fn turn_off(&mut self, off: bool) {
        self.off = off;
    }

    /// Adds the events of a receipt.
    pub fn add(&mut self, labels: &Labels, fact: &Fact, a: Appended) {
        if self.off {
            return;
        }
        let (slot, series) = (slot_of(a.time), self.number(labels));
        let open = self.slots.entry((slot, series)).or_default();
        open.sums.add_receipt(fact, a.stored, a.time);
        open.dirty = true;
        self.wait(a.index, slot, series);
    }

    /// Adds compensating events to the periods they correct: writes packed rows again, and the stored bytes of all later
    /// days.
    pub fn correct(
        &mut self,
        store: &Store,
        p: &Partition,
        st: &mut BatchBuilder,
        adjustments: &[Adjustment],
    ) -> Result<(), ReadError> {
        self.corrections += 1;
        let mut days: Option<Days> = None;
        for a in adjustments {
            let at = WallTime::from_micros(a.at_us);
            let (slot, series) = (slot_of(at), self.number(&a.labels));
            let hour = slot / SLOTS_PER_HOUR;
            if hour >= self.hour {
                let open = self.slots.entry((slot, series)).or_default();
                open.sums.add(a.amount(), at);
                open.dirty = true;
                continue;
            }
            let mut sums = Sums::default();
            sums.add(a.amount(), at);
            correct_hour(store, p, st, (slot, series), a)?;
            let day = hour / HOURS_PER_DAY;
            if day == self.hour / HOURS_PER_DAY {
                self.today.entry(series).or_default().merge(&sums);
                continue;
            }
            let days = match &mut days {
                Some(d) => d,
                None => days.insert(all_days(store, p, st)?),
            };
            correct_days(days, day, series, &sums);
            if sums.storage_bytes != 0 {
                *self.levels.entry(series).or_default() += sums.storage_bytes;
            }
        }
        for (day, (row, changed)) in days.unwrap_or_default() {
            if changed {
                put(st, p, Row::Day(day).key(), row.encode());
            }
        }
        Ok(())
    }

    /// Stages the rows that changed, and packs finished hours and days.
    pub fn stage(&mut self, p: &Partition, st: &mut BatchBuilder, last: WallTime, signed: u64) {
        while self.tail.front().is_some_and(|(index, ..)| *index < signed) {
            let Some((_, slot, series)) = self.tail.pop_front() else { break };
            if let Some(n) = self.unsigned.get_mut(&(slot, series)) {
                *n -= 1;
                if *n == 0 {
                    self.unsigned.remove(&(slot, series));
                }
            }
        }
        for (n, labels) in (0..).zip(self.labels.iter()).skip(self.stored) {
            st.rows.put(p, &Row::Series(n).key(), &encode(labels));
        }
        self.stored = self.labels.len();
        let hour = hour_of(last);
        while self.hour < hour {
            // Skips hours without events.
            let first = self.slots.keys().next().map_or(hour, |(slot, _)| slot / SLOTS_PER_HOUR).min(hour);
            let next = if self.hour_slots.0.is_empty() { first } else { self.hour };
            if next > self.hour {
                self.pack_day_before(p, st, next);
                self.hour = next;
                continue;
            }
            self.finish_slots_before(p, st, (self.hour + 1) * SLOTS_PER_HOUR);
            let row = std::mem::take(&mut self.hour_slots);
            self.finished = Arc::default();
            let whole = row.total();
            self.add_to_day(&whole);
            put(st, p, Row::Hour(self.hour).key(), whole.encode());
            put(st, p, Row::Quarters(self.hour).key(), row.encode());
        }
        if self.finish_slots_before(p, st, slot_of(last)) {
            let plain = self.hour_slots.encode();
            self.finished = Arc::new(self.hour_slots.slots(self.hour));
            put(st, p, Row::Quarters(self.hour).key(), plain);
        }
        for ((slot, series), open) in &mut self.slots {
            if std::mem::take(&mut open.dirty) {
                st.rows.put(p, &Row::Slot(*slot, *series).key(), &encode(&open.sums));
            }
        }
    }

    /// Moves slots before `slot` to the finished slots of the current hour. True if there were any.
    fn finish_slots_before(&mut self, p: &Partition, st: &mut BatchBuilder, slot: u32) -> bool {
        let later = self.slots.split_off(&(slot, 0));
        let finished = std::mem::replace(&mut self.slots, later);
        let any = !finished.is_empty();
        for ((slot, series), open) in finished {
            let quarter = u8::try_from(slot % SLOTS_PER_HOUR).unwrap_or(0);
            self.hour_slots.0.entry((quarter, series)).or_default().merge(&open.sums);
            st.rows.delete(&p.family, &Row::Slot(slot, series).key());
        }
        any
    }

    fn add_to_day(&mut self, hour: &DayRow) {
        for (series, (_, sums)) in &hour.0 {
            self.today.entry(*series).or_default().merge(sums);
        }
    }

    /// Packs the current day if `hour` is after it.
    fn pack_day_before(&mut self, p: &Partition, st: &mut BatchBuilder, hour: u32) {
        let day = self.hour / HOURS_PER_DAY;
        if hour / HOURS_PER_DAY <= day || self.today.is_empty() {
            return;
        }
        let mut row = DayRow::default();
        for (series, level) in &self.levels {
            row.0.entry(*series).or_default().0 = *level;
        }
        for (series, sums) in std::mem::take(&mut self.today) {
            row.0.entry(series).or_default().1 = sums;
        }
        self.levels = row.levels_after();
        put(st, p, Row::Day(day).key(), row.encode());
    }
}

fn put(st: &mut BatchBuilder, p: &Partition, key: RowKey, plain: Vec<u8>) {
    st.rows.put(p, &key, &plain);
    st.remember(p, key, plain);
}

/// Adds to a packed hour: writes its two rows again.
fn correct_hour(
    store: &Store,
    p: &Partition,
    st: &mut BatchBuilder,
    (slot, series): (u32, Series),
    a: &Adjustment,
) -> Result<(), ReadError> {
    let hour = slot / SLOTS_PER_HOUR;
    let key = Row::Quarters(hour).key();
    let mut row = match st.row(store, p, &key)? {
        Some(plain) => HourSlots::decode(&plain).map_err(|e| p.damaged(&key, &e))?,
        None => HourSlots::default(),
    };
    let quarter = u8::try_from(slot % SLOTS_PER_HOUR).unwrap_or(0);
    row.0.entry((quarter, series)).or_default().add(a.amount(), WallTime::from_micros(a.at_us));
    put(st, p, key, row.encode());
    put(st, p, Row::Hour(hour).key(), row.total().encode());
    Ok(())
}

/// Adds to a packed day, and to the stored bytes at the start of all later days.
fn correct_days(days: &mut Days, day: u32, series: Series, sums: &Sums) {
    if !days.contains_key(&day) {
        // A day without events: it begins with what was stored when the day before ended.
        let before = days.range(..day).next_back().map(|(_, (row, _))| row.levels_after());
        let kept = before.unwrap_or_default().into_iter().map(|(s, level)| (s, (level, Sums::default())));
        days.insert(day, (DayRow(kept.collect()), true));
    }
    if let Some((row, changed)) = days.get_mut(&day) {
        row.0.entry(series).or_default().1.merge(sums);
        *changed = true;
    }
    if sums.storage_bytes != 0 {
        for (_, (row, changed)) in days.range_mut(day + 1..) {
            row.0.entry(series).or_default().0 += sums.storage_bytes;
            *changed = true;
        }
    }
}

/// Days by number, and whether they changed.
type Days = BTreeMap<u32, (DayRow, bool)>;

/// All packed days, as this batch and those before it leave them.
fn all_days(store: &Store, p: &Partition, st: &BatchBuilder) -> Result<Days, ReadError> {
    let mut out = BTreeMap::new();
    for (key, plain) in st.rows(store, p, &Row::scan_of(RowKind::Day))? {
        let Some(Row::Day(day)) = Row::parse(&key) else { continue };
        let row = DayRow::decode(&plain).map_err(|e| p.damaged(&key, &e))?;
        out.insert(day, (row, false));
    }
    Ok(out)
}
