mod cap;
mod clear;
mod override_rollback;
mod set;

pub use cap::RampCap;
pub use clear::RampClear;
pub use override_rollback::RampOverride;
pub use set::RampSet;
