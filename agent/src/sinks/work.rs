//! What a sink has to do for one tenant: the next receipts, ordered redeliveries, replays of dead letters.

use super::SinkCtx;
use super::cursor::{self, AgainRow, Batch, Cursor, SKIPPED, Update};
use super::search::{Delivered, Refusal, Search};
use super::status::Sink;
use super::target::Target;
use crate::partition::published::PartitionCell;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Maximum dead letters of one tenant and sink, but for those of the last batch: at this number the tenant waits.
const MAX_LETTERS: u64 = 10_000;
/// Events that are at least looked at together, so that a refused one can be told from a receiver that refuses all.
const WINDOW: usize = 32;
/// Events tried by themselves when all are refused alike.
const LOOKS: usize = 8;
/// One in so many looks at a batch of which all were refused tries each event: the receiver may take one by now.
const WHOLE_LOOK: u32 = 16;

/// Why a delivery failed.
pub(super) enum Failure {
    /// The receiver did not take it; with the pause that it asks for.
    Receiver(String, Option<Duration>),
    /// Something of the tenant's own.
    Tenant(String),
    Stopping,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Round {
    /// Events that the receiver took.
    pub taken: u64,
    /// There may be more to do.
    pub more: bool,
    pub failure: Option<Failure>,
}

/// One tenant, and what the sink works with.
pub(super) struct Work<'a> {
    pub sink: &'a Sink,
    pub target: &'a mut Target,
    pub ctx: &'a SinkCtx,
    pub shared: &'a Arc<PartitionCell>,
    pub cursor: &'a mut Cursor,
    /// Failures of the tenant, one after the other.
    pub failures: u32,
}

/// What became of events.
struct Outcome {
    /// Those from the first on that were taken or refused.
    settled: usize,
    refused: Vec<(usize, Refusal)>,
    failure: Option<Failure>,
}

