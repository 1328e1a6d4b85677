//! Pending commands: their results, and when the console tries again. Pure.

use crate::model::Model;
use crate::model::agent::Link;
use crate::model::message::Effect;
use crate::model::outgoing::Outgoing;
use conductor_shared::ids::NodeId;
use std::time::Duration;

/// Interval of retries to a live node that has not taken a command.
const AGAIN: Duration = Duration::from_secs(15);

/// Takes the pending commands. Reports a command when its last node has answered.
pub(crate) fn take(m: &mut Model, now: Vec<Outgoing>) {
    let done = |o: &&Outgoing| o.waiting().is_empty();
    let before = std::mem::replace(&mut m.outgoing, now);
    let news = m
        .outgoing
        .iter()
        .filter(done)
        .find(|o| before.iter().any(|b| b.id == o.id && !b.waiting().is_empty()));
    if let Some(o) = news {
        let text = format!("{}: {}", o.what, o.status_line);
        m.say(text);
    }
    m.dirty = true;
}

/// Delivers pending commands to live nodes, and retries until they are taken.
pub(crate) fn tick(m: &mut Model, out: &mut Vec<Effect>) {
    if m.read_only || m.now.mono - m.delivered < AGAIN {
        return;
    }
    let live =
        m.agents.iter().filter(|a| a.link == Link::Live).filter_map(|a| Some(a.info.as_ref()?.node_id));
    let wanted: Vec<NodeId> =
        live.filter(|n| m.outgoing.iter().any(|o| o.expires > m.now.wall && o.waits_for(*n))).collect();
    if !wanted.is_empty() {
        m.delivered = m.now.mono;
        out.push(Effect::Deliver(wanted));
    }
}

/// A node said hello.
pub(crate) fn node_is_back(m: &mut Model, node: NodeId, out: &mut Vec<Effect>) {
    if m.read_only {
        return;
    }
    m.delivered = m.now.mono;
    out.push(Effect::Deliver(vec![node]));
}
