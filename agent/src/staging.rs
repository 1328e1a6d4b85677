//! What one batch of the writer gathers: rows, control facts for the stream, and the overlay of rows that the store does
//! not have yet. Partitions are changed in place as they stage; a batch is written whole or not at all.

use crate::ledger::{Partition, PlainBatch, ReadError, read_receipt};
use crate::platform::random::Random;
use crate::store::{FamilyChange, RowKey, Scan, Store};
use conductor_shared::clock::Now;
use conductor_shared::fact::{ControlFact, Fact};
use conductor_shared::ids::PartitionId;
use conductor_shared::record::PolicyVersion;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows that one step of the writer touches at most. Longer work goes on in the next step, so that nobody waits for it.
pub const STEP_ROWS: usize = 4_096;

/// A control fact, in commit order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Place in commit order.
    pub node_seq: u64,
    /// Which partition.
    pub partition: PartitionId,
    /// Its receipt.
    pub index: u64,
}

/// What a batch gathers besides rows.
pub struct BatchBuilder {
    /// Families made and dropped before its rows are written.
    pub families: Vec<FamilyChange>,
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
    pub touched: Vec<PartitionId>,
    /// Rows that the partitions in `touched` add when the step ends, at most.
    owed: usize,
}

/// What later requests may ask for while the store does not have it. No key among them is chosen by who asks.
#[derive(Default)]
pub struct Remembered {
    /// Rows, opened.
    rows: FxHashMap<(PartitionId, RowKey), Vec<u8>>,
    /// Facts by the index of their receipt, of the kind that commands read: requests.
    facts: FxHashMap<(PartitionId, u64), Fact>,
}

impl Remembered {
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.facts.is_empty()
    }
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(node_seq: u64, now: Now, random: Arc<dyn Random>, policy: PolicyVersion) -> Self {
        Self {
            families: Vec::new(),
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
            owed: 0,
        }
    }

    /// Takes back everything that was staged of a partition.
    pub fn discard(&mut self, p: &Partition) {
        self.receipts -= self.rows.discard(&p.family).min(self.receipts);
        self.events.retain(|e| e.partition != p.id);
        self.staged.rows.retain(|(partition, _), _| *partition != p.id);
        self.staged.facts.retain(|(partition, _), _| *partition != p.id);
        self.touched.retain(|t| *t != p.id);
    }

    /// A partition changed: at the end of the step it adds so many rows of its own.
    pub fn touch(&mut self, id: PartitionId, rows: usize) {
        self.touched.push(id);
        self.owe(rows);
    }

    /// So many more rows are due when the step ends.
    pub fn owe(&mut self, rows: usize) {
        self.owed += rows;
    }

    /// Rows that this step touches if it ends now, at most.
    fn load(&self) -> usize {
        self.rows.len() + self.owed
    }

    /// True when work that touches so many rows more belongs into this step. Into an empty one everything does.
    pub fn fits(&self, rows: usize) -> bool {
        let load = self.load();
        load == 0 || load + rows <= STEP_ROWS
    }

    /// Keeps a row at hand for who asks after it before it is in the store.
    pub fn remember(&mut self, p: &Partition, key: RowKey, plain: Vec<u8>) {
        self.staged.rows.insert((p.id, key), plain);
    }

    /// The same for a fact just put on record.
    pub fn remember_fact(&mut self, p: &Partition, index: u64, fact: &Fact) {
        if matches!(fact, Fact::Control(ControlFact::Requested(_))) {
            self.staged.facts.insert((p.id, index), fact.clone());
        }
    }

    fn newest_first(&self) -> impl Iterator<Item = &Remembered> {
        std::iter::once(&self.staged).chain(self.before.iter().rev().map(|m| &**m))
    }

    /// The fact of a receipt; `None` when it was erased.
    pub fn fact(&self, store: &Store, p: &Partition, index: u64) -> Result<Option<Fact>, ReadError> {
        match self.newest_first().find_map(|m| m.facts.get(&(p.id, index))) {
            Some(fact) => Ok(Some(fact.clone())),
            None => Ok(read_receipt(store, p, index)?.fact),
        }
    }

    /// A row of a partition as this batch and all before it leave it, opened. Of the rows that batches on their way to
    /// the store hold it sees those that were remembered.
    pub fn row(&self, store: &Store, p: &Partition, key: &RowKey) -> Result<Option<Vec<u8>>, ReadError> {
        let at = (p.id, *key);
        if let Some(plain) = self.newest_first().find_map(|m| m.rows.get(&at)) {
            return Ok(Some(plain.clone()));
        }
        store.get(&p.family, key)?.map(|row| p.open(key, &row)).transpose()
    }

    /// All rows of a scan, likewise. No row of its kind may ever be removed.
    pub fn rows(
        &self,
        store: &Store,
        p: &Partition,
        scan: &Scan,
    ) -> Result<BTreeMap<RowKey, Vec<u8>>, ReadError> {
        let mut out = BTreeMap::new();
        for (row, value) in store.rows(&p.family, scan)? {
            let key = row.key();
            out.insert(key, p.open(&key, &value)?);
        }
        let oldest_first = self.before.iter().map(|m| &**m).chain(std::iter::once(&self.staged));
        for ((id, key), plain) in oldest_first.flat_map(|m| &m.rows) {
            if *id == p.id && scan.contains(key) {
                out.insert(*key, plain.clone());
            }
        }
        Ok(out)
    }
}
