//! The one function that changes the model. Pure: what is to be done comes back as effects.

use super::dialog::{Layer, Notice, Radius};
use super::layout;
use super::model::{Key, Link, Model, Screen};
use super::msg::{AgentMsg, Effect, KeyInfo, Msg, Refusal};
use super::outgoing::{self, Outgoing};
use super::receipts::Detail;
use super::tenants::RowKey;
use super::{agents, approvals, approve, boards, input_keys, loosen};
use conductor_shared::clock::Now;
use conductor_shared::fact::ChangeClass;
use conductor_shared::http::{CommandOutcome, CommandStatus};

/// How often the node's own log is asked for news while it is shown, microseconds.
const NODE_LOG_US: u64 = 2_000_000;
/// How often pins are written, microseconds.
const SAVE_US: u64 = 15_000_000;

/// Takes a message; gives what is to be done.
pub(crate) fn update(m: &mut Model, msg: Msg) -> Vec<Effect> {
    let mut out = vec![];
    match msg {
        Msg::Key(key) => {
            m.dirty = true;
            input_keys::key(m, key, &mut out);
        }
        Msg::Mouse(e) => input_keys::mouse(m, e),
        Msg::Paste(text) => {
            m.dirty = true;
            input_keys::paste(m, &text);
        }
        Msg::Resize(w, h) => {
            m.size = (w, h);
            m.dirty = true;
        }
        Msg::Tick(now) => tick(m, now, &mut out),
        Msg::Resumed => (m.dirty, m.clear) = (true, true),
        Msg::Agent(agent, msg) if agent < m.agents.len() => {
            // A frame costs most; what nobody sees does not cause one.
            m.dirty |= !matches!(&msg, AgentMsg::Fact { .. });
            agents::update(m, agent, msg, &mut out);
        }
        Msg::Agent(..) => {}
        Msg::Receipts(key, page) => receipts(m, key, page),
        Msg::Requests(agent, got) => {
            m.approvals.take(agent, got);
            m.dirty = true;
        }
        Msg::Incidents(agent, got) => {
            if let Some(list) = m.boards.told(agent, got) {
                // While its timeline is shown the mark is a row of that.
                if m.screen() == Screen::Incidents {
                    m.boards.remember_mark();
                    m.boards.take_incidents(agent, list);
                } else {
                    m.boards.incidents.insert(agent, list);
                }
            }
            m.dirty = true;
        }
        Msg::Freezes(agent, got) => {
            if let Some(list) = m.boards.told(agent, got) {
                m.boards.freezes.insert(agent, *list);
            }
            m.dirty = true;
        }
        Msg::Slo(key, got) => {
            if let Some(list) = m.boards.told(key.agent, got) {
                m.boards.slo = Some((key, list));
            }
            m.dirty = true;
        }
        Msg::Usage(key, range, got) => {
            if let Some(shown) = m.boards.told(key.agent, got) {
                m.metered.usage = Some((key, range, m.now.mono_us, shown));
            }
            m.dirty = true;
        }
        Msg::Cost(key, range, got) => {
            if let Some(shown) = m.boards.told(key.agent, got) {
                m.metered.cost = Some((key, range, m.now.mono_us, shown));
            }
            m.dirty = true;
        }
        Msg::Exported(got) => match got {
            Ok(file) => m.say(format!("Written to {file}")),
            Err(e) => m.say(format!("Not written: {e}")),
        },
        Msg::Timeline(key, from, got) => {
            let told = m.boards.told(key.agent, got);
            if let (Some(list), Some(t)) = (told, &mut m.boards.timeline)
                && (t.0, t.1) == (key, from)
            {
                t.2 = Some(list);
            }
            m.dirty = true;
        }
        Msg::Proof(key, index, got) => {
            if m.receipts.key == Some(key) && m.receipts.detail.as_ref().is_some_and(|(i, _)| *i == index) {
                let d = got.map_or_else(Detail::Failed, Detail::Ready);
                m.receipts.detail = Some((index, d));
                m.dirty = true;
            }
        }
        Msg::Preview(ticket, got) => loosen::preview(m, ticket, got),
        Msg::OnItsWay(ticket, o) => on_its_way(m, ticket, *o),
        Msg::Outgoing(list) => outgoing::take(m, list),
        Msg::Answered(ticket, got) => answered(m, ticket, &got),
        Msg::Unlocked(got) => unlocked(m, got),
        Msg::Checked(got) => loosen::checked(m, got, &mut out),
        Msg::Log(agent, origin, got) => agents::log_checked(m, agent, origin, got),
    }
    follow_selection(m, &mut out);
    m.tenants.reveal(if matches!(m.screen(), Screen::Tenants) { layout::page(m) } else { 1 });
    if m.screen() == Screen::Receipts {
        m.receipts.reveal(layout::page(m));
    }
    m.approvals.reveal(layout::page(m));
    let (page, rows) = (layout::page(m), boards::rows(m));
    m.boards.reveal(page, rows);
    out
}

