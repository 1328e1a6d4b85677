//! Decoded events of an agent's stream.

use conductor_shared::control::ControlState;
use conductor_shared::http::{NodeInfo, ReceiptJson};
use conductor_shared::ids::TenantUid;
use conductor_shared::stream::{NodeHealth, Summary};
use std::time::Duration;

/// An event of an agent's stream.
#[derive(Debug)]
pub(crate) enum AgentEvent {
    Connecting,
    /// A session was opened for this person.
    Session {
        person: String,
        /// Roles on the node.
        roles: Vec<String>,
    },
    /// The agent said who it is.
    Hello {
        info: NodeInfo,
        /// Version of its protocol.
        version: u32,
        /// The stream continues where the console left off.
        resumed: bool,
    },
    /// So many summaries follow.
    OverviewBegin(u64),
    OverviewEnd,
    /// Any number of summaries, newest of each tenant.
    Summaries(Vec<Summary>),
    Health(Box<NodeHealth>),
    /// State of an opened partition.
    State {
        tenant: TenantUid,
        state: Box<ControlState>,
    },
    /// A control fact of an opened partition.
    Fact {
        tenant: TenantUid,
        receipt: Box<ReceiptJson>,
    },
    /// States will be sent again.
    Resync {
        /// Which; all when `None`.
        tenant: Option<TenantUid>,
    },
    /// The connection is gone.
    Lost {
        /// Why the connection ended, escaped.
        why: String,
        /// When the next try is due, from now.
        retry: Duration,
    },
}
