//! The rows of all tenants of all agents, with their order, filter and selection.
//!
//! Sorting and filtering happen when rows come or the filter changes, never in a frame. The selection is the identity
//! of a row, not its number, so that a list that moves cannot redirect an action.

use crate::model::cursor::revealed;
use crate::model::spark::Spark;
use conductor_shared::clock::MonoTime;
use conductor_shared::ids::TenantUid;
use conductor_shared::stream::{
    FLAG_DRAINING, FLAG_FROZEN, FLAG_KILLED, FLAG_NEWER, FLAG_PENDING, FLAG_QUOTA, FLAG_RAMPED, Summary,
};
use std::collections::HashMap;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// Which row: the agent's place in the list of endpoints, and the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RowKey {
    /// Place of the agent.
    pub(crate) agent: usize,
    pub(crate) tenant: TenantUid,
}

/// One tenant on one node.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) key: RowKey,
    pub(crate) summary: Summary,
    /// History of its answers.
    pub(crate) spark: Spark,
    /// This console saw its log fork or shrink.
    pub(crate) forked: bool,
}

impl Row {
    /// True when a flag is set.
    pub(crate) fn flag(&self, flag: u16) -> bool {
        self.summary.flags & flag != 0
    }
}

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Sort {
    Name,
    /// What needs attention first.
    Trouble,
    Backlog,
    Denied,
    Runs,
    Ramp,
}

impl Sort {
    /// The word on the screen.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

/// Counts over all rows of one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TenantCounts {
    pub(crate) tenants: usize,
    /// With a kill switch.
    pub(crate) killed: usize,
    /// With a ramp below 100 %.
    pub(crate) ramped: usize,
    /// With an open incident.
    pub(crate) incidents: usize,
    /// Denied by quota in the last minute.
    pub(crate) quota: usize,
    /// With facts newer than the agent.
    pub(crate) newer: usize,
    /// With a change that waits for its checkpoint.
    pub(crate) pending: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Tenants {
    rows: Vec<Row>,
    index: HashMap<RowKey, usize>,
    /// Places in `rows`, filtered and sorted.
    order: Vec<usize>,
    /// Place in `order` of each row that is shown.
    place: Vec<usize>,
    pub(crate) selected: Option<RowKey>,
    /// First row on the screen, a place in `order`.
    pub(crate) offset: usize,
    pub(crate) sort: Sort,
    pub(crate) reverse: bool,
    filter: String,
    /// Node and environment of each agent, for `@` filters.
    pub(crate) agent_words: Vec<String>,
    counts: Vec<TenantCounts>,
    resort: bool,
}

const HIDDEN: usize = usize::MAX;

impl Default for Tenants {
    fn default() -> Self {
        Self {
            rows: vec![],
            index: HashMap::new(),
            order: vec![],
            place: vec![],
            selected: None,
            offset: 0,
            sort: Sort::Name,
            reverse: false,
            filter: String::new(),
            agent_words: vec![],
            counts: vec![],
            resort: false,
        }
    }
}

impl Tenants {
    /// Takes a batch of summaries of one agent.
    pub(crate) fn apply(&mut self, agent: usize, mono: MonoTime, batch: Vec<Summary>) {
        let touchy = self.sort != Sort::Name || !self.filter.is_empty();
        for s in batch {
            let key = RowKey { agent, tenant: s.tenant };
            let Some(&at) = self.index.get(&key) else {
                self.index.insert(key, self.rows.len());
                self.rows.push(Row { key, summary: s, spark: Spark::default(), forked: false });
                self.resort = true;
                continue;
            };
            let row = &mut self.rows[at];
            let allowed = s.allowed.saturating_sub(row.summary.allowed);
            let denied = s.denied.saturating_sub(row.summary.denied);
            if allowed > 0 || denied > 0 {
                row.spark.add(mono, allowed, denied);
            }
            self.resort |= touchy || row.summary.name != s.name || row.summary.flags != s.flags;
            self.resort |= row.summary.incidents != s.incidents;
            row.summary = s;
        }
        if self.resort {
            self.refresh(mono);
        }
    }

    /// Forgets the rows of an agent: another node answers there.
    pub(crate) fn forget(&mut self, agent: usize, mono: MonoTime) {
        self.rows.retain(|r| r.key.agent != agent);
        self.index = self.rows.iter().enumerate().map(|(i, r)| (r.key, i)).collect();
        self.refresh(mono);
    }

    /// Sorts and filters again.
    pub(crate) fn refresh(&mut self, mono: MonoTime) {
        self.resort = false;
        let words: Vec<&str> = self.filter.split_whitespace().collect();
        let mut order: Vec<usize> =
            (0..self.rows.len()).filter(|i| self.matches(&self.rows[*i], &words)).collect();
        let rows = &self.rows;
        let by = |i: &usize| -> (u64, u64) {
            let r = &rows[*i];
            let high = |n: u64| u64::MAX - n;
            match self.sort {
                Sort::Name => (0, 0),
                Sort::Trouble => (high(trouble(r)), high(r.summary.backlog())),
                Sort::Backlog => (high(r.summary.backlog()), 0),
                // Rates are small and never negative.
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                Sort::Denied => (high((r.spark.deny_rate(mono) * 10.0) as u64), high(r.summary.denied)),
                Sort::Runs => (high(u64::from(r.summary.open_runs)), 0),
                Sort::Ramp => (r.summary.ramp.into(), 0),
            }
        };
        let mut keyed: Vec<((u64, u64), usize)> = order.iter().map(|i| (by(i), *i)).collect();
        keyed.sort_by(|(a, i), (b, j)| {
            let (r, s) = (&rows[*i], &rows[*j]);
            a.cmp(b).then_with(|| r.summary.name.cmp(&s.summary.name)).then(r.key.cmp(&s.key))
        });
        order.clear();
        order.extend(keyed.into_iter().map(|(_, i)| i));
        if self.reverse {
            order.reverse();
        }
        self.place.clear();
        self.place.resize(self.rows.len(), HIDDEN);
        for (n, i) in order.iter().enumerate() {
            self.place[*i] = n;
        }
        self.order = order;
        if self.selected.is_none() {
            self.selected = self.order.first().map(|i| self.rows[*i].key);
        }
        self.count();
    }

