//! The store: one RocksDB, one column family for each tenant. The only place that names rocksdb.
//!
//! Values arrive encrypted (see [`crate::keys`]); keys and family names hold fixed ids and numbers only.
//! A batch is durable once [`Store::sync`] returned `Ok`; no request may be answered before that.
//! After any error nothing more is written: the store is closed and reopened.

mod batch;
mod format;
mod options;
mod raw;
mod reading;
mod reserve;
mod torn;

pub use batch::Batch;
pub use format::{FORMAT, Row, RowKey, RowKind, Scan, VALUE_VERSION};
pub use raw::Family;
pub use reading::Reading;
pub use reserve::Space;

use crate::platform::files;
use conductor_shared::ids::{PartitionId, TenantUid, hex, unhex};
use options::{StoreOptions, options};
use parking_lot::{Mutex, RwLock};
use reading::{bounds, read_error, walk, without_version};
use reserve::Reserves;
use rocksdb::perf::get_memory_usage_stats;
use rocksdb::{Cache, ColumnFamilyDescriptor, DB, Options, WriteBufferManager, WriteOptions};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tenants of a node at most: each family costs memory and time to open (DESIGN, Decisions).
pub const MAX_TENANTS: usize = 4_000;
/// A row and its value.
pub type Pair = (Row, Vec<u8>);

/// Limits of free disk space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpaceLimits {
    /// Kept as a reserve file, so that settles, tightenings and checkpoints can still be written when the disk is full.
    pub reserve_bytes: u64,
    /// Below this, evidence and exports stop.
    pub low_bytes: u64,
    /// Below this, admissions stop too.
    pub critical_bytes: u64,
}

impl Default for SpaceLimits {
    fn default() -> Self {
        Self { reserve_bytes: 32 << 20, low_bytes: 512 << 20, critical_bytes: 128 << 20 }
    }
}

/// What went wrong with the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the folder.
    #[error("{path} is in use by another conductord; stop that one first ({detail})")]
    InUse { path: PathBuf, detail: String },
    /// Written by a newer Conductor.
    #[error(
        "{path} has format {found}, and this program knows formats up to {known}; use a newer conductord"
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    /// Written by a Conductor before the first release.
    #[error(
        "{path} has format {found}, which no release wrote, and this program needs {known}; begin a new folder with `conductord init`"
    )]
    Older { path: PathBuf, found: u32, known: u32 },
    /// Not one of ours, or not begun.
    #[error("{0} holds no Conductor database; run `conductord init` first")]
    Missing(PathBuf),
    /// There is one already.
    #[error("{0} holds a database already; nothing was changed")]
    Exists(PathBuf),
    /// A file is damaged or gone.
    #[error(
        "the database at {path} is damaged: {detail}. Nothing was written. Restore the folder from a backup"
    )]
    Damaged { path: PathBuf, detail: String },
    /// A file was removed or replaced under the running agent.
    #[error("{0} was removed or replaced under the running agent; what is written now would be lost")]
    Unlinked(PathBuf),
    #[error("cannot write to {path}: {detail}")]
    Write { path: PathBuf, detail: String },
    #[error("cannot read from {path}: {detail}")]
    Read { path: PathBuf, detail: String },
    /// A row is there that cannot be.
    #[error("row {row} of {family} is damaged: {detail}")]
    Row {
        family: String,
        /// The partition whose row it is; `None` for rows of the node's folder as a whole.
        partition: Option<PartitionId>,
        /// Key in hex.
        row: String,
        detail: String,
    },
    /// Acknowledged receipts are gone.
    #[error(
        "{origin} had {known} durable entries and {found} were found: files of the database were removed or replaced. \
         Nothing more is written. Bring the files back, or restore under two admins"
    )]
    Lost { origin: String, known: u64, found: u64 },
    /// One tenant too many.
    #[error("a node holds at most {MAX_TENANTS} tenants; place this one on another node")]
    TooMany,
    /// After an error the store only answers reads until it is reopened.
    #[error("the store failed before and is being reopened")]
    Failed,
}

