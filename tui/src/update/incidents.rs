//! Acts on the marked incident: its timeline, and that somebody acknowledges or closes it. Pure.

use super::actions;
use crate::model::Model;
use crate::model::keys::Act;
use crate::model::lists::incident;
use crate::model::screen::Screen;

/// Of an incident's timeline, what came so long before it began is shown as well, microseconds.
const BEFORE_US: u64 = 60_000_000;

/// Opens the timeline around the marked incident.
pub(crate) fn open_timeline(m: &mut Model) {
    let Some((key, row)) = incident(m) else { return };
    let from = row.began_us.unwrap_or(row.since_us).saturating_sub(BEFORE_US);
    m.lists.timeline = Some((key, from, None));
    m.screens.push(Screen::Timeline);
    m.lists.remember_mark();
    m.lists.restart();
}

/// Acts on the marked incident: somebody acknowledges it, or it is over.
pub(crate) fn acknowledge_or_close(m: &mut Model, act: Act) {
    let Some((key, row)) = incident(m) else { return };
    let (id, name) = (row.incident.clone(), row.tenant_id.clone());
    actions::incident(m, key, name, &id, act == Act::Close);
}
