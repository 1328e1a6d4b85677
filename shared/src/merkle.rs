//! RFC 6962 Merkle trees: a frontier that grows by one leaf at a time, inclusion and consistency proofs, and their
//! verification.
//!
//! Source: RFC 6962 section 2.1. Hash of a leaf: SHA-256(0x00 || data). Hash of an inner node: SHA-256(0x01 || left ||
//! right). The root of no leaves is SHA-256 of nothing.

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Root of the empty tree.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// Hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut both = [1; 65];
    both[1..33].copy_from_slice(left);
    both[33..].copy_from_slice(right);
    Sha256::digest(both).into()
}

/// The roots of the complete subtrees that make up a tree, largest first: all that is needed to add leaves and to tell
/// the root. At most 64 hashes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf hash. Calls `closed(level, index, hash)` for each subtree that this completes, from level 1
    /// up; the leaf itself is level 0.
    pub fn push(&mut self, leaf: Hash, mut closed: impl FnMut(u8, u64, &Hash)) {
        let mut hash = leaf;
        let mut level = 0u8;
        while self.size >> level & 1 == 1 {
            // The lowest set bits of the size are the subtrees that this leaf completes.
            if let Some(left) = self.roots.pop() {
                hash = node_hash(&left, &hash);
            }
            level += 1;
            closed(level, self.size >> level, &hash);
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The root of all leaves so far.
    pub fn root(&self) -> Hash {
        let mut it = self.roots.iter().rev();
        match it.next() {
            None => empty_root(),
            Some(last) => it.fold(*last, |acc, left| node_hash(left, &acc)),
        }
    }

    /// Builds a frontier from the roots of the complete subtrees of a tree of `size` leaves, largest first.
    /// `None` when there are not as many as the size has bits set.
    pub fn from_parts(size: u64, roots: Vec<Hash>) -> Option<Self> {
        (roots.len() == size.count_ones() as usize).then_some(Self { size, roots })
    }
}

/// Where hashes of complete subtrees come from: `level` 0 is a leaf, and the subtree covers leaves
/// `index << level .. (index + 1) << level`.
pub trait Nodes {
    /// What can go wrong in reading.
    type Error;
    /// The hash of one complete subtree.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// Hash of the leaves `from..to`, which must be a subtree of RFC 6962: `from` a multiple of the next power of two that
/// is at least `to - from`.
fn range_hash<N: Nodes>(nodes: &N, from: u64, to: u64) -> Result<Hash, N::Error> {
    let n = to - from;
    if n.is_power_of_two() {
        #[allow(clippy::cast_possible_truncation)] // at most 63
        let level = n.trailing_zeros() as u8;
        return nodes.node(level, from >> level);
    }
    let k = split(n);
    Ok(node_hash(&range_hash(nodes, from, from + k)?, &range_hash(nodes, from + k, to)?))
}

/// The largest power of two smaller than `n`, for `n` > 1.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// Root of the first `size` leaves.
pub fn root_at<N: Nodes>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 { Ok(empty_root()) } else { range_hash(nodes, 0, size) }
}

/// Audit path of leaf `index` in the tree of the first `size` leaves, from leaf to root (RFC 6962, 2.1.1).
/// Empty when `index >= size`.
pub fn inclusion_proof<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let mut path = Vec::new();
    if index >= size {
        return Ok(path);
    }
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let k = split(to - from);
        if index < from + k {
            path.push(range_hash(nodes, from + k, to)?);
            to = from + k;
        } else {
            path.push(range_hash(nodes, from, from + k)?);
            from += k;
        }
    }
    path.reverse();
    Ok(path)
}

/// Proof that the tree of `old` leaves is a prefix of the tree of `new` leaves (RFC 6962, 2.1.2).
/// Empty when `old` is 0, equals `new` or exceeds it.
pub fn consistency_proof<N: Nodes>(nodes: &N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    let mut path = Vec::new();
    if old == 0 || old >= new {
        return Ok(path);
    }
    let (mut from, mut to) = (0, new);
    let mut whole = true;
    while to != old {
        let k = split(to - from);
        if old <= from + k {
            path.push(range_hash(nodes, from + k, to)?);
            to = from + k;
        } else {
            path.push(range_hash(nodes, from, from + k)?);
            from += k;
            whole = false;
        }
    }
    if !whole {
        path.push(range_hash(nodes, from, to)?);
    }
    path.reverse();
    Ok(path)
}

