//! Signed texts, signature files, and short words with one spelling.

use std::fmt::Display;
use std::str::FromStr;

use conductor_agent::signer::keys;
use conductor_shared::checkpoint::{Checkpoint, is_same_key, key_id, signature_key_id, verify_minisign};
use conductor_shared::command::{Audience, Command, MAX_AUDIENCE, MAX_TEXT, Operation};
use conductor_shared::fact::{ActorType, Env, Outcome as Ended};
use conductor_shared::ids::{CommandId, Digest, Ident, KeyId, NodeId, Origin, TenantUid};
use conductor_shared::meter::Adjustment;
use conductor_shared::ofrep::Flag;
use conductor_shared::operator::{Answer, Approval, parse_roles, roles_text};
use conductor_shared::policy::Statement;
use conductor_shared::ramp::Selector;
use conductor_shared::session::{Session, Transport};
use conductor_shared::slo::Plan;
use conductor_shared::untrusted::UntrustedText;
use conductor_tui::client::endpoint::Endpoint;

use super::{SMALL, assert_same, assert_shown, log};
use crate::corpus::{Example, stored};
use crate::target::{Outcome, Target};

pub(super) const COMMANDS: Target = Target {
    name: "commands",
    reads: "command texts: `shared/src/command.rs`",
    law: "what is read has the very text that was read; its operation survives receipts",
    max_len: MAX_TEXT + 512,
    memory: SMALL,
    inputs: 400,
    examples: || {
        let operations = Operation::ALL.iter().filter_map(|kind| Some((kind.name, kind.samples().next()?)));
        let mut all: Vec<Example> =
            operations.map(|(name, op)| Example::new(name, command(op).text())).collect();
        let longest = Audience::Nodes((0..u8::MAX).take(MAX_AUDIENCE).map(|n| NodeId([n; 16])).collect());
        let fleet = Audience::Fleet(ident("north"));
        for (name, audience) in [("to-many-nodes", longest), ("to-a-fleet", fleet)] {
            let sample = Operation::ALL[0].samples().next().expect("a sample");
            all.push(Example::new(name, Command { audience, ..command(sample) }.text()));
        }
        all
    },
    read: |bytes| {
        let Ok(c) = Command::parse(bytes) else { return Outcome::Refused };
        assert!(bytes.len() <= MAX_TEXT && c.text().as_bytes() == bytes);
        assert_same(&c.operation, Operation::from_list(&c.operation.to_list()));
        let list = c.operation.to_list();
        assert_eq!(Operation::from_list(&list[..list.len() - 1]), None, "an argument less: {list:?}");
        assert_shown(&c.operation.object());
        Outcome::Read
    },
};

pub(super) fn ident(text: &str) -> Ident {
    Ident::new(text).expect("an identifier")
}

pub(super) fn command(operation: Operation) -> Command {
    Command {
        command_id: CommandId([1; 16]),
        audience: Audience::Nodes(vec![log::NODE]),
        tenant: log::TENANT,
        base: Some([4; 32]),
        operation,
        reason: UntrustedText::new("rollout, ticket 7"),
        issued_at_us: log::NOW_US,
        expires_at_us: log::NOW_US + 300_000_000,
        nonce: [5; 16],
    }
}

/// Reads a text that has one spelling.
fn one_spelling(bytes: &[u8], text: Option<String>) -> Outcome {
    if let Some(text) = &text {
        assert_eq!(text.as_bytes(), bytes, "it has another spelling");
    }
    Outcome::of(text)
}

pub(super) const SESSIONS: Target = Target {
    name: "sessions",
    reads: "session texts: `shared/src/session.rs`",
    law: "one spelling",
    max_len: 2_048,
    memory: SMALL,
    inputs: 400,
    examples: || {
        let transports =
            [("unix", Transport::Unix), ("plain", Transport::Plain), ("tls", Transport::Tls([9; 32]))];
        let text =
            |transport| Session { node: log::NODE, transport, challenge: [2; 16], issued_at_us: log::NOW_US };
        transports.map(|(name, t)| Example::new(name, text(t).text())).into()
    },
    read: |bytes| one_spelling(bytes, Session::parse(bytes).map(|s| s.text())),
};

