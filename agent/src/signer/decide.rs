//! May this state of a log be signed, given what was signed last? Pure, and the whole of the rule.
//!
//! It must never say yes to two histories of one log.

use super::protocol::{Item, ItemReason, Known};
use conductor_shared::merkle::{empty_root, verify_consistency};

/// What to do with an item that may be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The very state that was signed last: sign it again, nothing to remember.
    Again,
    /// A later state: remember it durably, then sign.
    Grow,
}

pub fn decide(known: Option<&Known>, item: &Item) -> Result<Step, ItemReason> {
    if item.size == 0 && item.root != empty_root() {
        return Err(ItemReason::Inconsistent);
    }
    let Some(known) = known else {
        return if item.origin.epoch == 1 { Ok(Step::Grow) } else { Err(ItemReason::UnknownEpoch) };
    };
    if item.size < known.size {
        return Err(ItemReason::Shorter);
    }
    if item.size == known.size {
        return if item.root == known.root { Ok(Step::Again) } else { Err(ItemReason::Forked) };
    }
    if item.proof_from != known.size {
        return Err(ItemReason::NeedsProof);
    }
    if verify_consistency(known.size, &known.root, item.size, &item.root, &item.proof) {
        Ok(Step::Grow)
    } else {
        Err(ItemReason::Inconsistent)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use conductor_shared::ids::{NodeId, Origin, TenantUid};
    use conductor_shared::merkle::{Frontier, Hash, Nodes, consistency_proof};

    /// A log for tests: leaf `i` of log `seed` is (seed, i).
    pub(crate) struct Log(pub u8);
    impl Nodes for Log {
        type Error = std::convert::Infallible;
        fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
            let mut f = Frontier::default();
            for i in index << level..(index + 1) << level {
                let mut leaf = [self.0; 32];
                leaf[..8].copy_from_slice(&i.to_be_bytes());
                f.push(leaf, |_, _, _| {});
            }
            Ok(f.root())
        }
    }
    impl Log {
        pub(crate) fn item(&self, from: u64, size: u64) -> Item {
            Item {
                origin: Origin { node: NodeId([1; 16]), tenant: TenantUid([2; 16]), epoch: 1 },
                size,
                root: conductor_shared::merkle::root_at(self, size).unwrap(),
                proof_from: from,
                proof: consistency_proof(self, from, size).unwrap(),
                last: None,
            }
        }
    }
    pub(crate) fn known(i: &Item) -> Known {
        Known { size: i.size, root: i.root }
    }

    /// DESIGN, Origins: from every size to every size, only growth that is proved is signed.
    #[test]
    fn only_growth_is_signed() {
        let (log, fork) = (Log(1), Log(2));
        for old in 0..14 {
            let k = known(&log.item(0, old));
            for new in 0..14 {
                let got = decide(Some(&k), &log.item(old, new));
                let want = match new.cmp(&old) {
                    std::cmp::Ordering::Less => Err(ItemReason::Shorter),
                    std::cmp::Ordering::Equal => Ok(Step::Again),
                    std::cmp::Ordering::Greater => Ok(Step::Grow),
                };
                assert_eq!(got, want, "{old} to {new}");
                // The empty log is a prefix of every log: only from size 1 is there a history to fork.
                if old > 0 {
                    assert!(decide(Some(&k), &fork.item(old, new)).is_err(), "fork {old} to {new}");
                }
                if new > old && old > 0 {
                    let mut i = log.item(old, new);
                    i.proof_from = old - 1;
                    assert_eq!(decide(Some(&k), &i), Err(ItemReason::NeedsProof));
                    let mut i = log.item(old, new);
                    i.proof.push([0; 32]);
                    assert_eq!(decide(Some(&k), &i), Err(ItemReason::Inconsistent));
                    let mut i = log.item(old, new);
                    if i.proof.pop().is_some() {
                        assert_eq!(decide(Some(&k), &i), Err(ItemReason::Inconsistent));
                    }
                }
            }
        }
        assert_eq!(decide(Some(&known(&log.item(0, 5))), &fork.item(0, 5)), Err(ItemReason::Forked));
    }

    /// DESIGN, Origins: a log not known is begun at epoch 1 only; a later epoch needs its command.
    #[test]
    fn a_new_epoch_needs_its_command() {
        let mut i = Log(1).item(0, 9);
        assert_eq!(decide(None, &i), Ok(Step::Grow));
        i.origin.epoch = 2;
        assert_eq!(decide(None, &i), Err(ItemReason::UnknownEpoch));
        let mut i = Log(1).item(0, 0);
        assert_eq!(decide(None, &i), Ok(Step::Grow));
        i.root = [1; 32];
        assert_eq!(decide(None, &i), Err(ItemReason::Inconsistent));
    }
}
