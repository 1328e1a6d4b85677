//! Writes events to files of JSON lines: `<sink>-000001.jsonl` and so on, rotated by size.
//!
//! A number names one file for good, also when the file was moved away: the newest number that was given out is stored by
//! the caller, in the node's partition. What was moved or removed while it was written counts as not delivered.

use super::search::Delivered;
use crate::platform::files::sync_dir;
use conductor_shared::ids::Ident;
use serde_json::Value;
use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind, Read as _, Result, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

pub(super) struct Files {
    folder: PathBuf,
    name: Ident,
    max_bytes: u64,
    /// The newest number that was given out, as far as this process knows.
    number: u32,
    open: Option<Open>,
}

struct Open {
    file: File,
    size: u64,
}

impl Files {
    pub(super) fn new(folder: PathBuf, name: Ident, max_bytes: u64) -> Self {
        Self { folder, name, max_bytes, number: 0, open: None }
    }

    /// Makes the folder if it is missing.
    pub(super) fn open(&self) -> std::result::Result<(), String> {
        if self.open.is_some() {
            return Ok(());
        }
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|e| self.wrong(&e))
    }

    /// Opens the file that the next events go to. `stored` is the newest number that was given out. Gives the number of
    /// the file: the caller stores it before it has events delivered.
    pub(super) fn prepare(&mut self, stored: u32) -> std::result::Result<u32, String> {
        self.try_prepare(stored).map_err(|e| self.wrong(&e))
    }

    pub(super) fn deliver(&mut self, events: &[Value]) -> Delivered {
        let mut text = Vec::new();
        for e in events {
            text.extend_from_slice(e.to_string().as_bytes());
            text.push(b'\n');
        }
        match self.append(&text) {
            Ok(()) => Delivered::Yes,
            Err(e) => Delivered::Later(self.wrong(&e), None),
        }
    }

    fn wrong(&self, e: &Error) -> String {
        format!("{}: {e}", self.folder.display())
    }

    fn try_prepare(&mut self, stored: u32) -> Result<u32> {
        if let Some(open) = &mut self.open {
            let at_its_place = std::fs::metadata(path(&self.folder, &self.name, self.number));
            match same(&open.file.metadata()?, at_its_place)? {
                // Somebody may have cut it short: it is appended to.
                Some(size) if size < self.max_bytes => {
                    open.size = size;
                    return Ok(self.number);
                }
                Some(_) => {}
                None => tracing::warn!(
                    "sink {}: {} was moved or removed; the next number is begun",
                    self.name,
                    path(&self.folder, &self.name, self.number).display()
                ),
            }
            self.open = None;
            return self.begin();
        }
        self.number = self.number.max(stored).max(self.newest()?.unwrap_or(0));
        let exists = path(&self.folder, &self.name, self.number).try_exists()?;
        if self.number == 0 || !exists {
            return self.begin();
        }
        self.open = Some(self.reopen()?);
        if self.open.as_ref().is_some_and(|o| o.size >= self.max_bytes) {
            return self.begin();
        }
        Ok(self.number)
    }

    /// Begins the file of the next number that is free.
    fn begin(&mut self) -> Result<u32> {
        self.open = None;
        loop {
            let number =
                self.number.checked_add(1).ok_or_else(|| Error::other("all numbers of files are taken"))?;
            self.number = number;
            let new = File::options().create_new(true).read(true).append(true).mode(0o600).open(self.path());
            match new {
                Ok(file) => {
                    sync_dir(&self.folder).map_err(Error::other)?;
                    self.open = Some(Open { file, size: 0 });
                    return Ok(number);
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => {
                    self.number -= 1;
                    return Err(e);
                }
            }
        }
    }

    fn append(&mut self, text: &[u8]) -> Result<()> {
        let at = self.path();
        let Some(open) = &mut self.open else { return Err(Error::other("no file is open")) };
        if let Err(e) = open.file.write_all(text).and_then(|()| open.file.sync_data()) {
            // The next attempt opens it again and repairs its end.
            self.open = None;
            return Err(e);
        }
        // Whoever moved it before this line may have read it without these events.
        let size = same(&open.file.metadata()?, std::fs::metadata(&at))?;
        let gone = || Error::other(format!("{} was moved or removed while it was written", at.display()));
        open.size = size.ok_or_else(gone)?;
        Ok(())
    }

    fn path(&self) -> PathBuf {
        path(&self.folder, &self.name, self.number)
    }

    fn newest(&self) -> Result<Option<u32>> {
        let number = |name: &str| -> Option<u32> {
            name.strip_prefix(self.name.as_str())?.strip_prefix('-')?.strip_suffix(".jsonl")?.parse().ok()
        };
        let mut newest = None;
        for entry in std::fs::read_dir(&self.folder)? {
            newest = newest.max(number(&entry?.file_name().to_string_lossy()));
        }
        Ok(newest)
    }

    /// Opens the newest file to append. Cuts off a line that a crash left incomplete: its event is delivered again.
    fn reopen(&self) -> Result<Open> {
        let mut file = File::options().read(true).append(true).open(self.path())?;
        let size = whole_lines(&mut file)?;
        file.set_len(size)?;
        Ok(Open { file, size })
    }
}

