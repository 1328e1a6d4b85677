//! Errors of a bundle, and its bounds.

/// Maximum number of files in a bundle.
pub(crate) const MAX_FILES: usize = 256;
/// Maximum size of all files together, bytes.
pub(crate) const MAX_CONTENT: usize = 4 << 20;

/// Why a bundle is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The archive cannot be read.
    #[error("not a policy bundle: {0}")]
    Archive(String),
    /// The bundle exceeds a bound.
    #[error("a policy bundle has at most {MAX_FILES} files and {MAX_CONTENT} bytes")]
    Large,
    /// A file that a bundle may not hold.
    #[error(
        "{0}: a policy bundle holds .rego files, and data.json or data.yaml, named by letters, digits, '-', '_', '.' and '/'"
    )]
    Name(String),
    /// A name that does not resolve, or something that rules may not use.
    #[error("{file}:{line}: {what}")]
    At {
        /// Path within the bundle.
        file: String,
        /// Line number, counted from 1.
        line: u32,
        /// The fault, with a similar name that may have been meant.
        what: String,
    },
    /// The file is not Rego, or its package is not allowed.
    #[error("{file}: {detail}")]
    Rego {
        /// Path within the bundle.
        file: String,
        /// The fault, with line and column.
        detail: String,
    },
    /// The rules compile and can never be meant, for instance because they allow everything.
    #[error("{0}")]
    Senseless(String),
}
