//! Time limits of an evaluation. The limit is processor time of the thread, so that a busy machine denies nothing. A much
//! longer wall-clock limit ends evaluations of a thread that gets no processor time at all.

use nix::time::{ClockId, clock_gettime};
use regorus::utils::limits::{ExecutionTimerConfig, TimeSource, set_time_source};
use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::Once;
use std::time::Duration;

/// Limit of processor time for a decision.
pub const LIMIT: Duration = Duration::from_millis(50);
/// Wall-clock limit for a decision.
pub const FAR_LIMIT: Duration = Duration::from_secs(10);
/// The same limits for a Rego test, which may evaluate many decisions.
pub(crate) const TEST_LIMIT: Duration = Duration::from_secs(10);
pub(crate) const TEST_FAR_LIMIT: Duration = Duration::from_secs(120);
/// Interpreter steps between two checks of the time. Each check is a system call.
const CHECK_EVERY: NonZeroU32 = NonZeroU32::new(128).unwrap();

thread_local! {
    /// End of the wall-clock limit of this thread's evaluation, on the monotonic clock.
    static UNTIL: Cell<Option<Duration>> = const { Cell::new(None) };
    /// Number of checks since the evaluation began.
    static LATE: Cell<u32> = const { Cell::new(0) };
}

/// The clock that regorus reads. Regorus has one clock for all engines, so its state is per thread.
struct ProcessorTime;

impl TimeSource for ProcessorTime {
    fn now(&self) -> Option<Duration> {
        if UNTIL.get().is_some_and(|until| read(ClockId::CLOCK_MONOTONIC) >= until) {
            LATE.set(LATE.get().saturating_add(1));
        }
        // Jumps further than any limit, so that regorus ends the evaluation.
        Some(read(ClockId::CLOCK_THREAD_CPUTIME_ID) + TEST_FAR_LIMIT * LATE.get())
    }
}

/// Processor time that this thread has used.
#[cfg(test)]
pub(super) fn used() -> Duration {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// Fails closed: a clock that cannot be read counts as expired.
fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).map_or(Duration::from_secs(u64::from(u32::MAX)), Duration::from)
}

/// Installs the clock, once per process, and returns the timer settings of an engine.
pub(super) fn timer(limit: Duration) -> ExecutionTimerConfig {
    static ONCE: Once = Once::new();
    // Nothing else installs a clock, so this cannot fail.
    ONCE.call_once(|| {
        let _ = set_time_source(&ProcessorTime);
    });
    ExecutionTimerConfig { limit, check_interval: CHECK_EVERY }
}

/// Evaluates under a wall-clock limit, and tells whether that was exceeded.
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
