//! The one function that changes the model. Pure: I/O is returned as effects.

mod actions;
mod agents;
mod commands;
pub(crate) mod dialogs;
mod dispatch;
pub(crate) mod incidents;
mod key_lock;
mod log_checks;
mod navigate;
mod notices;
pub(crate) mod outgoing;
mod pointer;
mod polling;
mod replies;
mod usage_cost;

pub(crate) use key_lock::ask_password;

use crate::client::event::AgentEvent;
use crate::model::agent::Link;
use crate::model::dialog::Layer;
use crate::model::dialog::loosen::Radius;
use crate::model::message::{Effect, Msg};
use crate::model::screen::Screen;
use crate::model::spark::slot_of;
use crate::model::{Model, layout, lists};
use conductor_shared::clock::Now;
use std::time::Duration;

/// How often pins are written.
const SAVE: Duration = Duration::from_secs(15);

/// Applies a message; returns the effects to run.
pub(crate) fn update(m: &mut Model, msg: Msg) -> Vec<Effect> {
    let mut out = vec![];
    match msg {
        Msg::Key(key) => {
            m.dirty = true;
            dispatch::key(m, key, &mut out);
        }
        Msg::Mouse(e) => pointer::mouse(m, e),
        Msg::Paste(text) => {
            m.dirty = true;
            pointer::paste(m, &text);
        }
        Msg::Resize(w, h) => {
            m.size = (w, h);
            m.dirty = true;
        }
        Msg::Tick(now) => tick(m, now, &mut out),
        Msg::Resumed => (m.dirty, m.clear) = (true, true),
        Msg::Agent(agent, msg) if agent < m.agents.len() => {
            // Drawing costs most: only visible changes cause a frame.
            m.dirty |= !matches!(&msg, AgentEvent::Fact { .. });
            agents::update(m, agent, msg, &mut out);
        }
        Msg::Agent(..) => {}
        Msg::Reply(reply) => replies::take(m, reply, &mut out),
    }
    follow_selection(m, &mut out);
    m.tenants.reveal(if matches!(m.screen(), Screen::Tenants) { layout::page(m) } else { 1 });
    if m.screen() == Screen::Receipts {
        m.receipts.reveal(layout::page(m));
    }
    let (page, rows) = (layout::page(m), lists::rows(m));
    m.approvals.cursor.reveal(page, m.approvals.rows.len());
    m.lists.cursor.reveal(page, rows);
    out
}

/// Opens the selected tenant's partition, so that its state is there when it is needed.
fn follow_selection(m: &mut Model, out: &mut Vec<Effect>) {
    let Some(key) = m.subject() else { return };
    agents::open(m, key, out);
}

fn tick(m: &mut Model, now: Now, out: &mut Vec<Effect>) {
    m.now = now;
    if m.flash.as_ref().is_some_and(|f| f.until <= now.mono) {
        m.flash = None;
        m.dirty = true;
    }
    dialogs::loosen::tick(m, out);
    dialogs::confirm::tick(m);
    log_checks::tick(m, out);
    polling::receipts(m, out);
    polling::approvals(m, out);
    polling::lists(m, out);
    outgoing::tick(m, out);
    dialogs::approve::tick(m);
    if m.pins.changed && now.mono - m.saved > SAVE {
        m.saved = now.mono;
        m.pins.changed = false;
        out.push(Effect::SavePins(Box::new(m.pins.clone())));
    }
    let ages = ages(m);
    if ages != m.ages {
        m.ages = ages;
        m.dirty = true;
    }
}

/// A digest of the ages and countdowns on the screen: a tick that changes none of them draws nothing.
fn ages(m: &Model) -> u64 {
    let secs = |d: Duration| d.as_secs();
    let mut n = 0u64;
    let mut mix = |x: u64| n = n.wrapping_mul(31).wrapping_add(x);
    for a in &m.agents {
        let age = a.age(m.now).map_or(0, secs);
        // Under two seconds the screen says "live" and nothing moves.
        mix(if age < 2 { 0 } else { age });
        if let Link::Lost { retry_at, .. } = &a.link {
            mix(secs(*retry_at - m.now.mono));
        }
        mix(u64::from(a.fresh(m.now)));
        mix(a.unproved.values().map(|u| secs(m.now.mono - u.since)).max().unwrap_or(0));
        // Sparklines move on by a slot, while there is anything in them.
        if a.fresh(m.now)
            && m.screen() != Screen::Receipts
            && a.spark.last(m.now.mono, 32).iter().any(|c| *c != (0, 0))
        {
            mix(slot_of(m.now.mono));
        }
    }
    for l in &m.layers {
        match l {
            Layer::Waiting(w) => mix(secs(m.now.mono - w.since)),
            Layer::Loosen(l) => {
                if let Radius::Ready(_, at) = &l.radius {
                    mix(secs(m.now.mono - *at));
                }
            }
            _ => {}
        }
    }
    n
}

#[cfg(test)]
mod tests;
