//! The key store: node key -> tenant keys -> unit keys, wrapped, in a folder outside the database and its backups.
//!
//! ```text
//! node.key       "conductor-node-key/v1\n" and 64 hex digits; 0600
//! tenants.keys   fixed entries: tenant uid, epoch, the tenant's keys wrapped under the node key
//! units/<uid>-<epoch>   fixed entries: unit keys wrapped under the tenant key; the number of a key is its place
//! ```
//!
//! A unit key is made for each run, and for each day and kind of other records. They are made in pools ahead of need,
//! so that a decision never waits for this folder's disk. A key that is destroyed is overwritten in its place.
//! Nothing here may ever be written into the database, logged or shown.

mod seal;

pub use seal::{KEY_NUMBER, OVERHEAD, SealError, key_number, open, put_plain, seal, seal_in_place};

use crate::platform::files::{self, FileError, io_error};
use crate::platform::random::{Random, bytes};
use conductor_shared::ids::{TenantUid, hex, unhex};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::{Zeroize as _, Zeroizing};

/// Unit keys made at a time.
pub const POOL: u64 = 64;
const NODE_HEAD: &str = "conductor-node-key/v1\n";
const TENANT_ENTRY: usize = 16 + 8 + 24 + 96 + 16;
const UNIT_ENTRY: usize = 24 + 32 + 16;

/// What is wrong with the key store.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "the key store {0} is missing; without it the database cannot be read. Bring it back; it is not in backups"
    )]
    Missing(PathBuf),
    /// There is one already.
    #[error("{0} holds a key store already; nothing was changed")]
    Exists(PathBuf),
    /// Others may read it.
    #[error("{path} may be read by others (mode {mode:o}); run: chmod go-rwx {path}")]
    Mode { path: PathBuf, mode: u32 },
    /// Damaged, or of another node.
    #[error("{path}: {detail}")]
    Wrong { path: PathBuf, detail: String },
    /// A unit key that was destroyed, or never made.
    #[error("unit key {unit} of tenant {tenant} is destroyed or was never made")]
    Gone { tenant: TenantUid, epoch: u64, unit: u64 },
    /// The folder cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// 32 secret bytes. They are in memory once, however many hold the key, and are wiped when the last lets go of it.
#[derive(Clone)]
pub struct Key(Arc<Zeroizing<[u8; 32]>>);

impl Key {
    pub fn new(mut bytes: [u8; 32]) -> Self {
        let key = Self(Arc::new(Zeroizing::new(bytes)));
        bytes.zeroize();
        key
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The keys of one tenant's partition.
#[derive(Clone, Debug)]
pub struct TenantKeys {
    /// Wraps unit keys and seals what is not erasable.
    pub tenant: Key,
    /// Decides ramp buckets; never rotated.
    pub ramp: Key,
    /// Hashes text that row keys must not hold.
    pub index: Key,
}

/// The key store of one node.
pub struct KeyStore {
    folder: PathBuf,
    node: Key,
    tenants: HashMap<(TenantUid, u64), TenantKeys>,
    tenants_file: File,
    tenants_len: u64,
    /// Unit keys of new partitions, until they are asked for.
    begun: HashMap<(TenantUid, u64), Units>,
}

fn private_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let meta = match std::fs::metadata(path) {
        Ok(m) => m,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(KeyError::Missing(path.to_owned()));
        }
        Err(e) => return Err(io_error(path, "stat")(e).into()),
    };
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Mode { path: path.to_owned(), mode });
    }
    Ok(std::fs::read(path).map(Zeroizing::new).map_err(io_error(path, "read"))?)
}

fn append_file(path: &Path) -> Result<File, KeyError> {
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path);
    Ok(file.map_err(io_error(path, "open"))?)
}

impl KeyStore {
    /// Makes a new key store. The folder must not hold one.
    pub fn create(folder: &Path, random: &dyn Random) -> Result<Self, KeyError> {
        let path = folder.join("node.key");
        if path.exists() {
            return Err(KeyError::Exists(folder.to_owned()));
        }
        std::fs::create_dir_all(folder.join("units")).map_err(io_error(folder, "create"))?;
        for d in [folder.to_owned(), folder.join("units")] {
            let mode = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(&d, mode).map_err(io_error(&d, "set the mode"))?;
        }
        let node = Key::new(bytes(random));
        let text = Zeroizing::new(format!("{NODE_HEAD}{}\n", hex(node.bytes())));
        files::create(&path, text.as_bytes(), 0o600)?;
        files::create(&folder.join("tenants.keys"), &[], 0o600)?;
        Self::open(folder)
    }

