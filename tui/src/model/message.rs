//! What happens to the model, and what the model wants done. Neither side does I/O.

use crate::client::event::AgentEvent;
use crate::client::node_cache::CachedNode;
use crate::client::pins::{Checked, Pin};
use crate::model::confirmation::ConfirmedAction;
use crate::model::outgoing::Outgoing;
use crate::model::tenants::RowKey;
use crate::model::usage_cost::{Choice, CostShown, UsageShown};
use conductor_shared::clock::Now;
use conductor_shared::command::Operation;
use conductor_shared::http::{
    CommandOutcome, FreezeList, IncidentRow, Preview, ReceiptBundle, ReceiptPage, RequestRow, SloStatus,
    TimelineRow,
};
use conductor_shared::ids::{NodeId, Origin};
use conductor_shared::verify::Report;
use crossterm::event::{KeyEvent, MouseEvent};
use zeroize::Zeroizing;

/// Something happened.
#[derive(Debug)]
pub(crate) enum Msg {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse.
    Mouse(MouseEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has this many columns and rows now.
    Resize(u16, u16),
    /// Time passes. Sent several times a second; draws only when something shown changes.
    Tick(Now),
    /// The terminal was ours again after a suspension.
    Resumed,
    /// From the stream of one agent.
    Agent(usize, AgentEvent),
    /// What an effect brought back.
    Reply(Reply),
}

impl From<Reply> for Msg {
    fn from(r: Reply) -> Self {
        Self::Reply(r)
    }
}

/// What an effect brought back.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Receipts arrived.
    Receipts(RowKey, Result<ReceiptPage, String>),
    /// What waits for a second person on a node.
    Requests(usize, Result<Vec<RequestRow>, String>),
    /// Open incidents of a node.
    Incidents(usize, Result<Vec<IncidentRow>, String>),
    /// Profiles, windows and what is frozen on a node.
    Freezes(usize, Result<Box<FreezeList>, String>),
    /// What is seen under a tenant's ramps.
    Slo(RowKey, Result<Vec<SloStatus>, String>),
    /// What happened in a log from a time on.
    Timeline(RowKey, u64, Result<Vec<TimelineRow>, String>),
    /// Usage of a tenant in one of the periods.
    Usage(RowKey, Choice, Result<Box<UsageShown>, String>),
    /// Cost of a tenant in one of the periods.
    Cost(RowKey, Choice, Result<Box<CostShown>, String>),
    /// A file was written, or not.
    Exported(Result<String, String>),
    /// A receipt with its proof, and what verifying it here gave.
    Proof(RowKey, u64, Result<Box<(ReceiptBundle, Report)>, String>),
    /// A preview arrived.
    Preview(u64, Result<Preview, String>),
    /// A command was answered.
    Answered(u64, Result<CommandOutcome, Refusal>),
    /// A command was kept for nodes that did not answer.
    OnItsWay(u64, Box<Outgoing>),
    /// All commands on their way.
    Outgoing(Vec<Outgoing>),
    /// The key was unlocked, or not.
    Unlocked(Result<KeyInfo, String>),
    /// The password typed for one command was checked.
    Checked(Result<(), String>),
    /// A log was compared with its pin.
    Log(usize, Origin, Result<Checked, String>),
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What happened.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) remedy: String,
    /// The answer never came: it may have been carried out.
    pub(crate) unknown: bool,
}

/// The operator's key, as far as the screen may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyInfo {
    /// Minisign key id.
    pub(crate) id: String,
    /// It has a password, to be typed again before anything is loosened.
    pub(crate) encrypted: bool,
}

/// Something to be done by the loop.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Leave.
    Quit,
    /// Stop the process until it is continued.
    Suspend,
    /// Forget the key, and what is open with it.
    Lock,
    /// Put text on the clipboard of the person's terminal (OSC 52).
    Copy(String),
    /// Ask the agent for state and facts of a partition.
    Open(RowKey),
    /// No longer.
    Close(RowKey),
    /// Unlock the key once more, sign an approval or a refusal with it, and send that.
    Approve {
        /// Comes back with the answer.
        ticket: u64,
        /// Where.
        agent: usize,
        /// The exact text that is signed.
        text: String,
        /// The key's password; none where it has none.
        password: Option<Secret>,
    },
    /// Unlock the key, off the screen's thread.
    Unlock(Secret),
    /// Check the password again, off the screen's thread.
    Check(Secret),
    /// Sign and send what was confirmed.
    Send {
        /// Comes back with the answer.
        ticket: u64,
        /// What.
        action: ConfirmedAction,
    },
    /// Remember which tenants an agent's node holds, for the day when it cannot be reached.
    Remember(usize, Box<CachedNode>),
    /// Deliver what waits for these nodes.
    Deliver(Vec<NodeId>),
    /// Stop waiting for an answer; the command itself goes on.
    Forget(u64),
    /// Write the pins.
    SavePins(String),
    /// Read from an agent.
    Fetch(Fetch),
}

/// What is read from an agent; it comes back as a [`Reply`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fetch {
    /// Receipts from an index; negative counts from the end.
    Receipts {
        /// Whose.
        key: RowKey,
        /// From.
        from: i128,
        /// At most.
        limit: u64,
    },
    /// What waits for a second person.
    Requests(usize),
    /// Open incidents of a node.
    Incidents(usize),
    /// Profiles, windows and what is frozen on a node.
    Freezes(usize),
    /// What is seen under a tenant's ramps.
    Slo(RowKey),
    /// What happened in a log from a time on, microseconds since the Unix epoch.
    Timeline(RowKey, u64),
    /// Usage of a tenant in one of the periods.
    Usage(RowKey, Choice),
    /// Cost of a tenant in one of the periods.
    Cost(RowKey, Choice),
    /// Write usage or cost of a tenant in one of the periods to a new file; with its name.
    Export(RowKey, &'static str, Choice, String),
    /// A receipt with its proof and verify it.
    Proof {
        /// Whose.
        key: RowKey,
        /// Which.
        index: u64,
        /// The pinned signer key of the node, if any.
        signer: Option<String>,
    },
    /// Class, base and blast radius.
    Preview {
        /// Comes back with the answer.
        ticket: u64,
        /// Where.
        key: RowKey,
        /// Of what.
        operation: Operation,
    },
    /// Compare a log with its pin.
    CheckLog {
        /// Where.
        agent: usize,
        /// The log as it is said to be now.
        origin: Origin,
        /// What was seen before; `None` for an older epoch's successor without a pin of its own.
        pin: Option<Pin>,
        /// The pin of the epoch before, when the epoch changed.
        before: Option<(Origin, Pin)>,
        /// The pinned signer key of the node, if any.
        signer: Option<String>,
    },
}

/// A password on its way to the key. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}
