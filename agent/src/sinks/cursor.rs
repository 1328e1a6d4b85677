//! A sink's cursor in a tenant's log, and its dead letters.

use super::{MAX_LETTERS, SinkCtx};
use crate::intake::request::{SinkMoved, WriterRequest};
use crate::ledger::{Partition, ReadError, read_receipt};
use crate::metering::EventsOf;
use crate::partition::published::PartitionCell;
use crate::partition::state::index_hash;
use crate::rows::{decode, encode};
use crate::store::{Row, RowKey, RowKind, Store};
use conductor_shared::cloudevents::cloud_event;
use conductor_shared::ids::Ident;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Maximum dead letters in one read.
const PAGE: usize = 200;
/// Maximum receipts read for one batch.
const MAX_READ: u64 = 2_000;

/// The stored cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct SinkRow {
    /// Index of the next receipt.
    pub next: u64,
    /// Number of the last replay of dead letters, as operators count them.
    pub replays: u64,
    pub letters: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct LetterRow {
    why: String,
    event: String,
}

/// An event that the receiver rejected.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Index of the receipt and ordinal of the event, in one number.
    pub number: u64,
    /// The receiver's reason.
    pub why: String,
    pub event: Value,
}

/// A cursor in memory, which may be ahead of the stored one.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    pub row: SinkRow,
    /// `next` of the stored row.
    pub stored: u64,
    pub letters: u64,
    hash: [u8; 16],
}

/// Events to deliver.
pub(super) struct Batch {
    pub events: Vec<Value>,
    pub numbers: Vec<u64>,
    /// Index after the last receipt in it.
    pub next: u64,
}

/// New rows of a cursor, for the writer.
pub(super) struct Update {
    pub after: Cursor,
    rows: Vec<(RowKey, Option<Vec<u8>>)>,
}

async fn blocking<T: Send + 'static>(
    shared: &PartitionCell,
    read: impl FnOnce(&Store, &Partition) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, String> {
    let closed = || "the store is closed".to_owned();
    let lease = shared.lease().map_err(|_| closed())?;
    let done = tokio::task::spawn_blocking(move || read(lease.store(), lease.partition())).await;
    done.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

fn hash(p: &Partition, sink: &Ident) -> [u8; 16] {
    index_hash(&p.keys.index, format!("sink {sink}").as_bytes())
}

/// Dead letters of a sink, from number `from` on.
pub fn letters(
    store: &Store,
    p: &Partition,
    sink: &Ident,
    from: u64,
    limit: usize,
) -> Result<Vec<Letter>, ReadError> {
    let hash = hash(p, sink);
    let mut rows = Vec::new();
    store.scan(&p.family, &Row::scan_ids(RowKind::DeadLetter, hash, from), |row, value| {
        if let Row::DeadLetter(_, number) = row {
            rows.push((number, value.to_vec()));
        }
        rows.len() < limit
    })?;
    let read = |(number, value): (u64, Vec<u8>)| {
        let key = Row::DeadLetter(hash, number).key();
        let row: LetterRow = decode(&p.open(&key, &value)?).map_err(|e| p.damaged(&key, &e))?;
        let event = serde_json::from_str(&row.event).map_err(|e| p.damaged(&key, &e.to_string()))?;
        Ok(Letter { number, why: row.why, event })
    };
    rows.into_iter().map(read).collect()
}

pub(super) async fn page(shared: &PartitionCell, sink: &Ident, from: u64) -> Result<Vec<Letter>, String> {
    let sink = sink.clone();
    blocking(shared, move |store, p| letters(store, p, &sink, from, PAGE)).await
}

impl Cursor {
    pub(super) async fn read(shared: &PartitionCell, sink: &Ident) -> Result<Self, String> {
        let sink = sink.clone();
        blocking(shared, move |store, p| {
            let hash = hash(p, &sink);
            let key = Row::Sink(hash).key();
            let row: SinkRow = match store.get(&p.family, &key)? {
                None => SinkRow::default(),
                Some(row) => decode(&p.open(&key, &row)?).map_err(|e| p.damaged(&key, &e))?,
            };
            Ok(Self { row, stored: row.next, letters: row.letters, hash })
        })
        .await
    }

    /// The events of the next receipts. `size` bounds them to durable ones.
    pub(super) async fn batch(
        &self,
        shared: &Arc<PartitionCell>,
        size: u64,
        most: usize,
    ) -> Result<Batch, String> {
        let (from, name) = (self.row.next, shared.name.clone());
        blocking(shared, move |store, p| {
            let of = EventsOf { store, p, tenant_id: &name };
            let mut batch = Batch { events: vec![], numbers: vec![], next: from };
            while batch.next < size && batch.events.len() < most && batch.next - from < MAX_READ {
                for e in of.receipt(&read_receipt(store, p, batch.next)?)? {
                    batch.numbers.push(e.source().index << 8 | u64::from(e.source().ordinal.min(255)));
                    batch.events.push(cloud_event(&e));
                }
                batch.next += 1;
            }
            Ok(batch)
        })
        .await
    }

    /// Advances past a batch; rejected events become dead letters.
    pub(super) fn advance(&self, batch: &Batch, rejected: &[(usize, String)]) -> Update {
        let mut after = self.clone();
        after.row.next = batch.next;
        after.letters = (self.letters + rejected.len() as u64).min(MAX_LETTERS + 1_000);
        if !batch.events.is_empty() || batch.next >= self.stored + 1_000 {
            after.stored = batch.next;
        }
        let mut update = Update::of(&after);
        for (i, why) in rejected {
            let Some(event) = batch.events.get(*i) else { continue };
            let row = LetterRow { why: why.clone(), event: event.to_string() };
            update.rows.push((Row::DeadLetter(self.hash, batch.number(*i)).key(), Some(encode(&row))));
        }
        update
    }

    /// Deletes dead letters that were delivered.
    pub(super) fn delete_letters(&self, gone: &[u64]) -> Update {
        let rows = gone.iter().map(|n| (Row::DeadLetter(self.hash, *n).key(), None)).collect();
        Update { after: self.clone(), rows }
    }
}

impl Update {
    /// The cursor's own row.
    pub(super) fn of(after: &Cursor) -> Self {
        let row = SinkRow { letters: after.letters, ..after.row };
        Self { after: after.clone(), rows: vec![(Row::Sink(after.hash).key(), Some(encode(&row)))] }
    }

    /// Queues it for the writer and waits until it is durable.
    pub(super) async fn write(self, ctx: &SinkCtx, shared: &PartitionCell) -> Result<(), String> {
        let (tx, rx) = oneshot::channel();
        let update = SinkMoved { partition: shared.id, rows: self.rows };
        if ctx.queues.push(WriterRequest::Sink(Box::new(update), tx)).is_err() {
            return Err(
                "the queue of the tenant is full, or the agent stops; what was delivered is sent again"
                    .into(),
            );
        }
        rx.await.unwrap_or_else(|_| Err("the writer is gone".into()))
    }
}
