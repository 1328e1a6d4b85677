//! Snapshots of control state: each log has one after so many control facts, written by the writer itself. It never waits
//! in a queue.

use super::Writer;
use crate::staging::BatchBuilder;
use crate::store::Space;

/// Rows that a snapshot touches at most, besides the counters of its partition.
const SNAPSHOT: usize = 16;

impl Writer {
    /// Stages the snapshot of one log that is due: a step holds one at most, since it may be long.
    pub(super) fn snapshot(&mut self, st: &mut BatchBuilder) {
        // What is left on a full disk is for others: the next start folds more facts, no more.
        if !matches!(self.space, Space::Ample | Space::Low) {
            return;
        }
        let Some(open) = &mut self.open else { return };
        let Some(id) = open.snapshots_due.first().copied() else { return };
        if let Some(live) = open.partitions.get_mut(id).filter(|l| l.status.serves()) {
            if !st.fits(SNAPSHOT + live.rows_of_touch()) {
                return;
            }
            live.snapshot(st);
        }
        open.snapshots_due.remove(&id);
    }
}
