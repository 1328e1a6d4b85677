//! Geometry of the screen, shared by drawing and the mouse. Pure.

use crate::model::Model;
use crate::model::screen::Screen;
use ratatui::layout::Rect;

/// Smallest screen that is drawn in full.
pub(crate) const SMALLEST: (u16, u16) = (60, 16);

/// The parts of every screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScreenAreas {
    pub(crate) header: Rect,
    /// Alarms; no height when there are none.
    pub(crate) alarm: Rect,
    pub(crate) body: Rect,
    /// Filter, flash or input.
    pub(crate) status: Rect,
    pub(crate) bar: Rect,
}

/// True when the terminal is too small to draw in full.
pub(crate) fn too_small(m: &Model) -> bool {
    m.size.0 < SMALLEST.0 || m.size.1 < SMALLEST.1
}

/// Rows the header takes: one for the tabs, one for each node up to four.
fn header_rows(m: &Model) -> u16 {
    1 + u16::try_from(m.agents.len().clamp(1, 4)).unwrap_or(4)
}

pub(crate) fn areas(m: &Model) -> ScreenAreas {
    let (w, h) = m.size;
    let top = header_rows(m);
    let alarm = u16::from(m.ringing() > 0);
    let body = h.saturating_sub(top + alarm + 2);
    let row = |y, height| Rect { x: 0, y, width: w, height };
    ScreenAreas {
        header: row(0, top),
        alarm: row(top, alarm),
        body: row(top + alarm, body),
        status: row(top + alarm + body, 1),
        bar: row(top + alarm + body + 1, 1),
    }
}

/// Rows of a chart on a screen of this height: its name and its bars.
fn chart(height: u16) -> u16 {
    (height / 3).clamp(3, 12)
}

/// Rows of the list on the present screen, below its heading.
pub(crate) fn list(m: &Model) -> Rect {
    let body = areas(m).body;
    let heading = match m.screen() {
        Screen::Overview
        | Screen::Tenants
        | Screen::Receipts
        | Screen::Approvals
        | Screen::Incidents
        | Screen::Timeline
        | Screen::Ramps
        | Screen::Admin => 2,
        Screen::Freezes => 3,
        // Heading, two lines of figures, the chart, and the heads of the table.
        Screen::Usage | Screen::Cost => 4 + chart(body.height),
        Screen::Tenant | Screen::Receipt => 0,
    };
    let height = match m.screen() {
        Screen::Overview => u16::try_from(m.agents.len()).unwrap_or(u16::MAX).min(body.height / 2),
        Screen::Incidents | Screen::Ramps | Screen::Freezes | Screen::Admin => {
            let rows = u16::try_from(crate::model::lists::rows(m)).unwrap_or(u16::MAX);
            rows.max(2).min((body.height / 2).saturating_sub(heading))
        }
        Screen::Approvals => {
            let rows = u16::try_from(m.approvals.rows.len()).unwrap_or(u16::MAX);
            rows.max(2).min((body.height / 2).saturating_sub(heading))
        }
        _ => body.height.saturating_sub(heading),
    };
    Rect { y: body.y + heading.min(body.height), height, ..body }
}

/// Rows of the list, as a number of entries.
pub(crate) fn page(m: &Model) -> usize {
    usize::from(list(m).height)
}

/// The first entry of the overview's list of nodes that is shown.
pub(crate) fn first_agent(m: &Model) -> usize {
    (m.agent + 1).saturating_sub(page(m).max(1))
}
