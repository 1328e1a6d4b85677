//! Keys, mouse and pasted text. Layers take them from the top; what a layer ignores goes to the screen. Pure.

use super::dialog::{Field, Layer};
use super::keys::{Act, Scope, lookup};
use super::model::{Key, Model, Screen};
use super::msg::{Effect, Secret};
use super::palette::{Command, Palette};
use super::receipts::Detail;
use super::tenants::{RowKey, Sort};
use super::{acts, approve, boards, layout, loosen, metered};
use crate::view::theme::ThemeName;
use conductor_shared::ids::TenantUid;
use conductor_shared::operator::Answer;
use crossterm::event::{KeyEvent, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};
use zeroize::Zeroizing;

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
    // These hold whatever lies on top.
    match lookup(key, &[Scope::Everywhere], m.read_only) {
        Some(Act::Suspend) => return out.push(Effect::Suspend),
        Some(Act::Redraw) => return m.clear = true,
        Some(Act::Quit) if super::keys::name(key) == "ctrl-c" => return out.push(Effect::Quit),
        _ => {}
    }
    if let Some(layer) = m.layers.pop() {
        // The layer is put back by its handler when it stays.
        if self::layer(m, layer, key, out) == Consumed {
            return;
        }
    }
    if layout::too_small(m) {
        if lookup(key, &[Scope::Everywhere], m.read_only) == Some(Act::Quit) {
            out.push(Effect::Quit);
        }
        return;
    }
    let scopes: &[Scope] = match m.screen() {
        Screen::Overview => &[Scope::Overview, Scope::List, Scope::Everywhere],
        Screen::Tenants => &[Scope::Tenants, Scope::List, Scope::Everywhere],
        Screen::Tenant => &[Scope::Tenant, Scope::Everywhere],
        Screen::Receipts => &[Scope::Receipts, Scope::List, Scope::Everywhere],
        Screen::Receipt => &[Scope::Receipt, Scope::Everywhere],
        Screen::Approvals => &[Scope::Approvals, Scope::List, Scope::Everywhere],
        Screen::Incidents => &[Scope::Incidents, Scope::Board, Scope::List, Scope::Everywhere],
        Screen::Timeline => &[Scope::Timeline, Scope::Board, Scope::List, Scope::Everywhere],
        Screen::Ramps => &[Scope::Ramps, Scope::Board, Scope::List, Scope::Everywhere],
        Screen::Freezes | Screen::Admin => &[Scope::Board, Scope::List, Scope::Everywhere],
        Screen::Usage | Screen::Cost => &[Scope::Metered, Scope::Board, Scope::List, Scope::Everywhere],
    };
    if let Some(act) = lookup(key, scopes, m.read_only) {
        screen(m, act, out);
    }
}

