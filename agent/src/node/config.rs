//! The agent's configuration: TOML, strict. A field that is not known is named, with the nearest that is.

use crate::policy::OpaConfig;
use crate::sinks::SinkConfig;
use crate::store::SpaceLimits;
use crate::writer::TightenLimit;
use conductor_shared::ids::Ident;
use conductor_shared::toml_error::suggestion;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A node has so many sinks at most: each reads all of the node's logs.
const MAX_SINKS: usize = 8;

/// `conductord.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the node.
    pub name: Ident,
    /// Environment, a word that consoles show: production, staging, rehearsal...
    pub environment: Ident,
    /// Data folder: holds the database.
    pub data: PathBuf,
    /// Key store: another folder, and never in the same backup.
    pub keys: PathBuf,
    /// `unix:/path`, `https://address:port`, or with `allow_plain` `http://address:port`.
    pub listen: Vec<String>,
    /// TCP without TLS. For demos.
    #[serde(default)]
    pub allow_plain: bool,
    /// The signer.
    pub signer: SignerConfig,
    /// Folder for the sockets of tenants whose workloads are known by their unix user.
    #[serde(default)]
    pub tenant_sockets: Option<PathBuf>,
    /// Seconds that a run or step lives without a sign of life.
    #[serde(default = "lease")]
    pub lease_seconds: u64,
    /// Room on disk.
    #[serde(default)]
    pub space: SpaceLimits,
    /// How much one person tightens alone.
    #[serde(default)]
    pub tighten: TightenConfig,
    /// Who evaluates policy.
    #[serde(default)]
    pub policy: PolicyConfig,
    /// The watch over ramps.
    #[serde(default)]
    pub slo: SloConfig,
    /// The watch over the wall clock.
    #[serde(default)]
    pub clock: ClockConfig,
    /// Where metered events go.
    #[serde(default, rename = "sink")]
    pub sinks: Vec<SinkConfig>,
}

/// When a wall clock is doubted.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockConfig {
    /// Milliseconds that it may be stepped by. More opens an incident, and nothing is loosened until two admins confirm
    /// the time.
    pub tolerance_ms: u64,
}

impl Default for ClockConfig {
    fn default() -> Self {
        Self { tolerance_ms: 2_000 }
    }
}

/// The engine that is built in, unless an OPA server is named.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// An OPA server of this node.
    #[serde(default)]
    pub opa: Option<OpaConfig>,
}

/// How often ramps are judged, and how long one without a plan bakes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SloConfig {
    /// Milliseconds between two judgements.
    pub evaluate_ms: u64,
    /// Seconds of observed uptime after which a ramp that was set by hand may be called healthy.
    pub bake_seconds: u64,
}

impl Default for SloConfig {
    fn default() -> Self {
        Self { evaluate_ms: 10_000, bake_seconds: 3_600 }
    }
}

/// One person tightens at most `tenants` tenants in `minutes`; beyond that it takes a second person.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TightenConfig {
    /// Tenants.
    pub tenants: u32,
    /// Minutes.
    pub minutes: u32,
}

impl Default for TightenConfig {
    fn default() -> Self {
        Self { tenants: 5, minutes: 10 }
    }
}

impl TightenConfig {
    /// As the writer takes it.
    pub fn limit(self) -> TightenLimit {
        let window_us = u64::from(self.minutes) * 60 * conductor_shared::clock::SECOND;
        TightenLimit { tenants: self.tenants as usize, window_us }
    }
}

fn lease() -> u64 {
    60
}

/// Where the signer is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerConfig {
    /// Its socket.
    pub socket: PathBuf,
    /// The user it must run as; not checked unless given.
    #[serde(default)]
    pub uid: Option<u32>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// File.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a configuration.
    #[error("{path}: {detail}")]
    Parse {
        /// File.
        path: PathBuf,
        /// What, with line and column.
        detail: String,
    },
    /// Well-formed, and wrong.
    #[error("{path}: {field}: {detail}")]
    Wrong {
        /// File.
        path: PathBuf,
        /// Field.
        field: &'static str,
        /// What is wrong and how to mend it.
        detail: String,
    },
}

/// One thing to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Unix socket.
    Unix(PathBuf),
    /// TCP with TLS.
    Tls(std::net::SocketAddr),
    /// TCP in the clear.
    Plain(std::net::SocketAddr),
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Reads and checks a text; `path` is for messages.
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

    /// What to listen on.
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
