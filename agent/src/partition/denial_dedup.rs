//! Denials that repeat are folded: the first has a receipt before its answer, those within a second after it are
//! answered with that receipt, and their count is written when the fold closes.
//!
//! However many different denials a tenant provokes, it gets at most [`BUDGET`] receipts for them a second: beyond
//! that, denials fold by their reasons alone. Persons have a budget each ([`BUDGET_PERSON`]), and what one of them
//! provokes is never folded into what another did.

use crate::rows::FoldRow;
use conductor_shared::clock::MonoTime;
use conductor_shared::codec::Listed;
use conductor_shared::fact::DenialsFolded;
use conductor_shared::quota::RateBucket;
use conductor_shared::reason::Reasons;
use std::collections::HashMap;
use std::time::Duration;

/// How long a fold stays open.
const WINDOW: Duration = Duration::from_secs(1);
/// Receipts for denials a second.
const BUDGET: u64 = 200;
/// Receipts for denials a second of one person.
const BUDGET_PERSON: u64 = 20;
/// After so many of the same denial within its second, whoever goes on asking waits for the answer.
pub const PATIENCE: u64 = 64;
/// Folds open at a time.
const MAX_FOLDS: usize = 1_024;

/// What makes two denials the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DenialKey {
    /// Who; empty when the budget that all share is spent.
    pub principal: String,
    /// Operation, and what of it matters to the reasons; empty when the budget is spent.
    pub about: String,
    /// Why.
    pub reasons: Reasons,
}

struct Fold {
    first: u64,
    until: MonoTime,
    count: u64,
}

/// The folds of one partition.
#[derive(Default)]
pub struct Coalescer {
    open: HashMap<DenialKey, Fold>,
    /// One that all share, under the empty name, or one for each person.
    budgets: HashMap<String, RateBucket>,
    by_person: bool,
    /// Open at the last stop: their counts are lower bounds.
    restored: Vec<FoldRow>,
}

/// What to do with a denial.
#[derive(Debug, PartialEq, Eq)]
pub enum Folded {
    /// It was counted under the receipt with this index, as the so many-th.
    Into(u64, u64),
    /// It is the first: write its receipt, then tell [`Coalescer::begin`] under this sameness.
    First(DenialKey),
}

impl Coalescer {
    /// With the folds that were open at the last stop.
    pub fn restored(rows: Vec<FoldRow>) -> Self {
        Self { restored: rows, ..Self::default() }
    }

    /// Each person has a budget.
    pub fn of_persons() -> Self {
        Self { by_person: true, ..Self::default() }
    }

    /// Counts a denial, or says that it needs a receipt of its own.
    pub fn fold(&mut self, same: DenialKey, mono: MonoTime) -> Folded {
        if let Some(first) = self.count(&same, mono) {
            return Folded::Into(first.0, first.1);
        }
        let (principal, budget) =
            if self.by_person { (same.principal.clone(), BUDGET_PERSON) } else { (String::new(), BUDGET) };
        let room = self.open.len() < MAX_FOLDS;
        let bucket = self.budgets.entry(principal.clone()).or_default();
        if room && bucket.take(mono, budget, budget).is_ok() {
            return Folded::First(same);
        }
        let any = DenialKey { principal, about: String::new(), reasons: same.reasons };
        match self.count(&any, mono) {
            Some((first, nth)) => Folded::Into(first, nth),
            None => Folded::First(any),
        }
    }

    fn count(&mut self, same: &DenialKey, mono: MonoTime) -> Option<(u64, u64)> {
        let f = self.open.get_mut(same).filter(|f| mono < f.until)?;
        f.count += 1;
        Some((f.first, f.count))
    }

    /// A first denial has its receipt.
    #[allow(clippy::needless_pass_by_value)] // it becomes the key
    pub fn begin(&mut self, same: DenialKey, first: u64, mono: MonoTime) -> Option<DenialsFolded> {
        let fold = Fold { first, until: mono + WINDOW, count: 0 };
        let old = self.open.insert(same.clone(), fold)?;
        closed(&same, &old)
    }

    /// Folds that are over, as facts to write, so many at most; those that counted nothing are dropped.
    pub fn close(&mut self, mono: MonoTime, most: usize) -> Vec<DenialsFolded> {
        let restored = self.restored.len().min(most);
        let mut out: Vec<DenialsFolded> = self
            .restored
            .drain(..restored)
            .map(|r| DenialsFolded {
                principal: r.principal,
                first: r.first,
                reasons: Listed(r.reasons),
                count_lower_bound: true,
                count: r.count,
            })
            .collect();
        self.open.retain(|same, f| {
            let over = mono >= f.until && out.len() < most;
            if over {
                out.extend(closed(same, f));
            }
            !over
        });
        out
    }

