//! Small durable files: read with bounds and only if private, made or replaced as a whole.
//!
//! It must never follow a link to a secret, read without bound, or leave half a file under its final name.

use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system says no.
    #[error("{path}: cannot {doing}: {source}")]
    Io {
        path: PathBuf,
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Not a plain file.
    #[error("{0}: not a regular file")]
    NotAFile(PathBuf),
    /// Others may read or change it.
    #[error("{path}: mode {mode:04o} lets others at it; run: chmod {want} {path}")]
    Open {
        path: PathBuf,
        mode: u32,
        /// What they should be.
        want: &'static str,
    },
    #[error("{path}: owned by uid {owner}, and this program runs as uid {own}; run: chown {own} {path}")]
    Owner { path: PathBuf, owner: u32, own: u32 },
    /// Too long to be what it should be.
    #[error("{0}: longer than {1} bytes")]
    TooLong(PathBuf, u64),
}

/// An error of the system, with the file and what was tried.
pub fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { path, doing, source }
}

/// Who else may have permissions on a file that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Private {
    /// Its owner alone, who is this user or root.
    Owner,
    /// No check of the group: a systemd credential shows its access list there.
    NotOthers,
    Public,
}

/// Reads a whole file of at most `max` bytes. The buffer is wiped when dropped.
pub fn read(path: &Path, max: u64, private: Private) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let file = file.map_err(io_error(path, "open"))?;
    let meta = file.metadata().map_err(io_error(path, "stat"))?;
    if !meta.is_file() {
        return Err(FileError::NotAFile(path.into()));
    }
    check_private(path, &meta, private, "0600")?;
    if meta.len() > max {
        return Err(FileError::TooLong(path.into(), max));
    }
    let room = usize::try_from(meta.len()).unwrap_or(0) + 1;
    let mut out = Zeroizing::new(Vec::with_capacity(room));
    file.take(max + 1).read_to_end(&mut out).map_err(io_error(path, "read"))?;
    if out.len() as u64 > max {
        return Err(FileError::TooLong(path.into(), max));
    }
    Ok(out)
}

fn check_private(
    path: &Path,
    meta: &std::fs::Metadata,
    private: Private,
    want: &'static str,
) -> Result<(), FileError> {
    let forbidden = match private {
        Private::Owner => 0o077,
        Private::NotOthers => 0o007,
        Private::Public => return Ok(()),
    };
    let mode = meta.mode() & 0o7777;
    if mode & forbidden != 0 {
        return Err(FileError::Open { path: path.into(), mode, want });
    }
    let own = nix::unistd::geteuid().as_raw();
    if private == Private::Owner && meta.uid() != own && meta.uid() != 0 {
        return Err(FileError::Owner { path: path.into(), owner: meta.uid(), own });
    }
    Ok(())
}

/// Checks that a directory is this user's and nobody else's.
pub fn check_dir(dir: &Path) -> Result<(), FileError> {
    let meta = std::fs::metadata(dir).map_err(io_error(dir, "stat"))?;
    check_private(dir, &meta, Private::Owner, "0700")
}

/// Makes a file that must not exist yet, durable when this returns.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(io_error(path, "create"))?;
    file.write_all(bytes).map_err(io_error(path, "write"))?;
    file.sync_all().map_err(io_error(path, "sync"))?;
    sync_parent(path)
}

/// Puts a file in place of another: written aside, synced, renamed, directory synced. Old or new is there whole,
/// whenever power fails.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .map_err(io_error(&aside, "create"))?;
    file.write_all(bytes).map_err(io_error(&aside, "write"))?;
    file.sync_all().map_err(io_error(&aside, "sync"))?;
    std::fs::rename(&aside, path).map_err(io_error(path, "rename into place"))?;
    sync_parent(path)
}

/// Makes the entry of `path` in its directory durable.
pub fn sync_parent(path: &Path) -> Result<(), FileError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    sync_dir(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })
}

/// Makes the entries of a directory durable.
pub fn sync_dir(dir: &Path) -> Result<(), FileError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(io_error(dir, "sync"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// SPEC, Bad input: a secret that others may read is refused, and the message says how to fix it.
    #[test]
    fn secrets_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        create(&path, b"x", 0o600).unwrap();
        assert_eq!(read(&path, 10, Private::Owner).unwrap().as_slice(), b"x");
        assert!(create(&path, b"y", 0o600).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let e = read(&path, 10, Private::Owner).unwrap_err().to_string();
        assert!(e.contains("0640") && e.contains("chmod 0600"), "{e}");
        assert!(read(&path, 10, Private::NotOthers).is_ok());
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(read(&link, 10, Private::Public).is_err());
        assert!(matches!(read(dir.path(), 10, Private::Public), Err(FileError::NotAFile(_))));
        replace(&path, b"longer").unwrap();
        assert!(matches!(read(&path, 5, Private::Public), Err(FileError::TooLong(..))));
    }
}
