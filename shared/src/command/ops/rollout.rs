mod plan_set;
mod plan_stop;
mod slo_set;

pub use plan_set::PlanSet;
pub use plan_stop::PlanStop;
pub use slo_set::SloSet;
