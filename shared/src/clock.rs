//! Time is passed in, so that rules behave the same in tests, after a restart and in simulation.

/// Microseconds.
pub type Micros = u64;

/// One second in microseconds.
pub const SECOND: Micros = 1_000_000;

/// A reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Wall clock, microseconds since the Unix epoch. May step.
    pub wall_us: Micros,
    /// Microseconds since some fixed moment of this process. Never goes back.
    pub mono_us: Micros,
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
    looked_us: Micros,
}

impl Drift {
    /// Starts to watch.
    pub fn begin(now: Now) -> Self {
        Self { offset_us: offset(now), looked_us: now.mono_us }
    }

    /// The size of a step beyond the tolerance since the last call, in microseconds. Each step is reported once; the
    /// stepped time is the new reference.
    pub fn look(&mut self, now: Now, tolerance_us: Micros) -> Option<i128> {
        let elapsed = now.mono_us.saturating_sub(self.looked_us);
        let off = offset(now) - self.offset_us;
        if off.unsigned_abs() > u128::from(tolerance_us) {
            *self = Self::begin(now);
            return Some(off);
        }
        let slew = i128::from(elapsed.saturating_mul(SLEW_PPM) / 1_000_000);
        if slew > 0 {
            self.offset_us += off.clamp(-slew, slew);
            self.looked_us = now.mono_us;
        }
        None
    }
}

fn offset(now: Now) -> i128 {
    i128::from(now.wall_us) - i128::from(now.mono_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOLERANCE: Micros = 2 * SECOND;

    fn at(wall_us: i64, mono_us: Micros) -> Now {
        Now { wall_us: u64::try_from(1_700_000_000_000_000 + wall_us).unwrap(), mono_us }
    }

    /// SPEC, Time: a step beyond tolerance is told once, in both directions, and none within it.
    #[test]
    fn a_step_is_told_once() {
        let s = i64::try_from(SECOND).unwrap();
        for by in [3 * s, -3 * s, 86_400 * s, -86_400 * s] {
            let mut d = Drift::begin(at(0, 0));
            assert_eq!(d.look(at(s, SECOND), TOLERANCE), None);
            let told = d.look(at(2 * s + by, 2 * SECOND), TOLERANCE);
            assert_eq!(told, Some(i128::from(by)));
            assert_eq!(d.look(at(3 * s + by, 3 * SECOND), TOLERANCE), None, "and not again");
            assert_eq!(
                d.look(at(4 * s, 4 * SECOND), TOLERANCE),
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
