//! Incidents, ramps, freezes and administration: what nodes are asked for while such a screen is shown, and the marked
//! row. Pure.

use super::acts;
use super::keys::Act;
use super::metered;
use super::model::{Model, Screen};
use super::msg::Effect;
use super::tenants::RowKey;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::http::{FreezeList, IncidentRow, ProfileRow, SloStatus, TimelineRow, WindowRow};
use conductor_shared::ids::{KeyId, TenantUid};
use conductor_shared::operator::{OperatorKey, roles_text};
use conductor_shared::ramp::Selector;
use std::collections::BTreeMap;

/// How often a list is asked for while it is shown, microseconds.
const EVERY_US: u64 = 2_000_000;
/// Of an incident's timeline, what came so long before it began is shown as well, microseconds.
const BEFORE_US: u64 = 60_000_000;

/// What the boards know.
#[derive(Debug, Default)]
pub(crate) struct Boards {
    /// Open incidents, by node.
    pub(crate) incidents: BTreeMap<usize, Vec<IncidentRow>>,
    /// Profiles, windows and what is frozen, by node.
    pub(crate) freezes: BTreeMap<usize, FreezeList>,
    /// What is seen under the ramps of one tenant.
    pub(crate) slo: Option<(RowKey, Vec<SloStatus>)>,
    /// The timeline of one log: whose, and from when on; `None` while it is on its way.
    pub(crate) timeline: Option<(RowKey, u64, Option<Vec<TimelineRow>>)>,
    /// What each node said last that was no list.
    pub(crate) errors: BTreeMap<usize, String>,
    /// The marked row.
    pub(crate) place: usize,
    /// First row that is shown.
    pub(crate) offset: usize,
    /// The incident that is marked: lists change under the mark, and it must not slip to another one.
    marked: Option<(usize, String)>,
    asked: Option<(Screen, u64)>,
    /// Words that a row must have, and on which screen.
    filter: Option<(Screen, String)>,
}

impl Boards {
    /// The filter of a screen; empty when there is none.
    pub(crate) fn filter(&self, screen: Screen) -> &str {
        self.filter.as_ref().filter(|(s, _)| *s == screen).map_or("", |(_, words)| words)
    }

    /// Sets it. The mark goes to the first row that is left.
    pub(crate) fn set_filter(&mut self, screen: Screen, words: &str) {
        self.filter = (!words.trim().is_empty()).then(|| (screen, words.to_owned()));
        (self.place, self.offset, self.marked) = (0, 0, None);
    }

    /// True when all words of the filter are in one of these texts.
    pub(super) fn hit(&self, screen: Screen, texts: &[&str]) -> bool {
        let mut words = self.filter(screen).split_whitespace().map(str::to_lowercase);
        words.all(|w| texts.iter().any(|t| t.to_lowercase().contains(&w)))
    }

    /// Moves the mark within so many rows.
    pub(crate) fn step(&mut self, by: isize, rows: usize) {
        self.place = self.place.saturating_add_signed(by).min(rows.saturating_sub(1));
    }

    /// Keeps the marked row on a page of so many.
    pub(crate) fn reveal(&mut self, page: usize, rows: usize) {
        let page = page.max(1);
        self.place = self.place.min(rows.saturating_sub(1));
        self.offset = self.offset.min(self.place).max((self.place + 1).saturating_sub(page));
    }

    /// Open incidents of a node came: the marked one stays marked, wherever it stands now.
    pub(crate) fn take_incidents(&mut self, agent: usize, list: Vec<IncidentRow>) {
        self.incidents.insert(agent, list);
        self.find_marked();
    }

    fn find_marked(&mut self) {
        let Some((agent, id)) = &self.marked else { return };
        let at = self.all_incidents().iter().position(|(a, r)| a == agent && r.incident == *id);
        self.place = at.unwrap_or(self.place);
    }

    /// Keeps in mind which incident is marked.
    pub(crate) fn remember_mark(&mut self) {
        self.marked = self.all_incidents().get(self.place).map(|(a, r)| (*a, r.incident.clone()));
    }

    /// Back on the list of incidents.
    pub(crate) fn back_to_list(&mut self) {
        (self.place, self.offset, self.asked) = (0, 0, None);
        self.find_marked();
    }

