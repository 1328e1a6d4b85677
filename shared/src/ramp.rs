//! Ramps and kill switches: which share of subjects a workflow is open to.
//!
//! bucket = first 8 bytes, big-endian, of HMAC-SHA256(ramp key, len4(action) action len4(workflow) workflow
//! len4(subject) subject), modulo 10,000. A subject is included when its bucket is below the ramp, in basis points. The
//! bucket depends on the request alone, so raising a ramp only adds subjects, and ramping down and up again brings back
//! the same ones. Test vectors: docs/reference/vectors.md.

use crate::basis_points::BasisPoints;
use crate::ids::Ident;
use crate::words::text_schema;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Buckets that subjects fall into.
const BUCKETS: u16 = 10_000;
/// How many earlier values a ramp remembers.
pub const HISTORY: usize = 16;

/// What a rule applies to. `None` is any. Written `action/workflow`, with `*` for any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Selector {
    /// Action, for instance `run`.
    pub action: Option<Ident>,
    /// Workflow type.
    pub workflow: Option<Ident>,
}

impl Selector {
    /// True when the rule covers a request.
    pub fn covers(&self, action: &str, workflow: &str) -> bool {
        self.action.as_ref().is_none_or(|a| a.as_str() == action)
            && self.workflow.as_ref().is_none_or(|w| w.as_str() == workflow)
    }
}

/// Action and workflow of a selector, to look one up without making it.
trait Named {
    fn parts(&self) -> (Option<&str>, Option<&str>);
}

impl Named for Selector {
    fn parts(&self) -> (Option<&str>, Option<&str>) {
        (self.action.as_ref().map(Ident::as_str), self.workflow.as_ref().map(Ident::as_str))
    }
}

impl Named for (Option<&str>, Option<&str>) {
    fn parts(&self) -> (Option<&str>, Option<&str>) {
        *self
    }
}

impl<'a> Borrow<dyn Named + 'a> for Selector {
    fn borrow(&self) -> &(dyn Named + 'a) {
        self
    }
}

impl PartialEq for dyn Named + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Named + '_ {}

impl PartialOrd for dyn Named + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

// As derived for `Selector`: an identifier is ordered as its text.
impl Ord for dyn Named + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

/// The rules that cover a request, the one that decides first: more exact fields win; on a tie, workflow before action. Four
/// are looked up, however many there are.
pub fn covering<'a, T>(
    rules: &'a BTreeMap<Selector, T>,
    action: &str,
    workflow: &str,
) -> impl Iterator<Item = (&'a Selector, &'a T)> {
    let (a, w) = (Some(action), Some(workflow));
    let names = [(a, w), (None, w), (a, None), (None, None)];
    let found = names.map(|name| rules.get_key_value(&name as &dyn Named));
    found.into_iter().flatten()
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |p: &Option<Ident>| p.as_ref().map_or("*", Ident::as_str).to_owned();
        f.pad(&format!("{}/{}", part(&self.action), part(&self.workflow)))
    }
}

/// Why a text is not a selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected action/workflow, each an identifier or * for any")]
pub struct SelectorError;

impl FromStr for Selector {
    type Err = SelectorError;
    fn from_str(s: &str) -> Result<Self, SelectorError> {
        let (a, w) = s.split_once('/').ok_or(SelectorError)?;
        let part = |p: &str| match p {
            "*" => Ok(None),
            p => Ident::new(p).map(Some).map_err(|_| SelectorError),
        };
        Ok(Self { action: part(a)?, workflow: part(w)? })
    }
}

impl Serialize for Selector {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

text_schema!(
    Selector,
    r"^(\*|[a-z0-9][a-z0-9._-]{0,62})/(\*|[a-z0-9][a-z0-9._-]{0,62})$",
    "A rule: action/workflow, with * for all"
);

/// One ramp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Ramp {
    /// Share of subjects.
    pub hundredths: BasisPoints,
    /// Counts the changes of this ramp.
    pub revision: u64,
    /// Earlier values, newest last, at most [`HISTORY`].
    pub history: Vec<BasisPoints>,
}

impl Ramp {
    /// What a rollback goes to: the newest earlier value that is lower than the present one, else 0. So a rollback
    /// never raises.
    pub fn rollback_to(&self) -> BasisPoints {
        self.history.iter().rev().copied().find(|h| *h < self.hundredths).unwrap_or_default()
    }
}

/// One kill switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Kill {
    /// Deny new runs only, and let open runs go on with their steps.
    pub drain: bool,
}

