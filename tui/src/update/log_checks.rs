//! Schedules the comparison of logs with their pins. Pure.

use super::agents::{forked, subject};
use crate::client::pins::Checked;
use crate::model::Model;
use crate::model::message::{Effect, Fetch};
use crate::model::tenants::RowKey;
use conductor_shared::ids::{NodeId, Origin, TenantUid};
use std::time::Duration;

/// Shortest interval between two log checks of one agent.
const CHECK: Duration = Duration::from_millis(250);
/// Rows visited in one tick of the round robin.
const ROUND: usize = 256;

/// Requests consistency proofs: open tenants and the node's log first, then all others round robin, one at a time.
pub(crate) fn tick(m: &mut Model, out: &mut Vec<Effect>) {
    for agent in 0..m.agents.len() {
        let a = &m.agents[agent];
        let due = m.now.mono - a.checked >= CHECK;
        if !a.fresh(m.now) || a.checking || !due {
            continue;
        }
        if let Some(e) = next_check(m, agent) {
            let a = &mut m.agents[agent];
            (a.checking, a.checked) = (true, m.now.mono);
            out.push(e);
        }
    }
}

fn next_check(m: &mut Model, agent: usize) -> Option<Effect> {
    let node = m.agents[agent].info.as_ref()?.node_id;
    // Every fourth check is for the other logs, even while the open ones grow.
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

fn check(m: &Model, key: RowKey, node: NodeId) -> Option<Effect> {
    let signer = m.pins.signer_of(node).cloned();
    let effect = |origin, pin, before| {
        Some(Effect::Fetch(Fetch::CheckLog { agent: key.agent, origin, pin, before, signer: signer.clone() }))
    };
    let Some(row) = m.tenants.get(key) else {
        // The node's log has no summary: its head is asked for, at most every 5 s.
        let origin = Origin { node, tenant: TenantUid::NODE, epoch: 1 };
        let pin = m.pins.get(&origin).cloned();
        let recent = pin.as_ref().is_some_and(|p| m.now.wall - p.seen < Duration::from_secs(5));
        let due = key.tenant.is_node() && !recent;
        return due.then(|| effect(origin, pin, None)).flatten();
    };
    if row.forked {
        return None;
    }
    let s = &row.summary;
    let origin = Origin { node, tenant: s.tenant, epoch: u64::from(s.epoch) };
    match m.pins.get(&origin) {
        Some(p) if p.size < s.size => effect(origin, Some(p.clone()), None),
        Some(_) => None,
        None => {
            let old = Origin { epoch: origin.epoch.checked_sub(1)?, ..origin };
            let pin = m.pins.get(&old)?.clone();
            effect(origin, None, Some((old, pin)))
        }
    }
}

/// A log was compared with its pin.
pub(crate) fn checked(m: &mut Model, agent: usize, origin: Origin, got: Result<Checked, String>) {
    let Some(a) = m.agents.get_mut(agent) else { return };
    (a.checking, a.proofs) = (false, a.proofs + 1);
    let key = RowKey { agent, tenant: origin.tenant };
    match got {
        // An error proves nothing: the log comes round again.
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