/// The selected tenant's partition is opened, so that its state is there when it is needed.
fn follow_selection(m: &mut Model, out: &mut Vec<Effect>) {
    let Some(key) = m.subject() else { return };
    agents::open(m, key, out);
}

fn tick(m: &mut Model, now: Now, out: &mut Vec<Effect>) {
    m.now = now;
    if m.flash.as_ref().is_some_and(|f| f.until_us <= now.mono_us) {
        m.flash = None;
        m.dirty = true;
    }
    loosen::tick(m, out);
    agents::check_logs(m, out);
    tail(m, out);
    approvals::tick(m, out);
    boards::tick(m, out);
    outgoing::tick(m, out);
    approve::tick(m);
    if m.pins.changed && now.mono_us.saturating_sub(m.saved_us) > SAVE_US {
        m.saved_us = now.mono_us;
        m.pins.changed = false;
        out.push(Effect::SavePins(m.pins.text()));
    }
    let ages = ages(m);
    if ages != m.ages {
        m.ages = ages;
        m.dirty = true;
    }
}

/// What clocks on the screen read, as one number: a tick that changes none of them draws nothing.
fn ages(m: &Model) -> u64 {
    let secs = |us: u64| us / 1_000_000;
    let mut n = 0u64;
    let mut mix = |x: u64| n = n.wrapping_mul(31).wrapping_add(x);
    for a in &m.agents {
        let age = a.age_us(m.now).map_or(0, secs);
        // Under two seconds the screen says "live" and nothing moves.
        mix(if age < 2 { 0 } else { age });
        if let Link::Lost { retry_at_us, .. } = &a.link {
            mix(secs(retry_at_us.saturating_sub(m.now.mono_us)));
        }
        mix(u64::from(a.fresh(m.now)));
        // Sparklines move on by a slot, while there is anything in them.
        if a.fresh(m.now)
            && m.screen() != Screen::Receipts
            && a.spark.last(m.now.mono_us, 32).iter().any(|c| *c != (0, 0))
        {
            mix(m.now.mono_us / super::spark::SLOT_US);
        }
    }
    for l in &m.layers {
        match l {
            Layer::Waiting(w) => mix(secs(m.now.mono_us.saturating_sub(w.since_us))),
            Layer::Loosen(l) => {
                if let Radius::Ready(_, at) = &l.radius {
                    mix(secs(m.now.mono_us.saturating_sub(*at)));
                }
            }
            _ => {}
        }
    }
    n
}

/// Asks for receipts when the log that is shown grew.
fn tail(m: &mut Model, out: &mut Vec<Effect>) {
    if !matches!(m.screen(), Screen::Receipts | Screen::Receipt) {
        return;
    }
    let Some(key) = m.receipts.key else { return };
    if m.agent_of(key).is_none_or(|a| a.link != Link::Live) {
        m.receipts.busy = false;
        return;
    }
    let waited = m.now.mono_us.saturating_sub(m.receipts.asked_us);
    if m.receipts.busy && waited > 15_000_000 {
        m.receipts.busy = false;
    }
    let ask = match m.tenants.get(key) {
        Some(row) => m.receipts.missing(row.summary.size.max(m.receipts.size)),
        // The node's own log has no summary: it is asked from time to time.
        None if m.receipts.rows.is_empty() => m.receipts.missing(1),
        None => m.receipts.missing(m.receipts.next() + u64::from(waited > NODE_LOG_US)),
    };
    // After an error it is not asked again at once.
    let ask = ask.filter(|_| m.receipts.error.is_none() || waited > 3_000_000);
    if let Some((from, limit)) = ask {
        (m.receipts.busy, m.receipts.asked_us) = (true, m.now.mono_us);
        out.push(Effect::Receipts { key, from, limit });
    }
}

