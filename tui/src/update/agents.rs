//! Applies the events of an agent's stream to the model. Pure.

use super::outgoing;
use crate::client::decode;
use crate::client::event::AgentEvent;
use crate::client::node_cache::CachedNode;
use crate::client::pins::LogChange;
use crate::model::Model;
use crate::model::agent::{Agent, Link, OPEN};
use crate::model::message::Effect;
use crate::model::tenants::RowKey;
use conductor_shared::clock::{Now, WallTime};
use conductor_shared::control::At;
use conductor_shared::http::{NodeInfo, ReceiptJson};
use conductor_shared::ids::{Origin, TenantUid};
use conductor_shared::stream::{NodeHealth, Summary};

/// Takes a message of an agent's stream.
pub(crate) fn update(m: &mut Model, agent: usize, msg: AgentEvent, out: &mut Vec<Effect>) {
    let now = m.now;
    let a = &mut m.agents[agent];
    if !matches!(msg, AgentEvent::Connecting | AgentEvent::Lost { .. }) {
        a.seen = Some(now.mono);
    }
    match msg {
        AgentEvent::Connecting => {
            // A lost agent stays lost on the screen, with its age, until it answers.
            if a.seen.is_none() {
                a.link = Link::Connecting;
            }
        }
        AgentEvent::Session { person, roles } => a.session = Some((person, roles)),
        AgentEvent::Hello { info, version, resumed } => hello(m, agent, info, version, resumed, out),
        AgentEvent::OverviewBegin(n) => {
            a.overview = (n, 0);
        }
        AgentEvent::OverviewEnd => overview_end(m, agent, out),
        AgentEvent::Summaries(batch) => summaries(m, agent, batch),
        AgentEvent::Health(h) => health(a, now, *h),
        AgentEvent::State { tenant, state } => {
            if a.open.contains(&tenant) {
                a.states.insert(tenant, *state);
                if tenant.is_node() {
                    signer(m, agent);
                }
            }
        }
        AgentEvent::Fact { tenant, receipt } => fact(m, agent, tenant, &receipt),
        AgentEvent::Resync { tenant } => match tenant {
            Some(t) => drop(a.states.remove(&t)),
            None => a.states.clear(),
        },
        AgentEvent::Lost { why, retry } => {
            a.link = Link::Lost { why, retry_at: now.mono + retry };
            a.checking = false;
        }
    }
}

/// The overview is complete: caches which tenants the node holds.
fn overview_end(m: &mut Model, agent: usize, out: &mut Vec<Effect>) {
    let a = &mut m.agents[agent];
    a.complete = true;
    let Some(info) = &a.info else { return };
    let rows = (0..m.tenants.total()).filter_map(|n| m.tenants.nth(n)).filter(|r| r.key.agent == agent);
    let tenants = rows.map(|r| (r.key.tenant, r.summary.name.clone())).collect();
    let (node_id, name, seen) = (info.node_id, info.name.clone(), WallTime::from_micros(info.now_us));
    out.push(Effect::Remember(agent, Box::new(CachedNode { node_id, name, seen, tenants })));
}

fn health(a: &mut Agent, now: Now, h: NodeHealth) {
    (a.clock, a.theirs) = (now.mono, WallTime::from_micros(h.now_us));
    let tenths = |r: f64| {
        // Rates are small and never negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let n = (r.clamp(0.0, 6_000.0) * 10.0) as u64;
        n
    };
    a.spark.add(now.mono, tenths(h.allow_rate), tenths(h.deny_rate));
    a.health = Some(h);
}

fn fact(m: &mut Model, agent: usize, tenant: TenantUid, receipt: &ReceiptJson) {
    let Some(state) = m.agents[agent].states.get_mut(&tenant) else { return };
    let at = At { index: receipt.index, time_us: receipt.time_us };
    // Facts that the state already holds are not applied twice.
    if state.last.is_none_or(|l| l < at.index) {
        // What does not fit marks the state as not fully understood, and that is shown.
        let _ = state.apply_receipt(at, receipt.kind, decode::fact(receipt).as_ref());
    }
    m.dirty = true;
    if tenant.is_node() {
        signer(m, agent);
    }
}

