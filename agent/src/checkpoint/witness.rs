//! The newest signed size and root of each log, in a file beside the database. The signer remembers the same; but while it does
//! not answer, only this tells that a database was put back to an earlier state.

use crate::platform::files;
use conductor_shared::checkpoint::Checkpoint;
use conductor_shared::clock::MonoTime;
use conductor_shared::ids::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Beside the folder of the database.
pub const FILE: &str = "signed-sizes.json";
/// The file is written this often at most.
const PACE: Duration = Duration::from_secs(1);
/// A node has 4,000 logs at most; a line of one is shorter than 300 bytes.
const MAX_FILE: u64 = 2 << 20;

/// What was signed of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Digest,
}

/// By origin.
#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    logs: BTreeMap<String, Seen>,
}

/// What was signed of each log.
#[derive(Debug)]
pub struct Witness {
    path: PathBuf,
    seen: File,
    changed: bool,
    written: Option<MonoTime>,
}

impl Witness {
    /// As it was written last. A file that cannot be read is told, and counts as none: the signer still knows.
    pub fn open(data: &Path) -> Self {
        let path = data.join(FILE);
        let seen = match files::read(&path, MAX_FILE, files::Private::Owner) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|e| {
                tracing::error!(
                    "{} cannot be read ({e}): only the signer knows what was signed",
                    path.display()
                );
                File::default()
            }),
            Err(_) if !path.exists() => File::default(),
            Err(e) => {
                tracing::error!("{e}: only the signer knows what was signed");
                File::default()
            }
        };
        Self { path, seen, changed: false, written: None }
    }

    /// Why a log of this size and root is not the one that was signed, if it is not.
    pub fn contradicts(&self, origin: &str, size: u64, root: &[u8; 32]) -> Option<String> {
        let seen = self.seen.logs.get(origin)?;
        if size < seen.size {
            return Some(format!("{} entries of it were signed, and it has {size}", seen.size));
        }
        (size == seen.size && seen.root.0 != *root)
            .then(|| format!("another log of {size} entries was signed under this name"))
    }

    /// Notes what the signer signed.
    pub fn note(&mut self, signed: &Checkpoint) {
        let seen = Seen { size: signed.size, root: Digest(signed.root) };
        self.changed |= self.seen.logs.insert(signed.origin.to_string(), seen) != Some(seen);
    }

    /// Something was noted that is not in the file.
    pub fn owes(&self) -> bool {
        self.changed
    }

    /// Writes what was noted, unless it was written a moment ago.
    pub fn write(&mut self, now: MonoTime) {
        if self.changed && self.written.is_none_or(|at| now >= at + PACE) {
            self.written = Some(now);
            self.write_now();
        }
    }

    /// Writes what was noted.
    pub fn write_now(&mut self) {
        if !self.changed {
            return;
        }
        let bytes = serde_json::to_vec(&self.seen).unwrap_or_default();
        match files::replace(&self.path, &bytes) {
            Ok(()) => self.changed = false,
            Err(e) => tracing::error!("{e}: whether the database was put back is known to the signer only"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::ids::{NodeId, Origin, TenantUid};

    /// Invariant 6: a log that is shorter than what was signed, or another one, is found without the signer.
    #[test]
    fn a_log_that_was_put_back_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let origin = Origin { node: NodeId([1; 16]), tenant: TenantUid([2; 16]), epoch: 1 };
        let mut w = Witness::open(dir.path());
        assert_eq!(w.contradicts(&origin.to_string(), 0, &[0; 32]), None, "nothing is known yet");
        w.note(&Checkpoint { origin, size: 5, root: [5; 32] });
        w.write(MonoTime::from_micros(5));
        w.note(&Checkpoint { origin, size: 7, root: [7; 32] });
        w.write(MonoTime::from_micros(5));
        assert!(w.owes(), "not so soon again");
        w.write_now();
        let w = Witness::open(dir.path());
        let against = |size, root| w.contradicts(&origin.to_string(), size, &[root; 32]).is_some();
        assert_eq!((against(6, 7), against(7, 8), against(7, 7), against(8, 9)), (true, true, false, false));
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(Witness::open(dir.path()).contradicts(&origin.to_string(), 0, &[0; 32]), None);
    }
}
