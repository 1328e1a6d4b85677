//! Opens the store, closes it after a failure, and reopens it. Staged state that was not written is dropped; everything is
//! loaded from the store again.

use super::pipeline::{CommitCtx, Committer};
use super::provision::read_bundles;
use super::{Open, Writer};
use crate::checkpoint::due::Schedule;
use crate::checkpoint::witness::Witness;
use crate::clock_guard;
use crate::command;
use crate::command::Named;
use crate::freeze::calendar::Calendar;
use crate::intake::reply::Answers;
use crate::keys::KeyStore;
use crate::ledger::ReadError;
use crate::partition::{Loader, PartitionState, Partitions};
use crate::staging::BatchBuilder;
use crate::store::{Store, StoreError};
use conductor_shared::control::{CommandKey, Pending};
use conductor_shared::fact::AgentStarted;
use conductor_shared::ids::{Ident, PartitionId};
use conductor_shared::reason::Reason;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Maximum rows that abandoning the pending proposals of one log touches.
const ABANDONED: usize = 1_024;
/// The same for reporting a damaged partition.
const REPORTED: usize = 16;
/// Maximum wait for readers to return their leases before the store is closed.
const READERS: Duration = Duration::from_secs(30);

/// A partition that cannot be loaded, its tenant's name, and the reason.
type Damaged = (PartitionId, Ident, String);

impl Writer {
    pub(super) fn reopen(&mut self) -> Result<(), ReadError> {
        let p = &self.parts;
        let mut keys = KeyStore::open(&p.keys)?;
        let store = Arc::new(Store::open(&p.data.join("db"), p.limits)?);
        let (mut partitions, damaged) = self.load(&store, &mut keys)?;
        let signer_key = partitions.node_control().and_then(|n| n.signer_key.clone());
        let node_seq = partitions.iter().map(|l| l.log.size()).sum();
        p.board.begin(node_seq);
        for live in partitions.iter() {
            p.board.put(Arc::clone(&live.shared));
        }
        for (id, name, _) in &damaged {
            partitions.damage(*id);
            p.board.put(Arc::new(PartitionState::damaged(self.loader(&store, &mut keys), *id, name.clone())));
        }
        p.board.store.store(Some(Arc::clone(&store)));
        p.board.set_store_error("");
        let committer = Committer::start(CommitCtx {
            store: Arc::clone(&store),
            random: Arc::clone(&p.random),
            board: Arc::clone(&p.board),
            queues: Arc::clone(&p.queues),
            checkpoints: p.checkpoints.clone(),
            runtime: p.runtime.clone(),
        });
        self.space = store.space(partitions.iter().map(PartitionState::open_work).sum());
        p.board.set_space(self.space);
        self.calendar = Calendar::default();
        let tighten = p.tighten;
        let (handed, on_the_way) = (0, VecDeque::new());
        let due = partitions.iter().filter(|l| l.since_snapshot >= p.snapshot_every);
        let snapshots_due = due.map(|l| l.p.id).collect();
        self.open = Some(Open {
            tighten,
            store,
            keys,
            partitions,
            checkpoints: Schedule::default(),
            snapshots_due,
            signer_key,
            node_seq,
            committer,
            handed,
            on_the_way,
        });
        let done = self.after_open(&damaged);
        if let Err(e) = &done {
            // The logs in memory have staged facts that were not written: load them again.
            self.fail(&e.to_string());
        }
        done
    }

    fn loader<'a>(&self, store: &'a Arc<Store>, keys: &'a mut KeyStore) -> Loader<'a> {
        let (node, now, lease) = (self.parts.node_id, self.parts.clock.now(), self.parts.lease);
        Loader { store, keys, node, now, lease, cuts_since: now.wall - self.parts.tighten.window }
    }

    /// Loads every partition. A damaged one does not keep the others from serving.
    fn load(&self, store: &Arc<Store>, keys: &mut KeyStore) -> Result<(Partitions, Vec<Damaged>), ReadError> {
        let p = &self.parts;
        let mut load =
            |id: PartitionId, name: Option<&Ident>| PartitionState::load(self.loader(store, keys), id, name);
        let node = load(PartitionId::NODE, None)?;
        let (mut partitions, mut damaged) = (Partitions::default(), Vec::new());
        for (&tenant, entry) in &node.control.tenants {
            let id = PartitionId { tenant, epoch: entry.epoch };
            // The family exists: it is made before the receipt that creates its tenant is written.
            match load(id, Some(&entry.name)) {
                Ok(state) => partitions.insert(state),
                Err(e) if e.damages() == Some(id) => {
                    damaged.push((id, entry.name.clone(), e.to_string()));
                }
                Err(e) => return Err(e),
            }
        }
        for bundle in read_bundles(store, &node.p)? {
            p.policy.keep(bundle);
        }
        p.policy.follow(&node.control);
        partitions.insert(node);
        for live in partitions.iter() {
            let (known, found) = (self.floor.get(&live.p.id).copied().unwrap_or(0), live.log.size());
            if found < known {
                return Err(StoreError::Lost { origin: live.p.origin.to_string(), known, found }.into());
            }
        }
        Ok((partitions, damaged))
    }