impl Work<'_> {
    /// A batch of each kind.
    pub(super) async fn round(mut self) -> Round {
        let mut round = Round::default();
        round.failure = self.all(&mut round).await.err();
        round
    }

    async fn all(&mut self, round: &mut Round) -> Result<(), Failure> {
        self.next_batch(round).await?;
        self.redeliver(round).await?;
        self.replay(round).await
    }

    /// The events of the receipts after the cursor.
    async fn next_batch(&mut self, round: &mut Round) -> Result<(), Failure> {
        let (from, size) = (self.cursor.row.next, self.shared.view.load().size());
        if from >= size {
            return Ok(());
        }
        if self.cursor.letters >= MAX_LETTERS {
            return Err(Failure::Tenant(format!(
                "{MAX_LETTERS} dead letters, no more are kept: mend the receiver, then run: conductor sink replay {} {}",
                self.shared.name, self.sink.config.name
            )));
        }
        let mut batch = self.batch(from, size).await?;
        let Outcome { settled, refused, failure } = self.deliver(&batch.events).await;
        let refused = cut(&mut batch, settled, refused);
        let update = self.cursor.advance(&batch, &refused);
        if !batch.events.is_empty() || batch.next >= self.cursor.stored + SKIPPED {
            self.write(update).await?;
        } else {
            *self.cursor = update.after;
        }
        round.taken += (batch.events.len() - refused.len()) as u64;
        round.more = true;
        failure.map_or(Ok(()), Err)
    }

    /// A batch of the oldest range that an operator has delivered again. What the cursor did not reach yet comes anyway.
    async fn redeliver(&mut self, round: &mut Round) -> Result<(), Failure> {
        let done = self.cursor.again.done;
        let view = self.shared.view.load_full();
        let ordered = view.control.sink_redeliveries.get(&self.sink.config.name);
        let Some(range) = ordered.and_then(|ranges| ranges.after(done)) else { return Ok(()) };
        let from = range.from.max(self.cursor.again.at);
        let end = range.to.saturating_add(1).min(self.cursor.row.next);
        let mut batch = self.batch(from, end).await?;
        let Outcome { settled, refused, failure } = self.deliver(&batch.events).await;
        let refused = cut(&mut batch, settled, refused);
        let again = if batch.next >= end {
            AgainRow { done: range.number, at: 0 }
        } else {
            AgainRow { done, at: batch.next }
        };
        let update = self.cursor.redelivered(self.shared, &batch, &refused, again).await;
        self.write(update.map_err(Failure::Tenant)?).await?;
        round.taken += (batch.events.len() - refused.len()) as u64;
        round.more = true;
        failure.map_or(Ok(()), Err)
    }

    /// A page of dead letters that an operator has delivered again. Those that are refused again stay.
    async fn replay(&mut self, round: &mut Round) -> Result<(), Failure> {
        let name = &self.sink.config.name;
        let wanted = self.shared.view.load().control.sink_replays.get(name).copied().unwrap_or(0);
        if wanted <= self.cursor.row.replays {
            return Ok(());
        }
        let page = cursor::page(self.shared, name, self.cursor.replay_at).await.map_err(Failure::Tenant)?;
        let mut failure = None;
        if let Some(last) = page.last() {
            let events: Vec<Value> = page.iter().map(|l| l.event.clone()).collect();
            let search = self.search(&events, usize::MAX, &mut failure).await;
            let (tried, refused) = search.tried();
            let letters = page.iter().enumerate().take(tried);
            let gone = letters.filter(|(i, _)| !refused.iter().any(|(r, _)| r == i));
            let gone: Vec<u64> = gone.map(|(_, letter)| letter.number).collect();
            let next = if failure.is_none() { last.number + 1 } else { self.cursor.replay_at };
            round.taken += gone.len() as u64;
            self.write(self.cursor.delete_letters(&gone)).await?;
            self.cursor.replay_at = next;
        } else {
            let mut after = self.cursor.clone();
            (after.row.replays, after.replay_at) = (wanted, 0);
            self.write(Update::of(&after)).await?;
        }
        round.more = true;
        failure.map_or(Ok(()), Err)
    }

    async fn batch(&self, from: u64, end: u64) -> Result<Batch, Failure> {
        let most = self.sink.config.batch.max(WINDOW);
        self.cursor.batch(self.shared, from, end, most).await.map_err(Failure::Tenant)
    }

    async fn write(&mut self, update: Update) -> Result<(), Failure> {
        *self.cursor = update.write(self.ctx, self.shared).await.map_err(Failure::Tenant)?;
        Ok(())
    }

    /// Delivers events. When all are refused alike, that is the receiver's failure, and none is settled.
    async fn deliver(&mut self, events: &[Value]) -> Outcome {
        // The first look is short, the second is whole, then one in some is.
        let looks = if self.failures % WHOLE_LOOK == 1 { usize::MAX } else { LOOKS };
        let mut failure = None;
        let search = self.search(events, looks, &mut failure).await;
        if failure.is_none()
            && let Some(answer) = search.answer_to_all()
        {
            let why = format!("{}, to each of {} events alike", answer.why, search.refusals());
            failure = Some(Failure::Receiver(why, None));
        }
        let (settled, refused) = search.settled();
        Outcome { settled, refused, failure }
    }

    async fn search(&mut self, events: &[Value], looks: usize, failure: &mut Option<Failure>) -> Search {
        let mut search = Search::new(events.len(), self.sink.config.batch, looks);
        while let Some(range) = search.next() {
            if *self.ctx.stopping.borrow() {
                *failure = Some(Failure::Stopping);
                break;
            }
            let some = events.get(range.clone()).unwrap_or_default();
            match self.target.deliver(self.ctx, some).await {
                Delivered::Yes => search.taken(&range),
                Delivered::Refused(refusal) => search.refused(&range, refusal),
                Delivered::Later(why, after) => {
                    *failure = Some(Failure::Receiver(why, after));
                    break;
                }
            }
        }
        search
    }
}

/// Cuts a batch to whole receipts that are settled; gives the refused events in it.
fn cut(batch: &mut Batch, settled: usize, mut refused: Vec<(usize, Refusal)>) -> Vec<(usize, Refusal)> {
    batch.cut(settled);
    refused.retain(|(i, _)| *i < batch.events.len());
    refused
}
