//! Power loss without a machine to switch off: programs run on a disk that forgets what was not synced (`power/disk.c`),
//! and here their folders become what that disk kept.

use crate::prng::Prng;
use std::collections::HashMap;
use std::fs::{File, Permissions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folders of a node that stand on a disk which forgets.
pub struct Disk {
    library: PathBuf,
    kept: PathBuf,
    countdown: File,
    folders: Vec<PathBuf>,
}

/// What becomes of bytes behind those that were synced.
pub enum Unsynced<'a> {
    /// Nothing of them is there.
    Lost,
    /// Of each file a beginning of them is there, and zeros behind it where the dice say so.
    Torn(&'a mut Prng),
}

impl Disk {
    /// Takes what these folders hold now for durable. `at` is a folder for its own files, on the same file system.
    pub fn under(at: &Path, folders: &[PathBuf]) -> Self {
        std::fs::create_dir_all(at).expect("a folder");
        let (source, library) = (at.join("disk.c"), at.join("disk.so"));
        std::fs::write(&source, include_str!("power/disk.c")).expect("written");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
        let out = cc.output().expect("cc is there: Rust links with it");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let countdown = File::create(at.join("countdown")).expect("a file");
        let this = Self { library, kept: at.join("kept"), countdown, folders: folders.to_vec() };
        this.fail_in(0);
        this.hold();
        this
    }

    /// Environment of a program on this disk that goes on until it is killed.
    pub fn env(&self) -> Vec<(String, String)> {
        let text = |p: &Path| p.display().to_string();
        vec![("LD_PRELOAD".into(), text(&self.library)), ("DISK_FOLDER".into(), text(&self.kept))]
    }

    /// Environment of the program whose syncs count down to the power loss.
    pub fn env_counted(&self) -> Vec<(String, String)> {
        let file = self.kept.with_file_name("countdown").display().to_string();
        [self.env(), vec![("DISK_COUNTDOWN".into(), file)]].concat()
    }

    /// The same on a disk that syncs nothing and says that it did.
    pub fn env_lying(&self) -> Vec<(String, String)> {
        [self.env(), vec![("DISK_LIES".into(), "1".into())]].concat()
    }

    /// Power fails when so many moments have passed, of which each sync has two; never at 0.
    pub fn fail_in(&self, moments: i64) {
        self.countdown.write_all_at(&moments.to_ne_bytes(), 0).expect("written");
    }

    /// Forgets what it kept, and takes what the folders hold now for durable.
    fn hold(&self) {
        let _ = std::fs::remove_dir_all(&self.kept);
        for part in ["files", "folders"] {
            std::fs::create_dir_all(self.kept.join(part)).expect("a folder");
        }
        self.folders.iter().for_each(|f| self.hold_folder(f));
    }

    fn hold_folder(&self, folder: &Path) {
        let mut list = String::new();
        for entry in std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry")) {
            let (meta, name) = (entry.metadata().expect("there"), entry.file_name());
            let kind = if meta.is_dir() { 'd' } else { 'f' };
            list += &format!("{} {kind} {}\n", meta.ino(), name.to_str().expect("our own names"));
            if meta.is_dir() {
                self.hold_folder(&entry.path());
            } else {
                std::fs::copy(entry.path(), self.file(meta.ino())).expect("copied");
            }
        }
        let inode = std::fs::metadata(folder).expect("there").ino();
        std::fs::write(self.folder(inode), list).expect("written");
    }

    fn file(&self, inode: u64) -> PathBuf {
        self.kept.join("files").join(inode.to_string())
    }

    fn folder(&self, inode: u64) -> PathBuf {
        self.kept.join("folders").join(inode.to_string())
    }

    /// Makes the folders what the disk kept, once no program of it runs any more. What they hold then is durable.
    pub fn lose_power(&self, mut unsynced: Unsynced<'_>) {
        self.fail_in(0);
        for folder in &self.folders {
            let mut seen = HashMap::new();
            find_files(folder, &mut seen);
            let after = folder.with_extension("after");
            let meta = std::fs::metadata(folder).expect("there");
            self.rebuild(meta.ino(), &after, &seen, &mut unsynced);
            std::fs::set_permissions(&after, meta.permissions()).expect("permissions");
            std::fs::remove_dir_all(folder).expect("removed");
            std::fs::rename(&after, folder).expect("renamed");
        }
        self.hold();
    }

    fn rebuild(&self, inode: u64, to: &Path, seen: &HashMap<u64, PathBuf>, unsynced: &mut Unsynced<'_>) {
        std::fs::create_dir(to).expect("a folder");
        std::fs::set_permissions(to, Permissions::from_mode(0o700)).expect("permissions");
        let list = std::fs::read_to_string(self.folder(inode)).unwrap_or_default();
        for line in list.lines() {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().expect("three words");
            let (inode, kind, name) = (word().parse().expect("an inode"), word(), word());
            if kind == "d" {
                self.rebuild(inode, &to.join(name), seen, unsynced);
                continue;
            }
            let (kept, path) = (self.file(inode), to.join(name));
            if kept.exists() {
                std::fs::copy(kept, &path).expect("copied");
            } else {
                File::create(&path).expect("an empty file");
            }
            if let (Unsynced::Torn(dice), Some(live)) = (&mut *unsynced, seen.get(&inode)) {
                tear(&path, live, dice);
            }
        }
    }
}

/// Adds a beginning of the bytes that were not synced.
fn tear(path: &Path, live: &Path, dice: &mut Prng) {
    let bytes = std::fs::read(live).expect("read");
    let synced = std::fs::metadata(path).expect("there").len();
    let all = bytes.len() as u64;
    if all <= synced {
        return;
    }
    let end = synced + dice.below(all - synced + 1);
    let part = |n: u64| usize::try_from(n).expect("fits");
    let file = File::options().write(true).open(path).expect("a file");
    file.write_all_at(&bytes[part(synced)..part(end)], synced).expect("written");
    if dice.below(2) == 0 {
        file.set_len(all).expect("zeros");
    }
}

fn find_files(folder: &Path, to: &mut HashMap<u64, PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry")) {
        let meta = entry.metadata().expect("there");
        if meta.is_dir() {
            find_files(&entry.path(), to);
        } else {
            to.insert(meta.ino(), entry.path());
        }
    }
}
