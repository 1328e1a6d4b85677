//! `conductord init`: creates a node and enrols the first persons. Bootstrap closes with a receipt and cannot be repeated.

use crate::keys::{KeyError, KeyStore};
use crate::ledger::TENANT_KEY;
use crate::partition::{Loader, PartitionState};
use crate::platform::random::{Random, bytes};
use crate::staging::BatchBuilder;
use crate::store::{Row, SpaceLimits, Store, StoreError, VALUE_VERSION};
use conductor_shared::checkpoint::{is_same_key, key_id};
use conductor_shared::clock::Clock;
use conductor_shared::codec::Listed;
use conductor_shared::fact::{BootstrapClosed, LogOpened, OperatorEnrolled, SignerPinned};
use conductor_shared::ids::{Ident, NodeId, PartitionId, PersonId, TenantUid, hex};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The parameters of a new node.
pub struct Bootstrap<'a> {
    pub data: &'a Path,
    pub keys: &'a Path,
    pub name: Ident,
    /// The signer's minisign public key, base64.
    pub signer_key: String,
    /// Name, minisign public key and roles of each person.
    pub operators: Vec<(Ident, String, Vec<String>)>,
    pub limits: SpaceLimits,
}

#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Read(#[from] crate::ledger::ReadError),
    #[error(transparent)]
    Seal(#[from] crate::ledger::CannotSeal),
    #[error("the public key of {0} is not a minisign public key")]
    PublicKey(String),
    /// A key may have only one purpose and one person.
    #[error(
        "{0} and {1} have the same key, or keys under the same id; each key has one purpose and one person"
    )]
    KeyTwice(String, String),
    #[error("two persons are called {0}; give each a name of their own")]
    NameTwice(String),
    #[error("{0} reads as an id or a reserved word; give that person another name")]
    NameReserved(Ident),
    #[error("{0}: {1}")]
    Folder(std::path::PathBuf, std::io::Error),
}

/// Creates a node and returns its id.
pub fn init(b: Bootstrap<'_>, clock: &dyn Clock, random: &Arc<dyn Random>) -> Result<NodeId, InitError> {
    let mut names = std::collections::BTreeSet::new();
    if let Some((twice, ..)) = b.operators.iter().find(|(n, ..)| !names.insert(n.clone())) {
        return Err(InitError::NameTwice(twice.to_string()));
    }
    if let Some((name, ..)) = b.operators.iter().find(|(n, ..)| n.is_reserved()) {
        return Err(InitError::NameReserved(name.clone()));
    }
    let mut seen: Vec<(String, &str)> = vec![];
    let signer = ("the signer".to_owned(), &b.signer_key);
    for (name, key) in b.operators.iter().map(|(n, k, _)| (n.to_string(), k)).chain([signer]) {
        key_id(key).ok_or_else(|| InitError::PublicKey(name.clone()))?;
        if let Some((other, _)) = seen.iter().find(|(_, k)| is_same_key(k, key)) {
            return Err(InitError::KeyTwice(other.clone(), name));
        }
        seen.push((name, key));
    }
    let db = b.data.join("db");
    if db.join("CURRENT").exists() {
        return Err(StoreError::Exists(db).into());
    }
    make_private(b.data)?;
    make_private(&db)?;
    let mut keys = KeyStore::create(b.keys, &**random)?;
    let node_id = NodeId(bytes(&**random));
    keys.create_tenants(&[(TenantUid::NODE, 1)], &**random)?;
    let store = Arc::new(Store::create(&db, b.limits)?);
    let sealed = crate::keys::seal(keys.node(), TENANT_KEY, &node_place(), &node_id.0, &**random);
    store.put_meta(Row::Node, &sealed)?;
    store.create_families(&[PartitionId::NODE])?;
    let now = clock.now();
    let ctx = Loader {
        store: &store,
        keys: &mut keys,
        node: node_id,
        now,
        lease: Duration::ZERO,
        cuts_since: now.wall,
    };
    let mut live = PartitionState::load(ctx, PartitionId::NODE, Some(&b.name))?;
    let mut st = BatchBuilder::new(0, now, Arc::clone(random), crate::policy::built_in_version());
    live.control_fact(&mut st, LogOpened { reason: "init".into(), name: b.name.clone(), cites: None })?;
    live.control_fact(&mut st, SignerPinned { public_key: b.signer_key.trim().to_owned() })?;
    let persons = b.operators.len() as u64;
    for (name, public_key, roles) in b.operators {
        let fact = OperatorEnrolled {
            person: PersonId(bytes(&**random)),
            name,
            public_key: public_key.trim().to_owned(),
            roles: Listed(roles),
        };
        live.control_fact(&mut st, fact)?;
    }
    live.control_fact(&mut st, BootstrapClosed { persons })?;
    live.stage_counters(&mut st);
    store.write(st.rows.seal(&**random)?)?;
    store.sync()?;
    Ok(node_id)
}

