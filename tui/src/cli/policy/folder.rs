//! A policy folder: every file of rules and data in it is read, links are followed, and what can be neither read nor
//! passed over without harm is refused by name.

use super::super::output::CliError;
use super::place;
use conductor_policies::{is_data, is_rego};
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Files of a policy folder are read up to this many bytes in all.
const MAX_FOLDER: u64 = 8 << 20;
/// Folders below the given one.
const MAX_DEPTH: usize = 8;
/// Files and folders that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// What is in a folder.
#[derive(Default)]
pub(super) struct RegoFolder {
    /// Files of rules, tests and data, by name relative to the folder, in order.
    pub(super) files: Vec<(String, String)>,
    /// Names of what belongs to no bundle.
    pub(super) passed_over: Vec<String>,
}

fn bad(path: &Path, e: &dyn std::fmt::Display) -> CliError {
    CliError::Input(format!("{}: {e}", place(path)))
}

/// Reads a folder. As a mounted `ConfigMap` has it, a file may be a link, and what begins with a dot is passed over.
pub(super) fn read(folder: &Path) -> Result<RegoFolder, CliError> {
    let mut found = RegoFolder::default();
    let (mut room, mut looked_at) = (MAX_FOLDER, 0);
    let mut seen = BTreeSet::new();
    let mut todo: Vec<(PathBuf, usize)> = vec![(folder.to_owned(), 0)];
    while let Some((at, depth)) = todo.pop() {
        let real = std::fs::canonicalize(&at).map_err(|e| bad(&at, &e))?;
        if !seen.insert(real) {
            return Err(bad(&at, &"it leads to a folder that was read already: remove the link"));
        }
        for entry in std::fs::read_dir(&at).map_err(|e| bad(&at, &e))? {
            let path = entry.map_err(|e| bad(&at, &e))?.path();
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            looked_at += 1;
            if looked_at > MAX_ENTRIES {
                return Err(bad(folder, &format!("more than {MAX_ENTRIES} files and folders")));
            }
            if path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")) {
                found.passed_over.push(name);
                continue;
            }
            // Of what a link leads to.
            let kind = std::fs::metadata(&path).map_err(|e| bad(&path, &e))?;
            if kind.is_dir() && depth == MAX_DEPTH {
                return Err(bad(
                    &path,
                    &format!("folders are read {MAX_DEPTH} deep and no deeper: move it up"),
                ));
            } else if kind.is_dir() {
                todo.push((path, depth + 1));
            } else if !(is_rego(&name) || is_data(&name)) {
                found.passed_over.push(name);
            } else if kind.is_file() {
                found.files.push((name, text(&path, &mut room)?));
            } else {
                return Err(bad(&path, &"it is no file: put a file there"));
            }
        }
    }
    if !found.files.iter().any(|(name, _)| is_rego(name)) {
        return Err(bad(folder, &"no .rego file in it"));
    }
    found.files.sort();
    found.passed_over.sort();
    Ok(found)
}

fn text(path: &Path, room: &mut u64) -> Result<String, CliError> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|e| bad(path, &e))?;
    let read = file.take(*room + 1).read_to_string(&mut text).map_err(|e| bad(path, &e))?;
    let left = room.checked_sub(read as u64);
    *room =
        left.ok_or_else(|| bad(path, &format!("with it, the folder has more than {MAX_FOLDER} bytes")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(folder: &Path) -> (Vec<String>, Vec<String>) {
        let found = read(folder).unwrap();
        (found.files.into_iter().map(|(n, _)| n).collect(), found.passed_over)
    }

    /// A folder as Kubernetes mounts a `ConfigMap`: each file is a link through a hidden one. None is passed over.
    #[test]
    fn links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |n: &str| folder.path().join(n);
        std::fs::create_dir_all(at("..2026/deep")).unwrap();
        for name in ["main.rego", "data.json", "deep/site.rego", "notes.txt"] {
            std::fs::write(at("..2026").join(name), "x").unwrap();
        }
        symlink("..2026", at("..data")).unwrap();
        for name in ["main.rego", "data.json", "deep", "notes.txt"] {
            symlink(format!("..data/{name}"), at(name)).unwrap();
        }
        let (files, passed_over) = names(folder.path());
        assert_eq!(files, ["data.json", "deep/site.rego", "main.rego"]);
        assert_eq!(passed_over, ["..2026", "..data", "notes.txt"]);
    }

    /// What cannot be read is refused by name, and not left out.
    #[test]
    fn what_cannot_be_read_is_refused() {
        let refused = |make: &dyn Fn(&Path)| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("main.rego"), "x").unwrap();
            make(folder.path());
            read(folder.path()).map(|f| f.files.len()).map_err(|e| e.to_string())
        };
        let link = |to: &str, name: &str, folder: &Path| symlink(to, folder.join(name)).unwrap();
        for (name, make) in [
            ("gone.rego", &(|f: &Path| link("nowhere", "gone.rego", f)) as &dyn Fn(&Path)),
            ("loop", &|f: &Path| link(".", "loop", f)),
            ("self.rego", &|f: &Path| link("self.rego", "self.rego", f)),
            ("dev.rego", &|f: &Path| link("/dev/zero", "dev.rego", f)),
            ("bytes.rego", &|f: &Path| std::fs::write(f.join("bytes.rego"), [0xff, 0xfe]).unwrap()),
            ("/9", &|f: &Path| std::fs::create_dir_all(f.join("1/2/3/4/5/6/7/8/9")).unwrap()),
            ("", &|f: &Path| {
                (0..=MAX_ENTRIES).for_each(|n| drop(std::fs::File::create(f.join(n.to_string())).unwrap()));
            }),
            ("huge.rego", &|f: &Path| {
                std::fs::File::create(f.join("huge.rego")).unwrap().set_len(MAX_FOLDER + 1).unwrap();
            }),
        ] {
            let said = refused(make).expect_err(name);
            assert!(said.contains(&format!("{name}: ")), "{name}: {said}");
        }
    }
}