/// Recomputes the root from a leaf and its audit path. `None` when the path has the wrong length.
pub fn root_from_inclusion(index: u64, size: u64, leaf: &Hash, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut fnode, mut snode) = (index, size - 1);
    let mut r = *leaf;
    for p in path {
        if snode == 0 {
            return None;
        }
        if fnode & 1 == 1 || fnode == snode {
            r = node_hash(p, &r);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            r = node_hash(&r, p);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    (snode == 0).then_some(r)
}

/// True when `path` proves that `leaf` is entry `index` of the tree of `size` leaves with this root.
pub fn verify_inclusion(index: u64, size: u64, leaf: &Hash, path: &[Hash], root: &Hash) -> bool {
    root_from_inclusion(index, size, leaf, path).as_ref() == Some(root)
}

/// True when `path` proves that the tree (`old`, `old_root`) is a prefix of (`new`, `new_root`).
pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, path: &[Hash]) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return path.is_empty() && *old_root == empty_root();
    }
    // RFC 9162, 2.1.4.2: when the old tree is one complete subtree, its root itself starts the path.
    let mut it = path.iter();
    let seed = if old.is_power_of_two() {
        *old_root
    } else {
        match it.next() {
            Some(h) => *h,
            None => return false,
        }
    };
    let (mut fnode, mut snode) = (old - 1, new - 1);
    while fnode & 1 == 1 {
        fnode >>= 1;
        snode >>= 1;
    }
    let (mut fr, mut sr) = (seed, seed);
    for c in it {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            fr = node_hash(c, &fr);
            sr = node_hash(c, &sr);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            sr = node_hash(&sr, c);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    snode == 0 && fr == *old_root && sr == *new_root
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    struct Plain(Vec<Hash>);
    impl Nodes for Plain {
        type Error = Infallible;
        fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
            let n = 1usize << level;
            let at = usize::try_from(index).unwrap() * n;
            Ok(naive(&self.0[at..at + n]))
        }
    }
    /// The definition of RFC 6962, 2.1, word for word in code: the reference for all else here.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            0 => empty_root(),
            1 => leaves[0],
            n => {
                let k = (1..63).map(|b| 1usize << b).take_while(|k| *k < n).last().unwrap_or(1);
                node_hash(&naive(&leaves[..k]), &naive(&leaves[k..]))
            }
        }
    }
    fn leaves(n: u64) -> Plain {
        Plain((0..n).map(|i| Sha256::digest(i.to_be_bytes()).into()).collect())
    }

    /// DESIGN, Record: the tree is RFC 6962's. Known roots of the test inputs of the certificate-transparency
    /// reference implementation (leaf data "", 00, 10, 2021, 3031, 40414243, 50..57, 60..6f).
    #[test]
    fn known_roots() {
        let data: [&[u8]; 8] = [
            b"",
            &[0],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let mut f = Frontier::default();
        let mut roots = vec![];
        for d in data {
            let mut h = Sha256::new();
            h.update([0]);
            h.update(d);
            f.push(h.finalize().into(), |_, _, _| {});
            roots.push(crate::ids::hex(&f.root()));
        }
        assert_eq!(roots[0], "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(roots[1], "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
        assert_eq!(roots[7], "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }

    /// DESIGN, Ledger: every proof of every small tree verifies, and the frontier agrees with the definition.
    #[test]
    fn every_small_tree() {
        let all = leaves(40);
        let mut f = Frontier::default();
        for size in 0..=40u64 {
            let n = usize::try_from(size).unwrap();
            let root = naive(&all.0[..n]);
            assert_eq!(f.root(), root);
            assert_eq!(root_at(&all, size).unwrap(), root);
            for i in 0..size {
                let p = inclusion_proof(&all, i, size).unwrap();
                let leaf = all.0[usize::try_from(i).unwrap()];
                assert!(verify_inclusion(i, size, &leaf, &p, &root), "{i} in {size}");
                assert!(!verify_inclusion(i + 1, size, &leaf, &p, &root) || size == 1 && i + 1 >= size);
                assert!(!verify_inclusion(i, size, &node_hash(&leaf, &leaf), &p, &root));
            }
            for old in 0..=size {
                let old_root = naive(&all.0[..usize::try_from(old).unwrap()]);
                let p = consistency_proof(&all, old, size).unwrap();
                assert!(verify_consistency(old, &old_root, size, &root, &p), "{old} to {size}");
                if old > 0 && old < size {
                    assert!(!verify_consistency(old, &node_hash(&root, &root), size, &root, &p));
                    assert!(!verify_consistency(old, &old_root, size, &old_root, &p));
                }
            }
            if size < 40 {
                f.push(all.0[n], |level, index, hash| {
                    let w = 1usize << level;
                    let at = usize::try_from(index).unwrap() * w;
                    assert_eq!(*hash, naive(&all.0[at..at + w]));
                });
            }
        }
    }

    proptest! {
        /// DESIGN, Ledger: no altered proof verifies.
        #[test]
        fn altered_proofs_fail(size in 2u64..200, a in any::<u64>(), b in any::<u64>(), flip in any::<(u8, u8)>()) {
            let all = leaves(size);
            let root = root_at(&all, size).unwrap();
            let i = a % size;
            let mut p = inclusion_proof(&all, i, size).unwrap();
            let leaf = all.0[usize::try_from(i).unwrap()];
            let at = usize::from(flip.0) % p.len();
            p[at][usize::from(flip.1) % 32] ^= 1;
            prop_assert!(!verify_inclusion(i, size, &leaf, &p, &root));
            p.pop();
            prop_assert!(!verify_inclusion(i, size, &leaf, &p, &root));
            let old = 1 + b % (size - 1);
            let mut c = consistency_proof(&all, old, size).unwrap();
            let old_root = root_at(&all, old).unwrap();
            let at = usize::from(flip.0) % c.len();
            c[at][usize::from(flip.1) % 32] ^= 1;
            prop_assert!(!verify_consistency(old, &old_root, size, &root, &c));
        }
    }
}
