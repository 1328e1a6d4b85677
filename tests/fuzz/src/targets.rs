//! All targets, in one table.

mod answers;
mod api;
mod bundles;
mod credentials;
mod evidence;
mod files;
mod kept;
mod log;
mod proofs;
mod records;
mod signer;
mod streams;
mod texts;
mod times;

use conductor_shared::untrusted::is_unshowable;

use crate::target::{Memory, Target};

/// Every target. A new one gets a line in the list of tests, and its examples by `UPDATE_CORPUS=1`.
pub static ALL: &[Target] = &[
    texts::COMMANDS,
    texts::SESSIONS,
    texts::APPROVALS,
    texts::STATEMENTS,
    texts::CHECKPOINTS,
    texts::WORDS,
    texts::MINISIGN_FILES,
    records::VALUES,
    records::SEALED,
    records::BODIES,
    records::DISCLOSURES,
    records::FACTS,
    proofs::PROOFS,
    proofs::RECEIPTS,
    evidence::EVIDENCE,
    evidence::SIGNED_CHECKPOINTS,
    files::TRUST,
    files::RATE_CARDS,
    files::INVOICES,
    files::CONFIGS,
    files::TRACES,
    times::WINDOWS,
    times::RANGES,
    api::BODIES,
    api::QUERIES,
    answers::ANSWERS,
    api::FLAGS,
    streams::TO_CONSOLE,
    streams::FROM_CONSOLE,
    streams::SUMMARIES,
    signer::REQUESTS,
    signer::ANSWERS,
    signer::FRAMES,
    signer::MEMORY,
    bundles::ARCHIVES,
    bundles::CONTENTS,
    bundles::RULES,
    bundles::DATA,
    kept::PINS,
    kept::OUTBOX,
    kept::NODES,
    kept::SIGNED_SIZES,
    kept::ROWS,
    kept::ROW_KEYS,
    credentials::TOKENS,
    credentials::KEY_FILES,
    credentials::KEY_STATEMENTS,
];

/// Of readers that keep at most what they are given, in values of their own.
const SMALL: Memory = Memory { base: 64 << 10, each: 64 };
/// Of files and bodies that a person or a program writes.
const KIB_8: usize = 8 << 10;

/// Text for a terminal holds nothing that it acts on.
fn assert_shown(text: &str) {
    if let Some(c) = text.chars().find(|c| is_unshowable(*c) && *c != '\n') {
        panic!("it is shown with U+{:04X}: {text:?}", u32::from(c));
    }
}

/// What is read, written and read again is the same.
#[allow(clippy::needless_pass_by_value, reason = "callers give what a reader gave them")]
fn assert_same<T: PartialEq + std::fmt::Debug>(read: &T, again: Option<T>) {
    assert_eq!(again.as_ref(), Some(read), "what is written is not what was read");
}
