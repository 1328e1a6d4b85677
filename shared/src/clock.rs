//! Time is passed in, so that rules run the same in a test, a restart and a simulation.

/// Microseconds.
pub type Micros = u64;

/// One second in microseconds.
pub const SECOND: Micros = 1_000_000;

/// A reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Wall clock, microseconds since the Unix epoch. May step.
    pub wall_us: Micros,
    /// Microseconds since some fixed moment of this process. Never goes back.
    pub mono_us: Micros,
}

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Both clocks, now.
    fn now(&self) -> Now;
}
