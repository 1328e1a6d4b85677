//! Keys. Layers take them from the top; what a layer ignores goes to the screen. Pure.

use super::dialogs::{approve, confirm, loosen, ramp};
use super::navigate::{back, copy, enter, filter, go, next_screen, receipts_of, step};
use super::{actions, commands, incidents, key_lock, usage_cost};
use crate::model::Model;
use crate::model::dialog::Layer;
use crate::model::input::TextInput;
use crate::model::keys::{self, Act, KeyScope, lookup};
use crate::model::message::Effect;
use crate::model::palette::Palette;
use crate::model::screen::Screen;
use crate::model::tenants::{RowKey, Sort};
use crate::model::{help, layout, lists};
use conductor_shared::ids::TenantUid;
use conductor_shared::operator::Answer;
use crossterm::event::{KeyEvent, KeyEventKind};
use strum::VariantArray as _;

/// Whether a layer took a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Consumed,
    Ignored,
}
use Taken::{Consumed, Ignored};

/// A key was pressed.
pub(crate) fn key(m: &mut Model, key: KeyEvent, out: &mut Vec<Effect>) {
    if key.kind == KeyEventKind::Release {
        return;
    }
    // These work on every layer.
    match lookup(key, &[KeyScope::Everywhere], m.read_only) {
        Some(Act::Suspend) => return out.push(Effect::Suspend),
        Some(Act::Redraw) => return m.clear = true,
        Some(Act::Quit) if keys::name(key) == "ctrl-c" => return out.push(Effect::Quit),
        _ => {}
    }
    if let Some(layer) = m.layers.pop() {
        // The layer is put back by its handler when it stays.
        if self::layer(m, layer, key, out) == Consumed {
            return;
        }
    }
    if layout::too_small(m) {
        if lookup(key, &[KeyScope::Everywhere], m.read_only) == Some(Act::Quit) {
            out.push(Effect::Quit);
        }
        return;
    }
    let scopes = keys::scopes(m.screen());
    if let Some(act) = lookup(key, scopes, m.read_only) {
        screen(m, act, out);
    }
}

fn layer(m: &mut Model, top: Layer, key: KeyEvent, out: &mut Vec<Effect>) -> Taken {
    let input = lookup(key, &[KeyScope::Input], m.read_only);
    let dialog = lookup(key, &[KeyScope::Dialog], m.read_only);
    match (top, dialog) {
        (Layer::Help(line), _) => help_key(m, line, key),
        (Layer::Palette(p), _) => palette(m, p, key, input, out),
        (Layer::Filter(line), _) => filter_line(m, line, key, input),
        (Layer::Menu(target), _) => match lookup(key, &[KeyScope::Menu], m.read_only) {
            Some(Act::Back) => {}
            Some(act) => actions::begin(m, target, act),
            None => m.layers.push(Layer::Menu(target)),
        },
        (Layer::Alarms, Some(Act::Enter)) => m.alarms.iter_mut().for_each(|a| a.acknowledged = true),
        (Layer::Alarms, Some(Act::Back)) | (Layer::Notice(_), Some(Act::Enter | Act::Back)) => {}
        (Layer::Waiting(w), Some(Act::Back)) => {
            out.push(Effect::Forget(w.ticket));
            m.say("No longer waiting. The command itself goes on; its answer will be shown here.");
        }
        (top @ (Layer::Alarms | Layer::Notice(_) | Layer::Waiting(_)), _) => m.layers.push(top),
        (Layer::Confirm(c), _) => confirm::key(m, c, key, dialog, out),
        (Layer::Ramp(f), _) => ramp::key(m, f, key, input),
        (Layer::Loosen(l), _) => loosen::key(m, l, key, dialog, out),
        (Layer::Approve(a), _) => approve::key(m, a, key, dialog, out),
        (Layer::Unlock(u), _) if input == Some(Act::Back) => {
            key_lock::stay_locked(m, u);
            return Ignored;
        }
        (Layer::Unlock(u), _) => key_lock::key(m, u, key, input, out),
    }
    Consumed
}

fn help_key(m: &mut Model, line: u16, key: KeyEvent) {
    let page = m.size.1.saturating_sub(4);
    let line = match lookup(key, &[KeyScope::List, KeyScope::Everywhere], m.read_only) {
        Some(Act::Down) => line.saturating_add(1),
        Some(Act::Up) => line.saturating_sub(1),
        Some(Act::PageDown) => line.saturating_add(page),
        Some(Act::PageUp) => line.saturating_sub(page),
        Some(Act::Top) => 0,
        Some(Act::Back | Act::Quit | Act::Help) => return,
        _ => line,
    };
    m.layers.push(Layer::Help(line.min(help::height(m).saturating_sub(page))));
}

