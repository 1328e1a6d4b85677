//! The result of a command: text or JSON, and an exit code. The only place that writes to standard output.

use crate::client::error::ClientError;
use crate::client::keys::KeyError;
use conductor_shared::untrusted::escape;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

pub const EXIT_OK: u8 = 0;
pub const EXIT_FAILED: u8 = 1;
pub const EXIT_INPUT: u8 = 2;

/// What a command did.
#[derive(Debug, Clone)]
pub struct Output {
    pub text: String,
    pub json: Value,
    pub code: u8,
}

impl Output {
    pub fn ok(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, code: EXIT_OK }
    }
}

/// Why a command did nothing, or not what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The agent, or the way to it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Input that cannot be carried out.
    #[error("{0}")]
    Input(String),
    /// It was tried and failed.
    #[error("{0}")]
    Failed(String),
}

impl From<KeyError> for CliError {
    fn from(e: KeyError) -> Self {
        Self::Client(e.into())
    }
}

impl CliError {
    pub fn code(&self) -> u8 {
        match self {
            Self::Client(ClientError::Usage(_) | ClientError::Key(_)) | Self::Input(_) => EXIT_INPUT,
            Self::Client(_) | Self::Failed(_) => EXIT_FAILED,
        }
    }

    /// For programs: the whole problem document of the agent, if there is one.
    pub fn json(&self) -> Value {
        let problem = match self {
            Self::Client(e) => e.problem(),
            _ => None,
        };
        json!({ "error": self.to_string(), "problem": problem })
    }
}

/// Text of several lines, each escaped.
pub fn lines(text: &str) -> String {
    text.lines().map(|l| escape(l, 4_000)).collect::<Vec<_>>().join("\n")
}

/// Bad input in a file: names it.
pub fn in_file(path: &Path, why: impl std::fmt::Display) -> CliError {
    CliError::Input(format!("{}: {why}", escape(&path.to_string_lossy(), 200)))
}

/// Writes a result to standard output or error and returns the exit code. A closed pipe is no error.
pub fn write(result: &Result<Output, CliError>, as_json: bool) -> u8 {
    let mut out = std::io::stdout().lock();
    let (text, code) = match result {
        Ok(o) if as_json => (pretty(&o.json), o.code),
        Ok(o) => (o.text.clone(), o.code),
        Err(e) => {
            if as_json {
                let _ = writeln!(out, "{}", pretty(&e.json()));
            }
            let _ = writeln!(std::io::stderr(), "conductor: {e}");
            return e.code();
        }
    };
    let text = text.trim_end_matches('\n');
    if !text.is_empty() {
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
    code
}

fn pretty(v: &Value) -> String {
    // A JSON value always has a text.
    serde_json::to_string_pretty(v).unwrap_or_default()
}

/// Columns with the widths of their widest cells. Cells must be escaped already.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    use unicode_width::UnicodeWidthStr;
    let mut widths: Vec<usize> = head.iter().map(|h| h.width()).collect();
    for row in rows {
        for (w, cell) in widths.iter_mut().zip(row) {
            *w = (*w).max(cell.width());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut out = String::new();
        for (cell, w) in cells.zip(&widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', w - cell.width() + 2));
        }
        out.trim_end().to_owned() + "\n"
    };
    let mut out = line(&mut head.iter().copied());
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

/// A receipt time for people: UTC to the millisecond.
pub fn time(us: u64) -> String {
    let us = i64::try_from(us).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_microsecond(us) {
        Ok(t) => t.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        Err(_) => format!("{us} us"),
    }
}
