//! Reads the workspace's own sources and answers what its gates ask (`tests/house.rs`). A crate of its own, so that
//! the gates run in seconds: it links neither the agent nor `RocksDB`.

#![allow(missing_docs, reason = "read by one test, not an interface")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on fails"
)]

pub mod graph;
pub mod layers;
pub mod modules;
pub mod names;
pub mod pages;
pub mod patterns;
pub mod sizes;
pub mod sources;
pub mod tokens;
pub mod traits;
pub mod variants;
