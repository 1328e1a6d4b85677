//! Offline verification: of a receipt, a range or a whole log, with nothing but its proof, a checkpoint and a trust
//! file that the verifier already had. A key that comes with the proof is never trusted.
//!
//! Three questions, each with its own verdict: is the checkpoint signed by a trusted key, is each entry in the log of the
//! checkpoint, and is nothing left out?

use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::http::ReceiptJson;
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
pub fn receipt(r: &ReceiptJson) -> Result<Sealed, String> {
    let bytes = STANDARD.decode(&r.sealed).map_err(|_| "sealed part is not base64".to_owned())?;
    let sealed = Sealed::from_bytes(&bytes).map_err(|e| e.to_string())?;
    let h = &sealed.header;
    if (h.index, h.time_us, h.kind) != (r.index, r.time_us, r.kind) {
        return Err("index, time or kind beside the header differ from those in it".into());
    }
    let known = crate::fact::schema(h.kind);
    let mut last = None;
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
    }
    Ok(sealed)
}

/// Checks consecutive entries from `from` on against a checkpoint, one at a time, without keeping them.
///
/// A range is proved whole by the audit paths of its first and its last entry: the left siblings of the first fix all
/// before it, the right siblings of the last all after it, and the entries between are hashed here.
pub struct RangeCheck {
    origin: Option<Origin>,
    from: u64,
    next: u64,
    /// Roots of complete subtrees of the entries so far, with level and index.
    stack: Vec<(u8, u64, Hash)>,
    refuted: Option<String>,
    last_us: u64,
}

impl RangeCheck {
    /// For entries beginning at `from`, of `origin` when it is known.
    pub fn new(from: u64, origin: Option<Origin>) -> Self {
        Self { origin, from, next: from, stack: vec![], refuted: None, last_us: 0 }
    }

    /// Takes the next entry.
    pub fn push(&mut self, r: &ReceiptJson) {
        if self.refuted.is_some() {
            return;
        }
        match receipt(r) {
            Err(e) => self.refuted = Some(format!("entry {}: {e}", r.index)),
            Ok(s) if self.origin.is_some_and(|o| o != s.header.origin) => {
                self.refuted = Some(format!("entry {} belongs to {}", r.index, s.header.origin));
            }
            Ok(s) if s.header.index != self.next => {
                self.refuted = Some(format!("expected entry {}, found {}", self.next, s.header.index));
            }
            Ok(s) if s.header.time_us < self.last_us => {
                self.refuted = Some(format!("entry {} is older than the one before it", r.index));
            }
            Ok(s) => {
                self.origin = Some(s.header.origin);
                self.last_us = s.header.time_us;
                self.add(s.leaf());
            }
        }
    }

    fn add(&mut self, leaf: Hash) {
        let (mut level, mut index, mut hash) = (0u8, self.next, leaf);
        while index & 1 == 1 {
            match self.stack.last() {
                Some((l, i, left)) if *l == level && *i + 1 == index => {
                    hash = merkle::node_hash(left, &hash);
                    self.stack.pop();
                    level += 1;
                    index >>= 1;
                }
                _ => break,
            }
        }
        self.stack.push((level, index, hash));
        self.next += 1;
    }

    /// Entries taken so far.
    pub fn entries(&self) -> u64 {
        self.next - self.from
    }

    /// The answers about inclusion and completeness of `from..to` under a checkpoint.
    pub fn finish(
        self,
        to: u64,
        first_proof: &[Hash],
        last_proof: &[Hash],
        cp: Option<&Checkpoint>,
    ) -> (Verdict, Verdict) {
        if let Some(why) = self.refuted {
            return (Verdict::Refuted(why.clone()), Verdict::Refuted(why));
        }
        if self.next != to {
            let announced = to.saturating_sub(self.from);
            let why = format!("{announced} entries were announced and {} came", self.entries());
            return (Verdict::Unconfirmed(why.clone()), Verdict::Refuted(why));
        }
        let Some(cp) = cp else {
            let why = || Verdict::Unconfirmed("no checkpoint covers it yet".into());
            return (why(), why());
        };
        if self.origin.is_some_and(|o| o != cp.origin) {
            let why = || Verdict::Refuted(format!("the checkpoint speaks of {}", cp.origin));
            return (why(), why());
        }
        if to > cp.size {
            let why = || Verdict::Unconfirmed(format!("the checkpoint covers {} entries only", cp.size));
            return (why(), why());
        }
        match self.root(to, cp.size, first_proof, last_proof) {
            Some(root) if root == cp.root => (Verdict::Verified, Verdict::Verified),
            _ => {
                let why = || Verdict::Refuted("the entries do not lead to the checkpoint's root".into());
                (why(), why())
            }
        }
    }

