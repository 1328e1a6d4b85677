//! From screen to screen, and from row to row. Pure.

use super::incidents;
use crate::model::message::{Effect, Fetch};
use crate::model::receipts::Detail;
use crate::model::screen::Screen;
use crate::model::tenants::RowKey;
use crate::model::{Model, lists};
use conductor_shared::ids::TenantUid;

pub(crate) fn go(m: &mut Model, s: Screen) {
    m.screens.clear();
    m.screens.push(s);
    m.lists.top();
    if s == Screen::Receipts && m.receipts.key.is_none() {
        let node = RowKey { agent: m.agent, tenant: TenantUid::NODE };
        let key = m.tenants.selected.unwrap_or(node);
        m.receipts.turn_to(key);
    }
}

pub(crate) fn receipts_of(m: &mut Model, key: RowKey) {
    m.receipts.turn_to(key);
    m.screens.push(Screen::Receipts);
}

/// Goes `by` main screens further.
pub(crate) fn next_screen(m: &mut Model, by: usize) {
    let at = Screen::MAIN.iter().position(|s| Some(s) == m.screens.first()).unwrap_or(0);
    go(m, Screen::MAIN[(at + by) % Screen::MAIN.len()]);
}

pub(crate) fn filter(m: &mut Model, text: &str) {
    match m.screen() {
        Screen::Receipts => m.receipts.set_filter(text),
        s if s.is_polled() => m.lists.set_filter(s, text),
        _ => m.tenants.set_filter(text, m.now.mono),
    }
}

pub(crate) fn step(m: &mut Model, by: isize, out: &mut Vec<Effect>) {
    match m.screen() {
        Screen::Overview => {
            let last = m.agents.len().saturating_sub(1);
            m.agent = m.agent.saturating_add_signed(by).min(last);
        }
        Screen::Tenants => m.tenants.step(by),
        Screen::Receipts => {
            m.receipts.step(by);
            if by < 0
                && m.receipts.place() == Some(0)
                && let Some(key) = m.receipts.key
                && let Some((from, limit)) = m.receipts.older()
            {
                m.receipts.busy = true;
                m.receipts.asked = m.now.mono;
                out.push(Effect::Fetch(Fetch::Receipts { key, from, limit }));
            }
        }
        Screen::Receipt => {
            let by = i16::try_from(by.clamp(-1000, 1000)).unwrap_or(0);
            m.receipts.scroll = m.receipts.scroll.saturating_add_signed(by).min(200);
        }
        Screen::Approvals => m.approvals.cursor.step(by, m.approvals.rows.len()),
        Screen::Tenant => {}
        _ => {
            let rows = lists::rows(m);
            m.lists.cursor.step(by, rows);
        }
    }
}

pub(crate) fn enter(m: &mut Model, out: &mut Vec<Effect>) {
    match m.screen() {
        Screen::Overview => {
            if let Some(a) = m.agents.get(m.agent) {
                let words = if m.agents.len() > 1 { format!("@{}", a.name()) } else { String::new() };
                m.tenants.set_filter(&words, m.now.mono);
            }
            m.screens.push(Screen::Tenants);
        }
        Screen::Incidents => incidents::open_timeline(m),
        Screen::Ramps | Screen::Usage | Screen::Cost if m.subject().is_some() => {
            m.screens.push(Screen::Tenant);
        }
        Screen::Tenants if m.tenants.place().is_some() => m.screens.push(Screen::Tenant),
        Screen::Receipts => {
            if let Some((key, index)) = m.receipts.key.zip(m.receipts.selected_row().map(|r| r.index)) {
                m.receipts.detail = Some((index, Detail::Loading));
                m.receipts.scroll = 0;
                let node = m.agent_of(key).and_then(|a| a.info.as_ref()).map(|i| i.node_id);
                let signer = node.and_then(|n| m.pins.signer_of(n)).cloned();
                out.push(Effect::Fetch(Fetch::Proof { key, index, signer }));
                m.screens.push(Screen::Receipt);
            }
        }
        _ => {}
    }
}

pub(crate) fn back(m: &mut Model, out: &mut Vec<Effect>, quit: bool) {
    if m.screens.len() > 1 {
        if m.screens.pop() == Some(Screen::Timeline) {
            m.lists.back_to_list();
        }
    } else if quit {
        out.push(Effect::Quit);
    } else if matches!(m.screen(), Screen::Tenants | Screen::Receipts) {
        filter(m, "");
    }
}

pub(crate) fn copy(m: &mut Model, out: &mut Vec<Effect>) {
    let text = match m.screen() {
        Screen::Overview => {
            m.agents.get(m.agent).and_then(|a| a.info.as_ref()).map(|i| i.node_id.to_string())
        }
        Screen::Approvals => m.approvals.selected().map(|w| w.row.command_id.to_string()),
        Screen::Incidents => lists::incident(m).map(|(_, r)| r.incident.clone()),
        Screen::Timeline => m.lists.timeline.as_ref().map(|t| t.0.tenant.to_string()),
        Screen::Freezes => None,
        Screen::Admin => lists::persons(m).get(m.lists.cursor.place).map(|(id, _)| id.to_string()),
        Screen::Tenants | Screen::Tenant | Screen::Ramps | Screen::Usage | Screen::Cost => {
            m.tenants.selected.map(|k| k.tenant.to_string())
        }
        Screen::Receipts | Screen::Receipt => {
            m.receipts.origin.zip(m.receipts.selected).map(|(o, i)| format!("{o} {i}"))
        }
    };
    if let Some(t) = text {
        m.say(format!("Copied {t}"));
        out.push(Effect::Copy(t));
    }
}