fn layer(m: &mut Model, top: Layer, key: KeyEvent, out: &mut Vec<Effect>) -> Taken {
    let input = lookup(key, &[Scope::Input], m.read_only);
    let dialog = lookup(key, &[Scope::Dialog], m.read_only);
    match top {
        Layer::Help(n) => {
            let page = m.size.1.saturating_sub(4);
            let n = match lookup(key, &[Scope::List, Scope::Everywhere], m.read_only) {
                Some(Act::Down) => n.saturating_add(1),
                Some(Act::Up) => n.saturating_sub(1),
                Some(Act::PageDown) => n.saturating_add(page),
                Some(Act::PageUp) => n.saturating_sub(page),
                Some(Act::Top) => 0,
                Some(Act::Back | Act::Quit | Act::Help) => return Consumed,
                _ => n,
            };
            m.layers.push(Layer::Help(n.min(crate::view::help::lines(m).saturating_sub(page))));
        }
        Layer::Palette(p) => palette(m, p, key, input, out),
        Layer::Filter(mut line) => match input {
            Some(Act::Enter) => {}
            Some(Act::Back) => filter(m, ""),
            _ => {
                if line.key(key) {
                    filter(m, line.text());
                }
                m.layers.push(Layer::Filter(line));
            }
        },
        Layer::Menu(target) => match lookup(key, &[Scope::Menu], m.read_only) {
            Some(Act::Back) => {}
            Some(act) => acts::begin(m, target, act),
            None => m.layers.push(Layer::Menu(target)),
        },
        Layer::Alarms => match dialog {
            Some(Act::Enter) => m.alarms.iter_mut().for_each(|a| a.acknowledged = true),
            Some(Act::Back) => {}
            _ => m.layers.push(Layer::Alarms),
        },
        Layer::Notice(n) => match dialog {
            Some(Act::Enter | Act::Back) => {}
            _ => m.layers.push(Layer::Notice(n)),
        },
        Layer::Waiting(w) => match dialog {
            Some(Act::Back) => {
                out.push(Effect::Forget(w.ticket));
                m.say("No longer waiting. The command itself goes on; its answer will be shown here.");
            }
            _ => m.layers.push(Layer::Waiting(w)),
        },
        Layer::Confirm(c) => loosen::confirm_key(m, c, key, dialog, out),
        Layer::Ramp(f) => acts::ramp_key(m, f, key, input),
        Layer::Loosen(l) => loosen::key(m, l, key, dialog, out),
        Layer::Approve(a) => approve::key(m, a, key, dialog, out),
        Layer::Unlock(mut u) => {
            match input {
                Some(Act::Back) => return leave_unlock(m, u),
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
    }
    Consumed
}

/// Without its key the console can show nothing: leaving the prompt is said, and `:unlock`'s work is done by `esc`.
fn leave_unlock(m: &mut Model, u: super::dialog::Unlock) -> Taken {
    m.say("Your key stays locked: agents let nobody read without it. Press q to quit.");
    m.layers.push(Layer::Unlock(u));
    Ignored
}

fn filter(m: &mut Model, text: &str) {
    match m.screen() {
        Screen::Receipts => m.receipts.set_filter(text),
        s @ (Screen::Incidents
        | Screen::Timeline
        | Screen::Ramps
        | Screen::Freezes
        | Screen::Admin
        | Screen::Usage
        | Screen::Cost) => {
            m.boards.set_filter(s, text);
        }
        _ => m.tenants.set_filter(text, m.now.mono_us),
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
            match p.parse(m).and_then(|(c, arg)| command(m, c, &arg, out)) {
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

/// The row a command names, or the selected one.
fn named(m: &Model, name: &str) -> Result<RowKey, String> {
    if name.is_empty() {
        return m.subject().ok_or_else(|| "no tenant is selected; name one".into());
    }
    // A name may stand on several nodes: the selected row wins, else it must be one.
    let mut found = m.tenants.named(name).map(|r| r.key);
    match (found.next(), found.next()) {
        (None, _) => Err(format!("no tenant \"{name}\"")),
        (Some(k), None) => Ok(k),
        (Some(_), Some(_)) => m
            .subject()
            .filter(|k| m.tenants.get(*k).is_some_and(|r| r.summary.name.as_str() == name))
            .ok_or_else(|| format!("\"{name}\" is on several nodes; select the row first")),
    }
}

fn command(m: &mut Model, c: Command, arg: &str, out: &mut Vec<Effect>) -> Result<(), String> {
    match c {
        Command::Overview => go(m, Screen::Overview),
        Command::Tenants => {
            m.tenants.set_filter(arg, m.now.mono_us);
            go(m, Screen::Tenants);
        }
        Command::Approvals => go(m, Screen::Approvals),
        Command::Incidents => go(m, Screen::Incidents),
        Command::Freezes => go(m, Screen::Freezes),
        Command::Admin => go(m, Screen::Admin),
        Command::Ramps => {
            m.tenants.selected = Some(named(m, arg)?);
            go(m, Screen::Ramps);
        }
        Command::Usage | Command::Cost => {
            m.tenants.selected = Some(named(m, arg)?);
            go(m, if c == Command::Usage { Screen::Usage } else { Screen::Cost });
        }
        Command::Range => {
            m.metered.range = Some(metered::Choice::typed(arg, m.now.wall_us)?);
            m.boards.top();
        }
        Command::Filter => filter(m, arg),
        Command::Tenant => {
            m.tenants.selected = Some(named(m, arg)?);
            go(m, Screen::Tenants);
            m.screens.push(Screen::Tenant);
        }
        Command::Receipts => {
            let key = named(m, arg)?;
            receipts_of(m, key);
        }
        Command::NodeLog => {
            let agent = m.tenants.selected.map_or(m.agent, |k| k.agent);
            receipts_of(m, RowKey { agent, tenant: TenantUid::NODE });
        }
        Command::Theme => {
            let t = ThemeName::from_name(arg).ok_or("dark, light or plain?")?;
            m.theme = t;
            m.look = m.look.with(t);
            m.clear = true;
        }
        Command::Sort => {
            let found = Sort::ALL.into_iter().find(|s| s.name() == arg);
            m.tenants.sort = found.ok_or("name, trouble, backlog, denied, runs or ramp?")?;
            m.tenants.refresh(m.now.mono_us);
        }
        Command::Alarms => m.layers.push(Layer::Alarms),
        Command::Help => m.layers.push(Layer::Help(0)),
        Command::Lock => lock(m, out)?,
        Command::Quit => out.push(Effect::Quit),
        Command::Rollback => act_on(m, arg, Act::Rollback)?,
        Command::Kill => act_on(m, arg, Act::Kill)?,
        Command::Drain => act_on(m, arg, Act::Drain)?,
        Command::Freeze => act_on(m, arg, Act::Freeze)?,
        Command::Ramp => act_on(m, arg, Act::SetRamp)?,
        Command::Unkill => act_on(m, arg, Act::LiftKill)?,
        #[cfg(debug_assertions)]
        #[allow(clippy::panic)] // that is what it is for
        Command::Panic => panic!("asked for in the palette"),
    }
    Ok(())
}

fn act_on(m: &mut Model, name: &str, act: Act) -> Result<(), String> {
    let key = named(m, name)?;
    let target = m.target(key).ok_or("the node has not said who it is yet")?;
    acts::begin(m, target, act);
    Ok(())
}

fn go(m: &mut Model, s: Screen) {
    m.screens.clear();
    m.screens.push(s);
    m.boards.top();
    if s == Screen::Receipts && m.receipts.key.is_none() {
        let node = RowKey { agent: m.agent, tenant: TenantUid::NODE };
        let key = m.tenants.selected.unwrap_or(node);
        m.receipts.turn_to(key);
    }
}

fn receipts_of(m: &mut Model, key: RowKey) {
    m.receipts.turn_to(key);
    m.screens.push(Screen::Receipts);
}

const MAINS: usize = Screen::MAIN.len();

fn main_place(m: &Model) -> usize {
    Screen::MAIN.iter().position(|s| Some(s) == m.screens.first()).unwrap_or(0)
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
        Act::Filter => {
            let text = match m.screen() {
                Screen::Receipts => m.receipts.filter(),
                Screen::Tenants => m.tenants.filter(),
                s => m.boards.filter(s),
            };
            m.layers.push(Layer::Filter(super::input::Input::with(text, 80)));
        }
        Act::Screen(n) => go(m, Screen::MAIN[usize::from(n) % MAINS]),
        Act::NextScreen => go(m, Screen::MAIN[(main_place(m) + 1) % MAINS]),
        Act::PreviousScreen => go(m, Screen::MAIN[(main_place(m) + MAINS - 1) % MAINS]),
        Act::Sort => {
            let at = Sort::ALL.iter().position(|s| *s == m.tenants.sort).unwrap_or(0);
            m.tenants.sort = Sort::ALL[(at + 1) % Sort::ALL.len()];
            m.tenants.refresh(m.now.mono_us);
        }
        Act::Reverse => {
            m.tenants.reverse = !m.tenants.reverse;
            m.tenants.refresh(m.now.mono_us);
        }
        Act::Copy => copy(m, out),
        Act::Alarms => m.layers.push(Layer::Alarms),
        Act::Receipts => {
            let key = match m.screen() {
                Screen::Overview => Some(RowKey { agent: m.agent, tenant: TenantUid::NODE }),
                Screen::Incidents => boards::incident(m).map(|i| i.0),
                Screen::Timeline => m.boards.timeline.as_ref().map(|t| t.0),
                Screen::Approvals => {
                    m.approvals.selected().map(|w| RowKey { agent: w.agent, tenant: w.row.tenant_uid })
                }
                _ => m.tenants.selected,
            };
            if let Some(key) = key {
                receipts_of(m, key);
            }
        }
        Act::Follow => {
            m.receipts.follow = !m.receipts.follow;
            if m.receipts.follow {
                m.receipts.select_place(usize::MAX);
            }
        }
        Act::Acknowledge | Act::Close => boards::look_after(m, act),
        Act::Approve => approve::begin(m, Answer::Approve),
        Act::Refuse => approve::begin(m, Answer::Refuse),
        Act::NextRange | Act::PreviousRange | Act::NextMetric | Act::Export => metered::act(m, act, out),
        Act::Menu => match m.subject().and_then(|k| m.target(k)) {
            Some(t) => m.layers.push(Layer::Menu(t)),
            None => m.say("Select a tenant first."),
        },
        _ => {}
    }
}

fn step(m: &mut Model, by: isize, out: &mut Vec<Effect>) {
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
                m.receipts.asked_us = m.now.mono_us;
                out.push(Effect::Receipts { key, from, limit });
            }
        }
        Screen::Receipt => {
            let by = i16::try_from(by.clamp(-1000, 1000)).unwrap_or(0);
            m.receipts.scroll = m.receipts.scroll.saturating_add_signed(by).min(200);
        }
        Screen::Approvals => m.approvals.step(by),
        Screen::Incidents
        | Screen::Timeline
        | Screen::Ramps
        | Screen::Freezes
        | Screen::Admin
        | Screen::Usage
        | Screen::Cost => {
            let rows = boards::rows(m);
            m.boards.step(by, rows);
        }
        Screen::Tenant => {}
    }
}

fn enter(m: &mut Model, out: &mut Vec<Effect>) {
    match m.screen() {
        Screen::Overview => {
            if let Some(a) = m.agents.get(m.agent) {
                let words = if m.agents.len() > 1 { format!("@{}", a.name()) } else { String::new() };
                m.tenants.set_filter(&words, m.now.mono_us);
            }
            m.screens.push(Screen::Tenants);
        }
        Screen::Incidents => boards::open_timeline(m),
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
                out.push(Effect::Proof { key, index, signer });
                m.screens.push(Screen::Receipt);
            }
        }
        _ => {}
    }
}

