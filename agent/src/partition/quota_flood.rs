//! Denials by quota that come by the thousand: counted here, so that an incident can be opened.

use conductor_shared::clock::{Micros, Now, SECOND};

/// So many folded denials by quota within [`FLOOD_WINDOW_US`] are a flood.
pub const FLOOD: u64 = 1_000;
const FLOOD_WINDOW_US: Micros = 10 * SECOND;

/// Denials by quota that were folded of late.
#[derive(Debug, Default)]
pub struct QuotaFlood {
    pub(crate) from: Micros,
    pub(crate) from_wall: Micros,
    pub(crate) first: u64,
    count: u64,
    pub(crate) last: Option<Micros>,
}

impl QuotaFlood {
    /// One more was folded into the receipt at `first`.
    pub fn note(&mut self, first: u64, now: Now) {
        if now.mono_us >= self.from + FLOOD_WINDOW_US {
            (self.from, self.from_wall, self.first, self.count) = (now.mono_us, now.wall_us, first, 0);
        }
        self.count += 1;
        if self.count >= FLOOD {
            self.last = Some(now.mono_us);
        }
    }
}
