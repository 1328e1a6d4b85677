//! Operators' keys, in minisign's own file format: stock `minisign` reads and writes the same files.
//!
//! A secret key is read only from a file that nobody else can read, lives no longer than it is needed, and cannot be
//! printed. Deriving a key from a password takes about a second of one core: never on an async thread. What cannot be
//! wiped is the copy of a password that the `minisign` crate takes by value.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::checkpoint::key_id;
use conductor_shared::http::SignedText;
use conductor_shared::untrusted::escape;
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Largest key file, bytes.
const MAX_FILE: u64 = 4096;
/// Bytes of a secret key in minisign's binary form.
const SECRET_LEN: usize = 158;
/// Names the environment variable of the key file.
pub const KEY_ENV: &str = "CONDUCTOR_KEY";

/// Why a key file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error(
        "this needs your operator key: name its file with --key or {KEY_ENV} (make one: conductor key new --out FILE)"
    )]
    Missing,
    /// It cannot be opened, read or written.
    #[error("secret file {path}: {why}")]
    File {
        path: String,
        /// What the system said.
        why: String,
    },
    /// Others can read it.
    #[error("secret file {path} can be read or written by others (mode {mode:04o}): run: chmod 600 {path}")]
    Open { path: String, mode: u32 },
    /// It belongs to somebody else.
    #[error(
        "secret file {path} belongs to user {owner}, and you are user {me}: use your own, or have it given to you: chown {me} {path}"
    )]
    Owner { path: String, owner: u32, me: u32 },
    /// Not a minisign secret key.
    #[error(
        "key file {path} is not what it should be: a minisign secret key is a comment line and a line of base64 (is it the .pub file?); a token is one line"
    )]
    Form { path: String },
    /// The password is wrong.
    #[error("key file {path}: the password is wrong, or the file is damaged")]
    Password { path: String },
    /// A password is needed and there is no terminal to ask at.
    #[error("key file {path} needs a password, and there is no terminal to ask for it")]
    NoTerminal { path: String },
    /// A file of that name is there.
    #[error("{path} is there already, and keys are never overwritten: choose another name")]
    Exists { path: String },
    /// The two passwords differ.
    #[error("the passwords differ: nothing was written")]
    Differ,
    /// An empty password protects nothing.
    #[error("the password is empty: nothing was written (--unencrypted says that you mean it)")]
    Empty,
    #[error("the key cannot be used: {0}")]
    Crypto(String),
}

/// A secret key file that was read and not unlocked yet.
pub struct KeyFile {
    path: PathBuf,
    text: Zeroizing<String>,
    encrypted: bool,
}

fn name(path: &Path) -> String {
    escape(&path.to_string_lossy(), 200)
}

fn file_error(path: &Path) -> impl Fn(std::io::Error) -> KeyError {
    let path = name(path);
    move |e| KeyError::File { path: path.clone(), why: e.to_string() }
}

/// Who may read a file that holds a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Its owner, who is this user.
    Owner,
    /// Also a group that this user is in, of a file that this user or root owns: so an orchestrator mounts secrets.
    OwnGroup,
}

impl Readers {
    fn owner(self, owner: u32, me: u32) -> bool {
        owner == me || self == Self::OwnGroup && owner == 0
    }

    /// Permissions that nobody may have on it.
    fn forbidden(self, group: u32) -> u32 {
        if self == Self::OwnGroup && is_own_group(group) { 0o037 } else { 0o077 }
    }
}

fn is_own_group(group: u32) -> bool {
    let groups = nix::unistd::getgroups().unwrap_or_default();
    groups.into_iter().chain([nix::unistd::getegid()]).any(|g| g.as_raw() == group)
}

/// Reads a small file that holds a secret, after checking whose it is and who else may read it.
pub fn read_private(path: &Path, readers: Readers) -> Result<Zeroizing<String>, KeyError> {
    let err = file_error(path);
    // Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(&err)?;
    let meta = file.metadata().map_err(&err)?;
    if !meta.is_file() {
        return Err(KeyError::File { path: name(path), why: "it is not a regular file".into() });
    }
    let me = nix::unistd::geteuid().as_raw();
    if !readers.owner(meta.uid(), me) {
        return Err(KeyError::Owner { path: name(path), owner: meta.uid(), me });
    }
    if meta.mode() & readers.forbidden(meta.gid()) != 0 {
        return Err(KeyError::Open { path: name(path), mode: meta.mode() & 0o7777 });
    }
    let form = || KeyError::Form { path: name(path) };
    // Reserved whole, so that the buffer does not move and leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(MAX_FILE).unwrap_or(0) + 1));
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|_| form())?;
    if text.len() as u64 > MAX_FILE { Err(form()) } else { Ok(text) }
}

