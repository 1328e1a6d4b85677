//! Room on disk that is set aside, so that a full disk stops traffic and nobody's hands. Two files: one for what settles what
//! was admitted, sized for one end of every open run and step; one for what people sign and for checkpoints. They are given up
//! in this order, only for want of room, and taken back.

use super::SpaceLimits;
use std::path::{Path, PathBuf};

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    Ample,
    /// Evidence and exports stop.
    Low,
    /// Admissions stop too; settles, what people sign and checkpoints go on.
    Critical,
    /// All that is left is for what people sign and for checkpoints.
    ControlOnly,
}

/// Bytes free on the file system of a folder.
pub(super) fn disk_free(path: &Path) -> u64 {
    nix::sys::statvfs::statvfs(path)
        .map_or(u64::MAX, |s| s.blocks_available().saturating_mul(s.fragment_size()))
}

/// What the end of a run or step takes, with its rows, in the log of writes and once more in a file.
const SETTLE: u64 = 2 << 10;
/// All memtables together hold about so much while there is little room.
pub(super) const MEMTABLES_WHEN_FULL: u64 = 4 << 20;
/// The file for settles grows in such pieces.
const PIECE: u64 = 4 << 20;
const CONTROL: &str = "RESERVE.conductor";
const SETTLES: &str = "RESERVE.settles";

/// The two files.
#[derive(Debug)]
pub(super) struct Reserves {
    folder: PathBuf,
    limits: SpaceLimits,
}

impl Reserves {
    pub(super) fn of(folder: &Path, limits: SpaceLimits) -> Self {
        Self { folder: folder.to_owned(), limits }
    }

    fn held(&self, file: &str) -> u64 {
        std::fs::metadata(self.folder.join(file)).map_or(0, |m| m.len())
    }

    /// So many bytes are set aside for the ends of so many open runs and steps, and for what RocksDB writes before it takes
    /// another row: after a write that failed it writes all memtables to files.
    fn settles(&self, open: u64) -> u64 {
        if self.limits.reserve_bytes == 0 {
            return 0;
        }
        open.saturating_mul(SETTLE).next_multiple_of(PIECE).max(PIECE).saturating_add(MEMTABLES_WHEN_FULL)
    }

    /// Sets aside what is missing, as far as there is room.
    pub(super) fn fill(&self, open: u64) {
        for (file, wanted) in [(CONTROL, self.limits.reserve_bytes), (SETTLES, self.settles(open))] {
            let held = self.held(file);
            let room = disk_free(&self.folder)
                >= self.limits.critical_bytes.saturating_add(wanted - held.min(wanted));
            let path = self.folder.join(file);
            if held < wanted && room {
                let grown = std::fs::File::options().create(true).truncate(false).write(true).open(&path);
                let grown = grown.and_then(|f| {
                    let len = i64::try_from(wanted).unwrap_or(i64::MAX);
                    nix::fcntl::posix_fallocate(&f, 0, len).map_err(std::io::Error::from)
                });
                if grown.is_err() {
                    // A file that only looks as long sets nothing aside.
                    let _ = std::fs::remove_file(&path);
                }
            } else if held > wanted.saturating_mul(2) {
                let _ = std::fs::File::options().write(true).open(&path).and_then(|f| f.set_len(wanted));
            }
        }
    }

    /// Gives up what is left of the reserves, settles first, to make room for what must still be written. `None` where there is
    /// room, or nothing left.
    pub(super) fn give_up(&self) -> Option<&'static str> {
        if disk_free(&self.folder) >= self.limits.critical_bytes {
            return None;
        }
        let given = |file| std::fs::remove_file(self.folder.join(file)).is_ok();
        if given(SETTLES) {
            Some("the room for settles")
        } else if given(CONTROL) {
            Some("the room for what people sign")
        } else {
            None
        }
    }

    /// How much room there is, with so many open runs and steps.
    pub(super) fn space(&self, open: u64) -> Space {
        let free = disk_free(&self.folder);
        let short = free < self.limits.critical_bytes;
        if short && self.held(CONTROL) < self.limits.reserve_bytes {
            Space::ControlOnly
        } else if short || self.held(SETTLES) < self.settles(open) {
            Space::Critical
        } else if free < self.limits.low_bytes {
            Space::Low
        } else {
            Space::Ample
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserves(dir: &Path, critical_bytes: u64) -> Reserves {
        Reserves::of(dir, SpaceLimits { reserve_bytes: 1 << 20, low_bytes: 0, critical_bytes })
    }

    /// Invariant 3: what is open decides how much is set aside, and admissions stop while it is not.
    #[test]
    fn the_room_for_settles_follows_what_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let r = reserves(dir.path(), 0);
        assert_eq!(r.space(0), Space::Critical, "nothing is set aside yet");
        r.fill(0);
        assert_eq!(
            (r.held(CONTROL), r.held(SETTLES), r.space(0)),
            (1 << 20, PIECE + MEMTABLES_WHEN_FULL, Space::Ample)
        );
        let many = 8 * PIECE / SETTLE;
        assert_eq!(r.space(many), Space::Critical, "more is open than was provided for");
        r.fill(many);
        assert_eq!((r.held(SETTLES), r.space(many)), (MEMTABLES_WHEN_FULL + 8 * PIECE, Space::Ample));
        r.fill(0);
        assert_eq!(r.held(SETTLES), PIECE + MEMTABLES_WHEN_FULL, "taken back when less is open");
    }

    /// Invariant 3: only for want of room, settles first, and what people sign last.
    #[test]
    fn reserves_are_given_up_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let ample = reserves(dir.path(), 0);
        ample.fill(0);
        assert_eq!(ample.give_up(), None, "there is room");
        let full = reserves(dir.path(), u64::MAX);
        assert_eq!(full.space(0), Space::Critical);
        assert_eq!(full.give_up(), Some("the room for settles"));
        assert_eq!(full.space(0), Space::Critical);
        assert_eq!(full.give_up(), Some("the room for what people sign"));
        assert_eq!((full.space(0), full.give_up()), (Space::ControlOnly, None));
        full.fill(0);
        assert_eq!(full.space(0), Space::ControlOnly, "no room to take them back");
        ample.fill(0);
        assert_eq!(ample.space(0), Space::Ample, "taken back");
    }
}
