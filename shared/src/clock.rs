//! Time is passed in, so that rules behave the same in tests, after a restart and in simulation.
//!
//! A moment on the wall clock, a moment on the monotonic clock and a [`Duration`] are three types, and only what has a
//! meaning compiles. Records, configuration and HTTP carry microseconds as `u64`, in fields that end in `_us`; they are
//! converted where they are read or written.
//!
//! ```
//! # use conductor_shared::clock::{MonoTime, WallTime};
//! # use std::time::Duration;
//! let (began, ended) = (MonoTime::from_micros(5), MonoTime::from_micros(7));
//! assert_eq!(ended - began, Duration::from_micros(2));
//! assert_eq!(WallTime::EPOCH + (ended - began), WallTime::from_micros(2));
//! ```
//!
//! The clocks do not mix:
//!
//! ```compile_fail,E0308
//! # use conductor_shared::clock::{MonoTime, WallTime};
//! let elapsed = WallTime::from_micros(7) - MonoTime::from_micros(5);
//! ```
//!
//! ```compile_fail,E0308
//! # use conductor_shared::clock::{MonoTime, WallTime};
//! let late = WallTime::from_micros(7) > MonoTime::from_micros(5);
//! ```

use serde::{Deserialize, Serialize};
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// One second in microseconds.
pub const SECOND_US: u64 = 1_000_000;

/// Whole microseconds of a duration, as fields that end in `_us` hold them.
#[inline]
#[must_use]
pub const fn micros(d: Duration) -> u64 {
    d.as_secs().saturating_mul(SECOND_US).saturating_add(d.subsec_micros() as u64)
}

/// A moment on the wall clock: microseconds since the Unix epoch. May step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(u64);

/// A moment on the monotonic clock: microseconds since some fixed moment of this process. Never goes back, and means
/// nothing to another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MonoTime(u64);

impl WallTime {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
}

/// What both clocks have: microseconds in and out, and arithmetic that saturates.
macro_rules! moments {
    ($($time:ident),*) => { $(
        impl $time {
            /// Later than every other.
            pub const MAX: Self = Self(u64::MAX);

            /// From microseconds.
            #[inline]
            #[must_use]
            pub const fn from_micros(us: u64) -> Self {
                Self(us)
            }

            /// In microseconds.
            #[inline]
            #[must_use]
            pub const fn as_micros(self) -> u64 {
                self.0
            }

            /// Time between the two, whichever is the earlier.
            #[inline]
            #[must_use]
            pub const fn abs_diff(self, other: Self) -> Duration {
                Duration::from_micros(self.0.abs_diff(other.0))
            }
        }

        impl Add<Duration> for $time {
            type Output = Self;
            #[inline]
            fn add(self, d: Duration) -> Self {
                Self(self.0.saturating_add(micros(d)))
            }
        }

        impl AddAssign<Duration> for $time {
            #[inline]
            fn add_assign(&mut self, d: Duration) {
                *self = *self + d;
            }
        }

        impl Sub<Duration> for $time {
            type Output = Self;
            #[inline]
            fn sub(self, d: Duration) -> Self {
                Self(self.0.saturating_sub(micros(d)))
            }
        }

        /// Zero when the other is the later.
        impl Sub for $time {
            type Output = Duration;
            #[inline]
            fn sub(self, earlier: Self) -> Duration {
                Duration::from_micros(self.0.saturating_sub(earlier.0))
            }
        }
    )* };
}

moments!(WallTime, MonoTime);

/// A reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// On the wall clock.
    pub wall: WallTime,
    /// On the monotonic clock.
    pub mono: MonoTime,
}

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Both clocks, now.
    fn now(&self) -> Now;
}

/// Largest rate, in parts per million, at which the kernel slews the wall clock (adjtimex(2)). A faster drift is a step.
const SLEW_PPM: u64 = 500;

/// Detects steps of the wall clock, and ignores slewing. See SPEC, Time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drift {
    /// Expected wall time minus monotonic time, microseconds.
    offset_us: i128,
    looked: MonoTime,
}

