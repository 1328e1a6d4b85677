//! The system clock, and a manual one for tests.

use conductor_shared::clock::{Clock, Micros, Now};
use std::sync::atomic::{AtomicU64, Ordering};
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
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        // A thread that is preempted between the two readings must not look like a step of the wall clock: read again.
        let mut before = self.begun.elapsed();
        for _ in 0..8 {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let after = self.begun.elapsed();
            if after.saturating_sub(before) < TOGETHER {
                return Now { wall_us: micros(wall), mono_us: micros(after) };
            }
            before = after;
        }
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { wall_us: micros(wall), mono_us: micros(before) }
    }
}

/// Maximum time between two readings of one sample.
const TOGETHER: Duration = Duration::from_millis(10);

/// A clock that tests set.
pub struct StillClock {
    wall: AtomicU64,
    mono: AtomicU64,
}

impl StillClock {
    pub fn at(wall_us: Micros) -> Self {
        Self { wall: AtomicU64::new(wall_us), mono: AtomicU64::new(1_000_000) }
    }
    /// Advances both clocks.
    pub fn advance(&self, us: Micros) {
        self.wall.fetch_add(us, Ordering::SeqCst);
        self.mono.fetch_add(us, Ordering::SeqCst);
    }
    /// Steps only the wall clock.
    pub fn set_wall(&self, us: Micros) {
        self.wall.store(us, Ordering::SeqCst);
    }
}

impl Clock for StillClock {
    fn now(&self) -> Now {
        Now { wall_us: self.wall.load(Ordering::SeqCst), mono_us: self.mono.load(Ordering::SeqCst) }
    }
}
