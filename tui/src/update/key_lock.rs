//! Locks and unlocks the operator's key. Pure.

use crate::model::agent::Link;
use crate::model::dialog::{Layer, Unlock};
use crate::model::input::TextInput;
use crate::model::keys::Act;
use crate::model::message::{Effect, KeyInfo, Secret};
use crate::model::{KeyState, Model};
use crossterm::event::KeyEvent;
use zeroize::Zeroizing;

/// Forgets the key: nothing is read or signed until its password is typed again. Shown data stay, with their age.
pub(crate) fn lock(m: &mut Model, out: &mut Vec<Effect>) -> Result<(), String> {
    match &m.key {
        KeyState::Unlocked(info) if !info.encrypted => {
            return Err("your key has no password to lock it with: leave with :quit".into());
        }
        KeyState::Unlocked(_) => {}
        KeyState::Locked => return Ok(()),
    }
    m.key = KeyState::Locked;
    m.layers.clear();
    let now = m.now.mono;
    for a in &mut m.agents {
        a.link = Link::Lost { why: "you locked the console".into(), retry_at: now };
        (a.session, a.checking) = (None, false);
        // The streams of the next session open them again.
        a.open.clear();
    }
    ask_password(m);
    out.push(Effect::Lock);
    Ok(())
}

/// The prompt for the key's password, unless the key is unlocked.
pub(crate) fn ask_password(m: &mut Model) {
    if m.key == KeyState::Locked {
        let password = TextInput::new(256);
        m.layers.push(Layer::Unlock(Unlock { password, busy: false, error: None }));
    }
}

pub(crate) fn unlocked(m: &mut Model, got: Result<KeyInfo, String>) {
    m.dirty = true;
    match got {
        Ok(info) => {
            m.key = KeyState::Unlocked(info);
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

/// A key in the prompt.
pub(crate) fn key(m: &mut Model, mut u: Unlock, key: KeyEvent, act: Option<Act>, out: &mut Vec<Effect>) {
    match act {
        Some(Act::Enter) if !u.busy && !u.password.text().is_empty() => {
            u.busy = true;
            out.push(Effect::Unlock(Secret(Zeroizing::new(u.password.text().to_owned()))));
        }
        _ if !u.busy => {
            u.password.key(key);
        }
        _ => {}
    }
    m.layers.push(Layer::Unlock(u));
}

/// Without its key the console can show nothing: the prompt stays and says how to quit.
pub(crate) fn stay_locked(m: &mut Model, u: Unlock) {
    m.say("Your key stays locked: agents let nobody read without it. Press q to quit.");
    m.layers.push(Layer::Unlock(u));
}
