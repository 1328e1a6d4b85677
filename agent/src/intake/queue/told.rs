//! What the agent has to tell the writer: a state, not a queue. It is never refused, and one slot a log bounds it.

use crate::intake::request::WriterRequest;
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::ids::PartitionId;
use std::collections::BTreeMap;

/// The newest checkpoint of each log.
type Newest = BTreeMap<PartitionId, (Checkpoint, SignedCheckpoint)>;

#[derive(Default)]
pub(super) struct Told {
    /// The signer answered: who signed, and the newest checkpoint of each log. It may have signed none.
    signed: Option<(String, Newest)>,
    /// Logs of which the signer knows more, and what it said.
    rolled_back: BTreeMap<PartitionId, String>,
    signer_changed: bool,
}

impl Told {
    pub(super) fn is_empty(&self) -> bool {
        self.signed.is_none() && self.rolled_back.is_empty() && !self.signer_changed
    }

    pub(super) fn tell(&mut self, event: WriterRequest) {
        match event {
            WriterRequest::Signed(key, list) => {
                // What another signer signed before does not count any more.
                let known = self.signed.take().filter(|(k, _)| *k == key);
                let mut newest = known.map_or_else(BTreeMap::new, |(_, logs)| logs);
                newest.extend(list.into_iter().map(|(id, cp, signed)| (id, (cp, signed))));
                self.signed = Some((key, newest));
            }
            WriterRequest::RolledBack(id, detail) => drop(self.rolled_back.insert(id, detail)),
            WriterRequest::SignerChanged => self.signer_changed = true,
            _ => {}
        }
    }

    /// All of it: what stops a log before what lets its proposals take effect.
    pub(super) fn take(&mut self) -> Vec<WriterRequest> {
        let Self { signed, rolled_back, signer_changed } = std::mem::take(self);
        let changed = signer_changed.then_some(WriterRequest::SignerChanged);
        let signed = signed.map(|(key, logs)| {
            let list = logs.into_iter().map(|(id, (cp, signed))| (id, cp, signed));
            WriterRequest::Signed(key, list.collect())
        });
        let rolled_back = rolled_back.into_iter().map(|(id, detail)| WriterRequest::RolledBack(id, detail));
        changed.into_iter().chain(rolled_back).chain(signed).collect()
    }
}
