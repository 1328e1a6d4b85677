//! Verdicts by digest of the input. Each tenant has a quota of entries, so that one that makes up inputs evicts only its
//! own. In memory only; a new bundle starts with an empty cache.

use conductor_shared::clock::MonoTime;
use conductor_shared::ids::TenantUid;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::time::Duration;

/// A verdict this old is refreshed in the background.
pub const FRESH: Duration = Duration::from_secs(10);
/// An engine that erred on an input is asked about it again after this.
const RETRY: Duration = Duration::from_secs(1);
/// Verdicts kept for one tenant.
const EACH: usize = 1_024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    Allow,
    /// Go ahead, and ask again.
    Aging,
    /// The engine is down, and said so a short while ago.
    LastKnown,
    /// Policy says no.
    Deny,
    /// Nobody asked yet.
    Unknown,
    /// The engine does not answer.
    Down,
}

#[derive(Clone, Copy)]
struct Known {
    /// The last real verdict, and when.
    verdict: Option<(bool, MonoTime)>,
    /// When the engine erred on it, if it did after that.
    failed: Option<MonoTime>,
    /// Somebody is asking again.
    asking: bool,
}

#[derive(Default)]
pub(super) struct VerdictCache(Mutex<FxHashMap<TenantUid, FxHashMap<[u8; 32], Known>>>);

impl VerdictCache {
    /// While the engine answers. `asked`: for this very request, which is why an error is its answer, however long ago.
    pub(super) fn lookup(
        &self,
        tenant: TenantUid,
        digest: &[u8; 32],
        mono: MonoTime,
        (last, asked): (Option<Duration>, bool),
    ) -> Lookup {
        let mut all = self.0.lock();
        let Some(known) = all.get_mut(&tenant).and_then(|t| t.get_mut(digest)) else {
            return Lookup::Unknown;
        };
        if let Some(failed) = known.failed {
            let retry = !asked && mono >= failed + RETRY;
            return if retry { Lookup::Unknown } else { fallback(known, mono, last) };
        }
        match known.verdict {
            Some((true, at)) if mono >= at + FRESH && !known.asking => {
                known.asking = true;
                Lookup::Aging
            }
            Some((true, _)) => Lookup::Allow,
            Some((false, _)) => Lookup::Deny,
            None => Lookup::Unknown,
        }
    }

    /// While it does not.
    pub(super) fn last_known(
        &self,
        tenant: TenantUid,
        digest: &[u8; 32],
        mono: MonoTime,
        last: Option<Duration>,
    ) -> Lookup {
        let all = self.0.lock();
        all.get(&tenant).and_then(|t| t.get(digest)).map_or(Lookup::Down, |k| fallback(k, mono, last))
    }

    /// True when the verdict is recent enough not to ask again.
    pub(super) fn is_fresh(&self, tenant: TenantUid, digest: &[u8; 32], mono: MonoTime) -> bool {
        let all = self.0.lock();
        let known = all.get(&tenant).and_then(|t| t.get(digest));
        known.is_some_and(|k| k.failed.is_none() && k.verdict.is_some_and(|(_, at)| mono < at + FRESH))
    }

    /// An engine answered, or erred.
    pub(super) fn note(&self, tenant: TenantUid, digest: [u8; 32], verdict: Option<bool>, mono: MonoTime) {
        let mut all = self.0.lock();
        let of = all.entry(tenant).or_default();
        if of.len() >= EACH && !of.contains_key(&digest) {
            of.clear();
        }
        let known = of.entry(digest).or_insert(Known { verdict: None, failed: None, asking: false });
        known.asking = false;
        match verdict {
            Some(v) => (known.verdict, known.failed) = (Some((v, mono)), None),
            None => known.failed = Some(mono),
        }
    }
}

fn fallback(known: &Known, mono: MonoTime, last: Option<Duration>) -> Lookup {
    match (known.verdict, last) {
        (Some((true, at)), Some(last)) if mono <= at + last => Lookup::LastKnown,
        _ => Lookup::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: TenantUid = TenantUid([1; 16]);
    const US: Duration = Duration::from_micros(1);
    const MINUTE: Duration = Duration::from_secs(60);

    /// SPEC, invariant 3: `last_known` is an allow, for the same input, no older than it may be since the engine really
    /// said so; an input not seen is denied, and so is one that was denied.
    #[test]
    fn last_known_is_an_allow_of_late() {
        let m = VerdictCache::default();
        let said = MonoTime::from_micros(100);
        m.note(T, [1; 32], Some(true), said);
        m.note(T, [2; 32], Some(false), said);
        let last = |d: u8, mono, l| m.last_known(T, &[d; 32], mono, l);
        assert!(m.is_fresh(T, &[1; 32], said + FRESH - US) && !m.is_fresh(T, &[1; 32], said + FRESH));
        assert!(!m.is_fresh(T, &[3; 32], said + US));
        assert_eq!(last(1, said + MINUTE, Some(MINUTE)), Lookup::LastKnown);
        assert_eq!(last(1, said + MINUTE + US, Some(MINUTE)), Lookup::Down);
        assert_eq!(last(1, said + US, None), Lookup::Down, "the profile says deny");
        assert_eq!(last(2, said + US, Some(MINUTE)), Lookup::Down);
        assert_eq!(last(3, said + US, Some(MINUTE)), Lookup::Down);
        assert_eq!(m.last_known(TenantUid([2; 16]), &[1; 32], said + US, Some(MINUTE)), Lookup::Down);
        // A lookup is not an answer: the age counts from the last real one.
        assert_eq!(m.lookup(T, &[1; 32], said + FRESH * 5, (None, false)), Lookup::Aging);
        assert_eq!(last(1, said + MINUTE + US, Some(MINUTE)), Lookup::Down);
    }

    /// SPEC, invariant 3: for 1, 30 and 300 failures in a row an input that the engine errs on is not allowed, and what
    /// was denied stays denied.
    #[test]
    fn failures_never_allow() {
        let m = VerdictCache::default();
        let mut now = MonoTime::default();
        m.note(T, [2; 32], Some(false), now);
        for n in 0..300 {
            m.note(T, [1; 32], None, now);
            m.note(T, [2; 32], None, now);
            for d in [1, 2] {
                for after in [0, 500, 2_000].map(Duration::from_millis) {
                    let look = |asked| m.lookup(T, &[d; 32], now + after, (Some(MINUTE * 5), asked));
                    assert!(matches!(look(false), Lookup::Down | Lookup::Unknown), "{n} {d} {after:?}");
                    assert_eq!(look(true), Lookup::Down, "whoever asked has an answer: {n} {d} {after:?}");
                }
            }
            now += FRESH;
        }
    }

    /// SPEC 1.3: a tenant that makes up inputs forgets only its own.
    #[test]
    fn rooms_are_bounded_and_apart() {
        let m = VerdictCache::default();
        let now = MonoTime::default();
        m.note(T, [7; 32], Some(true), now);
        for n in 0..3 * EACH as u64 {
            let mut d = [0; 32];
            d[..8].copy_from_slice(&n.to_be_bytes());
            m.note(TenantUid([2; 16]), d, Some(true), now);
        }
        assert_eq!(m.lookup(T, &[7; 32], now + US, (None, false)), Lookup::Allow);
        assert!(m.0.lock()[&TenantUid([2; 16])].len() <= EACH);
    }
}
