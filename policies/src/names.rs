//! Names: of files, by which a bundle knows what they are, and the root under which everything in it stands.

/// Every package, and all data, stand under it.
pub(crate) const ROOT: &str = "conductor";
/// Bytes of a file's name at most.
pub(crate) const MAX_NAME: usize = 200;
/// Names of files that hold data, each standing where its folder says. OPA's own are the first two.
const DATA: [&str; 3] = ["data.json", "data.yaml", "data.yml"];

/// A file of rules.
#[allow(clippy::case_sensitive_file_extension_comparisons)] // OPA compares it so
#[must_use]
pub fn is_rego(name: &str) -> bool {
    name.ends_with(".rego")
}

/// A file of Rego tests; those are no part of a bundle.
#[must_use]
pub fn is_test(name: &str) -> bool {
    name.ends_with("_test.rego")
}

/// A file of data.
#[must_use]
pub fn is_data(name: &str) -> bool {
    DATA.contains(&name.rsplit('/').next().unwrap_or(name))
}

/// A name that a file of a bundle may have.
pub(crate) fn good(name: &str) -> bool {
    let part = |p: &str| !p.is_empty() && p != "." && p != "..";
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
    let short = name.len() <= MAX_NAME && name.bytes().all(letter) && name.split('/').all(part);
    short && (is_rego(name) || is_data(name))
}
