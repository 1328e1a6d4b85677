//! What the end-to-end tests share: real processes in a scratch folder, a small HTTP client that shares no code with the
//! programs, and operators who sign.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on fails"
)]

pub mod dice;
pub mod http;
pub mod node;
pub mod past;
pub mod receiver;

pub use http::{Answer, Client};
pub use node::{Node, Tenant, bin, wait_for};