fn back(m: &mut Model, out: &mut Vec<Effect>, quit: bool) {
    if m.screens.len() > 1 {
        if m.screens.pop() == Some(Screen::Timeline) {
            m.boards.back_to_list();
        }
    } else if quit {
        out.push(Effect::Quit);
    } else if matches!(m.screen(), Screen::Tenants | Screen::Receipts) {
        filter(m, "");
    }
}

fn copy(m: &mut Model, out: &mut Vec<Effect>) {
    let text = match m.screen() {
        Screen::Overview => {
            m.agents.get(m.agent).and_then(|a| a.info.as_ref()).map(|i| i.node_id.to_string())
        }
        Screen::Approvals => m.approvals.selected().map(|w| w.row.command_id.to_string()),
        Screen::Incidents => boards::incident(m).map(|(_, r)| r.incident.clone()),
        Screen::Timeline => m.boards.timeline.as_ref().map(|t| t.0.tenant.to_string()),
        Screen::Freezes => None,
        Screen::Admin => boards::persons(m).get(m.boards.place).map(|(id, _)| id.to_string()),
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

/// Pasted text goes into the line that is typed, and nowhere else.
pub(crate) fn paste(m: &mut Model, text: &str) {
    let now = m.now.mono_us;
    match m.layers.last_mut() {
        Some(Layer::Palette(p)) => {
            p.input.paste(text);
            p.edited();
        }
        Some(Layer::Filter(i)) => {
            i.paste(text);
            let text = i.text().to_owned();
            filter(m, &text);
        }
        Some(Layer::Confirm(c)) => {
            if let Some(i) = &mut c.comment {
                i.paste(text);
                loosen::pasted(m);
            }
        }
        Some(Layer::Ramp(f)) => f.percent.paste(text),
        Some(Layer::Unlock(u)) if !u.busy => u.password.paste(text),
        Some(Layer::Approve(a)) if a.focus == Field::Password => {
            if let Some(p) = &mut a.password {
                p.paste(text);
            }
        }
        // The name is typed, not pasted: that is what it is for.
        Some(Layer::Loosen(l)) if l.focus != Field::Name => {
            if let Some(i) = l.input() {
                i.paste(text);
            }
            l.at_us = 0;
        }
        _ => {}
    }
    loosen::redraw(m, now);
}

/// The wheel moves by rows, a click selects, a second click on the selected row opens.
pub(crate) fn mouse(m: &mut Model, e: MouseEvent) {
    if !m.layers.is_empty() || layout::too_small(m) {
        return;
    }
    let mut none = vec![];
    match e.kind {
        MouseEventKind::ScrollDown => step(m, 3, &mut none),
        MouseEventKind::ScrollUp => step(m, -3, &mut none),
        MouseEventKind::Down(MouseButton::Left) => {
            let list = layout::list(m);
            if e.row < list.y || e.row >= list.y + list.height {
                return;
            }
            let n = usize::from(e.row - list.y);
            match m.screen() {
                Screen::Overview if layout::first_agent(m) + n < m.agents.len() => {
                    m.agent = layout::first_agent(m) + n;
                }
                Screen::Tenants if m.tenants.offset + n < m.tenants.shown() => {
                    m.tenants.select_place(m.tenants.offset + n);
                }
                Screen::Approvals if m.approvals.offset + n < m.approvals.rows.len() => {
                    m.approvals.place = m.approvals.offset + n;
                }
                Screen::Incidents
                | Screen::Timeline
                | Screen::Ramps
                | Screen::Freezes
                | Screen::Admin
                | Screen::Usage
                | Screen::Cost
                    if m.boards.offset + n < boards::rows(m) =>
                {
                    m.boards.place = m.boards.offset + n;
                }
                Screen::Receipts if m.receipts.offset + n < m.receipts.len() => {
                    m.receipts.select_place(m.receipts.offset + n);
                }
                _ => return,
            }
        }
        _ => return,
    }
    m.dirty = true;
}

/// The key is forgotten: nothing is read or signed until its password is typed again. What is shown stays, dated.
fn lock(m: &mut Model, out: &mut Vec<Effect>) -> Result<(), String> {
    match &m.key {
        Key::Unlocked(info) if !info.encrypted => {
            return Err("your key has no password to lock it with: leave with :quit".into());
        }
        Key::Unlocked(_) => {}
        Key::Locked => return Ok(()),
    }
    m.key = Key::Locked;
    m.layers.clear();
    let now_us = m.now.mono_us;
    for a in &mut m.agents {
        a.link = super::model::Link::Lost { why: "you locked the console".into(), retry_at_us: now_us };
        (a.session, a.checking) = (None, false);
        // Asked for again by the streams that come with the key.
        a.open.clear();
    }
    ask_password(m);
    out.push(Effect::Lock);
    Ok(())
}

/// The prompt for the key's password, unless the key is unlocked.
pub(crate) fn ask_password(m: &mut Model) {
    if m.key == Key::Locked {
        let password = super::input::Input::new(256);
        m.layers.push(Layer::Unlock(super::dialog::Unlock { password, busy: false, error: None }));
    }
}
