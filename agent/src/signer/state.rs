//! The signer's state: of each log, the size and root that were signed last. Operators know it as the signer's memory.
//!
//! It belongs to the key and is made together with it. What it is told is on the disk when [`SignerState::remember`]
//! returns; nothing may be signed before. It must never be reset: missing, damaged, of another key, or older than the
//! anchor beside the key, it refuses to open, and the signer is replaced by `recover`. Format: [`super::state_format`];
//! reasons: docs/adr/0003-signer-memory.md.

use super::protocol::{Known, MAX_ITEMS};
use super::state_format::{Anchor, Header, SLOT, encode_entry, scan};
use crate::platform::files::{self, FileError, Private, io_error};
use conductor_shared::ids::{Origin, hex};
use conductor_shared::merkle::Hash;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Most logs that are remembered.
pub const MAX_ORIGINS: usize = 100_000;
/// The anchor is advanced at least every so many entries.
const ANCHOR_EVERY: u64 = 4096;
/// The file is compacted when it holds so many entries more than four times the logs.
const SLACK: u64 = 65_536;
/// No memory is longer: [`SLACK`], four times [`MAX_ORIGINS`], one write, and then some.
const MAX_BYTES: u64 = 64 << 20;
/// File name of the memory, in the signer's directory.
pub const STATE_FILE: &str = "signer.memory";
/// File name of the anchor.
pub const ANCHOR_FILE: &str = "signer.anchor";

/// Why the memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// One of its files is not there.
    #[error("{0} is missing. {REMEDY}")]
    Missing(PathBuf),
    /// Not what was once written.
    #[error("{path} is damaged at {place}. {REMEDY}")]
    Damaged { path: PathBuf, place: String },
    /// Made for another key.
    #[error("{0} belongs to another key. {REMEDY}")]
    OtherKey(PathBuf),
    /// The memory and the anchor are not of one another.
    #[error("{0} and its anchor are of two different memories. {REMEDY}")]
    OtherMemory(PathBuf),
    #[error("{path} is older than it should be: it has {has} entries, {should} were written. {REMEDY}")]
    RolledBack {
        path: PathBuf,
        has: u64,
        /// Entries the anchor saw.
        should: u64,
    },
    /// The disk failed under it.
    #[error("the signer's memory could not be written: {0}. Fix the disk, then start the signer again")]
    Unwritable(String),
    #[error(transparent)]
    File(#[from] FileError),
}

/// What to do when the state cannot be trusted.
const REMEDY: &str = "A signer that forgot what it signed must not sign: do not restore, edit or delete its files; \
                    replace the signer by `recover` (docs/guide/signer.md)";

#[derive(Debug)]
pub struct SignerState {
    dir: PathBuf,
    file: File,
    header: Header,
    known: FxHashMap<Origin, Known>,
    /// Entries in the file.
    in_file: u64,
    anchored: u64,
    failed: Option<String>,
}

