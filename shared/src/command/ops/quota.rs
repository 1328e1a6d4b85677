mod cap;
mod set;

pub use cap::QuotaCap;
pub use set::QuotaSet;
