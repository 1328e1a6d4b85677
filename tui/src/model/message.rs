//! Messages to the model, and effects that it asks for. Neither side does I/O.

use crate::client::event::AgentEvent;
use crate::client::node_cache::CachedNode;
use crate::client::pins::{Checked, Pin, Pins};
use crate::model::confirmation::ConfirmedAction;
use crate::model::outgoing::Outgoing;
use crate::model::receipts::Proved;
use crate::model::tenants::RowKey;
use crate::model::usage_cost::{Choice, CostShown, UsageShown};
use conductor_shared::clock::{Now, WallTime};
use conductor_shared::command::Operation;
use conductor_shared::http::{
    CommandOutcome, FreezeList, IncidentRow, Preview, ReceiptPage, RequestRow, SloStatus, TimelineRow,
};
use conductor_shared::ids::{NodeId, Origin};
use crossterm::event::{KeyEvent, MouseEvent};
use zeroize::Zeroizing;

#[derive(Debug)]
pub(crate) enum Msg {
    /// A key was pressed.
    Key(KeyEvent),
    Mouse(MouseEvent),
    Paste(String),
    /// New size of the terminal: columns and rows.
    Resize(u16, u16),
    /// Time passes. Sent several times a second; redraws only when something visible changes.
    Tick(Now),
    /// The process continues after a suspension.
    Resumed,
    /// From the stream of one agent.
    Agent(usize, AgentEvent),
    /// Result of an effect.
    Reply(Reply),
}

impl From<Reply> for Msg {
    fn from(r: Reply) -> Self {
        Self::Reply(r)
    }
}

/// Pins as they stand in the file now, and what contradicts them.
pub(crate) type SavedPins = std::io::Result<(Box<Pins>, Vec<(Origin, String)>)>;

/// Result of an effect.
#[derive(Debug)]
pub(crate) enum Reply {
    Receipts(RowKey, Result<ReceiptPage, String>),
    /// Requests that wait for a second person on a node.
    Requests(usize, Result<Vec<RequestRow>, String>),
    /// Open incidents of a node.
    Incidents(usize, Result<Vec<IncidentRow>, String>),
    /// Profiles, windows and what is frozen on a node.
    Freezes(usize, Result<Box<FreezeList>, String>),
    /// SLO status of a tenant's ramps.
    Slo(RowKey, Result<Vec<SloStatus>, String>),
    /// The timeline of a log from a time on.
    Timeline(RowKey, WallTime, Result<Vec<TimelineRow>, String>),
    /// Usage of a tenant in one of the periods.
    Usage(RowKey, Choice, Result<Box<UsageShown>, String>),
    /// Cost of a tenant in one of the periods.
    Cost(RowKey, Choice, Result<Box<CostShown>, String>),
    /// A file was written, or not.
    Exported(Result<String, String>),
    /// A receipt that came with its proof.
    Proof(RowKey, u64, Result<Box<Proved>, String>),
    Preview(u64, Result<Preview, String>),
    /// A command was answered.
    Answered(u64, Result<CommandOutcome, Refusal>),
    /// A command was kept for nodes that did not answer.
    Kept(u64, Box<Outgoing>),
    Outgoing(Vec<Outgoing>),
    /// The key was unlocked, or not.
    Unlocked(Result<KeyInfo, String>),
    /// The password typed for one command was checked.
    Checked(Result<(), String>),
    /// Pins were written, merged with those of other consoles; with what contradicts them.
    Pins(SavedPins),
    /// A log was compared with its pin.
    Log(usize, Origin, Result<Checked, String>),
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) remedy: String,
    /// No answer came: the command may have taken effect.
    pub(crate) unknown: bool,
}

/// What the screen may know of the operator's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyInfo {
    pub(crate) id: String,
    /// It has a password, to be typed again before anything is loosened.
    pub(crate) encrypted: bool,
}

/// Work for the loop.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    Quit,
    /// Stop the process until it is continued.
    Suspend,
    /// Forget the key and close the sessions opened with it.
    Lock,
    /// Put text on the clipboard of the person's terminal (OSC 52).
    Copy(String),
    /// Subscribe to state and facts of a partition.
    Open(RowKey),
    Close(RowKey),
    /// Unlock the key once more, sign an approval or a refusal with it, and send that.
    Approve {
        /// Comes back with the answer.
        ticket: u64,
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
        action: ConfirmedAction,
    },
    /// Cache which tenants an agent's node holds, for when it cannot be reached.
    Remember(usize, Box<CachedNode>),
    /// Deliver pending commands to these nodes.
    Deliver(Vec<NodeId>),
    /// Stop waiting for an answer; the command itself goes on.
    Forget(u64),
    SavePins(Box<Pins>),
    /// Read from an agent.
    Fetch(Fetch),
}

/// What is read from an agent; it comes back as a [`Reply`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fetch {
    /// Receipts from an index; negative counts from the end.
    Receipts { key: RowKey, from: i128, limit: u64 },
    /// Requests that wait for a second person.
    Requests(usize),
    /// Open incidents of a node.
    Incidents(usize),
    /// Profiles, windows and what is frozen on a node.
    Freezes(usize),
    /// SLO status of a tenant's ramps.
    Slo(RowKey),
    /// The timeline of a log from a time on.
    Timeline(RowKey, WallTime),
    /// Usage of a tenant in one of the periods.
    Usage(RowKey, Choice),
    /// Cost of a tenant in one of the periods.
    Cost(RowKey, Choice),
    /// Write usage or cost of a tenant in one of the periods to a new file; with its name.
    Export(RowKey, &'static str, Choice, String),
    /// A receipt with its proof, verified here.
    Proof {
        key: RowKey,
        index: u64,
        /// The pinned signer key of the node, if any.
        signer: Option<String>,
    },
    /// Class, base and blast radius.
    Preview {
        /// Comes back with the answer.
        ticket: u64,
        key: RowKey,
        operation: Operation,
    },
    /// Compare a log with its pin.
    CheckLog {
        agent: usize,
        /// The log as its summary describes it.
        origin: Origin,
        /// Entries that it is said to have: the head has no fewer.
        shown: u64,
        /// What was seen before; `None` for an older epoch's successor without a pin of its own.
        pin: Option<Pin>,
        /// The pin of the epoch before, when the epoch changed.
        before: Option<(Origin, Pin)>,
        /// The pinned signer key of the node, if any.
        signer: Option<String>,
    },
}

/// A password for the key. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}
