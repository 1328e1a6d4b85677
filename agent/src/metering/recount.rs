//! The recount: sums of events computed from all receipts and compared with the rows. Invariant 5.

use super::labels::{labels_of, series};
use super::rows::{number_of, open_day, open_hour_slots, open_slot};
use super::{HOURS_PER_DAY, SLOTS_PER_HOUR, slot_of};
use crate::ledger::{Partition, ReadError, read_receipt};
use crate::store::{Row, RowKind, Store};
use conductor_shared::clock::WallTime;
use conductor_shared::command::{Operation, ops};
use conductor_shared::fact::{ControlFact, Fact};
use conductor_shared::http::RecountDifference;
use conductor_shared::ids::{Ident, RunId};
use conductor_shared::meter::{Adjustment, Event, Labels, Metered, Source, Sums, amounts, metered};
use conductor_shared::usage::Series;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// The events of receipts, in any order. For a receipt that names only a run, or puts a proposal into effect, the run or
/// proposal is read too.
pub(crate) struct EventsOf<'a> {
    pub store: &'a Store,
    pub p: &'a Partition,
    pub tenant_id: &'a Ident,
}

impl EventsOf<'_> {
    /// The events of one receipt, in ordinal order.
    pub(crate) fn receipt(&self, r: &crate::ledger::Receipt) -> Result<Vec<Event>, ReadError> {
        let Some(fact) = &r.fact else { return Ok(vec![]) };
        let (index, recorded) = (r.sealed.header.index, WallTime::from_micros(r.sealed.header.time_us));
        let source = |ordinal: u32| Source {
            origin: self.p.origin,
            tenant_id: self.tenant_id.clone(),
            index,
            ordinal,
            recorded,
        };
        if let Fact::Control(ControlFact::Effective(f)) = fact {
            let proposed = read_receipt(self.store, self.p, f.proposal)?;
            let Some(Fact::Control(ControlFact::Proposed(f))) = proposed.fact else { return Ok(vec![]) };
            let Some(Operation::UsageCorrect(ops::UsageCorrect { adjustments })) =
                Operation::from_list(&f.change.0)
            else {
                return Ok(vec![]);
            };
            let event = |(n, a): (u32, Adjustment)| {
                Event::new(source(n), a.labels.clone(), a.amount(), WallTime::from_micros(a.at_us))
            };
            return Ok((0..).zip(adjustments).map(event).collect());
        }
        let Some(labels) = labels_of(self.store, self.p, fact)? else { return Ok(vec![]) };
        let event = |(n, a)| Event::new(source(n), labels.clone(), a, recorded);
        Ok((0..).zip(amounts(fact, r.stored)).map(event).collect())
    }
}

type Slots = BTreeMap<(u32, Labels), Sums>;

#[derive(Debug, Clone, Default)]
pub struct Recounted {
    slots: Slots,
    pub receipts: u64,
    /// Receipts whose values were erased. Their sums cannot be recounted.
    pub erased: u64,
    /// Metered receipts that no signed checkpoint covers.
    pub unsigned: u64,
    /// Empty if rows and receipts agree.
    pub differences: Vec<RecountDifference>,
    runs: HashMap<RunId, Labels>,
    proposed: HashMap<u64, Vec<String>>,
}

