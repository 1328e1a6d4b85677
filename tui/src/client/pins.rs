//! Size and root of each log as last seen, kept across starts. A hash chain cannot show that its newest rows were
//! removed; a witness can.
//!
//! A pin is (origin, size, root) and moves forward only by a consistency proof. A log that is shorter than its pin, or
//! whose proof does not hold, has forked. A new epoch is `restored` when its first entry cites the old one, else a fork.
//! This module decides and stores; it makes no requests. The file is bounded, for its owner only, replaced atomically.

use super::state_dir;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::clock::WallTime;
use conductor_shared::ids::{NodeId, Origin, TenantUid, parse_decimal};
use conductor_shared::merkle::{Hash, verify_consistency};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// First line of the file.
const TYPE_LINE: &str = "conductor-pins/v1";
/// Maximum number of pins.
pub(crate) const MAX_PINS: usize = 50_000;
/// Largest file of pins, bytes.
const MAX_FILE: u64 = 64 << 20;

/// One log as last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) size: u64,
    /// Root of these entries; not necessarily signed.
    pub(crate) root: Hash,
    /// When since the Unix epoch on this machine.
    pub(crate) seen: WallTime,
    /// Newest signed checkpoint that was verified and lies on this log.
    pub(crate) signed: Option<SignedCheckpoint>,
}

/// Result of comparing a log with its pin by a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checked {
    Grew(Pin),
    /// The log forked. What was seen, in a sentence.
    Forked(String),
    /// A new epoch that cites the old one as it was pinned. What was lost, in a sentence.
    Restored(Pin, String),
    /// A new epoch that cites what cannot be held against what was pinned. It is watched from here on.
    Unproved(Pin, String),
}

/// Result of comparing a summary with a pin, before any proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogChange {
    /// Never seen before: pinned now.
    New,
    Same,
    /// Longer: ask for a proof.
    Longer,
    /// It forked or shrank. What was seen, in a sentence.
    Forked(String),
    /// Another epoch than the pinned one.
    Epoch(Origin),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pins {
    logs: BTreeMap<Origin, Pin>,
    signers: BTreeMap<NodeId, String>,
    /// Something changed since the last save.
    pub(crate) changed: bool,
}

impl Pins {
    /// The pin of a log.
    pub(crate) fn get(&self, origin: &Origin) -> Option<&Pin> {
        self.logs.get(origin)
    }

    /// Compares size and root with the pin; pins a log that was never seen.
    pub(crate) fn compare(&mut self, origin: Origin, size: u64, root: Hash, now: WallTime) -> LogChange {
        let Some(pin) = self.logs.get(&origin) else {
            let first = Origin { epoch: 1, ..origin };
            let last = Origin { epoch: u64::MAX, ..origin };
            if let Some((other, _)) = self.logs.range(first..=last).next_back() {
                return LogChange::Epoch(*other);
            }
            self.put(origin, Pin { size, root, seen: now, signed: None });
            return LogChange::New;
        };
        match size.cmp(&pin.size) {
            std::cmp::Ordering::Less => {
                LogChange::Forked(format!("it has {size} entries; {} were seen before", pin.size))
            }
            std::cmp::Ordering::Equal if root == pin.root => LogChange::Same,
            std::cmp::Ordering::Equal => {
                LogChange::Forked(format!("at {size} entries its root is another than the one seen before"))
            }
            std::cmp::Ordering::Greater => LogChange::Longer,
        }
    }

    /// Moves a pin forward, never back. The caller has verified a proof.
    pub(crate) fn put(&mut self, origin: Origin, pin: Pin) {
        let known = self.logs.get(&origin);
        if (self.logs.len() >= MAX_PINS && known.is_none()) || known.is_some_and(|k| k.size > pin.size) {
            return;
        }
        self.changed = true;
        self.logs.insert(origin, pin);
    }

    /// The signer's key of a node as first seen. False when it is another than that.
    pub(crate) fn signer(&mut self, node: NodeId, key: &str) -> bool {
        if let Some(known) = self.signers.get(&node) {
            return known == key;
        }
        self.changed = true;
        self.signers.insert(node, key.to_owned());
        true
    }

