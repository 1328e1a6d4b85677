//! The newest signed size and root of each log, in a file beside the database. The signer remembers the same; but while it does
//! not answer, only this tells that a database was put back to an earlier state.
//!
//! A line for each checkpoint, appended in one write with the others that were signed with it: what was signed a moment before
//! the process is killed is there. It is not synced: after a power cut the end may be missing, and the signer still knows.

use crate::platform::files;
use conductor_shared::checkpoint::Checkpoint;
use conductor_shared::ids::{Origin, hex, unhex};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Beside the folder of the database.
pub const FILE: &str = "signed-sizes.txt";
/// Before the file grows beyond this it is written again, with one line a log.
const REWRITE_BYTES: u64 = 2 << 20;
/// A file is not read beyond this: a node has 4,000 logs, a line of one is shorter than 200 bytes.
const MAX_FILE: u64 = 8 << 20;

/// What was signed of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    size: u64,
    root: [u8; 32],
}

/// What was signed of each log.
#[derive(Debug)]
pub struct Witness {
    path: PathBuf,
    seen: BTreeMap<Origin, Seen>,
    /// Open to append; `None` until the first checkpoint, and after a write that failed: the file may end with half a line.
    file: Option<File>,
    bytes: u64,
}

fn line(origin: &Origin, seen: &Seen) -> String {
    format!("{origin} {} {}\n", seen.size, hex(&seen.root))
}

fn read(line: &str) -> Option<(Origin, Seen)> {
    let mut words = line.split(' ');
    let origin = words.next()?.parse().ok()?;
    let size = words.next()?.parse().ok()?;
    let root = unhex(words.next()?)?;
    words.next().is_none().then_some((origin, Seen { size, root }))
}