    /// A node answered, or did not.
    pub(crate) fn told<T>(&mut self, agent: usize, got: Result<T, String>) -> Option<T> {
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

    /// Another screen is shown: from its first row.
    pub(crate) fn top(&mut self) {
        (self.place, self.offset, self.asked) = (0, 0, None);
        self.marked = None;
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

/// Rules of the tenant that is shown, with what is seen under each, where that is known.
pub(crate) fn ramps(m: &Model) -> Vec<(Selector, BasisPoints, Option<&SloStatus>)> {
    let Some(key) = m.subject() else { return vec![] };
    let seen =
        m.boards.slo.as_ref().filter(|(k, _)| *k == key).map(|(_, s)| s.as_slice()).unwrap_or_default();
    let Some(state) = m.state(key) else { return vec![] };
    let of = |s: &Selector| seen.iter().find(|x| x.selector == *s);
    let rules = state.ramps.iter().map(|(s, r)| (s.clone(), r.hundredths, of(s)));
    rules.filter(|(s, ..)| m.boards.hit(Screen::Ramps, &[&s.to_string()])).collect()
}

/// Rows of the timeline that is shown. `None` while they are on their way.
pub(crate) fn timeline(m: &Model) -> Option<Vec<&TimelineRow>> {
    let rows = m.boards.timeline.as_ref()?.2.as_ref()?;
    let hit = |r: &&TimelineRow| {
        let who = r.person.as_ref().map_or("-", conductor_shared::ids::Ident::as_str);
        m.boards.hit(Screen::Timeline, &[&r.words, who, &r.index.to_string()])
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
        m.boards.hit(Screen::Admin, &[k.name.as_str(), &id.to_string(), &roles_text(&k.roles), state])
    });
    all.sort_by_key(|(id, k): &(KeyId, &OperatorKey)| (k.name.clone(), k.revoked.is_some(), *id));
    all
}

/// Rows of the list on the present screen.
pub(crate) fn rows(m: &Model) -> usize {
    match m.screen() {
        Screen::Incidents => m.boards.all_incidents().len(),
        Screen::Timeline => timeline(m).map_or(0, |rows| rows.len()),
        Screen::Ramps => ramps(m).len(),
        Screen::Freezes => m.boards.windows().len(),
        Screen::Admin => persons(m).len(),
        Screen::Usage => metered::usage_rows(m).len(),
        Screen::Cost => metered::cost_rows(m).len(),
        _ => 0,
    }
}

/// The marked incident, and the log that it is in.
pub(crate) fn incident(m: &Model) -> Option<(RowKey, &IncidentRow)> {
    let all = m.boards.all_incidents();
    all.get(m.boards.place).map(|(agent, r)| (RowKey { agent: *agent, tenant: r.tenant_uid }, *r))
}

/// Asks the nodes while a board is shown.
pub(crate) fn tick(m: &mut Model, out: &mut Vec<Effect>) {
    let screen = m.screen();
    if !matches!(
        screen,
        Screen::Incidents
            | Screen::Timeline
            | Screen::Ramps
            | Screen::Freezes
            | Screen::Admin
            | Screen::Usage
            | Screen::Cost
    ) {
        m.boards.asked = None;
        return;
    }
    let now = m.now.mono_us;
    let every = if matches!(screen, Screen::Usage | Screen::Cost) { metered::EVERY_US } else { EVERY_US };
    if m.boards.asked.is_some_and(|(s, at)| s == screen && now.saturating_sub(at) < every) {
        return;
    }
    m.boards.asked = Some((screen, now));
    let agents: Vec<usize> = (0..m.agents.len()).filter(|a| m.agents[*a].session.is_some()).collect();
    match screen {
        Screen::Incidents => out.extend(agents.into_iter().map(Effect::Incidents)),
        Screen::Freezes => out.extend(agents.into_iter().map(Effect::Freezes)),
        Screen::Ramps => out.extend(m.subject().filter(|k| agents.contains(&k.agent)).map(Effect::Slo)),
        Screen::Usage | Screen::Cost => {
            let range = m.metered.choice();
            let key = m.subject().filter(|k| agents.contains(&k.agent));
            out.extend(key.map(|k| match screen {
                Screen::Usage => Effect::Usage(k, range),
                _ => Effect::Cost(k, range),
            }));
        }
        Screen::Timeline => {
            out.extend(m.boards.timeline.as_ref().map(|(key, from, _)| Effect::Timeline(*key, *from)));
        }
        _ => {}
    }
}

/// Opens the timeline around the marked incident.
pub(crate) fn open_timeline(m: &mut Model) {
    let Some((key, row)) = incident(m) else { return };
    let from = row.began_us.unwrap_or(row.since_us).saturating_sub(BEFORE_US);
    m.boards.timeline = Some((key, from, None));
    m.screens.push(Screen::Timeline);
    m.boards.remember_mark();
    (m.boards.place, m.boards.offset, m.boards.asked) = (0, 0, None);
}

/// Acts on the marked incident: somebody looks after it, or it is over.
pub(crate) fn look_after(m: &mut Model, act: Act) {
    let Some((key, row)) = incident(m) else { return };
    let (id, name) = (row.incident.clone(), row.tenant_id.clone());
    acts::incident(m, key, name, &id, act == Act::Close);
}
