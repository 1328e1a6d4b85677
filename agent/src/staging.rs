//! What one batch of the writer gathers: rows, control facts for the stream, and the overlay of rows that the store does
//! not have yet. Partitions are changed in place as they stage; a batch is written whole or not at all.

use crate::ledger::{Partition, PlainBatch, ReadError};
use crate::platform::random::Random;
use crate::store::{RowKey, Store};
use conductor_shared::clock::Now;
use conductor_shared::ids::TenantUid;
use conductor_shared::record::PolicyVersion;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A control fact, in commit order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Place in commit order.
    pub node_seq: u64,
    /// Which partition.
    pub tenant: TenantUid,
    /// Its receipt.
    pub index: u64,
}

/// What a batch gathers besides rows.
pub struct BatchBuilder {
    /// Rows.
    pub rows: PlainBatch,
    /// Control facts.
    pub events: Vec<Event>,
    /// Commit sequence; grows by one with each receipt of the node.
    pub node_seq: u64,
    /// Receipts in this batch.
    pub receipts: u64,
    /// Clocks at its beginning.
    pub now: Now,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The rules that its receipts name.
    pub policy: PolicyVersion,
    /// Rows of this batch that later requests must see: the store has them only when the committer has written it.
    pub staged: Remembered,
    /// The same of batches before it that are on their way to the store, oldest first.
    pub before: Vec<Arc<Remembered>>,
    /// Partitions that changed, each once. A batch looks at them and not at all of thousands.
    pub touched: Vec<TenantUid>,
}

/// Rows by partition and key, opened. No key among them is chosen by who asks.
pub type Remembered = FxHashMap<(TenantUid, RowKey), Vec<u8>>;

impl BatchBuilder {
    /// An empty batch.
    pub fn new(node_seq: u64, now: Now, random: Arc<dyn Random>, policy: PolicyVersion) -> Self {
        Self {
            rows: PlainBatch::default(),
            events: Vec::new(),
            node_seq,
            receipts: 0,
            now,
            random,
            policy,
            staged: Remembered::default(),
            before: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// Takes back everything that was staged of a partition.
    pub fn discard(&mut self, p: &Partition) {
        self.receipts -= self.rows.discard(&p.family).min(self.receipts);
        self.events.retain(|e| e.tenant != p.id.tenant);
        self.staged.retain(|(tenant, _), _| *tenant != p.id.tenant);
        self.touched.retain(|t| *t != p.id.tenant);
    }

    /// Keeps a row at hand for who asks after it before it is in the store.
    pub fn remember(&mut self, p: &Partition, key: RowKey, plain: Vec<u8>) {
        self.staged.insert((p.id.tenant, key), plain);
    }

    /// A row of a partition as this batch and all before it leave it, opened. Of the rows that batches on their way to
    /// the store hold it sees those that were remembered.
    pub fn row(&self, store: &Store, p: &Partition, key: &RowKey) -> Result<Option<Vec<u8>>, ReadError> {
        let at = (p.id.tenant, *key);
        let mut newest_first = std::iter::once(&self.staged).chain(self.before.iter().rev().map(|m| &**m));
        if let Some(plain) = newest_first.find_map(|m| m.get(&at)) {
            return Ok(Some(plain.clone()));
        }
        store.get(&p.family, key)?.map(|row| p.open(key, &row)).transpose()
    }
}
