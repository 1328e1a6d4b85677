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
    /// It is in force there.
    Acknowledged(String),
    /// It is on record there and not in force, or nobody knows: what is so.
    Open(&'static str),
    Waits,
    /// Refused by the node, with the reason.
    Refused(String),
}

impl NodeAnswer {
    /// What came of it is not known for good.
    fn is_open(&self) -> bool {
        matches!(self, Self::Waits | Self::Open(_))
    }
}

impl Outgoing {
    /// From the stored command.
    pub(crate) fn of(c: &Command, k: &KeptCommand) -> Self {
        let word = |s: &State| match s {
            State::Acknowledged { receipt } => NodeAnswer::Acknowledged(format!("receipt {}", receipt.index)),
            State::Requested { .. } => NodeAnswer::Open("waits for another person to approve it"),
            State::Delivered => NodeAnswer::Open("on record; what came of it is not known yet"),
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

    /// A node that has not told what came of it, for good.
    pub(crate) fn waits_for(&self, node: NodeId) -> bool {
        self.nodes.iter().any(|n| n.0 == node && n.2.is_open())
    }

    /// It needs attention: some node has not answered, or refused, or waits for another person.
    pub(crate) fn open(&self, now: WallTime) -> bool {
        let bad = |a: &NodeAnswer| matches!(a, NodeAnswer::Refused(_)) || a.is_open();
        self.expires > now && self.nodes.iter().any(|n| bad(&n.2))
    }

    /// One line for the answer of each node.
    pub(crate) fn lines(&self) -> Vec<String> {
        let each = self.nodes.iter().map(|(_, name, w)| match w {
            NodeAnswer::Acknowledged(at) => format!("{name}: acknowledged, {at}"),
            NodeAnswer::Waits => format!("{name}: not reached yet"),
            NodeAnswer::Open(what) => format!("{name}: {what}"),
            NodeAnswer::Refused(why) => format!("{name}: refused, {why}"),
        });
        each.collect()
    }
}
