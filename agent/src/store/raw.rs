//! The one file of the project with `unsafe` in it. Three calls of RocksDB's C interface have no safe wrapper:
//!
//! - `rocksdb_create_column_families` makes many families for the price of one. Through the safe `create_cf` 1,000
//!   tenants take minutes, because each call rewrites the OPTIONS file for all families.
//! - `rocksdb_drop_column_family` drops one without a lock over the whole database.
//! - `rocksdb_get_current_wal_file` tells which file the write-ahead log is, so that we notice when it was unlinked.
//!
//! Nothing here may keep a handle past its database: a [`Family`] holds the database alive.

#![allow(unsafe_code)]

use rocksdb::{AsColumnFamilyRef, AsRawPtr as _, DB, Options};
use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::ptr;
use std::sync::{Arc, OnceLock};

/// A column family, and the database it belongs to. One that is only planned has no rows yet.
#[derive(Clone)]
pub struct Family(Arc<Inner>);

struct Inner {
    name: String,
    /// Set when it is made.
    handle: OnceLock<Handle>,
    // Dropped after the handle, which so never outlives its database.
    db: Arc<DB>,
}

struct Handle {
    raw: *mut librocksdb_sys::rocksdb_column_family_handle_t,
    /// False when the `DB` itself owns the handle (families found at opening).
    owned: bool,
}

// SAFETY: RocksDB's column family handles may be used from any thread at the same time; they are immutable until
// destroyed, which happens once, in `drop`, when nobody holds a reference any more.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: the handle came from `create_families`, is destroyed once, and the database is still open,
            // because `Inner::db` is dropped only after this.
            unsafe { librocksdb_sys::rocksdb_column_family_handle_destroy(self.raw) }
        }
    }
}

/// A family that is made, for calls of RocksDB.
pub(super) struct Made<'a>(*mut librocksdb_sys::rocksdb_column_family_handle_t, PhantomData<&'a Family>);

impl AsColumnFamilyRef for Made<'_> {
    fn inner(&self) -> *mut librocksdb_sys::rocksdb_column_family_handle_t {
        self.0
    }
}

impl Family {
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// A family that is not there yet.
    pub(super) fn planned(db: &Arc<DB>, name: String) -> Self {
        Self(Arc::new(Inner { name, handle: OnceLock::new(), db: Arc::clone(db) }))
    }

    /// A family that was there when the database was opened.
    pub(super) fn of_open(db: &Arc<DB>, name: &str) -> Option<Self> {
        let raw = db.cf_handle(name)?.inner();
        let family = Self::planned(db, name.to_owned());
        family.0.handle.set(Handle { raw, owned: false }).ok()?;
        Some(family)
    }

    /// `None` while it is only planned.
    pub(super) fn made(&self) -> Option<Made<'_>> {
        self.0.handle.get().map(|h| Made(h.raw, PhantomData))
    }

    /// Where it stands in memory: the same for the same family, for as long as one holds it.
    pub(super) fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

fn take_error(err: *mut c_char) -> Option<String> {
    if err.is_null() {
        return None;
    }
    // SAFETY: RocksDB reports errors as a NUL-terminated string that the caller frees.
    let text = unsafe { CStr::from_ptr(err) }.to_string_lossy().into_owned();
    // SAFETY: as above; freed once.
    unsafe { librocksdb_sys::rocksdb_free(err.cast()) };
    Some(text)
}

/// Makes planned families, all of them or, with an error, as many as RocksDB got to.
pub(super) fn create_families(db: &Arc<DB>, options: &Options, planned: &[Family]) -> Result<(), String> {
    if planned.is_empty() {
        return Ok(());
    }
    let c_names = planned
        .iter()
        .map(|f| CString::new(f.name()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| e.to_string())?;
    let pointers: Vec<*const c_char> = c_names.iter().map(|n| n.as_ptr()).collect();
    let count = c_int::try_from(pointers.len()).map_err(|e| e.to_string())?;
    let mut made = 0usize;
    let mut err: *mut c_char = ptr::null_mut();
    // SAFETY: database and options are open for the whole call; `pointers` holds `count` NUL-terminated names that live
    // until `c_names` is dropped; `made` and `err` are ours.
    let list = unsafe {
        librocksdb_sys::rocksdb_create_column_families(
            db.as_raw_ptr(),
            options.as_raw_ptr(),
            count,
            pointers.as_ptr(),
            &raw mut made,
            &raw mut err,
        )
    };
    let error = take_error(err);
    if !list.is_null() {
        for (i, family) in planned.iter().enumerate().take(made) {
            // SAFETY: RocksDB returned an array of `made` handles, each of which we own from here on.
            let raw = unsafe { *list.add(i) };
            if family.0.handle.set(Handle { raw, owned: true }).is_err() {
                return Err(format!("{} was made twice", family.name()));
            }
        }
        // SAFETY: frees the array itself, not the handles in it.
        unsafe { librocksdb_sys::rocksdb_create_column_families_destroy(list) };
    }
    match error {
        Some(e) => Err(e),
        None if made == planned.len() => Ok(()),
        None => Err(format!("{made} of {} families were made", planned.len())),
    }
}

/// Drops a family: its rows are gone with the next flush of the manifest, and its handle may still be used to read.
pub(super) fn drop_family(family: &Family) -> Result<(), String> {
    let Some(handle) = family.0.handle.get() else { return Ok(()) };
    let mut err: *mut c_char = ptr::null_mut();
    // SAFETY: database and handle are open for the whole call; `err` is ours.
    unsafe { librocksdb_sys::rocksdb_drop_column_family(family.0.db.as_raw_ptr(), handle.raw, &raw mut err) };
    take_error(err).map_or(Ok(()), Err)
}

/// Number of the write-ahead log file that is written to now. An error when RocksDB cannot find it at its path.
pub(super) fn current_wal(db: &Arc<DB>) -> Result<u64, String> {
    let mut err: *mut c_char = ptr::null_mut();
    // SAFETY: the database is open; `err` is ours.
    let file = unsafe { librocksdb_sys::rocksdb_get_current_wal_file(db.as_raw_ptr(), &raw mut err) };
    if let Some(e) = take_error(err) {
        return Err(e);
    }
    if file.is_null() {
        return Err("no write-ahead log".into());
    }
    // SAFETY: `file` is not null and is destroyed right after.
    let number = unsafe { librocksdb_sys::rocksdb_wal_file_log_number(file) };
    // SAFETY: came from the call above, destroyed once.
    unsafe { librocksdb_sys::rocksdb_wal_file_destroy(file) };
    Ok(number)
}
