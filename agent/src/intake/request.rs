//! What the writer is asked, and what it answers.

use crate::scope::TenantScope;
use crate::store::RowKey;
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::command::Command;
use conductor_shared::control::CommandKey;
use conductor_shared::fact::{ActorType, Env, Outcome};
use conductor_shared::http::{CommandOutcome, Decided, ReceiptRef};
use conductor_shared::ids::{Ident, KeyId, PartitionId, PersonId, RunId, TenantUid};
use conductor_shared::operator::Approval;
use conductor_shared::reason::{Reason, Reasons};
use conductor_shared::untrusted::UntrustedText;
use std::time::Duration;
use tokio::sync::oneshot;

/// The run that a workload asks to start: the HTTP body, checked.
#[derive(Debug, Clone)]
pub struct NewRun {
    pub workflow: Ident,
    pub env: Env,
    pub actor: ActorType,
    pub action: Ident,
    pub subject: Option<UntrustedText>,
    pub prompt: Option<[u8; 32]>,
}

/// An operation of a workload. Fields are those of the HTTP bodies.
#[derive(Debug, Clone)]
pub enum WorkloadOp {
    StartRun(NewRun),
    StartStep { run: RunId, name: UntrustedText },
    FinishStep { run: RunId, step: u64, outcome: Outcome, claimed_us: u64, bytes_in: u64, bytes_out: u64 },
    Heartbeat { run: RunId },
    Approve { run: RunId, name: UntrustedText, approver: UntrustedText, approved: bool },
    FinishRun { run: RunId, outcome: Outcome },
    CancelRun { run: RunId },
}

impl WorkloadOp {
    /// Its name, as in the table of routes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StartRun(_) => "run_start",
            Self::StartStep { .. } => "step_start",
            Self::FinishStep { .. } => "step_finish",
            Self::Heartbeat { .. } => "run_heartbeat",
            Self::Approve { .. } => "approval_decide",
            Self::FinishRun { .. } => "run_finish",
            Self::CancelRun { .. } => "run_cancel",
        }
    }
    /// True for what the law calls settle.
    pub fn settles(&self) -> bool {
        !matches!(self, Self::StartRun(_) | Self::StartStep { .. })
    }
}

/// An idempotency key with the digest of the body it came with.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// As sent.
    pub key: String,
    /// SHA-256 of the request: path and body.
    pub body: [u8; 32],
}

/// A denial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Every reason that applies.
    pub reasons: Reasons,
    /// Its receipt; `None` when none could be written.
    pub receipt: Option<ReceiptRef>,
    /// The same was denied less than a second ago, and `receipt` is that one's.
    pub folded: bool,
    /// It came so often that its answer is held back a while: asking in a loop must not take the processor from
    /// others.
    pub held: bool,
    /// After so long a retry can succeed.
    pub retry_after: Option<Duration>,
}

impl Denial {
    /// Without a receipt: the store is out, or the queue full.
    pub fn bare(reason: Reason) -> Self {
        let held = reason == Reason::QueueFull;
        Self { reasons: reason.into(), receipt: None, folded: false, held, retry_after: None }
    }
}

/// Answer to a workload.
pub type Reply = Result<Decided, Denial>;
/// Answer to an operator.
pub type CommandReply = Result<CommandOutcome, Denial>;

/// Content whose exact bytes an enrolled key signed.
#[derive(Debug, Clone)]
pub struct Verified<T> {
    /// What it says.
    pub content: T,
    /// Exact bytes.
    pub text: Vec<u8>,
    /// Their minisign file.
    pub signature: String,
    /// Who signed.
    pub person: PersonId,
    /// With which key.
    pub key_id: KeyId,
    /// It came over the agent's own unix socket.
    pub local: bool,
}

/// A verified command.
pub type Signed = Verified<Command>;
impl Signed {
    /// What makes it count once: who signed, and its id.
    pub fn key(&self) -> CommandKey {
        CommandKey { person: self.person, command: self.content.command_id }
    }
}
/// A verified approval.
pub type SignedApproval = Verified<Approval>;

