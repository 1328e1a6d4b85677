//! When a sink tries what. A tenant whose delivery failed waits by itself; the more tenants fail one after the other, the
//! longer the sink as a whole waits, as then the receiver is at fault.

use conductor_shared::clock::MonoTime;
use conductor_shared::ids::PartitionId;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// First and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));

/// A tenant that waits.
#[derive(Debug, Clone, Copy, Default)]
struct Hold {
    failures: u32,
    until: MonoTime,
}

#[derive(Debug, Default)]
pub(super) struct Pace {
    tenants: HashMap<PartitionId, Hold>,
    /// Whose deliveries failed since the last one that succeeded.
    failed: HashSet<PartitionId>,
    succeeded: Option<MonoTime>,
    /// Failures of the sink itself, with no tenant's delivery.
    own: u32,
    until: MonoTime,
}

impl Pace {
    /// The sink as a whole waits.
    pub(super) fn waits(&self, now: MonoTime) -> bool {
        now < self.until
    }

    /// The tenant waits.
    pub(super) fn holds(&self, tenant: PartitionId, now: MonoTime) -> bool {
        self.tenants.get(&tenant).is_some_and(|hold| now < hold.until)
    }

    /// Failures of a tenant, one after the other.
    pub(super) fn failures(&self, tenant: PartitionId) -> u32 {
        self.tenants.get(&tenant).map_or(0, |hold| hold.failures)
    }

    pub(super) fn succeeded(&mut self, tenant: PartitionId, now: MonoTime) {
        self.tenants.remove(&tenant);
        self.failed.clear();
        self.succeeded = Some(now);
        self.own = 0;
    }

    /// What the tenant failed at is not to be done any more.
    pub(super) fn release(&mut self, tenant: PartitionId) {
        self.tenants.remove(&tenant);
        self.failed.remove(&tenant);
    }

    /// What only this tenant has to do with failed.
    pub(super) fn hold(&mut self, tenant: PartitionId, now: MonoTime, jitter: u8) {
        let hold = self.tenants.entry(tenant).or_default();
        hold.until = now + backoff(hold.failures, jitter);
        hold.failures = hold.failures.saturating_add(1);
    }

    /// The receiver did not take a tenant's delivery; `after` is the pause that it asks for.
    pub(super) fn failed(&mut self, tenant: PartitionId, now: MonoTime, after: Option<Duration>, jitter: u8) {
        self.hold(tenant, now, jitter);
        let others = u32::try_from(self.failed.len()).unwrap_or(u32::MAX);
        self.failed.insert(tenant);
        self.until = now + after.unwrap_or_else(|| backoff(others, jitter));
    }

    /// The sink cannot be opened.
    pub(super) fn unopened(&mut self, now: MonoTime, jitter: u8) {
        self.until = now + backoff(self.own, jitter);
        self.own = self.own.saturating_add(1);
    }

    pub(super) fn opened(&mut self) {
        self.own = 0;
    }

    /// Deliveries fail, and none succeeded for as long as a tenant waits at most.
    pub(super) fn fails(&self, now: MonoTime) -> bool {
        !self.failed.is_empty() && self.succeeded.is_none_or(|at| now >= at + PAUSE.1)
    }

    /// Forgets all but these.
    pub(super) fn retain(&mut self, known: impl Fn(&PartitionId) -> bool) {
        self.tenants.retain(|id, _| known(id));
        self.failed.retain(|id| known(id));
    }
}

/// Exponential backoff with jitter, so that sinks of many nodes do not retry at the same time.
fn backoff(failures: u32, jitter: u8) -> Duration {
    let (first, most) = PAUSE;
    let whole = first.saturating_mul(2u32.saturating_pow(failures.min(16))).min(most);
    whole / 2 + whole / 2 * u32::from(jitter) / 255
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::ids::TenantUid;

    fn tenant(n: u8) -> PartitionId {
        PartitionId { tenant: TenantUid([n; 16]), epoch: 0 }
    }

    /// E1: a tenant that fails again and again waits longer each time, and the others at most the first pause.
    #[test]
    fn a_tenant_that_fails_waits_by_itself() {
        let (mut pace, mut now) = (Pace::default(), MonoTime::default());
        for _ in 0..20 {
            pace.failed(tenant(1), now, None, 255);
            assert!(!pace.holds(tenant(2), now) && !pace.waits(now + PAUSE.0));
            now += PAUSE.0;
            pace.succeeded(tenant(2), now);
            assert!(!pace.fails(now));
        }
        assert!(pace.holds(tenant(1), now + Duration::from_secs(59)));
        assert!(!pace.holds(tenant(1), now + PAUSE.1));
        pace.succeeded(tenant(1), now);
        assert_eq!(pace.failures(tenant(1)), 0);
    }

    /// When all tenants fail it is the receiver: a thousand of them do not make a thousand requests a minute.
    #[test]
    fn a_receiver_that_fails_everybody_is_left_alone() {
        let (mut pace, mut now, mut tries) = (Pace::default(), MonoTime::default(), 0);
        let end = now + Duration::from_secs(600);
        let mut next = (0..=255).cycle();
        while now < end {
            if !pace.waits(now) {
                tries += 1;
                pace.failed(tenant(next.next().unwrap()), now, None, 255);
            }
            now += Duration::from_millis(200);
        }
        assert!((10..25).contains(&tries), "{tries}");
        assert!(pace.fails(now));
        pace.failed(tenant(0), now, Some(Duration::from_secs(300)), 0);
        assert!(pace.waits(now + Duration::from_secs(299)));
    }
}
