//! What the end-to-end tests share: real processes in a scratch folder, a small HTTP client that shares no code with the
//! programs, operators who sign, and what stands in for other programs.

#![allow(missing_docs, reason = "helpers of tests, not an interface")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on fails"
)]

pub mod acknowledged;
pub mod backfill;
pub mod billing;
pub mod events;
pub mod fake_signer;
pub mod fake_sink;
pub mod http;
pub mod node;
pub mod opa;
pub mod policy;
pub mod power;
pub mod prng;
pub mod programs;
pub mod provision;
pub mod signer_support;
pub mod terminal;
pub mod workload;

pub use http::{Answer, Client};
pub use node::{Node, Tenant};
pub use programs::{PATIENCE, b64, bin, free_port, wait_for};
pub use workload::run_body;
