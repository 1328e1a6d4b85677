//! Conductor.
pub mod app;
pub mod client;
mod view;
