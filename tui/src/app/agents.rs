//! What the stream of an agent does to the model, and which logs are compared with their pins when. Pure.

use super::model::{Agent, Link, Model, OPEN};
use super::msg::{AgentMsg, Effect};
use super::tenants::RowKey;
use crate::client::known::KnownNode;
use crate::client::pins::{Checked, Seen};
use conductor_shared::control::At;
use conductor_shared::http::NodeInfo;
use conductor_shared::ids::{Origin, TenantUid};
use conductor_shared::stream::Summary;

/// Log checks of one agent are this far apart at least, microseconds.
const CHECK_US: u64 = 250_000;
/// Rows looked at in one tick when going round.
const ROUND: usize = 256;

/// Takes a message of an agent's stream.
pub(crate) fn update(m: &mut Model, agent: usize, msg: AgentMsg, out: &mut Vec<Effect>) {
    let now = m.now;
    let a = &mut m.agents[agent];
    if !matches!(msg, AgentMsg::Connecting | AgentMsg::Lost { .. }) {
        a.seen_us = Some(now.mono_us);
    }
    match msg {
        AgentMsg::Connecting => {
            // A lost agent stays lost on the screen, with its date, until it answers.
            if a.seen_us.is_none() {
                a.link = Link::Connecting;
            }
        }
        AgentMsg::Session { person, roles } => a.session = Some((person, roles)),
        AgentMsg::Hello { info, version, resumed } => hello(m, agent, info, version, resumed, out),
        AgentMsg::OverviewBegin(n) => {
            a.overview = (n, 0);
        }
        AgentMsg::OverviewEnd => {
            a.complete = true;
            if let Some(info) = &a.info {
                let rows =
                    (0..m.tenants.total()).filter_map(|n| m.tenants.nth(n)).filter(|r| r.key.agent == agent);
                let tenants = rows.map(|r| (r.key.tenant, r.summary.name.clone())).collect();
                let (node_id, name, seen_us) = (info.node_id, info.name.clone(), info.now_us);
                out.push(Effect::Remember(agent, Box::new(KnownNode { node_id, name, seen_us, tenants })));
            }
        }
        AgentMsg::Summaries(batch) => summaries(m, agent, batch),
        AgentMsg::Health(h) => {
            (a.clock_us, a.their_us) = (now.mono_us, h.now_us);
            let tenths = |r: f64| {
                // Rates are small and never negative.
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let n = (r.clamp(0.0, 6_000.0) * 10.0) as u64;
                n
            };
            a.spark.add(now.mono_us, tenths(h.allow_rate), tenths(h.deny_rate));
            a.health = Some(*h);
        }
        AgentMsg::State { tenant, state } => {
            if a.open.contains(&tenant) {
                a.states.insert(tenant, *state);
                if tenant.is_node() {
                    signer(m, agent);
                }
            }
        }
        AgentMsg::Fact { tenant, receipt } => {
            if let Some(state) = a.states.get_mut(&tenant) {
                let fact = crate::client::facts::read(&receipt);
                let at = At { index: receipt.index, time_us: receipt.time_us };
                // What the state already holds is not folded twice.
                if state.last.is_none_or(|l| l < at.index) {
                    state.apply_receipt(at, receipt.kind, fact.as_ref());
                }
                m.dirty = true;
                if tenant.is_node() {
                    signer(m, agent);
                }
            }
        }
        AgentMsg::Resync { tenant } => match tenant {
            Some(t) => drop(a.states.remove(&t)),
            None => a.states.clear(),
        },
        AgentMsg::Lost { why, retry_us } => {
            a.link = Link::Lost { why, retry_at_us: now.mono_us.saturating_add(retry_us) };
            a.checking = false;
        }
    }
}

fn hello(m: &mut Model, agent: usize, info: NodeInfo, version: u32, resumed: bool, out: &mut Vec<Effect>) {
    let now = m.now;
    let a = &mut m.agents[agent];
    let other = a.info.as_ref().filter(|i| i.node_id != info.node_id).map(|i| i.name.to_string());
    (a.link, a.protocol) = (Link::Live, Some(version));
    (a.clock_us, a.their_us) = (now.mono_us, info.now_us);
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
        m.tenants.forget(agent, now.mono_us);
        m.alarm(subject, format!("another node answers here than before; it was {other}"), false);
    }
    super::outgoing::back(m, node, out);
    // What was open is opened again by the stream's task; the node's own log always is.
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
            match m.pins.see(origin, s.size, s.root, m.now.wall_us) {
                Seen::Forked(what) => alarms.push((s.clone(), what)),
                Seen::Epoch(o) if o.epoch > origin.epoch => {
                    let what =
                        format!("it is back at epoch {}; epoch {} was seen before", origin.epoch, o.epoch);
                    alarms.push((s.clone(), what));
                }
                Seen::New | Seen::Same | Seen::Longer | Seen::Epoch(_) => {}
            }
        }
    }
    m.tenants.apply(agent, m.now.mono_us, batch);
    for (s, what) in alarms {
        forked(m, RowKey { agent, tenant: s.tenant }, &what);
    }
}

