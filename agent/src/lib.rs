//! Conductor.
