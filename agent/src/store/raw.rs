//! The one file of the project with `unsafe` in it. Two calls of RocksDB's C interface have no safe wrapper:
//!
//! - `rocksdb_create_column_families` makes many families for the price of one. Through the safe `create_cf` 1,000
//!   tenants take minutes, because each call rewrites the OPTIONS file for all families.
//! - `rocksdb_get_current_wal_file` tells which file the write-ahead log is, so that we notice when it was unlinked.
//!
//! Nothing here may keep a handle past its database: a [`Family`] holds the database alive.

#![allow(unsafe_code)]

use rocksdb::{AsColumnFamilyRef, AsRawPtr as _, DB, Options};
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::sync::Arc;

/// A handle of a column family, and of the database it belongs to.
#[derive(Clone)]
pub struct Family(Arc<Inner>);

struct Inner {
    handle: *mut librocksdb_sys::rocksdb_column_family_handle_t,
    /// False when the `DB` itself owns the handle (families found at opening).
    owned: bool,
    name: String,
    // Dropped after `drop` below ran, so the handle never outlives its database.
    _db: Arc<DB>,
}

// SAFETY: RocksDB's column family handles may be used from any thread at the same time; they are immutable until
// destroyed, which happens once, in `drop`, when nobody holds a reference any more.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: the handle came from `create_families`, is destroyed once, and the database is still open,
            // because `_db` is dropped only after this.
            unsafe { librocksdb_sys::rocksdb_column_family_handle_destroy(self.handle) }
        }
    }
}

impl AsColumnFamilyRef for Family {
    fn inner(&self) -> *mut librocksdb_sys::rocksdb_column_family_handle_t {
        self.0.handle
    }
}

impl Family {
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// The handle of a family that was there when the database was opened.
    pub(super) fn of_open(db: &Arc<DB>, name: &str) -> Option<Self> {
        let handle = db.cf_handle(name)?.inner();
        Some(Self(Arc::new(Inner { handle, owned: false, name: name.to_owned(), _db: Arc::clone(db) })))
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

/// Makes families with these names, all of them or, with an error, as many as RocksDB got to.
pub(super) fn create_families(
    db: &Arc<DB>,
    options: &Options,
    names: &[String],
) -> Result<Vec<Family>, String> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let c_names = names
        .iter()
        .map(|n| CString::new(n.as_str()))
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
    let mut families = Vec::with_capacity(made);
    if !list.is_null() {
        for (i, name) in names.iter().enumerate().take(made) {
            // SAFETY: RocksDB returned an array of `made` handles, each of which we own from here on.
            let handle = unsafe { *list.add(i) };
            let inner = Inner { handle, owned: true, name: name.clone(), _db: Arc::clone(db) };
            families.push(Family(Arc::new(inner)));
        }
        // SAFETY: frees the array itself, not the handles in it.
        unsafe { librocksdb_sys::rocksdb_create_column_families_destroy(list) };
    }
    match error {
        Some(e) => Err(e),
        None if families.len() == names.len() => Ok(families),
        None => Err(format!("{} of {} families were made", families.len(), names.len())),
    }
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
