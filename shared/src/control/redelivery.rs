//! Ranges of receipts whose events a sink delivers again.

use serde::{Deserialize, Serialize};

/// Maximum ranges that are kept for each sink.
const MAX_RANGES: usize = 8;

/// A range of receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Redelivery {
    /// Its number among those of the sink, from 1 on.
    pub number: u64,
    /// Index of the first receipt.
    pub from: u64,
    /// Index of the last receipt.
    pub to: u64,
}

/// The newest ranges that were ordered of one sink, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Redeliveries(Vec<Redelivery>);

impl Redeliveries {
    /// All that are kept.
    pub fn all(&self) -> &[Redelivery] {
        &self.0
    }

    /// The one that comes after those that are done.
    pub fn after(&self, done: u64) -> Option<Redelivery> {
        self.0.iter().find(|r| r.number > done).copied()
    }

    /// As they were kept.
    pub(super) fn kept(ranges: Vec<Redelivery>) -> Self {
        Self(ranges)
    }

    /// Adds a range.
    pub(super) fn order(&mut self, from: u64, to: u64) {
        let number = self.0.last().map_or(0, |r| r.number).saturating_add(1);
        self.0.push(Redelivery { number, from, to });
        if self.0.len() > MAX_RANGES {
            // Which are done is known to the sink alone: the two oldest become one that covers both.
            let oldest = self.0.remove(0);
            if let Some(next) = self.0.first_mut() {
                (next.from, next.to) = (next.from.min(oldest.from), next.to.max(oldest.to));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E2: however many ranges are ordered while a sink waits, none is forgotten, and the state stays small.
    #[test]
    fn ranges_are_bounded_and_none_is_forgotten() {
        let mut all = Redeliveries::default();
        for n in 0..100 {
            all.order(n * 10, n * 10 + 5);
        }
        assert_eq!(all.all().len(), MAX_RANGES);
        assert_eq!(all.after(0), Some(Redelivery { number: 93, from: 0, to: 925 }));
        assert_eq!(all.after(99), Some(Redelivery { number: 100, from: 990, to: 995 }));
        assert_eq!(all.after(100), None);
    }
}
