//! Commands: privileged changes, as text that an operator's own minisign key signs.
//!
//! ```text
//! conductor/command/v1
//! command_id: 32 hex digits
//! audience: node <id> [<id>...]          or: fleet <id>
//! tenant: 32 hex digits (zeros for the node)
//! object: ramp run/etl
//! base: SHA-256 of the object's state in hex, or none
//! operation: ramp.set
//! arg selector: run/etl
//! arg hundredths: 1000
//! reason: why, at most 200 characters
//! issued_at_us: decimal, in the agent's time
//! expires_at_us: decimal
//! nonce: 32 hex digits
//! ```
//!
//! Each command has exactly one text; any other order, spelling, repeated or extra line is refused. So what a person
//! confirms, parsed from the bytes to be signed, is exactly what the agent parses.

mod codec;
pub mod ops;
mod spec;
#[cfg(test)]
pub(crate) mod strategies;
mod values;

pub use ops::Operation;
pub use spec::{Args, Execution, KeyPurpose, Kind, OperationSpec, Scope};
pub use values::Values;

use crate::ids::{CommandId, Ident, NodeId, TenantUid, hex, parse_decimal, unhex};
use crate::untrusted::{UntrustedText, is_unshowable};
use std::fmt::Write as _;
use std::time::Duration;

/// The first line.
pub const TYPE_LINE: &str = "conductor/command/v1";
/// No command text is longer.
pub const MAX_TEXT: usize = 8 * 1024;
/// No reason is longer, in characters.
pub const MAX_REASON: usize = 200;
/// No command lives longer: 24 hours.
pub const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);
/// No command is addressed to more nodes one by one.
pub const MAX_AUDIENCE: usize = 100;

/// Which nodes a command is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// These, each of which acknowledges for itself.
    Nodes(Vec<NodeId>),
    /// All of a fleet.
    Fleet(Ident),
}

/// A command, before or after signing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Chosen by the console; with the person it makes a command happen once.
    pub command_id: CommandId,
    /// Which nodes.
    pub audience: Audience,
    /// Which tenant, or [`TenantUid::NODE`].
    pub tenant: TenantUid,
    /// Digest of the object's state that was shown; none for tighten.
    pub base: Option<[u8; 32]>,
    /// What.
    pub operation: Operation,
    /// Why.
    pub reason: UntrustedText,
    /// In the agent's time, microseconds since the Unix epoch.
    pub issued_at_us: u64,
    /// Likewise.
    pub expires_at_us: u64,
    /// Random.
    pub nonce: [u8; 16],
}

/// Why bytes are not a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Too long or not text.
    #[error("not a command: expected UTF-8 text of at most {MAX_TEXT} bytes beginning with {TYPE_LINE}")]
    Type,
    /// A line is missing, wrong or too many.
    #[error("line {line}: expected {expected}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// Every line can be read, but another text says the same.
    #[error("not the canonical text of this command")]
    NotCanonical,
}

impl Command {
    /// The one text of this command.
    pub fn text(&self) -> String {
        let mut t = String::with_capacity(640);
        let _ = writeln!(t, "{TYPE_LINE}");
        let _ = writeln!(t, "command_id: {}", self.command_id);
        match &self.audience {
            Audience::Nodes(ids) => {
                t.push_str("audience: node");
                for id in ids {
                    let _ = write!(t, " {id}");
                }
                t.push('\n');
            }
            Audience::Fleet(id) => {
                let _ = writeln!(t, "audience: fleet {id}");
            }
        }
        let _ = writeln!(t, "tenant: {}", self.tenant);
        let _ = writeln!(t, "object: {}", self.operation.object());
        let _ = writeln!(t, "base: {}", self.base.map_or("none".to_owned(), |b| hex(&b)));
        let _ = writeln!(t, "operation: {}", self.operation.name());
        for (k, v) in self.operation.args() {
            let _ = writeln!(t, "arg {k}: {v}");
        }
        let _ = writeln!(t, "reason: {}", self.reason.raw());
        let _ = writeln!(t, "issued_at_us: {}", self.issued_at_us);
        let _ = writeln!(t, "expires_at_us: {}", self.expires_at_us);
        let _ = writeln!(t, "nonce: {}", hex(&self.nonce));
        t
    }