impl KeyFile {
    /// Reads a key file, after checking whose it is and who else may read it.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let form = || KeyError::Form { path: name(path) };
        let text = read_private(path, Readers::Owner)?;
        let raw = decode(&text).ok_or_else(form)?;
        let encrypted = match (&raw[..2], &raw[2..4]) {
            (b"Ed", [0, 0]) => false,
            (b"Ed", b"Sc") => true,
            _ => return Err(form()),
        };
        Ok(Self { path: path.to_owned(), text, encrypted })
    }

    /// Whether it needs a password.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Path of the file, escaped.
    pub fn name(&self) -> String {
        name(&self.path)
    }

    /// Unlocks it. Blocks for about a second when it is encrypted; see [`KeyFile::unlock_async`].
    pub fn unlock(self, password: Option<Zeroizing<String>>) -> Result<UnlockedKey, KeyError> {
        let form = || KeyError::Form { path: name(&self.path) };
        let secret = if self.encrypted {
            let password = password.ok_or(KeyError::NoTerminal { path: name(&self.path) })?;
            let boxed = SecretKeyBox::from(self.text.as_str().to_owned());
            SecretKey::from_box(boxed, Some(password.as_str().to_owned()))
                .map_err(|_| KeyError::Password { path: name(&self.path) })?
        } else {
            let raw = decode(&self.text).ok_or_else(form)?;
            SecretKey::from_bytes(&raw).map_err(|_| form())?
        };
        let key = UnlockedKey::new(secret)?;
        // A damaged secret would make signatures that do not verify: test it here.
        let probe = key.sign("conductor/probe/v1\n", "probe")?;
        conductor_shared::checkpoint::verify_minisign(
            &probe.public_key,
            probe.text.as_bytes(),
            &probe.signature,
        )
        .map_err(|_| KeyError::Password { path: name(&self.path) })?;
        Ok(key)
    }

    /// Unlocks it away from the async threads.
    pub async fn unlock_async(self, password: Option<Zeroizing<String>>) -> Result<UnlockedKey, KeyError> {
        let work = tokio::task::spawn_blocking(move || self.unlock(password));
        work.await.map_err(|e| KeyError::Crypto(e.to_string()))?
    }

    /// Asks for the password at the terminal when one is needed, and unlocks.
    pub async fn unlock_at_terminal(self) -> Result<UnlockedKey, KeyError> {
        let password = if self.encrypted {
            let (path, question) = (self.name(), format!("Password of {}: ", self.name()));
            Some(ask(question).await.ok_or(KeyError::NoTerminal { path })?)
        } else {
            None
        };
        self.unlock_async(password).await
    }
}

/// Asks for a password at the controlling terminal, without echo. `None` when there is none.
async fn ask(question: String) -> Option<Zeroizing<String>> {
    let asked = tokio::task::spawn_blocking(move || rpassword::prompt_password(question));
    asked.await.ok()?.ok().map(Zeroizing::new)
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut lines = text.lines();
    lines.next()?.starts_with("untrusted comment:").then_some(())?;
    let raw = Zeroizing::new(STANDARD.decode(lines.next()?.trim()).ok()?);
    (raw.len() == SECRET_LEN && lines.all(|l| l.trim().is_empty())).then_some(raw)
}

/// An operator's key, unlocked. It cannot be printed or cloned, and is overwritten when dropped.
pub struct UnlockedKey {
    secret: Box<SecretKey>,
    public: PublicKey,
    public_text: String,
    id: String,
}

impl Drop for UnlockedKey {
    fn drop(&mut self) {
        // The crate's type does not wipe itself. Writing zeros in place does; `black_box` keeps the write.
        if let Ok(zeros) = SecretKey::from_bytes(&[0; SECRET_LEN]) {
            *self.secret = zeros;
            std::hint::black_box(&self.secret);
        }
    }
}

impl fmt::Debug for UnlockedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorKey({})", self.id)
    }
}

