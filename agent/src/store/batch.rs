//! What is written together or not at all.

use super::{Family, Row, VALUE_VERSION};
use rocksdb::WriteBatch;
use std::ops::Range;

/// One atomic write over any number of families.
///
/// Rows are gathered here and given to RocksDB in the order of their families and keys, each key once, as it was set
/// last: a memtable finds the place of a key next to the one before it, where it would search for one anywhere else.
#[derive(Default)]
pub struct Batch {
    rows: Vec<Staged>,
    families: Vec<Family>,
    bytes: Vec<u8>,
}

const ROWS: usize = 512;
const BYTES: usize = 128 << 10;

struct Staged {
    family: usize,
    /// The key's first bytes, as a number: most keys differ in them.
    begins: u128,
    key: Range<usize>,
    /// With its version; `None`: the row is removed.
    value: Option<Range<usize>>,
}

impl Batch {
    fn stage(&mut self, family: &Family, key: &[u8], len: Option<usize>) -> Range<usize> {
        if self.families.last().is_none_or(|f| f.address() != family.address()) {
            self.families.push(family.clone());
        }
        if self.rows.is_empty() {
            // Room for most batches at once: growing would copy the rows repeatedly.
            self.rows.reserve(ROWS);
            self.bytes.reserve(BYTES);
        }
        let mut begins = [0; 16];
        let known = key.len().min(begins.len());
        begins[..known].copy_from_slice(&key[..known]);
        let begins = u128::from_be_bytes(begins);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let key = start..self.bytes.len();
        let value = len.map(|len| {
            self.bytes.push(VALUE_VERSION);
            self.bytes.resize(key.end + 1 + len, 0);
            key.end..self.bytes.len()
        });
        let room = value.as_ref().map_or(key.end, |v| v.start + 1)..self.bytes.len();
        self.rows.push(Staged { family: self.families.len() - 1, begins, key, value });
        room
    }

