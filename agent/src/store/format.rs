//! Layout of rows: what their keys are made of, and the byte that each value begins with. Keys hold fixed ids, numbers and
//! keyed hashes only, never anything that a person or program supplied.

use std::ops::Range;
use strum::{EnumDiscriminants, FromRepr, VariantArray};

/// Version of the layout as a whole. A newer one is refused, and so is an older one, which no release wrote: 1 had sums by
/// hour alone, 2 had values without a version, 3 had runs without what was approved in them.
pub const FORMAT: u32 = 4;

/// First byte of each stored value: the layout of the rest. [`super::Store`] puts it there, takes it off, and refuses a
/// value that begins with another one; what is sealed is bound to it.
pub const VALUE_VERSION: u8 = 1;

/// Keys of all rows. The discriminant is the first byte of the key; one of a retired kind is never used again (0x40 held
/// sums by hour in format 1). Numbers are big-endian, so that order in the database is order in number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumDiscriminants)]
#[strum_discriminants(name(RowKind), derive(FromRepr, VariantArray), doc = "What a row is.")]
#[repr(u8)]
pub enum Row {
    /// Default family: version of the layout.
    Format = 0x01,
    /// Default family: the node's identity, sealed under the node key.
    Node = 0x02,
    /// A receipt, by index.
    Receipt(u64) = 0x10,
    /// 256 hashes of the Merkle tree at level `8 * level`, by tile.
    Tile(u8, u64) = 0x11,
    /// The newest signed checkpoint.
    Checkpoint = 0x12,
    /// A signed checkpoint that a change rests on, by size.
    CitedCheckpoint(u64) = 0x13,
    /// Marks a receipt as a control fact, by index, so that start-up reads only those.
    Control(u64) = 0x14,
    /// Marks a receipt as a snapshot of control state, by index, so that start-up finds the last.
    Snapshot(u64) = 0x15,
    /// An open run.
    OpenRun([u8; 16]) = 0x20,
    /// A run that is over.
    EndedRun([u8; 16]) = 0x21,
    /// An open step of a run.
    OpenStep([u8; 16], u64) = 0x22,
    /// A step that is over.
    EndedStep([u8; 16], u64) = 0x23,
    /// The one settle that came after the end of a run (0) or step: index of its receipt.
    LateSettle([u8; 16], u64) = 0x24,
    /// A request that was carried out: day, then keyed hash of principal, operation and key.
    Request(u32, [u8; 16]) = 0x30,
    /// Counters, rate buckets and fold counts of the tenant.
    Gate = 0x41,
    /// What was seen under each ramp of the tenant: see `slo`.
    Slo = 0x43,
    /// Labels of a series, by its number.
    Series(u32) = 0x44,
    /// Sums of a slot of the open hour, then its series.
    Slot(u32, u32) = 0x45,
    /// Sums of an hour that is over, all series.
    Hour(u32) = 0x46,
    /// Sums of a day that is over, all series.
    Day(u32) = 0x47,
    /// How far a sink has come: keyed hash of its name.
    Sink([u8; 16]) = 0x48,
    /// An event that a sink would not take: keyed hash of its name, then a number.
    DeadLetter([u8; 16], u64) = 0x49,
    /// Sums of an hour that is over, by slot.
    Quarters(u32) = 0x4a,
    /// Marks a unit key as that of a day and kind of record: day, kind, number of the key.
    DayKey(u32, u8, u64) = 0x50,
    /// Node log only: the files of a policy bundle, by keyed hash of their digest.
    Bundle([u8; 16]) = 0x60,
}

/// Bytes of the longest key, and room.
const LONGEST: usize = 31;

/// The key of a row, where it is needed: each decision makes several, and looks some up.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKey {
    len: u8,
    bytes: [u8; LONGEST],
}

impl Ord for RowKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self[..].cmp(&other[..])
    }
}

impl PartialOrd for RowKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl RowKey {
    fn of(kind: RowKind, parts: &[&[u8]]) -> Self {
        let mut key = Self { len: 1, bytes: [0; LONGEST] };
        key.bytes[0] = kind as u8;
        for p in parts {
            let at = usize::from(key.len);
            key.bytes[at..at + p.len()].copy_from_slice(p);
            #[allow(clippy::cast_possible_truncation)] // it has room for no more than that
            {
                key.len += p.len() as u8;
            }
        }
        key
    }

    /// The first key after all that begin with this one.
    fn next(mut self) -> Self {
        while self.len > 0 {
            let last = &mut self.bytes[usize::from(self.len) - 1];
            if *last < u8::MAX {
                *last += 1;
                break;
            }
            *last = 0;
            self.len -= 1;
        }
        self
    }
}

