//! SLO watch: mergeable counts of runs under one revision of a ramp, the verdict on them, and staged plans.
//!
//! The error rate is judged by the lower bound of the one-sided 99 % Wilson interval. It exceeds a threshold t exactly
//! when the rate does and (errors - n t)^2 > z^2 n t (1 - t), which is decided in integers. Counts are sums, so counts of
//! several nodes can be merged. Nothing here reads a clock or uses floating point.

use crate::basis_points::{BasisPoints, parse_percent, percent};
use crate::clock::micros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Fewer errors never make a breach.
pub const MIN_ERRORS: u64 = 5;
/// Fewer steps say nothing about latency.
pub const MIN_STEPS: u64 = 500;
/// Runs in one half of the recent window.
pub const RECENT: u64 = 500;
/// z^2 in millionths for z = 2.326347874: one-sided 99 %.
const Z2_99: u128 = 5_411_894;
/// z^2 in millionths for z = 4.5: what the recent window must show. See docs/adr/0011.
const Z2_RECENT: u128 = 20_250_000;
/// Beyond so many runs both numbers are halved until they fit the arithmetic.
const MOST: u64 = 100_000_000_000;

/// Runs that settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Succeeded, failed and lost; denied and cancelled ones do not count.
    pub settled: u64,
    /// Of these, failed and lost.
    pub errors: u64,
}

impl Tally {
    /// Counts one run.
    pub fn add(&mut self, error: bool) {
        self.settled = self.settled.saturating_add(1);
        self.errors = self.errors.saturating_add(u64::from(error));
    }
    /// Both together.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self {
            settled: self.settled.saturating_add(other.settled),
            errors: self.errors.saturating_add(other.errors),
        }
    }
    /// The rate of errors is at most this.
    pub fn within(self, rate: BasisPoints) -> bool {
        u128::from(self.errors) * u128::from(BasisPoints::FULL.get())
            <= u128::from(self.settled) * u128::from(rate.get())
    }
    /// The lower bound of the rate of errors is over this, and errors are enough.
    fn over(self, rate: BasisPoints, z2: u128) -> bool {
        if self.errors < MIN_ERRORS || self.within(rate) {
            return false;
        }
        let (mut n, mut e) = (self.settled, self.errors);
        while n > MOST {
            (n, e) = (n / 2, e / 2);
        }
        let (n, e, t, full) =
            (u128::from(n), u128::from(e), u128::from(rate.get()), u128::from(BasisPoints::FULL.get()));
        let above = (e * full).saturating_sub(n * t);
        above.pow(2) * 1_000_000 > z2 * n * t * (full - t)
    }
    /// The one-sided 99 % Wilson lower bound of the rate of errors is over this.
    pub fn breaches(self, rate: BasisPoints) -> bool {
        self.over(rate, Z2_99)
    }
}

/// Durations in logarithmic buckets, 16 to each doubling: a bucket is at most 6.25 % wide.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Histogram(BTreeMap<u16, u64>);

impl Histogram {
    /// The bucket of a duration.
    pub fn bucket(d: Duration) -> u16 {
        let us = micros(d);
        let exponent = (us | 1).ilog2();
        if us < 16 {
            return u16::try_from(us).unwrap_or(15);
        }
        let part = (us >> (exponent - 4)) & 15;
        u16::try_from(u64::from(exponent - 3) * 16 + part).unwrap_or(u16::MAX)
    }
    /// The least duration of a bucket.
    pub fn least(bucket: u16) -> Duration {
        if bucket < 16 {
            return Duration::from_micros(bucket.into());
        }
        let (exponent, part) = (u32::from(bucket / 16) + 3, u64::from(bucket % 16));
        Duration::from_micros((16 + part).checked_shl(exponent - 4).unwrap_or(u64::MAX))
    }
    /// Counts one duration.
    pub fn add(&mut self, d: Duration) {
        *self.0.entry(Self::bucket(d)).or_default() += 1;
    }
    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, n) in &other.0 {
            *self.0.entry(*bucket).or_default() += n;
        }
    }
    /// How many.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }
    /// The lower edge of the bucket that holds the 99th percentile: never more than the real p99.
    pub fn p99(&self) -> Option<Duration> {
        let total = self.count();
        let rank = total - total / 100;
        let mut seen = 0;
        self.0.iter().find_map(|(bucket, n)| {
            seen += n;
            (seen >= rank && total > 0).then(|| Self::least(*bucket))
        })
    }
}

/// Everything that was seen under one revision of a ramp.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// All runs.
    pub all: Tally,
    /// The newest runs: a half that is full and one that fills, [`RECENT`] each.
    pub recent: [Tally; 2],
    /// Steps that succeeded or failed, by what the agent saw.
    pub steps: Histogram,
}

impl Counts {
    /// Counts one run.
    pub fn run(&mut self, error: bool) {
        self.all.add(error);
        if self.recent[1].settled >= RECENT {
            self.recent = [self.recent[1], Tally::default()];
        }
        self.recent[1].add(error);
    }
    /// Adds counts of another node for the same revision.
    pub fn merge(&mut self, other: &Self) {
        self.all = self.all.merged(other.all);
        for (mine, theirs) in self.recent.iter_mut().zip(other.recent) {
            *mine = mine.merged(theirs);
        }
        self.steps.merge(&other.steps);
    }
}

