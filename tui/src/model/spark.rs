//! A short history of two counters, for sparklines: how many allowed and denied in each slot of two seconds.

use conductor_shared::clock::MonoTime;

pub(crate) const SLOTS: usize = 32;
/// Length of a slot, microseconds.
const SLOT_US: u64 = 2_000_000;

/// Counts a slot, newest last on reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spark {
    slots: [(u16, u16); SLOTS],
    /// Number of the newest slot since the clock's start.
    newest: u64,
}

impl Default for Spark {
    fn default() -> Self {
        Self { slots: [(0, 0); SLOTS], newest: 0 }
    }
}

/// Number of the slot since the clock's start.
pub(crate) fn slot_of(mono: MonoTime) -> u64 {
    mono.as_micros() / SLOT_US
}

impl Spark {
    fn index(slot: u64) -> usize {
        // SLOTS is small.
        usize::try_from(slot % SLOTS as u64).unwrap_or(0)
    }

    /// Adds counts at a moment.
    pub(crate) fn add(&mut self, mono: MonoTime, allowed: u64, denied: u64) {
        let slot = slot_of(mono);
        if slot > self.newest {
            for s in (self.newest + 1..=slot).rev().take(SLOTS) {
                self.slots[Self::index(s)] = (0, 0);
            }
            self.newest = slot;
        }
        let cell = &mut self.slots[Self::index(slot)];
        cell.0 = cell.0.saturating_add(u16::try_from(allowed).unwrap_or(u16::MAX));
        cell.1 = cell.1.saturating_add(u16::try_from(denied).unwrap_or(u16::MAX));
    }

    /// The last `n` slots up to a moment, oldest first.
    pub(crate) fn last(&self, mono: MonoTime, n: usize) -> Vec<(u16, u16)> {
        let now = slot_of(mono);
        let n = n.min(SLOTS) as u64;
        let first = (now + 1).saturating_sub(n);
        let missing = usize::try_from(n - (now + 1 - first)).unwrap_or(0);
        let known = |s: u64| s <= self.newest && s + (SLOTS as u64) > self.newest;
        std::iter::repeat_n((0, 0), missing)
            .chain((first..=now).map(|s| if known(s) { self.slots[Self::index(s)] } else { (0, 0) }))
            .collect()
    }

    /// Denied a second over the last 10 s.
    pub(crate) fn deny_rate(&self, mono: MonoTime) -> f64 {
        self.last(mono, 5).iter().map(|(_, d)| f64::from(*d)).sum::<f64>() / 10.0
    }

    /// Allowed a second over the last 10 s.
    pub(crate) fn allow_rate(&self, mono: MonoTime) -> f64 {
        self.last(mono, 5).iter().map(|(a, _)| f64::from(*a)).sum::<f64>() / 10.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Issue, Tenants: the sparkline forgets what is older than it shows, and pauses are empty slots.
    #[test]
    fn slots_pass() {
        let mut s = Spark::default();
        let slot = |n: u64| MonoTime::from_micros(n * SLOT_US);
        s.add(slot(0), 1, 0);
        s.add(slot(1), 2, 1);
        s.add(slot(1), 1, 0);
        assert_eq!(s.last(slot(1), 3), [(0, 0), (1, 0), (3, 1)]);
        assert_eq!(s.last(slot(3), 4), [(1, 0), (3, 1), (0, 0), (0, 0)]);
        s.add(slot(100), 9, 9);
        assert_eq!(s.last(slot(100), 32).iter().filter(|c| **c != (0, 0)).count(), 1);
    }
}