impl UnlockedKey {
    fn new(secret: SecretKey) -> Result<Self, KeyError> {
        let secret = Box::new(secret);
        let public = PublicKey::from_secret_key(&secret).map_err(|e| KeyError::Crypto(e.to_string()))?;
        let public_text = public.to_base64();
        let id = key_id(&public_text).ok_or_else(|| KeyError::Crypto("it has no key id".into()))?.to_string();
        Ok(Self { secret, public, public_text, id })
    }

    /// The public key, base64.
    pub fn public_key(&self) -> &str {
        &self.public_text
    }

    /// The key id as minisign prints it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs a text that this program composed. The trusted comment is covered too.
    pub fn sign(&self, text: &str, trusted_comment: &str) -> Result<SignedText, KeyError> {
        let signed = minisign::sign(
            Some(&self.public),
            &self.secret,
            text.as_bytes(),
            Some(trusted_comment),
            Some("signature by a Conductor operator"),
        );
        let signature = signed.map_err(|e| KeyError::Crypto(e.to_string()))?.into_string();
        Ok(SignedText { text: text.to_owned(), signature, public_key: self.public_text.clone() })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Created {
    /// The secret key's file.
    pub secret_file: PathBuf,
    /// The public key's file: the same name with `.pub`.
    pub public_file: PathBuf,
    /// The public key, base64.
    pub public_key: String,
    pub key_id: String,
    /// Whether a password protects it.
    pub encrypted: bool,
}

/// Where the public key of a secret key file stands.
pub fn public_file(secret_file: &Path) -> PathBuf {
    let mut p = secret_file.as_os_str().to_owned();
    p.push(".pub");
    p.into()
}

/// Checks that neither file of a key pair is there yet, and gives the public one's name.
fn absent(path: &Path) -> Result<PathBuf, KeyError> {
    let public_path = public_file(path);
    for p in [path, &public_path] {
        if p.symlink_metadata().is_ok() {
            return Err(KeyError::Exists { path: name(p) });
        }
    }
    Ok(public_path)
}

/// Makes a key pair. Blocks for about a second with a password.
pub fn create(path: &Path, password: Option<Zeroizing<String>>) -> Result<Created, KeyError> {
    let public_path = absent(path)?;
    let crypto = |e: minisign::PError| KeyError::Crypto(e.to_string());
    let encrypted = password.is_some();
    let pair = match password {
        None => KeyPair::generate_unencrypted_keypair(),
        Some(p) if p.is_empty() => return Err(KeyError::Empty),
        Some(p) => KeyPair::generate_encrypted_keypair(Some(p.as_str().to_owned())),
    };
    let KeyPair { pk, sk } = pair.map_err(crypto)?;
    let sk = Box::new(sk);
    let comment = if encrypted { "minisign encrypted secret key" } else { "minisign unencrypted secret key" };
    let text = Zeroizing::new(sk.to_box(Some(comment)).map_err(crypto)?.into_string());
    let public_text = pk.to_box().map_err(crypto)?.into_string();
    write_new(path, 0o600, text.as_bytes())?;
    write_new(&public_path, 0o644, public_text.as_bytes())?;
    let public_key = pk.to_base64();
    let key_id = key_id(&public_key).map_or_else(String::new, |id| id.to_string());
    Ok(Created { secret_file: path.to_owned(), public_file: public_path, public_key, key_id, encrypted })
}

/// Asks twice for a new password and makes a key pair.
pub async fn create_at_terminal(path: PathBuf) -> Result<Created, KeyError> {
    absent(&path)?; // before anybody has to think of a password
    let none = || KeyError::NoTerminal { path: name(&path) };
    let first = ask(format!("New password for {}: ", name(&path))).await.ok_or_else(none)?;
    if first.is_empty() {
        return Err(KeyError::Empty);
    }
    let again = ask("The same again: ".into()).await.ok_or_else(none)?;
    if *first != *again {
        return Err(KeyError::Differ);
    }
    let work = tokio::task::spawn_blocking(move || create(&path, Some(first)));
    work.await.map_err(|e| KeyError::Crypto(e.to_string()))?
}

/// Writes a file that was not there, durably.
pub fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), KeyError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file: File = opened.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => KeyError::Exists { path: name(path) },
        _ => file_error(path)(e),
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(file_error(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::checkpoint::verify_minisign;
    use std::os::unix::fs::PermissionsExt;

    fn chmod(p: &Path, mode: u32) {
        std::fs::set_permissions(p, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// DESIGN, Signed texts: what a key signs verifies, trusted comment included, and only with that key.
    #[test]
    fn signs_what_verifies() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ana");
        let made = create(&path, None).unwrap();
        assert_eq!(made.public_file, dir.path().join("ana.pub"));
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        let key = KeyFile::load(&path).unwrap().unlock(None).unwrap();
        assert_eq!((key.public_key(), key.id()), (made.public_key.as_str(), made.key_id.as_str()));
        let s = key.sign("text\n", "comment 1").unwrap();
        assert_eq!(verify_minisign(&s.public_key, b"text\n", &s.signature).unwrap(), "comment 1");
        assert!(verify_minisign(&s.public_key, b"texT\n", &s.signature).is_err());
        assert!(std::fs::read_to_string(made.public_file).unwrap().contains(&made.key_id));
        assert!(matches!(create(&path, None), Err(KeyError::Exists { .. })));
        assert!(!format!("{key:?}").contains(key.public_key()));
    }

    /// SPEC, Threats (a stolen operator key): a file that others can read is refused, with the command that fixes it.
    #[test]
    fn open_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        create(&path, None).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o602] {
            chmod(&path, mode);
            let e = KeyFile::load(&path).err().unwrap().to_string();
            assert!(e.contains(&format!("mode {mode:04o}")) && e.contains("chmod 600"), "{e}");
        }
        chmod(&path, 0o400);
        assert!(KeyFile::load(&path).is_ok());
    }

    /// E10: a token that an orchestrator mounts for a group of this user's is read; one that the group can write, that others
    /// can read, or that another group can read is not.
    #[test]
    fn a_token_may_be_its_groups() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "cdw_").unwrap();
        for (mode, taken) in [(0o400, true), (0o440, true), (0o640, true), (0o660, false), (0o644, false)] {
            chmod(&path, mode);
            assert_eq!(read_private(&path, Readers::OwnGroup).is_ok(), taken, "{mode:o}");
            assert_eq!(read_private(&path, Readers::Owner).is_ok(), mode == 0o400, "{mode:o}");
        }
        let foreign = (1..=u32::MAX).find(|g| !is_own_group(*g)).unwrap();
        assert_eq!(Readers::OwnGroup.forbidden(foreign), 0o077);
        assert!(
            Readers::OwnGroup.owner(0, 7) && !Readers::Owner.owner(0, 7) && !Readers::OwnGroup.owner(8, 7)
        );
    }

    /// SPEC, Bad input: what is no key is refused, whatever it is.
    #[test]
    fn what_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        let good = create(&path, None).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let public = std::fs::read_to_string(good.public_file).unwrap();
        let bad = dir.path().join("bad");
        for t in ["", "x", "untrusted comment: x\nnot base64\n", &public, &text[..60], &"x".repeat(100_000)] {
            std::fs::write(&bad, t).unwrap();
            chmod(&bad, 0o600);
            assert!(matches!(KeyFile::load(&bad), Err(KeyError::Form { .. })), "{t:.40}");
        }
        // One byte of the secret altered: it would sign what does not verify.
        let mut raw = decode(&text).unwrap();
        raw[70] ^= 1;
        std::fs::write(&bad, format!("untrusted comment: x\n{}\n", STANDARD.encode(&*raw))).unwrap();
        assert!(KeyFile::load(&bad).unwrap().unlock(None).is_err());
        assert!(matches!(KeyFile::load(dir.path()), Err(KeyError::File { .. })));
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(KeyFile::load(&fifo), Err(KeyError::File { .. })));
    }

    /// DESIGN, Keys of operators: a password is needed when there is one, and must be the right one.
    #[test]
    fn a_password_protects() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        let word = |w: &str| Some(Zeroizing::new(w.to_owned()));
        assert!(matches!(create(&path, word("")), Err(KeyError::Empty)));
        let made = create(&path, word("right")).unwrap();
        let load = || KeyFile::load(&path).unwrap();
        assert!(load().is_encrypted());
        assert!(matches!(load().unlock(None), Err(KeyError::NoTerminal { .. })));
        assert!(matches!(load().unlock(word("wrong")), Err(KeyError::Password { .. })));
        assert_eq!(load().unlock(word("right")).unwrap().id(), made.key_id);
    }
}