impl std::ops::Deref for RowKey {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl std::fmt::Debug for RowKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowKey({})", conductor_shared::ids::hex(self))
    }
}

impl AsRef<[u8]> for RowKey {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Row {
    pub fn key(self) -> RowKey {
        let k = |parts: &[&[u8]]| RowKey::of(self.into(), parts);
        match self {
            Self::Format | Self::Node | Self::Checkpoint | Self::Gate | Self::Slo => k(&[]),
            Self::Receipt(n) | Self::CitedCheckpoint(n) | Self::Control(n) | Self::Snapshot(n) => {
                k(&[&n.to_be_bytes()])
            }
            Self::Tile(level, n) => k(&[&[level], &n.to_be_bytes()]),
            Self::OpenRun(id) | Self::EndedRun(id) | Self::Sink(id) | Self::Bundle(id) => k(&[&id]),
            Self::OpenStep(id, n)
            | Self::EndedStep(id, n)
            | Self::LateSettle(id, n)
            | Self::DeadLetter(id, n) => k(&[&id, &n.to_be_bytes()]),
            Self::Request(day, hash) => k(&[&day.to_be_bytes(), &hash]),
            Self::Series(n) | Self::Hour(n) | Self::Quarters(n) | Self::Day(n) => k(&[&n.to_be_bytes()]),
            Self::Slot(slot, series) => k(&[&slot.to_be_bytes(), &series.to_be_bytes()]),
            Self::DayKey(day, kind, n) => k(&[&day.to_be_bytes(), &[kind], &n.to_be_bytes()]),
        }
    }

    /// The row of a key; `None` when no row has it.
    pub fn parse(key: &[u8]) -> Option<Self> {
        let (kind, rest) = key.split_first()?;
        let mut p = Parts(rest);
        let row = match RowKind::from_repr(*kind)? {
            RowKind::Format => Self::Format,
            RowKind::Node => Self::Node,
            RowKind::Receipt => Self::Receipt(p.u64()?),
            RowKind::Tile => Self::Tile(p.u8()?, p.u64()?),
            RowKind::Checkpoint => Self::Checkpoint,
            RowKind::CitedCheckpoint => Self::CitedCheckpoint(p.u64()?),
            RowKind::Control => Self::Control(p.u64()?),
            RowKind::Snapshot => Self::Snapshot(p.u64()?),
            RowKind::OpenRun => Self::OpenRun(p.take()?),
            RowKind::EndedRun => Self::EndedRun(p.take()?),
            RowKind::OpenStep => Self::OpenStep(p.take()?, p.u64()?),
            RowKind::EndedStep => Self::EndedStep(p.take()?, p.u64()?),
            RowKind::LateSettle => Self::LateSettle(p.take()?, p.u64()?),
            RowKind::Request => Self::Request(p.u32()?, p.take()?),
            RowKind::Gate => Self::Gate,
            RowKind::Slo => Self::Slo,
            RowKind::Series => Self::Series(p.u32()?),
            RowKind::Slot => Self::Slot(p.u32()?, p.u32()?),
            RowKind::Hour => Self::Hour(p.u32()?),
            RowKind::Day => Self::Day(p.u32()?),
            RowKind::Sink => Self::Sink(p.take()?),
            RowKind::DeadLetter => Self::DeadLetter(p.take()?, p.u64()?),
            RowKind::Quarters => Self::Quarters(p.u32()?),
            RowKind::DayKey => Self::DayKey(p.u32()?, p.u8()?, p.u64()?),
            RowKind::Bundle => Self::Bundle(p.take()?),
        };
        p.0.is_empty().then_some(row)
    }

    /// All rows of a kind.
    pub fn scan_of(kind: RowKind) -> Scan {
        Scan { from: RowKey::of(kind, &[]), to: RowKey::of(kind, &[]).next() }
    }

    /// The rows from this one to the last of its kind.
    pub fn scan_from(self) -> Scan {
        Scan { from: self.key(), to: Self::scan_of(self.into()).to }
    }

    /// The rows of its kind before this one.
    pub fn scan_before(self) -> Scan {
        Scan { from: Self::scan_of(self.into()).from, to: self.key() }
    }

    /// The rows of a kind that begins with a number, in a range of numbers.
    pub fn scan_numbers(kind: RowKind, numbers: Range<u32>) -> Scan {
        let at = |n: u32| RowKey::of(kind, &[&n.to_be_bytes()]);
        Scan { from: at(numbers.start), to: at(numbers.end) }
    }