    /// Takes what another console saw: of each log the larger pin, of each node the signer that was known before. Gives
    /// what cannot both be true, in a sentence each.
    pub(crate) fn merge(&mut self, before: Self) -> Vec<(Origin, String)> {
        let mut forked = vec![];
        for (node, key) in before.signers {
            if self.signers.get(&node).is_some_and(|k| *k != key) {
                let log = Origin { node, tenant: TenantUid::NODE, epoch: 1 };
                forked.push((log, "another console saw its signer with another key".to_owned()));
            }
            self.signers.insert(node, key);
        }
        for (origin, theirs) in before.logs {
            match self.logs.get(&origin) {
                Some(mine) if mine.size == theirs.size && mine.root != theirs.root => forked
                    .push((origin, format!("at {} entries another console saw another root", mine.size))),
                Some(mine) if mine.size > theirs.size => {}
                Some(mine) if mine.size == theirs.size && mine.signed.is_some() => {}
                None if self.logs.len() >= MAX_PINS => {}
                _ => drop(self.logs.insert(origin, theirs)),
            }
        }
        forked
    }

    /// The newest pinned epoch of a log before this one.
    pub(crate) fn epoch_before(&self, origin: Origin) -> Option<(Origin, &Pin)> {
        let first = Origin { epoch: 0, ..origin };
        self.logs.range(first..origin).next_back().map(|(o, p)| (*o, p))
    }

    /// The pinned signer's key of a node.
    pub(crate) fn signer_of(&self, node: NodeId) -> Option<&String> {
        self.signers.get(&node)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.logs.len()
    }

    pub(crate) fn text(&self) -> String {
        let mut out = format!("{TYPE_LINE}\n");
        for (node, key) in &self.signers {
            let _ = writeln!(out, "signer {node} {key}");
        }
        for (o, p) in &self.logs {
            let _ = write!(out, "log {o} {} {} {}", p.size, STANDARD.encode(p.root), p.seen.as_micros());
            if let Some(s) = &p.signed {
                let _ = write!(out, " {} {}", STANDARD.encode(&s.text), STANDARD.encode(&s.signature));
            }
            out.push('\n');
        }
        out
    }

    /// Reads the file's text. Names the line that cannot be read.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate();
        if lines.next().is_none_or(|(_, l)| l != TYPE_LINE) {
            return Err(format!("line 1: expected {TYPE_LINE}"));
        }
        let mut pins = Self::default();
        for (n, line) in lines {
            if pins.logs.len() > MAX_PINS {
                return Err(format!("more than {MAX_PINS} logs"));
            }
            let words: Vec<&str> = line.split(' ').collect();
            let read = match words.as_slice() {
                ["signer", node, key] => node.parse().ok().map(|node| {
                    pins.signers.insert(node, (*key).to_owned());
                }),
                ["log", origin, size, root, seen, signed @ ..] => {
                    read_pin(size, root, seen, signed).zip(origin.parse().ok()).map(|(pin, o)| {
                        pins.logs.insert(o, pin);
                    })
                }
                _ => None,
            };
            read.ok_or_else(|| format!("line {}: expected a pin", n + 1))?;
        }
        Ok(pins)
    }
}

fn read_pin(size: &str, root: &str, seen: &str, signed: &[&str]) -> Option<Pin> {
    let text = |b: &str| String::from_utf8(STANDARD.decode(b).ok()?).ok();
    let signed = match signed {
        [] => None,
        [t, s] => Some(SignedCheckpoint { text: text(t)?, signature: text(s)? }),
        _ => return None,
    };
    let root = STANDARD.decode(root).ok()?.try_into().ok()?;
    Some(Pin { size: parse_decimal(size)?, root, seen: WallTime::from_micros(parse_decimal(seen)?), signed })
}

