//! Metering: sums of events beside the receipts, written in their batch; what was used, read back; and the recount.
//!
//! A partition numbers each combination of labels that occurs ([`Series`]). Three kinds of rows hold sums. While an hour
//! is open, one row for each series of the present slot, which grows, and one for the slots of the hour that are over.
//! When the first receipt of a later hour comes, the rows of the hour are packed into one, and into another that keeps
//! its slots apart; when the first of a later day (UTC) comes, the hours of the day into one more, with what every series
//! kept when the day began. Receipt times never go back, so only a correction ever touches a packed row.
//!
//! `rollups` is the writer's side, and publishes the open hour with the view; `query` answers from it and from packed rows,
//! which it keeps opened, and added up, for as long as the very same sealed rows stand; `rows` is how they look.

mod query;
mod recount;
mod rollups;
mod rows;

pub use query::{Cache, Folded, all, fold, series};
pub(crate) use recount::EventsOf;
pub use recount::{Recounted, recount};
pub use rollups::{Meters, OpenHour, labels_of};
pub use rows::{DayRow, HourRow};

use conductor_shared::clock::Micros;
use conductor_shared::meter::{DAY_US, HOUR_US, SLOT_US};

/// Slots in an hour.
pub const SLOTS_PER_HOUR: u32 = 4;
/// Hours in a day.
pub const HOURS_PER_DAY: u32 = 24;

fn number(us: Micros, unit: u64) -> u32 {
    u32::try_from(us / unit).unwrap_or(u32::MAX)
}

/// The slot of a moment.
pub fn slot_of(us: Micros) -> u32 {
    number(us, SLOT_US)
}

/// The hour of a moment.
pub fn hour_of(us: Micros) -> u32 {
    number(us, HOUR_US)
}

/// The day of a moment, UTC.
pub fn day_of(us: Micros) -> u32 {
    number(us, DAY_US)
}