fn receipts(m: &mut Model, key: RowKey, page: Result<conductor_shared::http::ReceiptPage, String>) {
    if m.receipts.key != Some(key) {
        return;
    }
    m.receipts.busy = false;
    m.dirty = true;
    match page {
        Ok(p) => {
            m.receipts.error = None;
            m.receipts.answered_us = Some(m.now.mono_us);
            m.receipts.take(p);
        }
        Err(e) => m.receipts.error = Some(e),
    }
}

fn unlocked(m: &mut Model, got: Result<KeyInfo, String>) {
    m.dirty = true;
    match got {
        Ok(info) => {
            m.key = Key::Unlocked(info);
            m.layers.retain(|l| !matches!(l, Layer::Unlock(_)));
        }
        Err(e) => {
            for l in &mut m.layers {
                if let Layer::Unlock(u) = l {
                    u.busy = false;
                    u.password.clear();
                    u.error = Some(e.clone());
                }
            }
        }
    }
}

fn answered(m: &mut Model, ticket: u64, got: &Result<CommandOutcome, Refusal>) {
    tell(m, ticket, notice(got));
}

/// All nodes answered, or it is kept for those that did not.
fn on_its_way(m: &mut Model, ticket: u64, o: Outgoing) {
    let mut lines = vec![o.what.clone()];
    lines.extend(o.lines());
    if !o.waiting().is_empty() {
        lines.push(format!(
            "Kept until {}Z; delivered when they are back.",
            crate::view::format::clock(o.expires_us)
        ));
        lines.push("Also without the console: conductor command deliver --wait".into());
    }
    tell(m, ticket, Notice { title: o.told.clone(), lines, good: !o.open(m.now.wall_us) });
    m.outgoing.retain(|x| x.id != o.id);
    m.outgoing.push(o);
}

/// In the dialog that waited for it, else in the line at the bottom.
fn tell(m: &mut Model, ticket: u64, notice: Notice) {
    let waited = m.layers.iter().position(|l| matches!(l, Layer::Waiting(w) if w.ticket == ticket));
    m.dirty = true;
    let Some(at) = waited else {
        // Nobody waits any more; say it in the line at the bottom.
        m.say(format!("{}: {}", notice.title, notice.lines.first().cloned().unwrap_or_default()));
        return;
    };
    m.layers.remove(at);
    m.layers.push(Layer::Notice(notice));
}

fn notice(got: &Result<CommandOutcome, Refusal>) -> Notice {
    match got {
        Ok(o) if o.status == CommandStatus::Effective => Notice {
            title: "Done".into(),
            lines: vec![
                format!(
                    "{} -> {}",
                    super::action::object_words(&o.before),
                    super::action::object_words(&o.after)
                ),
                format!(
                    "{}, receipt {}{}",
                    if o.class == ChangeClass::Tighten { "tightened" } else { "loosened" },
                    o.receipt.index,
                    o.proposal.map_or(String::new(), |p| format!(", proposed in {}", p.index))
                ),
            ],
            good: true,
        },
        Ok(o) if o.status == CommandStatus::Requested => Notice {
            title: "Waits for another person".into(),
            lines: vec![
                "Nothing has changed yet. Another person approves it with:".into(),
                format!("conductor approval give {}", o.command_id),
                format!("receipt {}", o.receipt.index),
            ],
            good: true,
        },
        Ok(o) => {
            let mut lines = vec!["It was abandoned: nothing was loosened.".to_owned()];
            lines.extend(o.reasons.iter().map(|r| format!("{r}: {} {}", r.description().trim(), r.remedy())));
            lines.push(format!("receipt {}", o.receipt.index));
            Notice { title: "Not done".into(), lines, good: false }
        }
        Err(r) => Notice {
            title: if r.unknown { "No answer" } else { "Refused" }.into(),
            lines: vec![r.what.clone(), r.mend.clone()].into_iter().filter(|l| !l.is_empty()).collect(),
            good: false,
        },
    }
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
