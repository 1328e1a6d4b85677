//! Denials by quota that come by the thousand: counted here, so that an incident can be opened.

use conductor_shared::clock::{MonoTime, Now, WallTime};
use std::time::Duration;

/// So many folded denials by quota within [`FLOOD_WINDOW`] are a flood.
pub const FLOOD: u64 = 1_000;
const FLOOD_WINDOW: Duration = Duration::from_secs(10);

/// Denials by quota that were folded of late.
#[derive(Debug, Default)]
pub struct QuotaFlood {
    pub(crate) from: MonoTime,
    pub(crate) from_wall: WallTime,
    pub(crate) first: u64,
    count: u64,
    pub(crate) last: Option<MonoTime>,
}

impl QuotaFlood {
    /// One more was folded into the receipt at `first`.
    pub fn note(&mut self, first: u64, now: Now) {
        if now.mono >= self.from + FLOOD_WINDOW {
            (self.from, self.from_wall, self.first, self.count) = (now.mono, now.wall, first, 0);
        }
        self.count += 1;
        if self.count >= FLOOD {
            self.last = Some(now.mono);
        }
    }
}