/// A partition's family is named after it.
fn family_name(id: PartitionId) -> String {
    format!("p-{}-{}", hex(&id.tenant.0), id.epoch)
}

fn family_of(name: &str) -> Option<PartitionId> {
    let (uid, epoch) = name.strip_prefix("p-")?.split_once('-')?;
    Some(PartitionId { tenant: TenantUid(unhex(uid)?), epoch: conductor_shared::ids::parse_decimal(epoch)? })
}

/// A change to the families, which has its place in the order of the batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FamilyChange {
    /// Makes planned families.
    Make(Vec<PartitionId>),
    /// Drops a family with all its rows.
    Drop(PartitionId),
}

pub struct Store {
    // Families borrow from the database: they are dropped first.
    families: RwLock<HashMap<PartitionId, Family>>,
    db: Arc<DB>,
    path: PathBuf,
    family_options: Options,
    watched: Mutex<Watched>,
    failed: AtomicBool,
    reserves: Reserves,
    memtables: WriteBufferManager,
    blocks: Cache,
}

/// Memory that the store uses, bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreMemory {
    /// Rows that are in no file yet.
    pub memtables: u64,
    /// Blocks, indexes and filters of files.
    pub blocks: u64,
    /// What is held for each open file beside those.
    pub open_files: u64,
}

struct Watched {
    current: (PathBuf, u64),
    wal: Option<(u64, PathBuf, u64)>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

fn with_version(value: &[u8]) -> Vec<u8> {
    [&[VALUE_VERSION], value].concat()
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|m| m.ino())
}

impl Store {
    /// Makes a new database. The folder must not hold one.
    pub fn create(path: &Path, limits: SpaceLimits) -> Result<Self, StoreError> {
        if path.join("CURRENT").exists() {
            return Err(StoreError::Exists(path.to_owned()));
        }
        let StoreOptions { mut db, .. } = options(path).map_err(|e| Self::classify(path, &e))?;
        db.create_if_missing(true);
        let made = DB::open(&db, path).map_err(|e| Self::classify(path, &e))?;
        made.put(Row::Format.key(), with_version(&FORMAT.to_be_bytes()))
            .map_err(|e| Self::classify(path, &e))?;
        made.flush_wal(true).map_err(|e| Self::classify(path, &e))?;
        drop(made);
        files::replace(&Self::format_path(path), format!("{FORMAT}\n").as_bytes())
            .map_err(|e| StoreError::Write { path: path.to_owned(), detail: e.to_string() })?;
        Self::open(path, limits)
    }

    /// Opens a database that is there. Nothing is written to one that is in use, damaged or newer.
    pub fn open(path: &Path, limits: SpaceLimits) -> Result<Self, StoreError> {
        let found = Self::open_as_found(path, limits);
        let Err(StoreError::Damaged { .. }) = &found else { return found };
        let cut = torn::cut_zeros(path);
        if cut.is_empty() {
            return found;
        }
        let opened = Self::open_as_found(path, limits);
        if opened.is_err() {
            torn::put_back(&cut);
            return found;
        }
        tracing::warn!("{}: what was written last was never synced, as after a power loss", path.display());
        opened
    }

