//! A batch in plaintext, laid out with headroom so that it can be encrypted in place. The sealer encrypts it while the
//! writer decides the next batch (docs/adr/0018, 5).

use super::{Partition, TENANT_KEY};
use crate::keys::{self, KEY_NUMBER, Key, OVERHEAD};
use crate::platform::random::Random;
use crate::store::{Batch, Family};
use conductor_shared::codec::length_prefix;
use conductor_shared::ids::PartitionId;
use std::ops::Range;

/// A batch with values that wait to be sealed.
#[derive(Default)]
pub struct PlainBatch {
    batch: Batch,
    values: Vec<Value>,
    /// What the values belong to, one after the other, each with room for the number of a key.
    places: Vec<u8>,
    keys: Vec<UnderKey>,
}

struct Value {
    /// Room for number, nonce, text and tag.
    room: Range<usize>,
    place: Range<usize>,
    key: usize,
}

struct UnderKey {
    of: PartitionId,
    number: u64,
    key: Key,
}

/// Rows in turn under few keys: the one that is looked for is among the last.
const LAST_KEYS: usize = 4;

impl PlainBatch {
    /// True when there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Rows set and removed.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Takes back all rows of a family. Tells how many receipts were among them.
    pub fn discard(&mut self, family: &Family) -> u64 {
        self.batch.discard(family)
    }

    /// Sets a row that holds nothing: its key is all it says.
    pub fn mark(&mut self, family: &Family, row: &[u8]) {
        self.batch.put(family, row, 0);
    }

    pub fn delete(&mut self, family: &Family, row: &[u8]) {
        self.batch.delete(family, row);
    }

    /// Sets a row of what is not erasable, to be sealed under the tenant key.
    pub fn put(&mut self, p: &Partition, row: &[u8], plain: &[u8]) {
        self.put_under(p, row, (TENANT_KEY, &p.keys.tenant), plain);
    }

    /// Sets a row to be sealed under a unit key.
    pub fn put_under(&mut self, p: &Partition, row: &[u8], unit: (u64, &Key), plain: &[u8]) {
        let room = self.batch.put(&p.family, row, plain.len() + OVERHEAD);
        let place = self.place(p, row);
        self.value(p, room, place, unit, plain);
    }

    /// Sets a receipt: what stays, sealed under the tenant key, with its length before it, then what can be erased,
    /// sealed under a unit key. Gives the bytes that are stored.
    pub fn put_receipt(
        &mut self,
        p: &Partition,
        row: &[u8],
        head: &[u8],
        unit: (u64, &Key),
        body: &[u8],
    ) -> u64 {
        let stays = head.len() + OVERHEAD;
        let prefix = length_prefix(stays);
        let len = prefix.len() + stays + body.len() + OVERHEAD;
        let room = self.batch.put(&p.family, row, len);
        let begin = room.start + prefix.len();
        let middle = begin + stays;
        self.batch.value(room.start..begin).copy_from_slice(&prefix);
        let place = self.place(p, row);
        self.value(p, begin..middle, place.clone(), (TENANT_KEY, &p.keys.tenant), head);
        self.value(p, middle..room.end, place, unit, body);
        len as u64
    }

    fn place(&mut self, p: &Partition, row: &[u8]) -> Range<usize> {
        let start = self.places.len();
        p.put_place(row, &mut self.places);
        self.places.extend_from_slice(&[0; KEY_NUMBER]);
        start..self.places.len()
    }

    fn value(
        &mut self,
        p: &Partition,
        room: Range<usize>,
        place: Range<usize>,
        (number, key): (u64, &Key),
        plain: &[u8],
    ) {
        keys::put_plain(self.batch.value(room.clone()), plain);
        let is = |k: &UnderKey| k.number == number && k.of == p.id;
        let among = self.keys.len().saturating_sub(LAST_KEYS);
        let known = self.keys[among..].iter().position(is).map(|n| among + n);
        if known.is_none() {
            self.keys.push(UnderKey { of: p.id, number, key: key.clone() });
        }
        let key = known.unwrap_or(self.keys.len() - 1);
        self.values.push(Value { room, place, key });
    }

