//! A range of receipts with its proof, read line by line: never all of it in memory.

use super::error::ClientError;
use super::http::{AgentClient, Bearer, Call};
use conductor_shared::control::MAX_STATE;
use conductor_shared::ids::TenantUid;
use reqwest::Response;

/// Longest line of an export, bytes: the snapshot of a large control state, in base64, and room.
pub const MAX_LINE: usize = 2 * MAX_STATE;

/// The lines of an export.
#[derive(Debug)]
pub struct Lines {
    agent: AgentClient,
    answer: Response,
    held: Vec<u8>,
    /// Where the next line begins in `held`.
    start: usize,
    over: bool,
}

impl AgentClient {
    pub async fn export(
        &self,
        bearer: &Bearer,
        tenant: TenantUid,
        from: u64,
        to: u64,
    ) -> Result<Lines, ClientError> {
        let path = format!("/v1/tenants/{tenant}/receipts/export?from={from}&to={to}");
        let answer = self.send(Call::get("receipt_export", path, bearer), None).await?;
        Ok(Lines { agent: self.clone(), answer, held: vec![], start: 0, over: false })
    }
}

impl Lines {
    /// The next line without its newline; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        const NAME: &str = "receipt_export";
        let mut looked = self.start;
        loop {
            if let Some(at) = self.held[looked..].iter().position(|b| *b == b'\n') {
                let line = self.held[self.start..looked + at].to_vec();
                self.start = looked + at + 1;
                return Ok(Some(line));
            }
            self.held.drain(..self.start);
            self.start = 0;
            looked = self.held.len();
            if looked > MAX_LINE {
                return Err(self.agent.bad(NAME, &format!("a line is longer than {MAX_LINE} bytes")));
            }
            if self.over {
                let rest = std::mem::take(&mut self.held);
                return Ok((!rest.is_empty()).then_some(rest));
            }
            match self.answer.chunk().await.map_err(|e| self.agent.broken(NAME, &e))? {
                Some(part) => self.held.extend_from_slice(&part),
                None => self.over = true,
            }
        }
    }
}
