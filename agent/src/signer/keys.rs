//! The key files, in minisign's own format, and the decrypted key.
//!
//! Only the two texts that the signer composes can be signed with it; there must never be a public function here that
//! takes bytes to sign. Passwords and keys are wiped as far as the `minisign` crate lets us: it keeps copies on its
//! stack while it decrypts, so the process may neither be dumped nor swapped ([`super::harden`]).

use super::minisign_file::Pair;
use super::protocol::{MAX_PASSWORD, Nonce, Password, probe_comment, probe_text};
use crate::platform::files::{self, FileError, Private};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::checkpoint::{
    Checkpoint, SignedCheckpoint, key_id, untrusted_comment, verify_minisign,
};
use conductor_shared::merkle::Hash;
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// File name of the secret key.
pub const SECRET: &str = "signer.key";
/// File name of the public key.
pub const PUBLIC: &str = "signer.pub";
/// Bytes of a minisign secret key: algorithms 6, salt 32, limits 16, key id 8, key 64, checksum 32.
const SECRET_LEN: usize = 158;
const MAX_KEY_FILE: u64 = 4096;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0}: not a minisign {1} key")]
    Format(PathBuf, &'static str),
    /// The password does not decrypt it.
    #[error("wrong password for {0}")]
    WrongPassword(PathBuf),
    /// Encrypted and no password was given, or the other way round.
    #[error("{path}: {what}")]
    Password {
        path: PathBuf,
        /// What is wrong and how to fix it.
        what: &'static str,
    },
    /// The secret key is not the one of the public key.
    #[error("{0} and signer.pub beside it are not of one key: put back the pair that `init` made")]
    NotAPair(PathBuf),
    /// A key could not be made.
    #[error("minisign: {0}")]
    Minisign(String),
    #[error("cannot sign: {0}")]
    Signing(String),
}

fn minisign_error(e: &minisign::PError) -> KeyError {
    KeyError::Minisign(e.to_string())
}

/// A public key as the signer needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    /// Base64, the second line of its file.
    pub base64: String,
    /// As minisign prints it.
    pub key_id: String,
}

impl Public {
    fn of(key: &PublicKey) -> Self {
        let base64 = key.to_base64();
        let key_id = key_id(&base64).map_or_else(String::new, |id| id.to_string());
        Self { base64, key_id }
    }

    pub fn read(dir: &Path) -> Result<Self, KeyError> {
        let path = dir.join(PUBLIC);
        let bytes = files::read(&path, MAX_KEY_FILE, Private::Public)?;
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().nth(1).unwrap_or("");
        match PublicKey::from_base64(line) {
            Ok(key) => Ok(Self::of(&key)),
            Err(_) => Err(KeyError::Format(path, "public")),
        }
    }

    /// What the memory's header names it by: SHA-256 of its 42 bytes.
    pub fn digest(&self) -> Hash {
        Sha256::digest(STANDARD.decode(&self.base64).unwrap_or_default()).into()
    }
}

/// The decrypted key. Wiped when dropped, never shown.
pub struct SigningKey {
    pair: Pair,
    pub public: Public,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.public.key_id)
    }
}

/// Overwrites a key in its place.
fn wipe(key: &mut SecretKey) {
    if let Ok(zero) = SecretKey::from_bytes(&[0; SECRET_LEN]) {
        *key = zero;
    }
    // So that the writing is not left out as useless.
    std::hint::black_box(&*key);
}

impl SigningKey {
    /// `None` when its halves do not belong together.
    fn new(mut secret: SecretKey) -> Option<Self> {
        let both = PublicKey::from_secret_key(&secret).ok().zip(Pair::of(&secret));
        wipe(&mut secret);
        let (public, pair) = both?;
        let it = Self { public: Public::of(&public), pair };
        // A key that does not sign is found here, not by the first checkpoint.
        it.probe(&Nonce([0; 16])).ok()?;
        Some(it)
    }

    pub fn checkpoint(&self, c: &Checkpoint) -> Result<SignedCheckpoint, KeyError> {
        let text = c.text();
        // To verify takes longer than to sign, and the agent does it before it believes anything.
        let signature = self.sign(&text, &c.trusted_comment())?;
        Ok(SignedCheckpoint { text, signature })
    }

