//! What the writer must know to evaluate a command.

use crate::partition::cuts::Cut;
use crate::policy::Policy;
use conductor_shared::clock::WallTime;
use conductor_shared::control::ControlState;
use conductor_shared::fail_closed::Outage;
use conductor_shared::ids::NodeId;
use std::collections::BTreeSet;
use std::time::Duration;

/// Clocks of console and agent may differ by this much.
pub const SKEW: Duration = Duration::from_secs(60);

/// What the writer must know to evaluate a command.
pub struct EvalCtx<'a> {
    /// This node.
    pub here: NodeId,
    /// The node's control state.
    pub node: &'a ControlState,
    /// What is out.
    pub outage: Outage,
    /// The agent's time.
    pub now: WallTime,
    /// Size of the node's log.
    pub node_size: u64,
    /// What policy says.
    pub policy: &'a Policy,
    /// The node's log is not the one that was signed: who may do what, and what policy says, is not known to be so.
    pub node_doubted: bool,
    /// From whom whoever asks took something alone of late.
    pub cuts: BTreeSet<Cut>,
    /// From so many one person may take something in a while.
    pub most_cuts: usize,
    /// One more tenant may have a socket of its own.
    pub sockets_left: bool,
    /// How often whoever asks has opened break-glass alone today.
    pub alone_today: u64,
}
