//! Checkpoints: which logs are due, having them signed, and what a signed one lets happen.

pub mod due;
pub mod job;
pub mod sign;
pub mod witness;
