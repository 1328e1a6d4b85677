//! Files that `conductor verify` reads, by the command itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use conductor_agent::signer::keys;
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::http::{BUNDLE_TYPE, RangeBundle, ReceiptBundle};
use conductor_shared::merkle::{Hash, inclusion_proof, root_at};
use conductor_shared::verify::{EXIT_VERIFIED, Trust, TrustedKey};
use conductor_tui::cli::args::VerifyArgs;
use conductor_tui::cli::verify::verify;

use super::{assert_shown, log};
use crate::corpus::{Example, root, stored};
use crate::target::{Memory, Outcome, Target};

/// Entries of the log that the evidence is of.
const SIZE: u64 = 7;
/// Buffers of the reader, JSON, base64 and words of each line.
const EVIDENCE_TAKES: Memory = Memory { base: 1 << 20, each: 256 };

pub(super) const EVIDENCE: Target = Target {
    name: "evidence",
    reads: "receipts with proofs, and exports of ranges: `tui/src/cli/verify.rs`",
    law: "an edited file verifies only if it still says the very same; what is shown is safe",
    max_len: 128 << 10,
    memory: EVIDENCE_TAKES,
    inputs: 60,
    examples: || evidence().0.clone(),
    read: |bytes| checked("evidence", &[("evidence", bytes)]),
};

/// The text, then its signature file.
pub(super) const SIGNED_CHECKPOINTS: Target = Target {
    name: "signed_checkpoints",
    reads: "checkpoints with their signature beside them: `tui/src/cli/verify.rs`",
    law: "an edited file verifies only if it still says the very same",
    max_len: 9_000,
    memory: EVIDENCE_TAKES,
    inputs: 60,
    examples: || evidence().1.clone(),
    read: |bytes| {
        let Some(at) = bytes.windows(10).position(|w| w == b"untrusted ") else { return Outcome::Refused };
        let (text, signature) = bytes.split_at(at);
        checked("signed_checkpoints", &[("evidence", text), ("evidence.minisig", signature)])
    },
};

fn trust_file() -> PathBuf {
    root().join("trust.toml")
}

/// A log of a few entries, signed by a fresh key: every kind of file about it. The key goes into the trust file.
fn evidence() -> &'static (Vec<Example>, Vec<Example>) {
    static MADE: OnceLock<(Vec<Example>, Vec<Example>)> = OnceLock::new();
    MADE.get_or_init(make)
}

fn make() -> (Vec<Example>, Vec<Example>) {
    let (key, _) = keys::generate(None).expect("a key");
    let trusted = TrustedKey {
        public_key: key.public.base64.clone(),
        purpose: "checkpoint".into(),
        origin: log::ORIGIN.to_string(),
        sizes: None,
    };
    let trust = toml::to_string(&Trust { keys: vec![trusted] }).expect("a trust file");
    fs::write(trust_file(), trust).expect("a place for the trust file");
    let leaves = log::Leaves::of_log(SIZE);
    let root = root_at(&leaves, SIZE).unwrap_or_else(|never| match never {});
    let signed = key.checkpoint(&Checkpoint { origin: log::ORIGIN, size: SIZE, root }).expect("a signature");
    let path = |index| texts(&inclusion_proof(&leaves, index, SIZE).unwrap_or_else(|never| match never {}));
    let mut files = vec![];
    for index in [0, 3, 6] {
        let (kind, receipt, proof) = (BUNDLE_TYPE.to_owned(), log::entry(index), path(index));
        let bundle = ReceiptBundle { kind, receipt, proof, checkpoint: Some(signed.clone()) };
        files.push(Example::new(
            format!("receipt-{index}"),
            serde_json::to_vec_pretty(&bundle).expect("JSON"),
        ));
    }
    for (from, to) in [(0, SIZE), (2, 5)] {
        let head = RangeBundle {
            kind: BUNDLE_TYPE.to_owned(),
            from,
            to,
            first_proof: path(from),
            last_proof: path(to - 1),
            checkpoint: Some(signed.clone()),
        };
        let mut lines = serde_json::to_vec(&head).expect("JSON");
        for index in from..to {
            lines.push(b'\n');
            lines.extend(serde_json::to_vec(&log::entry(index)).expect("JSON"));
        }
        files.push(Example::new(format!("range-{from}-{to}"), lines));
    }
    let SignedCheckpoint { text, signature } = signed;
    (files, vec![Example::new("checkpoint", text + &signature)])
}

fn texts(path: &[Hash]) -> Vec<String> {
    use base64::Engine as _;
    path.iter().map(|h| base64::engine::general_purpose::STANDARD.encode(h)).collect()
}

/// What the command says of files under these names, the first of which is the one it is asked about.
fn said(target: &str, files: &[(&str, &[u8])]) -> Option<(u8, String)> {
    let folder = std::env::temp_dir().join(format!("conductor-fuzz-{target}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a scratch folder");
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).expect("a scratch file");
    }
    let args = VerifyArgs { file: folder.join(files[0].0), trust: trust_file(), show: true };
    let said = verify(&args);
    remove(&folder);
    match said {
        Ok(out) => {
            assert_shown(&out.text);
            Some((out.code, out.text))
        }
        Err(e) => {
            assert_shown(&e.to_string());
            None
        }
    }
}

fn remove(folder: &Path) {
    // What stays behind is in a folder for such things.
    let _ = fs::remove_dir_all(folder);
}

fn checked(target: &str, files: &[(&str, &[u8])]) -> Outcome {
    match said(target, files) {
        Some((EXIT_VERIFIED, text)) => {
            assert!(truths().contains(&text), "edited, and verified: {text}");
            Outcome::Read
        }
        _ => Outcome::Refused,
    }
}

/// What the command says of the log in truth: each entry and range that there is evidence of.
fn truths() -> &'static BTreeSet<String> {
    static TRUTHS: OnceLock<BTreeSet<String>> = OnceLock::new();
    TRUTHS.get_or_init(|| {
        let made = stored("evidence").into_iter().filter(|e| !e.name.starts_with(crate::corpus::KEPT));
        let files = made.filter_map(|e| said("truths", &[("evidence", &e.bytes)]));
        let checkpoints = stored("signed_checkpoints").into_iter().filter_map(|e| {
            let at = e.bytes.windows(10).position(|w| w == b"untrusted ")?;
            let (text, signature) = e.bytes.split_at(at);
            said("truths", &[("evidence", text), ("evidence.minisig", signature)])
        });
        files.chain(checkpoints).filter(|(code, _)| *code == EXIT_VERIFIED).map(|(_, text)| text).collect()
    })
}
