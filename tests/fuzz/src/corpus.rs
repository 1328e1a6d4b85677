//! Examples of what each target reads: `corpus/<target>/<name>`, exact bytes. All are read, except those that begin with
//! [`KEPT`], which may be refused.

use std::fs;
use std::path::{Path, PathBuf};

/// Begins the name of an example that no code writes anew: of a fault that was found, or of bytes that are refused.
pub const KEPT: &str = "kept-";

/// Bytes with the name of their file.
#[derive(Debug, Clone)]
pub struct Example {
    pub name: String,
    pub bytes: Vec<u8>,
}

impl Example {
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

/// The corpus of all targets.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn file_error(path: &Path, e: &std::io::Error) -> ! {
    panic!("{}: {e}; UPDATE_CORPUS=1 writes the examples that are made", path.display())
}

/// The stored examples of a target, by name.
pub fn stored(target: &str) -> Vec<Example> {
    let folder = root().join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| file_error(&folder, &e));
    let mut examples: Vec<Example> = entries
        .map(|entry| entry.expect("a folder entry").path())
        .map(|path| {
            let bytes = fs::read(&path).unwrap_or_else(|e| file_error(&path, &e));
            Example::new(path.file_name().unwrap_or_default().to_string_lossy(), bytes)
        })
        .collect();
    examples.sort_by(|a, b| a.name.cmp(&b.name));
    examples
}

/// Writes the examples that a target makes, and removes those that it makes no more.
pub fn write(target: &str, made: &[Example]) {
    let folder = root().join(target);
    fs::create_dir_all(&folder).unwrap_or_else(|e| file_error(&folder, &e));
    for old in stored(target).iter().filter(|e| !e.name.starts_with(KEPT)) {
        fs::remove_file(folder.join(&old.name)).expect("an example that can be removed");
    }
    for example in made {
        let path = folder.join(&example.name);
        fs::write(&path, &example.bytes).unwrap_or_else(|e| file_error(&path, &e));
    }
}
