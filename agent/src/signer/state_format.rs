//! The bytes of the signer's state and of its anchor. Pure: nothing here touches a disk.
//!
//! State: a header of [`SLOT`] bytes, then entries of [`SLOT`] bytes, numbered without a gap. Each carries its place
//! within the write that brought it (one write, one sync, at most [`MAX_ITEMS`] entries), so that a torn last write can
//! be distinguished from damage to earlier entries, which is never cut when it can be recognised.
//!
//! Header: magic 8, memory id 16, key digest 32, entries written before this file 8, entries it was made with 8,
//! zeros 20, sum 12. Entry: origin 40, size 8, root 32, number 8, place 4, sum 12. Integers are big-endian. A sum is
//! the first 12 bytes of SHA-256 over a tag, the memory id and what precedes it.

use super::protocol::{Known, MAX_ITEMS};
use conductor_shared::ids::{NodeId, Origin, TenantUid, hex, parse_decimal, unhex};
use conductor_shared::merkle::Hash;
use sha2::{Digest, Sha256};

/// Length of the header and of each entry.
pub const SLOT: usize = 104;
const SUM: usize = 12;
const BODY: usize = SLOT - SUM;
const MAGIC: &[u8; 8] = b"CSGNMEM1";
const HEADER_TAG: &[u8] = b"conductor/signer-memory/header/v1";
const ENTRY_TAG: &[u8] = b"conductor/signer-memory/entry/v1";

/// What a memory file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Random, chosen when the memory was made.
    pub id: [u8; 16],
    /// SHA-256 of the public key it belongs to.
    pub key: Hash,
    /// Entries that the memory wrote before the first of this file.
    pub before: u64,
    /// Entries that the file was made with, before it was put in place: damage to them is never a torn write.
    pub made_with: u64,
}

fn sum(tag: &[u8], id: &[u8; 16], body: &[u8]) -> [u8; SUM] {
    let mut h = Sha256::new();
    h.update(tag);
    h.update(id);
    h.update(body);
    let full: Hash = h.finalize().into();
    let mut out = [0; SUM];
    out.copy_from_slice(&full[..SUM]);
    out
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl Header {
    /// Its bytes.
    pub fn encode(&self) -> [u8; SLOT] {
        let mut out = [0; SLOT];
        out[..8].copy_from_slice(MAGIC);
        out[8..24].copy_from_slice(&self.id);
        out[24..56].copy_from_slice(&self.key);
        out[56..64].copy_from_slice(&self.before.to_be_bytes());
        out[64..72].copy_from_slice(&self.made_with.to_be_bytes());
        let s = sum(HEADER_TAG, &self.id, &out[..BODY]);
        out[BODY..].copy_from_slice(&s);
        out
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let b = bytes.get(..SLOT)?;
        let id = take(b, 8);
        let good = b[..8] == MAGIC[..] && b[BODY..] == sum(HEADER_TAG, &id, &b[..BODY]);
        let before = u64::from_be_bytes(take(b, 56));
        let made_with = u64::from_be_bytes(take(b, 64));
        before.checked_add(made_with)?;
        good.then(|| Self { id, key: take(b, 24), before, made_with })
    }
}

/// The bytes of one entry.
pub fn encode_entry(id: &[u8; 16], origin: &Origin, known: &Known, number: u64, place: u32) -> [u8; SLOT] {
    let mut out = [0; SLOT];
    out[..40].copy_from_slice(&origin.to_bytes());
    out[40..48].copy_from_slice(&known.size.to_be_bytes());
    out[48..80].copy_from_slice(&known.root);
    out[80..88].copy_from_slice(&number.to_be_bytes());
    out[88..92].copy_from_slice(&place.to_be_bytes());
    let s = sum(ENTRY_TAG, id, &out[..BODY]);
    out[BODY..].copy_from_slice(&s);
    out
}

/// An entry as it was read.
struct Entry {
    origin: Origin,
    known: Known,
    number: u64,
    /// Number of the first entry of the write that brought it.
    first: u64,
}

fn decode_entry(id: &[u8; 16], b: &[u8]) -> Option<Entry> {
    if b.len() != SLOT || b[BODY..] != sum(ENTRY_TAG, id, &b[..BODY]) {
        return None;
    }
    let number = u64::from_be_bytes(take(b, 80));
    let first = number.checked_sub(u64::from(u32::from_be_bytes(take(b, 88))))?;
    let epoch = u64::from_be_bytes(take(b, 32));
    let origin = Origin { node: NodeId(take(b, 0)), tenant: TenantUid(take(b, 16)), epoch };
    let known = Known { size: u64::from_be_bytes(take(b, 40)), root: take(b, 48) };
    (epoch > 0).then_some(Entry { origin, known, number, first })
}

/// The contents of a state file.
#[derive(Debug, PartialEq, Eq)]
pub struct Scan {
    /// Its entries, in the order they were written.
    pub entries: Vec<(Origin, Known)>,
    /// Bytes at its end that a write left torn.
    pub torn: usize,
}

/// Reads the entries of a file whose header was read. The error is the number of the entry that is damaged.
pub fn scan(header: &Header, bytes: &[u8]) -> Result<Scan, u64> {
    let body = bytes.get(SLOT..).unwrap_or(&[]);
    let number = |i: usize| header.before + 1 + i as u64;
    let mut entries = Vec::with_capacity(body.len() / SLOT);
    for (i, slot) in body.chunks(SLOT).enumerate() {
        if let Some(e) = decode_entry(&header.id, slot).filter(|e| e.number == number(i)) {
            entries.push((e.origin, e.known));
            continue;
        }
        // From here on it may be the last write, torn. It is not if that write could not have been so long, if the
        // file was made with this entry, if a whole entry is in a wrong place, or if a later write followed, which
        // happens only after this one was synced.
        let rest = &body[i * SLOT..];
        let whole = |(j, slot)| decode_entry(&header.id, slot).map(|e| (number(i + j), e));
        let other = rest.chunks(SLOT).enumerate().filter_map(whole);
        let other = other.into_iter().any(|(place, e)| e.number != place || e.first > number(i));
        if other || rest.len() > MAX_ITEMS * SLOT || (i as u64) < header.made_with {
            return Err(number(i));
        }
        return Ok(Scan { entries, torn: rest.len() });
    }
    if (entries.len() as u64) < header.made_with {
        return Err(number(entries.len()));
    }
    Ok(Scan { entries, torn: 0 })
}

/// Kept beside the key: how many entries there were, so that an older copy of the state is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    pub id: [u8; 16],
    /// SHA-256 of the public key.
    pub key: Hash,
    /// Entries it had ever written, all of them synced.
    pub entries: u64,
}

