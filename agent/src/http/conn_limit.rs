//! Limits connections over all listeners by the process's file limit, and each peer to a quarter of that, so that no
//! peer can shut out others or take the files that the store needs.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Concurrent connections over all listeners, if the file limit allows.
const MAX_CONNECTIONS: usize = 4_096;
/// Files reserved for the store, sockets and logs.
const OTHER_FILES: u64 = crate::store::MAX_OPEN_FILES.unsigned_abs() as u64 + 256;
/// Never fewer, whatever the file limit.
const MIN_CONNECTIONS: usize = 64;

/// Raises the file limit of this process as far as the hard limit allows. Returns how many connections fit.
pub fn connections_that_fit() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1_024, 1_024));
    let wanted = (OTHER_FILES + MAX_CONNECTIONS as u64).min(hard);
    let have = if soft >= wanted || setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() {
        soft.max(wanted)
    } else {
        soft
    };
    let fit = usize::try_from(have.saturating_sub(OTHER_FILES)).unwrap_or(MAX_CONNECTIONS);
    if fit < MAX_CONNECTIONS {
        tracing::warn!(
            "only {have} files may be open: {} connections at a time; raise LimitNOFILE to {}",
            fit.max(MIN_CONNECTIONS),
            OTHER_FILES + MAX_CONNECTIONS as u64
        );
    }
    fit.clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

pub struct ConnLimiter {
    free: Arc<Semaphore>,
    per_peer: usize,
    taken: Mutex<HashMap<String, usize>>,
}

/// Permission for one connection; returned when dropped.
pub struct ConnPermit {
    limiter: Arc<ConnLimiter>,
    peer: String,
    _permit: OwnedSemaphorePermit,
}

impl ConnLimiter {
    pub fn new(all: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(all));
        Arc::new(Self { free, per_peer: (all / 4).max(1), taken: Mutex::default() })
    }

    /// Waits for a free connection of any peer.
    pub async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Assigns it to a peer; `None` when that peer has its share.
    pub fn assign(self: &Arc<Self>, permit: OwnedSemaphorePermit, peer: String) -> Option<ConnPermit> {
        let mut taken = self.taken.lock();
        let n = taken.entry(peer.clone()).or_default();
        if *n >= self.per_peer {
            return None;
        }
        *n += 1;
        Some(ConnPermit { limiter: Arc::clone(self), peer, _permit: permit })
    }
}

impl Drop for ConnPermit {
    fn drop(&mut self) {
        let mut taken = self.limiter.taken.lock();
        if let Some(n) = taken.get_mut(&self.peer) {
            *n -= 1;
            if *n == 0 {
                taken.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC 1.3: a peer that opens connections without end gets a quarter of them; others still get theirs.
    #[tokio::test]
    async fn one_peer_does_not_take_all_connections() {
        let limiter = ConnLimiter::new(8);
        let mut held = vec![];
        for _ in 0..2 {
            held.push(limiter.assign(limiter.acquire().await.unwrap(), "unix uid 7".into()).unwrap());
        }
        assert!(limiter.assign(limiter.acquire().await.unwrap(), "unix uid 7".into()).is_none());
        held.push(limiter.assign(limiter.acquire().await.unwrap(), "unix uid 8".into()).unwrap());
        drop(held.remove(0));
        held.push(limiter.assign(limiter.acquire().await.unwrap(), "unix uid 7".into()).unwrap());
        drop(held);
        assert_eq!(limiter.free.available_permits(), 8, "all come back");
        assert!(limiter.taken.lock().is_empty());
    }
}
