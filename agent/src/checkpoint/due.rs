//! Which logs are due for a signed checkpoint.

use super::job::{CheckpointItem, CheckpointJob};
use crate::command::Proposals;
use crate::partition::Partitions;
use conductor_shared::clock::MonoTime;
use conductor_shared::ids::PartitionId;
use std::sync::Arc;
use std::time::Duration;

/// A log is checkpointed at the earlier of this age and [`CHECKPOINT_RECEIPTS`].
const CHECKPOINT_AGE: Duration = Duration::from_secs(1);
const CHECKPOINT_RECEIPTS: u64 = 4_096;
/// Logs signed in one request.
const CHECKPOINT_BATCH: usize = 1_000;
/// All logs are looked at this often.
const LOOK: Duration = Duration::from_millis(20);

/// Which logs are being signed, and when all are looked at next.
#[derive(Default)]
pub struct Schedule {
    signing: Vec<PartitionId>,
    look_at: MonoTime,
}

impl Schedule {
    /// Logs whose checkpoint is due, as of what is staged now. Handed on only once that is durable. The logs a batch
    /// `touched` are looked at after it; all of them, which may be thousands, every 20 ms.
    pub fn due(
        &mut self,
        partitions: &mut Partitions,
        proposals: &Proposals,
        touched: &[PartitionId],
        mono: MonoTime,
    ) -> Option<CheckpointJob> {
        if !self.signing.is_empty() {
            return None;
        }
        let urgent = !proposals.pending.is_empty();
        let many =
            |id: &PartitionId| partitions.get(*id).is_some_and(|l| l.unsigned() >= CHECKPOINT_RECEIPTS);
        if !urgent && mono < self.look_at && !touched.iter().any(many) {
            return None;
        }
        self.look_at = mono + LOOK;
        let mut items = Vec::new();
        for live in partitions.iter_mut() {
            let (id, unsigned) = (live.p.id, live.unsigned());
            // After each start the signer is asked once about every log, changed or not: it remembers what a data
            // folder that was rolled back has forgotten.
            let unproved = live.unproved && live.log.size() > 0;
            if (unsigned == 0 && !unproved) || !live.status.serves() || items.len() == CHECKPOINT_BATCH {
                continue;
            }
            let old = live.unsigned_since.is_some_and(|t| mono >= t + CHECKPOINT_AGE);
            if unproved || old || unsigned >= CHECKPOINT_RECEIPTS || (urgent && proposals.waits(id)) {
                live.signing = true;
                self.signing.push(id);
                items.push(CheckpointItem {
                    cell: Arc::clone(&live.shared),
                    origin: live.p.origin,
                    size: live.log.size(),
                    root: live.log.root(),
                    signed: live.log.signed,
                    last: live.log.checkpoint.clone(),
                    leaves: live.log.tail().leaves().to_vec(),
                });
            }
        }
        (!items.is_empty()).then(|| CheckpointJob { items })
    }

    /// The signer answered, or did not: the next logs may be asked about.
    pub fn answered(&mut self, partitions: &mut Partitions) {
        for id in std::mem::take(&mut self.signing) {
            if let Some(live) = partitions.get_mut(id) {
                live.signing = false;
            }
        }
    }
}