fn path(folder: &std::path::Path, name: &Ident, number: u32) -> PathBuf {
    folder.join(format!("{name}-{number:06}.jsonl"))
}

/// The size of an open file, if it still is the one at its path.
fn same(open: &Metadata, there: Result<Metadata>) -> Result<Option<u64>> {
    match there {
        Ok(m) if (m.dev(), m.ino()) == (open.dev(), open.ino()) => Ok(Some(m.len())),
        Ok(_) => Ok(None),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Size up to the last line break, inclusive.
fn whole_lines(file: &mut File) -> Result<u64> {
    let mut end = file.metadata()?.len();
    let mut piece = vec![0; 4_096];
    while end > 0 {
        let begin = end.saturating_sub(piece.len() as u64);
        let n = usize::try_from(end - begin).unwrap_or(0);
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut piece[..n])?;
        if let Some(at) = piece[..n].iter().rposition(|b| *b == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &tempfile::TempDir) -> Files {
        let f = Files::new(dir.path().join("out"), Ident::new("tape").unwrap(), 20);
        f.open().unwrap();
        f
    }

    fn put(f: &mut Files, stored: u32, line: &str) -> u32 {
        let number = f.prepare(stored).unwrap();
        f.append(format!("{line}\n").as_bytes()).unwrap();
        number
    }

    fn text(f: &Files, number: u32) -> String {
        std::fs::read_to_string(path(&f.folder, &f.name, number)).unwrap()
    }

    /// Files are rotated, and an incomplete line from a crash is cut off before the next is written.
    #[test]
    fn files_rotate_and_cut_torn_lines() {
        let dir = tempfile::tempdir().unwrap();
        let mut f = files(&dir);
        put(&mut f, 0, "{\"a\":1}");
        std::fs::OpenOptions::new().append(true).open(f.path()).unwrap().write_all(b"{\"torn").unwrap();
        let mut f = files(&dir);
        put(&mut f, 1, "{\"b\":2}\n{\"c\":3}");
        assert_eq!(text(&f, 1), "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
        assert_eq!(put(&mut f, 1, "{\"d\":4}"), 2);
        assert_eq!(text(&f, 2), "{\"d\":4}\n");
        std::fs::write(f.path(), "x".repeat(5_000)).unwrap();
        let mut f = files(&dir);
        put(&mut f, 2, "{\"e\":5}");
        assert_eq!(text(&f, 2), "{\"e\":5}\n");
    }

    /// E2: a file that was moved or removed is noticed before and after a write, and its number is not given out again,
    /// also not after a restart with an empty folder.
    #[test]
    fn a_file_that_was_moved_is_noticed_and_its_number_is_not_given_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut f = files(&dir);
        put(&mut f, 0, "{\"a\":1}");
        std::fs::rename(f.path(), dir.path().join("moved")).unwrap();
        // Moved between the look and the write.
        assert!(f.append(b"{\"b\":2}\n").is_err());
        assert_eq!(put(&mut f, 1, "{\"b\":2}"), 2);
        std::fs::remove_file(f.path()).unwrap();
        assert_eq!(put(&mut f, 2, "{\"c\":3}"), 3);
        // Another file at its place.
        std::fs::remove_file(f.path()).unwrap();
        std::fs::write(f.path(), "not ours\n").unwrap();
        assert_eq!(put(&mut f, 3, "{\"d\":4}"), 4);
        assert_eq!(text(&f, 3), "not ours\n");
        // The whole folder, and a restart.
        std::fs::remove_dir_all(&f.folder).unwrap();
        assert!(f.prepare(4).is_err());
        let mut f = files(&dir);
        assert_eq!(put(&mut f, 4, "{\"e\":5}"), 5);
        // Cut to nothing by a collector that copies: the next line stands at its beginning.
        std::fs::File::options().write(true).open(f.path()).unwrap().set_len(0).unwrap();
        assert_eq!(put(&mut f, 5, "{\"f\":6}"), 5);
        assert_eq!(text(&f, 5), "{\"f\":6}\n");
    }
}
