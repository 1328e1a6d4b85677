//! The ledger: one append-only log for each partition, its Merkle tree kept as it grows, and proofs about it.
//!
//! Appending only stages rows in a batch; what is staged is true once the batch is durable. A log is read back row by
//! row, and every row is checked against its own commitments as it is read.

mod plain_batch;
mod read;
mod redact;
#[cfg(test)]
pub(crate) mod test_util;
mod tree;

use conductor_shared::clock::WallTime;
pub use plain_batch::{CannotSeal, PlainBatch};
pub use read::{ReadError, Receipt, control_facts, read_evidence, read_json, read_receipt, summary};
pub use redact::redacted;
use tree::TILE_LEVELS;
pub use tree::{DiskNodes, Tail};

use crate::keys::{self, Key, TenantKeys, UnitReader};
use crate::platform::random::{Random, bytes};
use crate::store::{Family, Row, RowKind, Store, StoreError, VALUE_VERSION};
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::fact::{Fact, SNAPSHOT, is_control, schema};
use conductor_shared::ids::{NodeId, Origin, PartitionId};
use conductor_shared::merkle::{Frontier, Hash};
use conductor_shared::record::{Encoded, Header, PolicyVersion, leaf_hash};
use std::sync::Arc;

/// Number of the key that seals what is not erasable: the tenant key itself.
pub const TENANT_KEY: u64 = u64::MAX;

/// What is fixed about a partition: enough to read it.
#[derive(Clone)]
pub struct Partition {
    pub id: PartitionId,
    /// Name of its log.
    pub origin: Origin,
    pub family: Family,
    pub keys: TenantKeys,
    pub units: UnitReader,
}

impl Partition {
    /// Associated data of a row: origin, key and version of the value.
    pub fn place(&self, row: &[u8]) -> Vec<u8> {
        let mut p = Vec::with_capacity(Origin::LEN + row.len() + 1);
        self.put_place(row, &mut p);
        p
    }

    fn put_place(&self, row: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.origin.to_bytes());
        out.extend_from_slice(row);
        out.push(VALUE_VERSION);
    }

    /// Opens a row sealed under the tenant key or a unit key.
    pub fn open(&self, row: &[u8], sealed: &[u8]) -> Result<Vec<u8>, ReadError> {
        let number = keys::key_number(sealed).map_err(|_| self.damaged(row, "too short"))?;
        let unit;
        let key = if number == TENANT_KEY {
            &self.keys.tenant
        } else {
            unit = self.units.get(number)?;
            &unit
        };
        keys::open(key, &self.place(row), sealed).map_err(|e| self.damaged(row, &e.to_string()))
    }

    /// The error for a row that cannot be what it is.
    pub fn damaged(&self, row: &[u8], detail: &str) -> ReadError {
        ReadError::Store(StoreError::Row {
            family: self.origin.to_string(),
            partition: Some(self.id),
            row: conductor_shared::ids::hex(row),
            detail: detail.to_owned(),
        })
    }
}

/// What appending a fact gave.
#[derive(Debug, Clone, Copy)]
pub struct Appended {
    pub index: u64,
    /// Receipt time.
    pub time: WallTime,
    /// Sealed bytes stored.
    pub stored: u64,
}

/// The growing end of a log, owned by the writer.
pub struct Log {
    origin: Origin,
    frontier: Frontier,
    tail: Tail,
    last: WallTime,
    policy: PolicyVersion,
    /// Newest checkpoint that was signed.
    pub checkpoint: Option<Arc<SignedCheckpoint>>,
    pub signed: u64,
}

impl Log {
    pub fn new(node: NodeId, id: PartitionId, policy: PolicyVersion) -> Self {
        Self {
            origin: Origin { node, tenant: id.tenant, epoch: id.epoch },
            frontier: Frontier::default(),
            tail: Tail::default(),
            last: WallTime::EPOCH,
            policy,
            checkpoint: None,
            signed: 0,
        }
    }

