//! The writer's side: sums as they grow.

use super::rows::{DayRow, HourRow, number_in, open_day, open_quarters, open_slot};
use super::{HOURS_PER_DAY, SLOTS_PER_HOUR, hour_of, slot_of};
use crate::ledger::{Appended, Partition, ReadError, read_receipt};
use crate::store::{Row, RowKey, Store};
use crate::writer::live::Stage;
use crate::writer::rows::encode;
use conductor_shared::clock::Micros;
use conductor_shared::fact::Fact;
use conductor_shared::meter::{Adjustment, Labels, Metered, Sums, metered};
use conductor_shared::usage::Series;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Sums that may still grow.
#[derive(Default)]
struct OpenSlot {
    sums: Sums,
    /// Changed since the last batch.
    dirty: bool,
}

/// Receipts that no signed checkpoint covers, by slot and series.
type Unsigned = Vec<(u32, Series, u64)>;

/// A slot's number, a series, and its sums.
pub(super) type Slotted = (u32, Series, Sums);

/// All that is not packed into hours yet, as of a commit.
#[derive(Debug, Clone, Default)]
pub struct OpenHour {
    /// The hour: none before it is open.
    pub hour: u32,
    /// Its slots that are over.
    pub(super) over: Arc<Vec<Slotted>>,
    /// The slot that is not over, and later ones.
    pub(super) growing: Arc<Vec<Slotted>>,
    /// Corrections that were begun until then.
    pub corrections: u64,
}

/// The sums of a partition that may still grow, and what it takes to pack them.
#[derive(Default)]
pub struct Meters {
    numbers: FxHashMap<Labels, Series>,
    labels: Arc<Vec<Labels>>,
    /// So many of the labels stand in the store or in this batch.
    stored: usize,
    /// Slots that are not packed.
    slots: BTreeMap<(u32, Series), OpenSlot>,
    /// Packed slots of the open hour.
    quarters: HourRow,
    /// The same, for readers.
    over: Arc<Vec<Slotted>>,
    /// Corrections begun.
    corrections: u64,
    /// The hour that is open: of the newest receipt when the last batch was staged.
    hour: u32,
    /// Packed hours of the open day, together.
    today: BTreeMap<Series, Sums>,
    /// Bytes kept when the open day began.
    levels: BTreeMap<Series, i64>,
    /// Receipts that no signed checkpoint covers, oldest first.
    tail: VecDeque<(u64, u32, Series)>,
    unsigned: BTreeMap<(u32, Series), u64>,
    /// Nothing is counted.
    off: bool,
}

impl Meters {
    /// Reads them back. `signed..size`: receipts that no signed checkpoint covers.
    pub fn load(
        store: &Store,
        p: &Partition,
        last_us: Micros,
        (signed, size): (u64, u64),
    ) -> Result<Self, ReadError> {
        let labels = super::series(store, p)?;
        let mut m = Self {
            numbers: labels.iter().cloned().zip(0..).collect(),
            stored: labels.len(),
            labels: Arc::new(labels),
            hour: hour_of(last_us),
            ..Self::default()
        };
        for (key, row) in store.rows(&p.family, Row::SLOTS, 0..u32::MAX)? {
            let (slot, series, sums) = open_slot(p, &key, &row)?;
            m.slots.insert((slot, series), OpenSlot { sums, dirty: false });
        }
        let key = Row::Quarters(m.hour).key();
        if let Some(row) = store.get(&p.family, &key)? {
            m.quarters = open_quarters(p, &key, &row)?;
            m.over = Arc::new(m.quarters.slots(m.hour));
        }
        let day = m.hour / HOURS_PER_DAY;
        for (key, row) in store.rows(&p.family, Row::HOURS, day * HOURS_PER_DAY..u32::MAX)? {
            m.add_to_day(&open_day(p, &key, &row)?);
        }
        if let Some((key, row)) = store.last_before(&p.family, Row::DAYS, day)? {
            m.levels = open_day(p, &key, &row)?.levels_after();
        }
        for index in signed..size {
            let r = read_receipt(store, p, index)?;
            let Some(fact) = &r.fact else { continue };
            if let Some(labels) = labels_of(store, p, fact)? {
                let series = m.number(&labels);
                m.wait(index, slot_of(r.sealed.header.time_us), series);
            }
        }
        Ok(m)
    }

