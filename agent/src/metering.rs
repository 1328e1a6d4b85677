//! Metering: sums of events, written in the batch of their receipts. A series is one combination of labels; a partition
//! numbers its series ([`conductor_shared::usage::Series`]). Sums are in rows of three sizes:
//!
//! - slot rows: one per series for the current 15 minutes, and one row for the finished slots of the current hour;
//! - hour rows: two per hour, one with its total and one with its slots, written when the next hour starts;
//! - day rows (UTC): one per day, with the bytes stored when the day began, written when the next day starts.
//!
//! Receipt times never go back, so only a correction changes the rows of an hour or day that is over.
//!
//! `rows` encodes them. `rollups` is the writer's side and publishes the current hour with the view. `query` reads usage
//! back, with a cache. `recount` computes the sums again from the receipts.

mod labels;
mod query;
mod recount;
mod rollups;
mod rows;

pub use labels::{labels_of, series};
pub use query::{Cache, FoldQuery, all, fold};
pub(crate) use recount::EventsOf;
pub use recount::{Recount, Recounted, recount};
pub use rollups::{Meters, OpenHour};
pub use rows::{DayRow, HourSlots};

use conductor_shared::clock::WallTime;
use conductor_shared::meter::{DAY_US, HOUR_US, SLOT_US};

pub const SLOTS_PER_HOUR: u32 = 4;
pub const HOURS_PER_DAY: u32 = 24;

fn number(at: WallTime, unit: u64) -> u32 {
    u32::try_from(at.as_micros() / unit).unwrap_or(u32::MAX)
}

/// Where a slot, hour or day begins: `unit` is how long each is, in microseconds.
fn begin_of(number: u32, unit: u64) -> WallTime {
    WallTime::from_micros(u64::from(number) * unit)
}

/// Number of the 15-minute slot, since the epoch.
pub fn slot_of(at: WallTime) -> u32 {
    number(at, SLOT_US)
}

/// Number of the hour, since the epoch.
pub fn hour_of(at: WallTime) -> u32 {
    number(at, HOUR_US)
}

/// Number of the day (UTC), since the epoch.
pub fn day_of(at: WallTime) -> u32 {
    number(at, DAY_US)
}
