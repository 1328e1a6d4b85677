//! Writes events to files of JSON lines: `<sink>-000001.jsonl` and so on, rotated by size.

use super::Delivered;
use crate::platform::files::sync_dir;
use conductor_shared::ids::Ident;
use parking_lot::Mutex;
use serde_json::Value;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

pub(super) struct Files(Arc<Mutex<Inner>>);

struct Inner {
    folder: PathBuf,
    name: Ident,
    max_bytes: u64,
    open: Option<(u32, File, u64)>,
}

impl Files {
    pub(super) fn new(folder: PathBuf, name: Ident, max_bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner { folder, name, max_bytes, open: None })))
    }

    pub(super) async fn deliver(&self, events: &[Value]) -> Delivered {
        let mut text = Vec::new();
        for e in events {
            text.extend_from_slice(e.to_string().as_bytes());
            text.push(b'\n');
        }
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || inner.lock().append(&text));
        match done.await {
            Ok(Ok(())) => Delivered::Yes,
            Ok(Err(e)) => Delivered::Later(e, None),
            Err(e) => Delivered::Later(e.to_string(), None),
        }
    }
}

impl Inner {
    fn append(&mut self, text: &[u8]) -> Result<(), String> {
        let done = self.try_append(text);
        if done.is_err() {
            // The next attempt reopens the file and repairs its end.
            self.open = None;
        }
        done.map_err(|e| format!("{}: {e}", self.folder.display()))
    }

    fn try_append(&mut self, text: &[u8]) -> std::io::Result<()> {
        if self.open.is_none() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            let number = self.newest()?.unwrap_or(1);
            self.open = Some(self.reopen(number)?);
        }
        if let Some((number, _, size)) = &self.open
            && *size >= self.max_bytes
        {
            self.open = Some(self.reopen(number + 1)?);
        }
        if let Some((_, file, size)) = &mut self.open {
            file.write_all(text)?;
            file.sync_data()?;
            *size += text.len() as u64;
        }
        Ok(())
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{}-{number:06}.jsonl", self.name))
    }

    fn newest(&self) -> std::io::Result<Option<u32>> {
        let number = |name: &str| -> Option<u32> {
            name.strip_prefix(self.name.as_str())?.strip_prefix('-')?.strip_suffix(".jsonl")?.parse().ok()
        };
        let mut newest = None;
        for entry in std::fs::read_dir(&self.folder)? {
            newest = newest.max(number(&entry?.file_name().to_string_lossy()));
        }
        Ok(newest)
    }

    /// Opens a file to append. Cuts off a line that a crash left incomplete: its event is delivered again.
    fn reopen(&self, number: u32) -> std::io::Result<(u32, File, u64)> {
        let path = self.path(number);
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path)?;
        let size = whole_lines(&mut file)?;
        file.set_len(size)?;
        file.seek(SeekFrom::End(0))?;
        sync_dir(&self.folder).map_err(std::io::Error::other)?;
        Ok((number, file, size))
    }
}

/// Size up to the last line break, inclusive.
fn whole_lines(file: &mut File) -> std::io::Result<u64> {
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

    /// Issue 4, Sinks: files are rotated, and an incomplete line from a crash is cut off before the next is written.
    #[test]
    fn files_rotate_and_cut_torn_lines() {
        let dir = tempfile::tempdir().unwrap();
        let new = || Inner {
            folder: dir.path().join("out"),
            name: Ident::new("tape").unwrap(),
            max_bytes: 20,
            open: None,
        };
        let mut f = new();
        f.append(b"{\"a\":1}\n").unwrap();
        std::fs::OpenOptions::new().append(true).open(f.path(1)).unwrap().write_all(b"{\"torn").unwrap();
        let mut f = new();
        f.append(b"{\"b\":2}\n{\"c\":3}\n").unwrap();
        assert_eq!(std::fs::read_to_string(f.path(1)).unwrap(), "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
        f.append(b"{\"d\":4}\n").unwrap();
        assert_eq!(std::fs::read_to_string(f.path(2)).unwrap(), "{\"d\":4}\n");
        std::fs::write(f.path(2), "x".repeat(5_000)).unwrap();
        let mut f = new();
        f.append(b"{\"e\":5}\n").unwrap();
        assert_eq!(std::fs::read_to_string(f.path(2)).unwrap(), "{\"e\":5}\n");
    }
}
