//! Takes the replies of effects. Pure.

use super::dialogs::loosen;
use super::{key_lock, log_checks, notices, outgoing};
use crate::model::Model;
use crate::model::message::{Effect, Reply};
use crate::model::receipts::{Detail, Proved};
use crate::model::screen::Screen;
use crate::model::tenants::RowKey;
use conductor_shared::clock::WallTime;
use conductor_shared::http::{IncidentRow, ReceiptPage, TimelineRow};

pub(crate) fn take(m: &mut Model, reply: Reply, out: &mut Vec<Effect>) {
    // These decide themselves whether something visible changed.
    m.dirty |= !matches!(reply, Reply::Receipts(..) | Reply::Proof(..) | Reply::Log(..));
    let now = m.now.mono;
    match reply {
        Reply::Receipts(key, page) => receipts(m, key, page),
        Reply::Requests(agent, got) => m.approvals.take(agent, got),
        Reply::Incidents(agent, got) => incidents(m, agent, got),
        Reply::Freezes(agent, got) => {
            if let Some(list) = m.lists.reply(agent, got) {
                m.lists.freezes.insert(agent, *list);
            }
        }
        Reply::Slo(key, got) => {
            if let Some(list) = m.lists.reply(key.agent, got) {
                m.lists.slo = Some((key, list));
            }
        }
        Reply::Usage(key, range, got) => {
            if let Some(shown) = m.lists.reply(key.agent, got) {
                m.usage_cost.usage = Some((key, range, now, shown));
            }
        }
        Reply::Cost(key, range, got) => {
            if let Some(shown) = m.lists.reply(key.agent, got) {
                m.usage_cost.cost = Some((key, range, now, shown));
            }
        }
        Reply::Exported(Ok(file)) => m.say(format!("Written to {file}")),
        Reply::Exported(Err(e)) => m.say(format!("Not written: {e}")),
        Reply::Timeline(key, from, got) => timeline(m, key, from, got),
        Reply::Proof(key, index, got) => proof(m, key, index, got),
        Reply::Preview(ticket, got) => loosen::preview(m, ticket, got),
        Reply::Kept(ticket, o) => notices::kept(m, ticket, *o),
        Reply::Outgoing(list) => outgoing::take(m, list),
        Reply::Answered(ticket, got) => notices::answered(m, ticket, &got),
        Reply::Unlocked(got) => key_lock::unlocked(m, got),
        Reply::Checked(got) => loosen::checked(m, got, out),
        Reply::Pins(got) => log_checks::saved(m, got),
        Reply::Log(agent, origin, got) => log_checks::checked(m, agent, origin, got),
    }
}

fn incidents(m: &mut Model, agent: usize, got: Result<Vec<IncidentRow>, String>) {
    let Some(list) = m.lists.reply(agent, got) else { return };
    // While a timeline is shown the cursor is in the timeline.
    if m.screen() == Screen::Incidents {
        m.lists.remember_mark();
        m.lists.take_incidents(agent, list);
    } else {
        m.lists.incidents.insert(agent, list);
    }
}

fn timeline(m: &mut Model, key: RowKey, from: WallTime, got: Result<Vec<TimelineRow>, String>) {
    let rows = m.lists.reply(key.agent, got);
    if let (Some(rows), Some(t)) = (rows, &mut m.lists.timeline)
        && (t.0, t.1) == (key, from)
    {
        t.2 = Some(rows);
    }
}

fn receipts(m: &mut Model, key: RowKey, page: Result<ReceiptPage, String>) {
    if m.receipts.key != Some(key) {
        return;
    }
    m.receipts.busy = false;
    m.dirty = true;
    match page {
        Ok(p) => {
            m.receipts.error = None;
            m.receipts.answered = Some(m.now.mono);
            m.receipts.take(p);
        }
        Err(e) => m.receipts.error = Some(e),
    }
}

fn proof(m: &mut Model, key: RowKey, index: u64, got: Result<Box<Proved>, String>) {
    if m.receipts.key == Some(key) && m.receipts.detail.as_ref().is_some_and(|(i, _)| *i == index) {
        let detail = got.map_or_else(Detail::Failed, Detail::Ready);
        m.receipts.detail = Some((index, detail));
        m.dirty = true;
    }
}
