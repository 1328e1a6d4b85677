//! The one place of this crate that reads the clock.
//!
//! Everything else takes a [`Clock`], so that it runs under a simulated one in tests.

use conductor_shared::clock::{Clock, MonoTime, Now, WallTime};
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The clocks of this machine. Its monotonic reading counts from the first use in this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the clock that is passed in has to read the real one somewhere: here
    fn now(&self) -> Now {
        static START: OnceLock<Instant> = OnceLock::new();
        let now = Instant::now();
        let mono = now.saturating_duration_since(*START.get_or_init(|| now));
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { wall: WallTime::EPOCH + wall, mono: MonoTime::default() + mono }
    }
}