impl Drift {
    /// Starts to watch.
    pub fn begin(now: Now) -> Self {
        Self { offset_us: offset_us(now), looked: now.mono }
    }

    /// The size of a step beyond the tolerance since the last call, in microseconds. Each step is reported once; the
    /// stepped time is the new reference.
    pub fn look(&mut self, now: Now, tolerance: Duration) -> Option<i128> {
        let off = offset_us(now) - self.offset_us;
        if off.unsigned_abs() > tolerance.as_micros() {
            *self = Self::begin(now);
            return Some(off);
        }
        let slew = i128::from(micros(now.mono - self.looked).saturating_mul(SLEW_PPM) / 1_000_000);
        if slew > 0 {
            self.offset_us += off.clamp(-slew, slew);
            self.looked = now.mono;
        }
        None
    }
}

fn offset_us(now: Now) -> i128 {
    i128::from(now.wall.as_micros()) - i128::from(now.mono.as_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOLERANCE: Duration = Duration::from_secs(2);

    fn at(wall_us: i64, mono_us: u64) -> Now {
        let wall_us = u64::try_from(1_700_000_000_000_000 + wall_us).unwrap();
        Now { wall: WallTime::from_micros(wall_us), mono: MonoTime::from_micros(mono_us) }
    }

    #[test]
    fn arithmetic_saturates() {
        let (early, late) = (MonoTime::from_micros(3), MonoTime::from_micros(10));
        assert_eq!((late - early, early - late), (Duration::from_micros(7), Duration::ZERO));
        assert_eq!(early - Duration::from_micros(4), MonoTime::default());
        assert_eq!(late + Duration::MAX, MonoTime::MAX);
        assert_eq!(micros(Duration::MAX), u64::MAX);
        assert_eq!(micros(Duration::from_micros(u64::MAX)), u64::MAX, "and nothing is lost on the way");
    }

    /// SPEC, Time: a step beyond tolerance is told once, in both directions, and none within it.
    #[test]
    fn a_step_is_told_once() {
        let s = i64::try_from(SECOND_US).unwrap();
        for by in [3 * s, -3 * s, 86_400 * s, -86_400 * s] {
            let mut d = Drift::begin(at(0, 0));
            assert_eq!(d.look(at(s, SECOND_US), TOLERANCE), None);
            let told = d.look(at(2 * s + by, 2 * SECOND_US), TOLERANCE);
            assert_eq!(told, Some(i128::from(by)));
            assert_eq!(d.look(at(3 * s + by, 3 * SECOND_US), TOLERANCE), None, "and not again");
            assert_eq!(
                d.look(at(4 * s, 4 * SECOND_US), TOLERANCE),
                Some(i128::from(-by)),
                "the way back is one too"
            );
        }
        let mut d = Drift::begin(at(0, 0));
        assert_eq!(d.look(at(2 * s, 1), TOLERANCE), None, "within the tolerance");
    }

    /// SPEC, Time: many steps that are each within the tolerance are one beyond it.
    #[test]
    fn small_steps_add_up() {
        let mut d = Drift::begin(at(0, 0));
        let told = (1..100).find_map(|n| d.look(at(n * 100_000, 20_000), TOLERANCE).map(|by| (n, by)));
        assert_eq!(told, Some((21, 2_079_990)), "but for what could be slewed in the time");
    }

    proptest! {
        /// SPEC, Time: a clock that is only slewed never counts as stepped, however often it is looked at.
        #[test]
        fn slewing_is_no_step(ppm in -490i64..=490, every_ms in 1u64..120_000) {
            let mut d = Drift::begin(at(0, 0));
            for n in 1..2_000u64 {
                let mono = n * every_ms * 1_000;
                let wall = i64::try_from(mono).unwrap();
                prop_assert_eq!(d.look(at(wall + wall / 1_000_000 * ppm, mono), TOLERANCE), None);
            }
        }
    }
}