/// Reads the node id from its sealed row, which only this node's key store can open.
pub fn node_id(data: &Path, keys: &Path, limits: SpaceLimits) -> Result<NodeId, InitError> {
    let keys = KeyStore::open(keys)?;
    let db = data.join("db");
    let store = Store::open(&db, limits)?;
    let found = store.get_meta(Row::Node)?.ok_or_else(|| StoreError::Missing(db.clone()))?;
    let plain = crate::keys::open(keys.node(), &node_place(), &found).map_err(|_| StoreError::Damaged {
        path: db.clone(),
        detail: "the key store is of another node".into(),
    })?;
    let bytes: [u8; 16] = plain.as_slice().try_into().map_err(|_| StoreError::Row {
        family: "default".into(),
        partition: None,
        row: hex(&Row::Node.key()),
        detail: "not a node id".into(),
    })?;
    Ok(NodeId(bytes))
}

/// Associated data of the node's row: its key, and the version of its value.
fn node_place() -> Vec<u8> {
    [&Row::Node.key()[..], &[VALUE_VERSION]].concat()
}

fn make_private(path: &Path) -> Result<(), InitError> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)));
    made.map_err(|e| InitError::Folder(path.to_owned(), e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::clock::RealClock;
    use crate::platform::random::OsRandom;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    fn key(id: u8, byte: u8) -> String {
        STANDARD.encode([&b"Ed"[..], &[id; 8], &[byte; 32]].concat())
    }

    /// SPEC invariant 4, and D2: one key under two ids makes no two persons, nor a person and the signer.
    #[test]
    fn one_key_is_one_person() {
        let folder = tempfile::tempdir().unwrap();
        let random: Arc<dyn Random> = Arc::new(OsRandom::default());
        let attempt = |ben: String, signer: String| {
            let person = |name: &str, key| (Ident::new(name).unwrap(), key, vec!["admin".to_owned()]);
            let made = init(
                Bootstrap {
                    data: &folder.path().join("data"),
                    keys: &folder.path().join("keys"),
                    name: Ident::new("node-1").unwrap(),
                    signer_key: signer,
                    operators: vec![person("ana", key(1, 1)), person("ben", ben)],
                    limits: SpaceLimits { reserve_bytes: 0, ..SpaceLimits::default() },
                },
                &RealClock::default(),
                &random,
            );
            made.map(drop).map_err(|e| e.to_string())
        };
        for (ben, signer, who) in [
            (key(1, 1), key(3, 3), "ana and ben"),
            (key(2, 1), key(3, 3), "ana and ben"),
            (key(1, 2), key(3, 3), "ana and ben"),
            (key(2, 2), key(3, 2), "ben and the signer"),
        ] {
            let refused = attempt(ben, signer).unwrap_err();
            assert!(refused.starts_with(who), "{refused}");
        }
        assert!(!folder.path().join("data").exists(), "nothing was made");
        assert_eq!(attempt(key(2, 2), key(3, 3)), Ok(()));
    }
}
