//! Schedules the comparison of logs with their pins. Pure.

use super::agents::{forked, subject};
use crate::client::pins::Checked;
use crate::model::Model;
use crate::model::agent::Unproved;
use crate::model::message::{Effect, Fetch};
use crate::model::tenants::RowKey;
use crate::text::format::span;
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
    // Every fourth check is for the other logs, even while the open ones grow; every other one of those is for a log that
    // was not proved.
    let proofs = m.agents[agent].proofs;
    let turn = proofs % 4;
    if turn != 3 {
        let open = m.agents[agent].open.clone();
        let opened = open.iter().cycle().skip(usize::try_from(turn).unwrap_or(0)).take(open.len());
        for t in opened {
            if let Some(e) = check(m, RowKey { agent, tenant: *t }, node) {
                return Some(e);
            }
        }
    }
    let found = if proofs % 8 == 7 {
        once_more(m, agent, node).or_else(|| grown(m, agent, node))
    } else {
        grown(m, agent, node).or_else(|| once_more(m, agent, node))
    };
    m.agents[agent].proofs += u64::from(found.is_none() && turn == 3);
    found
}

/// The next log, round robin, that is longer than its pin.
fn grown(m: &mut Model, agent: usize, node: NodeId) -> Option<Effect> {
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
    None
}

/// Asks again for the proof that was missing and not asked for the longest.
fn once_more(m: &mut Model, agent: usize, node: NodeId) -> Option<Effect> {
    let oldest = m.agents[agent].unproved.iter().min_by_key(|(_, u)| u.tried)?;
    let key = RowKey { agent, tenant: *oldest.0 };
    let effect = check(m, key, node);
    let now = m.now.mono;
    if effect.is_none() && !key.tenant.is_node() {
        // There is nothing left to prove, or nobody to ask.
        m.agents[agent].unproved.remove(&key.tenant);
    } else if let Some(u) = m.agents[agent].unproved.get_mut(&key.tenant) {
        u.tried = now;
    }
    effect
}

fn check(m: &Model, key: RowKey, node: NodeId) -> Option<Effect> {
    let signer = m.pins.signer_of(node).cloned();
    let shown = m.tenants.get(key).map_or(0, |r| r.summary.size);
    let effect = |origin, pin, before| {
        let signer = signer.clone();
        Some(Effect::Fetch(Fetch::CheckLog { agent: key.agent, origin, shown, pin, before, signer }))
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
            let (old, pin) = m.pins.epoch_before(origin)?;
            effect(origin, None, Some((old, pin.clone())))
        }
    }
}

/// A log was compared with its pin.
pub(crate) fn checked(m: &mut Model, agent: usize, origin: Origin, got: Result<Checked, String>) {
    let Some(a) = m.agents.get_mut(agent) else { return };
    (a.checking, a.proofs) = (false, a.proofs + 1);
    let key = RowKey { agent, tenant: origin.tenant };
    if got.is_ok() {
        a.unproved.remove(&origin.tenant);
        a.unproved_told &= !a.unproved.is_empty();
    }
    match got {
        Err(why) => unproved(m, key, why),
        Ok(Checked::Grew(pin)) => m.pins.put(origin, pin),
        Ok(Checked::Forked(what)) => forked(m, key, &what),
        Ok(Checked::Restored(pin, words)) => {
            m.pins.put(origin, pin);
            let subject = subject(m, key);
            m.alarm(subject, format!("restored: {words}"), true);
        }
        Ok(Checked::Unproved(pin, words)) => {
            m.pins.put(origin, pin);
            let subject = subject(m, key);
            m.alarm(subject, words, false);
        }
    }
}

/// A log was not proved. An error proves nothing, and the log comes round again; no proof for a while is an alarm.
fn unproved(m: &mut Model, key: RowKey, why: String) {
    let now = m.now;
    let Some(a) = m.agents.get_mut(key.agent) else { return };
    let new = || Unproved { since: now.mono, tried: now.mono, tries: 0, why: String::new() };
    let u = a.unproved.entry(key.tenant).or_insert_with(new);
    u.tries = u.tries.saturating_add(1);
    u.why = why;
    m.dirty = true;
    if !u.overdue(now) || a.unproved_told {
        return;
    }
    let what = format!("no proof that its log only grew, for {} now: {}", span(now.mono - u.since), u.why);
    a.unproved_told = true;
    let subject = subject(m, key);
    m.alarm(subject, what, false);
}

/// Pins were written. What other consoles saw counts here too.
pub(crate) fn saved(m: &mut Model, got: crate::model::message::SavedPins) {
    let Ok((pins, mut forks)) = got else {
        // They are written again later.
        m.pins.changed = true;
        return;
    };
    forks.extend(m.pins.merge(*pins));
    for (origin, what) in forks {
        let agent = m.agents.iter().position(|a| a.info.as_ref().is_some_and(|i| i.node_id == origin.node));
        match agent {
            Some(agent) => forked(m, RowKey { agent, tenant: origin.tenant }, &what),
            None => m.alarm(format!("the log {origin}"), what, false),
        }
    }
}