impl Anchor {
    pub fn encode(&self) -> String {
        let (id, key) = (hex(&self.id), hex(&self.key));
        let body =
            format!("conductor/signer-anchor/v1\nmemory: {id}\nkey: {key}\nentries: {}\n", self.entries);
        let sum = hex(&Sha256::digest(&body));
        format!("{body}sum: {sum}\n")
    }

    /// Reads the one spelling of it.
    pub fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines().skip(1);
        let id = unhex(lines.next()?.strip_prefix("memory: ")?)?;
        let key = unhex(lines.next()?.strip_prefix("key: ")?)?;
        let entries = parse_decimal(lines.next()?.strip_prefix("entries: ")?)?;
        let anchor = Self { id, key, entries };
        (anchor.encode() == text).then_some(anchor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: Header = Header { id: [9; 16], key: [4; 32], before: 10, made_with: 2 };

    fn origin(n: u8) -> Origin {
        Origin { node: NodeId([1; 16]), tenant: TenantUid([n; 16]), epoch: 1 }
    }
    /// A file made with two entries, then writes of the given lengths.
    fn file(writes: &[u32]) -> Vec<u8> {
        let mut out = HEADER.encode().to_vec();
        let mut number = HEADER.before;
        for &n in [2].iter().chain(writes) {
            for place in 0..n {
                number += 1;
                let known = Known { size: number, root: [7; 32] };
                out.extend(encode_entry(&HEADER.id, &origin(1), &known, number, place));
            }
        }
        out
    }

    /// DESIGN, Origins: a torn last write is cut, wherever it tore; what came before it stays.
    #[test]
    fn a_torn_tail_is_cut() {
        let whole = file(&[3, 4]);
        let synced = SLOT * 6;
        for len in synced..whole.len() {
            let s = scan(&HEADER, &whole[..len]).unwrap();
            assert_eq!(s.entries.len(), len / SLOT - 1);
            assert_eq!(s.torn, len % SLOT);
        }
        // A hole within it: the entries after the hole came with the same write.
        let mut holed = whole.clone();
        holed[SLOT * 7..SLOT * 8].fill(0);
        assert_eq!(scan(&HEADER, &holed).unwrap().entries.len(), 6);
    }

    /// DESIGN, Origins: damage before the last write refuses, and so does a file shorter than it was made.
    #[test]
    fn other_damage_is_known() {
        let whole = file(&[3, 4]);
        for at in SLOT..SLOT * 6 {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            assert!(scan(&HEADER, &bad).is_err(), "byte {at}");
        }
        assert_eq!(scan(&HEADER, &whole[..SLOT * 2]), Err(12));
        assert_eq!(scan(&HEADER, &[]), Err(11));
        let mut long = whole.clone();
        long.resize(whole.len() + SLOT * (MAX_ITEMS + 1), 0);
        assert!(scan(&HEADER, &long).is_err());
        // Entries exchanged, dropped, or of another memory.
        let mut swapped = whole[..SLOT * 4].to_vec();
        swapped.extend(&whole[SLOT * 5..]);
        assert!(scan(&HEADER, &swapped).is_err());
        assert!(scan(&Header { id: [8; 16], ..HEADER }, &whole).is_err());
    }

    /// DESIGN, Origins: a header or an anchor with any byte changed is not read.
    #[test]
    fn header_and_anchor_have_one_spelling() {
        let h = HEADER.encode();
        assert_eq!(Header::decode(&h), Some(HEADER));
        for i in 0..SLOT {
            let mut bad = h;
            bad[i] ^= 1;
            assert_eq!(Header::decode(&bad), None, "byte {i}");
        }
        let a = Anchor { id: [1; 16], key: [2; 32], entries: 77 };
        let text = a.encode();
        assert_eq!(Anchor::decode(&text), Some(a));
        for i in 0..text.len() {
            let mut bad = text.clone().into_bytes();
            bad[i] ^= 1;
            assert_eq!(Anchor::decode(&String::from_utf8_lossy(&bad)), None, "byte {i}");
        }
        assert_eq!(Anchor::decode(&text.replace("77", "77\n")), None);
        assert_eq!(Anchor::decode(""), None);
    }

    proptest! {
        /// SPEC, Bad input: no bytes make the reader panic.
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Header::decode(&bytes);
            let _ = scan(&HEADER, &bytes);
            let _ = Anchor::decode(&String::from_utf8_lossy(&bytes));
        }
    }
}