    /// Opens the key store.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join("node.key");
        let text = private_file(&path)?;
        let node = std::str::from_utf8(&text)
            .ok()
            .and_then(|t| t.strip_prefix(NODE_HEAD))
            .and_then(|t| unhex::<32>(t.trim_end()))
            .map(Key::new)
            .ok_or_else(|| KeyError::Wrong { path: path.clone(), detail: "not a node key".into() })?;
        let tenants_path = folder.join("tenants.keys");
        let all = private_file(&tenants_path)?;
        let mut tenants = HashMap::new();
        let wrong = |detail: String| KeyError::Wrong { path: tenants_path.clone(), detail };
        // A torn last entry was never used: tenants are created only after the sync.
        for (n, e) in all.chunks_exact(TENANT_ENTRY).enumerate() {
            if e.iter().all(|b| *b == 0) {
                continue;
            }
            let id: [u8; 16] = e[..16].try_into().map_err(|_| wrong("short entry".into()))?;
            let epoch: [u8; 8] = e[16..24].try_into().map_err(|_| wrong("short entry".into()))?;
            let plain = Zeroizing::new(seal::unwrap(&node, &e[..24], &e[24..]).map_err(|_| {
                wrong(format!("entry {n} cannot be unwrapped: it is damaged, or node.key is of another node"))
            })?);
            let part = |i: usize| -> Result<Key, KeyError> {
                plain
                    .get(32 * i..32 * i + 32)
                    .and_then(|s| s.try_into().ok())
                    .map(Key::new)
                    .ok_or_else(|| wrong("short".into()))
            };
            let keys = TenantKeys { tenant: part(0)?, ramp: part(1)?, index: part(2)? };
            tenants.insert((TenantUid(id), u64::from_be_bytes(epoch)), keys);
        }
        let tenants_file = append_file(&tenants_path)?;
        let whole = (all.len() / TENANT_ENTRY * TENANT_ENTRY) as u64;
        Ok(Self {
            folder: folder.to_owned(),
            node,
            tenants,
            tenants_file,
            tenants_len: whole,
            begun: HashMap::new(),
        })
    }

    pub fn node(&self) -> &Key {
        &self.node
    }

    /// Keys of a partition.
    pub fn tenant(&self, id: TenantUid, epoch: u64) -> Result<TenantKeys, KeyError> {
        self.tenants.get(&(id, epoch)).cloned().ok_or_else(|| KeyError::Wrong {
            path: self.folder.join("tenants.keys"),
            detail: format!("no keys of tenant {id}, epoch {epoch}: the key store is older than the database, or of another node"),
        })
    }

    /// Makes keys for new partitions, durably, with one sync for all.
    pub fn create_tenants(&mut self, ids: &[(TenantUid, u64)], random: &dyn Random) -> Result<(), KeyError> {
        let mut out = Vec::with_capacity(ids.len() * TENANT_ENTRY);
        let mut made = Vec::with_capacity(ids.len());
        for (id, epoch) in ids {
            let plain = Zeroizing::new(bytes::<96>(random));
            let mut head = id.0.to_vec();
            head.extend_from_slice(&epoch.to_be_bytes());
            out.extend_from_slice(&head);
            out.extend_from_slice(&seal::wrap(&self.node, &head, &plain[..], random));
            let part = |i: usize| {
                let mut k = [0; 32];
                k.copy_from_slice(&plain[32 * i..32 * i + 32]);
                Key::new(k)
            };
            made.push(((*id, *epoch), TenantKeys { tenant: part(0), ramp: part(1), index: part(2) }));
        }
        let path = self.folder.join("tenants.keys");
        self.tenants_file
            .write_all_at(&out, self.tenants_len)
            .and_then(|()| self.tenants_file.sync_data())
            .map_err(io_error(&path, "append"))?;
        self.tenants_len += out.len() as u64;
        self.tenants.extend(made);
        Ok(())
    }

    /// Makes the first unit keys of new partitions with one sync of their folder for all.
    pub fn begin_units(&mut self, ids: &[(TenantUid, u64)], random: &dyn Random) -> Result<(), KeyError> {
        for (id, epoch) in ids {
            let mut units = self.units(*id, *epoch)?;
            units.refill(random)?;
            self.begun.insert((*id, *epoch), units);
        }
        Ok(files::sync_dir(&self.folder.join("units"))?)
    }

    /// The unit keys of a partition.
    pub fn units(&mut self, id: TenantUid, epoch: u64) -> Result<Units, KeyError> {
        if let Some(begun) = self.begun.remove(&(id, epoch)) {
            return Ok(begun);
        }
        let keys = self.tenant(id, epoch)?;
        let path = self.folder.join("units").join(format!("{}-{epoch}", hex(&id.0)));
        let len = std::fs::metadata(&path).map_or(0, |m| m.len());
        let made = len / UNIT_ENTRY as u64;
        // Which keys of the file were handed out before a restart is not known, so none of them is handed out again.
        Ok(Units { tenant: id, epoch, wrap: keys.tenant, path, made, next: made, pool: Vec::new() })
    }
}

