//! Places for connections: bounded over all listeners by the files that may be open, and for each peer by a quarter of
//! that, so that one who opens many keeps nobody else out, and never takes the files that the store needs.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at a time, over all listeners, where the system allows as many.
pub const MAX_CONNECTIONS: usize = 4_096;
/// Files kept for the store, the sockets and the logs.
const OTHER_FILES: u64 = crate::store::MAX_OPEN_FILES.unsigned_abs() as u64 + 256;
/// Fewer make no sense.
const FEWEST: usize = 64;

/// Raises the number of files that this process may have open as far as it may be, and tells how many connections fit.
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
            fit.max(FEWEST),
            OTHER_FILES + MAX_CONNECTIONS as u64
        );
    }
    fit.clamp(FEWEST, MAX_CONNECTIONS)
}

/// The places of all listeners.
pub struct ConnLimiter {
    free: Arc<Semaphore>,
    of_peer: usize,
    taken: Mutex<HashMap<String, usize>>,
}

/// One place; free again when dropped.
pub struct ConnPermit {
    places: Arc<ConnLimiter>,
    peer: String,
    _permit: OwnedSemaphorePermit,
}

impl ConnLimiter {
    /// So many places.
    pub fn new(all: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(all));
        Arc::new(Self { free, of_peer: (all / 4).max(1), taken: Mutex::default() })
    }

    /// Waits until there is one for somebody.
    pub async fn any(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Gives it to a peer, by user id or address; `None` when that one has enough.
    pub fn give(self: &Arc<Self>, permit: OwnedSemaphorePermit, peer: String) -> Option<ConnPermit> {
        let mut taken = self.taken.lock();
        let n = taken.entry(peer.clone()).or_default();
        if *n >= self.of_peer {
            return None;
        }
        *n += 1;
        Some(ConnPermit { places: Arc::clone(self), peer, _permit: permit })
    }
}

impl Drop for ConnPermit {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
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

    /// SPEC 1.3: whoever opens connections without end has a quarter of the places, and others get theirs.
    #[tokio::test]
    async fn one_peer_does_not_take_all_places() {
        let places = ConnLimiter::new(8);
        let mut held = vec![];
        for _ in 0..2 {
            held.push(places.give(places.any().await.unwrap(), "unix uid 7".into()).unwrap());
        }
        assert!(places.give(places.any().await.unwrap(), "unix uid 7".into()).is_none());
        held.push(places.give(places.any().await.unwrap(), "unix uid 8".into()).unwrap());
        drop(held.remove(0));
        held.push(places.give(places.any().await.unwrap(), "unix uid 7".into()).unwrap());
        drop(held);
        assert_eq!(places.free.available_permits(), 8, "all come back");
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
