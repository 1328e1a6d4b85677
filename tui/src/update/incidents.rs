//! Actions on the selected incident: open its timeline, acknowledge it, close it. Pure.

use super::actions;
use crate::model::Model;
use crate::model::keys::Act;
use crate::model::lists::incident;
use crate::model::screen::Screen;

/// The timeline starts this long before the incident began, microseconds.
const BEFORE_US: u64 = 60_000_000;

/// Opens the timeline around the selected incident.
pub(crate) fn open_timeline(m: &mut Model) {
    let Some((key, row)) = incident(m) else { return };
    let from = row.began_us.unwrap_or(row.since_us).saturating_sub(BEFORE_US);
    m.lists.timeline = Some((key, from, None));
    m.screens.push(Screen::Timeline);
    m.lists.remember_mark();
    m.lists.restart();
}

/// Opens the dialog that acknowledges or closes the selected incident.
pub(crate) fn acknowledge_or_close(m: &mut Model, act: Act) {
    let Some((key, row)) = incident(m) else { return };
    let (id, name) = (row.incident.clone(), row.tenant_id.clone());
    actions::incident(m, key, name, &id, act == Act::Close);
}