    fn open_as_found(path: &Path, limits: SpaceLimits) -> Result<Self, StoreError> {
        if !path.join("CURRENT").exists() {
            let damaged = std::fs::read_dir(path).is_ok_and(|mut d| {
                d.any(|f| f.is_ok_and(|f| f.file_name().to_string_lossy().starts_with("MANIFEST")))
            });
            return Err(if damaged {
                StoreError::Damaged { path: path.to_owned(), detail: "CURRENT is gone".into() }
            } else {
                StoreError::Missing(path.to_owned())
            });
        }
        Self::refuse_newer(path)?;
        let StoreOptions { db, family, memtables, blocks } =
            options(path).map_err(|e| Self::classify(path, &e))?;
        let names = DB::list_cf(&db, path).map_err(|e| Self::classify(path, &e))?;
        let try_open = || {
            let descriptors = names.iter().map(|n| ColumnFamilyDescriptor::new(n, family.clone()));
            DB::open_cf_descriptors(&db, path, descriptors)
        };
        let reserves = Reserves::of(path, limits);
        let mut opened = try_open();
        // Opening writes as well. What was set aside for a full disk is for a start on one, too.
        while let Err(e) = &opened
            && let Some(what) = reserves.give_up()
        {
            tracing::warn!("gave up {what} to open {}: {e}", path.display());
            opened = try_open();
        }
        let db = Arc::new(opened.map_err(|e| Self::classify(path, &e))?);
        let families = names
            .iter()
            .filter_map(|n| Some((family_of(n)?, Family::of_open(&db, n)?)))
            .collect::<HashMap<_, _>>();
        let current = path.join("CURRENT");
        let ino = inode(&current).ok_or_else(|| StoreError::Unlinked(current.clone()))?;
        let store = Self {
            families: RwLock::new(families),
            db,
            path: path.to_owned(),
            family_options: family,
            watched: Mutex::new(Watched { current: (current, ino), wal: None }),
            failed: AtomicBool::new(false),
            reserves,
            memtables,
            blocks,
        };
        store.reserves.fill(0);
        Ok(store)
    }

    /// A newer format may have options or rows that opening for writing would destroy, so its version is read first, from a
    /// file of its own. (Opening some families read-only crashes RocksDB 11.8.1 when the manifest has edits of others.)
    fn refuse_newer(path: &Path) -> Result<(), StoreError> {
        let file = Self::format_path(path);
        let damaged = |detail: &str| StoreError::Damaged { path: path.to_owned(), detail: detail.to_owned() };
        let text =
            std::fs::read_to_string(&file).map_err(|e| damaged(&format!("{}: {e}", file.display())))?;
        match text.trim_end().parse::<u32>() {
            Ok(found) if found > FORMAT => {
                Err(StoreError::Newer { path: path.to_owned(), found, known: FORMAT })
            }
            Ok(found) if found < FORMAT => {
                Err(StoreError::Older { path: path.to_owned(), found, known: FORMAT })
            }
            Ok(_) => Ok(()),
            Err(_) => Err(damaged("FORMAT.conductor holds no version")),
        }
    }

    fn format_path(path: &Path) -> PathBuf {
        path.join("FORMAT.conductor")
    }