pub(super) const APPROVALS: Target = Target {
    name: "approvals",
    reads: "approval texts: `shared/src/operator.rs`",
    law: "one spelling",
    max_len: 2_048,
    memory: SMALL,
    inputs: 400,
    examples: || {
        let text = |verdict| Approval {
            command_id: CommandId([1; 16]),
            command_digest: [2; 32],
            node: log::NODE,
            tenant: TenantUid::NODE,
            verdict,
            issued_at_us: log::NOW_US,
            expires_at_us: u64::MAX,
            nonce: [7; 16],
        };
        let both = [("approve", Answer::Approve), ("refuse", Answer::Refuse)];
        both.map(|(name, verdict)| Example::new(name, text(verdict).text())).into()
    },
    read: |bytes| one_spelling(bytes, Approval::parse(bytes).map(|a| a.text())),
};

pub(super) const STATEMENTS: Target = Target {
    name: "statements",
    reads: "statements of policy bundles: `shared/src/policy.rs`",
    law: "one spelling; revision 0 is refused",
    max_len: 1_024,
    memory: SMALL,
    inputs: 400,
    examples: || {
        let s = Statement { revision: 3, digest: [7; 32], built_at_us: 1, expires_at_us: u64::MAX };
        vec![Example::new("statement", s.text())]
    },
    read: |bytes| {
        let read = Statement::parse(bytes);
        assert!(read.is_none_or(|s| s.revision > 0));
        one_spelling(bytes, read.map(|s| s.text()))
    },
};

pub(super) const CHECKPOINTS: Target = Target {
    name: "checkpoints",
    reads: "checkpoint texts: `shared/src/checkpoint.rs`",
    law: "one spelling",
    max_len: 1_024,
    memory: SMALL,
    inputs: 400,
    examples: || {
        let text = |size| Checkpoint { origin: log::ORIGIN, size, root: [3; 32] }.text();
        vec![Example::new("small", text(1)), Example::new("largest", text(u64::MAX))]
    },
    read: |bytes| {
        let read = std::str::from_utf8(bytes).ok().and_then(|t| Checkpoint::parse(t).ok());
        one_spelling(bytes, read.map(|c| c.text()))
    },
};

/// A reader of words, which gives the text of what it read.
type Reader = fn(&str) -> Option<String>;

fn spelled<T: FromStr + Display>(text: &str) -> Option<String> {
    text.parse::<T>().ok().map(|read| read.to_string())
}

/// Short words by what they are, each with its reader and some that it reads.
const SHORT: [(&str, Reader, &[&str]); 14] = [
    ("ident", spelled::<Ident>, &["a", "etl.v2_b-c"]),
    ("uid", spelled::<TenantUid>, &["00000000000000000000000000000000"]),
    ("digest", spelled::<Digest>, &["abababababababababababababababababababababababababababababababab"]),
    ("key-id", spelled::<KeyId>, &["0123456789ABCDEF"]),
    (
        "origin",
        spelled::<Origin>,
        &[
            "conductor-log/01010101010101010101010101010101/02020202020202020202020202020202/18446744073709551615",
        ],
    ),
    ("selector", spelled::<Selector>, &["*/*", "run/etl"]),
    ("plan", spelled::<Plan>, &["1%@3600s 5%@3600s 25%@7200s 100%", "0.01%@1s 99.99%"]),
    ("adjustment", spelled::<Adjustment>, &["step_executed 900000000 production service etl -1 -9"]),
    ("env", |t| Env::from_word(t).map(|w| w.as_str().into()), &["production"]),
    ("actor", |t| ActorType::from_word(t).map(|w| w.as_str().into()), &["service"]),
    ("outcome", |t| Ended::from_word(t).map(|w| w.as_str().into()), &["succeeded"]),
    (
        "roles",
        |t| parse_roles(t).map(|r| roles_text(&r)),
        &["admin", "approver operator@01010101010101010101010101010101"],
    ),
    ("flag", |t| Flag::parse(t).filter(|_| t.contains('/')).map(|f| f.to_string()), &["run/etl"]),
    (
        "endpoint",
        // These have spellings that are taken and not written: a closing slash, a port with zeros, an address in its
        // long form, and a path with what is not shown.
        |t| t.parse::<Endpoint>().ok().map(|e| same_endpoint(t, &e)),
        &[
            "unix:/run/conductor/agent.sock",
            "http://[::1]:7070",
            "https://node-1:7070#sha256=abababababababababababababababababababababababababababababababab",
        ],
    ),
];

