//! The dialog of a loosening: blast radius, name, reason, password. Pure.

use super::confirm::send;
use crate::model::Model;
use crate::model::confirmation::ConfirmAction;
use crate::model::dialog::loosen::{Loosen, Radius};
use crate::model::dialog::{Field, Layer};
use crate::model::keys::Act;
use crate::model::message::{Effect, Fetch, Secret};
use conductor_shared::fact::ChangeClass;
use conductor_shared::http::Preview;
use conductor_shared::ids::unhex;
use crossterm::event::KeyEvent;
use std::time::Duration;
use zeroize::Zeroizing;

/// An older preview is requested again.
const RADIUS: Duration = Duration::from_secs(30);

/// A key in the dialog.
pub(crate) fn key(m: &mut Model, mut l: Box<Loosen>, key: KeyEvent, act: Option<Act>, out: &mut Vec<Effect>) {
    match act {
        Some(Act::Back) => return,
        Some(Act::Down | Act::NextField) => l.turn(true),
        Some(Act::Up | Act::PreviousField) => l.turn(false),
        Some(Act::Enter) => match l.focus {
            Field::Cancel => return,
            Field::Confirm => match l.lock(m.fresh(l.target.key)) {
                Some(why) => l.error = Some(why.into()),
                None => return go(m, l, out),
            },
            _ => l.turn(true),
        },
        _ => {
            l.error = None;
            if let Some(i) = l.input()
                && i.key(key)
                && l.focus == Field::Reason
            {
                draw_up(m, &mut l);
            }
        }
    }
    m.layers.push(Layer::Loosen(l));
}

fn go(m: &mut Model, mut l: Box<Loosen>, out: &mut Vec<Effect>) {
    match &l.password {
        Some(p) => {
            l.checking = true;
            out.push(Effect::Check(Secret(Zeroizing::new(p.text().to_owned()))));
            m.layers.push(Layer::Loosen(l));
        }
        None => finish(m, *l, out),
    }
}

fn finish(m: &mut Model, l: Loosen, out: &mut Vec<Effect>) {
    let class = match &l.radius {
        Radius::Ready(p, _) => p.class,
        _ => ChangeClass::Loosen,
    };
    if let Some(a) = l.action {
        send(m, a, class, out);
    }
}

/// The password was checked.
pub(crate) fn checked(m: &mut Model, got: Result<(), String>, out: &mut Vec<Effect>) {
    m.dirty = true;
    let Some(Layer::Loosen(l)) = m.layers.last_mut() else { return };
    l.checking = false;
    if let Err(e) = got {
        l.error = Some(e);
        l.focus = Field::Password;
        if let Some(p) = &mut l.password {
            p.clear();
        }
        return;
    }
    // Checked again: the data may have become stale since Enter was pressed.
    let key = l.target.key;
    let fresh = m.fresh(key);
    let Some(Layer::Loosen(mut l)) = m.layers.pop() else { return };
    match l.lock(fresh) {
        None => finish(m, *l, out),
        Some(why) => {
            l.error = Some(why.into());
            m.layers.push(Layer::Loosen(l));
        }
    }
}

pub(crate) fn preview(m: &mut Model, ticket: u64, got: Result<Preview, String>) {
    let now = m.now.mono;
    m.dirty = true;
    let Some(at) = m.layers.iter().position(|l| matches!(l, Layer::Loosen(l) if l.ticket == ticket)) else {
        return;
    };
    let Layer::Loosen(mut l) = m.layers.remove(at) else { return };
    l.radius = match got {
        Ok(p) => Radius::Ready(Box::new(p), now),
        Err(e) => Radius::Failed(e),
    };
    draw_up(m, &mut l);
    m.layers.insert(at, Layer::Loosen(l));
}

/// Composes the command again, with the base of the preview.
fn draw_up(m: &mut Model, l: &mut Loosen) {
    l.action = None;
    let Radius::Ready(p, _) = &l.radius else { return };
    let Some(base) = unhex::<32>(&p.base) else { return };
    let Some(at) = m.agent_of(l.target.key).map(|a| a.time(m.now)) else { return };
    let base = Some(base);
    let reason = l.reason.text().trim().to_owned();
    l.action = ConfirmAction::compose(l.target.clone(), l.operation.clone(), base, &reason, at, &mut m.ids);
    l.at = Some(m.now.mono);
}

/// Text was pasted into a field: composes the command again.
pub(crate) fn pasted(m: &mut Model) {
    if matches!(m.layers.last(), Some(Layer::Loosen(l)) if l.at.is_none())
        && let Some(Layer::Loosen(mut l)) = m.layers.pop()
    {
        draw_up(m, &mut l);
        m.layers.push(Layer::Loosen(l));
    }
}

/// Asks for previews that are due.
pub(crate) fn tick(m: &mut Model, out: &mut Vec<Effect>) {
    let now = m.now.mono;
    for layer in &mut m.layers {
        let Layer::Loosen(l) = layer else { continue };
        let waited = now - l.asked;
        let due = match &l.radius {
            Radius::Loading => l.ticket == 0 || waited > Duration::from_secs(10),
            Radius::Failed(_) => waited > Duration::from_secs(5),
            Radius::Ready(_, at) => now - *at > RADIUS && waited > RADIUS,
        };
        if due && !l.checking {
            m.ticket += 1;
            (l.ticket, l.asked) = (m.ticket, now);
            let (key, operation) = (l.target.key, l.operation.clone());
            out.push(Effect::Fetch(Fetch::Preview { ticket: l.ticket, key, operation }));
        }
    }
}
