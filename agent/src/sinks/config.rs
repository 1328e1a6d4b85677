//! `[[sink]]` of the agent's configuration.

use conductor_shared::ids::Ident;
use serde::Deserialize;
use std::path::PathBuf;

/// One sink.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// Its cursors are stored under this name.
    pub name: Ident,
    /// `https://host/path`, to which batches are posted. Either this or `folder`.
    #[serde(default)]
    pub url: Option<String>,
    /// CA certificates for https, PEM.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Allows `http://`, without encryption.
    #[serde(default)]
    pub allow_plain: bool,
    /// File with the bearer token for the receiver.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Folder for files of JSON lines.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// Size, bytes, at which the next file is begun.
    #[serde(default = "max_file")]
    pub max_file_bytes: u64,
    /// Events in one delivery, 1 to 1000.
    #[serde(default = "batch")]
    pub batch: usize,
    /// Timeout of a delivery, milliseconds.
    #[serde(default = "timeout")]
    pub timeout_ms: u64,
}

fn max_file() -> u64 {
    64 << 20
}
fn batch() -> usize {
    200
}
fn timeout() -> u64 {
    10_000
}

impl SinkConfig {
    pub fn check(&self) -> Result<(), String> {
        match (&self.url, &self.folder) {
            (Some(_), None) | (None, Some(_)) => {}
            _ => return Err(format!("{}: name either a url or a folder", self.name)),
        }
        if let Some(url) = &self.url {
            let (plain, tls) = (url.starts_with("http://"), url.starts_with("https://"));
            if plain && !self.allow_plain {
                return Err(format!("{}: {url} is not encrypted: use https, or set allow_plain", self.name));
            }
            if !plain && !tls {
                return Err(format!("{}: expected a url such as https://host/path", self.name));
            }
            if tls && self.ca.is_none() {
                return Err(format!("{}: https needs ca, the certificates to trust", self.name));
            }
        }
        if !(1..=1_000).contains(&self.batch) || !(100..=120_000).contains(&self.timeout_ms) {
            return Err(format!(
                "{}: expected a batch of 1 to 1000 and a timeout_ms of 100 to 120000",
                self.name
            ));
        }
        if self.max_file_bytes < 4_096 {
            return Err(format!("{}: expected max_file_bytes of at least 4096", self.name));
        }
        Ok(())
    }

    /// The receiver, for display.
    pub fn target(&self) -> String {
        let folder = || self.folder.as_ref().map(|f| f.display().to_string());
        self.url.clone().or_else(folder).unwrap_or_default()
    }
}
