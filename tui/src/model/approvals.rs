//! Requests of all nodes that wait for a second person. Answered here or by `conductor approval`. Pure.

use super::cursor::ListCursor;
use conductor_shared::clock::MonoTime;
use conductor_shared::command::Command;
use conductor_shared::http::RequestRow;

/// Requests of one node that are kept; nobody reads a longer list.
const MOST: usize = 1_000;

/// A request, with the command parsed from the exact text that an approver signs.
#[derive(Debug, Clone)]
pub(crate) struct PendingRequest {
    pub(crate) agent: usize,
    /// As the agent tells it.
    pub(crate) row: RequestRow,
    /// `None`: the agent sent a text that is no command, or another command.
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Default)]
pub(crate) struct Approvals {
    /// All pending requests, by node.
    pub(crate) rows: Vec<PendingRequest>,
    pub(crate) cursor: ListCursor,
    /// The last error of each node.
    pub(crate) errors: Vec<(usize, String)>,
    /// Nodes that have answered since the start.
    pub(crate) answered: bool,
    pub(crate) asked: Option<MonoTime>,
}

impl Approvals {
    pub(crate) fn selected(&self) -> Option<&PendingRequest> {
        self.rows.get(self.cursor.place)
    }

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
                    PendingRequest { agent, row, command }
                }));
                self.rows.sort_by_key(|w| (w.agent, w.row.tenant_id.clone(), w.row.receipt.index));
            }
        }
        let place = self.rows.iter().position(|w| Some((w.agent, w.row.command_id)) == marked);
        self.cursor.place = place.unwrap_or(self.cursor.place).min(self.rows.len().saturating_sub(1));
    }
}
