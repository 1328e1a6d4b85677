//! Files kept between starts: a folder for its owner only, and files that are replaced atomically. Several consoles and
//! plain commands may run at once: whoever changes a file reads it again under a lock and merges what it knows.

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// `$XDG_STATE_HOME/conductor`, else under `~/.local/state`. `None` where neither is an absolute path.
pub(crate) fn folder() -> Option<PathBuf> {
    // Unit tests leave the home of whoever runs them alone.
    if cfg!(test) {
        return None;
    }
    let var = |n: &str| std::env::var_os(n).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = var("XDG_STATE_HOME").or_else(|| Some(var("HOME")?.join(".local/state")))?;
    Some(state.join("conductor"))
}

/// Reads a file of at most so many bytes. One that is not there gives `None`.
pub(crate) fn read(path: &Path, max: u64) -> io::Result<Option<String>> {
    let file = match std::fs::File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        f => f?,
    };
    let mut text = String::new();
    file.take(max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > max {
        return Err(io::Error::other(format!("it is larger than {max} bytes")));
    }
    Ok(Some(text))
}

/// How long a file that is to be changed may be held by another program of the same person. Short: a tightening waits for it.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Leave to change a file or folder, while no other program of the same person does. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "held")] Flock<std::fs::File>);

/// Waits for leave to change this file: what is read under it is what is replaced. Blocks.
pub(crate) fn lock(path: &Path) -> io::Result<Lock> {
    let (dir, name) = path.parent().zip(path.file_name()).ok_or_else(|| io::Error::other("no folder"))?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let beside = dir.join(format!(".{}.lock", name.to_string_lossy()));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(false).mode(0o600).open(&beside)?;
    let pause = Duration::from_millis(20);
    for _ in 0..LOCK_WAIT.as_millis() / pause.as_millis() {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(Lock(held)),
            Err((back, Errno::EWOULDBLOCK)) => file = back,
            Err((_, e)) => return Err(e.into()),
        }
        std::thread::sleep(pause);
    }
    Err(io::Error::other("another program holds it; it was not changed"))
}

/// Two tasks of this program may replace the same file.
static TURN: AtomicU64 = AtomicU64::new(0);

/// Replaces a file atomically, for its owner only. Durable when it returns: file and folder are synced. The agent has the
/// same in its `platform`; `shared`, the one crate that both may use, does no I/O.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let (dir, name) = path.parent().zip(path.file_name()).ok_or_else(|| io::Error::other("no folder"))?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let aside = dir.join(format!(".{}.{}.{turn}", name.to_string_lossy(), std::process::id()));
    let written = (|| {
        let mut options = std::fs::OpenOptions::new();
        let mut f = options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        f.write_all(text.as_bytes())?;
        f.sync_all()?;
        std::fs::rename(&aside, path)?;
        std::fs::File::open(dir)?.sync_all()
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    written
}
