//! Where an agent listens, as a person writes it.
//!
//! ```text
//! unix:/run/conductor/agent.sock
//! http://127.0.0.1:7070                            plain TCP; the agent allows it only with its demo flag
//! https://node-1:7070#sha256=<64 hex digits>       TLS, pinned to the SHA-256 of the server's certificate
//! ```
//!
//! There is no certificate authority: a TLS endpoint without its pin is refused, because it would trust anybody.

use conductor_shared::ids::{hex, unhex};
use conductor_shared::session::Transport;
use conductor_shared::untrusted::escape;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where an agent listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Unix(PathBuf),
    Plain {
        /// Name or address; IPv6 without brackets.
        host: String,
        port: u16,
    },
    /// TLS with a pinned certificate.
    Tls {
        /// Name or address; IPv6 without brackets.
        host: String,
        port: u16,
        /// SHA-256 of the certificate in DER.
        pin: [u8; 32],
    },
}

/// Why a text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// None of the three forms.
    #[error(
        "agent endpoint \"{0}\": expected unix:/path/agent.sock, http://host:port or https://host:port#sha256=<64 hex digits>"
    )]
    Form(String),
    /// The path of a unix socket is not usable.
    #[error("agent endpoint \"{0}\": a unix socket needs an absolute path of at most 107 bytes")]
    Path(String),
    /// Host or port cannot be read.
    #[error("agent endpoint \"{0}\": expected host:port after //, with a port from 1 to 65535 and no path")]
    Authority(String),
    /// TLS without a pin.
    #[error(
        "agent endpoint \"{0}\": TLS needs the pin of the server's certificate: append #sha256=<64 lower-case hex digits>; the agent prints it when it starts"
    )]
    Pin(String),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let what = || escape(text, 120);
        if let Some(path) = text.strip_prefix("unix:") {
            // sun_path of sockaddr_un holds 108 bytes with the closing zero.
            let ok = path.starts_with('/') && path.len() <= 107 && !path.contains('\0');
            return if ok { Ok(Self::Unix(path.into())) } else { Err(EndpointError::Path(what())) };
        }
        if let Some(rest) = text.strip_prefix("http://") {
            let (host, port) = authority(rest).ok_or_else(|| EndpointError::Authority(what()))?;
            return Ok(Self::Plain { host, port });
        }
        if let Some(rest) = text.strip_prefix("https://") {
            let (rest, pin) = rest.split_once('#').ok_or_else(|| EndpointError::Pin(what()))?;
            let (host, port) = authority(rest).ok_or_else(|| EndpointError::Authority(what()))?;
            let pin = pin.strip_prefix("sha256=").and_then(unhex);
            return Ok(Self::Tls { host, port, pin: pin.ok_or_else(|| EndpointError::Pin(what()))? });
        }
        Err(EndpointError::Form(what()))
    }
}

/// Host and port; a trailing `/` is allowed.
fn authority(text: &str) -> Option<(String, u16)> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|p| *p > 0 && port.bytes().all(|c| c.is_ascii_digit()))?;
    if let Some(v6) = host.strip_prefix('[') {
        let v6 = v6.strip_suffix(']')?;
        v6.parse::<std::net::Ipv6Addr>().ok()?;
        return Some((v6.to_owned(), port));
    }
    let ok = (1..=253).contains(&host.len())
        && host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'));
    ok.then(|| (host.to_owned(), port))
}

impl Endpoint {
    /// The transport as named in a session text.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Unix(_) => Transport::Unix,
            Self::Plain { .. } => Transport::Plain,
            Self::Tls { pin, .. } => Transport::Tls(*pin),
        }
    }

    /// Host and port as in a URL; a fixed name for a unix socket.
    pub fn authority(&self) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Plain { host, port } | Self::Tls { host, port, .. } if host.contains(':') => {
                format!("[{host}]:{port}")
            }
            Self::Plain { host, port } | Self::Tls { host, port, .. } => format!("{host}:{port}"),
        }
    }

    /// The URL that paths of the API are appended to.
    pub fn base_url(&self) -> String {
        let scheme = if matches!(self, Self::Tls { .. }) { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(p) => write!(f, "unix:{}", escape(&p.to_string_lossy(), 120)),
            Self::Plain { .. } => write!(f, "http://{}", self.authority()),
            Self::Tls { pin, .. } => write!(f, "https://{}#sha256={}", self.authority(), hex(pin)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DESIGN, Listening: the three forms, each back to its own text.
    #[test]
    fn the_three_forms() {
        let pin = "ab".repeat(32);
        for text in [
            "unix:/run/conductor/agent.sock",
            "http://127.0.0.1:7070",
            "http://[::1]:7070",
            &format!("https://node-1.example:7070#sha256={pin}"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    /// SPEC, Bad input: every other form is refused, with how to fix it.
    #[test]
    fn others_are_refused_with_the_cure() {
        let long = format!("unix:/{}", "x".repeat(107));
        let bad = [
            "",
            "agent.sock",
            "unix:agent.sock",
            &long,
            "http://host",
            "http://host:0",
            "http://host:70000",
            "http://host:+70",
            "http://user@host:70",
            "http://host:70/path",
            "http://[::1:70",
            "https://host:70",
            "https://host:70#sha256=abc",
            &format!("https://host:70#sha256={}", "AB".repeat(32)),
            "ftp://host:70\u{1b}[2J",
        ];
        let said: Vec<String> = bad
            .iter()
            .map(|t| match t.parse::<Endpoint>() {
                Ok(e) => format!("TAKEN {e}"),
                Err(e) => e.to_string(),
            })
            .collect();
        insta::assert_snapshot!(said.join("\n"));
    }
}
