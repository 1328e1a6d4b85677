//! Quotas of a tenant. The gate reads only what was granted to this node.

use crate::clock::MonoTime;
use crate::words::words;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A limit and the part of it that this node may spend. On a single node both are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Grant {
    /// The tenant's limit in all.
    pub limit: u64,
    /// Granted to this node.
    pub granted: u64,
}

impl Grant {
    /// All of it on this node.
    pub fn local(limit: u64) -> Self {
        Self { limit, granted: limit }
    }
}

/// What is limited.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::VariantArray,
    strum::IntoStaticStr,
    strum::EnumString,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = Self::unknown)]
pub enum QuotaKind {
    /// Open runs.
    ConcurrentRuns,
    /// Steps admitted a second, sustained.
    StepRate,
    /// Steps that may be admitted at once after a pause.
    StepBurst,
    /// Receipts not yet covered by a signed checkpoint.
    ReceiptBacklog,
    /// Bytes of evidence stored.
    EvidenceBytes,
}

impl QuotaKind {
    /// The greatest limit that can be set. Rates are bounded so that the interval between steps stays at least 1 us.
    pub fn max(self) -> u64 {
        match self {
            Self::ConcurrentRuns => 100_000,
            Self::StepRate | Self::StepBurst => 1_000_000,
            Self::ReceiptBacklog => 100_000_000,
            Self::EvidenceBytes => 1 << 50,
        }
    }
}

words!(QuotaKind);

/// All quotas of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Quotas {
    /// Open runs.
    pub concurrent_runs: Grant,
    /// Steps a second.
    pub step_rate: Grant,
    /// Steps at once after a pause.
    pub step_burst: Grant,
    /// Unsigned receipts.
    pub receipt_backlog: Grant,
    /// Evidence bytes.
    pub evidence_bytes: Grant,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            concurrent_runs: Grant::local(100),
            step_rate: Grant::local(1_000),
            step_burst: Grant::local(2_000),
            receipt_backlog: Grant::local(100_000),
            evidence_bytes: Grant::local(10 << 30),
        }
    }
}

impl Quotas {
    /// One of them.
    pub fn get(&self, kind: QuotaKind) -> Grant {
        match kind {
            QuotaKind::ConcurrentRuns => self.concurrent_runs,
            QuotaKind::StepRate => self.step_rate,
            QuotaKind::StepBurst => self.step_burst,
            QuotaKind::ReceiptBacklog => self.receipt_backlog,
            QuotaKind::EvidenceBytes => self.evidence_bytes,
        }
    }

    /// One of them, to change.
    pub fn get_mut(&mut self, kind: QuotaKind) -> &mut Grant {
        match kind {
            QuotaKind::ConcurrentRuns => &mut self.concurrent_runs,
            QuotaKind::StepRate => &mut self.step_rate,
            QuotaKind::StepBurst => &mut self.step_burst,
            QuotaKind::ReceiptBacklog => &mut self.receipt_backlog,
            QuotaKind::EvidenceBytes => &mut self.evidence_bytes,
        }
    }
}

/// A rate with burst, as the generic cell rate algorithm (ITU-T I.371): one number, the theoretical arrival time.
///
/// Times are in nanoseconds of the caller's clock, so that 1,000,000 a second is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RateBucket {
    tat_ns: u64,
}

impl RateBucket {
    /// What [`take`](Self::take) says when waiting does not help.
    pub const NEVER: Duration = Duration::MAX;

    /// Takes one, or says after how long one can be taken. A rate or burst of 0 admits nothing
    /// (`Err(`[`NEVER`](Self::NEVER)`)`).
    pub fn take(&mut self, now: MonoTime, rate: u64, burst: u64) -> Result<(), Duration> {
        if rate == 0 || burst == 0 {
            return Err(Self::NEVER);
        }
        let now = nanos(now);
        let interval = 1_000_000_000 / rate;
        // `burst` may be taken at once when the bucket is full.
        let tolerance = interval.saturating_mul(burst - 1);
        let tat = self.tat_ns.max(now);
        let ahead = tat - now;
        if ahead > tolerance {
            return Err(Duration::from_micros((ahead - tolerance).div_ceil(1_000)));
        }
        self.tat_ns = tat.saturating_add(interval);
        Ok(())
    }

