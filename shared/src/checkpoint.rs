//! Checkpoint texts: what the signer signs about a log.
//!
//! The text has the three lines of a C2SP tlog-checkpoint (origin, decimal size, base64 of the RFC 6962 root); the
//! signature is a detached minisign file whose trusted comment repeats them, so that stock `minisign -V` verifies it.

use crate::ids::{KeyId, Origin, parse_decimal};
use crate::merkle::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// (origin, size, root) of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose log.
    pub origin: Origin,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root of them.
    pub root: Hash,
}

/// A checkpoint's exact text and its minisign file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedCheckpoint {
    /// Three lines, each ended by a newline.
    pub text: String,
    /// The four lines of the `.minisig` file.
    pub signature: String,
}

/// Why a checkpoint cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not three lines of the form.
    #[error("not a checkpoint: expected three lines: origin, size, base64 of the root")]
    Text,
    /// The public key cannot be read.
    #[error("not a minisign public key")]
    Key,
    /// Not four lines of minisign.
    #[error("not a minisign signature file")]
    Signature,
    /// The signature is by another key, or the text was altered.
    #[error("the signature does not verify under the trusted key")]
    Refuted,
    /// The signature was made for another purpose.
    #[error("the trusted comment does not repeat the checkpoint")]
    Comment,
    /// Something in the signature file is not what the signer writes there, though no signature covers it.
    #[error("the signature file holds more or other words than the signer writes")]
    Words,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// The trusted comment that goes with it.
    pub fn trusted_comment(&self) -> String {
        format!("{} {} {}", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Reads the one canonical text.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let e = CheckpointError::Text;
        let mut lines = text.strip_suffix('\n').ok_or(e.clone())?.split('\n');
        let mut next = || lines.next().ok_or(CheckpointError::Text);
        let origin = next()?.parse().map_err(|_| e.clone())?;
        let size = parse_decimal(next()?).ok_or(e.clone())?;
        let root = STANDARD.decode(next()?).map_err(|_| e.clone())?;
        let root = root.as_slice().try_into().map_err(|_| e.clone())?;
        if lines.next().is_some() {
            return Err(e);
        }
        Ok(Self { origin, size, root })
    }
}

impl SignedCheckpoint {
    /// Verifies the exact bytes under a trusted minisign public key (base64), then reads them.
    pub fn verify(&self, public_key: &str) -> Result<Checkpoint, CheckpointError> {
        let comment = verify_minisign(public_key, self.text.as_bytes(), &self.signature)?;
        let c = Checkpoint::parse(&self.text)?;
        if comment != c.trusted_comment() {
            return Err(CheckpointError::Comment);
        }
        if self.is_as_written(&comment) { Ok(c) } else { Err(CheckpointError::Words) }
    }

    /// No signature covers the first line, the spelling of base64 and what may follow: all must be as the signer writes it.
    fn is_as_written(&self, comment: &str) -> bool {
        let lines: Vec<&str> = self.signature.lines().collect();
        let [_, first, _, second] = lines.as_slice() else { return false };
        let spelled = |line: &str, len| STANDARD.decode(line).is_ok_and(|raw| raw.len() == len);
        let Some(id) = signature_key_id(&self.signature) else { return false };
        let whole = format!(
            "untrusted comment: {}\n{first}\ntrusted comment: {comment}\n{second}\n",
            untrusted_comment(id)
        );
        spelled(first, 74) && spelled(second, 64) && self.signature == whole
    }
}

/// What the signer writes into the line of a signature file that no signature covers.
pub fn untrusted_comment(key_id: impl std::fmt::Display) -> String {
    format!("signature of conductor-signer key {key_id}")
}

/// Verifies a prehashed minisign signature over `bytes` and returns its trusted comment, which is covered too.
pub fn verify_minisign(public_key: &str, bytes: &[u8], signature: &str) -> Result<String, CheckpointError> {
    if signature.len() > 4096 {
        return Err(CheckpointError::Signature);
    }
    let key = minisign_verify::PublicKey::from_base64(public_key.trim()).map_err(|_| CheckpointError::Key)?;
    let sig = minisign_verify::Signature::decode(signature).map_err(|_| CheckpointError::Signature)?;
    key.verify(bytes, &sig, false).map_err(|_| CheckpointError::Refuted)?;
    Ok(sig.trusted_comment().to_owned())
}

/// The key id of a minisign public key.
pub fn key_id(public_key: &str) -> Option<KeyId> {
    let raw: [u8; 42] = STANDARD.decode(public_key.trim()).ok()?.try_into().ok()?;
    Some(key_id_in(&raw))
}

/// Whether two minisign public keys (base64) are one: by the key itself, for whoever holds it may write any id beside
/// it, or by the id, under which a key is looked up. Text that is no public key is one with nothing.
pub fn is_same_key(a: &str, b: &str) -> bool {
    let raw = |key: &str| <[u8; 42]>::try_from(STANDARD.decode(key.trim()).ok()?).ok();
    let (Some(a), Some(b)) = (raw(a), raw(b)) else { return false };
    a[10..] == b[10..] || a[2..10] == b[2..10]
}

/// Key id that a minisign signature file claims, in the form of [`key_id`]. This verifies nothing.
pub fn signature_key_id(signature: &str) -> Option<KeyId> {
    let raw: [u8; 74] = STANDARD.decode(signature.lines().nth(1)?).ok()?.try_into().ok()?;
    Some(key_id_in(&raw))
}

/// Keys and signatures begin with the algorithm (2 bytes) and the key id, little-endian.
fn key_id_in<const N: usize>(raw: &[u8; N]) -> KeyId {
    let mut id = [0; 8];
    id.copy_from_slice(&raw[2..10]);
    id.reverse();
    KeyId(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{NodeId, TenantUid};

    /// D2: a key is the same under another id, and another key under the same id is no other one.
    #[test]
    fn a_key_is_known_by_itself() {
        let key = |id: u8, byte: u8| STANDARD.encode([&b"Ed"[..], &[id; 8], &[byte; 32]].concat());
        assert!(is_same_key(&key(1, 1), &key(1, 1)));
        assert!(is_same_key(&key(1, 1), &format!(" {}\n", key(2, 1))));
        assert!(is_same_key(&key(1, 1), &key(1, 2)));
        assert!(!is_same_key(&key(1, 1), &key(2, 2)));
        assert!(!is_same_key("", "") && !is_same_key("x", &key(1, 1)));
    }

    /// DESIGN, Sign roots: one spelling, three lines, nothing else.
    #[test]
    fn one_spelling() {
        let origin = Origin { node: NodeId([1; 16]), tenant: TenantUid([2; 16]), epoch: 1 };
        let c = Checkpoint { origin, size: 42, root: [3; 32] };
        let text = c.text();
        insta::assert_snapshot!("checkpoint-vector", text);
        assert_eq!(Checkpoint::parse(&text), Ok(c));
        for bad in [
            text.trim_end().to_owned(),
            format!("{text}\n"),
            text.replace("\n42\n", "\n042\n"),
            text.replace("\n42\n", "\n+42\n"),
            text.replace('\n', "\r\n"),
            text.replace('=', ""),
            String::new(),
        ] {
            assert_eq!(Checkpoint::parse(&bad), Err(CheckpointError::Text), "{bad:?}");
        }
    }
}
