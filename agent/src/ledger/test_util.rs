//! For tests: a store and a key store in a scratch folder, with partitions in them.

use super::Partition;
use crate::keys::{KeyStore, Units};
use crate::platform::random::OsRandom;
use crate::store::{SpaceLimits, Store};
use conductor_shared::ids::{NodeId, Origin, PartitionId, TenantUid};

pub(crate) struct TestStore {
    pub(crate) store: Store,
    pub(crate) random: OsRandom,
    keys: KeyStore,
    _folder: tempfile::TempDir,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let random = OsRandom::default();
        let limits = SpaceLimits { reserve_bytes: 0, ..SpaceLimits::default() };
        let store = Store::create(&folder.path().join("db"), limits).unwrap();
        let keys = KeyStore::create(&folder.path().join("keys"), &random).unwrap();
        Self { store, random, keys, _folder: folder }
    }

    /// A new partition, and its unit keys.
    pub(crate) fn partition(&mut self, n: u8) -> (Partition, Units) {
        let id = PartitionId { tenant: TenantUid([n; 16]), epoch: 1 };
        self.keys.create_tenants(&[(id.tenant, id.epoch)], &self.random).unwrap();
        let units = self.keys.units(id.tenant, id.epoch).unwrap();
        let p = Partition {
            id,
            origin: Origin { node: NodeId([9; 16]), tenant: id.tenant, epoch: id.epoch },
            family: self.store.create_families(&[id]).unwrap().remove(0),
            keys: self.keys.tenant(id.tenant, id.epoch).unwrap(),
            units: units.reader(),
        };
        (p, units)
    }
}