impl Witness {
    /// As it was written last. What cannot be read is told, and counts as nothing: the signer still knows.
    pub fn open(data: &Path) -> Self {
        let path = data.join(FILE);
        let bytes = match files::read(&path, MAX_FILE, files::Private::Owner) {
            Ok(bytes) => bytes,
            Err(e) => {
                if path.exists() {
                    tracing::error!("{e}: only the signer knows what was signed");
                }
                zeroize::Zeroizing::default()
            }
        };
        let mut this = Self { path, seen: BTreeMap::new(), file: None, bytes: bytes.len() as u64 };
        let text = String::from_utf8_lossy(&bytes);
        // Without its end the last line is one that was cut off while it was written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for (number, text) in whole.lines().enumerate() {
            if let Some((origin, seen)) = read(text) {
                this.see(origin, seen);
            } else {
                tracing::error!("{}, line {}: not read", this.path.display(), number + 1);
            }
        }
        this
    }

    /// Sizes only rise: whatever order lines are in, the largest counts.
    fn see(&mut self, origin: Origin, seen: Seen) {
        let known = self.seen.entry(origin).or_insert(seen);
        if known.size < seen.size {
            *known = seen;
        }
    }

    /// Why a log of this size and root is not the one that was signed, if it is not.
    pub fn contradicts(&self, origin: &Origin, size: u64, root: &[u8; 32]) -> Option<String> {
        let seen = self.seen.get(origin)?;
        if size < seen.size {
            return Some(format!("{} entries of it were signed, and it has {size}", seen.size));
        }
        (size == seen.size && seen.root != *root)
            .then(|| format!("another log of {size} entries was signed under this name"))
    }

    /// Notes what the signer signed.
    pub fn note<'a>(&mut self, signed: impl Iterator<Item = &'a Checkpoint>) {
        let mut lines = String::new();
        for c in signed {
            let seen = Seen { size: c.size, root: c.root };
            if self.seen.get(&c.origin).is_none_or(|known| known.size < seen.size) {
                let _ = lines.write_str(&line(&c.origin, &seen));
                self.see(c.origin, seen);
            }
        }
        if lines.is_empty() {
            return;
        }
        if let Err(e) = self.write(&lines) {
            self.file = None;
            tracing::error!(
                "{}: {e}: whether the database was put back is known to the signer only",
                self.path.display()
            );
        }
    }

    fn write(&mut self, lines: &str) -> Result<(), Box<dyn std::error::Error>> {
        match &mut self.file {
            Some(file) if self.bytes + lines.len() as u64 <= REWRITE_BYTES => {
                file.write_all(lines.as_bytes())?;
                self.bytes += lines.len() as u64;
            }
            _ => self.rewrite()?,
        }
        Ok(())
    }

    /// One line a log, in a new file under the same name.
    fn rewrite(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let all: String = self.seen.iter().map(|(origin, seen)| line(origin, seen)).collect();
        files::replace(&self.path, all.as_bytes())?;
        let flags = nix::fcntl::OFlag::O_NOFOLLOW.bits();
        self.file = Some(OpenOptions::new().append(true).custom_flags(flags).open(&self.path)?);
        self.bytes = all.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::ids::{NodeId, TenantUid};

    fn origin(tenant: u8) -> Origin {
        Origin { node: NodeId([1; 16]), tenant: TenantUid([tenant; 16]), epoch: 1 }
    }

    fn signed(tenant: u8, size: u64) -> Checkpoint {
        Checkpoint { origin: origin(tenant), size, root: [u8::try_from(size % 256).unwrap(); 32] }
    }

    fn read_again(data: &Path) -> impl Fn(u8, u64, u8) -> bool {
        let w = Witness::open(data);
        move |tenant, size, root| w.contradicts(&origin(tenant), size, &[root; 32]).is_some()
    }

    /// Invariant 6: a log that is shorter than what was signed, or another one, is found without the signer, from the moment
    /// that it was signed.
    #[test]
    fn a_log_that_was_put_back_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut w = Witness::open(dir.path());
        assert_eq!(w.contradicts(&origin(2), 0, &[0; 32]), None, "nothing is known yet");
        w.note([signed(2, 5), signed(3, 9)].iter());
        w.note([signed(2, 7)].iter());
        w.note([signed(2, 6)].iter());
        let against = read_again(dir.path());
        assert_eq!((against(2, 6, 6), against(2, 7, 8), against(2, 7, 7)), (true, true, false));
        assert_eq!((against(2, 8, 9), against(3, 8, 8), against(4, 0, 0)), (false, true, false));
    }

    /// What a crash cut off, and what somebody else wrote into it, takes nothing with it that stands before or comes after.
    #[test]
    fn damage_takes_nothing_else_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        Witness::open(dir.path()).note([signed(2, 5), signed(3, 9)].iter());
        let whole = std::fs::read_to_string(&path).unwrap();
        for cut in 1..whole.len() / 2 {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let against = read_again(dir.path());
            assert!(against(2, 4, 4), "{cut}");
            assert!(!against(3, 8, 8), "half a line says nothing: {cut}");
            Witness::open(dir.path()).note([signed(3, 300)].iter());
            let against = read_again(dir.path());
            assert!(against(2, 4, 4) && against(3, 299, 0), "{cut}");
        }
        std::fs::write(&path, format!("nonsense\n{whole}")).unwrap();
        assert!(read_again(dir.path())(3, 8, 8));
        std::fs::write(&path, b"{").unwrap();
        assert!(!read_again(dir.path())(3, 0, 0));
    }

    /// However many checkpoints there are, the file has a bound and forgets no log.
    #[test]
    fn the_file_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut w = Witness::open(dir.path());
        w.note([signed(3, 9)].iter());
        for size in 1..=20_000 {
            w.note([signed(2, size)].iter());
        }
        assert!(std::fs::metadata(dir.path().join(FILE)).unwrap().len() <= REWRITE_BYTES);
        let against = read_again(dir.path());
        assert!(against(2, 19_999, 0) && against(3, 8, 8));
    }
}