/// Judges a log against its pin: `proof` leads from the pin to (`size`, `root`).
pub(crate) fn judge(pin: &Pin, size: u64, root: Hash, proof: &[Hash], now: WallTime) -> Checked {
    if size < pin.size {
        return Checked::Forked(format!("it has {size} entries; {} were seen before", pin.size));
    }
    if verify_consistency(pin.size, &pin.root, size, &root, proof) {
        Checked::Grew(Pin { size, root, seen: now, signed: pin.signed.clone() })
    } else {
        Checked::Forked(format!(
            "no proof leads from the {} entries seen before to the {size} it has now",
            pin.size
        ))
    }
}

/// Judges a signed checkpoint of the log that `pin` describes. `proof` leads from the checkpoint to the pin.
pub(crate) fn judge_checkpoint(
    origin: Origin,
    mut pin: Pin,
    signed: &SignedCheckpoint,
    public_key: &str,
    proof: &[Hash],
) -> Checked {
    match signed.verify(public_key) {
        Err(e) => Checked::Forked(format!("its checkpoint does not verify under the pinned key: {e}")),
        Ok(Checkpoint { origin: o, .. }) if o != origin => {
            Checked::Forked(format!("its checkpoint speaks of another log, {o}"))
        }
        Ok(c) if c.size <= pin.size && verify_consistency(c.size, &c.root, pin.size, &pin.root, proof) => {
            pin.signed = Some(signed.clone());
            Checked::Grew(pin)
        }
        Ok(c) => Checked::Forked(format!(
            "the signed checkpoint at {} entries is not part of what it shows",
            c.size
        )),
    }
}

/// Judges a new epoch by the words its first entry cites: (origin, size, root) of the log before. Only what was pinned
/// tells whether they are true: the old log can be proved no more.
pub(crate) fn judge_epoch(
    old: Origin,
    old_pin: &Pin,
    pin: Pin,
    cites: Option<(Origin, u64, Hash)>,
) -> Checked {
    let (o, size, root) = match cites {
        None => return Checked::Forked("a new epoch began and cites nothing".into()),
        Some((o, ..)) if (o.node, o.tenant) != (old.node, old.tenant) || o.epoch < old.epoch => {
            return Checked::Forked("a new epoch cites another log than the one seen before".into());
        }
        Some(cited) => cited,
    };
    let signed = old_pin.signed.as_ref().and_then(|s| Checkpoint::parse(&s.text).ok());
    let mut seen = vec![(old_pin.size, old_pin.root)];
    seen.extend(signed.map(|c| (c.size, c.root)));
    let before = old_pin.size;
    let same_size = seen.iter().any(|(s, _)| o == old && *s == size);
    if o == old && seen.contains(&(size, root)) {
        let lost = before.saturating_sub(size);
        let words =
            format!("a new epoch cites {size} entries of epoch {}; {lost} seen since are lost", o.epoch);
        Checked::Restored(pin, words)
    } else if same_size {
        Checked::Forked(format!(
            "a new epoch cites {size} entries with another root than the one seen before"
        ))
    } else {
        let words = format!(
            "a new epoch cites {size} entries of epoch {}, and {before} of epoch {} were seen: nothing proves that these \
             are the same log",
            o.epoch, old.epoch
        );
        Checked::Unproved(pin, words)
    }
}

/// Where pins are kept.
pub(crate) fn path() -> Option<PathBuf> {
    Some(state_dir::folder()?.join("pins"))
}

/// Reads the pins. A file that is not there gives none.
pub(crate) fn load(path: &Path) -> io::Result<Pins> {
    match state_dir::read(path, MAX_FILE)? {
        None => Ok(Pins::default()),
        Some(text) => Pins::parse(&text).map_err(io::Error::other),
    }
}

/// Writes the pins, merged with what other consoles wrote since. Gives the whole, and what cannot both be true. Blocks.
pub(crate) fn save(path: &Path, mut pins: Pins) -> io::Result<(Pins, Vec<(Origin, String)>)> {
    let _lock = state_dir::lock(path)?;
    let forked = pins.merge(load(path)?);
    state_dir::replace(path, &pins.text())?;
    pins.changed = false;
    Ok((pins, forked))
}

#[cfg(test)]
#[path = "pins_tests.rs"]
mod tests;
