//! Reading rows: one, or all of a scan, now or as they were at one moment.

use super::{Family, Pair, Row, Scan, StoreError, VALUE_VERSION, family_of};
use rocksdb::{DBRawIterator, ReadOptions};
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

    pub fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(made) = family.made() else { return Ok(None) };
        let found = self.snapshot.get_pinned_cf(&made, key).map_err(|e| read_error(self.path, &e))?;
        found.map(|value| without_version(family.name(), key, &value)).transpose()
    }

    /// Shows rows where they are, in order, until `each` returns false.
    pub fn scan(
        &self,
        family: &Family,
        scan: &Scan,
        each: impl FnMut(Row, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let Some(made) = family.made() else { return Ok(()) };
        walk(|scan| self.snapshot.raw_iterator_cf_opt(&made, bounds(scan)), family, scan, self.path, each)
    }

    /// The same rows, copied.
    pub fn rows(&self, family: &Family, scan: &Scan) -> Result<Vec<Pair>, StoreError> {
        let mut out = Vec::new();
        self.scan(family, scan, |row, value| {
            out.push((row, value.to_vec()));
            true
        })?;
        Ok(out)
    }

    /// The last of them.
    pub fn last(&self, family: &Family, scan: &Scan) -> Result<Option<Pair>, StoreError> {
        let Some(made) = family.made() else { return Ok(None) };
        let mut it = self.snapshot.raw_iterator_cf_opt(&made, bounds(scan));
        it.seek_to_last();
        let found = it.item().map(|(k, v)| read(family.name(), k, v));
        let found = found.transpose()?.map(|(row, value)| (row, value.to_vec()));
        it.status().map_err(|e| read_error(self.path, &e))?;
        Ok(found)
    }
}

pub(super) fn bounds(scan: &Scan) -> ReadOptions {
    let mut o = ReadOptions::default();
    o.set_iterate_lower_bound(&scan.from[..]);
    o.set_iterate_upper_bound(&scan.to[..]);
    o
}

/// Rows that one iterator shows at most. An iterator keeps files from being deleted, also those of a family that was
/// dropped: a longer read goes on with another one.
pub(super) const MAX_ITERATED: usize = 4_096;

pub(super) fn walk<'i>(
    iterator: impl Fn(&Scan) -> DBRawIterator<'i>,
    family: &Family,
    scan: &Scan,
    path: &Path,
    mut each: impl FnMut(Row, &[u8]) -> bool,
) -> Result<(), StoreError> {
    let mut rest = *scan;
    loop {
        let mut it = iterator(&rest);
        it.seek_to_first();
        for _ in 0..MAX_ITERATED {
            let Some((key, value)) = it.item() else { return it.status().map_err(|e| read_error(path, &e)) };
            let (row, value) = read(family.name(), key, value)?;
            if !each(row, value) {
                return Ok(());
            }
            it.next();
        }
        let Some((key, value)) = it.item() else { return it.status().map_err(|e| read_error(path, &e)) };
        rest.from = read(family.name(), key, value)?.0.key();
    }
}

fn read<'v>(family: &str, key: &[u8], value: &'v [u8]) -> Result<(Row, &'v [u8]), StoreError> {
    let row = Row::parse(key).ok_or_else(|| damaged(family, key, "no row has such a key"))?;
    Ok((row, checked(family, key, value)?))
}

/// A value as its writer gave it.
fn checked<'v>(family: &str, key: &[u8], value: &'v [u8]) -> Result<&'v [u8], StoreError> {
    match value.split_first() {
        Some((&VALUE_VERSION, rest)) => Ok(rest),
        Some((other, _)) => {
            Err(damaged(family, key, &format!("its value has version {other}, and {VALUE_VERSION} is known")))
        }
        None => Err(damaged(family, key, "its value is empty")),
    }
}

pub(super) fn without_version(family: &str, key: &[u8], value: &[u8]) -> Result<Vec<u8>, StoreError> {
    checked(family, key, value).map(<[u8]>::to_vec)
}

pub(super) fn read_error(path: &Path, e: &rocksdb::Error) -> StoreError {
    StoreError::Read { path: path.to_owned(), detail: e.to_string() }
}

fn damaged(family: &str, key: &[u8], detail: &str) -> StoreError {
    StoreError::Row {
        family: family.to_owned(),
        partition: family_of(family),
        row: conductor_shared::ids::hex(key),
        detail: detail.to_owned(),
    }
}
