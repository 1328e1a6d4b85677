mod clear;
mod set;

pub use clear::KillClear;
pub use set::KillSet;