    /// Reads the end of a log back: at most 255 receipts, and one tile a level.
    pub fn load(store: &Store, p: &Partition, policy: PolicyVersion) -> Result<Self, ReadError> {
        let size = match store.last(&p.family, &Row::scan_of(RowKind::Receipt))? {
            Some((Row::Receipt(index), _)) => index + 1,
            _ => 0,
        };
        let mut log = Self::new(p.origin.node, p.id, policy);
        let (tail, last) = Tail::load(store, p, size)?;
        log.tail = tail;
        log.last = last;
        log.frontier = log.tail.frontier(p, size)?;
        if let Some(row) = store.get(&p.family, &Row::Checkpoint.key())? {
            let key = Row::Checkpoint.key();
            let plain = p.open(&key, &row)?;
            let signed: SignedCheckpoint =
                serde_json::from_slice(&plain).map_err(|e| p.damaged(&key, &e.to_string()))?;
            let c = Checkpoint::parse(&signed.text).map_err(|e| p.damaged(&key, &e.to_string()))?;
            log.signed = c.size;
            log.checkpoint = Some(Arc::new(signed));
        }
        Ok(log)
    }

    /// Name of the log.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Number of entries, staged ones included.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Roots of its complete subtrees, from which its root follows.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// From here on no entry is given an earlier time.
    pub fn not_before(&mut self, time: WallTime) {
        self.last = self.last.max(time);
    }

    /// Time of the newest entry.
    pub fn last(&self) -> WallTime {
        self.last
    }

    /// The rules new entries are decided under.
    pub fn policy(&self) -> PolicyVersion {
        self.policy
    }

    /// From the next entry on.
    pub fn go_by(&mut self, policy: PolicyVersion) {
        self.policy = policy;
    }

    /// Hashes of the unfinished lowest tile, for proofs about the present size.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Stages one fact. `unit` is the key its erasable part is sealed under.
    pub fn append(
        &mut self,
        rows: &mut PlainBatch,
        p: &Partition,
        fact: &Fact,
        unit: (u64, &Key),
        now: WallTime,
        random: &dyn Random,
    ) -> Appended {
        let index = self.size();
        // Receipt times never go back within a log.
        let time = now.max(self.last);
        let kind = fact.kind();
        let names = schema(kind).map_or(&[][..], |s| s.fields);
        let body = Encoded::new(&bytes(random), |out| fact.put_values(out));
        let header = Header {
            origin: self.origin,
            index,
            time_us: time.as_micros(),
            kind,
            policy: self.policy,
            commitments: u16::try_from(names.len()).unwrap_or(u16::MAX),
        };
        let sealed = body.sealed(&header, names);
        let leaf = leaf_hash(&sealed);
        let stored = rows.put_receipt(p, &Row::Receipt(index).key(), &sealed, unit, body.as_bytes());
        if is_control(kind) {
            rows.mark(&p.family, &Row::Control(index).key());
        }
        if kind == SNAPSHOT {
            rows.mark(&p.family, &Row::Snapshot(index).key());
        }
        let mut filled = Vec::new();
        self.frontier.push(leaf, |level, _, root| filled.extend((level % TILE_LEVELS == 0).then_some(*root)));
        self.tail.push(leaf, &filled, rows, p);
        self.last = time;
        Appended { index, time, stored }
    }

    /// Stages a checkpoint that came back from the signer.
    pub fn set_checkpoint(
        &mut self,
        rows: &mut PlainBatch,
        p: &Partition,
        size: u64,
        signed: SignedCheckpoint,
    ) {
        let key = Row::Checkpoint.key();
        let plain = serde_json::to_vec(&signed).unwrap_or_default();
        rows.put(p, &key, &plain);
        self.signed = self.signed.max(size);
        self.checkpoint = Some(Arc::new(signed));
    }
}
