mod load;
mod trust;

pub use load::PolicyLoad;
pub use trust::PolicyTrust;
