//! One partition as the writer holds it, the pure state it is made of, and what is published of it.

pub mod admission;
mod break_glass;
pub mod cuts;
pub mod denial_dedup;
pub mod deny;
mod fold;
pub mod lease;
pub mod published;
mod quota_flood;
pub mod ramp_stats;
mod runs;
mod set;
pub mod state;
mod status;

pub use break_glass::BreakGlassTimer;
pub use fold::SNAPSHOT_EVERY;
pub use quota_flood::{FLOOD, QuotaFlood};
pub use runs::{Beats, Run};
pub use set::Partitions;
pub use state::{DayKind, Loader, PartitionState, index_hash};
pub use status::PartitionStatus;
