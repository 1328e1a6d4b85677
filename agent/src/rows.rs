//! Rows kept beside the receipts: open and ended runs and steps, requests carried out, counters. Each is written in the
//! batch of the receipt that changed it, and `conductord check` recomputes them all from receipts.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::clock::WallTime;
use conductor_shared::fact::{ActorType, Env, Outcome};
use conductor_shared::http::Decided;
use conductor_shared::ids::Ident;
use conductor_shared::meter::Labels;
use conductor_shared::slo::Counts;
use conductor_shared::untrusted::UntrustedText;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRow {
    /// Workflow type.
    pub workflow: Ident,
    /// Environment.
    pub env: Env,
    /// Who or what set it off.
    pub actor: ActorType,
    /// What was asked for.
    pub action: Ident,
    /// Receipt time of its start.
    pub started: WallTime,
    /// Index of the receipt of its start.
    pub started_at: u64,
    /// Steps admitted; exact once it ended.
    pub steps: u64,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Index of the receipt that changed it last.
    pub last: u64,
    /// What was approved and rejected in it: keyed hash of name, approver and answer, and the index of the receipt.
    pub approvals: Vec<([u8; 16], u64)>,
}

impl RunRow {
    /// Labels of what is metered in it.
    pub fn labels(&self) -> Labels {
        Labels { env: self.env, actor_type: self.actor, workflow_type: self.workflow.clone() }
    }
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRow {
    /// What the workflow calls it.
    pub name: UntrustedText,
    /// Receipt time of its start.
    pub started: WallTime,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Index of the receipt that changed it last.
    pub last: u64,
}

/// A request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRow {
    /// SHA-256 of what was asked.
    pub body: [u8; 32],
    /// What was answered.
    pub answer: Answered,
}

/// The answer as kept: ids as bytes, not as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    index: u64,
    run: [u8; 16],
    step: Option<u64>,
    lease_us: Option<u64>,
    sticky: Option<bool>,
    late: Option<Outcome>,
}

impl Answered {
    /// From an answer.
    pub fn of(d: &Decided) -> Self {
        Self {
            index: d.receipt.index,
            run: d.run_id.0,
            step: d.step,
            lease_us: d.lease_us,
            sticky: d.sticky,
            late: d.late,
        }
    }
    /// To an answer in this log.
    pub fn to_decided(&self, origin: conductor_shared::ids::Origin) -> Decided {
        Decided {
            decision: conductor_shared::fact::Verdict::Allow,
            receipt: conductor_shared::http::ReceiptRef { origin, index: self.index },
            run_id: conductor_shared::ids::RunId(self.run),
            step: self.step,
            lease_us: self.lease_us,
            sticky: self.sticky,
            late: self.late,
            folded: false,
        }
    }
}

/// Counters and buckets of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GateRow {
    /// Decisions that allowed.
    pub allowed: u64,
    /// Decisions that denied, folded ones too.
    pub denied: u64,
    /// How far the step bucket is ahead, microseconds.
    pub step_ahead_us: u64,
    /// Folds that are open: index of the first denial.
    pub folds: Vec<FoldRow>,
}

/// What was seen under the ramps of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SloRow {
    /// By selector.
    pub ramps: Vec<(String, WatchRow)>,
}

/// What was seen under one revision of a ramp.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WatchRow {
    /// The revision.
    pub revision: u64,
    /// Its value.
    pub hundredths: BasisPoints,
    /// Index of the receipt that began it: only runs that started after it count.
    pub since: u64,
    /// Counts.
    pub counts: Counts,
    /// Observed uptime under it, microseconds.
    pub up_us: u64,
    /// It was judged healthy.
    pub healthy: bool,
    /// Earlier values that were, newest last.
    pub good: Vec<BasisPoints>,
    /// Receipt time of the first error.
    pub first_error: WallTime,
    /// Receipts of the newest errors.
    pub errors: Vec<u64>,
}

/// An open fold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldRow {
    /// Index of the first denial.
    pub first: u64,
    /// Who.
    pub principal: String,
    /// Reason codes.
    pub reasons: Vec<String>,
    /// Denials after the first, as of this batch.
    pub count: u64,
}

/// Most rows are shorter: growing into them would copy what is there time and again.
const ROW: usize = 128;

/// Compact bytes of a row.
pub fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    // These types hold nothing that cannot be encoded.
    postcard::to_extend(row, Vec::with_capacity(ROW)).unwrap_or_default()
}

/// A row from its bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    postcard::from_bytes(bytes).map_err(|e| e.to_string())
}
