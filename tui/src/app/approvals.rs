//! What waits for a second person, on all nodes. It is answered by [`super::approve`], or by `conductor approval`. Pure.

use super::model::Model;
use super::msg::Effect;
use conductor_shared::command::Command;
use conductor_shared::http::RequestRow;

/// How often the list is asked for while it is shown, microseconds.
const EVERY_US: u64 = 2_000_000;
/// Requests of one node that are kept: as many as wait in its logs at most would not be read by anybody.
const MOST: usize = 1_000;

/// A request, with the command read from the very text that an approver signs.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// Which agent.
    pub(crate) agent: usize,
    /// As the agent tells it.
    pub(crate) row: RequestRow,
    /// `None`: the agent shows a text that is no command, or another one.
    pub(crate) command: Option<Command>,
}

/// The screen's state.
#[derive(Debug, Default)]
pub(crate) struct Approvals {
    /// All that wait, by node.
    pub(crate) rows: Vec<Waiting>,
    /// The marked one.
    pub(crate) place: usize,
    /// First row that is shown.
    pub(crate) offset: usize,
    /// What each node said last that was no list.
    pub(crate) errors: Vec<(usize, String)>,
    /// Nodes that have answered since the start.
    pub(crate) answered: bool,
    asked_us: Option<u64>,
}

impl Approvals {
    /// The marked one.
    pub(crate) fn selected(&self) -> Option<&Waiting> {
        self.rows.get(self.place)
    }

    /// Moves the mark.
    pub(crate) fn step(&mut self, by: isize) {
        let last = self.rows.len().saturating_sub(1);
        self.place = self.place.saturating_add_signed(by).min(last);
    }

    /// Keeps the marked row on a page of so many.
    pub(crate) fn reveal(&mut self, page: usize) {
        let page = page.max(1);
        self.offset = self.offset.min(self.place).max((self.place + 1).saturating_sub(page));
    }

    /// A node answered.
    pub(crate) fn take(&mut self, agent: usize, got: Result<Vec<RequestRow>, String>) {
        let marked = self.selected().map(|w| (w.agent, w.row.command_id));
        self.errors.retain(|(a, _)| *a != agent);
        match got {
            Err(e) => self.errors.push((agent, e)),
            Ok(list) => {
                self.answered = true;
                self.rows.retain(|w| w.agent != agent);
                self.rows.extend(list.into_iter().take(MOST).map(|row| {
                    let command = Command::parse(row.text.as_bytes()).ok();
                    let command =
                        command.filter(|c| c.command_id == row.command_id && c.tenant == row.tenant_uid);
                    Waiting { agent, row, command }
                }));
                self.rows.sort_by_key(|w| (w.agent, w.row.tenant_id.clone(), w.row.receipt.index));
            }
        }
        let place = self.rows.iter().position(|w| Some((w.agent, w.row.command_id)) == marked);
        self.place = place.unwrap_or(self.place).min(self.rows.len().saturating_sub(1));
    }
}

/// Asks the nodes while the screen is shown.
pub(crate) fn tick(m: &mut Model, out: &mut Vec<Effect>) {
    if m.screen() != super::model::Screen::Approvals {
        m.approvals.asked_us = None;
        return;
    }
    let now = m.now.mono_us;
    if m.approvals.asked_us.is_some_and(|at| now.saturating_sub(at) < EVERY_US) {
        return;
    }
    m.approvals.asked_us = Some(now);
    out.extend((0..m.agents.len()).filter(|a| m.agents[*a].session.is_some()).map(Effect::Requests));
}
