//! Policy rules: the Rego files beside this, the format of a bundle, and the embedded engine.
//!
//! Agent and console both evaluate by this crate, so that `conductor policy test` says what the agent will do. It does no
//! I/O: bytes come in, verdicts go out; of clocks it reads the one that says how long an evaluation took. It never allows
//! what the invariants deny: whoever asks has already been told yes by the rules in conductor-shared, and policy can only
//! say no.

mod archive;
mod builtins;
mod bundle;
mod data;
mod engine;
mod error;
mod guard;
mod names;
mod rego_tests;
mod resolve;
mod scan;

pub use archive::{MAX_ARCHIVE, revision};
pub use builtins::{Builtin, builtin};
pub use bundle::Bundle;
pub use engine::{Engine, EngineError, FAR_LIMIT, LIMIT};
pub use error::BundleError;
pub use guard::{STACK, on_own_stack};
pub use names::{is_data, is_rego, is_test};
pub use rego_tests::{TestOutcome, run_tests};