/// Unit keys of one partition. Their number is their place in the file.
pub struct Units {
    tenant: TenantUid,
    epoch: u64,
    wrap: Key,
    path: PathBuf,
    made: u64,
    next: u64,
    pool: Vec<Key>,
}

impl Units {
    fn head(&self, unit: u64) -> [u8; 32] {
        let mut h = [0; 32];
        h[..16].copy_from_slice(&self.tenant.0);
        h[16..24].copy_from_slice(&self.epoch.to_be_bytes());
        h[24..].copy_from_slice(&unit.to_be_bytes());
        h
    }

    /// A fresh key and its number. Every [`POOL`] calls this writes and syncs the next pool.
    pub fn take(&mut self, random: &dyn Random) -> Result<(u64, Key), KeyError> {
        if self.pool.is_empty() {
            let first = self.made == 0;
            self.refill(random)?;
            if first {
                files::sync_parent(&self.path)?;
            }
        }
        let at = usize::try_from(self.next - (self.made - POOL)).unwrap_or(usize::MAX);
        let gone = KeyError::Gone { tenant: self.tenant, epoch: self.epoch, unit: self.next };
        let key = self.pool.get(at).cloned().ok_or(gone)?;
        let unit = self.next;
        self.next += 1;
        if self.next == self.made {
            self.pool.clear();
        }
        Ok((unit, key))
    }

    /// Makes the next pool, durably but for the entry of a new file in its folder.
    fn refill(&mut self, random: &dyn Random) -> Result<(), KeyError> {
        let mut out = Vec::with_capacity(UNIT_ENTRY * usize::try_from(POOL).unwrap_or(0));
        let mut pool = Vec::new();
        for i in 0..POOL {
            let key = Key::new(bytes(random));
            out.extend_from_slice(&seal::wrap(&self.wrap, &self.head(self.made + i), key.bytes(), random));
            pool.push(key);
        }
        let file = append_file(&self.path)?;
        file.write_all_at(&out, self.made * UNIT_ENTRY as u64)
            .and_then(|()| file.sync_data())
            .map_err(io_error(&self.path, "append"))?;
        self.next = self.made;
        self.made += POOL;
        self.pool = pool;
        Ok(())
    }

    /// The key of this number, read from the folder.
    pub fn get(&self, unit: u64) -> Result<Key, KeyError> {
        read_unit(&self.path, &self.wrap, &self.head(unit), (self.tenant, self.epoch), unit)
    }

