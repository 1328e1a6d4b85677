//! Policy rules: the Rego files beside this, the form of a bundle, and the engine that is built into the programs.
//!
//! Agent and console both evaluate by this crate, so that `conductor policy test` says what the agent will do. It does no
//! I/O: bytes come in, verdicts go out. It never allows what the invariants deny: whoever asks has already been told
//! yes by the rules in conductor-shared, and policy can only say no.

mod archive;
mod bundle;
mod engine;
mod error;
mod scan;

pub use archive::{MAX_ARCHIVE, revision};
pub use bundle::Bundle;
pub use engine::{Engine, EngineError, LIMIT, TestOutcome, run_tests};
pub use error::BundleError;
