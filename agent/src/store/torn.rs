//! What a power loss leaves of bytes that were written and not synced: on some file systems zeros, up to the length that the
//! file was to have. RocksDB takes a record that the end of its file cuts short for one that was never synced, and one that
//! goes on with zeros for damage. So zeros at the ends of its logs are cut off when it finds damage. If that does not help
//! they are put back: what is damaged is left as it was found.

use nix::libc;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const PIECE: usize = 64 << 10;

/// A log without the zeros at its end.
pub(super) struct Cut {
    path: PathBuf,
    len: u64,
}

/// Cuts the zeros off the ends of all logs in a folder, unless a process has the database open. A log that cannot be cut is
/// left as it is.
pub(super) fn cut_zeros(folder: &Path) -> Vec<Cut> {
    let lock = File::options().write(true).open(folder.join("LOCK"));
    let (Ok(true), Ok(files)) = (lock.map(|l| free(&l)), std::fs::read_dir(folder)) else { return vec![] };
    let paths = files.filter_map(|f| Some(f.ok()?.path()));
    paths.filter(|p| is_log(p)).filter_map(|p| cut_one(&p).ok().flatten()).collect()
}

fn is_log(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.extension().is_some_and(|e| e == "log") || name.starts_with("MANIFEST-")
}

/// Puts the zeros back.
pub(super) fn put_back(cut: &[Cut]) {
    for Cut { path, len } in cut {
        let done = File::options().write(true).open(path).and_then(|f| f.set_len(*len));
        if let Err(e) = done {
            tracing::error!("{}: it had {len} bytes, and has fewer now: {e}", path.display());
        }
    }
}

/// Nobody holds RocksDB's lock. Asked without taking it: the open that follows takes it.
#[allow(clippy::cast_possible_truncation)] // three small numbers, of another type in the structure
fn free(lock: &File) -> bool {
    let mut asked = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let told = nix::fcntl::fcntl(lock, nix::fcntl::FcntlArg::F_GETLK(&mut asked));
    told.is_ok() && asked.l_type == libc::F_UNLCK as libc::c_short
}

fn cut_one(path: &Path) -> io::Result<Option<Cut>> {
    let file = File::options().read(true).write(true).open(path)?;
    let len = file.metadata()?.len();
    let mut end = len;
    let mut bytes = vec![0; PIECE];
    while end > 0 {
        let from = end.saturating_sub(PIECE as u64);
        let piece = &mut bytes[..usize::try_from(end - from).unwrap_or(PIECE)];
        file.read_exact_at(piece, from)?;
        if let Some(last) = piece.iter().rposition(|b| *b != 0) {
            end = from + last as u64 + 1;
            break;
        }
        end = from;
    }
    if end == len {
        return Ok(None);
    }
    file.set_len(end)?;
    Ok(Some(Cut { path: path.to_owned(), len }))
}

#[cfg(test)]
mod tests {
    use crate::store::{Batch, SpaceLimits, Store, StoreError};
    use conductor_shared::ids::{PartitionId, TenantUid};
    use std::path::{Path, PathBuf};

    const ID: PartitionId = PartitionId { tenant: TenantUid([1; 16]), epoch: 1 };
    const NO_RESERVE: SpaceLimits = SpaceLimits { reserve_bytes: 0, low_bytes: 0, critical_bytes: 0 };
    const VALUE: [u8; 3_000] = [0xaa; 3_000];

    /// A database of two batches, which is closed; and its log of writes.
    fn written(folder: &Path) -> PathBuf {
        let store = Store::create(folder, NO_RESERVE).unwrap();
        let family = store.create_families(&[ID]).unwrap().remove(0);
        for key in [b"a", b"b"] {
            let mut batch = Batch::default();
            let room = batch.put(&family, key, VALUE.len());
            batch.value(room).copy_from_slice(&VALUE);
            store.write(batch).unwrap();
            store.sync().unwrap();
        }
        let files = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
        files.filter(|p| p.extension().is_some_and(|e| e == "log")).max().unwrap()
    }

    /// Invariant 1: a power loss that leaves zeros in what was not synced does not keep the agent from starting, and what
    /// was synced before is there.
    #[test]
    fn zeros_at_the_end_are_what_was_never_synced() {
        let dir = tempfile::tempdir().unwrap();
        let log = written(dir.path());
        let mut bytes = std::fs::read(&log).unwrap();
        let torn = bytes.len() - 1_000;
        bytes[torn..].fill(0);
        std::fs::write(&log, &bytes).unwrap();
        let store = Store::open(dir.path(), NO_RESERVE).unwrap();
        let family = store.family(ID).unwrap();
        assert_eq!(store.get(&family, b"a").unwrap().unwrap(), VALUE);
        assert_eq!(store.get(&family, b"b").unwrap(), None);
    }

    /// Invariant 1: damage before the end is no such thing: it is refused, and left as it was found.
    #[test]
    fn damage_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let log = written(dir.path());
        let mut bytes = std::fs::read(&log).unwrap();
        let (damaged, torn) = (bytes.len() - 4_000, bytes.len() - 1_000);
        bytes[damaged] ^= 1;
        bytes[torn..].fill(0);
        std::fs::write(&log, &bytes).unwrap();
        let refused = Store::open(dir.path(), NO_RESERVE).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
        assert_eq!(std::fs::read(&log).unwrap(), bytes);
    }
}
