//! The agent's configuration: strict TOML. An unknown field is an error that suggests the nearest known one.

use crate::policy::OpaConfig;
use crate::sinks::SinkConfig;
use crate::store::SpaceLimits;
use crate::writer::TightenLimit;
use conductor_shared::ids::Ident;
use conductor_shared::toml_error::suggestion;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Each sink reads all logs of the node.
const MAX_SINKS: usize = 8;

/// `conductord.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub name: Ident,
    /// A word that consoles show: production, staging, rehearsal...
    pub environment: Ident,
    /// Data folder: the database.
    pub data: PathBuf,
    /// Key store: a folder outside `data`, and never in the same backup.
    pub keys: PathBuf,
    /// `unix:/path`, `https://address:port`, or with `allow_plain` `http://address:port`.
    pub listen: Vec<String>,
    /// Allows TCP without TLS, for demos.
    #[serde(default)]
    pub allow_plain: bool,
    pub signer: SignerConfig,
    /// Folder for tenants' own sockets, on which workloads are authenticated by their unix user.
    #[serde(default)]
    pub tenant_sockets: Option<PathBuf>,
    /// Seconds after which a run or step without heartbeat expires.
    #[serde(default = "lease")]
    pub lease_seconds: u64,
    /// Limits of disk space.
    #[serde(default)]
    pub space: SpaceLimits,
    #[serde(default)]
    pub tighten: TightenConfig,
    #[serde(default)]
    pub policy: PolicyConfig,
    #[serde(default)]
    pub slo: SloConfig,
    #[serde(default)]
    pub clock: ClockConfig,
    #[serde(default, rename = "sink")]
    pub sinks: Vec<SinkConfig>,
}

/// When the wall clock counts as untrusted.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockConfig {
    /// Largest accepted step, milliseconds. A larger one opens an incident, and nothing is loosened until two admins
    /// confirm the time.
    pub tolerance_ms: u64,
}

impl Default for ClockConfig {
    fn default() -> Self {
        Self { tolerance_ms: 2_000 }
    }
}

/// The policy engine: built in, unless an OPA server is named.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    #[serde(default)]
    pub opa: Option<OpaConfig>,
}

/// Evaluation of ramps.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SloConfig {
    /// Milliseconds between two evaluations.
    pub evaluate_ms: u64,
    /// Seconds that a ramp set by hand must be observed before it can count as healthy.
    pub bake_seconds: u64,
}

impl Default for SloConfig {
    fn default() -> Self {
        Self { evaluate_ms: 10_000, bake_seconds: 3_600 }
    }
}

/// One person alone takes something from at most so many tenants and persons in `minutes`; more takes a second person.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TightenConfig {
    pub tenants: u32,
    pub minutes: u32,
}

impl Default for TightenConfig {
    fn default() -> Self {
        Self { tenants: 5, minutes: 10 }
    }
}

impl TightenConfig {
    pub fn limit(self) -> TightenLimit {
        let window = Duration::from_secs(u64::from(self.minutes) * 60);
        TightenLimit { most: self.tenants as usize, window }
    }
}

fn lease() -> u64 {
    60
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerConfig {
    pub socket: PathBuf,
    /// Unix user that the signer must run as; not checked if absent.
    #[serde(default)]
    pub uid: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    /// Not TOML, or with unknown or missing fields.
    #[error("{path}: {detail}")]
    Parse {
        path: PathBuf,
        /// With line and column.
        detail: String,
    },
    /// A field with an unusable value.
    #[error("{path}: {field}: {detail}")]
    Wrong {
        path: PathBuf,
        field: &'static str,
        /// What is wrong and how to fix it.
        detail: String,
    },
}

/// A listener as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    Unix(PathBuf),
    Tls(std::net::SocketAddr),
    /// TCP without encryption.
    Plain(std::net::SocketAddr),
}