/// The node's signer key is pinned when first seen; another one later is an alarm.
fn signer(m: &mut Model, agent: usize) {
    let a = &m.agents[agent];
    let Some(info) = &a.info else { return };
    let Some(key) = a.states.get(&TenantUid::NODE).and_then(|s| s.signer_key.clone()) else { return };
    let (node, subject) = (info.node_id, info.name.to_string());
    if !m.pins.signer(node, &key) {
        m.alarm(subject, "its signer has another key than the one seen before".into(), false);
    }
}

fn subject(m: &Model, key: RowKey) -> String {
    let node = m.agent_of(key).map_or("", Agent::name);
    match m.tenants.get(key) {
        Some(r) => format!("{} on {node}", r.summary.name),
        None => format!("the node log of {node}"),
    }
}

fn forked(m: &mut Model, key: RowKey, what: &str) {
    if let Some(row) = m.tenants.get_mut(key) {
        if row.forked {
            return;
        }
        row.forked = true;
    }
    let subject = subject(m, key);
    m.alarm(subject, format!("its log forked or shrank: {what}"), false);
}

/// Opens a partition unless it is open; the one opened longest ago makes room, the node's own never.
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

/// Asks for consistency proofs: opened tenants and the node's log first, then round all others, one at a time.
pub(crate) fn check_logs(m: &mut Model, out: &mut Vec<Effect>) {
    for agent in 0..m.agents.len() {
        let a = &m.agents[agent];
        let due = m.now.mono_us.saturating_sub(a.checked_us) >= CHECK_US;
        if !a.fresh(m.now) || a.checking || !due {
            continue;
        }
        if let Some(e) = next_check(m, agent) {
            let a = &mut m.agents[agent];
            (a.checking, a.checked_us) = (true, m.now.mono_us);
            out.push(e);
        }
    }
}

fn next_check(m: &mut Model, agent: usize) -> Option<Effect> {
    let node = m.agents[agent].info.as_ref()?.node_id;
    // Every fourth check goes to the others even while the opened logs grow.
    let turn = m.agents[agent].proofs % 4;
    if turn != 3 {
        let open = m.agents[agent].open.clone();
        let opened = open.iter().cycle().skip(usize::try_from(turn).unwrap_or(0)).take(open.len());
        for t in opened {
            if let Some(e) = check(m, RowKey { agent, tenant: *t }, node) {
                return Some(e);
            }
        }
    }
    for _ in 0..ROUND.min(m.tenants.total()) {
        let at = m.agents[agent].round % m.tenants.total().max(1);
        m.agents[agent].round = at + 1;
        let key = m.tenants.nth(at)?.key;
        if key.agent == agent
            && let Some(e) = check(m, key, node)
        {
            return Some(e);
        }
    }
    m.agents[agent].proofs += u64::from(turn == 3);
    None
}

fn check(m: &Model, key: RowKey, node: conductor_shared::ids::NodeId) -> Option<Effect> {
    let signer = m.pins.signer_of(node).cloned();
    let effect = |origin, size, pin, before| {
        Some(Effect::CheckLog { agent: key.agent, origin, size, pin, before, signer: signer.clone() })
    };
    let Some(row) = m.tenants.get(key) else {
        // The node's log has no summary: its head is asked for, at most every 5 s.
        let origin = Origin { node, tenant: TenantUid::NODE, epoch: 1 };
        let pin = m.pins.get(&origin).cloned();
        let recent = pin.as_ref().is_some_and(|p| m.now.wall_us.saturating_sub(p.seen_us) < 5_000_000);
        let due = key.tenant.is_node() && !recent;
        return due.then(|| effect(origin, 0, pin, None)).flatten();
    };
    if row.forked {
        return None;
    }
    let s = &row.summary;
    let origin = Origin { node, tenant: s.tenant, epoch: u64::from(s.epoch) };
    match m.pins.get(&origin) {
        Some(p) if p.size < s.size => effect(origin, s.size, Some(p.clone()), None),
        Some(_) => None,
        None => {
            let old = Origin { epoch: origin.epoch.checked_sub(1)?, ..origin };
            let pin = m.pins.get(&old)?.clone();
            effect(origin, s.size, None, Some((old, pin)))
        }
    }
}

/// A log was compared with its pin.
pub(crate) fn log_checked(m: &mut Model, agent: usize, origin: Origin, got: Result<Checked, String>) {
    let Some(a) = m.agents.get_mut(agent) else { return };
    (a.checking, a.proofs) = (false, a.proofs + 1);
    let key = RowKey { agent, tenant: origin.tenant };
    match got {
        // Not asked is not answered: it comes round again.
        Err(_) => {}
        Ok(Checked::Grew(pin)) => m.pins.put(origin, pin),
        Ok(Checked::Forked(what)) => forked(m, key, &what),
        Ok(Checked::Restored(pin, words)) => {
            m.pins.put(origin, pin);
            let subject = subject(m, key);
            m.alarm(subject, format!("restored: {words}"), true);
        }
    }
}
