//! Commands on their way: what the console shows of them, and when it tries again. Pure.

use super::model::{Link, Model};
use super::msg::Effect;
use crate::client::outbox::{Kept, State};
use crate::view::format::safe;
use conductor_shared::command::Command;
use conductor_shared::ids::{CommandId, NodeId};

/// Between attempts at a node that answers and has not taken a command, microseconds.
const AGAIN_US: u64 = 15_000_000;

/// A command on its way, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// Which.
    pub(crate) id: CommandId,
    /// What it does, and to which tenant.
    pub(crate) what: String,
    /// `3 of 5 nodes acknowledged`
    pub(crate) told: String,
    /// Each node with what it made of the command, shown safely.
    pub(crate) nodes: Vec<(NodeId, String, Word)>,
    /// When nobody takes it any more, microseconds since the Unix epoch.
    pub(crate) expires_us: u64,
}

/// What a node made of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// It is on record there.
    Acknowledged(String),
    /// Not answered yet.
    Waits,
    /// No, and why.
    Refused(String),
}

impl Outgoing {
    /// From what is kept.
    pub(crate) fn of(c: &Command, k: &Kept) -> Self {
        let word = |s: &State| match s {
            State::Acknowledged { receipt: Some(r), .. } => {
                Word::Acknowledged(format!("receipt {}", r.index))
            }
            State::Acknowledged { receipt: None, .. } => Word::Acknowledged("delivered before".into()),
            State::Waiting { .. } => Word::Waits,
            State::Refused { why, .. } => Word::Refused(safe(why, 120)),
        };
        Self {
            id: c.command_id,
            what: format!("{} for {}", c.operation.sentence(), safe(&k.tenant, 63)),
            told: k.told(),
            nodes: k.nodes.iter().map(|n| (n.node_id, n.name.to_string(), word(&n.state))).collect(),
            expires_us: c.expires_at_us,
        }
    }

    /// Names of nodes that have not answered.
    pub(crate) fn waiting(&self) -> Vec<&str> {
        self.nodes.iter().filter(|n| n.2 == Word::Waits).map(|n| n.1.as_str()).collect()
    }

    fn waits_for(&self, node: NodeId) -> bool {
        self.nodes.iter().any(|n| n.0 == node && n.2 == Word::Waits)
    }

    /// It still asks for attention: some node has not answered, or said no.
    pub(crate) fn open(&self, now_us: u64) -> bool {
        let refused = self.nodes.iter().any(|n| matches!(n.2, Word::Refused(_)));
        self.expires_us > now_us && (refused || !self.waiting().is_empty())
    }

    /// What each node made of it, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let each = self.nodes.iter().map(|(_, name, w)| match w {
            Word::Acknowledged(at) => format!("{name}: acknowledged, {at}"),
            Word::Waits => format!("{name}: not reached yet"),
            Word::Refused(why) => format!("{name}: refused, {why}"),
        });
        each.collect()
    }
}

/// What is on its way now. Says so when the last node of a command has answered.
pub(crate) fn take(m: &mut Model, now: Vec<Outgoing>) {
    let done = |o: &&Outgoing| o.waiting().is_empty();
    let before = std::mem::replace(&mut m.outgoing, now);
    let news = m
        .outgoing
        .iter()
        .filter(done)
        .find(|o| before.iter().any(|b| b.id == o.id && !b.waiting().is_empty()));
    if let Some(o) = news {
        let text = format!("{}: {}", o.what, o.told);
        m.say(text);
    }
    m.dirty = true;
}

/// A node answers: what waits for it is delivered, and tried again while it is not taken.
pub(crate) fn tick(m: &mut Model, out: &mut Vec<Effect>) {
    if m.read_only || m.now.mono_us.saturating_sub(m.delivered_us) < AGAIN_US {
        return;
    }
    let live =
        m.agents.iter().filter(|a| a.link == Link::Live).filter_map(|a| Some(a.info.as_ref()?.node_id));
    let wanted: Vec<NodeId> =
        live.filter(|n| m.outgoing.iter().any(|o| o.expires_us > m.now.wall_us && o.waits_for(*n))).collect();
    if !wanted.is_empty() {
        m.delivered_us = m.now.mono_us;
        out.push(Effect::Deliver(wanted));
    }
}

/// A node said hello.
pub(crate) fn back(m: &mut Model, node: NodeId, out: &mut Vec<Effect>) {
    if m.read_only {
        return;
    }
    m.delivered_us = m.now.mono_us;
    out.push(Effect::Deliver(vec![node]));
}