impl SignerState {
    /// Makes a memory for a new key. Refuses when one is there.
    pub fn create(dir: &Path, key: Hash) -> Result<(), StateError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|e| StateError::Unwritable(format!("no randomness: {e}")))?;
        let header = Header { id, key, before: 0, made_with: 0 };
        files::create(&dir.join(STATE_FILE), &header.encode(), 0o600)?;
        files::create(&dir.join(ANCHOR_FILE), Anchor { id, key, entries: 0 }.encode().as_bytes(), 0o600)?;
        Ok(())
    }

    /// Opens the memory of a key, cuts a torn tail, and compacts its file. Returns how many bytes were cut.
    pub fn open(dir: &Path, key: Hash) -> Result<(Self, usize), StateError> {
        let path = dir.join(STATE_FILE);
        let anchor_path = dir.join(ANCHOR_FILE);
        let damaged = |path: &Path, place: String| StateError::Damaged { path: path.into(), place };
        let bytes = read(&path, MAX_BYTES)?;
        let header = Header::decode(&bytes).ok_or_else(|| damaged(&path, "its header".into()))?;
        let anchor = read(&anchor_path, 4096)?;
        let anchor = std::str::from_utf8(&anchor).ok().and_then(Anchor::decode);
        let anchor = anchor.ok_or_else(|| damaged(&anchor_path, "its text".into()))?;
        if header.key != key || anchor.key != key {
            return Err(StateError::OtherKey(if header.key == key { anchor_path } else { path }));
        }
        if header.id != anchor.id {
            return Err(StateError::OtherMemory(path));
        }
        let found = scan(&header, &bytes).map_err(|n| damaged(&path, format!("entry {n}")))?;
        let has = header.before + found.entries.len() as u64;
        if has < anchor.entries {
            return Err(StateError::RolledBack { path, has, should: anchor.entries });
        }
        let mut known: FxHashMap<Origin, Known> = FxHashMap::default();
        for (origin, now) in found.entries {
            if known.insert(origin, now).is_some_and(|was| now.size < was.size) || known.len() > MAX_ORIGINS {
                return Err(damaged(&path, format!("the entries of {origin}")));
            }
        }
        let file = File::open(&path).map_err(io_error(&path, "open"))?;
        let in_file = has - header.before;
        let mut it =
            Self { dir: dir.into(), file, header, known, in_file, anchored: anchor.entries, failed: None };
        it.compact()?;
        Ok((it, found.torn))
    }

    /// What is remembered of a log.
    pub fn known(&self, origin: &Origin) -> Option<&Known> {
        self.known.get(origin)
    }

    pub fn origins(&self) -> usize {
        self.known.len()
    }

    pub fn entries(&self) -> u64 {
        self.header.before + self.in_file
    }

    /// Its random id, hex.
    pub fn id(&self) -> String {
        hex(&self.header.id)
    }

    /// Why it cannot be written any more, if so.
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Remembers these states, in their order; they are durable when it returns `Ok`, with one sync for all. After an
    /// error nothing is remembered any more: what the disk holds is known only after a new start.
    pub fn remember(&mut self, news: &[(Origin, Known)]) -> Result<(), StateError> {
        if let Some(why) = &self.failed {
            return Err(StateError::Unwritable(why.clone()));
        }
        if news.is_empty() {
            return Ok(());
        }
        self.append(news).inspect_err(|e| self.failed = Some(e.to_string()))
    }

    fn append(&mut self, news: &[(Origin, Known)]) -> Result<(), StateError> {
        let fresh: FxHashSet<_> = news.iter().map(|n| n.0).filter(|o| !self.known.contains_key(o)).collect();
        if news.len() > MAX_ITEMS || self.known.len() + fresh.len() > MAX_ORIGINS {
            return Err(StateError::Unwritable("more was to be remembered than there is room for".into()));
        }
        let path = self.dir.join(STATE_FILE);
        let mut bytes = Vec::with_capacity(news.len() * SLOT);
        for ((place, (origin, known)), number) in (0u32..).zip(news).zip(self.entries() + 1..) {
            bytes.extend_from_slice(&encode_entry(&self.header.id, origin, known, number, place));
        }
        self.file.write_all(&bytes).map_err(io_error(&path, "append"))?;
        self.file.sync_data().map_err(io_error(&path, "sync"))?;
        self.still_there(&path)?;
        self.in_file += news.len() as u64;
        self.known.extend(news.iter().copied());
        if self.in_file > SLACK + 4 * self.known.len() as u64 {
            self.compact()?;
        } else if self.entries() - self.anchored >= ANCHOR_EVERY {
            self.anchor()?;
        }
        Ok(())
    }

    /// The file that was written must be the one that the next start will read.
    fn still_there(&self, path: &Path) -> Result<(), StateError> {
        let here = self.file.metadata().map_err(io_error(path, "stat"))?;
        let there = std::fs::metadata(path).map_err(io_error(path, "stat"))?;
        if (here.dev(), here.ino()) == (there.dev(), there.ino()) {
            Ok(())
        } else {
            Err(StateError::Unwritable(format!("{} was replaced under the running signer", path.display())))
        }
    }

    /// Rewrites the file with one entry a log, then advances the anchor. The entries get new numbers: so each
    /// start raises the count, and a copy from before it is known as old.
    fn compact(&mut self) -> Result<(), StateError> {
        let path = self.dir.join(STATE_FILE);
        let made_with = self.known.len() as u64;
        let header = Header { before: self.entries(), made_with, ..self.header };
        let mut bytes = Vec::with_capacity(SLOT * (1 + self.known.len()));
        bytes.extend_from_slice(&header.encode());
        for ((origin, known), number) in self.known.iter().zip(header.before + 1..) {
            bytes.extend_from_slice(&encode_entry(&header.id, origin, known, number, 0));
        }
        files::replace(&path, &bytes)?;
        self.file = OpenOptions::new().append(true).open(&path).map_err(io_error(&path, "open"))?;
        self.header = header;
        self.in_file = made_with;
        self.anchor()
    }

    /// Advances the anchor to what is durable.
    pub fn anchor(&mut self) -> Result<(), StateError> {
        let entries = self.entries();
        let anchor = Anchor { id: self.header.id, key: self.header.key, entries };
        files::replace(&self.dir.join(ANCHOR_FILE), anchor.encode().as_bytes())?;
        self.anchored = entries;
        Ok(())
    }
}

fn read(path: &Path, max: u64) -> Result<zeroize::Zeroizing<Vec<u8>>, StateError> {
    files::read(path, max, Private::Owner).map_err(|e| match e {
        FileError::Io { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            StateError::Missing(path.into())
        }
        e => e.into(),
    })
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