    /// Abandons proposals found open, reports damaged partitions, and records the start.
    fn after_open(&mut self, damaged: &[Damaged]) -> Result<(), ReadError> {
        let boot = self.parts.board.boot;
        let mut answers = Answers::default();
        let Some(st) = self.stage() else { return Ok(()) };
        let Some(mut st) = self.stop_what_was_put_back(st, &mut answers)? else { return Ok(()) };
        let Some(open) = &mut self.open else { return Ok(()) };
        clock_guard::at_start(&mut open.partitions, &mut st, self.parts.clock_tolerance)?;
        let runs = open.partitions.iter().map(|l| l.gate.open_runs).sum();
        let waiting = open.partitions.iter().filter(|l| l.status.serves() && !l.control.pending.is_empty());
        let waiting: Vec<PartitionId> = waiting.map(|l| l.p.id).collect();
        for id in waiting {
            if !st.fits(ABANDONED) {
                self.finish(st, &mut answers);
                let Some(next) = self.stage() else { return Ok(()) };
                st = next;
            }
            if let Err(e) = self.abandon_pending(id, &mut st)
                && !self.contain(&e, &mut st, &mut answers)
            {
                return Err(e);
            }
        }
        let node = self.open.as_mut().and_then(|o| o.partitions.node_mut());
        if let Some(node) = node.filter(|n| n.status.serves()) {
            let fact = AgentStarted { version: env!("CARGO_PKG_VERSION").to_owned(), boot, open_runs: runs };
            node.control_fact(&mut st, fact)?;
        }
        for (id, _, why) in damaged {
            if !st.fits(REPORTED) {
                self.finish(st, &mut answers);
                let Some(next) = self.stage() else { return Ok(()) };
                st = next;
            }
            self.report_damage(*id, why, &mut st)?;
        }
        self.finish(st, &mut answers);
        Ok(())
    }

    /// Logs that are not what was signed are only read from now on: the node's own first, so that nothing is written to it.
    fn stop_what_was_put_back(
        &mut self,
        mut st: BatchBuilder,
        answers: &mut Answers,
    ) -> Result<Option<BatchBuilder>, ReadError> {
        let Some(open) = &self.open else { return Ok(None) };
        let witness = Witness::open(&self.parts.data);
        let against = open
            .partitions
            .iter()
            .filter_map(|l| Some((l.p.id, witness.contradicts(&l.p.origin, l.log.size(), &l.log.root())?)));
        let mut against: Vec<_> = against.collect();
        against.sort_by_key(|(id, _)| !id.tenant.is_node());
        for (id, why) in against {
            if !st.fits(REPORTED) {
                self.finish(st, answers);
                let Some(next) = self.stage() else { return Ok(None) };
                st = next;
            }
            self.rolled_back(&mut st, id, &why)?;
        }
        Ok(Some(st))
    }

    fn abandon_pending(&mut self, id: PartitionId, st: &mut BatchBuilder) -> Result<(), ReadError> {
        let Some(live) = self.open.as_mut().and_then(|o| o.partitions.get_mut(id)) else { return Ok(()) };
        let named = |(key, p): (&CommandKey, &Pending)| Named {
            command: *key,
            proposal: p.index,
            digest: p.digest.0,
        };
        let pending: Vec<_> = live.control.pending.iter().map(named).collect();
        for proposal in &pending {
            command::abandon(live, st, proposal, Reason::CheckpointTimeout.into())?;
        }
        Ok(())
    }

    pub(super) fn fail(&mut self, why: &str) {
        if let Some(open) = &self.open {
            open.store.fail();
        }
        self.close(why);
    }

    /// Closes the store and drops what was staged and not handed over.
    pub(super) fn close(&mut self, why: &str) {
        let Some(open) = self.open.take() else { return };
        let found = self.parts.board.store_error();
        let why = if found.is_empty() { why.to_owned() } else { found };
        tracing::error!("the store is closed: {why}");
        self.parts.board.set_store_error(&why);
        self.parts.board.store.store(None);
        // All published cells, including those of damaged partitions, whose state is no longer held.
        let cells = self.parts.board.all();
        for cell in &cells {
            cell.revoke();
        }
        for live in open.partitions.iter() {
            self.floor.insert(live.p.id, live.shared.view.load().size());
        }
        for p in self.proposals.pending.drain(..) {
            p.lost();
        }
        self.drop_jobs(&why);
        self.round = None;
        // On a full disk, reopening needs space for its first writes.
        if let Some(what) = open.store.give_up_reserve() {
            tracing::warn!("the disk is full: gave up {what}");
        }
        open.committer.stop();
        // Nothing is in flight now, even if a thread of the pipeline panicked and reported nothing.
        self.parts.queues.settled(usize::MAX);
        drop(open.partitions);
        if !cells.iter().all(|cell| cell.wait_for_readers(READERS)) {
            tracing::error!("a reader still holds the store: it cannot be opened again before that ends");
        }
        self.retry_at = self.parts.clock.now().mono;
    }

    pub(super) fn try_again(&mut self) -> bool {
        let now = self.parts.clock.now().mono;
        if now < self.retry_at {
            return false;
        }
        match self.reopen() {
            Ok(()) => {
                tracing::info!("the store is open again");
                true
            }
            Err(e) => {
                let e = e.to_string();
                if self.parts.board.store_error() != e {
                    tracing::error!("{e}");
                }
                self.parts.board.set_store_error(&e);
                self.retry_at = now + Duration::from_secs(1);
                false
            }
        }
    }
}
