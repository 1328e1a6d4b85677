//! The rules of the house that no compiler checks.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod boundaries;
mod circles;
mod layers;
mod names;
mod pages;
mod reasons;
mod sizes;
mod traits;

use conductor_house::modules::Tree;
use conductor_house::sources::{read, relative, root, workspace};

/// The modules of every target of the workspace, by the file of its root.
fn trees() -> Vec<(String, Tree)> {
    let on_disk = |path: &str| {
        let path = root().join(path);
        path.exists().then(|| read(&path))
    };
    let metadata = workspace();
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    let files = targets.filter(|t| !t.is_custom_build()).map(|t| relative(t.src_path.as_std_path()));
    files.map(|file| (file.clone(), Tree::read(&file, &on_disk))).collect()
}

fn assert_none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}