impl Recounted {
    fn add(&mut self, index: u64, signed: u64, r: &crate::ledger::Receipt) {
        self.receipts += 1;
        let Some(fact) = &r.fact else {
            self.erased += u64::from(r.body.is_none());
            return;
        };
        let time = WallTime::from_micros(r.sealed.header.time_us);
        match fact {
            Fact::Control(ControlFact::Proposed(f)) => {
                self.proposed.insert(index, f.change.0.clone());
            }
            Fact::Control(ControlFact::Effective(f)) => {
                let change = self.proposed.remove(&f.proposal).unwrap_or_default();
                if let Some(Operation::UsageCorrect(ops::UsageCorrect { adjustments })) =
                    Operation::from_list(&change)
                {
                    for a in adjustments {
                        let at = (slot_of(WallTime::from_micros(a.at_us)), a.labels.clone());
                        self.slots.entry(at).or_default().add(a.amount(), WallTime::from_micros(a.at_us));
                    }
                }
            }
            _ => {}
        }
        let labels = match metered(fact) {
            None => return,
            Some(Metered::As(labels)) => labels,
            Some(Metered::AsRun(run)) => match self.runs.get(&run) {
                Some(labels) => labels.clone(),
                None => return,
            },
        };
        if let Fact::Traffic(conductor_shared::fact::TrafficFact::RunDecided(f)) = fact {
            self.runs.insert(f.run, labels.clone());
        }
        self.unsigned += u64::from(index >= signed);
        self.slots.entry((slot_of(time), labels)).or_default().add_receipt(fact, r.stored, time);
    }

    fn differ(
        &mut self,
        what: &str,
        number: u32,
        labels: Option<&Labels>,
        rows: Option<&Sums>,
        receipts: Option<&Sums>,
    ) {
        let none = Sums::default();
        let (rows, receipts) = (rows.unwrap_or(&none), receipts.unwrap_or(&none));
        if rows != receipts {
            let text = |s: &Sums| serde_json::to_string(s).unwrap_or_default();
            self.differences.push(RecountDifference {
                what: what.to_owned(),
                number,
                labels: labels.cloned(),
                rollups: text(rows),
                receipts: text(receipts),
            });
        }
    }
}

/// A recount in slices. Rows and the size of the log are read first from one snapshot; later receipts are ignored. Between
/// slices it holds nothing of the store, so that a store that must be closed waits for one slice at most.
pub struct Recount {
    rows: Stored,
    /// The receipts to read.
    left: Range<u64>,
    signed: u64,
    out: Recounted,
}

impl Recount {
    /// `signed` must not be older than what the store holds now.
    pub fn begin(store: &Store, p: &Partition, signed: u64) -> Result<Self, ReadError> {
        let reading = store.reading();
        let rows = read_rows(&reading, p, &series(store, p)?)?;
        let size = match reading.last(&p.family, &Row::scan_of(RowKind::Receipt))? {
            Some((Row::Receipt(index), _)) => index + 1,
            _ => 0,
        };
        Ok(Self { rows, left: 0..size, signed, out: Recounted::default() })
    }

    /// Reads so many receipts more. False once all are read.
    pub fn slice(&mut self, store: &Store, p: &Partition, most: usize) -> Result<bool, ReadError> {
        for index in self.left.by_ref().take(most) {
            let receipt = read_receipt(store, p, index)?;
            self.out.add(index, self.signed, &receipt);
        }
        Ok(!self.left.is_empty())
    }

    /// Compares the sums with the rows.
    pub fn end(mut self) -> Recounted {
        compare(&mut self.out, &self.rows);
        self.out
    }
}

/// Computes the sums again from every receipt and compares them with the rows, all at once.
pub fn recount(store: &Store, p: &Partition, signed: u64) -> Result<Recounted, ReadError> {
    let mut recount = Recount::begin(store, p, signed)?;
    while recount.slice(store, p, usize::MAX)? {}
    Ok(recount.end())
}

/// Sums as the rows have them.
struct Stored {
    slots: Slots,
    /// Day rows: bytes stored when the day began, and sums.
    days: BTreeMap<u32, BTreeMap<Labels, (i128, Sums)>>,
    /// Hour rows that differ from their own slots.
    hours: Vec<RecountDifference>,
}

