//! How long an evaluation may take, in processor time of its thread: on a busy machine it waits, and is not cut off. Behind
//! that, a far limit by the clock, so that a thread that gets no time at all comes back one day.

use nix::time::{ClockId, clock_gettime};
use regorus::utils::limits::{ExecutionTimerConfig, TimeSource, set_time_source};
use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::Once;
use std::time::Duration;

/// Processor time of a decision.
pub const LIMIT: Duration = Duration::from_millis(50);
/// The far limit of a decision by the clock.
pub const FAR_LIMIT: Duration = Duration::from_secs(10);
/// Processor time of a Rego test, which asks many times, and its far limit.
pub(crate) const TEST_LIMIT: Duration = Duration::from_secs(10);
pub(crate) const TEST_FAR_LIMIT: Duration = Duration::from_secs(120);
/// Steps of the interpreter between two looks at the time: each look is a call of the kernel.
const CHECK_EVERY: NonZeroU32 = NonZeroU32::new(128).unwrap();

thread_local! {
    /// When the far limit of the evaluation on this thread is over, on the monotonic clock.
    static UNTIL: Cell<Option<Duration>> = const { Cell::new(None) };
    /// Looks at the time since then.
    static LATE: Cell<u32> = const { Cell::new(0) };
}

/// The clock that regorus reads. It has one for all engines, so each thread's own state is the thread's.
struct ProcessorTime;

impl TimeSource for ProcessorTime {
    fn now(&self) -> Option<Duration> {
        if UNTIL.get().is_some_and(|until| read(ClockId::CLOCK_MONOTONIC) >= until) {
            LATE.set(LATE.get().saturating_add(1));
        }
        // More than any limit since the look before, whichever that was: regorus ends the evaluation.
        Some(read(ClockId::CLOCK_THREAD_CPUTIME_ID) + TEST_FAR_LIMIT * LATE.get())
    }
}

/// Processor time that this thread has used.
#[cfg(test)]
pub(super) fn used() -> Duration {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// A clock that cannot be read has run out.
fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).map_or(Duration::from_secs(u64::from(u32::MAX)), Duration::from)
}

/// Sets the clock once for the process, and says how an engine is to look at it.
pub(super) fn timer(limit: Duration) -> ExecutionTimerConfig {
    static ONCE: Once = Once::new();
    // It is set here and nowhere else, so it is not set yet.
    ONCE.call_once(|| {
        let _ = set_time_source(&ProcessorTime);
    });
    ExecutionTimerConfig { limit, check_interval: CHECK_EVERY }
}

/// Evaluates under a far limit, and tells whether that is over.
pub(super) fn within<T>(far: Duration, evaluate: impl FnOnce() -> T) -> (T, bool) {
    let until = read(ClockId::CLOCK_MONOTONIC) + far;
    UNTIL.set(Some(until));
    LATE.set(0);
    let done = evaluate();
    UNTIL.set(None);
    LATE.set(0);
    (done, read(ClockId::CLOCK_MONOTONIC) >= until)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that waits uses up nothing of its limit; one whose far limit is over has no time left.
    #[test]
    fn waiting_costs_nothing() {
        let _ = timer(LIMIT);
        let begun = ProcessorTime.now().unwrap();
        let (tx, rx) = std::sync::mpsc::sync_channel::<()>(0);
        let other = std::thread::spawn(move || {
            let until = read(ClockId::CLOCK_THREAD_CPUTIME_ID) + 2 * LIMIT;
            while read(ClockId::CLOCK_THREAD_CPUTIME_ID) < until {}
            drop(tx);
        });
        assert!(rx.recv().is_err(), "the other thread has used up its time");
        other.join().unwrap();
        assert!(ProcessorTime.now().unwrap().checked_sub(begun).unwrap() < LIMIT);
        let (over, late) = within(Duration::ZERO, || ProcessorTime.now().unwrap());
        assert!(late && over.checked_sub(begun).unwrap() > TEST_LIMIT);
    }
}
