//! Encoding of the rows of sums.

use super::SLOTS_PER_HOUR;
use crate::ledger::{Partition, ReadError};
use crate::rows::{decode, encode};
use crate::store::Row;
use conductor_shared::meter::Sums;
use conductor_shared::usage::Series;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Number of a slot since the epoch, series, and sums.
pub(super) type Slotted = (u32, Series, Sums);

/// The slots of an hour: sums by slot of the hour (0 to 3) and series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HourSlots(pub BTreeMap<(u8, Series), Sums>);

/// A packed day or hour: of each series, the bytes stored when it began, and its sums. An hour has 0 there: only days
/// record stored bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DayRow(pub BTreeMap<Series, (i128, Sums)>);

#[derive(Serialize, Deserialize)]
struct HourEntry {
    quarter: u8,
    series: Series,
    sums: Sums,
}

#[derive(Serialize, Deserialize)]
struct DayEntry {
    series: Series,
    level: i128,
    sums: Sums,
}

impl HourSlots {
    pub fn encode(&self) -> Vec<u8> {
        let entry = |((quarter, series), sums): (&(u8, Series), &Sums)| HourEntry {
            quarter: *quarter,
            series: *series,
            sums: *sums,
        };
        encode(&self.0.iter().map(entry).collect::<Vec<_>>())
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let list: Vec<HourEntry> = decode(bytes)?;
        if list.iter().any(|e| u32::from(e.quarter) >= SLOTS_PER_HOUR) {
            return Err("an hour has four slots".into());
        }
        Ok(Self(list.into_iter().map(|e| ((e.quarter, e.series), e.sums)).collect()))
    }

    /// Its entries, with slot numbers since the epoch.
    pub(super) fn slots(&self, hour: u32) -> Vec<Slotted> {
        let slot = |quarter: u8| hour.saturating_mul(SLOTS_PER_HOUR).saturating_add(quarter.into());
        self.0.iter().map(|((quarter, series), sums)| (slot(*quarter), *series, *sums)).collect()
    }

    /// Sums of each series over the hour.
    pub fn total(&self) -> DayRow {
        let mut out = DayRow::default();
        for ((_, series), sums) in &self.0 {
            out.0.entry(*series).or_default().1.merge(sums);
        }
        out
    }
}

impl DayRow {
    pub fn encode(&self) -> Vec<u8> {
        let entry = |(series, (level, sums)): (&Series, &(i128, Sums))| DayEntry {
            series: *series,
            level: *level,
            sums: *sums,
        };
        encode(&self.0.iter().map(entry).collect::<Vec<_>>())
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let list: Vec<DayEntry> = decode(bytes)?;
        Ok(Self(list.into_iter().map(|e| (e.series, (e.level, e.sums))).collect()))
    }

    /// Stored bytes of each series when the day ended.
    pub fn levels_after(&self) -> BTreeMap<Series, i128> {
        let after = self.0.iter().map(|(s, (level, sums))| (*s, level + sums.storage_bytes));
        after.filter(|(_, bytes)| *bytes != 0).collect()
    }
}

pub(super) fn open_slot(p: &Partition, row: Row, value: &[u8]) -> Result<(u32, Series, Sums), ReadError> {
    let key = row.key();
    let Row::Slot(slot, series) = row else { return Err(p.damaged(&key, "not a slot")) };
    let sums = decode(&p.open(&key, value)?).map_err(|e| p.damaged(&key, &e))?;
    Ok((slot, series, sums))
}

/// The hour or day of a row.
pub(super) fn number_of(p: &Partition, row: Row) -> Result<u32, ReadError> {
    match row {
        Row::Hour(n) | Row::Quarters(n) | Row::Day(n) => Ok(n),
        _ => Err(p.damaged(&row.key(), "not an hour or day")),
    }
}

pub(super) fn open_hour_slots(p: &Partition, key: &[u8], row: &[u8]) -> Result<HourSlots, ReadError> {
    HourSlots::decode(&p.open(key, row)?).map_err(|e| p.damaged(key, &e))
}

/// The entries of a day or hour, by series number.
pub(super) fn open_list(
    p: &Partition,
    key: &[u8],
    row: &[u8],
) -> Result<Vec<(Series, i128, Sums)>, ReadError> {
    let list: Vec<DayEntry> = decode(&p.open(key, row)?).map_err(|e| p.damaged(key, &e))?;
    Ok(list.into_iter().map(|e| (e.series, e.level, e.sums)).collect())
}

pub(super) fn open_day(p: &Partition, key: &[u8], row: &[u8]) -> Result<DayRow, ReadError> {
    DayRow::decode(&p.open(key, row)?).map_err(|e| p.damaged(key, &e))
}
