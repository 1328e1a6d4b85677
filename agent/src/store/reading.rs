//! Reading many rows as they were at one moment.

use super::{Family, Pair, StoreError};
use rocksdb::{IteratorMode, ReadOptions};
use std::ops::Range;
use std::path::Path;

/// The store as it was at one moment.
pub struct Reading<'a> {
    snapshot: rocksdb::Snapshot<'a>,
    path: &'a Path,
}

impl<'a> Reading<'a> {
    pub(super) fn of(snapshot: rocksdb::Snapshot<'a>, path: &'a Path) -> Self {
        Self { snapshot, path }
    }

    fn error(&self, e: &rocksdb::Error) -> StoreError {
        StoreError::Read { path: self.path.to_owned(), detail: e.to_string() }
    }

    /// One row.
    pub fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot.get_cf(family, key).map_err(|e| self.error(&e))
    }

    /// Rows of a kind whose number lies in a range, in order.
    pub fn rows(&self, family: &Family, first: u8, numbers: Range<u32>) -> Result<Vec<Pair>, StoreError> {
        let mut out = Vec::new();
        self.visit(family, first, numbers, |k, v| out.push((k.to_vec(), v.to_vec())))?;
        Ok(out)
    }

    /// Shows the same rows where they are, without copying them.
    pub fn visit(
        &self,
        family: &Family,
        first: u8,
        numbers: Range<u32>,
        mut each: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), StoreError> {
        let key = |n: u32| [&[first][..], &n.to_be_bytes()].concat();
        let mut o = ReadOptions::default();
        o.set_iterate_upper_bound(key(numbers.end));
        let mut it = self.snapshot.raw_iterator_cf_opt(family, o);
        it.seek(key(numbers.start));
        while let Some((k, v)) = it.item() {
            each(k, v);
            it.next();
        }
        it.status().map_err(|e| self.error(&e))
    }

    /// The last row of a kind whose number is lower.
    pub fn last_before(&self, family: &Family, first: u8, number: u32) -> Result<Option<Pair>, StoreError> {
        let mut o = ReadOptions::default();
        o.set_iterate_upper_bound([&[first][..], &number.to_be_bytes()].concat());
        o.set_iterate_lower_bound([first]);
        match self.snapshot.iterator_cf_opt(family, o, IteratorMode::End).next() {
            None => Ok(None),
            Some(Ok((k, v))) => Ok(Some((k.into_vec(), v.into_vec()))),
            Some(Err(e)) => Err(self.error(&e)),
        }
    }

    /// The last row of a kind.
    pub fn last(&self, family: &Family, first: u8) -> Result<Option<Pair>, StoreError> {
        let mut o = ReadOptions::default();
        o.set_iterate_upper_bound([first + 1]);
        o.set_iterate_lower_bound([first]);
        match self.snapshot.iterator_cf_opt(family, o, IteratorMode::End).next() {
            None => Ok(None),
            Some(Ok((k, v))) => Ok(Some((k.into_vec(), v.into_vec()))),
            Some(Err(e)) => Err(self.error(&e)),
        }
    }
}
