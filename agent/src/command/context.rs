//! What the writer must know to evaluate a command.

use crate::partition::cuts::Cut;
use crate::policy::Policy;
use conductor_shared::clock::WallTime;
use conductor_shared::command::MAX_LIFE;
use conductor_shared::control::ControlState;
use conductor_shared::fail_closed::Outage;
use conductor_shared::ids::NodeId;
use std::collections::BTreeSet;
use std::time::Duration;

/// Clocks of console and agent may differ by this much.
pub const SKEW: Duration = Duration::from_secs(60);

/// Whether what was signed for this time may count now. It is remembered for as long as it may, so that has an end.
pub(super) fn may_count((issued_at_us, expires_at_us): (u64, u64), now: WallTime) -> bool {
    let (issued_at, expires_at) = (WallTime::from_micros(issued_at_us), WallTime::from_micros(expires_at_us));
    let life = expires_at - issued_at;
    issued_at <= now + SKEW && expires_at > now && !life.is_zero() && life <= MAX_LIFE
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant 3: what is signed is good for a day at most, and not for a time to come.
    #[test]
    fn what_is_signed_counts_so_long() {
        let now = WallTime::from_micros(1_800_000_000_000_000);
        let second = Duration::from_secs(1);
        let counts = |issued: WallTime, life: Duration| {
            may_count((issued.as_micros(), (issued + life).as_micros()), now)
        };
        assert!(counts(now, MAX_LIFE) && counts(now + SKEW, second) && counts(now - second, second * 2));
        for (issued, life) in [
            (now, MAX_LIFE + second),
            (now, Duration::ZERO),
            (now + SKEW + second, second),
            (now - second, second),
        ] {
            assert!(!counts(issued, life), "{issued:?} {life:?}");
        }
    }
}
