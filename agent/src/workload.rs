//! Operations of workloads, decided on the staged state of their partition.

pub mod ops;
