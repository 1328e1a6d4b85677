//! Error containment: an error stops one partition while all others serve, or it closes the store.

use super::Writer;
use crate::incident;
use crate::intake::reply::Answers;
use crate::ledger::ReadError;
use crate::partition::PartitionStatus;
use crate::staging::BatchBuilder;
use conductor_shared::ids::PartitionId;
use conductor_shared::untrusted::UntrustedText;

impl Writer {
    /// Contains an error in the partition that it damages: what the batch staged for it is discarded, since it may be
    /// incomplete, and the batch goes on. False if the error concerns the whole store: then nothing of the batch is written,
    /// all its requests are denied, and the store is closed.
    pub(super) fn contain(&mut self, e: &ReadError, st: &mut BatchBuilder, answers: &mut Answers) -> bool {
        let contained = match e.damages() {
            Some(id) => self.stop_damaged(id, e, st, answers).is_ok(),
            None => false,
        };
        if !contained {
            answers.deny();
            self.fail(&e.to_string());
        }
        contained
    }

    fn stop_damaged(
        &mut self,
        id: PartitionId,
        why: &ReadError,
        st: &mut BatchBuilder,
        answers: &mut Answers,
    ) -> Result<(), ReadError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Some(state) = open.partitions.damage(id) {
            st.discard(&state.p);
        }
        answers.discard(id);
        for p in self.proposals.pending.extract_if(.., |p| p.partition == id) {
            p.lost();
        }
        self.report_damage(id, &why.to_string(), st)
    }

    /// Opens an incident in the node log, once for each partition.
    pub(super) fn report_damage(
        &mut self,
        id: PartitionId,
        why: &str,
        st: &mut BatchBuilder,
    ) -> Result<(), ReadError> {
        let tenant = id.tenant;
        tracing::error!("tenant {tenant} is no longer served, all others are: {why}");
        let node = self.open.as_mut().and_then(|o| o.partitions.node_mut());
        let cause = PartitionStatus::Damaged.notice().incident;
        if let (Some(node), Some(cause)) = (node.filter(|n| n.status.serves()), cause)
            && self.reported.insert(id)
        {
            let detail = UntrustedText::new(format!("tenant {tenant}: {why}"));
            let now = st.now.wall;
            incident::open_incident(node, st, cause, detail, (now, now), vec![])?;
        }
        Ok(())
    }
}
