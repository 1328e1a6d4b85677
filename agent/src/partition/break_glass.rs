//! How long break-glass has been open, by two clocks.

use conductor_shared::clock::{MonoTime, Now, WallTime};
use conductor_shared::ids::GrantId;
use conductor_shared::profile::BreakGlass;
use std::time::Duration;

/// Break-glass as this run of the agent has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakGlassTimer {
    pub(crate) grant: GrantId,
    /// How long it had been open when it was seen first.
    elapsed: Duration,
    /// When that was, on the monotonic clock.
    mono: MonoTime,
}

impl BreakGlassTimer {
    /// First sight of it. `seen` is the newest receipt time: whatever the wall clock says now, it was later than that
    /// once.
    pub(crate) fn first(g: &BreakGlass, now: Now, seen: WallTime) -> Self {
        let elapsed = now.wall.max(seen) - WallTime::from_micros(g.opened_us);
        Self { grant: g.grant, elapsed, mono: now.mono }
    }

    /// Its time is over: by the wall clock or by the monotonic one, whichever shows more.
    pub(crate) fn over(self, g: &BreakGlass, now: Now) -> bool {
        let by_wall = now.wall - WallTime::from_micros(g.opened_us);
        let by_mono = self.elapsed.saturating_add(now.mono - self.mono);
        by_wall.max(by_mono) >= Duration::from_secs(g.minutes.saturating_mul(60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glass(minutes: u64) -> BreakGlass {
        BreakGlass {
            grant: GrantId([1; 16]),
            ticket: "INC-1".into(),
            minutes,
            person: None,
            alone: false,
            opened_us: wall(1_000).as_micros(),
            used: 0,
        }
    }
    fn wall(s: u64) -> WallTime {
        WallTime::EPOCH + Duration::from_secs(s)
    }
    fn at(wall_s: u64, mono_s: u64) -> Now {
        Now { wall: wall(wall_s), mono: MonoTime::default() + Duration::from_secs(mono_s) }
    }

    /// SPEC, Time, and 3.3: break-glass takes the greater elapsed time. Neither a wall clock that is put back nor one that
    /// stands still prolongs it, and neither does a restart.
    #[test]
    fn no_clock_prolongs_break_glass() {
        let g = glass(1);
        let seen = BreakGlassTimer::first(&g, at(1_000, 50), wall(1_000));
        assert!(!seen.over(&g, at(1_059, 109)));
        assert!(seen.over(&g, at(1_060, 51)), "by the wall clock");
        assert!(seen.over(&g, at(1_000, 110)), "by the monotonic clock, while the wall clock stands still");
        assert!(seen.over(&g, at(10, 110)), "or was put back");
        // A restart: the monotonic clock begins anew, and the wall clock counts.
        assert!(BreakGlassTimer::first(&g, at(1_061, 0), wall(1_030)).over(&g, at(1_061, 0)));
        // A restart with the wall clock put back: the newest receipt shows how late it was already.
        let seen = BreakGlassTimer::first(&g, at(10, 0), wall(1_030));
        assert!(!seen.over(&g, at(10, 29)) && seen.over(&g, at(10, 30)));
    }
}