/// A request that was denied before it had a scope, or outside it.
#[derive(Debug, Clone)]
pub struct Unscoped {
    /// The log it goes to: of the authenticated tenant, else the node's.
    pub log: PartitionId,
    /// Who asked, as far as proved.
    pub principal: String,
    /// The person, where one was proved: theirs is the budget of receipts that it spends.
    pub person: Option<PersonId>,
    /// Transport and peer.
    pub peer: String,
    /// Operation.
    pub operation: &'static str,
    /// What was named as tenant.
    pub named: UntrustedText,
    /// Why.
    pub reasons: Reasons,
}

/// Rows of a sink: its place in a tenant's log, and dead letters.
pub struct SinkMoved {
    /// Whose log.
    pub partition: PartitionId,
    /// Keys and what stands there from now on, opened; `None` removes.
    pub rows: Vec<(RowKey, Option<Vec<u8>>)>,
}

impl std::fmt::Debug for SinkMoved {
    // What stands in rows is a tenant's own.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SinkMoved({}, {} rows)", self.partition.tenant, self.rows.len())
    }
}

/// One thing the writer is asked.
#[derive(Debug)]
pub enum WriterRequest {
    /// An operation of a workload.
    Workload {
        /// Proof of scope.
        scope: TenantScope,
        /// What.
        op: WorkloadOp,
        /// Once.
        once: Option<Idempotency>,
        /// How often an engine was asked about it.
        tries: u8,
        /// Where the answer goes, after the sync.
        reply: oneshot::Sender<Reply>,
    },
    /// A denial to record.
    Unscoped(Unscoped, oneshot::Sender<Denial>),
    /// A command of an operator, and the partition that it is about: the node's own for a tenant that is not here.
    Command(PartitionId, Box<Signed>, oneshot::Sender<CommandReply>),
    /// An operator's answer to what another asked for, likewise.
    Approval(PartitionId, Box<SignedApproval>, oneshot::Sender<CommandReply>),
    /// Checkpoints that the signer signed.
    /// With the key that they were signed by, base64.
    Signed(String, Vec<(PartitionId, Checkpoint, SignedCheckpoint)>),
    /// The signer's memory and this log disagree: it was rolled back or forked.
    RolledBack(PartitionId, String),
    /// The signer went down or came back.
    SignerChanged,
    /// Files of a policy bundle that somebody may load; they are kept, and nothing goes by them yet.
    Bundle(Box<conductor_policies::Bundle>, oneshot::Sender<Result<(), String>>),
    /// Health asks for a row, to see that it is made durable.
    Probe(oneshot::Sender<Result<(), String>>),
    /// A sink has delivered what lay before a place.
    Sink(Box<SinkMoved>, oneshot::Sender<Result<(), String>>),
    /// Creates tenants without a command: bootstrap on the node itself, and benches.
    CreateTenants(Vec<(TenantUid, Ident)>, oneshot::Sender<Result<(), String>>),
}

impl WriterRequest {
    /// An operation of a workload.
    pub fn work(
        scope: TenantScope,
        op: WorkloadOp,
        once: Option<Idempotency>,
        reply: oneshot::Sender<Reply>,
    ) -> Self {
        Self::Workload { scope, op, once, tries: 0, reply }
    }

    /// The partition whose queue it waits in. What a person is denied waits in the node's: no tenant's queue fills by it.
    pub fn lane(&self) -> PartitionId {
        match self {
            Self::Unscoped(u, _) if u.person.is_some() => PartitionId::NODE,
            _ => self.partition(),
        }
    }

    /// The partition that it is about.
    pub fn partition(&self) -> PartitionId {
        match self {
            Self::Workload { scope, .. } => scope.partition(),
            Self::Unscoped(u, _) => u.log,
            Self::Command(p, ..) | Self::Approval(p, ..) => *p,
            Self::Sink(m, _) => m.partition,
            _ => PartitionId::NODE,
        }
    }

    /// True for what may change control state.
    pub fn changes(&self) -> bool {
        matches!(self, Self::Command(..) | Self::Approval(..) | Self::Signed(..))
    }
}
