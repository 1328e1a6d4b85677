//! The policy that holds, bundles, and how a decision comes about.

use serde::{Deserialize, Serialize};

/// `GET /v1/policy`: which bundle holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PolicyShown {
    /// Revision; 0 is the bundle built in.
    pub revision: u64,
    /// SHA-256 of its files, hex.
    pub digest: String,
    /// When it is over, microseconds since the Unix epoch; never for the one built in.
    pub expires_at_us: Option<u64>,
    /// Who evaluates: `embedded` or `opa`.
    pub engine: String,
    /// Why it does not answer, or not everybody, escaped for display; empty when it does.
    pub trouble: String,
    /// It answers nobody.
    pub down: bool,
    /// When something was last evaluated under this bundle, microseconds since the Unix epoch.
    pub evaluated_at_us: Option<u64>,
    /// Threads that evaluate.
    pub workers: u64,
    /// Threads that were given up: their evaluation does not end.
    pub given_up: u64,
    /// The key whose bundles are believed, base64.
    pub trusted_key: Option<String>,
}

/// The files of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BundleFiles {
    /// Gzipped tar, base64.
    pub archive: String,
}

/// The agent has the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BundleKept {
    /// SHA-256 of the files, hex.
    pub digest: String,
}

/// An input to explain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// As in `policies/input.schema.json`.
    pub input: serde_json::Value,
}

/// What policy says, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Explanation {
    /// Go ahead.
    pub allow: bool,
    /// Why not, in words, escaped for display.
    pub reasons: Vec<String>,
    /// By which bundle.
    pub revision: u64,
    /// SHA-256 of its files, hex.
    pub digest: String,
}