/// The rule that decides for a request, if any.
pub fn deciding<'a, T>(
    rules: &'a BTreeMap<Selector, T>,
    action: &str,
    workflow: &str,
) -> Option<(&'a Selector, &'a T)> {
    covering(rules, action, workflow).next()
}

/// The share of subjects a request's kind is open to. Without a rule: all.
pub fn effective(ramps: &BTreeMap<Selector, Ramp>, action: &str, workflow: &str) -> BasisPoints {
    deciding(ramps, action, workflow).map_or(BasisPoints::FULL, |(_, r)| r.hundredths)
}

/// The bucket of a request, 0 to 9,999.
pub fn bucket(key: &[u8; 32], action: &str, workflow: &str, subject: &[u8]) -> u16 {
    let Ok(mut m) = Hmac::<Sha256>::new_from_slice(key) else { return BUCKETS - 1 };
    for part in [action.as_bytes(), workflow.as_bytes(), subject] {
        m.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        m.update(part);
    }
    let out = m.finalize().into_bytes();
    let mut first = [0u8; 8];
    first.copy_from_slice(&out[..8]);
    u16::try_from(u64::from_be_bytes(first) % u64::from(BUCKETS)).unwrap_or(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ramp(h: u16) -> Ramp {
        Ramp { hundredths: BasisPoints::saturating(h), revision: 1, history: vec![] }
    }

    /// SPEC 3.1: published vectors; whoever reimplements the bucket must get these.
    #[test]
    fn published_vectors() {
        let key = [7u8; 32];
        let got: Vec<u16> = [
            ("run", "etl", "customer-1"),
            ("run", "etl", "customer-2"),
            ("run", "etl", ""),
            ("", "", ""),
            ("ru", "netl", "customer-1"),
        ]
        .iter()
        .map(|(a, w, s)| bucket(&key, a, w, s.as_bytes()))
        .collect();
        insta::assert_debug_snapshot!(got);
    }

    /// SPEC 3.1: most exact fields win, ties in the order workflow, action.
    #[test]
    fn most_specific_wins() {
        let mut rules = BTreeMap::new();
        for (s, h) in [("*/*", 1), ("run/*", 2), ("*/etl", 3), ("run/etl", 4)] {
            rules.insert(s.parse().unwrap(), ramp(h));
        }
        assert_eq!(effective(&rules, "run", "etl").get(), 4);
        assert_eq!(effective(&rules, "x", "etl").get(), 3);
        assert_eq!(effective(&rules, "run", "x").get(), 2);
        assert_eq!(effective(&rules, "x", "x").get(), 1);
        rules.remove(&"run/etl".parse::<Selector>().unwrap());
        assert_eq!(effective(&rules, "run", "etl").get(), 3, "workflow before action");
        assert_eq!(effective(&BTreeMap::new(), "run", "etl"), BasisPoints::FULL);
    }

    proptest! {
        /// SPEC 3.1: raising only adds subjects, re-ramping brings back the same ones.
        #[test]
        fn raising_only_adds(key: [u8; 32], subject in ".{0,40}", low in 0u16..=BUCKETS, high in 0u16..=BUCKETS) {
            let (low, high) = (low.min(high), low.max(high));
            let b = bucket(&key, "run", "etl", subject.as_bytes());
            prop_assert!(b < BUCKETS);
            prop_assert!(b >= low || b < high);
            prop_assert_eq!(b, bucket(&key, "run", "etl", subject.as_bytes()));
        }

        /// SPEC invariant 3: a rollback never raises.
        #[test]
        fn rollback_never_raises(h in 0u16..=BUCKETS, history in proptest::collection::vec(0u16..=BUCKETS, 0..16)) {
            let history = history.into_iter().map(BasisPoints::saturating).collect();
            let h = BasisPoints::saturating(h);
            let r = Ramp { hundredths: h, revision: 3, history };
            prop_assert!(r.rollback_to() < h || h == BasisPoints::ZERO);
        }
    }

    /// SPEC 3.1: shares are what they say: 10 % of 100,000 subjects, within 5 standard deviations.
    #[test]
    fn shares_are_fair() {
        let n = 100_000u32;
        let inside =
            (0..n).filter(|i| bucket(&[3; 32], "run", "etl", i.to_string().as_bytes()) < 1000).count();
        let (mean, sd) = (10_000f64, (100_000f64 * 0.1 * 0.9).sqrt());
        assert!((inside as f64 - mean).abs() < 5.0 * sd, "{inside}");
    }
}
