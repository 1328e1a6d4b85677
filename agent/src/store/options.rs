//! RocksDB settings, with reasons. Measurements: docs/adr 17 to 20.

use super::Space;
use super::reserve::MEMTABLES_WHEN_FULL;
use crate::platform::open_files;
use rocksdb::{BlockBasedOptions, Cache, DBRecoveryMode, Options, WriteBufferManager};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

const BLOCK_CACHE_BYTES: usize = 64 << 20;
/// Memtables of all families together. With thousands of busy families each is flushed to a file when its share is full,
/// with syncs that delay decisions: twice the budget, half the files.
const MEMTABLE_BUDGET_BYTES: usize = 512 << 20;
/// The budget is at most this fraction of the memory.
const MEMTABLE_PART: u64 = 16;
/// Per family. A log only grows, so early compaction rewrites what nobody reads: with 4 MiB one busy tenant spent more CPU
/// on that than on sealing. Memory is allocated as it fills, and all families share the budget. RocksDB preallocates this
/// and a tenth on disk for each new WAL: the reserve must hold it.
const WRITE_BUFFER_BYTES: usize = 16 << 20;
/// By then the files of level 0 are together as large as level 1, which keeps write amplification low.
const FILES_BEFORE_MERGE: i32 = 16;
/// Compaction has a low priority: writes slow down, and then stop, only when it is this far behind.
const FILES_BEFORE_SLOWDOWN: i32 = 40;
const FILES_BEFORE_STOP: i32 = 64;
/// New files are written back in pieces of this size: a WAL sync would otherwise wait for a whole file.
const BYTES_PER_SYNC: u64 = 1 << 20;
const ARENA_BLOCK_BYTES: usize = 64 << 10;
/// Full memtables are flushed two at a time: half the files, of twice the size.
const MEMTABLES_A_FILE: i32 = 2;
/// Memtables of a family before its writes stall.
const MEMTABLES: i32 = 6;
/// Rows are short and rarely read, one at a time: larger blocks keep the index of a file small.
const BLOCK_BYTES: usize = 16 << 10;
/// Insert hints for the rows of steps, whose keys share 22 bytes with those of the same run. Searching the memtable for each
/// took a fifth of the writer's time. No other keys are that long and that similar.
const STEP_HINT: &str = "memtable_insert_with_hint_prefix_extractor=rocksdb.FixedPrefix.22";

/// How a database is opened.
pub(super) struct StoreOptions {
    pub(super) db: Options,
    /// Of each family.
    pub(super) family: Options,
    /// The budget that all memtables share.
    pub(super) memtables: WriteBufferManager,
    /// Blocks, indexes and filters of all files.
    pub(super) blocks: Cache,
}

/// Options of the database in a folder.
pub(super) fn options(path: &Path) -> Result<StoreOptions, rocksdb::Error> {
    let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&cache);
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_block_size(BLOCK_BYTES);
    let mut family = Options::default();
    family.set_block_based_table_factory(&table);
    family.set_write_buffer_size(WRITE_BUFFER_BYTES);
    family.set_arena_block_size(ARENA_BLOCK_BYTES);
    family.set_max_write_buffer_number(MEMTABLES);
    family.set_min_write_buffer_number_to_merge(MEMTABLES_A_FILE);
    family.set_level_zero_file_num_compaction_trigger(FILES_BEFORE_MERGE);
    family.set_level_zero_slowdown_writes_trigger(FILES_BEFORE_SLOWDOWN);
    family.set_level_zero_stop_writes_trigger(FILES_BEFORE_STOP);
    family.set_compression_type(rocksdb::DBCompressionType::None);
    let family = family.get_options_from_string(STEP_HINT)?;
    let mut db = family.clone();
    let memtables = WriteBufferManager::new_write_buffer_manager(memtable_budget(), false);
    db.set_write_buffer_manager(&memtables);
    db.set_max_open_files(i32::try_from(open_files::now().store).unwrap_or(i32::MAX));
    db.set_max_total_wal_size(log_limit(memtable_budget()));
    db.set_atomic_flush(false);
    // An acknowledged record must be there: fail on a damaged one unless it is the torn tail.
    db.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    db.set_track_and_verify_wals_in_manifest(true);
    db.set_paranoid_checks(true);
    db.set_keep_log_file_num(4);
    db.set_max_log_file_size(4 << 20);
    db.set_max_background_jobs(2);
    db.set_bytes_per_sync(BYTES_PER_SYNC);
    // Direct I/O: copying files to the page cache and writing them back during WAL syncs cost as much CPU as everything
    // else that RocksDB does.
    db.set_use_direct_io_for_flush_and_compaction(takes_direct_io(path));
    // Compaction runs at idle priority, so that decisions do not wait for it.
    if let Ok(mut env) = rocksdb::Env::new() {
        env.lower_thread_pool_cpu_priority();
        env.lower_thread_pool_io_priority();
        db.set_env(&env);
    }
    db.set_stats_dump_period_sec(0);
    db.set_max_manifest_file_size(64 << 20);
    Ok(StoreOptions { db, family, memtables, blocks: cache })
}

/// True when the file system supports direct I/O. Tested by opening an existing file, since nothing may be written to a
/// folder that is in use or damaged.
fn takes_direct_io(folder: &Path) -> bool {
    let mut o = std::fs::OpenOptions::new();
    o.read(true).custom_flags(nix::libc::O_DIRECT).open(folder.join("CURRENT")).is_ok()
}

/// Memtable budget with so much room on disk. After a write that failed for want of room, and when it is opened again, RocksDB
/// writes all memtables to files before it takes another row: the less room, the less it may have to write.
pub(super) fn memtables_with(space: Space) -> usize {
    let small = usize::try_from(MEMTABLES_WHEN_FULL).unwrap_or(usize::MAX);
    match space {
        Space::Ample => memtable_budget(),
        Space::Low => memtable_budget().min(small.saturating_mul(16)),
        Space::Critical | Space::ControlOnly => memtable_budget().min(small),
    }
}

/// Memtable budget on this machine or in this container.
fn memtable_budget() -> usize {
    let machine = nix::sys::sysinfo::sysinfo().map_or(u64::MAX, |s| s.ram_total());
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let container = container.and_then(|t| t.trim_end().parse().ok()).unwrap_or(u64::MAX);
    usize::try_from(machine.min(container) / MEMTABLE_PART)
        .map_or(MEMTABLE_BUDGET_BYTES, |part| part.clamp(WRITE_BUFFER_BYTES, MEMTABLE_BUDGET_BYTES))
}

/// WAL size that triggers a flush: idle families would pin the WAL otherwise. Reached before the memtable budget is used up,
/// it flushes all families at once, with one new WAL. Past the budget each family is flushed by itself, with a new WAL each:
/// with thousands of busy families, hundreds a second.
fn log_limit(budget: usize) -> u64 {
    budget as u64 / 4 * 3
}
