//! Draws all of a model: the frame, the screen in it, and dialogs over it.

mod dialogs;
mod header;
mod help;

use crate::model::Model;
use crate::model::layout::{self, SMALLEST};
use crate::model::screen::Screen;
use crate::screens::{
    admin, approvals, freezes, incidents, overview, ramps, receipt, receipts, tenant, tenants, usage_cost,
};
use crate::style::Tone;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

/// Draws all of it.
pub(crate) fn draw(m: &Model, f: &mut Frame<'_>) {
    if layout::too_small(m) {
        return too_small(m, f);
    }
    let p = layout::areas(m);
    header::draw(m, f, p.header);
    header::alarm(m, f, p.alarm);
    match m.screen() {
        Screen::Overview => overview::draw(m, f, p.body),
        Screen::Tenants => tenants::draw(m, f, p.body),
        Screen::Tenant => tenant::draw(m, f, p.body),
        Screen::Receipts => receipts::draw(m, f, p.body),
        Screen::Receipt => receipt::draw(m, f, p.body),
        Screen::Approvals => approvals::draw(m, f, p.body),
        Screen::Incidents => incidents::draw(m, f, p.body),
        Screen::Timeline => incidents::timeline(m, f, p.body),
        Screen::Ramps => ramps::draw(m, f, p.body),
        Screen::Freezes => freezes::draw(m, f, p.body),
        Screen::Admin => admin::draw(m, f, p.body),
        Screen::Usage => usage_cost::usage(m, f, p.body),
        Screen::Cost => usage_cost::cost(m, f, p.body),
    }
    header::status(m, f, p.status);
    header::bar(m, f, p.bar);
    dialogs::draw(m, f);
}

/// A message that the terminal is too small, and how to quit.
fn too_small(m: &Model, f: &mut Frame<'_>) {
    let (w, h) = m.size;
    let (want_w, want_h) = SMALLEST;
    let lines = vec![
        Line::styled("conductor", m.look.style(Tone::Title)),
        Line::raw(format!("needs {want_w}x{want_h}")),
        Line::raw(format!("here: {w}x{h}")),
        Line::raw("q quits"),
    ];
    let area = Rect { x: 0, y: 0, width: w, height: h }.intersection(f.area());
    f.render_widget(Paragraph::new(lines), area);
}

#[cfg(test)]
mod list_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod usage_cost_tests;
