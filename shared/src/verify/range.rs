//! A range of a log, checked entry by entry.

use super::{Verdict, Withheld, receipt};
use crate::checkpoint::Checkpoint;
use crate::http::ReceiptEvidence;
use crate::ids::Origin;
use crate::merkle::{self, Hash};

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
    /// Leaves of the first and the last entry so far.
    ends: Option<(Hash, Hash)>,
    withheld: Withheld,
    refuted: Option<String>,
    last_us: u64,
}

impl RangeCheck {
    /// For entries beginning at `from`, of `origin` when it is known.
    pub fn new(from: u64, origin: Option<Origin>) -> Self {
        Self {
            origin,
            from,
            next: from,
            stack: vec![],
            ends: None,
            withheld: Withheld::default(),
            refuted: None,
            last_us: 0,
        }
    }

    /// Takes the next entry.
    pub fn push(&mut self, r: &ReceiptEvidence) {
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
                self.withheld.add(&Withheld::of(&s, r.fields.len()));
                let leaf = s.leaf();
                self.ends = Some((self.ends.map_or(leaf, |(first, _)| first), leaf));
                self.add(leaf);
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
            Some(root) if root == cp.root => (Verdict::Verified, self.withheld.verdict()),
            _ => {
                let why = || Verdict::Refuted("the entries do not lead to the checkpoint's root".into());
                (why(), why())
            }
        }
    }

    /// Root of the whole log. Both paths lead to it as well, so that no hash of them can be another one unnoticed.
    fn root(&self, to: u64, size: u64, first: &[Hash], last: &[Hash]) -> Option<Hash> {
        let (first_leaf, last_leaf) = self.ends?;
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
        let root = range_root(0, size, (self.from, to), &outside, &here)?;
        let leads = |index, leaf, path: &[Hash]| merkle::verify_inclusion(index, size, leaf, path, &root);
        (leads(self.from, &first_leaf, first) && leads(to - 1, &last_leaf, last)).then_some(root)
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
