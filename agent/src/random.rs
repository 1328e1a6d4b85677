//! Randomness is passed in, so that the core can run under a seeded one in simulations.

use std::sync::{Mutex, PoisonError};
use zeroize::Zeroize as _;

/// Where random bytes come from.
pub trait Random: Send + Sync {
    /// Fills `out`.
    fn fill(&self, out: &mut [u8]);
}

/// `N` random bytes.
pub fn bytes<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut out = [0; N];
    random.fill(&mut out);
    out
}

const POOL: usize = 8 * 1024;

/// The operating system's generator, read in larger pieces: a nonce costs no system call. Bytes are wiped as they are
/// handed out.
pub struct OsRandom(Mutex<(Box<[u8; POOL]>, usize)>);

impl Default for OsRandom {
    fn default() -> Self {
        Self(Mutex::new((Box::new([0; POOL]), POOL)))
    }
}

impl Random for OsRandom {
    #[allow(clippy::panic)] // without randomness nothing may be sealed or named: stopping is the safe answer
    fn fill(&self, mut out: &mut [u8]) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (pool, at) = &mut *guard;
        while !out.is_empty() {
            if *at == POOL {
                if let Err(e) = getrandom::fill(&mut pool[..]) {
                    panic!("the operating system gives no random bytes: {e}");
                }
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