    /// The rows of a kind that begins with an id, from a number on.
    pub fn scan_ids(kind: RowKind, id: [u8; 16], from: u64) -> Scan {
        Scan { from: RowKey::of(kind, &[&id, &from.to_be_bytes()]), to: RowKey::of(kind, &[&id]).next() }
    }
}

/// Rows whose keys lie between two, the second not included.
#[derive(Debug, Clone, Copy)]
pub struct Scan {
    pub(super) from: RowKey,
    pub(super) to: RowKey,
}

impl Scan {
    pub fn contains(&self, key: &RowKey) -> bool {
        self.from[..] <= key[..] && key[..] < self.to[..]
    }
}

/// Takes a key apart.
struct Parts<'a>(&'a [u8]);

impl Parts<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (part, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*part)
    }
    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_be_bytes)
    }
    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::ids::hex;

    /// One row of each kind, no two parts alike: the longest key that the kind has.
    fn sample(kind: RowKind) -> Row {
        let id = [0xaa; 16];
        match kind {
            RowKind::Format => Row::Format,
            RowKind::Node => Row::Node,
            RowKind::Receipt => Row::Receipt(1),
            RowKind::Tile => Row::Tile(1, 2),
            RowKind::Checkpoint => Row::Checkpoint,
            RowKind::CitedCheckpoint => Row::CitedCheckpoint(1),
            RowKind::Control => Row::Control(1),
            RowKind::Snapshot => Row::Snapshot(1),
            RowKind::OpenRun => Row::OpenRun(id),
            RowKind::EndedRun => Row::EndedRun(id),
            RowKind::OpenStep => Row::OpenStep(id, 1),
            RowKind::EndedStep => Row::EndedStep(id, 1),
            RowKind::LateSettle => Row::LateSettle(id, 1),
            RowKind::Request => Row::Request(1, id),
            RowKind::Gate => Row::Gate,
            RowKind::Slo => Row::Slo,
            RowKind::Series => Row::Series(1),
            RowKind::Slot => Row::Slot(1, 2),
            RowKind::Hour => Row::Hour(1),
            RowKind::Day => Row::Day(1),
            RowKind::Sink => Row::Sink(id),
            RowKind::DeadLetter => Row::DeadLetter(id, 1),
            RowKind::Quarters => Row::Quarters(1),
            RowKind::DayKey => Row::DayKey(1, 2, 3),
            RowKind::Bundle => Row::Bundle(id),
        }
    }

    fn samples() -> impl Iterator<Item = Row> {
        RowKind::VARIANTS.iter().map(|kind| sample(*kind))
    }

    /// DESIGN, RocksDB keys: a byte never changes its meaning, and no key holds text.
    #[test]
    fn key_bytes_are_public() {
        let text: Vec<String> = samples().map(|r| format!("{r:?} {}", hex(&r.key()))).collect();
        insta::assert_snapshot!(text.join("\n"));
    }

    /// DESIGN, RocksDB keys: each key is read as the row that it was made of, and no other bytes are a key.
    #[test]
    fn a_key_is_read_as_its_row() {
        for row in samples() {
            let key = row.key();
            assert_eq!(Row::parse(&key), Some(row));
            assert_eq!(RowKind::from(row) as u8, key[0]);
            for end in 0..key.len() {
                assert_eq!(Row::parse(&key[..end]), None, "{row:?} cut to {end} bytes");
            }
            assert_eq!(Row::parse(&[&key[..], &[0]].concat()), None, "{row:?} and a byte more");
        }
        assert_eq!(Row::parse(&[0x40, 0, 0, 0, 1]), None, "retired");
    }

    /// Every row lies in the scan of its kind and of no other.
    #[test]
    fn scans_hold_their_kind() {
        let within = |row: Row, scan: Scan| *scan.from <= *row.key() && *row.key() < *scan.to;
        for row in samples() {
            for kind in RowKind::VARIANTS {
                assert_eq!(within(row, Row::scan_of(*kind)), *kind == row.into(), "{row:?} in {kind:?}");
            }
            assert!(within(row, row.scan_from()));
        }
        let of = |id| Row::scan_ids(RowKind::OpenStep, [id; 16], 2);
        assert!(within(Row::OpenStep([0xff; 16], u64::MAX), of(0xff)));
        assert!(within(Row::OpenStep([7; 16], 2), of(7)) && !within(Row::OpenStep([7; 16], 1), of(7)));
        assert!(!within(Row::OpenStep([8; 16], 2), of(7)));
        let slots = Row::scan_numbers(RowKind::Slot, 3..5);
        assert!(within(Row::Slot(3, 0), slots) && within(Row::Slot(4, u32::MAX), slots));
        assert!(!within(Row::Slot(2, u32::MAX), slots) && !within(Row::Slot(5, 0), slots));
    }
}