    fn classify(path: &Path, e: &rocksdb::Error) -> StoreError {
        let (path, detail) = (path.to_owned(), e.to_string());
        if detail.contains("lock") && (detail.contains("LOCK") || detail.contains("hold")) {
            return StoreError::InUse { path, detail };
        }
        match e.kind() {
            rocksdb::ErrorKind::Corruption
            | rocksdb::ErrorKind::NotFound
            | rocksdb::ErrorKind::InvalidArgument => StoreError::Damaged { path, detail },
            rocksdb::ErrorKind::IOError if detail.contains("No such file") => {
                StoreError::Damaged { path, detail }
            }
            _ => StoreError::Write { path, detail },
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Families of tenants and of the node, as found.
    pub fn family_ids(&self) -> Vec<PartitionId> {
        let mut ids: Vec<_> = self.families.read().keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// A family, if there.
    pub fn family(&self, id: PartitionId) -> Option<Family> {
        self.families.read().get(&id).cloned()
    }

    /// Families of these partitions, to be made by [`Store::change_families`]. Until then they read as empty, and rows
    /// may be staged for them. Those that are there already are left as they are.
    pub fn plan_families(&self, ids: &[PartitionId]) -> Result<Vec<Family>, StoreError> {
        let mut map = self.families.write();
        let new = ids.iter().filter(|id| !map.contains_key(id)).count();
        // One family is the node's own.
        if map.len() + new > MAX_TENANTS + 1 {
            return Err(StoreError::TooMany);
        }
        let planned = |id: &PartitionId| Family::planned(&self.db, family_name(*id));
        Ok(ids.iter().map(|id| map.entry(*id).or_insert_with(|| planned(id)).clone()).collect())
    }

    /// Makes and drops families, in order. After an error nothing more is written.
    pub fn change_families(&self, changes: &[FamilyChange]) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(StoreError::Failed);
        }
        let done = changes.iter().try_for_each(|change| match change {
            FamilyChange::Make(ids) => self.make_families(ids),
            FamilyChange::Drop(id) => {
                let dropped = self.families.write().remove(id);
                dropped.map_or(Ok(()), |family| raw::drop_family(&family))
            }
        });
        done.map_err(|detail| {
            self.failed.store(true, Ordering::Release);
            StoreError::Write { path: self.path.clone(), detail }
        })
    }

    /// All at once: one by one, each would rewrite the OPTIONS file for all of them.
    fn make_families(&self, ids: &[PartitionId]) -> Result<(), String> {
        let planned: Vec<Family> = {
            let map = self.families.read();
            ids.iter().filter_map(|id| map.get(id).cloned()).collect()
        };
        let new: Vec<Family> = planned.into_iter().filter(|f| f.made().is_none()).collect();
        raw::create_families(&self.db, &self.family_options, &new)
    }

    /// Families of these partitions, made at once: for a folder that nobody else writes to.
    pub fn create_families(&self, ids: &[PartitionId]) -> Result<Vec<Family>, StoreError> {
        let families = self.plan_families(ids)?;
        self.change_families(&[FamilyChange::Make(ids.to_vec())])?;
        Ok(families)
    }

    /// Appends a batch to the WAL and the memtables; returns its bytes there. It is not durable before
    /// [`Store::sync`].
    pub fn write(&self, batch: Batch) -> Result<u64, StoreError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(StoreError::Failed);
        }
        let mut o = WriteOptions::default();
        o.set_sync(false);
        let ordered = batch.ordered().map_err(|family| {
            self.failed.store(true, Ordering::Release);
            StoreError::Write { path: self.path.clone(), detail: format!("{family} was not made") }
        })?;
        let bytes = ordered.size_in_bytes() as u64;
        self.db.write_opt(ordered, &o).map_err(|e| {
            self.failed.store(true, Ordering::Release);
            StoreError::Write { path: self.path.clone(), detail: e.to_string() }
        })?;
        Ok(bytes)
    }

    /// Makes everything written so far durable, and makes sure that it is still where the next start will look.
    pub fn sync(&self) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(StoreError::Failed);
        }
        let done = self
            .db
            .flush_wal(true)
            .map_err(|e| StoreError::Write { path: self.path.clone(), detail: e.to_string() })
            .and_then(|()| self.still_there());
        if done.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        done
    }

    /// RocksDB would go on writing into files that were unlinked under it.
    fn still_there(&self) -> Result<(), StoreError> {
        let mut w = self.watched.lock();
        let (current, ino) = &mut w.current;
        match inode(current) {
            Some(now) if now == *ino => {}
            // RocksDB itself replaces CURRENT when it begins a new MANIFEST; then it names the present one.
            Some(now) if self.names_live_manifest(current) => *ino = now,
            _ => return Err(StoreError::Unlinked(current.clone())),
        }
        let number = raw::current_wal(&self.db)
            .map_err(|_| StoreError::Unlinked(self.path.join("the write-ahead log")))?;
        match &w.wal {
            Some((n, path, ino)) if *n == number => {
                if inode(path) != Some(*ino) {
                    return Err(StoreError::Unlinked(path.clone()));
                }
            }
            _ => {
                let path = self.path.join(format!("{number:06}.log"));
                let ino = inode(&path).ok_or_else(|| StoreError::Unlinked(path.clone()))?;
                w.wal = Some((number, path, ino));
            }
        }
        Ok(())
    }

    fn names_live_manifest(&self, current: &Path) -> bool {
        std::fs::read_to_string(current).is_ok_and(|name| {
            let name = name.trim_end();
            name.starts_with("MANIFEST-") && !name.contains('/') && self.path.join(name).exists()
        })
    }

    /// True after an error: nothing more is written until the store is reopened.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Marks the store failed from outside, so that nothing more is written.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub fn get(&self, family: &Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(made) = family.made() else { return Ok(None) };
        let found = self.db.get_pinned_cf(&made, key).map_err(|e| read_error(&self.path, &e))?;
        found.map(|value| without_version(family.name(), key, &value)).transpose()
    }

    /// A row of the node's default family, which holds only what opening needs.
    pub fn get_meta(&self, row: Row) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.db.get_pinned(row.key()).map_err(|e| read_error(&self.path, &e))?;
        found.map(|value| without_version("default", &row.key(), &value)).transpose()
    }

    /// Writes such a row, durably.
    pub fn put_meta(&self, row: Row, value: &[u8]) -> Result<(), StoreError> {
        let mut o = WriteOptions::default();
        o.set_sync(true);
        let written = self.db.put_opt(row.key(), with_version(value), &o);
        written.map_err(|e| Self::classify(&self.path, &e))
    }

    /// A view of the store as it is now, which later writes do not change.
    pub fn reading(&self) -> Reading<'_> {
        Reading::of(self.db.snapshot(), &self.path)
    }

    /// Rows in order, copied.
    pub fn rows(&self, family: &Family, scan: &Scan) -> Result<Vec<Pair>, StoreError> {
        self.reading().rows(family, scan)
    }

    /// The last of them.
    pub fn last(&self, family: &Family, scan: &Scan) -> Result<Option<Pair>, StoreError> {
        self.reading().last(family, scan)
    }

    /// Shows rows where they are, in order, until `each` returns false. Rows written meanwhile may be among them.
    pub fn scan(
        &self,
        family: &Family,
        scan: &Scan,
        each: impl FnMut(Row, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let Some(made) = family.made() else { return Ok(()) };
        walk(|scan| self.db.raw_iterator_cf_opt(&made, bounds(scan)), family, scan, &self.path, each)
    }

    /// Bytes free on the file system of the database.
    pub fn disk_free(&self) -> u64 {
        reserve::disk_free(&self.path)
    }

    /// Sets aside room for the ends of so many open runs and steps, and tells how much room there is.
    pub fn space(&self, open: u64) -> Space {
        self.reserves.fill(open);
        let space = self.reserves.space(open);
        let budget = options::memtables_with(space);
        if self.memtables.get_buffer_size() != budget {
            self.memtables.set_buffer_size(budget);
        }
        space
    }

    /// Makes room for what must still be written, if the disk is full: what was given up for it.
    pub fn give_up_reserve(&self) -> Option<&'static str> {
        self.reserves.give_up()
    }

    /// Jobs that write files or merge them, now.
    pub fn merging(&self) -> u64 {
        let of = |name: &str| self.db.property_int_value(name).ok().flatten().unwrap_or(0);
        of("rocksdb.num-running-flushes") + of("rocksdb.num-running-compactions")
    }

    /// What it holds in memory now, over all families.
    pub fn memory(&self) -> StoreMemory {
        let stats = get_memory_usage_stats(Some(&[&*self.db]), Some(&[&self.blocks]));
        stats.map_or_else(
            |_| StoreMemory::default(),
            |s| StoreMemory {
                memtables: s.mem_table_total,
                blocks: s.cache_total,
                open_files: s.mem_table_readers_total,
            },
        )
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.families.write().clear();
        self.db.cancel_all_background_work(true);
    }
}
