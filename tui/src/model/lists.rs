//! State of the polled lists: incidents, timeline, ramps, freezes and administration, with one selected row. Pure.

use super::cursor::ListCursor;
use crate::model::screen::Screen;
use crate::model::tenants::RowKey;
use crate::model::{Model, usage_cost};
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::clock::{MonoTime, WallTime};
use conductor_shared::http::{FreezeList, IncidentRow, ProfileRow, SloStatus, TimelineRow, WindowRow};
use conductor_shared::ids::{KeyId, TenantUid};
use conductor_shared::operator::{OperatorKey, roles_text};
use conductor_shared::ramp::Selector;
use std::collections::BTreeMap;

/// What the polled lists know.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// Open incidents, by node.
    pub(crate) incidents: BTreeMap<usize, Vec<IncidentRow>>,
    /// Profiles, windows and what is frozen, by node.
    pub(crate) freezes: BTreeMap<usize, FreezeList>,
    /// SLO status of the ramps of one tenant.
    pub(crate) slo: Option<(RowKey, Vec<SloStatus>)>,
    /// The timeline of one log: which log, from which time; `None` until it arrives.
    pub(crate) timeline: Option<(RowKey, WallTime, Option<Vec<TimelineRow>>)>,
    /// The last error of each node.
    pub(crate) errors: BTreeMap<usize, String>,
    pub(crate) cursor: ListCursor,
    /// The selected incident by id: the selection must not slip to another one when the list changes.
    marked: Option<(usize, String)>,
    pub(crate) asked: Option<(Screen, MonoTime)>,
    /// The filter, and the screen it belongs to.
    filter: Option<(Screen, String)>,
}

impl Lists {
    /// The filter of a screen; empty when there is none.
    pub(crate) fn filter(&self, screen: Screen) -> &str {
        self.filter.as_ref().filter(|(s, _)| *s == screen).map_or("", |(_, words)| words)
    }

    /// Sets it and selects the first row.
    pub(crate) fn set_filter(&mut self, screen: Screen, words: &str) {
        self.filter = (!words.trim().is_empty()).then(|| (screen, words.to_owned()));
        (self.cursor, self.marked) = (ListCursor::default(), None);
    }

    /// True when each word of the filter occurs in one of these texts.
    pub(crate) fn hit(&self, screen: Screen, texts: &[&str]) -> bool {
        let mut words = self.filter(screen).split_whitespace().map(str::to_lowercase);
        words.all(|w| texts.iter().any(|t| t.to_lowercase().contains(&w)))
    }

    /// Takes the open incidents of a node and keeps the selected one selected.
    pub(crate) fn take_incidents(&mut self, agent: usize, list: Vec<IncidentRow>) {
        self.incidents.insert(agent, list);
        self.find_marked();
    }

    fn find_marked(&mut self) {
        let Some((agent, id)) = &self.marked else { return };
        let at = self.all_incidents().iter().position(|(a, r)| a == agent && r.incident == *id);
        self.cursor.place = at.unwrap_or(self.cursor.place);
    }

    /// Remembers the selected incident by its id.
    pub(crate) fn remember_mark(&mut self) {
        self.marked = self.all_incidents().get(self.cursor.place).map(|(a, r)| (*a, r.incident.clone()));
    }

    /// Back on the list of incidents: selects the same one again.
    pub(crate) fn back_to_list(&mut self) {
        self.restart();
        self.find_marked();
    }

    /// Takes the reply of a node; keeps its error.
    pub(crate) fn reply<T>(&mut self, agent: usize, got: Result<T, String>) -> Option<T> {
        match got {
            Ok(t) => {
                self.errors.remove(&agent);
                Some(t)
            }
            Err(e) => {
                self.errors.insert(agent, e);
                None
            }
        }
    }

    /// Another screen is shown: starts at its first row.
    pub(crate) fn top(&mut self) {
        self.restart();
        self.marked = None;
    }

    /// Starts at the first row and polls at once.
    pub(crate) fn restart(&mut self) {
        (self.cursor, self.asked) = (ListCursor::default(), None);
    }

