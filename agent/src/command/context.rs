//! What the writer must know to evaluate a command.

use crate::policy::Policy;
use conductor_shared::clock::WallTime;
use conductor_shared::control::ControlState;
use conductor_shared::fail_closed::Outage;
use conductor_shared::ids::NodeId;
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
    /// Whoever asks has tightened so many tenants of late that one more takes a second person.
    pub over_limit: bool,
    /// How often whoever asks has opened break-glass alone today.
    pub alone_today: u64,
}
