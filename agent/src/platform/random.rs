//! Source of randomness, passed in so that simulations can use a seeded one.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use parking_lot::Mutex;
use zeroize::{Zeroize as _, Zeroizing};

pub trait Random: Send + Sync {
    fn fill(&self, out: &mut [u8]);
}

pub fn bytes<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut out = [0; N];
    random.fill(&mut out);
    out
}

const POOL: usize = 8 * 1024;

/// A pool of 8 KiB, filled by `ChaCha20` under a fresh seed from the operating system each time: taking all bytes from the
/// operating system took five times as long. Bytes are wiped as they are used, and a seed right after it filled the pool.
pub struct OsRandom(Mutex<(Box<[u8; POOL]>, usize)>);

impl Default for OsRandom {
    fn default() -> Self {
        Self(Mutex::new((Box::new([0; POOL]), POOL)))
    }
}

impl Random for OsRandom {
    #[allow(clippy::panic)] // without randomness nothing may be sealed or named: stopping is the safe answer
    fn fill(&self, mut out: &mut [u8]) {
        let mut guard = self.0.lock();
        let (pool, at) = &mut *guard;
        while !out.is_empty() {
            if *at == POOL {
                let mut seed = Zeroizing::new([0; 32]);
                if let Err(e) = getrandom::fill(&mut *seed) {
                    panic!("the operating system gives no random bytes: {e}");
                }
                ChaCha20Rng::from_seed(*seed).fill_bytes(&mut pool[..]);
                *at = 0;
            }
            let n = out.len().min(POOL - *at);
            let (head, tail) = out.split_at_mut(n);
            head.copy_from_slice(&pool[*at..*at + n]);
            pool[*at..*at + n].zeroize();
            *at += n;
            out = tail;
        }
    }
}
