//! A sink's cursor in a tenant's log, and its dead letters.

use super::SinkCtx;
use super::search::Refusal;
use crate::intake::request::{SinkMoved, WriterRequest};
use crate::ledger::{Partition, ReadError, read_receipt};
use crate::metering::EventsOf;
use crate::partition::published::PartitionCell;
use crate::partition::state::index_hash;
use crate::rows::{decode, encode};
use crate::store::{Row, RowKey, RowKind, Store};
use conductor_shared::clock::WallTime;
use conductor_shared::cloudevents::cloud_event;
use conductor_shared::ids::Ident;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Maximum dead letters in one read.
const PAGE: usize = 200;
/// Maximum receipts read for one batch.
const MAX_READ: u64 = 2_000;
/// A cursor that only skipped receipts is written once in so many of them.
pub(super) const SKIPPED: u64 = 1_000;
/// What the hash of a cursor is about, and those of its dead letters.
const SINK: &str = "sink";

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

/// How far the ordered redeliveries of a tenant are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct AgainRow {
    /// Number of the newest one that is done.
    pub done: u64,
    /// In the one after it, index of the next receipt.
    pub at: u64,
}

/// A cursor in memory, which may be ahead of the stored one.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    pub row: SinkRow,
    /// `next` of the stored row.
    pub stored: u64,
    pub letters: u64,
    pub again: AgainRow,
    /// In a replay of dead letters, number of the next one.
    pub replay_at: u64,
    /// Index and time of the receipt that was the oldest undelivered one when it was looked up.
    pub oldest: Option<(u64, WallTime)>,
    hash: [u8; 16],
    again_hash: [u8; 16],
}

/// Events to deliver.
pub(super) struct Batch {
    pub events: Vec<Value>,
    pub numbers: Vec<u64>,
    /// Index after the last receipt in it.
    pub next: u64,
    /// After each receipt: events so far.
    ends: Vec<usize>,
    first: u64,
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

/// Of the name of a sink and what a row is about.
fn hash(p: &Partition, about: &str, sink: &Ident) -> [u8; 16] {
    index_hash(&p.keys.index, format!("{about} {sink}").as_bytes())
}

fn stored<T: DeserializeOwned + Default>(
    store: &Store,
    p: &Partition,
    hash: [u8; 16],
) -> Result<T, ReadError> {
    let key = Row::Sink(hash).key();
    match store.get(&p.family, &key)? {
        None => Ok(T::default()),
        Some(row) => decode(&p.open(&key, &row)?).map_err(|e| p.damaged(&key, &e)),
    }
}

/// The newest number of a file that a sink gave out, in the node's partition.
pub(super) async fn file_number(node: &PartitionCell, sink: &Ident) -> Result<u32, String> {
    let sink = sink.clone();
    blocking(node, move |store, p| stored(store, p, hash(p, "sink files", &sink))).await
}

pub(super) async fn store_file_number(
    ctx: &SinkCtx,
    node: &PartitionCell,
    sink: &Ident,
    number: u32,
) -> Result<(), String> {
    let sink = sink.clone();
    let hash = blocking(node, move |_, p| Ok(hash(p, "sink files", &sink))).await?;
    push(ctx, node, vec![(Row::Sink(hash).key(), Some(encode(&number)))]).await
}

/// Dead letters of a sink, from number `from` on.
pub fn letters(
    store: &Store,
    p: &Partition,
    sink: &Ident,
    from: u64,
    limit: usize,
) -> Result<Vec<Letter>, ReadError> {
    let hash = hash(p, SINK, sink);
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

/// Numbers of a sink's dead letters in a range, in order.
fn letter_numbers(
    store: &Store,
    p: &Partition,
    hash: [u8; 16],
    range: RangeInclusive<u64>,
) -> Result<BTreeSet<u64>, ReadError> {
    let mut numbers = BTreeSet::new();
    store.scan(&p.family, &Row::scan_ids(RowKind::DeadLetter, hash, *range.start()), |row, _| {
        let Row::DeadLetter(_, number) = row else { return false };
        range.contains(&number) && numbers.insert(number)
    })?;
    Ok(numbers)
}

impl Cursor {
    pub(super) async fn read(shared: &PartitionCell, sink: &Ident) -> Result<Self, String> {
        let sink = sink.clone();
        blocking(shared, move |store, p| {
            let (hash, again_hash) = (hash(p, SINK, &sink), hash(p, "sink again", &sink));
            let row: SinkRow = stored(store, p, hash)?;
            let again = stored(store, p, again_hash)?;
            let (stored, letters) = (row.next, row.letters);
            Ok(Self { row, stored, letters, again, replay_at: 0, oldest: None, hash, again_hash })
        })
        .await
    }

    /// Looks up how old the oldest undelivered receipt is, if there is one.
    pub(super) async fn look_up_oldest(&mut self, shared: &PartitionCell, size: u64) -> Result<(), String> {
        let next = self.row.next;
        if next >= size {
            self.oldest = None;
        } else if self.oldest.is_none_or(|(index, _)| index != next) {
            let time = |r: crate::ledger::Receipt| WallTime::from_micros(r.sealed.header.time_us);
            let read = blocking(shared, move |store, p| Ok(time(read_receipt(store, p, next)?)));
            self.oldest = Some((next, read.await?));
        }
        Ok(())
    }

    /// The events of the receipts from `from` on and before `end`, which bounds them to durable ones.
    pub(super) async fn batch(
        &self,
        shared: &Arc<PartitionCell>,
        from: u64,
        end: u64,
        most: usize,
    ) -> Result<Batch, String> {
        let name = shared.name.clone();
        blocking(shared, move |store, p| {
            let of = EventsOf { store, p, tenant_id: &name };
            let mut batch = Batch { events: vec![], numbers: vec![], next: from, ends: vec![], first: from };
            while batch.next < end && batch.events.len() < most && batch.next - from < MAX_READ {
                for e in of.receipt(&read_receipt(store, p, batch.next)?)? {
                    batch.numbers.push(e.source().index << 8 | u64::from(e.source().ordinal.min(255)));
                    batch.events.push(cloud_event(&e));
                }
                batch.next += 1;
                batch.ends.push(batch.events.len());
            }
            Ok(batch)
        })
        .await
    }

    /// Advances past a batch; refused events become dead letters.
    pub(super) fn advance(&self, batch: &Batch, refused: &[(usize, Refusal)]) -> Update {
        let mut after = self.clone();
        after.row.next = batch.next;
        after.letters = self.letters.saturating_add(refused.len() as u64);
        if !batch.events.is_empty() || batch.next >= self.stored + SKIPPED {
            after.stored = batch.next;
        }
        let mut update = Update::of(&after);
        update.rows.extend(self.letter_rows(batch, refused));
        update
    }

    fn letter_rows<'a>(
        &'a self,
        batch: &'a Batch,
        refused: &'a [(usize, Refusal)],
    ) -> impl Iterator<Item = (RowKey, Option<Vec<u8>>)> + 'a {
        refused.iter().filter_map(|(i, refusal)| {
            let row = LetterRow { why: refusal.why.clone(), event: batch.events.get(*i)?.to_string() };
            Some((Row::DeadLetter(self.hash, *batch.numbers.get(*i)?).key(), Some(encode(&row))))
        })
    }