    fn root(&self, to: u64, size: u64, first: &[Hash], last: &[Hash]) -> Option<Hash> {
        if self.next == self.from {
            return None;
        }
        // Left siblings of the first entry, as (level, index); right siblings of the last one likewise.
        let lefts = siblings(self.from, size, first)?;
        let rights = siblings(to - 1, size, last)?;
        let find = |set: &[(u64, u64, Hash)], from: u64, to: u64| {
            set.iter().find(|(f, t, _)| (*f, *t) == (from, to)).map(|(_, _, h)| *h)
        };
        let here = |from: u64, to: u64| {
            self.stack.iter().find(|(l, i, _)| (i << l, (i + 1) << l) == (from, to)).map(|(_, _, h)| *h)
        };
        let outside = |f: u64, t: u64| if t <= self.from { find(&lefts, f, t) } else { find(&rights, f, t) };
        range_root(0, size, (self.from, to), &outside, &here)
    }
}

/// Root of `from..to`: entries of the range are here, the rest comes from the audit paths.
fn range_root(
    from: u64,
    to: u64,
    range: (u64, u64),
    outside: &dyn Fn(u64, u64) -> Option<Hash>,
    here: &dyn Fn(u64, u64) -> Option<Hash>,
) -> Option<Hash> {
    if to <= range.0 || from >= range.1 {
        return outside(from, to);
    }
    if let Some(h) = here(from, to) {
        return Some(h);
    }
    if to - from == 1 {
        return None;
    }
    let k = 1u64 << (to - from - 1).ilog2();
    Some(merkle::node_hash(
        &range_root(from, from + k, range, outside, here)?,
        &range_root(from + k, to, range, outside, here)?,
    ))
}

/// The siblings of an audit path with the ranges they cover.
fn siblings(index: u64, size: u64, path: &[Hash]) -> Option<Vec<(u64, u64, Hash)>> {
    let mut out = Vec::with_capacity(path.len());
    let (mut from, mut to) = (0u64, size);
    let mut it = path.iter().rev();
    while to - from > 1 {
        let k = 1u64 << (to - from - 1).ilog2();
        let h = *it.next()?;
        if index < from + k {
            out.push((from + k, to, h));
            to = from + k;
        } else {
            out.push((from, from + k, h));
            from += k;
        }
    }
    it.next().is_none().then_some(out)
}

