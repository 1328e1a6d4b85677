//! Decides the operations of workloads. Each request sees the staged state, with the effects of all requests before it.

mod denials;
mod settle;
mod start;

use crate::intake::request::{Denial, Idempotency, Reply, WorkloadOp};
use crate::ledger::ReadError;
use crate::partition::{DayKind, PartitionState, index_hash};
use crate::policy::{Policy, Query};
use crate::rows::{Answered, RequestRow, RunRow, StepRow, decode, encode};
use crate::staging::BatchBuilder;
use crate::store::{Row, Space, Store};
use conductor_shared::control::ControlState;
use conductor_shared::fact::{Outcome, Verdict};
use conductor_shared::fail_closed::Class;
use conductor_shared::http::{Decided, ReceiptRef};
use conductor_shared::ids::RunId;
use conductor_shared::reason::Reason;
use std::time::Duration;

/// What deciding an operation needs besides the partition.
pub struct WorkloadCtx<'a> {
    /// Holds what is not in memory: ended runs and steps, and stored answers by idempotency key.
    pub store: &'a Store,
    pub space: Space,
    /// Duration of a run's lease.
    pub lease: Duration,
    /// The authenticated workload, as receipts name it.
    pub principal: &'a str,
    pub policy: &'a Policy,
    /// Control state of the node log; profiles are defined there.
    pub node: &'a ControlState,
    /// The node log contradicts its last signed checkpoint, so nothing it grants can be relied on.
    pub node_doubted: bool,
    /// How many times this request already waited for a policy verdict.
    pub tries: u8,
}

/// Why an operation cannot be decided now.
#[derive(Debug)]
pub enum Defer {
    /// No verdict is cached: policy must be evaluated first. Nothing was staged.
    Policy(Box<Query>),
    /// The store or the partition cannot be read.
    Read(ReadError),
}

impl From<ReadError> for Defer {
    fn from(e: ReadError) -> Self {
        Self::Read(e)
    }
}

impl From<crate::store::StoreError> for Defer {
    fn from(e: crate::store::StoreError) -> Self {
        Self::Read(e.into())
    }
}

impl From<crate::keys::KeyError> for Defer {
    fn from(e: crate::keys::KeyError) -> Self {
        Self::Read(e.into())
    }
}

/// Why a run or step is not among the open ones.
enum Missing {
    Unknown,
    /// Outcome, and index of the receipt that recorded it.
    Ended(Outcome, u64),
}

impl WorkloadCtx<'_> {
    /// Decides an operation at most once per idempotency key: a repeated request gets the stored answer.
    pub fn once(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        op: &WorkloadOp,
        once: Option<&Idempotency>,
    ) -> Result<Reply, Defer> {
        // Heartbeats are idempotent already; storing a key for each would cost a row.
        let once = once.filter(|_| !matches!(op, WorkloadOp::Heartbeat { .. }));
        let Some(once) = once else { return self.decide(live, st, op) };
        let day = crate::metering::day_of(st.now.wall);
        let text =
            [self.principal.as_bytes(), b"\0", op.name().as_bytes(), b"\0", once.key.as_bytes()].concat();
        let hash = index_hash(&live.p.keys.index, &text);
        for d in [day, day.saturating_sub(1)] {
            let key = Row::Request(d, hash).key();
            if let Some(row) = st.row(self.store, &live.p, &key)? {
                let found: RequestRow = decode(&row).map_err(|e| live.p.damaged(&key, &e))?;
                return Ok(if found.body == once.body {
                    Ok(found.answer.to_decided(live.p.origin))
                } else {
                    Err(self.deny(live, st, op.name(), "", Reason::IdempotencyConflict.into(), None)?)
                });
            }
        }
        let reply = self.decide(live, st, op)?;
        // Only allows are stored: a denial may become an allow, and a folded answer has its receipt already.
        if let Ok(decided) = reply.as_ref()
            && !decided.folded
        {
            let key = Row::Request(day, hash).key();
            let plain = encode(&RequestRow { body: once.body, answer: Answered::of(decided) });
            let unit = match live.runs.get(&decided.run_id) {
                Some(run) => run.unit.clone(),
                None => live.day_unit(st, DayKind::Control)?,
            };
            st.rows.put_under(&live.p, &key, (unit.0, &unit.1), &plain);
            st.remember(&live.p, key, plain);
        }
        Ok(reply)
    }

    fn decide(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        op: &WorkloadOp,
    ) -> Result<Reply, Defer> {
        let class = if op.settles() { Class::Settle } else { Class::Admit };
        if let Some(reason) = live.status.refuses(class) {
            return Ok(Err(Denial::bare(reason)));
        }
        // Policy and profiles come from the node log: a rolled-back log may lack a tightening.
        if self.node_doubted && class == Class::Admit {
            return Ok(Err(Denial::bare(Reason::LogRolledBack)));
        }
        if self.space == Space::ControlOnly {
            return Ok(Err(Denial::bare(Reason::StoreUnavailable)));
        }
        let settled = match op {
            WorkloadOp::StartRun(new) => return self.start_run(live, st, new),
            WorkloadOp::StartStep { run, name } => return self.start_step(live, st, *run, name),
            WorkloadOp::FinishStep { run, step, outcome, claimed_us, bytes_in, bytes_out } => {
                let claim = Claim { us: *claimed_us, bytes_in: *bytes_in, bytes_out: *bytes_out };
                self.finish_step(live, st, (*run, *step), *outcome, claim)
            }
            WorkloadOp::Heartbeat { run } => self.heartbeat(live, st, *run),
            WorkloadOp::Approve { run, name, approver, approved } => {
                self.approve(live, st, *run, (name, approver), *approved)
            }
            WorkloadOp::FinishRun { run, outcome } => self.end_run(live, st, *run, *outcome),
            WorkloadOp::CancelRun { run } => self.end_run(live, st, *run, Outcome::Cancelled),
        };
        Ok(settled?)
    }

    fn gone(
        &self,
        live: &PartitionState,
        st: &BatchBuilder,
        id: RunId,
        step: Option<u64>,
    ) -> Result<Missing, ReadError> {
        let key = step.map_or(Row::EndedRun(id.0), |n| Row::EndedStep(id.0, n)).key();
        let Some(plain) = st.row(self.store, &live.p, &key)? else { return Ok(Missing::Unknown) };
        let ended = match step {
            None => decode::<RunRow>(&plain).map(|r| (r.outcome, r.last)),
            Some(_) => decode::<StepRow>(&plain).map(|r| (r.outcome, r.last)),
        };
        let (outcome, last) = ended.map_err(|e| live.p.damaged(&key, &e))?;
        let outcome = outcome.ok_or_else(|| live.p.damaged(&key, "ended without an outcome"))?;
        Ok(Missing::Ended(outcome, last))
    }

    fn decided(live: &PartitionState, index: u64, run: RunId) -> Decided {
        Decided {
            decision: Verdict::Allow,
            receipt: ReceiptRef { origin: live.p.origin, index },
            run_id: run,
            step: None,
            lease_us: None,
            sticky: None,
            late: None,
            folded: false,
        }
    }
}

/// Resource usage of a step as the workload claims it; metered, never trusted for decisions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Claim {
    us: u64,
    bytes_in: u64,
    bytes_out: u64,
}
