//! Session texts: an operator proves who they are, for reading only.
//!
//! The console composes the text itself and never signs bytes it received; the agent's challenge is one line in it, of
//! a fixed form. A session is bound to one node, one person's key and one transport.
//!
//! ```text
//! conductor/session/v1
//! node: 32 hex digits
//! transport: unix | plain | tls <SHA-256 of the server's key in hex>
//! challenge: 32 hex digits
//! issued_at_us: decimal, in the agent's time
//! scope: read
//! ```

use crate::ids::{NodeId, hex, parse_decimal, unhex};

/// The first line.
pub const TYPE_LINE: &str = "conductor/session/v1";

/// How the client reaches the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A unix socket.
    Unix,
    /// TCP without TLS (the demo flag).
    Plain,
    /// TLS, with the SHA-256 of the server's certificate.
    Tls([u8; 32]),
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix => f.write_str("unix"),
            Self::Plain => f.write_str("plain"),
            Self::Tls(d) => write!(f, "tls {}", hex(d)),
        }
    }
}

/// A request to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The one node it is for.
    pub node: NodeId,
    /// The one transport it is for.
    pub transport: Transport,
    /// From the agent, used once.
    pub challenge: [u8; 16],
    /// In the agent's time.
    pub issued_at_us: u64,
}

impl Session {
    /// The one text.
    pub fn text(&self) -> String {
        format!(
            "{TYPE_LINE}\nnode: {}\ntransport: {}\nchallenge: {}\nissued_at_us: {}\nscope: read\n",
            self.node,
            self.transport,
            hex(&self.challenge),
            self.issued_at_us
        )
    }

    /// Reads the one text; `None` for every other.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok().filter(|t| t.len() < 1024)?;
        let mut lines = text.split('\n');
        (lines.next()? == TYPE_LINE).then_some(())?;
        let node = lines.next()?.strip_prefix("node: ")?.parse().ok()?;
        let transport = match lines.next()?.strip_prefix("transport: ")? {
            "unix" => Transport::Unix,
            "plain" => Transport::Plain,
            t => Transport::Tls(unhex(t.strip_prefix("tls ")?)?),
        };
        let challenge = unhex(lines.next()?.strip_prefix("challenge: ")?)?;
        let issued_at_us = parse_decimal(lines.next()?.strip_prefix("issued_at_us: ")?)?;
        let s = Self { node, transport, challenge, issued_at_us };
        (s.text() == text).then_some(s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DESIGN, Signed texts: one text, and a command's text is not a session's.
    #[test]
    fn one_text() {
        let s = Session {
            node: NodeId([1; 16]),
            transport: Transport::Unix,
            challenge: [2; 16],
            issued_at_us: 3,
        };
        insta::assert_snapshot!("session-vector", s.text());
        for t in [Transport::Unix, Transport::Plain, Transport::Tls([9; 32])] {
            let s = Session { transport: t, ..s.clone() };
            assert_eq!(Session::parse(s.text().as_bytes()), Some(s));
        }
        for bad in
            [s.text() + "\n", s.text().replace("read", "write"), s.text().replace("session", "command")]
        {
            assert_eq!(Session::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
