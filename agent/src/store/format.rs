//! Layout of keys. The first byte says what a row is; a byte of a retired kind stays reserved for ever. Keys hold fixed
//! ids, numbers and keyed hashes only, never anything that a person or program supplied.

/// Version of the layout as a whole. A newer one is refused.
///
/// 1, which no release wrote, had sums by hour alone.
pub const FORMAT: u32 = 2;

/// Keys of all rows. Numbers are big-endian, so that order in the database is order in number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// Default family: version of the layout.
    Format,
    /// Default family: the node's identity, sealed under the node key.
    Node,
    /// A receipt, by index.
    Receipt(u64),
    /// 256 hashes of the Merkle tree at level `8 * level`, by tile.
    Tile(u8, u64),
    /// The newest signed checkpoint.
    Checkpoint,
    /// A signed checkpoint that a change rests on, by size.
    CitedCheckpoint(u64),
    /// Marks a receipt as a control fact, by index, so that start-up reads only those.
    Control(u64),
    /// An open run.
    OpenRun([u8; 16]),
    /// A run that is over.
    EndedRun([u8; 16]),
    /// An open step of a run.
    OpenStep([u8; 16], u64),
    /// A step that is over.
    EndedStep([u8; 16], u64),
    /// A request that was carried out: day, then keyed hash of principal, operation and key.
    Request(u32, [u8; 16]),
    /// Labels of a series, by its number.
    Series(u32),
    /// Sums of a slot of the open hour, then its series.
    Slot(u32, u32),
    /// Sums of an hour that is over, all series.
    Hour(u32),
    /// The same by slot.
    Quarters(u32),
    /// Sums of a day that is over, all series.
    Day(u32),
    /// How far a sink has come: keyed hash of its name.
    Sink([u8; 16]),
    /// An event that a sink would not take: keyed hash of its name, then a number.
    DeadLetter([u8; 16], u64),
    /// Counters, rate buckets and fold counts of the tenant.
    Gate,
    /// What was seen under each ramp of the tenant: see `slo`.
    Slo,
    /// Unit key of a day and kind of record.
    DayKey(u32, u8),
    /// Node log only: the files of a policy bundle, by keyed hash of their digest.
    Bundle([u8; 16]),
}

/// Bytes of the longest key, and room.
const LONGEST: usize = 31;

/// The key of a row, where it is needed: each decision makes several, and looks some up.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKey {
    len: u8,
    bytes: [u8; LONGEST],
}

impl RowKey {
    fn of(first: u8, parts: &[&[u8]]) -> Self {
        let mut key = Self { len: 1, bytes: [0; LONGEST] };
        key.bytes[0] = first;
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
    /// First byte of receipts.
    pub const RECEIPTS: u8 = 0x10;
    /// First byte of control marks.
    pub const CONTROLS: u8 = 0x14;
    /// First byte of open runs.
    pub const OPEN_RUNS: u8 = 0x20;
    /// First byte of open steps.
    pub const OPEN_STEPS: u8 = 0x22;
    /// First byte of requests.
    pub const REQUESTS: u8 = 0x30;
    // 0x40 held sums by hour in format 1. It stays reserved.
    /// First byte of series.
    pub const SERIES: u8 = 0x44;
    /// First byte of slots.
    pub const SLOTS: u8 = 0x45;
    /// First byte of hours.
    pub const HOURS: u8 = 0x46;
    /// First byte of the slots of hours.
    pub const QUARTERS: u8 = 0x4a;
    /// First byte of days.
    pub const DAYS: u8 = 0x47;
    /// First byte of what sinks would not take.
    pub const DEAD_LETTERS: u8 = 0x49;
    /// First byte of policy bundles.
    pub const BUNDLES: u8 = 0x60;

    /// The key.
    pub fn key(self) -> RowKey {
        let k = RowKey::of;
        match self {
            Self::Format => k(0x01, &[]),
            Self::Node => k(0x02, &[]),
            Self::Receipt(i) => k(Self::RECEIPTS, &[&i.to_be_bytes()]),
            Self::Tile(l, i) => k(0x11, &[&[l], &i.to_be_bytes()]),
            Self::Checkpoint => k(0x12, &[]),
            Self::CitedCheckpoint(n) => k(0x13, &[&n.to_be_bytes()]),
            Self::Control(i) => k(Self::CONTROLS, &[&i.to_be_bytes()]),
            Self::OpenRun(r) => k(Self::OPEN_RUNS, &[&r]),
            Self::EndedRun(r) => k(0x21, &[&r]),
            Self::OpenStep(r, n) => k(Self::OPEN_STEPS, &[&r, &n.to_be_bytes()]),
            Self::EndedStep(r, n) => k(0x23, &[&r, &n.to_be_bytes()]),
            Self::Request(d, h) => k(Self::REQUESTS, &[&d.to_be_bytes(), &h]),
            Self::Series(n) => k(Self::SERIES, &[&n.to_be_bytes()]),
            Self::Slot(t, n) => k(Self::SLOTS, &[&t.to_be_bytes(), &n.to_be_bytes()]),
            Self::Hour(t) => k(Self::HOURS, &[&t.to_be_bytes()]),
            Self::Quarters(t) => k(Self::QUARTERS, &[&t.to_be_bytes()]),
            Self::Day(t) => k(Self::DAYS, &[&t.to_be_bytes()]),
            Self::Sink(h) => k(0x48, &[&h]),
            Self::DeadLetter(h, n) => k(Self::DEAD_LETTERS, &[&h, &n.to_be_bytes()]),
            Self::Gate => k(0x41, &[]),
            Self::Slo => k(0x43, &[]),
            Self::DayKey(d, kind) => k(0x50, &[&d.to_be_bytes(), &[kind]]),
            Self::Bundle(h) => k(Self::BUNDLES, &[&h]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DESIGN, RocksDB keys: a byte means one thing for ever, and no key holds text.
    #[test]
    fn key_bytes_are_public_and_unique() {
        let id = [0xaa; 16];
        let rows = [
            Row::Format,
            Row::Node,
            Row::Receipt(1),
            Row::Tile(1, 2),
            Row::Checkpoint,
            Row::CitedCheckpoint(1),
            Row::Control(1),
            Row::OpenRun(id),
            Row::EndedRun(id),
            Row::OpenStep(id, 1),
            Row::EndedStep(id, 1),
            Row::Request(1, id),
            Row::Series(1),
            Row::Slot(1, 2),
            Row::Hour(1),
            Row::Quarters(1),
            Row::Day(1),
            Row::Sink(id),
            Row::DeadLetter(id, 1),
            Row::Gate,
            Row::Slo,
            Row::DayKey(1, 2),
        ];
        let firsts: std::collections::BTreeSet<u8> = rows.iter().map(|r| r.key()[0]).collect();
        assert_eq!(firsts.len(), rows.len());
        let text: Vec<String> =
            rows.iter().map(|r| format!("{r:?} {}", conductor_shared::ids::hex(&r.key()))).collect();
        insta::assert_snapshot!(text.join("\n"));
    }
}
