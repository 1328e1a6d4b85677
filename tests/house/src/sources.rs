//! The files of the checkout, and what cargo knows of them.

use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

use crate::tokens::{Token, tokens};

/// A Rust file of the checkout. Its path is relative to the root.
pub struct Source {
    pub path: String,
    pub text: String,
}

impl Source {
    pub fn is_under(&self, folder: &str) -> bool {
        self.path.starts_with(&format!("{folder}/")) || self.path == format!("{folder}.rs")
    }

    /// `path:line: token` of each token for which `hit` is true.
    pub fn places(&self, hit: impl Fn(&[Token], usize) -> bool) -> Vec<String> {
        let stream = self.text.parse().unwrap_or_else(|error| panic!("{}: {error}", self.path));
        let tokens = tokens(stream);
        let hits = (0..tokens.len()).filter(|i| hit(&tokens, *i));
        hits.map(|i| format!("{}:{}: {}", self.path, tokens[i].line, tokens[i].text)).collect()
    }
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the workspace is where it was compiled")
}

/// The text of a file.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", relative(path)))
}

/// A path as it is written from the root.
pub fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Every file of the checkout, except what git and cargo keep there.
pub fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", relative(&folder))) {
            let entry = entry.expect("a folder entry");
            let kind = entry.file_type().expect("the type of a folder entry");
            let name = entry.file_name();
            if kind.is_dir() && name != ".git" && name != "target" {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    files
}

/// All Rust files of the checkout.
pub fn sources() -> Vec<Source> {
    let rust = files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let sources: Vec<Source> = rust.map(|path| Source { path: relative(&path), text: read(&path) }).collect();
    assert!(sources.len() >= 100, "looked for the sources in the wrong place: {}", sources.len());
    sources
}

/// The workspace's own packages and targets.
pub fn workspace() -> Metadata {
    let manifest = root().join("Cargo.toml");
    let options = ["--locked", "--offline"].map(str::to_owned);
    let read = MetadataCommand::new().manifest_path(manifest).no_deps().other_options(options).exec();
    read.expect("cargo metadata --no-deps")
}

/// The workspace and all it depends on, as resolved for Linux with every feature.
pub fn resolved() -> Metadata {
    let manifest = root().join("Cargo.toml");
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    // Crates that only other platforms need may never have been downloaded.
    let options = ["--locked", "--offline", "--filter-platform", &platform].map(str::to_owned);
    let read = MetadataCommand::new()
        .manifest_path(manifest)
        .features(CargoOpt::AllFeatures)
        .other_options(options)
        .exec();
    read.expect("cargo metadata: `cargo fetch --locked` brings what is missing")
}
