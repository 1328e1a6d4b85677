//! Commands that some node has not answered, as the console shows them. Pure.

use crate::client::outbox::{KeptCommand, State};
use crate::text::wrap::safe;
use conductor_shared::clock::WallTime;
use conductor_shared::command::Command;
use conductor_shared::ids::{CommandId, NodeId};

/// A pending command, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) id: CommandId,
    /// What it does, and to which tenant.
    pub(crate) what: String,
    /// `3 of 5 nodes acknowledged`
    pub(crate) status_line: String,
    /// Each node with its answer, escaped.
    pub(crate) nodes: Vec<(NodeId, String, NodeAnswer)>,
    /// When it expires since the Unix epoch.
    pub(crate) expires: WallTime,
}

/// Answer of a node to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodeAnswer {
    /// It is on record there.
    Acknowledged(String),
    Waits,
    /// Refused by the node, with the reason.
    Refused(String),
}

impl Outgoing {
    /// From the stored command.
    pub(crate) fn of(c: &Command, k: &KeptCommand) -> Self {
        let word = |s: &State| match s {
            State::Acknowledged { receipt: Some(r), .. } => {
                NodeAnswer::Acknowledged(format!("receipt {}", r.index))
            }
            State::Acknowledged { receipt: None, .. } => NodeAnswer::Acknowledged("delivered before".into()),
            State::Waiting { .. } => NodeAnswer::Waits,
            State::Refused { why, .. } => NodeAnswer::Refused(safe(why, 120)),
        };
        Self {
            id: c.command_id,
            what: format!("{} for {}", c.operation.sentence(), safe(&k.tenant, 63)),
            status_line: k.status_line(),
            nodes: k.nodes.iter().map(|n| (n.node_id, n.name.to_string(), word(&n.state))).collect(),
            expires: WallTime::from_micros(c.expires_at_us),
        }
    }

    /// Names of nodes that have not answered.
    pub(crate) fn waiting(&self) -> Vec<&str> {
        self.nodes.iter().filter(|n| n.2 == NodeAnswer::Waits).map(|n| n.1.as_str()).collect()
    }

    pub(crate) fn waits_for(&self, node: NodeId) -> bool {
        self.nodes.iter().any(|n| n.0 == node && n.2 == NodeAnswer::Waits)
    }

    /// It needs attention: some node has not answered, or refused.
    pub(crate) fn open(&self, now: WallTime) -> bool {
        let refused = self.nodes.iter().any(|n| matches!(n.2, NodeAnswer::Refused(_)));
        self.expires > now && (refused || !self.waiting().is_empty())
    }

    /// One line for the answer of each node.
    pub(crate) fn lines(&self) -> Vec<String> {
        let each = self.nodes.iter().map(|(_, name, w)| match w {
            NodeAnswer::Acknowledged(at) => format!("{name}: acknowledged, {at}"),
            NodeAnswer::Waits => format!("{name}: not reached yet"),
            NodeAnswer::Refused(why) => format!("{name}: refused, {why}"),
        });
        each.collect()
    }
}