    /// Signs a probe, and verifies it.
    pub fn probe(&self, nonce: &Nonce) -> Result<String, KeyError> {
        let (text, comment) = (probe_text(nonce), probe_comment(nonce));
        let signature = self.sign(&text, &comment)?;
        match verify_minisign(&self.public.base64, text.as_bytes(), &signature) {
            Ok(said) if said == comment => Ok(signature),
            _ => Err(KeyError::Signing("what was signed does not verify".into())),
        }
    }

    /// Private on purpose: see the head of this module.
    fn sign(&self, text: &str, comment: &str) -> Result<String, KeyError> {
        let id = untrusted_comment(&self.public.key_id);
        self.pair
            .sign(text, comment, &id)
            .map_err(|e| KeyError::Signing(format!("the operating system gives no random bytes: {e}")))
    }
}

/// A secret key file that was read and not decrypted yet.
pub struct KeyFile {
    path: PathBuf,
    text: Zeroizing<String>,
    encrypted: bool,
    /// Stock minisign 0.11 writes zeros for the checksum of a key without a password, and the crate refuses them.
    unsummed: bool,
}

impl KeyFile {
    /// Reads one; only its owner may have access to it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let format = || KeyError::Format(path.into(), "secret");
        let bytes = files::read(path, MAX_KEY_FILE, Private::Owner)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| format())?;
        let raw = decode(text);
        if raw.len() != SECRET_LEN || raw[..2] != *b"Ed" {
            return Err(format());
        }
        let encrypted = match &raw[2..4] {
            b"\0\0" => false,
            b"Sc" => true,
            _ => return Err(format()),
        };
        let unsummed = !encrypted && raw[SECRET_LEN - 32..] == [0; 32];
        Ok(Self { path: path.into(), text: Zeroizing::new(text.to_owned()), encrypted, unsummed })
    }

    fn raw(&self) -> Zeroizing<Vec<u8>> {
        decode(&self.text)
    }

    /// True when it needs a password.
    pub fn encrypted(&self) -> bool {
        self.encrypted
    }

    /// The exact text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Decrypts it; takes about a second when it has a password.
    pub fn open(&self, password: Option<&Password>) -> Result<SigningKey, KeyError> {
        let path = || self.path.clone();
        let key = SecretKeyBox::from_string(&self.text).map_err(|e| minisign_error(&e))?;
        let secret = match (self.encrypted, password) {
            (false, None) if self.unsummed => SecretKey::from_bytes(&self.raw()),
            (false, None) => key.into_unencrypted_secret_key(),
            (true, Some(p)) => key.into_secret_key(Some(p.reveal().to_owned())),
            (true, None) => {
                return Err(KeyError::Password {
                    path: path(),
                    what: "the key is encrypted: give its password",
                });
            }
            (false, Some(_)) => {
                let what = "a password was given and the key is not encrypted: leave the password out";
                return Err(KeyError::Password { path: path(), what });
            }
        };
        match secret {
            Ok(secret) => SigningKey::new(secret).ok_or_else(|| KeyError::Format(path(), "secret")),
            Err(_) if self.encrypted => Err(KeyError::WrongPassword(path())),
            Err(_) => Err(KeyError::Format(path(), "secret")),
        }
    }
}

/// The bytes of the second line of a key file; empty when it is not base64.
fn decode(text: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(STANDARD.decode(text.lines().nth(1).unwrap_or("")).unwrap_or_default())
}

/// Makes a new key; returns it and the text of its file.
pub fn generate(password: Option<&Password>) -> Result<(SigningKey, Zeroizing<String>), KeyError> {
    let comment = Some("conductor-signer secret key");
    let pair = match password {
        None => KeyPair::generate_unencrypted_keypair(),
        Some(p) => KeyPair::generate_encrypted_keypair(Some(p.reveal().to_owned())),
    };
    let KeyPair { mut sk, .. } = pair.map_err(|e| minisign_error(&e))?;
    let text = sk.to_box(comment).map(SecretKeyBox::into_string).map_err(|e| minisign_error(&e));
    wipe(&mut sk);
    let text = Zeroizing::new(text?);
    let file =
        KeyFile { path: SECRET.into(), text: text.clone(), encrypted: password.is_some(), unsummed: false };
    Ok((file.open(password)?, text))
}

