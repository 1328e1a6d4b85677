//! Metered events, derived from receipts.
//!
//! An event is a pure function of its receipt, so it is as durable, as provable and as exact as the receipt is, and
//! needs no row of its own. Its id is (origin, index, ordinal). What is kept beside the receipts are rollups.

use crate::fact::{ActorType, Env, Fact, TrafficFact, Verdict};
use crate::ids::Ident;
use serde::{Deserialize, Serialize};

/// The labels every metered event has. Without them no event can be built.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Labels {
    /// Environment.
    pub env: Env,
    /// Who or what set the run off.
    pub actor_type: ActorType,
    /// From the tenant's catalog.
    pub workflow_type: Ident,
}

/// The six event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// A run was admitted.
    RunStarted,
    /// A step ended; quantity: the workload's claim of its time, microseconds.
    StepExecuted,
    /// An approval or rejection inside a workflow.
    ApprovalDecision,
    /// A receipt was written.
    ReceiptEmitted,
    /// Evidence left the partition, bytes.
    EvidenceExported,
    /// Sealed bytes stored; negative when deleted.
    StorageBytesWritten,
}

/// One metered event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// Which.
    pub event: EventType,
    /// Labels.
    pub labels: &'a Labels,
    /// How much, in the unit of the type.
    pub quantity: i64,
}

/// The labels a receipt of work carries; `None` for receipts that belong to no workflow, which are not metered.
pub fn labels(fact: &Fact) -> Option<Labels> {
    let Fact::Traffic(t) = fact else { return None };
    let (env, actor, workflow) = match t {
        // A denial is not billed.
        TrafficFact::RunDecided(f) if f.verdict == Verdict::Allow => (f.env, f.actor, &f.workflow),
        TrafficFact::StepDecided(f) if f.verdict == Verdict::Allow => (f.env, f.actor, &f.workflow),
        TrafficFact::StepFinished(f) => (f.env, f.actor, &f.workflow),
        TrafficFact::RunFinished(f) => (f.env, f.actor, &f.workflow),
        TrafficFact::ApprovalDecided(f) => (f.env, f.actor, &f.workflow),
        _ => return None,
    };
    Some(Labels { env, actor_type: actor, workflow_type: workflow.clone() })
}

/// The events of a receipt whose sealed length is `stored` bytes, in ordinal order.
pub fn events<'a>(fact: &Fact, labels: &'a Labels, stored: u64) -> Vec<Event<'a>> {
    let mut out = Vec::with_capacity(3);
    let mut push = |event, quantity| out.push(Event { event, labels, quantity });
    if let Fact::Traffic(t) = fact {
        match t {
            TrafficFact::RunDecided(_) => push(EventType::RunStarted, 1),
            TrafficFact::StepFinished(f) => {
                push(EventType::StepExecuted, i64::try_from(f.claimed_us).unwrap_or(i64::MAX));
            }
            TrafficFact::ApprovalDecided(_) => push(EventType::ApprovalDecision, 1),
            _ => {}
        }
    }
    push(EventType::ReceiptEmitted, 1);
    push(EventType::StorageBytesWritten, i64::try_from(stored).unwrap_or(i64::MAX));
    out
}

/// Sums of events over one hour and one set of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rollup {
    /// Runs admitted.
    pub runs_started: u64,
    /// Steps ended.
    pub steps_executed: u64,
    /// Their time as claimed, microseconds.
    pub step_us: u64,
    /// Bytes read, as claimed.
    pub bytes_in: u64,
    /// Bytes written, as claimed.
    pub bytes_out: u64,
    /// Approvals and rejections.
    pub approval_decisions: u64,
    /// Receipts.
    pub receipts_emitted: u64,
    /// Sealed bytes stored, less those deleted.
    pub storage_bytes: i64,
}

impl Rollup {
    /// Adds the events of one receipt.
    pub fn add(&mut self, fact: &Fact, stored: u64) {
        if let Fact::Traffic(t) = fact {
            match t {
                TrafficFact::RunDecided(_) => self.runs_started += 1,
                TrafficFact::StepFinished(f) => {
                    self.steps_executed += 1;
                    self.step_us = self.step_us.saturating_add(f.claimed_us);
                    self.bytes_in = self.bytes_in.saturating_add(f.bytes_in);
                    self.bytes_out = self.bytes_out.saturating_add(f.bytes_out);
                }
                TrafficFact::ApprovalDecided(_) => self.approval_decisions += 1,
                _ => {}
            }
        }
        self.receipts_emitted += 1;
        self.storage_bytes = self.storage_bytes.saturating_add(i64::try_from(stored).unwrap_or(i64::MAX));
    }

    /// Adds another rollup.
    pub fn merge(&mut self, o: &Rollup) {
        self.runs_started += o.runs_started;
        self.steps_executed += o.steps_executed;
        self.step_us = self.step_us.saturating_add(o.step_us);
        self.bytes_in = self.bytes_in.saturating_add(o.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(o.bytes_out);
        self.approval_decisions += o.approval_decisions;
        self.receipts_emitted += o.receipts_emitted;
        self.storage_bytes = self.storage_bytes.saturating_add(o.storage_bytes);
    }
}

/// Microseconds in an hour.
pub const HOUR_US: u64 = 3_600_000_000;

/// No step can claim more: a year, microseconds. Sums of claims then fit 64 bits.
pub const MAX_CLAIM_US: u64 = 366 * 24 * HOUR_US;
/// No step can claim more bytes in or out: 1 PiB.
pub const MAX_CLAIM_BYTES: u64 = 1 << 50;