fn same_endpoint(text: &str, read: &Endpoint) -> String {
    let written = read.to_string();
    assert_shown(&written);
    if !matches!(read, Endpoint::Unix(_)) {
        assert_same(read, written.parse().ok());
    }
    text.to_owned()
}

pub(super) const WORDS: Target = Target {
    name: "words",
    reads: "identifiers, origins, rules, plans, corrections, roles, flags, endpoints: their `FromStr`",
    law: "one spelling; an endpoint survives its own",
    max_len: 2_048,
    memory: SMALL,
    inputs: 800,
    examples: || {
        let each = SHORT.iter().flat_map(|(what, _, words)| {
            words
                .iter()
                .enumerate()
                .map(move |(n, word)| Example::new(format!("{what}-{n}"), format!("{what} {word}")))
        });
        each.collect()
    },
    read: |bytes| {
        let Some((what, word)) = std::str::from_utf8(bytes).ok().and_then(|t| t.split_once(' ')) else {
            return Outcome::Refused;
        };
        let Some((_, reader, _)) = SHORT.iter().find(|(known, ..)| *known == what) else {
            return Outcome::Refused;
        };
        one_spelling(word.as_bytes(), reader(word))
    },
};

/// A public key, a newline, a checkpoint text, then a signature file.
pub(super) const MINISIGN_FILES: Target = Target {
    name: "minisign_files",
    reads: "minisign public keys and signature files: `shared/src/checkpoint.rs`",
    law: "a signature verifies only as it was made, whatever else the file says",
    max_len: KIB_8_AND_MORE,
    memory: SMALL,
    inputs: 100,
    examples: || {
        let signed = |_| {
            let (key, _) = keys::generate(None).expect("a key");
            let root = Checkpoint { origin: log::ORIGIN, size: 1, root: [3; 32] };
            let file = key.checkpoint(&root).expect("a signature").signature;
            format!("{}\n{}{file}", key.public.base64, root.text())
        };
        (0..2).map(|n| Example::new(format!("signed-{n}"), signed(n))).collect()
    },
    read: |bytes| {
        let Some((key, text, file)) = parts(bytes) else { return Outcome::Refused };
        let id = key_id(key);
        assert_eq!(id.is_some(), is_same_key(key, key));
        match verify_minisign(key, text.as_bytes(), file) {
            Ok(comment) => {
                let made = |e: &Example| parts(&e.bytes).map(|(_, t, f)| (t.to_owned(), signature(f)));
                let this = Some((text.to_owned(), signature(file)));
                assert!(stored("minisign_files").iter().any(|e| made(e) == this), "edited, and verified");
                assert!(id == signature_key_id(file) || signature_key_id(file).is_none());
                assert!(!comment.contains('\n'));
                Outcome::Read
            }
            Err(_) => Outcome::Refused,
        }
    },
};

/// Longer than any signature file that is looked at.
const KIB_8_AND_MORE: usize = 9_000;

/// The key, the three lines of the text, and the file.
fn parts(bytes: &[u8]) -> Option<(&str, &str, &str)> {
    let (key, rest) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    let end = rest.match_indices('\n').nth(2)?.0 + 1;
    Some((key, &rest[..end], &rest[end..]))
}

/// What a signature file signs by: its signatures and the comment between.
fn signature(file: &str) -> Vec<String> {
    file.lines().skip(1).take(3).map(|line| line.trim().to_owned()).collect()
}