    /// Labels of the series, by number.
    pub fn labels(&self) -> &Arc<Vec<Labels>> {
        &self.labels
    }

    /// What is published of receipts that no signed checkpoint covers.
    pub fn unsigned(&self) -> Unsigned {
        self.unsigned.iter().map(|((slot, series), n)| (*slot, *series, *n)).collect()
    }

    /// What is published of the hour that is not packed.
    pub fn open_hour(&self) -> OpenHour {
        let growing = self.slots.iter().map(|((slot, series), g)| (*slot, *series, g.sums));
        OpenHour {
            hour: self.hour,
            over: Arc::clone(&self.over),
            growing: Arc::new(growing.collect()),
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

    /// Counts nothing from now on: for measuring what counting costs. No partition of an agent is ever turned off.
    pub fn turn_off(&mut self, off: bool) {
        self.off = off;
    }

    /// Adds the events of a receipt.
    pub fn add(&mut self, labels: &Labels, fact: &Fact, a: Appended) {
        if self.off {
            return;
        }
        let (slot, series) = (slot_of(a.time_us), self.number(labels));
        let growing = self.slots.entry((slot, series)).or_default();
        growing.sums.add_receipt(fact, a.stored, a.time_us);
        growing.dirty = true;
        self.wait(a.index, slot, series);
    }

    /// Adds compensating events. They count in the periods they correct: packed rows are written anew, and what was kept
    /// from then on.
    pub fn correct(
        &mut self,
        store: &Store,
        p: &Partition,
        st: &mut Stage,
        adjustments: &[Adjustment],
    ) -> Result<(), ReadError> {
        self.corrections += 1;
        let mut days = None;
        for a in adjustments {
            let (slot, series) = (slot_of(a.at_us), self.number(&a.labels));
            let hour = slot / SLOTS_PER_HOUR;
            if hour >= self.hour {
                let growing = self.slots.entry((slot, series)).or_default();
                growing.sums.add(a.amount(), a.at_us);
                growing.dirty = true;
                continue;
            }
            let key = Row::Quarters(hour).key();
            let mut row = match st.row(store, p, &key)? {
                Some(plain) => HourRow::decode(&plain).map_err(|e| p.damaged(&key, &e))?,
                None => HourRow::default(),
            };
            let quarter = u8::try_from(slot % SLOTS_PER_HOUR).unwrap_or(0);
            row.0.entry((quarter, series)).or_default().add(a.amount(), a.at_us);
            put(st, p, key, row.encode());
            put(st, p, Row::Hour(hour).key(), row.whole().encode());
            let mut sums = Sums::default();
            sums.add(a.amount(), a.at_us);
            let day = hour / HOURS_PER_DAY;
            if day == self.hour / HOURS_PER_DAY {
                self.today.entry(series).or_default().merge(&sums);
                continue;
            }
            let days = match &mut days {
                Some(d) => d,
                None => days.insert(all_days(store, p, st)?),
            };
            if !days.contains_key(&day) {
                // Nothing happened on that day: what was kept before it was kept through it.
                let before = days.range(..day).next_back().map(|(_, (row, _))| row.levels_after());
                let kept =
                    before.unwrap_or_default().into_iter().map(|(s, level)| (s, (level, Sums::default())));
                days.insert(day, (DayRow(kept.collect()), true));
            }
            if let Some((row, changed)) = days.get_mut(&day) {
                row.0.entry(series).or_default().1.merge(&sums);
                *changed = true;
            }
            if sums.storage_bytes != 0 {
                for (_, (row, changed)) in days.range_mut(day + 1..) {
                    row.0.entry(series).or_default().0 += sums.storage_bytes;
                    *changed = true;
                }
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

    /// Stages the rows that changed, and packs hours and days that are over.
    pub fn stage(&mut self, p: &Partition, st: &mut Stage, last_us: Micros, signed: u64) {
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
        let hour = hour_of(last_us);
        while self.hour < hour {
            // Hours in which nothing happened are passed over.
            let first = self.slots.keys().next().map_or(hour, |(slot, _)| slot / SLOTS_PER_HOUR).min(hour);
            let next = if self.quarters.0.is_empty() { first } else { self.hour };
            if next > self.hour {
                self.end_day_before(p, st, next);
                self.hour = next;
                continue;
            }
            self.end_slots_before(p, st, (self.hour + 1) * SLOTS_PER_HOUR);
            let row = std::mem::take(&mut self.quarters);
            self.over = Arc::default();
            let whole = row.whole();
            self.add_to_day(&whole);
            put(st, p, Row::Hour(self.hour).key(), whole.encode());
            put(st, p, Row::Quarters(self.hour).key(), row.encode());
        }
        if self.end_slots_before(p, st, slot_of(last_us)) {
            let plain = self.quarters.encode();
            self.over = Arc::new(self.quarters.slots(self.hour));
            put(st, p, Row::Quarters(self.hour).key(), plain);
        }
        for ((slot, series), growing) in &mut self.slots {
            if std::mem::take(&mut growing.dirty) {
                st.rows.put(p, &Row::Slot(*slot, *series).key(), &encode(&growing.sums));
            }
        }
    }

    /// Moves slots that are over to the packed ones of the open hour. True when there were any.
    fn end_slots_before(&mut self, p: &Partition, st: &mut Stage, slot: u32) -> bool {
        let later = self.slots.split_off(&(slot, 0));
        let over = std::mem::replace(&mut self.slots, later);
        let any = !over.is_empty();
        for ((slot, series), growing) in over {
            let quarter = u8::try_from(slot % SLOTS_PER_HOUR).unwrap_or(0);
            self.quarters.0.entry((quarter, series)).or_default().merge(&growing.sums);
            st.rows.delete(&p.family, &Row::Slot(slot, series).key());
        }
        any
    }

    fn add_to_day(&mut self, hour: &DayRow) {
        for (series, (_, sums)) in &hour.0 {
            self.today.entry(*series).or_default().merge(sums);
        }
    }

    /// Packs the open day if `hour` lies after it.
    fn end_day_before(&mut self, p: &Partition, st: &mut Stage, hour: u32) {
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

fn put(st: &mut Stage, p: &Partition, key: RowKey, plain: Vec<u8>) {
    st.rows.put(p, &key, &plain);
    st.remember(p, key, plain);
}

/// Days by number, and whether they were changed.
type Days = BTreeMap<u32, (DayRow, bool)>;

/// All packed days, as they stand in the batch or in the store.
fn all_days(store: &Store, p: &Partition, st: &Stage) -> Result<Days, ReadError> {
    let mut out = BTreeMap::new();
    for (key, row) in store.rows(&p.family, Row::DAYS, 0..u32::MAX)? {
        out.insert(number_in(p, &key)?, (open_day(p, &key, &row)?, false));
    }
    for ((tenant, key), plain) in &st.staged {
        if *tenant == p.id.tenant && key.first() == Some(&Row::DAYS) {
            let row = DayRow::decode(plain).map_err(|e| p.damaged(key, &e))?;
            out.insert(number_in(p, key)?, (row, false));
        }
    }
    Ok(out)
}

/// The labels that a receipt is metered under; where it names a run only, those of the run.
pub fn labels_of(store: &Store, p: &Partition, fact: &Fact) -> Result<Option<Labels>, ReadError> {
    match metered(fact) {
        None => Ok(None),
        Some(Metered::As(labels)) => Ok(Some(labels)),
        Some(Metered::AsRun(run)) => {
            for key in [Row::OpenRun(run.0).key(), Row::EndedRun(run.0).key()] {
                if let Some(row) = store.get(&p.family, &key)? {
                    let run: crate::writer::rows::RunRow =
                        crate::writer::rows::decode(&p.open(&key, &row)?).map_err(|e| p.damaged(&key, &e))?;
                    return Ok(Some(run.labels()));
                }
            }
            Ok(None)
        }
    }
}