    /// Sets a row to a value of `len` zero bytes; returns their place, for [`Batch::value`].
    pub fn put(&mut self, family: &Family, key: &[u8], len: usize) -> Range<usize> {
        self.stage(family, key, Some(len))
    }
    /// Room for a value, or for a part of it.
    pub fn value(&mut self, room: Range<usize>) -> &mut [u8] {
        &mut self.bytes[room]
    }
    pub fn delete(&mut self, family: &Family, key: &[u8]) {
        self.stage(family, key, None);
    }
    /// Takes back all that was set and removed in a family. Tells how many receipts were among it.
    pub fn discard(&mut self, family: &Family) -> u64 {
        let receipt = Row::Receipt(0).key()[0];
        let gone = self.rows.extract_if(.., |r| self.families[r.family].address() == family.address());
        gone.filter(|r| self.bytes.get(r.key.start) == Some(&receipt)).count() as u64
    }
    /// True when there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows set and removed.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// As RocksDB takes it. `Err`: the name of a family that was planned and not made.
    pub(super) fn ordered(mut self) -> Result<WriteBatch, String> {
        let place = |r: &Staged| (self.families[r.family].address(), r.begins, &self.bytes[r.key.clone()]);
        // Stable: of several rows with one key, the one set last stays last.
        self.rows.sort_by(|a, b| place(a).cmp(&place(b)));
        let mut out = WriteBatch::with_capacity_bytes(self.bytes.len() + 16 * self.rows.len());
        for (i, row) in self.rows.iter().enumerate() {
            if self.rows.get(i + 1).is_some_and(|next| place(next) == place(row)) {
                continue;
            }
            let (family, key) = (&self.families[row.family], &self.bytes[row.key.clone()]);
            let made = family.made().ok_or_else(|| family.name().to_owned())?;
            match &row.value {
                Some(v) => out.put_cf(&made, key, &self.bytes[v.clone()]),
                None => out.delete_cf(&made, key),
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::reading::MAX_ITERATED;
    use crate::store::{FamilyChange, RowKind, SpaceLimits, Store, StoreError};
    use conductor_shared::ids::{PartitionId, TenantUid};

    /// DESIGN, the path of a change: a batch leaves what its rows, one after the other, would have left.
    #[test]
    fn the_last_row_of_a_key_stands() {
        let dir = tempfile::tempdir().unwrap();
        let limits = SpaceLimits { reserve_bytes: 0, ..SpaceLimits::default() };
        let store = Store::create(dir.path(), limits).unwrap();
        let ids = [1, 2].map(|n| PartitionId { tenant: TenantUid([n; 16]), epoch: 1 });
        let f = store.create_families(&ids).unwrap();
        let mut b = Batch::default();
        assert!(b.is_empty());
        let put = |b: &mut Batch, family: usize, key: &[u8], value: &[u8]| {
            let room = b.put(&f[family], key, value.len());
            b.value(room).copy_from_slice(value);
        };
        put(&mut b, 0, b"k", b"first");
        put(&mut b, 1, b"k", b"other family");
        put(&mut b, 0, b"a", b"before");
        put(&mut b, 0, b"k", b"last");
        put(&mut b, 0, b"gone", b"1");
        b.delete(&f[0], b"gone");
        b.delete(&f[1], b"back");
        put(&mut b, 1, b"back", b"2");
        // Alike in the bytes that are compared as numbers, and one a prefix of another.
        let long = |last: u8| [&[7; 20][..], &[last]].concat();
        put(&mut b, 0, &long(1), b"one, first");
        put(&mut b, 0, &long(2), b"two");
        put(&mut b, 0, &long(1), b"one");
        put(&mut b, 0, b"k\0", b"k and a zero");
        store.write(b).unwrap();
        let get = |i: usize, k: &[u8]| store.get(&f[i], k).unwrap().map(|v| String::from_utf8(v).unwrap());
        assert_eq!(get(0, b"k").as_deref(), Some("last"));
        assert_eq!(get(1, b"k").as_deref(), Some("other family"));
        assert_eq!(get(0, b"a").as_deref(), Some("before"));
        assert_eq!(get(0, b"gone"), None);
        assert_eq!(get(1, b"back").as_deref(), Some("2"));
        assert_eq!(get(0, b"k\0").as_deref(), Some("k and a zero"));
        assert_eq!((get(0, &long(1)).as_deref(), get(0, &long(2)).as_deref()), (Some("one"), Some("two")));
    }

    /// A read of more rows than one iterator shows misses none and shows none twice.
    #[test]
    fn a_long_read_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let limits = SpaceLimits { reserve_bytes: 0, ..SpaceLimits::default() };
        let store = Store::create(dir.path(), limits).unwrap();
        let id = PartitionId { tenant: TenantUid([1; 16]), epoch: 1 };
        let f = store.create_families(&[id]).unwrap().remove(0);
        let rows = 2 * MAX_ITERATED as u64 + 1;
        let mut b = Batch::default();
        for n in 0..rows {
            let _room = b.put(&f, &Row::Control(n).key(), 0);
        }
        store.write(b).unwrap();
        for begin in [0, rows - MAX_ITERATED as u64 - 1, rows - MAX_ITERATED as u64] {
            let read = store.reading().rows(&f, &Row::Control(begin).scan_from()).unwrap();
            assert!(read.iter().map(|(row, _)| *row).eq((begin..rows).map(Row::Control)), "{begin}");
        }
    }

    /// DESIGN, RocksDB keys: each stored value begins with its version, also one that says nothing else, and one of
    /// another version is refused.
    #[test]
    fn each_value_begins_with_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let store =
            Store::create(dir.path(), SpaceLimits { reserve_bytes: 0, ..SpaceLimits::default() }).unwrap();
        let f =
            store.create_families(&[PartitionId { tenant: TenantUid([1; 16]), epoch: 1 }]).unwrap().remove(0);
        let (mark, text) = (Row::Control(1).key(), Row::Hour(1).key());
        let mut b = Batch::default();
        assert!(b.put(&f, &mark, 0).is_empty());
        let room = b.put(&f, &text, 4);
        b.value(room).copy_from_slice(b"text");
        store.write(b).unwrap();
        assert_eq!(store.db.get_cf(&f.made().unwrap(), mark).unwrap().unwrap(), [VALUE_VERSION]);
        assert_eq!(store.db.get_cf(&f.made().unwrap(), text).unwrap().unwrap(), b"\x01text");
        let meta = [Row::Format, Row::Node];
        store.put_meta(Row::Node, b"node").unwrap();
        assert!(meta.iter().all(|row| store.db.get(row.key()).unwrap().unwrap()[0] == VALUE_VERSION));
        assert_eq!(store.get_meta(Row::Node).unwrap().unwrap(), b"node");

        for bad in [&b"\x02text"[..], b""] {
            store.db.put_cf(&f.made().unwrap(), text, bad).unwrap();
            let hours = Row::scan_of(RowKind::Hour);
            let errors = [
                store.get(&f, &text).unwrap_err(),
                store.reading().get(&f, &text).unwrap_err(),
                store.rows(&f, &hours).unwrap_err(),
                store.last(&f, &hours).unwrap_err(),
            ];
            assert!(errors.iter().all(|e| matches!(e, StoreError::Row { .. })), "{errors:?}");
        }
        store.db.put_cf(&f.made().unwrap(), b"\x46short", b"\x01").unwrap();
        assert!(store.rows(&f, &Row::scan_of(RowKind::Hour)).is_err(), "a key that is none");
    }

    /// docs/design/write-path.md, the sealer: a planned family reads as empty until it is made; one that was dropped is gone
    /// with its rows, and stays gone.
    #[test]
    fn families_are_planned_made_and_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let limits = SpaceLimits { reserve_bytes: 0, ..SpaceLimits::default() };
        let store = Store::create(dir.path(), limits).unwrap();
        let id = PartitionId { tenant: TenantUid([1; 16]), epoch: 1 };
        let f = store.plan_families(&[id]).unwrap().remove(0);
        let key = Row::Hour(1).key();
        assert_eq!(store.get(&f, &key).unwrap(), None);
        assert_eq!(store.rows(&f, &Row::scan_of(RowKind::Hour)).unwrap(), []);
        assert_eq!(store.last(&f, &Row::scan_of(RowKind::Hour)).unwrap(), None);
        let mut b = Batch::default();
        b.put(&f, &key, 1);
        store.change_families(&[FamilyChange::Make(vec![id])]).unwrap();
        store.write(b).unwrap();
        assert_eq!(store.get(&f, &key).unwrap().as_deref(), Some(&[0][..]));
        store.change_families(&[FamilyChange::Drop(id)]).unwrap();
        assert!(store.family(id).is_none());
        drop((f, store));
        let store = Store::open(dir.path(), limits).unwrap();
        assert_eq!(store.family_ids(), []);
        // Without its family nothing of a batch is written, and the store says so.
        let f = store.plan_families(&[id]).unwrap().remove(0);
        let mut b = Batch::default();
        b.put(&f, &key, 1);
        assert!(store.write(b).is_err() && store.has_failed());
    }
}
