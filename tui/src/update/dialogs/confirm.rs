//! The short dialog of a tightening: one Enter confirms. Pure.

use crate::model::Model;
use crate::model::confirmation::{ConfirmAction, REDRAW};
use crate::model::dialog::{Confirm, Layer, Waiting};
use crate::model::keys::Act;
use crate::model::message::Effect;
use crate::update::actions::commented;
use conductor_shared::clock::WallTime;
use conductor_shared::fact::ChangeClass;
use crossterm::event::KeyEvent;

/// A key in the dialog.
pub(crate) fn key(m: &mut Model, mut c: Confirm, key: KeyEvent, act: Option<Act>, out: &mut Vec<Effect>) {
    let n = c.choices.len();
    if let (Some(comment), None | Some(Act::AllNodes)) = (&mut c.comment, act) {
        if comment.key(key) {
            redraw_choices(m, &mut c);
        }
        return m.layers.push(Layer::Confirm(c));
    }
    match act {
        Some(Act::Back) => return,
        Some(Act::Down | Act::NextField) => c.chosen = (c.chosen + 1) % n,
        Some(Act::Up | Act::PreviousField) => c.chosen = (c.chosen + n - 1) % n,
        Some(Act::AllNodes) if c.elsewhere => {
            for a in &mut c.choices {
                a.target = match a.target.also.as_slice() {
                    [] => m.everywhere(&a.target),
                    _ => m
                        .target_named(a.target.key, a.target.name.clone())
                        .unwrap_or_else(|| a.target.clone()),
                };
            }
            redraw_choices(m, &mut c);
        }
        Some(Act::Enter) => {
            let action = c.choices.swap_remove(c.chosen);
            return send(m, action, ChangeClass::Tighten, out);
        }
        _ => {}
    }
    m.layers.push(Layer::Confirm(c));
}

/// A comment was pasted: composes the command with it.
pub(crate) fn pasted(m: &mut Model) {
    if let Some(Layer::Confirm(mut c)) = m.layers.pop_if(|l| matches!(l, Layer::Confirm(_))) {
        redraw_choices(m, &mut c);
        m.layers.push(Layer::Confirm(c));
    }
}

/// Composes the choices again: for other nodes, or because they are old.
fn redraw_choices(m: &mut Model, c: &mut Confirm) {
    for a in &mut c.choices {
        let t = m.agent_of(a.target.key).map_or(WallTime::EPOCH, |a| a.time(m.now));
        let (mut op, why) = (a.command().operation.clone(), a.command().reason.raw().to_owned());
        if let Some(comment) = &c.comment {
            op = commented(&op, comment.text());
        }
        let before = a.before.take();
        if let Some(mut new) = ConfirmAction::compose(a.target.clone(), op, None, &why, t, &mut m.ids) {
            new.before = before;
            *a = new;
        }
    }
    c.at = m.now.mono;
}

/// Sends what was confirmed and waits for the answer.
pub(crate) fn send(m: &mut Model, action: ConfirmAction, class: ChangeClass, out: &mut Vec<Effect>) {
    m.ticket += 1;
    let ticket = m.ticket;
    let words = action.command().operation.sentence();
    let action = action.confirm();
    m.layers.push(Layer::Waiting(Waiting {
        ticket,
        target: action.target().clone(),
        sentence: words,
        class,
        since: m.now.mono,
    }));
    out.push(Effect::Send { ticket, action });
}

/// Composes old choices again, with a new time.
pub(crate) fn tick(m: &mut Model) {
    let now = m.now.mono;
    for at in 0..m.layers.len() {
        if matches!(&m.layers[at], Layer::Confirm(c) if now - c.at > REDRAW) {
            let Layer::Confirm(mut c) = m.layers.remove(at) else { continue };
            redraw_choices(m, &mut c);
            m.layers.insert(at, Layer::Confirm(c));
        }
    }
}
