//! What is wrong with a bundle, and the bounds of one.

/// Files in a bundle at most.
pub(crate) const MAX_FILES: usize = 256;
/// Bytes of all files at most.
pub(crate) const MAX_CONTENT: usize = 4 << 20;

/// Why something is not a bundle that could be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not a bundle's archive.
    #[error("not a policy bundle: {0}")]
    Archive(String),
    /// Beyond a bound.
    #[error("a policy bundle has at most {MAX_FILES} files and {MAX_CONTENT} bytes")]
    Large,
    /// A file that does not belong there.
    #[error(
        "{0}: a policy bundle holds .rego files, and data.json or data.yaml, named by letters, digits, '-', '_', '.' and '/'"
    )]
    Name(String),
    /// A name that leads nowhere, or what rules may not do.
    #[error("{file}:{line}: {what}")]
    At {
        /// File.
        file: String,
        /// Line, from 1.
        line: u32,
        /// What, and what may have been meant.
        what: String,
    },
    /// It is no Rego, or the wrong package.
    #[error("{file}: {detail}")]
    Rego {
        /// File.
        file: String,
        /// What, with line and column.
        detail: String,
    },
    /// It compiles, and cannot be what somebody wants.
    #[error("{0}")]
    Senseless(String),
}