/// What a ramp is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Thresholds {
    /// Rate of errors.
    pub errors_hundredths: BasisPoints,
    /// Step latency that 99 % stay within, microseconds; 0: not watched.
    pub p99_us: u64,
    /// Receipts not covered by a signed checkpoint.
    pub backlog: u64,
    /// Runs that must have settled before anything is healthy.
    pub min_settled: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { errors_hundredths: BasisPoints::saturating(50), p99_us: 0, backlog: 50_000, min_settled: 200 }
    }
}

impl Thresholds {
    /// True when `other` catches something that this lets pass.
    pub fn looser_than(&self, other: &Self) -> bool {
        let p99 = |t: &Self| if t.p99_us == 0 { u64::MAX } else { t.p99_us };
        self.errors_hundredths > other.errors_hundredths
            || p99(self) > p99(other)
            || self.backlog > other.backlog
            || self.min_settled < other.min_settled
    }
}

/// Why a ramp is rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Too many runs failed.
    Errors,
    /// Steps take too long.
    Latency,
    /// Too many receipts wait for a signature.
    Backlog,
}

/// What the counts say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Over a threshold.
    Breached(Why),
    /// Enough was seen for long enough, and all of it is within.
    Healthy,
    /// Too little was seen, for too short, or it is not clear: neither is health.
    NoData,
    /// The counts cannot be: neither is this.
    Error,
}

impl Verdict {
    /// The public word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Breached(_) => "breached",
            Self::Healthy => "healthy",
            Self::NoData => "no_data",
            Self::Error => "error",
        }
    }
}

/// Judges what was seen under a revision. `backlog` is that of the tenant's log now.
pub fn verdict(seen: &Counts, backlog: u64, t: &Thresholds, bake_over: bool) -> Verdict {
    let recent = seen.recent[0].merged(seen.recent[1]);
    if [seen.all, recent].iter().any(|x| x.errors > x.settled) || recent.settled > seen.all.settled {
        return Verdict::Error;
    }
    if seen.all.breaches(t.errors_hundredths) || recent.over(t.errors_hundredths, Z2_RECENT) {
        return Verdict::Breached(Why::Errors);
    }
    if t.p99_us > 0
        && seen.steps.count() >= MIN_STEPS
        && seen.steps.p99().is_some_and(|p| micros(p) > t.p99_us)
    {
        return Verdict::Breached(Why::Latency);
    }
    if backlog > t.backlog {
        return Verdict::Breached(Why::Backlog);
    }
    if bake_over && seen.all.settled >= t.min_settled && seen.all.within(t.errors_hundredths) {
        return Verdict::Healthy;
    }
    Verdict::NoData
}

/// One step of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanStep {
    /// Share of subjects.
    pub hundredths: BasisPoints,
    /// Observed uptime that it must bake, seconds; 0 for the last step.
    pub bake_s: u64,
}

impl PlanStep {
    /// Likewise.
    pub fn bake(&self) -> Duration {
        Duration::from_secs(self.bake_s)
    }
}

/// A staged plan: `1%@3600s 5%@3600s 25%@7200s 100%`. Steps rise; each but the last names its bake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan(Vec<PlanStep>);

/// No plan has more steps.
pub const MAX_STEPS: usize = 16;
/// No bake is longer: 30 days.
pub const MAX_BAKE_S: u64 = 30 * 24 * 3600;

/// Why a text is not a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected rising steps such as 1%@3600s 5%@3600s 25%@7200s 100%: each but the last with its bake in seconds, at \
     most {MAX_STEPS} of them"
)]
pub struct PlanError;

impl Plan {
    /// Its steps, at least one.
    pub fn steps(&self) -> &[PlanStep] {
        &self.0
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, s) in self.0.iter().enumerate() {
            let share = percent(s.hundredths).replace(' ', "");
            if n > 0 {
                f.write_str(" ")?;
            }
            if n + 1 == self.0.len() {
                f.write_str(&share)?;
            } else {
                write!(f, "{share}@{}s", s.bake_s)?;
            }
        }
        Ok(())
    }
}

impl FromStr for Plan {
    type Err = PlanError;
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let step = |word: &str| {
            let (share, bake) = word.split_once('@').map_or((word, None), |(s, b)| (s, Some(b)));
            let bake_s = match bake {
                None => 0,
                Some(b) => crate::ids::parse_decimal(b.strip_suffix('s')?).filter(|s| *s > 0)?,
            };
            let hundredths = parse_percent(share).filter(|h| *h > BasisPoints::ZERO)?;
            (bake_s <= MAX_BAKE_S).then_some(PlanStep { hundredths, bake_s })
        };
        if text.len() > 40 * MAX_STEPS {
            return Err(PlanError);
        }
        let steps: Vec<PlanStep> = text.split(' ').map(step).collect::<Option<_>>().ok_or(PlanError)?;
        let rising = steps.windows(2).all(|w| w[0].hundredths < w[1].hundredths && w[0].bake_s > 0);
        let plan = Self(steps);
        // One spelling: what was read must be written the same.
        if !rising || plan.0.len() > MAX_STEPS || plan.to_string() != text {
            return Err(PlanError);
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests;
