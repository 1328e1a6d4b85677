//! A sink at work: all tenants in turn, none of them stopped by another.

use super::SinkCtx;
use super::cursor::Cursor;
use super::pace::Pace;
use super::status::{Measured, Sink};
use super::target::Target;
use super::work::{Failure, Round, Work};
use crate::partition::published::PartitionCell;
use crate::platform::random::bytes;
use conductor_shared::clock::MonoTime;
use conductor_shared::ids::PartitionId;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) struct Delivery {
    sink: Arc<Sink>,
    target: Target,
    ctx: SinkCtx,
    cursors: HashMap<PartitionId, Cursor>,
    pace: Pace,
    /// Place among the tenants of the one that comes first.
    first: usize,
}

impl Delivery {
    pub(super) fn new(sink: Arc<Sink>, ctx: SinkCtx) -> Self {
        let target = Target::new(&sink.config);
        Self { sink, target, ctx, cursors: HashMap::new(), pace: Pace::default(), first: 0 }
    }

    fn now(&self) -> MonoTime {
        self.ctx.clock.now().mono
    }

    fn jitter(&self) -> u8 {
        let [b] = bytes::<1>(&*self.ctx.random);
        b
    }

    /// Delivers one batch of each tenant. True if there may be more.
    pub(super) async fn pass(&mut self) -> bool {
        let mut tenants = self.ctx.board.all();
        tenants.retain(|s| !s.id.tenant.is_node());
        tenants.sort_by_key(|s| s.id);
        self.forget_all_but(&tenants);
        for shared in &tenants {
            self.read_cursor(shared).await;
        }
        let more = !self.pace.waits(self.now()) && self.open().await && self.deliver_all(&tenants).await;
        self.measure(&tenants).await;
        more
    }

    fn forget_all_but(&mut self, tenants: &[Arc<PartitionCell>]) {
        let ids: HashSet<_> = tenants.iter().map(|s| s.id).collect();
        if self.cursors.keys().all(|id| ids.contains(id)) {
            return;
        }
        self.cursors.retain(|id, _| ids.contains(id));
        self.pace.retain(|id| ids.contains(id));
        self.sink.retain(|id| ids.contains(id));
    }

    async fn read_cursor(&mut self, shared: &Arc<PartitionCell>) {
        let id = shared.id;
        if self.cursors.contains_key(&id) || self.pace.holds(id, self.now()) || !shared.status().serves() {
            return;
        }
        match Cursor::read(shared, &self.sink.config.name).await {
            Ok(cursor) => {
                self.cursors.insert(id, cursor);
            }
            Err(why) => self.failed(shared, Failure::Tenant(why)),
        }
    }

    async fn open(&mut self) -> bool {
        let opened = self.target.open().await;
        let open = opened.is_ok();
        if open {
            self.pace.opened();
        } else {
            self.sink.failures.fetch_add(1, Ordering::Relaxed);
            self.pace.unopened(self.now(), self.jitter());
        }
        self.sink.note_open(opened);
        open
    }

    async fn deliver_all(&mut self, tenants: &[Arc<PartitionCell>]) -> bool {
        let (begin, mut more) = (self.first, false);
        for n in 0..tenants.len() {
            let place = (begin + n) % tenants.len();
            let Some(shared) = tenants.get(place) else { break };
            if *self.ctx.stopping.borrow() {
                return false;
            }
            if self.pace.holds(shared.id, self.now()) || !shared.status().serves() {
                continue;
            }
            more |= self.round(shared).await;
            if self.pace.waits(self.now()) {
                // The next one goes first: this one may be what the receiver fails at.
                self.first = place + 1;
                return false;
            }
        }
        more
    }

    /// What one tenant has to deliver, a batch of each kind. True if there may be more.
    async fn round(&mut self, shared: &Arc<PartitionCell>) -> bool {
        let Some(cursor) = self.cursors.get_mut(&shared.id) else { return false };
        let failures = self.pace.failures(shared.id);
        let (sink, target, ctx) = (&*self.sink, &mut self.target, &self.ctx);
        let Round { taken, more, failure } =
            Work { sink, target, ctx, shared, cursor, failures }.round().await;
        if taken > 0 {
            self.sink.delivered.fetch_add(taken, Ordering::Relaxed);
            let now = self.now();
            self.pace.succeeded(shared.id, now);
        } else if !more && failure.is_none() && failures > 0 {
            // What failed is not to be done any more.
            self.pace.release(shared.id);
        }
        let failed = failure.is_some();
        match failure {
            Some(failure) => self.failed(shared, failure),
            None if self.pace.failures(shared.id) == 0 => {
                self.sink.note_delivered((shared.id, &shared.name));
            }
            None => {}
        }
        more && !failed
    }

    fn failed(&mut self, shared: &PartitionCell, failure: Failure) {
        let (now, jitter) = (self.now(), self.jitter());
        let why = match failure {
            Failure::Receiver(why, after) => {
                self.pace.failed(shared.id, now, after, jitter);
                why
            }
            Failure::Tenant(why) => {
                self.pace.hold(shared.id, now, jitter);
                why
            }
            Failure::Stopping => return,
        };
        self.sink.note_held((shared.id, &shared.name), &why);
    }

    /// What waits, since when, and what was refused; also of a sink that is not open.
    async fn measure(&mut self, tenants: &[Arc<PartitionCell>]) {
        self.sink.note_fails(self.pace.fails(self.now()));
        let mut sum = Measured::default();
        for shared in tenants {
            let Some(cursor) = self.cursors.get_mut(&shared.id) else { continue };
            let size = shared.view.load().size();
            sum.dead_letters += cursor.letters;
            sum.waiting += size.saturating_sub(cursor.row.next);
            // Of what cannot be read the age that was known is kept.
            let _ = cursor.look_up_oldest(shared, size).await;
            let oldest = cursor.oldest.map(|(_, time)| time);
            sum.oldest = sum.oldest.into_iter().chain(oldest).min();
        }
        self.sink.measure(sum);
    }
}
