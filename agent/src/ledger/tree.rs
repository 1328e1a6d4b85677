//! The Merkle tree on disk: tiles of 256 hashes. A tile at height `h` holds the hashes of tree level `8 * h`.
//!
//! The lowest tile is written when it is full; until then its leaves are recomputed from the receipts themselves, at
//! most 255 of them. A higher tile is written again each time one below it is full.

use super::read::{ReadError, read_receipt};
use super::{Partition, PlainBatch};
use crate::store::{Row, Store};
use conductor_shared::clock::WallTime;
use conductor_shared::merkle::{Frontier, Hash, Nodes, node_hash};

/// Hashes in a tile.
pub(super) const TILE: usize = 1 << TILE_LEVELS;
/// Levels of the tree from the hashes of a tile to their root.
pub(super) const TILE_LEVELS: u8 = 8;

/// The unfinished tiles at the end of a log, lowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    levels: Vec<Vec<Hash>>,
    size: u64,
}

fn root_of(hashes: &[Hash]) -> Hash {
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level.chunks(2).map(|c| if c.len() == 2 { node_hash(&c[0], &c[1]) } else { c[0] }).collect();
    }
    level.first().copied().unwrap_or_else(conductor_shared::merkle::empty_root)
}

fn tile_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.concat()
}

fn level_byte(level: usize) -> u8 {
    u8::try_from(level).unwrap_or(u8::MAX)
}

impl Tail {
    /// Adds a leaf and stages the tiles that change. `filled`: roots of the tiles that it fills, lowest first.
    pub(super) fn push(&mut self, leaf: Hash, filled: &[Hash], rows: &mut PlainBatch, p: &Partition) {
        let mut position = self.size;
        for (level, hash) in std::iter::once(&leaf).chain(filled).enumerate() {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let tile = &mut self.levels[level];
            tile.push(*hash);
            let full = tile.len() == TILE;
            if full || level > 0 {
                let key = Row::Tile(level_byte(level), position / TILE as u64).key();
                rows.put(p, &key, &tile_bytes(tile));
            }
            if full {
                tile.clear();
            }
            position /= TILE as u64;
        }
        self.size += 1;
    }

    /// Leaves of the unfinished lowest tile.
    pub fn leaves(&self) -> &[Hash] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// Reads the end of a log of `size` entries back, and the time of its last entry.
    pub(super) fn load(store: &Store, p: &Partition, size: u64) -> Result<(Self, WallTime), ReadError> {
        let mut levels = Vec::new();
        let mut last = WallTime::EPOCH;
        let mut at_level = size;
        let first = size / TILE as u64 * TILE as u64;
        // One entry before the tail as well, for its time.
        let mut leaves = Vec::new();
        for index in first.saturating_sub(u64::from(first == size && size > 0))..size {
            let r = read_receipt(store, p, index)?;
            last = WallTime::from_micros(r.sealed.header.time_us);
            if index >= first {
                leaves.push(r.sealed.leaf());
            }
        }
        levels.push(leaves);
        let mut level = 1usize;
        while at_level >= TILE as u64 {
            at_level /= TILE as u64;
            let here = usize::try_from(at_level % TILE as u64).unwrap_or(0);
            let mut hashes = Vec::new();
            if here > 0 {
                hashes = read_tile(store, p, level_byte(level), at_level / TILE as u64)?;
                if hashes.len() < here {
                    return Err(
                        p.damaged(&Row::Tile(level_byte(level), at_level / TILE as u64).key(), "too short")
                    );
                }
                hashes.truncate(here);
            }
            levels.push(hashes);
            level += 1;
        }
        Ok((Self { levels, size }, last))
    }

    /// The frontier of a log whose tail this is.
    pub(super) fn frontier(&self, p: &Partition, size: u64) -> Result<Frontier, ReadError> {
        let mut roots = Vec::new();
        // The complete subtrees, largest first: those of the highest tile, then of the next lower one...
        for tile in self.levels.iter().rev() {
            let mut from = 0;
            for bit in (0..8).rev() {
                let n = 1usize << bit;
                if tile.len() & n > 0 {
                    roots.push(root_of(&tile[from..from + n]));
                    from += n;
                }
            }
        }
        Frontier::from_parts(size, roots).ok_or_else(|| {
            p.damaged(&Row::Tile(0, size / TILE as u64).key(), "tiles do not fit the size of the log")
        })
    }
}

