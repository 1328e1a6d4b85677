//! The mouse, and pasted text. Pure.

use super::dialogs::{confirm, loosen};
use super::navigate::{filter, step};
use crate::model::dialog::{Field, Layer};
use crate::model::screen::Screen;
use crate::model::{Model, layout, lists};
use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

/// Pasted text goes into the line that is typed, and nowhere else.
pub(crate) fn paste(m: &mut Model, text: &str) {
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
                confirm::pasted(m);
            }
        }
        Some(Layer::Ramp(f)) => f.percent.paste(text),
        Some(Layer::Unlock(u)) if !u.busy => u.password.paste(text),
        Some(Layer::Approve(a)) if a.focus == Field::Password => {
            if let Some(p) = &mut a.password {
                p.paste(text);
            }
        }
        // The name must be typed: that is its purpose.
        Some(Layer::Loosen(l)) if l.focus != Field::Name => {
            if let Some(i) = l.input() {
                i.paste(text);
            }
            l.at = None;
        }
        _ => {}
    }
    loosen::pasted(m);
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
                Screen::Approvals if m.approvals.cursor.offset + n < m.approvals.rows.len() => {
                    m.approvals.cursor.place = m.approvals.cursor.offset + n;
                }
                s if s.is_polled() && m.lists.cursor.offset + n < lists::rows(m) => {
                    m.lists.cursor.place = m.lists.cursor.offset + n;
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
