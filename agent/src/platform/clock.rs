//! The system clock.

use conductor_shared::clock::{Clock, MonoTime, Now, WallTime};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clocks of the operating system.
pub struct RealClock {
    begun: Instant,
}

impl Default for RealClock {
    #[allow(clippy::disallowed_methods)] // this is the clock
    fn default() -> Self {
        Self { begun: Instant::now() }
    }
}

impl Clock for RealClock {
    #[allow(clippy::disallowed_methods)] // this is the clock
    fn now(&self) -> Now {
        let sample = |wall, mono| Now { wall: WallTime::EPOCH + wall, mono: MonoTime::default() + mono };
        // A thread that is preempted between the two readings must not look like a step of the wall clock: read again.
        let mut before = self.begun.elapsed();
        for _ in 0..8 {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let after = self.begun.elapsed();
            if after.saturating_sub(before) < TOGETHER {
                return sample(wall, after);
            }
            before = after;
        }
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        sample(wall, before)
    }
}

/// Maximum time between two readings of one sample.
const TOGETHER: Duration = Duration::from_millis(10);
