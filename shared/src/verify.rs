//! Offline verification: of a receipt, a range or a whole log, with nothing but its proof, a checkpoint and a trust
//! file that the verifier already had. A key that comes with the proof is never trusted.
//!
//! Three questions, each with its own verdict: is the checkpoint signed by a trusted key, is each entry in the log of the
//! checkpoint, and is nothing left out?

mod range;

pub use range::RangeCheck;

use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::describe;
use crate::http::{ReceiptEvidence, ReceiptJson};
use crate::ids::Origin;
use crate::merkle::{self, Frontier, Hash};
use crate::record::{Disclosed, Sealed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// What a verifier trusts, decided beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Keys, each for one purpose.
    #[serde(default, rename = "key")]
    pub keys: Vec<TrustedKey>,
}

/// One trusted key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// Minisign public key, base64.
    pub public_key: String,
    /// `checkpoint`. A key for another purpose does not count.
    pub purpose: String,
    /// An origin, or its beginning up to a `/`: `conductor-log/<node id>/` trusts the key for all logs of a node.
    pub origin: String,
    /// Sizes of logs for which it counts, first and last; all unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<[u64; 2]>,
}

impl Trust {
    /// Keys that count for a checkpoint of this log at this size.
    pub fn keys_for(&self, origin: &Origin, size: u64) -> impl Iterator<Item = &TrustedKey> {
        let name = origin.to_string();
        self.keys.iter().filter(move |k| {
            let within = k.origin == name || (k.origin.ends_with('/') && name.starts_with(&k.origin));
            let sized = k.sizes.is_none_or(|[from, to]| (from..=to).contains(&size));
            k.purpose == "checkpoint" && within && sized
        })
    }
}

/// Answer to one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "why", rename_all = "snake_case")]
pub enum Verdict {
    /// Proved.
    Verified,
    /// Disproved: the proof contradicts itself or the trusted key.
    Refuted(String),
    /// Neither: the proof lacks something.
    Unconfirmed(String),
}

/// The answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Does a trusted key sign the checkpoint?
    pub signature: Verdict,
    /// Is each entry, with what it discloses, in the log of the checkpoint?
    pub inclusion: Verdict,
    /// Is nothing between the first and the last entry left out?
    pub completeness: Verdict,
    /// The checkpoint, when it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Entries checked.
    pub entries: u64,
}

/// Exit code of `conductor verify`: everything asked was proved.
pub const EXIT_VERIFIED: u8 = 0;
/// Exit code: something was disproved.
pub const EXIT_REFUTED: u8 = 3;
/// Exit code: nothing was disproved, and not all was proved.
pub const EXIT_UNCONFIRMED: u8 = 4;

impl Report {
    /// The worst of the answers.
    pub fn exit_code(&self) -> u8 {
        let all = [&self.signature, &self.inclusion, &self.completeness];
        if all.iter().any(|v| matches!(v, Verdict::Refuted(_))) {
            EXIT_REFUTED
        } else if all.iter().any(|v| matches!(v, Verdict::Unconfirmed(_))) {
            EXIT_UNCONFIRMED
        } else {
            EXIT_VERIFIED
        }
    }
}

/// Verifies a checkpoint against a trust file.
pub fn checkpoint(signed: &SignedCheckpoint, trust: &Trust) -> (Verdict, Option<Checkpoint>) {
    let c = match Checkpoint::parse(&signed.text) {
        Ok(c) => c,
        Err(e) => return (Verdict::Refuted(e.to_string()), None),
    };
    let mut why = None;
    for key in trust.keys_for(&c.origin, c.size) {
        match signed.verify(&key.public_key) {
            Ok(c) => return (Verdict::Verified, Some(c)),
            Err(CheckpointError::Key) => {
                why = Some(Verdict::Unconfirmed("a key in the trust file cannot be read".into()));
            }
            Err(e) => why = Some(Verdict::Refuted(e.to_string())),
        }
    }
    let none = || {
        Verdict::Unconfirmed(format!(
            "the trust file has no checkpoint key for {} at size {}",
            c.origin, c.size
        ))
    };
    (why.unwrap_or_else(none), Some(c))
}

fn b64<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// Reads an audit path.
pub fn hashes(path: &[String]) -> Option<Vec<Hash>> {
    path.iter().map(|h| b64(h)).collect()
}

/// Checks that a receipt says only what its digests commit to, and gives its leaf and header.
pub fn receipt(r: &ReceiptEvidence) -> Result<Sealed, String> {
    open(r).map(|(sealed, _)| sealed)
}