fn filter_line(m: &mut Model, mut line: TextInput, key: KeyEvent, act: Option<Act>) {
    match act {
        Some(Act::Enter) => {}
        Some(Act::Back) => filter(m, ""),
        _ => {
            if line.key(key) {
                filter(m, line.text());
            }
            m.layers.push(Layer::Filter(line));
        }
    }
}

fn palette(m: &mut Model, mut p: Palette, key: KeyEvent, act: Option<Act>, out: &mut Vec<Effect>) {
    match act {
        Some(Act::Back) => return,
        Some(Act::NextField) => p.turn(m, true),
        Some(Act::PreviousField) => p.turn(m, false),
        Some(Act::Enter) => {
            if p.input.text().trim().is_empty() {
                return;
            }
            match p.parse(m).and_then(|(c, arg)| commands::run(m, c, &arg, out)) {
                Ok(()) => return,
                Err(e) => p.error = Some(e),
            }
        }
        _ => {
            if p.input.key(key) {
                p.edited();
            }
        }
    }
    m.layers.push(Layer::Palette(p));
}

fn screen(m: &mut Model, act: Act, out: &mut Vec<Effect>) {
    let page = isize::try_from(layout::page(m)).unwrap_or(1);
    match act {
        Act::Up => step(m, -1, out),
        Act::Down => step(m, 1, out),
        Act::PageUp => step(m, -page, out),
        Act::PageDown => step(m, page, out),
        Act::Top => step(m, isize::MIN, out),
        Act::Bottom => step(m, isize::MAX, out),
        Act::Enter => enter(m, out),
        Act::Back => back(m, out, false),
        Act::Quit => back(m, out, true),
        Act::Help => m.layers.push(Layer::Help(0)),
        Act::Palette => m.layers.push(Layer::Palette(Palette::new())),
        Act::Filter => begin_filter(m),
        Act::Screen(n) => go(m, Screen::MAIN[usize::from(n) % Screen::MAIN.len()]),
        Act::NextScreen => next_screen(m, 1),
        Act::PreviousScreen => next_screen(m, Screen::MAIN.len() - 1),
        Act::Sort | Act::Reverse => sort(m, act),
        Act::Copy => copy(m, out),
        Act::Alarms => m.layers.push(Layer::Alarms),
        Act::Receipts => receipts(m),
        Act::Follow => {
            m.receipts.follow = !m.receipts.follow;
            if m.receipts.follow {
                m.receipts.select_place(usize::MAX);
            }
        }
        Act::Acknowledge | Act::Close => incidents::acknowledge_or_close(m, act),
        Act::Approve => approve::begin(m, Answer::Approve),
        Act::Refuse => approve::begin(m, Answer::Refuse),
        Act::NextRange | Act::PreviousRange | Act::NextMetric | Act::Export => usage_cost::act(m, act, out),
        Act::Menu => match m.subject().and_then(|k| m.target(k)) {
            Some(t) => m.layers.push(Layer::Menu(t)),
            None => m.say("Select a tenant first."),
        },
        _ => {}
    }
}

fn begin_filter(m: &mut Model) {
    let text = match m.screen() {
        Screen::Receipts => m.receipts.filter(),
        Screen::Tenants => m.tenants.filter(),
        s => m.lists.filter(s),
    };
    m.layers.push(Layer::Filter(TextInput::with(text, 80)));
}

fn sort(m: &mut Model, act: Act) {
    if act == Act::Reverse {
        m.tenants.reverse = !m.tenants.reverse;
    } else {
        let at = Sort::VARIANTS.iter().position(|s| *s == m.tenants.sort).unwrap_or(0);
        m.tenants.sort = Sort::VARIANTS[(at + 1) % Sort::VARIANTS.len()];
    }
    m.tenants.refresh(m.now.mono);
}

/// Opens the receipts of the marked row's log.
fn receipts(m: &mut Model) {
    let key = match m.screen() {
        Screen::Overview => Some(RowKey { agent: m.agent, tenant: TenantUid::NODE }),
        Screen::Incidents => lists::incident(m).map(|i| i.0),
        Screen::Timeline => m.lists.timeline.as_ref().map(|t| t.0),
        Screen::Approvals => {
            m.approvals.selected().map(|w| RowKey { agent: w.agent, tenant: w.row.tenant_uid })
        }
        _ => m.tenants.selected,
    };
    if let Some(key) = key {
        receipts_of(m, key);
    }
}
