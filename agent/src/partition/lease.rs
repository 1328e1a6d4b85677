//! Leave to read a partition. A reader takes a lease for one bounded read and gives it back; whoever closes, purges or
//! replaces the partition lends no more and waits until every lease is back.

use crate::ledger::Partition;
use crate::store::Store;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Duration;

/// Lends leases on one incarnation of a partition.
pub struct Leases {
    inner: Mutex<Inner>,
    returned: Condvar,
}

struct Inner {
    /// `None` once revoked, and where there is nothing to read.
    lent: Option<(Arc<Store>, Arc<Partition>)>,
    held: usize,
}

/// The store and a partition of it, for one bounded read.
pub struct Lease {
    // Let go of in this order: whoever waits for the lease opens the store again.
    store: Arc<Store>,
    partition: Arc<Partition>,
    _back: Back,
}

/// Gives a lease back when it goes.
struct Back(Arc<Leases>);

impl Leases {
    /// `None`: there is nothing to read.
    pub fn new(of: Option<(Arc<Store>, Partition)>) -> Arc<Self> {
        let lent = of.map(|(store, p)| (store, Arc::new(p)));
        Arc::new(Self { inner: Mutex::new(Inner { lent, held: 0 }), returned: Condvar::new() })
    }

    /// `None` once revoked.
    pub fn take(self: &Arc<Self>) -> Option<Lease> {
        let mut inner = self.inner.lock();
        let (store, partition) = inner.lent.clone()?;
        inner.held += 1;
        Some(Lease { store, partition, _back: Back(Arc::clone(self)) })
    }

    /// From now on none is lent.
    pub fn revoke(&self) {
        self.inner.lock().lent = None;
    }

    /// Waits until all are back, and so long at most. False: some are still held.
    pub fn wait(&self, most: Duration) -> bool {
        let mut inner = self.inner.lock();
        !self.returned.wait_while_for(&mut inner, |inner| inner.held > 0, most).timed_out()
    }
}

impl Lease {
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn partition(&self) -> &Partition {
        &self.partition
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock();
        inner.held -= 1;
        if inner.held == 0 {
            self.0.returned.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::test_util::TestStore;

    /// docs/design/write-path.md, leases: what was revoked is lent no more, and whoever waits waits for the last reader.
    #[test]
    fn a_lease_can_be_revoked_and_waited_for() {
        let mut t = TestStore::new();
        let (p, _) = t.partition(1);
        let leases = Leases::new(Some((Arc::new(t.store), p)));
        let (one, two) = (leases.take().unwrap(), leases.take().unwrap());
        leases.revoke();
        assert!(leases.take().is_none());
        assert!(!leases.wait(Duration::ZERO), "two are held");
        drop(one);
        assert!(!leases.wait(Duration::ZERO), "one is held");
        let waits = Arc::clone(&leases);
        let waiter = std::thread::spawn(move || waits.wait(Duration::from_secs(60)));
        drop(two);
        assert!(waiter.join().unwrap());
        assert!(Leases::new(None).take().is_none());
    }
}