    /// After a batch of an ordered redelivery: those that were taken are dead letters no more.
    pub(super) async fn redelivered(
        &self,
        shared: &PartitionCell,
        batch: &Batch,
        refused: &[(usize, Refusal)],
        again: AgainRow,
    ) -> Result<Update, String> {
        let mut after = Self { again, ..self.clone() };
        let row = (Row::Sink(self.again_hash).key(), Some(encode(&again)));
        let (Some(first), Some(last)) = (batch.numbers.first(), batch.numbers.last()) else {
            return Ok(Update { after, rows: vec![row] });
        };
        let (hash, range) = (self.hash, *first..=*last);
        let before = blocking(shared, move |store, p| letter_numbers(store, p, hash, range)).await?;
        let now: BTreeSet<u64> = refused.iter().filter_map(|(i, _)| batch.numbers.get(*i).copied()).collect();
        after.letters = (self.letters + now.len() as u64).saturating_sub(before.len() as u64);
        let mut update = Update::of(&after);
        update.rows.push(row);
        update.rows.extend(before.difference(&now).map(|n| (Row::DeadLetter(hash, *n).key(), None)));
        update.rows.extend(self.letter_rows(batch, refused));
        Ok(update)
    }

    /// Deletes dead letters that were delivered.
    pub(super) fn delete_letters(&self, gone: &[u64]) -> Update {
        let letters = self.letters.saturating_sub(gone.len() as u64);
        let mut update = Update::of(&Self { letters, ..self.clone() });
        update.rows.extend(gone.iter().map(|n| (Row::DeadLetter(self.hash, *n).key(), None)));
        update
    }
}

impl Batch {
    /// Cuts it to the receipts of which all events are among the first `settled`.
    pub(super) fn cut(&mut self, settled: usize) {
        let receipts = self.ends.partition_point(|end| *end <= settled);
        let events = receipts.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        self.events.truncate(events);
        self.numbers.truncate(events);
        self.ends.truncate(receipts);
        self.next = self.first + receipts as u64;
    }
}

impl Update {
    /// The cursor's own row.
    pub(super) fn of(after: &Cursor) -> Self {
        let row = SinkRow { letters: after.letters, ..after.row };
        let rows = vec![(Row::Sink(after.hash).key(), Some(encode(&row)))];
        Self { after: after.clone(), rows }
    }

    /// Queues it for the writer and waits until it is durable.
    pub(super) async fn write(self, ctx: &SinkCtx, shared: &PartitionCell) -> Result<Cursor, String> {
        push(ctx, shared, self.rows).await?;
        Ok(self.after)
    }
}

async fn push(
    ctx: &SinkCtx,
    shared: &PartitionCell,
    rows: Vec<(RowKey, Option<Vec<u8>>)>,
) -> Result<(), String> {
    let (tx, rx) = oneshot::channel();
    let update = SinkMoved { partition: shared.id, rows };
    if ctx.queues.push(WriterRequest::Sink(Box::new(update), tx)).is_err() {
        return Err(
            "the queue of the tenant is full, or the agent stops; what was delivered is sent again".into()
        );
    }
    rx.await.unwrap_or_else(|_| Err("the writer is gone".into()))
}