    /// True when [`Coalescer::close`] would have something to do.
    pub fn due(&self, mono: MonoTime) -> bool {
        !self.restored.is_empty() || self.open.values().any(|f| mono >= f.until)
    }

    /// What open folds have counted: index of the first, and how many came after it.
    pub fn counts(&self) -> Vec<(u64, u64)> {
        self.open.values().filter(|f| f.count > 0).map(|f| (f.first, f.count)).collect()
    }

    /// Open folds, for the counters' row.
    pub fn rows(&self) -> Vec<FoldRow> {
        let open = self.open.iter().map(|(s, f)| FoldRow {
            first: f.first,
            principal: s.principal.clone(),
            reasons: s.reasons.codes(),
            count: f.count,
        });
        let mut rows: Vec<_> = self.restored.iter().cloned().chain(open).collect();
        rows.sort_by_key(|r| r.first);
        rows
    }
}

fn closed(same: &DenialKey, f: &Fold) -> Option<DenialsFolded> {
    (f.count > 0).then(|| DenialsFolded {
        principal: same.principal.clone(),
        first: f.first,
        reasons: Listed(same.reasons.codes()),
        count_lower_bound: false,
        count: f.count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::reason::Reason;

    const US: Duration = Duration::from_micros(1);

    fn same(n: u32) -> DenialKey {
        DenialKey { principal: "p".into(), about: n.to_string(), reasons: Reason::Killed.into() }
    }

    /// SPEC 1.3: within a second the same denial is counted, after it a new receipt begins and the count is written.
    #[test]
    fn folds_within_a_second() {
        let mut f = Coalescer::default();
        let t = MonoTime::from_micros(10_000_000);
        assert_eq!(f.fold(same(1), t), Folded::First(same(1)));
        assert_eq!(f.begin(same(1), 7, t), None);
        for i in 0..5 {
            assert_eq!(f.fold(same(1), t + US * i), Folded::Into(7, u64::from(i) + 1));
        }
        assert!(f.close(t + WINDOW - US, 8).is_empty());
        assert_eq!(f.fold(same(1), t + WINDOW), Folded::First(same(1)));
        let closed = f.begin(same(1), 8, t + WINDOW).unwrap();
        assert_eq!((closed.first, closed.count, closed.count_lower_bound), (7, 5, false));
    }

    /// SPEC 1.3: denials have their own bounded budget, whatever an attacker varies; and none goes uncounted.
    #[test]
    fn the_budget_is_bounded_and_counts_are_exact() {
        let mut f = Coalescer::default();
        let t = MonoTime::from_micros(10_000_000);
        let (mut receipts, n) = (0u64, 100_000u32);
        for i in 0..n {
            if let Folded::First(s) = f.fold(same(i), t) {
                receipts += 1;
                f.begin(s, u64::from(i), t);
            }
        }
        assert!(receipts <= BUDGET + 1, "{receipts}");
        let counted: u64 = f.close(t + WINDOW, usize::MAX).iter().map(|c| c.count).sum();
        assert_eq!(receipts + counted, u64::from(n));
    }

    /// One person's denials are bounded, and neither spend another's receipts nor stand for them.
    #[test]
    fn persons_are_kept_apart() {
        let of = |person: &str, n: u32| DenialKey {
            principal: person.into(),
            about: n.to_string(),
            reasons: Reason::Killed.into(),
        };
        let mut f = Coalescer::of_persons();
        let t = MonoTime::from_micros(10_000_000);
        let mut receipts = 0u64;
        for i in 0..10_000 {
            if let Folded::First(s) = f.fold(of("ana", i), t) {
                receipts += 1;
                f.begin(s, receipts, t);
            }
        }
        assert!(receipts <= BUDGET_PERSON + 1, "{receipts}");
        assert_eq!(f.fold(of("ben", 1), t), Folded::First(of("ben", 1)));
    }

    /// SPEC 1.3: after a crash the count is a lower bound, and says so.
    #[test]
    fn a_crash_leaves_a_lower_bound() {
        let mut f = Coalescer::default();
        let t = MonoTime::from_micros(1_000_000);
        f.begin(same(1), 3, t);
        f.fold(same(1), t + US);
        let mut again = Coalescer::restored(f.rows());
        assert!(again.due(MonoTime::default()));
        let closed = again.close(MonoTime::default(), usize::MAX);
        assert_eq!((closed.len(), closed[0].first, closed[0].count), (1, 3, 1));
        assert!(closed[0].count_lower_bound);
    }
}