/// Verifies one receipt.
pub fn one(r: &ReceiptJson, proof: &[String], cp: Option<&SignedCheckpoint>, trust: &Trust) -> Report {
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
    if r.fields.len() < sealed.digests.len() {
        let n = sealed.digests.len() - r.fields.len();
        report.completeness =
            Verdict::Unconfirmed(format!("{n} fields of the receipt are withheld or erased"));
    }
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
mod tests {
    use super::*;
    use crate::codec::Value;
    use crate::http::FieldJson;
    use crate::ids::{NodeId, TenantUid};
    use crate::record::{Body, Header, PolicyVersion, salt};

    const ORIGIN: Origin = Origin { node: NodeId([1; 16]), tenant: TenantUid([2; 16]), epoch: 1 };

    fn entry(index: u64) -> ReceiptJson {
        let names = crate::fact::GROUPS;
        let body = Body {
            seed: [u8::try_from(index % 251).unwrap(); 32],
            values: (0..3u64).map(|g| Value::List(vec![Value::U64(index * 3 + g)])).collect(),
        };
        let header = Header {
            origin: ORIGIN,
            index,
            time_us: 1000 + index,
            kind: 0x1005,
            policy: PolicyVersion::built_in(),
            commitments: 3,
        };
        let sealed = Sealed { header, digests: body.digests(names) };
        let field = |(n, v): (&&str, &Value)| FieldJson {
            name: (*n).into(),
            disclosure: STANDARD.encode(
                Disclosed { name: (*n).into(), value: v.clone(), salt: salt(&body.seed, n) }.to_bytes(),
            ),
            shown: String::new(),
        };
        ReceiptJson {
            index,
            time_us: header.time_us,
            kind: header.kind,
            kind_name: String::new(),
            sealed: STANDARD.encode(sealed.to_bytes()),
            fields: names.iter().zip(&body.values).map(field).collect(),
            summary: String::new(),
            verdict: None,
        }
    }
    struct Leaves(Vec<Hash>);
    impl merkle::Nodes for Leaves {
        type Error = std::convert::Infallible;
        fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
            let w = 1usize << level;
            let at = usize::try_from(index).unwrap() * w;
            Ok(root_of(self.0[at..at + w].iter().copied()))
        }
    }

    /// SPEC invariant 6 and 4.3: every range of every small log verifies, and no range with an entry left out, altered
    /// or moved does.
    #[test]
    fn every_range_of_small_logs() {
        for size in 1..20u64 {
            let entries: Vec<_> = (0..size).map(entry).collect();
            let leaves = Leaves(entries.iter().map(|e| receipt(e).unwrap().leaf()).collect());
            let cp = Checkpoint { origin: ORIGIN, size, root: merkle::root_at(&leaves, size).unwrap() };
            for from in 0..size {
                for to in from + 1..=size {
                    let fp = merkle::inclusion_proof(&leaves, from, size).unwrap();
                    let lp = merkle::inclusion_proof(&leaves, to - 1, size).unwrap();
                    let run = |skip: Option<u64>, alter: Option<u64>| {
                        let mut c = RangeCheck::new(from, Some(ORIGIN));
                        for i in (from..to).filter(|i| Some(*i) != skip) {
                            let e = if Some(i) == alter {
                                ReceiptJson { sealed: entry(i + 1).sealed, ..entry(i) }
                            } else {
                                entry(i)
                            };
                            c.push(&e);
                        }
                        c.finish(to, &fp, &lp, Some(&cp))
                    };
                    assert_eq!(
                        run(None, None),
                        (Verdict::Verified, Verdict::Verified),
                        "{from}..{to} of {size}"
                    );
                    for i in from..to {
                        assert!(matches!(run(Some(i), None).1, Verdict::Refuted(_)));
                        assert!(matches!(run(None, Some(i)).0, Verdict::Refuted(_)));
                    }
                }
            }
        }
    }

    /// SPEC invariant 6: a disclosed value that was altered is refuted; one withheld is not.
    #[test]
    fn disclosures_are_checked() {
        let mut r = entry(7);
        let bytes = STANDARD.decode(&r.fields[1].disclosure).unwrap();
        let mut d = Disclosed::from_bytes(&bytes).unwrap();
        d.value = Value::List(vec![Value::U64(999)]);
        r.fields[1].disclosure = STANDARD.encode(d.to_bytes());
        assert!(receipt(&r).is_err());
        r.fields.remove(1);
        assert!(receipt(&r).is_ok());
        r.fields.swap(0, 1);
        assert!(receipt(&r).is_err());
    }

    /// SPEC invariant 6: keys count only for their purpose, origin and sizes.
    #[test]
    fn trust_is_narrow() {
        let key = |purpose: &str, origin: String, sizes| TrustedKey {
            public_key: "x".into(),
            purpose: purpose.into(),
            origin,
            sizes,
        };
        let node = format!("conductor-log/{}/", ORIGIN.node);
        let count = |k: TrustedKey| Trust { keys: vec![k] }.keys_for(&ORIGIN, 10).count();
        assert_eq!(count(key("checkpoint", ORIGIN.to_string(), None)), 1);
        assert_eq!(count(key("checkpoint", node.clone(), Some([1, 10]))), 1);
        assert_eq!(count(key("command", node.clone(), None)), 0);
        assert_eq!(count(key("checkpoint", node, Some([11, 12]))), 0);
        assert_eq!(count(key("checkpoint", "conductor-log/0".into(), None)), 0);
        assert_eq!(count(key("checkpoint", String::new(), None)), 0);
    }
}
