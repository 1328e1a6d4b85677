//! Credentials: bearer tokens of workloads, files of secret keys, and what a new operator says of a key.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_agent::scope::TokenParts;
use conductor_agent::signer::keys as signer_keys;
use conductor_shared::checkpoint::verify_minisign;
use conductor_shared::command::{Operation, ops};
use conductor_shared::control::ControlState;
use conductor_shared::ids::{PartitionId, PersonId, TokenId, hex};
use conductor_shared::operator::{KEYS_LINE, key_statement};
use conductor_tui::cli::operators::read_statement;
use conductor_tui::client::keys::{KeyFile, UnlockedKey};
use sha2::{Digest as _, Sha256};

use super::{SMALL, assert_shown, log, texts};
use crate::corpus::{Example, stored};
use crate::target::{Memory, Outcome, Target};

const SECRET: [u8; 32] = [3; 32];

fn bearer() -> String {
    format!("cdw_{}_{}_{}", log::TENANT, TokenId([2; 16]), hex(&SECRET))
}

pub(super) const TOKENS: Target = Target {
    name: "tokens",
    reads: "bearer tokens of workloads: `agent/src/scope.rs`",
    law: "only the very token that was issued proves scope",
    max_len: 1_024,
    memory: SMALL,
    inputs: 600,
    examples: || vec![Example::new("token", bearer())],
    read: |bytes| {
        static ISSUED: OnceLock<ControlState> = OnceLock::new();
        let issued = ISSUED.get_or_init(|| {
            let issue = Operation::TokenIssue(ops::TokenIssue {
                token: TokenId([2; 16]),
                name: texts::ident("t"),
                secret_sha256: Sha256::digest(SECRET).into(),
            });
            ControlState::default().after(&issue)
        });
        let Some(parts) = std::str::from_utf8(bytes).ok().and_then(TokenParts::parse) else {
            return Outcome::Refused;
        };
        let proved = parts.prove(PartitionId { tenant: log::TENANT, epoch: 1 }, issued);
        assert_eq!(proved.is_some(), bytes == bearer().as_bytes());
        Outcome::Read
    },
};

/// A file in a folder of its own, which only its owner may read.
fn scratch(target: &str, bytes: &[u8]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("conductor-fuzz-{target}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a scratch folder");
    let path = folder.join("file");
    let mut options = OpenOptions::new();
    let file = options.create(true).write(true).truncate(true).mode(0o600).open(&path);
    file.and_then(|mut f| f.write_all(bytes)).expect("a scratch file");
    path
}

fn unlocked(path: &std::path::Path) -> Option<UnlockedKey> {
    let file = KeyFile::load(path).ok()?;
    // To decrypt takes about a second, with as much memory as the file asks for, up to a gibibyte.
    if file.is_encrypted() { None } else { file.unlock(None).ok() }
}

pub(super) const KEY_FILES: Target = Target {
    name: "key_files",
    reads: "files of secret keys, not encrypted: `agent/src/signer/keys.rs`, `tui/src/client/keys.rs`",
    law: "what opens signs what verifies; signer and console read the same key",
    max_len: 6_000,
    memory: Memory { base: 256 << 10, each: 64 },
    inputs: 100,
    examples: || {
        let (_, text) = signer_keys::generate(None).expect("a key");
        vec![Example::new("plain", text.as_bytes())]
    },
    read: |bytes| {
        let path = scratch("key", bytes);
        let signer = signer_keys::KeyFile::read(&path).ok().filter(|file| !file.encrypted());
        let signer = signer.and_then(|file| file.open(None).ok());
        let console = unlocked(&path);
        if let Some(key) = &console {
            let signed = key.sign("text", "comment").expect("a signature");
            let said = verify_minisign(key.public_key(), b"text", &signed.signature);
            assert_eq!(said.as_deref(), Ok("comment"));
        }
        if let (Some(one), Some(other)) = (&signer, &console) {
            assert_eq!(one.public.base64, other.public_key());
        }
        Outcome::of(signer)
    },
};

pub(super) const KEY_STATEMENTS: Target = Target {
    name: "key_statements",
    reads: "statements of new operators about their keys: `tui/src/cli/operators.rs`",
    law: "an edited statement is refused, or still says the same",
    max_len: 20_000,
    memory: Memory { base: 256 << 10, each: 64 },
    inputs: 100,
    examples: || {
        let (_, text) = signer_keys::generate(None).expect("a key");
        let key = unlocked(&scratch("statement-key", text.as_bytes())).expect("a key that was just made");
        let (person, name) = (PersonId([4; 16]), texts::ident("ana"));
        let said = key_statement(person, &name, key.public_key());
        let proof = STANDARD.encode(key.sign(&said, KEYS_LINE).expect("a signature").signature);
        let statement = serde_json::json!({"type": KEYS_LINE, "person": person, "name": name,
            "public_key": key.public_key(), "proof": proof});
        vec![Example::new("statement", serde_json::to_vec_pretty(&statement).expect("JSON"))]
    },
    read: |bytes| match read_statement(&scratch("statement", bytes)) {
        Ok(read) => {
            let said = |json: Option<serde_json::Value>| {
                let of = |name: &str| json.as_ref().map(|j| j[name].clone());
                ["person", "name", "public_key"].map(of)
            };
            let read = said(serde_json::to_value(&read).ok());
            let mut all = stored("key_statements").into_iter();
            let known = all.any(|e| said(serde_json::from_slice(&e.bytes).ok()) == read);
            assert!(known, "edited, and believed: {read:?}");
            Outcome::Read
        }
        Err(e) => {
            assert_shown(&e.to_string());
            Outcome::Refused
        }
    },
};