impl Config {
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Parses and checks a text; `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let c: Self = toml::from_str(text).map_err(|e| ConfigError::Parse {
            path: path.to_owned(),
            detail: match suggestion(e.message()) {
                Some(meant) => format!("{e}did you mean `{meant}`?\n"),
                None => e.to_string(),
            },
        })?;
        let wrong = |field, detail: &str| ConfigError::Wrong {
            path: path.to_owned(),
            field,
            detail: detail.to_owned(),
        };
        if c.listen.is_empty() {
            return Err(wrong(
                "listen",
                "name at least one, for instance \"unix:/run/conductor/agent.sock\"",
            ));
        }
        if c.keys.starts_with(&c.data) || c.data.starts_with(&c.keys) {
            return Err(wrong(
                "keys",
                "the key store must not lie in the data folder, nor the other way round",
            ));
        }
        if !(1..=86_400).contains(&c.lease_seconds) {
            return Err(wrong("lease_seconds", "expected 1 to 86400"));
        }
        if !(100..=60_000).contains(&c.slo.evaluate_ms) || c.slo.bake_seconds > 30 * 86_400 {
            return Err(wrong(
                "slo",
                "expected evaluate_ms of 100 to 60000 and bake_seconds of at most 2592000",
            ));
        }
        if !(100..=60_000).contains(&c.clock.tolerance_ms) {
            return Err(wrong("clock", "expected a tolerance_ms of 100 to 60000"));
        }
        let mut names = std::collections::BTreeSet::new();
        for sink in &c.sinks {
            sink.check().map_err(|e| wrong("sink", &e))?;
            if !names.insert(&sink.name) {
                return Err(wrong("sink", &format!("there are two of the name {}", sink.name)));
            }
        }
        if c.sinks.len() > MAX_SINKS {
            return Err(wrong("sink", "expected at most 8 of them"));
        }
        c.listeners().map_err(|e| wrong("listen", &e))?;
        Ok(c)
    }

    pub fn listeners(&self) -> Result<Vec<Listen>, String> {
        self.listen
            .iter()
            .map(|l| {
                if let Some(path) = l.strip_prefix("unix:") {
                    return Ok(Listen::Unix(PathBuf::from(path)));
                }
                let (plain, address) = match (l.strip_prefix("http://"), l.strip_prefix("https://")) {
                    (Some(a), _) => (true, a),
                    (_, Some(a)) => (false, a),
                    _ => return Err(format!("{l:?}: expected unix:/path or https://address:port")),
                };
                let address = address.parse().map_err(|e| format!("{l:?}: {e}"))?;
                match plain {
                    false => Ok(Listen::Tls(address)),
                    true if self.allow_plain => Ok(Listen::Plain(address)),
                    true => Err(format!("{l:?} is not encrypted: use https, or set allow_plain for a demo")),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"n\"\nenvironment = \"rehearsal\"\ndata = \"/d\"\nkeys = \"/k\"\nlisten = [\"unix:/s\"]\n[signer]\nsocket = \"/x\"\n";
    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("conductord.toml"), text).map_err(|e| e.to_string())
    }

    /// SPEC, Bad input: unknown fields are named with line, column and a suggestion; unsafe values are refused.
    #[test]
    fn mistakes_are_named() {
        assert!(parse(GOOD).is_ok());
        insta::assert_snapshot!(parse(&GOOD.replace("listen", "lisen")).unwrap_err());
        for (from, to, what) in [
            ("\"/k\"", "\"/d/keys\"", "key store"),
            ("unix:/s", "http://127.0.0.1:1", "not encrypted"),
            ("unix:/s", "ftp://x", "expected unix"),
            ("[\"unix:/s\"]", "[]", "at least one"),
            ("\"n\"", "\"N\\u001b\"", "identifier"),
            ("[signer]", "[[sink]]\nname = \"s\"\n[signer]", "a url or a folder"),
            ("[signer]", "[[sink]]\nname = \"s\"\nurl = \"http://x\"\n[signer]", "not encrypted"),
            ("[signer]", "[[sink]]\nname = \"s\"\nurl = \"https://x\"\n[signer]", "needs ca"),
            ("[signer]", "[[sink]]\nname = \"s\"\nfolder = \"/f\"\nbatch = 0\n[signer]", "batch"),
        ] {
            let e = parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(e.contains(what), "{e}");
        }
        let plain = GOOD.replace("unix:/s", "http://127.0.0.1:1").replace("data", "allow_plain = true\ndata");
        assert!(parse(&plain).is_ok());
    }
}
