//! Services of the machine that are passed in, so that tests and simulations can replace them, small
//! durable files, the share of open files, memory of the process, and the signal that the agent stops.

pub mod clock;
pub mod files;
pub mod memory;
pub mod open_files;
pub mod random;
mod shutdown;

pub use shutdown::stopped;