fn hello(m: &mut Model, agent: usize, info: NodeInfo, version: u32, resumed: bool, out: &mut Vec<Effect>) {
    let now = m.now;
    let a = &mut m.agents[agent];
    let other = a.info.as_ref().filter(|i| i.node_id != info.node_id).map(|i| i.name.to_string());
    (a.link, a.protocol) = (Link::Live, Some(version));
    (a.clock, a.theirs) = (now.mono, WallTime::from_micros(info.now_us));
    let words = format!("{} {}", info.name, info.environment);
    if m.tenants.agent_words.len() <= agent {
        m.tenants.agent_words.resize(agent + 1, String::new());
    }
    m.tenants.agent_words[agent] = words;
    if !resumed || other.is_some() {
        a.states.clear();
    }
    let subject = format!("{} ({})", info.name, a.endpoint);
    let node = info.node_id;
    a.info = Some(info);
    if let Some(other) = other {
        a.open.clear();
        a.health = None;
        a.unproved.clear();
        a.unproved_told = false;
        m.tenants.forget(agent, now.mono);
        m.alarm(subject, format!("another node answers here than before; it was {other}"), false);
    }
    outgoing::node_is_back(m, node, out);
    // The stream's task opens the other partitions again.
    open(m, RowKey { agent, tenant: TenantUid::NODE }, out);
}

fn summaries(m: &mut Model, agent: usize, batch: Vec<Summary>) {
    let a = &mut m.agents[agent];
    a.overview.1 += batch.len() as u64;
    let node = a.info.as_ref().map(|i| i.node_id);
    let mut alarms: Vec<(Summary, String)> = vec![];
    if let Some(node) = node {
        for s in &batch {
            let origin = Origin { node, tenant: s.tenant, epoch: u64::from(s.epoch) };
            match m.pins.compare(origin, s.size, s.root, m.now.wall) {
                LogChange::Forked(what) => alarms.push((s.clone(), what)),
                LogChange::Epoch(o) if o.epoch > origin.epoch => {
                    let what =
                        format!("it is back at epoch {}; epoch {} was seen before", origin.epoch, o.epoch);
                    alarms.push((s.clone(), what));
                }
                LogChange::New | LogChange::Same | LogChange::Longer | LogChange::Epoch(_) => {}
            }
        }
    }
    m.tenants.apply(agent, m.now.mono, batch);
    for (s, what) in alarms {
        forked(m, RowKey { agent, tenant: s.tenant }, &what);
    }
}

/// Pins the node's signer key when first seen; a different one later raises an alarm.
fn signer(m: &mut Model, agent: usize) {
    let a = &m.agents[agent];
    let Some(info) = &a.info else { return };
    let Some(key) = a.states.get(&TenantUid::NODE).and_then(|s| s.signer_key.clone()) else { return };
    let (node, subject) = (info.node_id, info.name.to_string());
    if !m.pins.signer(node, &key) {
        m.alarm(subject, "its signer has another key than the one seen before".into(), false);
    }
}

pub(crate) fn subject(m: &Model, key: RowKey) -> String {
    let node = m.agent_of(key).map_or("", Agent::name);
    match m.tenants.get(key) {
        Some(r) => format!("{} on {node}", r.summary.name),
        None => format!("the node log of {node}"),
    }
}

pub(crate) fn forked(m: &mut Model, key: RowKey, what: &str) {
    if let Some(row) = m.tenants.get_mut(key) {
        if row.forked {
            return;
        }
        row.forked = true;
    }
    let subject = subject(m, key);
    m.alarm(subject, format!("its log forked or shrank: {what}"), false);
}

/// Opens a partition. The oldest one is closed to make room, but never the node's own.
pub(crate) fn open(m: &mut Model, key: RowKey, out: &mut Vec<Effect>) {
    let Some(a) = m.agents.get_mut(key.agent) else { return };
    if a.link != Link::Live || a.open.contains(&key.tenant) {
        return;
    }
    if a.open.len() >= OPEN
        && let Some(at) = a.open.iter().position(|t| !t.is_node())
    {
        let old = a.open.remove(at);
        a.states.remove(&old);
        out.push(Effect::Close(RowKey { agent: key.agent, tenant: old }));
    }
    a.open.push(key.tenant);
    out.push(Effect::Open(key));
}
