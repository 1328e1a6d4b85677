//! Fuzz targets: every reader of bytes from outside, each with the law that it is held to, and examples of what it
//! reads (`corpus`).
//!
//! A target gets an example with a few edits. [`targets::ALL`] is the one table: the tests, the page of docs and the
//! folders of the corpus follow from it.

#![allow(missing_docs, reason = "read by its own tests, not an interface")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a target fails by a panic"
)]

pub mod corpus;
pub mod edit;
pub mod page;
pub mod target;
pub mod targets;
