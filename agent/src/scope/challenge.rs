//! Challenges that a session text answers. None is kept when it is given out: it is its time of issue with a keyed hash of
//! that, so that whoever asks for thousands takes nothing from anybody. Only used ones are remembered, by the key that
//! signed over them, and only after its signature verified.

use crate::platform::random::{Random, bytes};
use conductor_shared::clock::MonoTime;
use conductor_shared::ids::KeyId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;
use sha2::Sha256;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// A challenge is good for this long.
const CHALLENGE_LIFE: Duration = Duration::from_secs(60);
/// Used challenges remembered for each key. Beyond it the oldest is forgotten, and what was issued before it is refused.
const USED_PER_KEY: usize = 64;

pub(super) type Challenge = [u8; 16];

pub(super) struct Challenges {
    secret: [u8; 32],
    /// Time of issue of the newest, so that no two are the same.
    newest: AtomicU64,
    used: Mutex<HashMap<KeyId, Used>>,
}

#[derive(Default)]
struct Used {
    /// What was issued before this is refused.
    floor: u64,
    times: BTreeSet<u64>,
}

impl Challenges {
    pub(super) fn new(random: &dyn Random) -> Self {
        Self { secret: bytes(random), newest: AtomicU64::new(0), used: Mutex::default() }
    }

    pub(super) fn issue(&self, now: MonoTime) -> Challenge {
        let later = |newest: u64| Some((newest + 1).max(now.as_micros()));
        let newest = self.newest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        let at = newest.map_or(0, |newest| (newest + 1).max(now.as_micros()));
        self.made_at(at)
    }

    fn made_at(&self, at: u64) -> Challenge {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&at.to_be_bytes());
        // A key of 32 bytes fits any HMAC.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) {
            mac.update(b"conductor/challenge/v1");
            mac.update(&out[..8]);
            out[8..].copy_from_slice(&mac.finalize().into_bytes()[..8]);
        }
        out
    }

    /// Takes a challenge that this key signed over. False: it is not ours, too old, or was used by this key.
    pub(super) fn take(&self, challenge: &Challenge, key: KeyId, now: MonoTime) -> bool {
        let mut at = [0; 8];
        at.copy_from_slice(&challenge[..8]);
        let at = u64::from_be_bytes(at);
        let ours = bool::from(self.made_at(at).ct_eq(challenge));
        let oldest = (now - CHALLENGE_LIFE).as_micros();
        if !ours || at < oldest {
            return false;
        }
        let mut used = self.used.lock();
        used.retain(|_, u| u.times.last().is_some_and(|t| *t >= oldest));
        let mine = used.entry(key).or_default();
        if at < mine.floor || !mine.times.insert(at) {
            return false;
        }
        if mine.times.len() > USED_PER_KEY
            && let Some(forgotten) = mine.times.pop_first()
        {
            mine.floor = forgotten + 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::random::OsRandom;

    const ANA: KeyId = KeyId([1; 8]);
    const BEN: KeyId = KeyId([2; 8]);

    fn at(us: u64) -> MonoTime {
        MonoTime::from_micros(us)
    }

    /// C1: whoever asks for challenges without end leaves nothing behind, and the next one is as good as the first.
    #[test]
    fn asking_for_challenges_takes_nothing() {
        let all = Challenges::new(&OsRandom::default());
        let first = all.issue(at(5));
        for _ in 0..100_000 {
            all.issue(at(5));
        }
        assert!(all.used.lock().is_empty());
        let last = all.issue(at(5));
        assert_ne!(first, last);
        assert!(all.take(&first, ANA, at(200_000)) && all.take(&last, BEN, at(200_000)));
    }

    /// Stolen session: each challenge opens one session of a key, within its minute, and only where it was issued.
    #[test]
    fn a_challenge_is_used_once() {
        let (all, other) = (Challenges::new(&OsRandom::default()), Challenges::new(&OsRandom::default()));
        let now = at(1_000_000_000);
        let c = all.issue(now);
        assert!(!other.take(&c, ANA, now), "another node's, or an earlier start's");
        let mut forged = c;
        forged[7] ^= 1;
        assert!(!all.take(&forged, ANA, now));
        assert!(all.take(&c, ANA, now) && !all.take(&c, ANA, now));
        let old = all.issue(now);
        assert!(!all.take(&old, ANA, now + CHALLENGE_LIFE + Duration::from_secs(1)));
    }

    /// C1: a person who opens sessions in a loop is never locked out; what is forgotten is refused, not taken again.
    #[test]
    fn used_challenges_are_bounded_by_key() {
        let all = Challenges::new(&OsRandom::default());
        let mut given: Vec<Challenge> = vec![];
        for n in 0..1_050 {
            let c = all.issue(at(n));
            assert!(all.take(&c, ANA, at(n)), "the newest is taken: {n}");
            given.push(c);
        }
        assert!(given.iter().all(|c| !all.take(c, ANA, at(2_000))));
        assert_eq!(all.used.lock()[&ANA].times.len(), USED_PER_KEY);
        let later = at(2_000) + CHALLENGE_LIFE + CHALLENGE_LIFE;
        assert!(all.take(&all.issue(later), BEN, later));
        assert_eq!(all.used.lock().len(), 1, "a key's memory goes when it is too old to matter");
    }
}
