//! What is written together or not at all.

use super::Family;
use rocksdb::WriteBatch;

/// One atomic write over any number of families.
#[derive(Default)]
pub struct Batch {
    pub(super) inner: WriteBatch,
}

impl Batch {
    /// Sets a row.
    pub fn put(&mut self, family: &Family, key: &[u8], value: &[u8]) {
        self.inner.put_cf(family, key, value);
    }
    /// Removes a row.
    pub fn delete(&mut self, family: &Family, key: &[u8]) {
        self.inner.delete_cf(family, key);
    }
    /// Removes the rows whose keys lie in `from..to`.
    pub fn delete_range(&mut self, family: &Family, from: &[u8], to: &[u8]) {
        self.inner.delete_range_cf(family, from, to);
    }
    /// The bytes as they go into the write-ahead log, without its framing.
    pub fn bytes(&self) -> &[u8] {
        self.inner.data()
    }
    /// True when there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }
}