fn read_rows(
    reading: &crate::store::Reading<'_>,
    p: &Partition,
    labels: &[Labels],
) -> Result<Stored, ReadError> {
    let name = |row: Row, s: Series| {
        labels.get(s as usize).cloned().ok_or_else(|| p.damaged(&row.key(), "a series without labels"))
    };
    let mut slots = Slots::new();
    let mut hours = Vec::new();
    let newest = reading.last(&p.family, &Row::scan_of(RowKind::Quarters))?.map(|(row, _)| row);
    for (row, value) in reading.rows(&p.family, &Row::scan_of(RowKind::Quarters))? {
        let hour = number_of(p, row)?;
        let hour_slots = open_hour_slots(p, &row.key(), &value)?;
        let kept = reading.get(&p.family, &Row::Hour(hour).key())?;
        // The current hour, the newest, has no hour row yet.
        let open = kept.is_none() && newest == Some(row);
        let kept = kept.map(|row| open_day(p, &Row::Hour(hour).key(), &row)).transpose()?.unwrap_or_default();
        if kept != hour_slots.total() && !open {
            hours.push(RecountDifference {
                what: "hour, against its slots".into(),
                number: hour,
                labels: None,
                rollups: format!("{:?}", kept.0),
                receipts: format!("{:?}", hour_slots.total().0),
            });
        }
        for ((quarter, series), sums) in hour_slots.0 {
            slots.insert((hour * SLOTS_PER_HOUR + u32::from(quarter), name(row, series)?), sums);
        }
    }
    for (row, value) in reading.rows(&p.family, &Row::scan_of(RowKind::Slot))? {
        let (slot, series, sums) = open_slot(p, row, &value)?;
        slots.entry((slot, name(row, series)?)).or_default().merge(&sums);
    }
    let mut days = BTreeMap::new();
    for (row, value) in reading.rows(&p.family, &Row::scan_of(RowKind::Day))? {
        let day = open_day(p, &row.key(), &value)?;
        let named: Result<BTreeMap<_, _>, ReadError> =
            day.0.into_iter().map(|(s, v)| Ok((name(row, s)?, v))).collect();
        days.insert(number_of(p, row)?, named?);
    }
    Ok(Stored { slots, days, hours })
}

fn compare(out: &mut Recounted, kept: &Stored) {
    out.differences.extend(kept.hours.iter().cloned());
    let found = out.slots.clone();
    let keys: std::collections::BTreeSet<_> = kept.slots.keys().chain(found.keys()).collect();
    for key in keys {
        out.differ("slot", key.0, Some(&key.1), kept.slots.get(key), found.get(key));
    }
    // Days too are recounted from the receipts: their sums, and the bytes stored when they began.
    let mut by_day: BTreeMap<u32, BTreeMap<Labels, Sums>> = BTreeMap::new();
    for ((slot, labels), sums) in &found {
        let day = slot / SLOTS_PER_HOUR / HOURS_PER_DAY;
        by_day.entry(day).or_default().entry(labels.clone()).or_default().merge(sums);
    }
    let mut levels: BTreeMap<Labels, i128> = BTreeMap::new();
    let newest = by_day.keys().next_back().copied();
    let days: std::collections::BTreeSet<u32> = by_day.keys().chain(kept.days.keys()).copied().collect();
    for day in days {
        let sums = by_day.remove(&day).unwrap_or_default();
        if let Some(row) = kept.days.get(&day) {
            let all: std::collections::BTreeSet<_> = row.keys().chain(sums.keys()).collect();
            for labels in all {
                let (level, kept) = row.get(labels).map_or((0, None), |(l, s)| (*l, Some(s)));
                out.differ("day", day, Some(labels), kept, sums.get(labels));
                let then = levels.get(labels).copied().unwrap_or(0);
                if level != then {
                    out.differences.push(RecountDifference {
                        what: "bytes kept when the day began".into(),
                        number: day,
                        labels: Some(labels.clone()),
                        rollups: level.to_string(),
                        receipts: then.to_string(),
                    });
                }
            }
        } else if Some(day) != newest {
            // Only the newest day may lack a row.
            for (labels, sums) in &sums {
                out.differ("day", day, Some(labels), None, Some(sums));
            }
        }
        for (labels, sums) in sums {
            *levels.entry(labels).or_default() += sums.storage_bytes;
        }
    }
}
