mod clear;
mod set;

pub use clear::FreezeClear;
pub use set::FreezeSet;
