use super::*;
use conductor_shared::ids::{NodeId, TenantUid};

const KEY: Hash = [4; 32];

fn origin(n: u32) -> Origin {
    let mut t = [0; 16];
    t[..4].copy_from_slice(&n.to_be_bytes());
    Origin { node: NodeId([1; 16]), tenant: TenantUid(t), epoch: 1 }
}
fn at(size: u64) -> Known {
    Known { size, root: [u8::try_from(size % 256).unwrap(); 32] }
}
fn fresh() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    SignerState::create(dir.path(), KEY).unwrap();
    dir
}
fn open(dir: &tempfile::TempDir) -> Result<SignerState, StateError> {
    SignerState::open(dir.path(), KEY).map(|o| o.0)
}
fn cut_file(dir: &tempfile::TempDir, from_end: u64) {
    let f = OpenOptions::new().write(true).open(dir.path().join(STATE_FILE)).unwrap();
    f.set_len(f.metadata().unwrap().len() - from_end).unwrap();
}

/// DESIGN, Origins: what was remembered is there after a stop, a kill and many starts.
#[test]
fn it_remembers() {
    let dir = fresh();
    let mut m = open(&dir).unwrap();
    m.remember(&[(origin(1), at(5)), (origin(2), at(1)), (origin(1), at(6))]).unwrap();
    m.remember(&[(origin(2), at(9))]).unwrap();
    drop(m);
    for start in 0..3 {
        let m = open(&dir).unwrap();
        assert_eq!((m.known(&origin(1)), m.known(&origin(2))), (Some(&at(6)), Some(&at(9))), "{start}");
        assert_eq!(m.origins(), 2);
        assert_eq!(m.entries(), 4 + 2 * (start + 1));
    }
}

/// DESIGN, Origins: a torn tail is cut and the rest stays; a file cut below the anchor refuses.
#[test]
fn torn_or_rolled_back() {
    let dir = fresh();
    let mut m = open(&dir).unwrap();
    m.remember(&[(origin(1), at(5))]).unwrap();
    m.remember(&[(origin(1), at(6)), (origin(1), at(7))]).unwrap();
    drop(m);
    cut_file(&dir, 1);
    let (mut m, cut) = SignerState::open(dir.path(), KEY).unwrap();
    assert_eq!((m.known(&origin(1)), cut), (Some(&at(6)), SLOT - 1));
    m.remember(&[(origin(1), at(8))]).unwrap();
    m.anchor().unwrap();
    drop(m);
    cut_file(&dir, 1);
    let e = open(&dir).unwrap_err();
    assert!(matches!(e, StateError::RolledBack { .. }), "{e}");
    assert!(e.to_string().contains("recover"), "{e}");
}

/// DESIGN, Origins: an older copy of the memory refuses after any later start, also when nothing was signed between.
#[test]
fn an_older_copy_is_known() {
    let dir = fresh();
    let mut m = open(&dir).unwrap();
    m.remember(&[(origin(1), at(5))]).unwrap();
    let old = std::fs::read(dir.path().join(STATE_FILE)).unwrap();
    drop(m);
    drop(open(&dir).unwrap());
    std::fs::write(dir.path().join(STATE_FILE), old).unwrap();
    assert!(matches!(open(&dir), Err(StateError::RolledBack { .. })));
}

/// DESIGN, Origins: missing, damaged, of another key, of another memory: each refuses, and nothing is recreated.
#[test]
fn it_is_never_reset() {
    for name in [STATE_FILE, ANCHOR_FILE] {
        let dir = fresh();
        std::fs::remove_file(dir.path().join(name)).unwrap();
        assert!(matches!(open(&dir), Err(StateError::Missing(_))), "{name}");
        assert!(!dir.path().join(name).exists());
        std::fs::write(dir.path().join(name), b"").unwrap();
        chmod(&dir, name);
        assert!(matches!(open(&dir), Err(StateError::Damaged { .. })), "{name}");
    }
    let dir = fresh();
    assert!(matches!(SignerState::open(dir.path(), [5; 32]), Err(StateError::OtherKey(_))));
    let other = fresh();
    std::fs::copy(other.path().join(STATE_FILE), dir.path().join(STATE_FILE)).unwrap();
    assert!(matches!(open(&dir), Err(StateError::OtherMemory(_))));
    assert!(SignerState::create(dir.path(), KEY).is_err());
}

fn chmod(dir: &tempfile::TempDir, name: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// DESIGN, Origins ("durably keeps before it releases"): a failed write or a failed sync is a lasting error.
#[test]
fn a_failed_sync_is_never_success() {
    for (device, writable, at_step) in
        [("/dev/null", true, "sync"), ("/dev/full", true, "append"), ("/dev/null", false, "append")]
    {
        let dir = fresh();
        let mut m = open(&dir).unwrap();
        let good = m.file.try_clone().unwrap();
        // /dev/null takes every write and cannot be synced; /dev/full takes none.
        m.file = OpenOptions::new().read(true).write(writable).open(device).unwrap();
        let e = m.remember(&[(origin(1), at(5))]).unwrap_err();
        assert!(matches!(e, StateError::File(FileError::Io { doing, .. }) if doing == at_step), "{device}");
        assert_eq!(m.known(&origin(1)), None);
        m.file = good;
        let e = m.remember(&[(origin(1), at(5))]).unwrap_err();
        assert!(e.to_string().contains("start the signer again"), "{e}");
        assert!(m.failed().is_some());
    }
}

/// SPEC invariant 1 (unlinked files): a memory file deleted or replaced under the signer is not written to unseen.
#[test]
fn an_unlinked_file_is_noticed() {
    let dir = fresh();
    let mut m = open(&dir).unwrap();
    let path = dir.path().join(STATE_FILE);
    let copy = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, copy).unwrap();
    assert!(m.remember(&[(origin(1), at(5))]).is_err());
}

/// DESIGN, Origins: the file stays bounded while it runs, and what it holds is the same before and after.
#[test]
fn it_is_compacted() {
    let dir = fresh();
    let mut m = open(&dir).unwrap();
    let mut size = 0;
    while m.header.before < 60_000 {
        let news: Vec<_> = (0..1000).map(|i| (origin(i % 7), at(size + u64::from(i)))).collect();
        size += 1000;
        m.remember(&news).unwrap();
        assert!(m.entries() - m.anchored < ANCHOR_EVERY);
        assert!(m.in_file <= SLACK + 4 * 7);
    }
    let before = m.known.clone();
    assert!(std::fs::metadata(dir.path().join(STATE_FILE)).unwrap().len() < 100 * SLOT as u64);
    drop(m);
    assert_eq!(open(&dir).unwrap().known, before);
}

/// SPEC, Bad input: at most so many logs; more are refused, none forgotten.
#[test]
fn it_is_bounded() {
    let dir = fresh();
    let mut m = open(&dir).unwrap();
    for i in 0..100 {
        let news: Vec<_> = (i * 1000..(i + 1) * 1000).map(|n| (origin(n), at(1))).collect();
        m.remember(&news).unwrap();
    }
    assert_eq!(m.origins(), MAX_ORIGINS);
    m.remember(&[(origin(5), at(2))]).unwrap();
    assert!(m.remember(&[(origin(100_000), at(1))]).is_err());
    drop(m);
    assert_eq!(open(&dir).unwrap().origins(), MAX_ORIGINS);
}
