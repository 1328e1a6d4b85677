//! For tests: keys in by name, effects out.

use crate::model::Model;
use crate::model::message::{Effect, Msg};
use crate::sample;
use crate::update::update;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A key by its name in the table.
pub(crate) fn key(name: &str) -> KeyEvent {
    let plain = |c| KeyEvent::new(c, KeyModifiers::NONE);
    match name {
        "enter" => plain(KeyCode::Enter),
        "esc" => plain(KeyCode::Esc),
        "tab" => plain(KeyCode::Tab),
        "backtab" => plain(KeyCode::BackTab),
        "up" => plain(KeyCode::Up),
        "down" => plain(KeyCode::Down),
        "space" => plain(KeyCode::Char(' ')),
        n => match n.strip_prefix("ctrl-") {
            Some(c) => KeyEvent::new(KeyCode::Char(c.chars().next().unwrap()), KeyModifiers::CONTROL),
            None => plain(KeyCode::Char(n.chars().next().unwrap())),
        },
    }
}

pub(crate) fn send(m: &mut Model, msg: impl Into<Msg>) -> Vec<Effect> {
    update(m, msg.into())
}

/// Presses keys, separated by spaces. Opening and closing partitions is left out of what comes back.
pub(crate) fn keys(m: &mut Model, names: &str) -> Vec<Effect> {
    let each = names.split_whitespace().map(key).collect::<Vec<_>>();
    each.into_iter()
        .flat_map(|k| send(m, Msg::Key(k)))
        .filter(|e| !matches!(e, Effect::Open(_) | Effect::Close(_)))
        .collect()
}

/// Time passes until so long after the samples' start.
pub(crate) fn tick(m: &mut Model, at: u64) -> Vec<Effect> {
    send(m, Msg::Tick(sample::now(at)))
}