    /// How many of the burst are taken now, for gauges.
    pub fn used(&self, now: MonoTime, rate: u64) -> u64 {
        let ahead = self.tat_ns.saturating_sub(nanos(now));
        ahead.div_ceil((1_000_000_000 / rate.max(1)).max(1))
    }

    /// Stored form: microseconds ahead of now, so that the bucket is as full after a restart as before.
    pub fn ahead_us(&self, now: MonoTime) -> u64 {
        self.tat_ns.saturating_sub(nanos(now)).div_ceil(1_000)
    }

    /// From the stored form.
    pub fn from_ahead(now: MonoTime, ahead_us: u64) -> Self {
        Self { tat_ns: nanos(now + Duration::from_micros(ahead_us)) }
    }
}

fn nanos(at: MonoTime) -> u64 {
    at.as_micros().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const US: Duration = Duration::from_micros(1);

    fn mono(us: u64) -> MonoTime {
        MonoTime::from_micros(us)
    }

    /// SPEC 1.3: burst at once, then the rate, and never more.
    #[test]
    fn burst_then_rate() {
        let mut b = RateBucket::default();
        let (t0, t1) = (mono(1_000_000_000), mono(1_000_100_000));
        for _ in 0..5 {
            assert_eq!(b.take(t0, 10, 5), Ok(()));
        }
        assert_eq!(b.take(t0, 10, 5), Err(100_000 * US));
        assert_eq!(b.take(t1 - US, 10, 5), Err(US));
        assert_eq!(b.take(t1, 10, 5), Ok(()));
        assert_eq!(b.take(t1, 0, 5), Err(RateBucket::NEVER));
        assert_eq!(b.take(t1, 5, 0), Err(RateBucket::NEVER));
    }

    proptest! {
        /// SPEC 1.3: in every window, at most burst + rate x window are admitted, and waiting as told suffices.
        #[test]
        fn never_more_than_granted(rate in 1u64..2_000, burst in 1u64..200,
                                   gaps in proptest::collection::vec(0u64..5_000, 1..400)) {
            let mut b = RateBucket::default();
            let mut now = mono(5_000_000);
            let mut admitted: Vec<MonoTime> = vec![];
            for g in gaps {
                now += Duration::from_micros(g);
                match b.take(now, rate, burst) {
                    Ok(()) => admitted.push(now),
                    Err(wait) => {
                        let mut later = b;
                        prop_assert!(later.take(now + wait, rate, burst).is_ok());
                        let mut early = b;
                        prop_assert!(wait.is_zero() || early.take(now + wait - US, rate, burst).is_err());
                    }
                }
            }
            for (i, from) in admitted.iter().enumerate() {
                for (j, to) in admitted.iter().enumerate().skip(i) {
                    let n = (j - i + 1) as u128;
                    let span = (*to - *from).as_micros();
                    // n - burst intervals must fit in the span.
                    let interval_ns = u128::from(1_000_000_000 / rate);
                    prop_assert!((n.saturating_sub(u128::from(burst))) * interval_ns <= span * 1_000);
                }
            }
        }

        /// SPEC 1.3, after a restart the bucket is as full as it was.
        #[test]
        fn survives_a_restart(n in 0u64..50, rate in 1u64..1_000, later in 0u64..1_000_000_000) {
            let mut b = RateBucket::default();
            let (now, later) = (mono(9_000_000), mono(later));
            for _ in 0..n { let _ = b.take(now, rate, 50); }
            let again = RateBucket::from_ahead(later, b.ahead_us(now));
            prop_assert!(again.used(later, rate) >= b.used(now, rate));
        }
    }
}
