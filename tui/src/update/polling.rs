//! Polling of agents for what the current screen shows. Pure.

use crate::model::agent::Link;
use crate::model::message::{Effect, Fetch};
use crate::model::screen::Screen;
use crate::model::{Model, usage_cost};
use std::time::Duration;

/// Interval of polling a list.
const LIST: Duration = Duration::from_secs(2);
/// Interval of polling the node's own log.
const NODE_LOG: Duration = Duration::from_secs(2);

/// Polls the approvals of all nodes while their screen is shown.
pub(crate) fn approvals(m: &mut Model, out: &mut Vec<Effect>) {
    if m.screen() != Screen::Approvals {
        m.approvals.asked = None;
        return;
    }
    let now = m.now.mono;
    if m.approvals.asked.is_some_and(|at| now - at < LIST) {
        return;
    }
    m.approvals.asked = Some(now);
    out.extend(
        (0..m.agents.len())
            .filter(|a| m.agents[*a].session.is_some())
            .map(|a| Effect::Fetch(Fetch::Requests(a))),
    );
}

/// Polls the list of the current screen.
pub(crate) fn lists(m: &mut Model, out: &mut Vec<Effect>) {
    let screen = m.screen();
    if !screen.is_polled() {
        m.lists.asked = None;
        return;
    }
    let now = m.now.mono;
    let every = if matches!(screen, Screen::Usage | Screen::Cost) { usage_cost::EVERY } else { LIST };
    if m.lists.asked.is_some_and(|(s, at)| s == screen && now - at < every) {
        return;
    }
    m.lists.asked = Some((screen, now));
    let agents: Vec<usize> = (0..m.agents.len()).filter(|a| m.agents[*a].session.is_some()).collect();
    match screen {
        Screen::Incidents => out.extend(agents.into_iter().map(|a| Effect::Fetch(Fetch::Incidents(a)))),
        Screen::Freezes => out.extend(agents.into_iter().map(|a| Effect::Fetch(Fetch::Freezes(a)))),
        Screen::Ramps => out
            .extend(m.subject().filter(|k| agents.contains(&k.agent)).map(|a| Effect::Fetch(Fetch::Slo(a)))),
        Screen::Usage | Screen::Cost => {
            let range = m.usage_cost.choice();
            let key = m.subject().filter(|k| agents.contains(&k.agent));
            out.extend(key.map(|k| match screen {
                Screen::Usage => Effect::Fetch(Fetch::Usage(k, range)),
                _ => Effect::Fetch(Fetch::Cost(k, range)),
            }));
        }
        Screen::Timeline => {
            out.extend(
                m.lists.timeline.as_ref().map(|(key, from, _)| Effect::Fetch(Fetch::Timeline(*key, *from))),
            );
        }
        _ => {}
    }
}

/// Fetches receipts when the shown log has grown.
pub(crate) fn receipts(m: &mut Model, out: &mut Vec<Effect>) {
    if !matches!(m.screen(), Screen::Receipts | Screen::Receipt) {
        return;
    }
    let Some(key) = m.receipts.key else { return };
    if m.agent_of(key).is_none_or(|a| a.link != Link::Live) {
        m.receipts.busy = false;
        return;
    }
    let waited = m.now.mono - m.receipts.asked;
    if m.receipts.busy && waited > Duration::from_secs(15) {
        m.receipts.busy = false;
    }
    let ask = match m.tenants.get(key) {
        Some(row) => m.receipts.missing(row.summary.size.max(m.receipts.size)),
        // The node's own log has no summary, so it is polled.
        None if m.receipts.rows.is_empty() => m.receipts.missing(1),
        None => m.receipts.missing(m.receipts.next() + u64::from(waited > NODE_LOG)),
    };
    // After an error it is not asked again at once.
    let ask = ask.filter(|_| m.receipts.error.is_none() || waited > Duration::from_secs(3));
    if let Some((from, limit)) = ask {
        (m.receipts.busy, m.receipts.asked) = (true, m.now.mono);
        out.push(Effect::Fetch(Fetch::Receipts { key, from, limit }));
    }
}
