//! Merkle proofs and receipts, at the level of their bytes.

use std::sync::OnceLock;

use conductor_shared::codec::Reader;
use conductor_shared::merkle::{
    Hash, consistency_proof, inclusion_proof, root_at, verify_consistency, verify_inclusion,
};
use conductor_shared::record::Disclosed;
use conductor_shared::verify;

use super::{KIB_8, SMALL, assert_shown, log};
use crate::corpus::Example;
use crate::target::{Memory, Outcome, Target};

/// Entries of the log that is proved.
const SIZE: u64 = 40;

fn leaves() -> &'static log::Leaves {
    static LEAVES: OnceLock<log::Leaves> = OnceLock::new();
    LEAVES.get_or_init(|| log::Leaves::of_log(SIZE))
}

fn root(size: u64) -> Hash {
    root_at(leaves(), size).unwrap_or_else(|never| match never {})
}

/// A proof as bytes: what it proves, two numbers, a leaf or an old root, then its hashes.
fn proof(inclusion: bool, numbers: [u64; 2], about: &Hash, path: &[Hash]) -> Vec<u8> {
    let head = [u8::from(inclusion)].into_iter().chain(numbers.into_iter().flat_map(u64::to_be_bytes));
    head.chain(*about).chain(path.iter().flatten().copied()).collect()
}

fn inclusion(index: u64, size: u64) -> Vec<u8> {
    let path = inclusion_proof(leaves(), index, size).unwrap_or_else(|never| match never {});
    proof(true, [index, size], &leaves().0[usize::try_from(index).expect("small")], &path)
}

fn consistency(old: u64, new: u64) -> Vec<u8> {
    let path = consistency_proof(leaves(), old, new).unwrap_or_else(|never| match never {});
    proof(false, [old, new], &root(old), &path)
}

pub(super) const PROOFS: Target = Target {
    name: "proofs",
    reads: "inclusion and consistency proofs: `shared/src/merkle.rs`",
    law: "against the true root, only the true proof verifies",
    max_len: 4_096,
    memory: SMALL,
    inputs: 600,
    examples: || {
        let named = |what: &str, a: u64, b: u64, bytes| Example::new(format!("{what}-{a}-{b}"), bytes);
        let included = [(0, 1), (0, 3), (5, 7), (39, 40), (17, 33)];
        let grown = [(1, 2), (3, 7), (32, 40), (39, 40), (8, 9)];
        let included = included.into_iter().map(|(a, b)| named("inclusion", a, b, inclusion(a, b)));
        included
            .chain(grown.into_iter().map(|(a, b)| named("consistency", a, b, consistency(a, b))))
            .collect()
    },
    read: |bytes| {
        let mut r = Reader(bytes);
        let head =
            (|| Ok::<_, conductor_shared::codec::CodecError>((r.u8()?, r.u64()?, r.u64()?, r.array()?)))();
        let Ok((kind, a, b, about)) = head else { return Outcome::Refused };
        let path: Vec<Hash> = r.0.chunks_exact(32).filter_map(|h| h.try_into().ok()).collect();
        // Of sizes that nobody has signed only that they are looked at without harm.
        let known = b <= SIZE;
        let of = if known { root(b) } else { root(SIZE) };
        let (holds, truth): (_, fn(u64, u64) -> Vec<u8>) = match kind {
            1 => (verify_inclusion(a, b, &about, &path, &of), inclusion),
            0 => (verify_consistency(a, &about, b, &of, &path), consistency),
            _ => return Outcome::Refused,
        };
        if !holds || !known {
            return Outcome::Refused;
        }
        assert_eq!(truth(a, b), bytes[..bytes.len() - r.0.len() % 32], "another proof verifies");
        Outcome::Read
    },
};

/// Pieces of bytes, each with its length before it.
fn joined<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = vec![];
    pieces.into_iter().for_each(|p| conductor_shared::codec::put_prefixed(&mut out, p));
    out
}

/// Base64, JSON types and words of each piece.
const RECEIPTS_TAKE: Memory = Memory { base: 64 << 10, each: 256 };

/// The sealed part, then the disclosed fields.
pub(super) const RECEIPTS: Target = Target {
    name: "receipts",
    reads: "receipts with what they disclose: `shared/src/verify.rs`, `describe`",
    law: "what is disclosed is what was committed to; words are safe to show",
    max_len: KIB_8,
    memory: RECEIPTS_TAKE,
    inputs: 600,
    examples: || {
        let of = |n| {
            let (sealed, body, s) = log::record(n);
            let fields: Vec<Vec<u8>> = log::disclosed(&body, s).iter().map(Disclosed::to_bytes).collect();
            (sealed.to_bytes(), fields)
        };
        let all = (0..8).map(|n| {
            let (sealed, fields) = of(n);
            let kept = fields.iter().skip(usize::from(n > 5)).map(Vec::as_slice);
            Example::new(format!("record-{n}"), joined([&sealed[..]].into_iter().chain(kept)))
        });
        all.collect()
    },
    read: |bytes| {
        let (mut r, mut pieces) = (Reader(bytes), vec![]);
        while let Ok(piece) = r.prefixed() {
            pieces.push(piece);
        }
        let [sealed, fields @ ..] = pieces.as_slice() else { return Outcome::Refused };
        let evidence = log::receipt(sealed, fields);
        let Ok(shown) = verify::read(&evidence) else { return Outcome::Refused };
        for text in
            [&shown.kind_name, &shown.summary].into_iter().chain(shown.fields.iter().map(|f| &f.shown))
        {
            assert_shown(text);
        }
        let opened = verify::receipt(&evidence).expect("it was read");
        for field in fields {
            let d = Disclosed::from_bytes(field).expect("it was read");
            assert!(opened.digests.contains(&d.digest()), "{} was never committed to", d.name);
        }
        Outcome::Read
    },
};