    /// Incidents of all nodes, newest first.
    pub(crate) fn all_incidents(&self) -> Vec<(usize, &IncidentRow)> {
        let each = self.incidents.iter().flat_map(|(a, rows)| rows.iter().map(|r| (*a, r)));
        let hit = |r: &IncidentRow| {
            let who = r.acknowledged_by.as_ref().map_or("nobody", conductor_shared::ids::Ident::as_str);
            let texts = [r.tenant_id.as_str(), r.cause.as_str(), &r.detail.escaped(300), who];
            self.hit(Screen::Incidents, &texts)
        };
        let mut all: Vec<_> = each.filter(|(_, r)| hit(r)).collect();
        all.sort_by_key(|(a, r)| (std::cmp::Reverse(r.since_us), *a, r.incident.clone()));
        all
    }

    /// Freeze windows of all nodes.
    pub(crate) fn windows(&self) -> Vec<(usize, &ProfileRow, &WindowRow)> {
        let of = |(a, list): (&usize, &FreezeList)| -> Vec<(usize, usize, usize)> {
            let profiles = list.profiles.iter().enumerate();
            profiles
                .flat_map(|(p, row)| (0..row.windows.len()).map(move |w| (p, w)))
                .map(|(p, w)| (*a, p, w))
                .collect()
        };
        let places = self.freezes.iter().flat_map(of);
        places
            .filter_map(|(a, p, w)| {
                let profile = self.freezes.get(&a)?.profiles.get(p)?;
                Some((a, profile, profile.windows.get(w)?))
            })
            .filter(|(_, p, w)| {
                let state = if w.active { "open" } else { "closed" };
                let texts = [p.profile.as_str(), w.window.as_str(), &w.when.to_string(), state];
                self.hit(Screen::Freezes, &texts)
            })
            .collect()
    }
}

/// Ramp rules of the tenant that is shown, with their SLO status where it is known.
pub(crate) fn ramps(m: &Model) -> Vec<(Selector, BasisPoints, Option<&SloStatus>)> {
    let Some(key) = m.subject() else { return vec![] };
    let seen = m.lists.slo.as_ref().filter(|(k, _)| *k == key).map(|(_, s)| s.as_slice()).unwrap_or_default();
    let Some(state) = m.state(key) else { return vec![] };
    let of = |s: &Selector| seen.iter().find(|x| x.selector == *s);
    let rules = state.ramps.iter().map(|(s, r)| (s.clone(), r.hundredths, of(s)));
    rules.filter(|(s, ..)| m.lists.hit(Screen::Ramps, &[&s.to_string()])).collect()
}

/// Rows of the timeline that is shown. `None` until they arrive.
pub(crate) fn timeline(m: &Model) -> Option<Vec<&TimelineRow>> {
    let rows = m.lists.timeline.as_ref()?.2.as_ref()?;
    let hit = |r: &&TimelineRow| {
        let who = r.person.as_ref().map_or("-", conductor_shared::ids::Ident::as_str);
        m.lists.hit(Screen::Timeline, &[&r.words, who, &r.index.to_string()])
    };
    Some(rows.iter().filter(hit).collect())
}

/// Keys of persons on the selected node, by name.
pub(crate) fn persons(m: &Model) -> Vec<(KeyId, &OperatorKey)> {
    let state = m.agents.get(m.agent).and_then(|a| a.states.get(&TenantUid::NODE));
    let mut all: Vec<_> =
        state.map(|s| s.operators.iter().map(|(id, k)| (*id, k)).collect()).unwrap_or_default();
    all.retain(|(id, k): &(KeyId, &OperatorKey)| {
        let state = if k.live() { "live" } else { "out" };
        m.lists.hit(Screen::Admin, &[k.name.as_str(), &id.to_string(), &roles_text(&k.roles), state])
    });
    all.sort_by_key(|(id, k): &(KeyId, &OperatorKey)| (k.name.clone(), k.revoked.is_some(), *id));
    all
}

/// Number of rows of the current screen's list.
pub(crate) fn rows(m: &Model) -> usize {
    match m.screen() {
        Screen::Incidents => m.lists.all_incidents().len(),
        Screen::Timeline => timeline(m).map_or(0, |rows| rows.len()),
        Screen::Ramps => ramps(m).len(),
        Screen::Freezes => m.lists.windows().len(),
        Screen::Admin => persons(m).len(),
        Screen::Usage => usage_cost::usage_rows(m).len(),
        Screen::Cost => usage_cost::cost_rows(m).len(),
        _ => 0,
    }
}

/// The selected incident, and the log that it is in.
pub(crate) fn incident(m: &Model) -> Option<(RowKey, &IncidentRow)> {
    let all = m.lists.all_incidents();
    all.get(m.lists.cursor.place).map(|(agent, r)| (RowKey { agent: *agent, tenant: r.tenant_uid }, *r))
}
