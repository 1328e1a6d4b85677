//! Logs whose checkpoint is due, as they go from the writer to the thread that has them signed.

use crate::partition::published::PartitionCell;
use conductor_shared::checkpoint::SignedCheckpoint;
use conductor_shared::ids::Origin;
use conductor_shared::merkle::Hash;
use std::sync::Arc;

/// A log whose checkpoint is due.
pub struct CheckpointItem {
    /// For reading its tiles, when a proof is made.
    pub cell: Arc<PartitionCell>,
    pub origin: Origin,
    /// Size to sign.
    pub size: u64,
    /// Root to sign.
    pub root: Hash,
    /// Size of the newest signed checkpoint.
    pub signed: u64,
    /// It.
    pub last: Option<Arc<SignedCheckpoint>>,
    /// Leaves of the unfinished lowest tile at `size`.
    pub leaves: Vec<Hash>,
}

/// Checkpoints that are due; everything they cover is durable when the job is handed on.
pub struct CheckpointJob {
    /// Logs.
    pub items: Vec<CheckpointItem>,
}
