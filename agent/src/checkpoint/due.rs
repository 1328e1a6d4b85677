//! Which logs are due for a signed checkpoint.

use super::job::{CheckpointItem, CheckpointJob};
use crate::command::Proposals;
use crate::partition::{PartitionState, Partitions};
use conductor_shared::clock::MonoTime;
use conductor_shared::ids::PartitionId;
use std::sync::Arc;
use std::time::Duration;

/// A log is checkpointed at the earlier of this age and [`CHECKPOINT_RECEIPTS`].
const CHECKPOINT_AGE: Duration = Duration::from_secs(1);
const CHECKPOINT_RECEIPTS: u64 = 4_096;
/// Logs signed in one request.
const CHECKPOINT_BATCH: usize = 1_000;
/// Whoever asks the signer gives up long before this: without an answer by then, none will come.
const LOST: Duration = Duration::from_secs(120);
/// All logs are looked at this often.
const LOOK: Duration = Duration::from_millis(20);

/// Which logs are being signed, and when all are looked at next.
#[derive(Default)]
pub struct Schedule {
    signing: Vec<PartitionId>,
    /// When the signer was asked about these.
    asked_at: MonoTime,
    look_at: MonoTime,
    /// The last log of a request that could not hold all that were due.
    last: Option<PartitionId>,
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
            if mono < self.asked_at + LOST {
                return None;
            }
            tracing::error!("no word about the checkpoints that were asked for: they are asked for again");
            self.answered(partitions);
        }
        let urgent = !proposals.pending.is_empty();
        let many =
            |id: &PartitionId| partitions.get(*id).is_some_and(|l| l.unsigned() >= CHECKPOINT_RECEIPTS);
        if !urgent && mono < self.look_at && !touched.iter().any(many) {
            return None;
        }
        self.look_at = mono + LOOK;
        let due = |live: &PartitionState| {
            let (id, unsigned) = (live.p.id, live.unsigned());
            // After each start the signer is asked once about every log, changed or not: it remembers what a data
            // folder that was rolled back has forgotten.
            let unproved = live.unproved && live.log.size() > 0;
            let old = live.unsigned_since.is_some_and(|t| mono >= t + CHECKPOINT_AGE);
            let long = unsigned > 0 && (old || unsigned >= CHECKPOINT_RECEIPTS);
            live.status.serves() && (unproved || long || (unsigned > 0 && urgent && proposals.waits(id)))
        };
        let due = partitions.iter().filter(|live| due(live)).map(|live| live.p.id).collect();
        let mut items = Vec::new();
        for id in self.in_turn(due) {
            let Some(live) = partitions.get_mut(id) else { continue };
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
        self.asked_at = mono;
        (!items.is_empty()).then(|| CheckpointJob { items })
    }

    /// Of more than one request may hold, those that come after the last ones asked about.
    fn in_turn(&mut self, mut due: Vec<PartitionId>) -> Vec<PartitionId> {
        if due.len() > CHECKPOINT_BATCH {
            due.sort_unstable();
            let next = due.partition_point(|id| self.last.is_some_and(|last| *id <= last));
            due.rotate_left(next);
            due.truncate(CHECKPOINT_BATCH);
            self.last = due.last().copied();
        }
        due
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

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::ids::TenantUid;

    /// Every log has its turn, however many are always due.
    #[test]
    fn logs_are_asked_about_in_turn() {
        let id = |n: usize| {
            let mut uid = [0; 16];
            uid[..8].copy_from_slice(&n.to_be_bytes());
            PartitionId { tenant: TenantUid(uid), epoch: 1 }
        };
        let all: Vec<_> = (0..CHECKPOINT_BATCH * 2 + 10).map(id).collect();
        let mut schedule = Schedule::default();
        let asked: std::collections::BTreeSet<_> =
            (0..3).flat_map(|_| schedule.in_turn(all.iter().rev().copied().collect())).collect();
        assert_eq!(asked.len(), all.len());
    }
}
