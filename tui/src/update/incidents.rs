//! Actions on the selected incident: open its timeline, acknowledge it, close it. Pure.

use super::actions;
use crate::model::Model;
use crate::model::keys::Act;
use crate::model::lists::incident;
use crate::model::screen::Screen;
use conductor_shared::clock::WallTime;
use std::time::Duration;

/// The timeline starts this long before the incident began.
const BEFORE: Duration = Duration::from_secs(60);

/// Opens the timeline around the selected incident.
pub(crate) fn open_timeline(m: &mut Model) {
    let Some((key, row)) = incident(m) else { return };
    let from = WallTime::from_micros(row.began_us.unwrap_or(row.since_us)) - BEFORE;
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