/// The text of the public key's file.
pub fn public_file(public: &Public) -> String {
    format!("untrusted comment: minisign public key: {}\n{}\n", public.key_id, public.base64)
}

/// Reads a password from a file: its first line, without the newline.
pub fn read_password(path: &Path, private: Private) -> Result<Password, KeyError> {
    let bytes = files::read(path, MAX_PASSWORD as u64, private)?;
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or(&[]);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok(text) if !text.is_empty() => Ok(Password::new(Zeroizing::new(text.to_owned()))),
        _ => {
            let what = "its first line should be the password, in UTF-8, and not empty";
            Err(KeyError::Password { path: path.into(), what })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::ids::{NodeId, Origin, TenantUid};

    fn password(text: &str) -> Password {
        Password::new(Zeroizing::new(text.into()))
    }

    /// DESIGN, Sign roots: what is signed verifies under the public key, text and comment.
    #[test]
    fn signatures_verify() {
        let (key, file) = generate(None).unwrap();
        let origin = Origin { node: NodeId([1; 16]), tenant: TenantUid([2; 16]), epoch: 1 };
        let c = Checkpoint { origin, size: 7, root: [3; 32] };
        let mut signed = key.checkpoint(&c).unwrap();
        assert_eq!(signed.verify(&key.public.base64), Ok(c));
        let by_crate = |signed: &SignedCheckpoint| {
            let signature = minisign::SignatureBox::from_string(&signed.signature).unwrap();
            let key = PublicKey::from_base64(&key.public.base64).unwrap();
            let text = std::io::Cursor::new(&signed.text);
            minisign::verify(&key, &signature, text, true, false, false).is_ok()
        };
        assert!(by_crate(&signed), "{}", signed.signature);
        assert_ne!(signed.signature, key.checkpoint(&c).unwrap().signature, "each is randomised");
        signed.text = signed.text.replace("\n7\n", "\n8\n");
        assert!(signed.verify(&key.public.base64).is_err());
        assert!(!by_crate(&signed));
        let nonce = Nonce([5; 16]);
        let probe = key.probe(&nonce).unwrap();
        let comment = verify_minisign(&key.public.base64, probe_text(&nonce).as_bytes(), &probe).unwrap();
        assert_eq!(comment, probe_comment(&nonce));
        assert!(!format!("{key:?}").contains(&conductor_shared::ids::hex(&decode(&file)[62..126])));
    }

    /// DESIGN, Signer client: the key opens with its password and with no other.
    #[test]
    fn a_password_opens_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SECRET);
        let (key, text) = generate(Some(&password("right"))).unwrap();
        files::create(&path, text.as_bytes(), 0o600).unwrap();
        let file = KeyFile::read(&path).unwrap();
        assert!(file.encrypted());
        assert_eq!(file.open(Some(&password("right"))).unwrap().public, key.public);
        assert!(matches!(file.open(Some(&password("wrong"))), Err(KeyError::WrongPassword(_))));
        assert!(matches!(file.open(None), Err(KeyError::Password { .. })));
        files::replace(&path, b"untrusted comment: x\nAAAA\n").unwrap();
        assert!(matches!(KeyFile::read(&path), Err(KeyError::Format(..))));
    }

    /// DESIGN, Sign roots: a key of stock minisign 0.11 without a password (its checksum is zeros) is taken; one with a
    /// damaged half is not.
    #[test]
    fn stock_keys_without_a_checksum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SECRET);
        let (key, text) = generate(None).unwrap();
        for (flip, good) in [(None, true), (Some(70), false), (Some(100), false)] {
            let mut raw = decode(&text);
            raw[SECRET_LEN - 32..].fill(0);
            if let Some(at) = flip {
                raw[at] ^= 1;
            }
            files::replace(&path, format!("untrusted comment: x\n{}\n", STANDARD.encode(&raw)).as_bytes())
                .unwrap();
            let got = KeyFile::read(&path).unwrap().open(None);
            assert_eq!(got.is_ok_and(|k| k.public == key.public), good, "{flip:?}");
        }
    }

    /// A wiped key is zeros.
    #[test]
    fn wiping_wipes() {
        let mut sk = KeyPair::generate_unencrypted_keypair().unwrap().sk;
        wipe(&mut sk);
        assert_eq!(sk.to_bytes(), vec![0; SECRET_LEN]);
    }
}