    /// Reads a text, after its signature was verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, CommandError> {
        if bytes.len() > MAX_TEXT {
            return Err(CommandError::Type);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| CommandError::Type)?;
        let mut lines = text.split('\n').enumerate().map(|(n, l)| (n + 1, l)).peekable();
        let (_, first) = lines.next().ok_or(CommandError::Type)?;
        if first != TYPE_LINE {
            return Err(CommandError::Type);
        }
        let mut field = |name: &'static str| -> Result<(usize, &str), CommandError> {
            let (line, l) = lines.next().ok_or(CommandError::Line { line: 0, expected: name })?;
            let v = l.strip_prefix(name).and_then(|r| r.strip_prefix(": "));
            v.map(|v| (line, v)).ok_or(CommandError::Line { line, expected: name })
        };
        let bad = |line, expected| CommandError::Line { line, expected };
        let (n, v) = field("command_id")?;
        let command_id = v.parse().map_err(|_| bad(n, "32 hex digits"))?;
        let (n, v) = field("audience")?;
        let audience = match v.split_once(' ') {
            Some(("node", ids)) => {
                let ids: Vec<NodeId> = ids
                    .split(' ')
                    .take(MAX_AUDIENCE + 1)
                    .map(str::parse)
                    .collect::<Result<_, _>>()
                    .map_err(|_| bad(n, "node ids"))?;
                if ids.len() > MAX_AUDIENCE {
                    return Err(bad(n, "at most 100 node ids"));
                }
                Audience::Nodes(ids)
            }
            Some(("fleet", id)) => Audience::Fleet(Ident::new(id).map_err(|_| bad(n, "a fleet id"))?),
            _ => return Err(bad(n, "node <id>... or fleet <id>")),
        };
        let (n, v) = field("tenant")?;
        let tenant = v.parse().map_err(|_| bad(n, "32 hex digits"))?;
        let (_, object) = field("object")?;
        let object = object.to_owned();
        let (n, v) = field("base")?;
        let base = match v {
            "none" => None,
            v => Some(unhex(v).ok_or(bad(n, "64 hex digits or none"))?),
        };
        let (op_line, v) = field("operation")?;
        let mut list = vec![v.to_owned()];
        while let Some((n, l)) = lines.next_if(|(_, l)| l.starts_with("arg ")) {
            let (k, v) = l["arg ".len()..].split_once(": ").ok_or(bad(n, "arg name: value"))?;
            list.push(k.to_owned());
            list.push(v.to_owned());
        }
        let operation =
            Operation::from_list(&list).ok_or(bad(op_line, "a known operation with its arguments"))?;
        let mut field = |name: &'static str| -> Result<(usize, &str), CommandError> {
            let (line, l) = lines.next().ok_or(CommandError::Line { line: 0, expected: name })?;
            let v = l.strip_prefix(name).and_then(|r| r.strip_prefix(": "));
            v.map(|v| (line, v)).ok_or(CommandError::Line { line, expected: name })
        };
        let (n, v) = field("reason")?;
        if v.chars().count() > MAX_REASON || v.chars().any(is_unshowable) {
            return Err(bad(n, "a reason of at most 200 visible characters"));
        }
        let reason = UntrustedText::new(v);
        let (n, v) = field("issued_at_us")?;
        let issued_at_us = parse_decimal(v).ok_or(bad(n, "a decimal number"))?;
        let (n, v) = field("expires_at_us")?;
        let expires_at_us = parse_decimal(v).ok_or(bad(n, "a decimal number"))?;
        let (n, v) = field("nonce")?;
        let nonce = unhex(v).ok_or(bad(n, "32 hex digits"))?;
        let c = Self {
            command_id,
            audience,
            tenant,
            base,
            operation,
            reason,
            issued_at_us,
            expires_at_us,
            nonce,
        };
        if c.operation.object() != object || c.text() != text {
            return Err(CommandError::NotCanonical);
        }
        Ok(c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basis_points::BasisPoints;
    use proptest::prelude::*;

    fn command() -> Command {
        Command {
            command_id: CommandId([1; 16]),
            audience: Audience::Nodes(vec![NodeId([2; 16])]),
            tenant: TenantUid([3; 16]),
            base: Some([4; 32]),
            operation: Operation::RampSet(ops::RampSet {
                selector: "run/etl".parse().unwrap(),
                hundredths: BasisPoints::saturating(1000),
            }),
            reason: UntrustedText::new("rollout, ticket 7"),
            issued_at_us: 1_700_000_000_000_000,
            expires_at_us: 1_700_000_300_000_000,
            nonce: [5; 16],
        }
    }

    /// DESIGN, Signed texts: the published vector of a command.
    #[test]
    fn published_vector() {
        insta::assert_snapshot!("command-vector", command().text());
        assert_eq!(Command::parse(command().text().as_bytes()), Ok(command()));
    }

    /// Issue 3 and DESIGN, Signed texts: duplicate, reordered, missing, extra and respelled lines are refused.
    #[test]
    fn every_other_text_is_refused() {
        let text = command().text();
        let lines: Vec<&str> = text.lines().collect();
        for i in 0..lines.len() {
            for edit in 0..4 {
                let mut l: Vec<String> = lines.iter().map(|s| (*s).to_owned()).collect();
                match edit {
                    0 => l.insert(i, lines[i].to_owned()),
                    1 => drop(l.remove(i)),
                    2 => l[i].push(' '),
                    _ => l[i] = l[i].replace(": ", ":  "),
                }
                let edited = l.join("\n") + "\n";
                if edited == text {
                    continue;
                }
                let got = Command::parse(edited.as_bytes());
                // A reason may end in a space: that is another reason, and another text.
                assert!(got.is_err() || got.unwrap().text() == edited, "{i} {edit}: {edited}");
            }
        }
        for bad in [
            text.replace("1000", "01000"),
            text.replace("1000\n", "10001\n"),
            text.replace("ramp run", "ramp rum"),
            text.replace('\n', "\r\n"),
            format!("{text}x: y\n"),
            text.replace("rollout", "roll\u{202e}out"),
        ] {
            assert!(Command::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    /// DESIGN, Record: every operation survives its list and its text.
    #[test]
    fn every_operation_survives() {
        for kind in Operation::ALL {
            let samples: Vec<Operation> = kind.samples().collect();
            assert_eq!(samples.len(), kind.sample_count(), "{}: a sample cannot be read", kind.name);
            for op in samples {
                assert_eq!(op.name(), kind.name);
                assert_eq!(Operation::from_list(&op.to_list()), Some(op.clone()), "{op:?}");
                let c = Command { operation: op, ..command() };
                assert_eq!(Command::parse(c.text().as_bytes()), Ok(c));
            }
        }
    }

    /// DESIGN, Signed texts: a name means one operation.
    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<&str> = Operation::ALL.iter().map(|k| k.name).collect();
        assert_eq!(names.len(), Operation::ALL.len());
    }

    /// SPEC 3.3 and Bad input: what is out of bounds, or would mean something to a terminal, a table or markup, is no
    /// operation.
    #[test]
    fn freezes_and_break_glass_have_bounds() {
        let grant = "01".repeat(16);
        for (name, args) in [
            ("breakglass.open", vec![("grant", grant.as_str()), ("ticket", "INC-7"), ("minutes", "61")]),
            ("breakglass.open", vec![("grant", &grant), ("ticket", "INC-7"), ("minutes", "0")]),
            ("breakglass.open", vec![("grant", &grant), ("ticket", "=HYPERLINK(1)"), ("minutes", "5")]),
            ("breakglass.open", vec![("grant", &grant), ("ticket", ""), ("minutes", "5")]),
            ("profile.set", vec![("profile", "p"), ("setting", "last_known_s"), ("value", "301")]),
            ("profile.set", vec![("profile", "p"), ("setting", "last_known_s"), ("value", "0")]),
            ("profile.set", vec![("profile", "p"), ("setting", "two_persons"), ("value", "false")]),
            ("profile.window", vec![("profile", "p"), ("window", "w"), ("when", "always")]),
            ("freeze.set", vec![("freeze", "f"), ("until_us", "")]),
        ] {
            let mut list = vec![name.to_owned()];
            list.extend(args.iter().flat_map(|(k, v)| [(*k).to_owned(), (*v).to_owned()]));
            assert_eq!(Operation::from_list(&list), None, "{list:?}");
        }
    }

    /// SPEC 4.1: what goes back to an earlier configuration changes configuration and nothing else, and is never nested.
    #[test]
    fn a_rollback_holds_configuration_only() {
        let read = |changes: &[&str]| {
            let mut list = vec!["config.rollback".to_owned(), "revision".into(), "3".into()];
            list.extend(changes.iter().flat_map(|c| ["change".to_owned(), (*c).to_owned()]));
            Operation::from_list(&list)
        };
        assert!(read(&["ramp.set run/etl 5"]).is_some());
        for bad in [
            vec![],
            vec!["token.revoke 01010101010101010101010101010101"],
            vec!["peer.allow 7"],
            vec!["ramp.set run/etl 05"],
            vec!["ramp.set  run/etl 5"],
            vec!["ramp.set run/etl 5 "],
            vec!["ramp.set run/etl 5 6"],
            vec!["config.rollback 3 ramp.set"],
            vec!["ramp.set run/etl 5", ""],
        ] {
            assert_eq!(read(&bad), None, "{bad:?}");
        }
    }

    proptest! {
        /// SPEC, Bad input: no bytes make the reader panic, and what it takes is canonical.
        #[test]
        fn any_edit_is_refused_or_canonical(at in 0usize..600, byte: u8) {
            let mut b = command().text().into_bytes();
            let n = b.len();
            b[at % n] = byte;
            if let Ok(c) = Command::parse(&b) {
                let text = c.text();
                prop_assert_eq!(text.as_bytes(), &b[..]);
            }
        }
    }
}
