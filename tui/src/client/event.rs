//! What the stream of one agent says, decoded.

use conductor_shared::control::ControlState;
use conductor_shared::http::{NodeInfo, ReceiptJson};
use conductor_shared::ids::TenantUid;
use conductor_shared::stream::{NodeHealth, Summary};

/// From the stream of one agent.
#[derive(Debug)]
pub(crate) enum AgentEvent {
    /// Trying.
    Connecting,
    /// A session was opened for this person.
    Session {
        /// Short name.
        person: String,
        /// Roles on the node.
        roles: Vec<String>,
    },
    /// The agent said who it is.
    Hello {
        /// Who.
        info: NodeInfo,
        /// Version of its protocol.
        version: u32,
        /// Goes on from where the console left off.
        resumed: bool,
    },
    /// So many summaries follow.
    OverviewBegin(u64),
    /// They are complete.
    OverviewEnd,
    /// Any number of summaries, newest of each tenant.
    Summaries(Vec<Summary>),
    /// Health.
    Health(Box<NodeHealth>),
    /// State of an opened partition.
    State {
        /// Which.
        tenant: TenantUid,
        /// The state.
        state: Box<ControlState>,
    },
    /// A control fact of an opened partition.
    Fact {
        /// Which.
        tenant: TenantUid,
        /// The receipt.
        receipt: Box<ReceiptJson>,
    },
    /// States will come anew.
    Resync {
        /// Which; all when `None`.
        tenant: Option<TenantUid>,
    },
    /// The connection is gone.
    Lost {
        /// Why, shown safely.
        why: String,
        /// When the next try is due, microseconds from now.
        retry_us: u64,
    },
}