    pub fn seal(mut self, random: &dyn Random) -> Result<Batch, CannotSeal> {
        for v in &self.values {
            let k = &self.keys[v.key];
            let (place, room) = (&mut self.places[v.place.clone()], self.batch.value(v.room.clone()));
            keys::seal_in_place(&k.key, k.number, place, room, random).map_err(|_| CannotSeal)?;
        }
        Ok(self.batch)
    }
}

/// A value is too long to be sealed, by many gigabytes, or its room is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a row could not be sealed; nothing of its batch was written")]
pub struct CannotSeal;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::test_util::TestStore;

    /// DESIGN, Keys: what is sealed in place opens as what was put there, in its own row and nowhere else; of two values
    /// of a row the last wins.
    #[test]
    fn what_was_put_opens_in_its_own_row() {
        let mut test = TestStore::new();
        let (a, mut units) = test.partition(1);
        let (b, _) = test.partition(2);
        let (store, random) = (&test.store, &test.random);
        let of_runs: Vec<_> = (0..6).map(|_| units.take(random).unwrap()).collect();
        let mut rows = PlainBatch::default();
        assert!(rows.is_empty());
        rows.put(&a, b"row", b"of a, overwritten");
        rows.put(&b, b"row", b"of b");
        rows.put(&a, b"row", b"of a");
        rows.put(&a, b"empty", b"");
        rows.mark(&a.family, b"mark");
        for (n, unit) in (0_u8..).zip(&of_runs) {
            rows.put_under(&a, &[b'u', n], (unit.0, &unit.1), &[n; 100]);
        }
        let stored = rows.put_receipt(&a, b"receipt", b"stays", (of_runs[3].0, &of_runs[3].1), b"goes");
        store.write(rows.seal(random).unwrap()).unwrap();

        let get = |p: &Partition, row: &[u8]| store.get(&p.family, row).unwrap().unwrap();
        assert_eq!(a.open(b"row", &get(&a, b"row")).unwrap(), b"of a");
        assert_eq!(b.open(b"row", &get(&b, b"row")).unwrap(), b"of b");
        assert_eq!(a.open(b"empty", &get(&a, b"empty")).unwrap(), b"");
        assert_eq!(get(&a, b"mark"), b"");
        for (n, unit) in (0_u8..).zip(&of_runs) {
            let value = get(&a, &[b'u', n]);
            assert_eq!(keys::key_number(&value), Ok(unit.0));
            assert_eq!(a.open(&[b'u', n], &value).unwrap(), vec![n; 100]);
            assert!(a.open(b"row", &value).is_err(), "in another row");
        }
        assert!(b.open(b"row", &get(&a, b"row")).is_err(), "in another partition");
        let value = get(&a, b"receipt");
        assert_eq!(value.len() as u64, stored);
        let (len, rest) = value.split_first_chunk::<4>().unwrap();
        let (head, body) = rest.split_at(u32::from_be_bytes(*len) as usize);
        assert_eq!(a.open(b"receipt", head).unwrap(), b"stays");
        assert_eq!(a.open(b"receipt", body).unwrap(), b"goes");
        assert_eq!((keys::key_number(head), keys::key_number(body)), (Ok(TENANT_KEY), Ok(of_runs[3].0)));
    }

    /// Gives bytes of value 5.
    struct Fives;
    impl Random for Fives {
        fn fill(&self, out: &mut [u8]) {
            out.fill(5);
        }
    }

    /// DESIGN, RocksDB keys: a sealed value is bound to its origin, its key and its version. The bytes were computed
    /// with another implementation of the cipher (docs/adr/0022).
    #[test]
    fn a_stored_value_has_its_published_bytes() {
        let mut test = TestStore::new();
        let (mut p, _) = test.partition(1);
        p.keys.tenant = Key::new([7; 32]);
        let row = crate::store::Row::Hour(1).key();
        let mut rows = PlainBatch::default();
        rows.put(&p, &row, b"row");
        test.store.write(rows.seal(&Fives).unwrap()).unwrap();
        let value = test.store.get(&p.family, &row).unwrap().unwrap();
        let published = "ffffffffffffffff05050505050505050505050505050505050505050505050583d50286e23c6172ffb48036ee01b0057cfaed";
        assert_eq!(conductor_shared::ids::hex(&value), published);
        let without_version = [&p.origin.to_bytes()[..], &row].concat();
        assert!(keys::open(&p.keys.tenant, &without_version, &value).is_err());
    }
}
