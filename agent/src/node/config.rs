//! The agent's configuration: strict TOML. An unknown field is an error that suggests the nearest known one.

use crate::platform::open_files::MAX_LISTENERS;
use crate::policy::OpaConfig;
use crate::sinks::SinkConfig;
use crate::store::SpaceLimits;
use crate::writer::TightenLimit;
use conductor_shared::ids::{Ident, MAX_IDENT};
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
    /// Where workloads ask: `unix:/path`, `https://address:port`, or with `allow_plain` `http://address:port`.
    pub listen: Vec<String>,
    /// Where operators connect, in the same forms. They share nothing with workloads.
    pub listen_operators: Vec<String>,
    /// Unix group that may connect to the operators' unix sockets, by name or number; else the agent's own.
    #[serde(default)]
    pub operator_group: Option<String>,
    /// Names and addresses that the certificate is for, beside the node's name and the addresses listened on.
    #[serde(default)]
    pub certificate_names: Vec<String>,
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
        c.check_listeners().map_err(|(field, e)| wrong(field, &e))?;
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
        Ok(c)
    }

    /// The field that cannot be, and why.
    fn check_listeners(&self) -> Result<(), (&'static str, String)> {
        for (field, list, example) in [
            ("listen", &self.listen, "unix:/run/conductor/agent.sock"),
            ("listen_operators", &self.listen_operators, "unix:/run/conductor/operator.sock"),
        ] {
            if list.is_empty() {
                return Err((field, format!("name at least one, for instance \"{example}\"")));
            }
            self.parsed(list).map_err(|e| (field, e))?;
        }
        if let Some(twice) = self.listen.iter().find(|l| self.listen_operators.contains(l)) {
            return Err(("listen_operators", format!("{twice:?} is for workloads: see listen")));
        }
        if (self.listen.len() + self.listen_operators.len()) as u64 > MAX_LISTENERS {
            return Err(("listen", format!("expected at most {MAX_LISTENERS} listeners in all")));
        }
        self.operators_gid().map_err(|e| ("operator_group", e))?;
        self.names_to_certify().map_err(|e| ("certificate_names", e))?;
        if let Some(folder) = &self.tenant_sockets {
            tenant_socket_fits(folder).map_err(|e| ("tenant_sockets", e))?;
        }
        Ok(())
    }

    /// Listeners of workloads.
    pub fn listeners(&self) -> Result<Vec<Listen>, String> {
        self.parsed(&self.listen)
    }

    /// Listeners of operators.
    pub fn operators_listeners(&self) -> Result<Vec<Listen>, String> {
        self.parsed(&self.listen_operators)
    }

    /// The number of the group that may connect to the operators' unix sockets.
    pub fn operators_gid(&self) -> Result<Option<u32>, String> {
        let Some(group) = &self.operator_group else { return Ok(None) };
        if let Ok(gid) = group.parse() {
            return Ok(Some(gid));
        }
        match nix::unistd::Group::from_name(group) {
            Ok(Some(g)) => Ok(Some(g.gid.as_raw())),
            Ok(None) => Err(format!("this system has no group {group:?}: groupadd --system {group}")),
            Err(e) => Err(format!("{group:?}: {e}")),
        }
    }

    /// Names and addresses that the certificate is for.
    pub fn names_to_certify(&self) -> Result<Vec<String>, String> {
        let mut names = self.certificate_names.clone();
        names.push(self.name.to_string());
        for l in self.listeners()?.into_iter().chain(self.operators_listeners()?) {
            if let Listen::Tls(address) = l
                && !address.ip().is_unspecified()
            {
                names.push(address.ip().to_string());
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|n| seen.insert(n.clone()));
        if let Some(bad) = names.iter().find(|n| !is_host(n)) {
            return Err(format!("{bad:?} is neither a host name nor an address"));
        }
        if names.len() > MAX_NAMES {
            return Err(format!("expected at most {MAX_NAMES} names"));
        }
        Ok(names)
    }

    fn parsed(&self, list: &[String]) -> Result<Vec<Listen>, String> {
        list.iter()
            .map(|l| {
                if let Some(path) = l.strip_prefix("unix:") {
                    return socket_path(path).map(Listen::Unix);
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

/// Names and addresses in a certificate at most.
const MAX_NAMES: usize = 64;

fn is_host(name: &str) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'*' | b'_');
    ((1..=253).contains(&name.len()) && name.bytes().all(word)) || name.parse::<std::net::IpAddr>().is_ok()
}

/// Bytes of the path of a unix socket at most: `sun_path` holds 108 with the closing zero.
const MAX_SOCKET_PATH: usize = 107;

fn socket_path(path: &str) -> Result<PathBuf, String> {
    if (1..=MAX_SOCKET_PATH).contains(&path.len()) {
        return Ok(PathBuf::from(path));
    }
    let length = path.len();
    Err(format!(
        "{path:?}: the path of a unix socket has 1 to {MAX_SOCKET_PATH} bytes, and this has {length}"
    ))
}

/// The sockets of tenants are named after them.
fn tenant_socket_fits(folder: &Path) -> Result<(), String> {
    let most = MAX_SOCKET_PATH - "/.sock".len() - MAX_IDENT;
    let length = folder.as_os_str().len();
    if length <= most {
        return Ok(());
    }
    Err(format!(
        "{} has {length} bytes, and at most {most} leave room for the name of a tenant: a unix socket's path has \
         {MAX_SOCKET_PATH}",
        folder.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"n\"\nenvironment = \"rehearsal\"\ndata = \"/d\"\nkeys = \"/k\"\nlisten = [\"unix:/s\"]\nlisten_operators = [\"unix:/o\"]\n[signer]\nsocket = \"/x\"\n";
    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("conductord.toml"), text).map_err(|e| e.to_string())
    }

    /// One more than there may be of listeners, names and sinks is refused.
    fn lists_end() {
        let many = |n: usize, each: &dyn Fn(usize) -> String| (0..n).map(each).collect::<String>();
        let listeners =
            |n| GOOD.replace("[\"unix:/s\"]", &format!("[{}]", many(n, &|n| format!("\"unix:/s{n}\","))));
        let most = usize::try_from(MAX_LISTENERS).unwrap() - 1;
        let names = |n| {
            GOOD.replace(
                "[signer]",
                &format!("certificate_names = [{}]\n[signer]", many(n, &|n| format!("\"a{n}.example\","))),
            )
        };
        let sinks = |n| {
            GOOD.replace(
                "[signer]",
                &format!(
                    "{}[signer]",
                    many(n, &|n| format!("[[sink]]\nname = \"s{n}\"\nfolder = \"/f{n}\"\n"))
                ),
            )
        };
        for (text, more) in [
            (listeners(most), listeners(most + 1)),
            (names(MAX_NAMES - 3), names(MAX_NAMES + 1)),
            (sinks(MAX_SINKS), sinks(MAX_SINKS + 1)),
        ] {
            assert_eq!(parse(&text).err(), None);
            let said = parse(&more).unwrap_err();
            assert!(said.contains("at most"), "{said}");
        }
    }

    /// SPEC, Bad input: unknown fields are named with line, column and a suggestion; unsafe values are refused.
    #[test]
    fn mistakes_are_named() {
        assert!(parse(GOOD).is_ok());
        insta::assert_snapshot!(parse(&GOOD.replace("listen", "lisen")).unwrap_err());
        let long = format!("unix:/{}", "s".repeat(107));
        for (from, to, what) in [
            ("\"/k\"", "\"/d/keys\"", "key store"),
            ("unix:/s", "http://127.0.0.1:1", "not encrypted"),
            ("unix:/s", "ftp://x", "expected unix"),
            ("[\"unix:/s\"]", "[]", "at least one"),
            ("[\"unix:/o\"]", "[]", "listen_operators: name at least one"),
            ("unix:/o", "unix:/s", "is for workloads"),
            ("unix:/s", long.as_str(), "has 1 to 107 bytes, and this has 108"),
            ("[signer]", "operator_group = \"no such group\"\n[signer]", "groupadd"),
            ("[signer]", "certificate_names = [\"a b\"]\n[signer]", "certificate_names"),
            (
                "[signer]",
                "tenant_sockets = \"/a/folder/whose/name/is/far/too/long/for/a/socket\"\n[signer]",
                "leave room",
            ),
            ("\"n\"", "\"N\\u001b\"", "identifier"),
            ("[signer]", "[[sink]]\nname = \"s\"\n[signer]", "a url or a folder"),
            ("[signer]", "[[sink]]\nname = \"s\"\nurl = \"http://x\"\n[signer]", "not encrypted"),
            ("[signer]", "[[sink]]\nname = \"s\"\nurl = \"https://x\"\n[signer]", "needs ca"),
            ("[signer]", "[[sink]]\nname = \"s\"\nfolder = \"/f\"\nbatch = 0\n[signer]", "batch"),
        ] {
            let e = parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(e.contains(what), "{e}");
        }
        lists_end();
        let longest = GOOD.replace("unix:/s", &format!("unix:/{}", "s".repeat(106)));
        assert!(parse(&longest).is_ok());
        let plain = GOOD.replace("unix:/s", "http://127.0.0.1:1").replace("data", "allow_plain = true\ndata");
        assert!(parse(&plain).is_ok());
    }
}