    fn count(&mut self) {
        self.counts.clear();
        for r in &self.rows {
            if self.counts.len() <= r.key.agent {
                self.counts.resize(r.key.agent + 1, TenantCounts::default());
            }
            let c = &mut self.counts[r.key.agent];
            c.tenants += 1;
            c.killed += usize::from(r.flag(FLAG_KILLED));
            c.ramped += usize::from(r.flag(FLAG_RAMPED));
            c.incidents += usize::from(r.summary.incidents > 0);
            c.quota += usize::from(r.flag(FLAG_QUOTA));
            c.newer += usize::from(r.flag(FLAG_NEWER));
            c.pending += usize::from(r.flag(FLAG_PENDING));
        }
    }

    fn matches(&self, r: &Row, words: &[&str]) -> bool {
        words.iter().all(|w| match *w {
            "killed" => r.flag(FLAG_KILLED),
            "draining" => r.flag(FLAG_DRAINING),
            "frozen" => r.flag(FLAG_FROZEN),
            "ramped" => r.flag(FLAG_RAMPED),
            "quota" => r.flag(FLAG_QUOTA),
            "newer" => r.flag(FLAG_NEWER),
            "pending" => r.flag(FLAG_PENDING),
            "incident" => r.summary.incidents > 0,
            "forked" => r.forked,
            w => match w.strip_prefix('@') {
                Some(node) => self.agent_words.get(r.key.agent).is_some_and(|t| t.contains(node)),
                None => r.summary.name.as_str().contains(w),
            },
        })
    }

    /// The filter as typed.
    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }

    /// Filters by words: a part of the name, `@node` or `@environment`, or one of the marks.
    pub(crate) fn set_filter(&mut self, filter: &str, mono: MonoTime) {
        filter.clone_into(&mut self.filter);
        self.refresh(mono);
        self.offset = 0;
        if self.place().is_none() {
            self.selected = self.order.first().map(|i| self.rows[*i].key);
        }
    }

    /// Counts over the rows of an agent.
    pub(crate) fn counts(&self, agent: usize) -> TenantCounts {
        self.counts.get(agent).copied().unwrap_or_default()
    }

    /// Rows that pass the filter.
    pub(crate) fn shown(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn total(&self) -> usize {
        self.rows.len()
    }

    /// The rows at these places, in order.
    pub(crate) fn window(&self, from: usize, len: usize) -> impl Iterator<Item = &Row> {
        self.order.iter().skip(from).take(len).map(|i| &self.rows[*i])
    }

    pub(crate) fn get(&self, key: RowKey) -> Option<&Row> {
        self.index.get(&key).map(|i| &self.rows[*i])
    }

    /// A row, to mark it.
    pub(crate) fn get_mut(&mut self, key: RowKey) -> Option<&mut Row> {
        self.index.get(&key).map(|i| &mut self.rows[*i])
    }

    /// The `n`th row in order of arrival, for round-robin checks.
    pub(crate) fn nth(&self, n: usize) -> Option<&Row> {
        self.rows.get(n)
    }

    /// Rows whose name is this.
    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |r| r.summary.name.as_str() == name)
    }

    /// Names with this prefix, for completion.
    pub(crate) fn completions(&self, start: &str, max: usize) -> Vec<String> {
        let each = self.rows.iter().map(|r| r.summary.name.as_str()).filter(|n| n.starts_with(start));
        let mut names: Vec<String> = each.take(200).map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(max);
        names
    }

    pub(crate) fn selected_row(&self) -> Option<&Row> {
        self.get(self.selected?)
    }

    /// Place of the selected row among those shown.
    pub(crate) fn place(&self) -> Option<usize> {
        let at = self.index.get(&self.selected?)?;
        self.place.get(*at).copied().filter(|p| *p != HIDDEN)
    }

    /// Selects the row at a place.
    pub(crate) fn select_place(&mut self, place: usize) {
        let last = self.order.len().saturating_sub(1);
        if let Some(i) = self.order.get(place.min(last)) {
            self.selected = Some(self.rows[*i].key);
        }
    }

    /// Moves the selection by rows, and the window after it.
    pub(crate) fn step(&mut self, by: isize) {
        let at = self.place().unwrap_or(self.offset);
        self.select_place(at.saturating_add_signed(by));
    }

    /// Keeps the selection within a window of this many rows.
    pub(crate) fn reveal(&mut self, height: usize) {
        self.offset = revealed(self.offset, self.place(), self.order.len(), height);
    }
}

/// Rank of a row by need of attention; 0 for none.
pub(crate) fn trouble(r: &Row) -> u64 {
    let marks = [
        (r.forked, 64),
        (r.summary.incidents > 0, 32),
        (r.flag(FLAG_KILLED), 16),
        (r.flag(FLAG_QUOTA), 8),
        (r.flag(FLAG_PENDING), 4),
        (r.flag(FLAG_NEWER), 2),
        (r.flag(FLAG_RAMPED), 1),
    ];
    marks.iter().filter(|m| m.0).map(|m| m.1).sum()
}

#[cfg(test)]
#[path = "tenants_tests.rs"]
mod tests;