fn read_tile(store: &Store, p: &Partition, level: u8, index: u64) -> Result<Vec<Hash>, ReadError> {
    let key = Row::Tile(level, index).key();
    let row =
        store.get(&p.family, &key)?.ok_or_else(|| p.damaged(&key, "a tile of the Merkle tree is missing"))?;
    let plain = p.open(&key, &row)?;
    Ok(plain
        .chunks_exact(32)
        .map(|c| {
            let mut h = [0; 32];
            h.copy_from_slice(c);
            h
        })
        .collect())
}

/// Hashes of a log's complete subtrees, read from disk, with the unfinished lowest tile given or recomputed.
pub struct DiskNodes<'a> {
    store: &'a Store,
    partition: &'a Partition,
    size: u64,
    leaves: std::cell::OnceCell<Vec<Hash>>,
    cache: std::cell::RefCell<std::collections::HashMap<(u8, u64), Vec<Hash>>>,
}

impl<'a> DiskNodes<'a> {
    /// Of the first `size` entries, which must be durable.
    pub fn new(store: &'a Store, partition: &'a Partition, size: u64) -> Self {
        Self {
            store,
            partition,
            size,
            leaves: std::cell::OnceCell::new(),
            cache: std::cell::RefCell::default(),
        }
    }

    /// With the leaves of the unfinished lowest tile at `size`.
    #[must_use]
    pub fn with_leaves(self, leaves: Vec<Hash>) -> Self {
        let _ = self.leaves.set(leaves);
        self
    }

    fn leaves(&self) -> Result<&[Hash], ReadError> {
        if self.leaves.get().is_none() {
            let first = self.size / TILE as u64 * TILE as u64;
            let found = (first..self.size)
                .map(|i| read_receipt(self.store, self.partition, i).map(|r| r.sealed.leaf()))
                .collect::<Result<Vec<_>, _>>()?;
            let _ = self.leaves.set(found);
        }
        Ok(self.leaves.get().map_or(&[], Vec::as_slice))
    }
}

impl Nodes for DiskNodes<'_> {
    type Error = ReadError;
    fn node(&self, level: u8, index: u64) -> Result<Hash, ReadError> {
        let height = level / 8;
        let within = level % 8;
        let first = index << within;
        let tile = first / TILE as u64;
        let at = usize::try_from(first % TILE as u64).unwrap_or(0);
        let n = 1usize << within;
        let whole_tiles = self.size >> (8 * u32::from(height) + 8);
        let pick = |hashes: &[Hash]| hashes.get(at..at + n).map(root_of);
        let found = if height == 0 && tile >= whole_tiles {
            pick(self.leaves()?)
        } else {
            let mut cache = self.cache.borrow_mut();
            if let std::collections::hash_map::Entry::Vacant(e) = cache.entry((height, tile)) {
                e.insert(read_tile(self.store, self.partition, height, tile)?);
            }
            cache.get(&(height, tile)).and_then(|t| pick(t))
        };
        found.ok_or_else(|| self.partition.damaged(&Row::Tile(height, tile).key(), "too short"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::test_util::TestStore;

    /// DESIGN, Merkle tree on disk: the tiles of a log of any size, of one level, two and three, have the roots that the
    /// frontier found as it grew, and so does what is kept of them in the store.
    #[test]
    fn tiles_have_the_roots_of_the_frontier() {
        let mut test = TestStore::new();
        let (p, _) = test.partition(1);
        let store = &test.store;
        let (mut tail, mut frontier, mut rows) =
            (Tail::default(), Frontier::default(), PlainBatch::default());
        let two_levels = (TILE * TILE) as u64;
        for n in 0..two_levels + 300 {
            let leaf = node_hash(&[0; 32], &[u8::try_from(n % 251).unwrap(); 32]);
            let mut filled = Vec::new();
            frontier.push(leaf, |level, _, root| {
                filled.extend((level % TILE_LEVELS == 0).then_some(*root));
            });
            tail.push(leaf, &filled, &mut rows, &p);
            if n < 600 || n > two_levels - 3 {
                assert_eq!(tail.frontier(&p, n + 1).unwrap(), frontier, "{} leaves", n + 1);
            }
        }
        store.write(rows.seal(&test.random).unwrap()).unwrap();
        let lowest = read_tile(store, &p, 0, 7).unwrap();
        assert_eq!(lowest.len(), TILE);
        assert_eq!(read_tile(store, &p, 1, 0).unwrap()[7], root_of(&lowest));
        assert_eq!(read_tile(store, &p, 2, 0).unwrap(), [root_of(&read_tile(store, &p, 1, 0).unwrap())]);
    }
}
