mod cost_reconcile;
mod rate_load;
mod rate_trust;
mod usage_correct;

pub use cost_reconcile::CostReconcile;
pub use rate_load::RateLoad;
pub use rate_trust::RateTrust;
pub use usage_correct::UsageCorrect;
