//! How RocksDB is set up, and why. Measurements: docs/adr 17 to 20.

use rocksdb::{BlockBasedOptions, Cache, DBRecoveryMode, Options, WriteBufferManager};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

const BLOCK_CACHE_BYTES: usize = 64 << 20;
/// Memtables of all families together. With thousands of busy families each gets its share of this and no more, and
/// becomes a file of its own when the share is full, with syncs that decisions wait for: twice the budget, half the files.
const MEMTABLE_BUDGET_BYTES: usize = 512 << 20;
/// But no larger part of the memory there is.
const MEMTABLE_PART: u64 = 16;
/// Of a family. A log only grows, so merging its files early rewrites what nobody reads: one busy tenant spent more
/// processor time on that than on sealing with 4 MiB. Memory is taken as it fills, and all families share the budget.
/// RocksDB sets this and a tenth aside on the disk for each new log: the reserve must hold it.
const WRITE_BUFFER_BYTES: usize = 16 << 20;
/// Together they are then as large as what they are merged into: each byte is written again as seldom as that allows.
const FILES_BEFORE_MERGE: i32 = 16;
/// Merging has a low priority: it may fall this far behind before writing is slowed down for it, and then stopped.
const FILES_BEFORE_SLOWDOWN: i32 = 40;
const FILES_BEFORE_STOP: i32 = 64;
/// New files go to the disk in pieces: a sync of the log would wait for all of one otherwise.
const BYTES_PER_SYNC: u64 = 1 << 20;
const ARENA_BLOCK_BYTES: usize = 64 << 10;
/// Full memtables of a family become one file two at a time: half the files, of twice the size, to merge.
const MEMTABLES_A_FILE: i32 = 2;
/// Memtables of a family before writing to it waits.
const MEMTABLES: i32 = 6;
/// Rows are read one at a time and seldom, and are short: larger blocks have fewer entries in the index of their file.
const BLOCK_BYTES: usize = 16 << 10;
/// Rows of steps, whose keys share so many bytes with those of the same run, are put beside the one before them in a
/// memtable. To search it for each took a fifth of the writer's time. No other key is so long and so often alike.
const STEP_HINT: &str = "memtable_insert_with_hint_prefix_extractor=rocksdb.FixedPrefix.22";
/// Files the database keeps open at most.
pub const MAX_OPEN_FILES: i32 = 2_000;

/// Of the database in a folder, and of each family.
pub(super) fn options(path: &Path) -> Result<(Options, Options), rocksdb::Error> {
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
    db.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager(memtable_budget(), false));
    db.set_max_open_files(MAX_OPEN_FILES);
    db.set_max_total_wal_size(log_limit(memtable_budget()));
    db.set_atomic_flush(false);
    // A record that was acknowledged must be there: stop at the first damaged one unless it is the torn end.
    db.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    db.set_track_and_verify_wals_in_manifest(true);
    db.set_paranoid_checks(true);
    db.set_keep_log_file_num(4);
    db.set_max_log_file_size(4 << 20);
    db.set_max_background_jobs(2);
    db.set_bytes_per_sync(BYTES_PER_SYNC);
    // Files are written past the page cache: to copy them there, and have the kernel write them back while the log is
    // synced, cost as much processor time as all else that RocksDB does.
    db.set_use_direct_io_for_flush_and_compaction(takes_direct_io(path));
    // Merging goes on while nothing else wants the processor or the disk: a decision would wait for it otherwise.
    if let Ok(mut env) = rocksdb::Env::new() {
        env.lower_thread_pool_cpu_priority();
        env.lower_thread_pool_io_priority();
        db.set_env(&env);
    }
    db.set_stats_dump_period_sec(0);
    db.set_max_manifest_file_size(64 << 20);
    Ok((db, family))
}

/// True when files of a database can be written past the page cache: not every file system can. Told by opening one that
/// is there, for nothing may be written to a folder that is in use or damaged.
fn takes_direct_io(folder: &Path) -> bool {
    let mut o = std::fs::OpenOptions::new();
    o.read(true).custom_flags(nix::libc::O_DIRECT).open(folder.join("CURRENT")).is_ok()
}

/// Bytes that memtables may take on this machine, or in this container.
fn memtable_budget() -> usize {
    let machine = nix::sys::sysinfo::sysinfo().map_or(u64::MAX, |s| s.ram_total());
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let container = container.and_then(|t| t.trim_end().parse().ok()).unwrap_or(u64::MAX);
    usize::try_from(machine.min(container) / MEMTABLE_PART)
        .map_or(MEMTABLE_BUDGET_BYTES, |part| part.clamp(WRITE_BUFFER_BYTES, MEMTABLE_BUDGET_BYTES))
}

/// Bytes that the log may have before what is in it goes to files: idle families would pin it otherwise. As long
/// as that comes before the budget is used up, all families are written at once, with one new log for all. Past the budget
/// each is by itself, with a new log each: with thousands of busy families, hundreds of logs a second to make and remove.
fn log_limit(budget: usize) -> u64 {
    budget as u64 / 4 * 3
}