    /// For reading from other threads: the same keys, without the pool.
    pub fn reader(&self) -> UnitReader {
        UnitReader {
            tenant: self.tenant,
            epoch: self.epoch,
            wrap: self.wrap.clone(),
            path: self.path.clone(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct UnitReader {
    tenant: TenantUid,
    epoch: u64,
    wrap: Key,
    path: PathBuf,
}

impl UnitReader {
    /// The key of this number.
    pub fn get(&self, unit: u64) -> Result<Key, KeyError> {
        let mut h = [0; 32];
        h[..16].copy_from_slice(&self.tenant.0);
        h[16..24].copy_from_slice(&self.epoch.to_be_bytes());
        h[24..].copy_from_slice(&unit.to_be_bytes());
        read_unit(&self.path, &self.wrap, &h, (self.tenant, self.epoch), unit)
    }
}

fn read_unit(
    path: &Path,
    wrap: &Key,
    head: &[u8],
    (tenant, epoch): (TenantUid, u64),
    unit: u64,
) -> Result<Key, KeyError> {
    let gone = KeyError::Gone { tenant, epoch, unit };
    let mut entry = [0u8; UNIT_ENTRY];
    let Some(at) = unit.checked_mul(UNIT_ENTRY as u64) else { return Err(gone) };
    let file = match File::open(path) {
        Ok(f) => f,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(gone),
        Err(e) => return Err(io_error(path, "open")(e).into()),
    };
    if file.read_exact_at(&mut entry, at).is_err() || entry.iter().all(|b| *b == 0) {
        return Err(gone);
    }
    let plain = Zeroizing::new(seal::unwrap(wrap, head, &entry).map_err(|_| KeyError::Wrong {
        path: path.to_owned(),
        detail: format!("unit key {unit} cannot be unwrapped: the file is damaged or of another node"),
    })?);
    let mut key = [0; 32];
    if plain.len() != 32 {
        return Err(gone);
    }
    key.copy_from_slice(&plain);
    Ok(Key::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::random::OsRandom;

    /// DESIGN, Keys: unit keys survive a restart, are never handed out twice, and a wrong node key opens nothing.
    #[test]
    fn unit_keys_survive_and_are_never_reused() {
        let dir = tempfile::tempdir().unwrap();
        let random = OsRandom::default();
        let id = TenantUid([5; 16]);
        let mut ks = KeyStore::create(dir.path(), &random).unwrap();
        ks.create_tenants(&[(id, 1)], &random).unwrap();
        let mut seen = HashMap::new();
        for _ in 0..3 {
            let mut ks = KeyStore::open(dir.path()).unwrap();
            let mut units = ks.units(id, 1).unwrap();
            for _ in 0..100 {
                let (n, k) = units.take(&random).unwrap();
                assert!(seen.insert(n, *k.bytes()).is_none(), "{n} twice");
            }
            for (n, k) in &seen {
                assert_eq!(*units.get(*n).unwrap().bytes(), *k);
                assert_eq!(*units.reader().get(*n).unwrap().bytes(), *k);
            }
        }
        assert!(matches!(ks.units(id, 1).unwrap().get(1 << 40), Err(KeyError::Gone { .. })));
        std::fs::write(dir.path().join("node.key"), format!("{NODE_HEAD}{}\n", "ab".repeat(32))).unwrap();
        assert!(matches!(KeyStore::open(dir.path()), Err(KeyError::Wrong { .. })));
    }

    /// The same for keys made for many partitions at once.
    #[test]
    fn unit_keys_are_begun_for_many() {
        let dir = tempfile::tempdir().unwrap();
        let random = OsRandom::default();
        let ids: Vec<_> = (1..=3).map(|n| (TenantUid([n; 16]), 1)).collect();
        let mut ks = KeyStore::create(dir.path(), &random).unwrap();
        ks.create_tenants(&ids, &random).unwrap();
        ks.begin_units(&ids, &random).unwrap();
        let mut seen = HashMap::new();
        for (id, epoch) in &ids {
            let mut units = ks.units(*id, *epoch).unwrap();
            for _ in 0..=POOL {
                let (n, k) = units.take(&random).unwrap();
                assert!(seen.insert((*id, n), *k.bytes()).is_none(), "{n} twice");
            }
        }
        assert_eq!(seen.keys().map(|(_, n)| *n).max(), Some(POOL), "what was begun is used");
        let mut ks = KeyStore::open(dir.path()).unwrap();
        for ((id, n), k) in &seen {
            assert_eq!(ks.units(*id, 1).unwrap().get(*n).unwrap().bytes(), k);
        }
        let (n, k) = ks.units(ids[0].0, 1).unwrap().take(&random).unwrap();
        assert!(n > POOL && seen.values().all(|known| known != k.bytes()), "nothing is handed out again");
    }

    /// SPEC, Threats (reader of the disk): a key store that others may read is refused, and so is a missing one.
    #[test]
    fn modes_are_tight() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(KeyStore::open(dir.path()), Err(KeyError::Missing(_))));
        KeyStore::create(dir.path(), &OsRandom::default()).unwrap();
        assert!(matches!(KeyStore::create(dir.path(), &OsRandom::default()), Err(KeyError::Exists(_))));
        let path = dir.path().join("node.key");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(KeyStore::open(dir.path()), Err(KeyError::Mode { mode: 0o640, .. })));
    }
}