/// The same, in words that are made here from the bytes that were checked.
pub fn read(r: &ReceiptEvidence) -> Result<ReceiptJson, String> {
    open(r).map(|(sealed, fields)| describe::receipt(&sealed, &fields))
}

fn open(r: &ReceiptEvidence) -> Result<(Sealed, Vec<Disclosed>), String> {
    let bytes = STANDARD.decode(&r.sealed).map_err(|_| "sealed part is not base64".to_owned())?;
    let sealed = Sealed::from_bytes(&bytes).map_err(|e| e.to_string())?;
    let h = &sealed.header;
    if (h.index, h.time_us, h.kind) != (r.index, r.time_us, r.kind) {
        return Err("index, time or kind beside the header differ from those in it".into());
    }
    let known = crate::fact::schema(h.kind);
    let mut last = None;
    let mut fields = Vec::with_capacity(r.fields.len());
    for f in &r.fields {
        let bytes =
            STANDARD.decode(&f.disclosure).map_err(|_| format!("field {:?} is not base64", f.name))?;
        let d = Disclosed::from_bytes(&bytes).map_err(|e| e.to_string())?;
        if d.name != f.name {
            return Err(format!("field {:?} discloses {:?}", f.name, d.name));
        }
        let digest = d.digest();
        let at = sealed.digests.iter().position(|x| *x == digest);
        let Some(at) = at else { return Err(format!("field {:?} is not what was committed to", f.name)) };
        if last.is_some_and(|l| at <= l) {
            return Err("fields are out of order".into());
        }
        last = Some(at);
        if known.is_some_and(|s| s.fields.get(at).is_none_or(|n| *n != d.name)) {
            return Err(format!("field {:?} does not stand at its place in the schema", f.name));
        }
        fields.push(d);
    }
    Ok((sealed, fields))
}

/// Fields that are committed to and not disclosed.
#[derive(Default)]
struct Withheld {
    fields: u64,
    receipts: u64,
}

impl Withheld {
    fn of(sealed: &Sealed, disclosed: usize) -> Self {
        let fields = sealed.digests.len().saturating_sub(disclosed) as u64;
        Self { fields, receipts: u64::from(fields > 0) }
    }

    fn add(&mut self, more: &Self) {
        self.fields += more.fields;
        self.receipts += more.receipts;
    }

    fn verdict(&self) -> Verdict {
        if self.fields == 0 {
            return Verdict::Verified;
        }
        let (n, m) = (self.fields, self.receipts);
        Verdict::Unconfirmed(format!("fields are withheld or erased: {n}, in {m} receipts"))
    }
}

/// Verifies one receipt.
pub fn one(r: &ReceiptEvidence, proof: &[String], cp: Option<&SignedCheckpoint>, trust: &Trust) -> Report {
    let mut report = Report {
        signature: Verdict::Unconfirmed("no checkpoint covers it yet".into()),
        inclusion: Verdict::Unconfirmed("no checkpoint covers it yet".into()),
        completeness: Verdict::Verified,
        origin: None,
        size: None,
        entries: 1,
    };
    let sealed = match receipt(r) {
        Ok(s) => s,
        Err(e) => {
            report.inclusion = Verdict::Refuted(e);
            return report;
        }
    };
    report.origin = Some(sealed.header.origin);
    report.completeness = Withheld::of(&sealed, r.fields.len()).verdict();
    let Some(cp) = cp else { return report };
    let (signature, cp) = checkpoint(cp, trust);
    report.signature = signature;
    let Some(cp) = cp else { return report };
    report.size = Some(cp.size);
    report.inclusion = if cp.origin != sealed.header.origin {
        Verdict::Refuted(format!("the checkpoint speaks of {}", cp.origin))
    } else if sealed.header.index >= cp.size {
        Verdict::Unconfirmed(format!("the checkpoint covers {} entries only", cp.size))
    } else {
        match hashes(proof) {
            Some(p)
                if merkle::verify_inclusion(sealed.header.index, cp.size, &sealed.leaf(), &p, &cp.root) =>
            {
                Verdict::Verified
            }
            _ => Verdict::Refuted("the audit path does not lead to the checkpoint's root".into()),
        }
    };
    report
}

/// Root of a whole log from its leaves, for callers that have them.
pub fn root_of(leaves: impl IntoIterator<Item = Hash>) -> Hash {
    let mut f = Frontier::default();
    for l in leaves {
        f.push(l, |_, _, _| {});
    }
    f.root()
}

#[cfg(test)]
mod tests;
