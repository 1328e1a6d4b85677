//! What may be asked of the signer, and what it answers: JSON in frames of at most [`MAX_FRAME`] bytes, one request a
//! connection.
//!
//! There is no request that carries bytes to sign, and there must never be one: each request names typed values, and
//! the signer composes the text.

use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::ids::{Origin, hex, unhex};
use conductor_shared::merkle::Hash;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Version of this protocol.
pub const PROTOCOL: u32 = 1;
/// Longest frame, bytes, without its length.
pub const MAX_FRAME: usize = 4 << 20;
/// Most checkpoints in one request.
pub const MAX_ITEMS: usize = 1000;
/// Most hashes in one consistency proof: a tree of 64 levels needs fewer.
pub const MAX_PROOF: usize = 128;
/// Longest password, bytes.
pub const MAX_PASSWORD: usize = 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How are you?
    Status {},
    /// Sign [`probe_text`] of this nonce, to show that the key works. It is never a checkpoint.
    Probe {
        /// Chosen by the asker, fresh each time.
        nonce: Nonce,
    },
    /// Sign these states of logs.
    Checkpoints {
        /// At most [`MAX_ITEMS`]. Judged in order, made durable together.
        items: Vec<Item>,
    },
    /// Decrypt the key.
    Unlock { password: Password },
}

/// One log's state that the agent wants signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    pub origin: Origin,
    /// Its number of entries.
    pub size: u64,
    #[serde(with = "hash_hex")]
    pub root: Hash,
    /// Size that `proof` starts from: the size that the signer signed last. 0 when there is none.
    #[serde(default)]
    pub proof_from: u64,
    /// RFC 6962 consistency proof from `proof_from` to `size`.
    #[serde(default, with = "hashes_hex")]
    pub proof: Vec<Hash>,
    /// The last checkpoint of this log that the agent holds: evidence against a signer whose memory went back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<SignedCheckpoint>,
}

impl Item {
    /// The checkpoint it asks for.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { origin: self.origin, size: self.size, root: self.root }
    }
}

/// Size and root of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    pub size: u64,
    /// RFC 6962 root of them.
    #[serde(with = "hash_hex")]
    pub root: Hash,
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
pub enum Response {
    Status(Status),
    /// To `Probe`: the minisign file for [`probe_text`].
    Probed {
        signature: String,
    },
    /// To `Checkpoints`: one answer an item, in its order.
    Checkpoints {
        answers: Vec<Answer>,
    },
    /// To `Unlock`: ready to sign.
    Unlocked {},
    /// To any: not done, none of it.
    Refused(Refusal),
}

/// The answer to one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// Signed, and remembered on the disk before.
    Signed { checkpoint: SignedCheckpoint },
    Refused {
        reason: ItemReason,
        /// What the signer remembers of this log.
        last: Option<Known>,
    },
}

/// Why one checkpoint is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ItemReason {
    /// Nothing is remembered of this log and its epoch is not 1: a later epoch needs the command that opened it.
    #[error("the log's epoch was opened by no command that this signer has seen")]
    UnknownEpoch,
    /// Smaller than what was signed.
    #[error("the log is shorter than what was signed")]
    Shorter,
    /// As large as what was signed, with another root.
    #[error("the log was signed at this size with another root")]
    Forked,
    /// Larger, and the proof starts from another size than the remembered one. Ask again with the right proof.
    #[error("a consistency proof from the size that was signed last is needed")]
    NeedsProof,
    /// Larger, and the proof does not hold.
    #[error("the proof does not show that the log only grew")]
    Inconsistent,
    /// The memory holds as many logs as it may.
    #[error("the signer remembers as many logs as it can")]
    TooManyOrigins,
}

/// Why a whole request is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    pub reason: Reason,
    /// What happened and how to fix it.
    pub detail: String,
}

impl Refusal {
    /// A refusal with its words.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Code of a [`Refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Waits for its password.
    Locked,
    /// A checkpoint made by this very key is newer than the memory: nothing is signed any more.
    MemoryRolledBack,
    /// The memory cannot be written: nothing is signed until the signer was started again.
    MemoryUnwritable,
    /// This user may not ask this.
    NotPermitted,
    /// Not a request, or too much in one.
    Malformed,
    /// The password is wrong.
    WrongPassword,
    /// The key file cannot be used.
    KeyUnusable,
    /// All connections, or the one unlocking, are taken.
    Busy,
    Stopping,
    Internal,
}

/// How the signer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Signs, waits or refuses.
    pub state: State,
    /// What is the matter; empty when ready.
    pub detail: String,
    /// The command that unlocks it; empty when it is not locked.
    pub unlock_command: String,
    /// Its minisign public key, base64.
    pub public_key: String,
    /// Key id as minisign prints it.
    pub key_id: String,
    /// Version of the program.
    pub version: String,
    pub protocol: u32,
    /// Random id of its memory, hex.
    pub memory_id: String,
    pub origins: u64,
    /// Entries its memory ever wrote.
    pub entries: u64,
    /// Checkpoints signed since it was started.
    pub signed: u64,
    /// Wrong passwords since it was started.
    pub wrong_passwords: u32,
}

/// State of the signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Ready,
    /// Waits for its password.
    Locked,
    /// Signs nothing, see the detail.
    Refuses,
}

/// 16 bytes, hex on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub [u8; 16]);

impl Serialize for Nonce {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex(&self.0))
    }
}
impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        unhex(&text).map(Self).ok_or_else(|| serde::de::Error::custom("expected 32 lower-case hex digits"))
    }
}

/// A password: wiped when dropped, never shown.
pub struct Password(Zeroizing<String>);

impl Password {
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }
    /// The text, for decrypting the key.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}
impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}
impl Serialize for Password {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(d)?);
        if text.len() > MAX_PASSWORD {
            return Err(serde::de::Error::custom("password longer than 1024 bytes"));
        }
        Ok(Self(text))
    }
}

/// The text of a probe. Its first line keeps it apart from every other text that is ever signed.
pub fn probe_text(nonce: &Nonce) -> String {
    format!("conductor/probe/v1\nnonce: {}\n", hex(&nonce.0))
}

/// The trusted comment that goes with [`probe_text`].
pub fn probe_comment(nonce: &Nonce) -> String {
    format!("conductor/probe/v1 {}", hex(&nonce.0))
}

mod hash_hex {
    use super::{Hash, hex, unhex};
    use serde::Deserialize;

    pub(super) fn serialize<S: serde::Serializer>(h: &Hash, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex(h))
    }
    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(d)?;
        unhex(&text).ok_or_else(|| serde::de::Error::custom("expected 64 lower-case hex digits"))
    }
}

mod hashes_hex {
    use super::{Hash, MAX_PROOF, hex, unhex};
    use serde::Deserialize;

    pub(super) fn serialize<S: serde::Serializer>(h: &[Hash], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(h.iter().map(|h| hex(h)))
    }
    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<Hash>, D::Error> {
        let texts = Vec::<String>::deserialize(d)?;
        if texts.len() > MAX_PROOF {
            return Err(serde::de::Error::custom(format!("a proof of more than {MAX_PROOF} hashes")));
        }
        let all: Option<Vec<Hash>> = texts.iter().map(|t| unhex(t)).collect();
        all.ok_or_else(|| serde::de::Error::custom("expected hashes of 64 lower-case hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever asks cannot have the signer verify without end.
    #[test]
    fn proofs_end() {
        let read = |hashes: usize| {
            let proof = vec![format!("\"{}\"", "0".repeat(64)); hashes].join(",");
            let item = format!(
                r#"{{"origin":"conductor-log/{0}/{0}/1","size":1,"root":"{1}","proof":[{proof}]}}"#,
                "01".repeat(16),
                "0".repeat(64),
            );
            serde_json::from_str::<Request>(&format!(r#"{{"ask":"checkpoints","items":[{item}]}}"#))
        };
        assert!(read(MAX_PROOF).is_ok(), "{:?}", read(MAX_PROOF));
        assert!(read(MAX_PROOF + 1).unwrap_err().to_string().contains("more than"));
    }

    /// DESIGN, Signed texts: there is no "sign these bytes", and nothing unknown is passed over.
    #[test]
    fn only_the_four_requests() {
        for good in [r#"{"ask":"status"}"#, r#"{"ask":"probe","nonce":"000102030405060708090a0b0c0d0e0f"}"#] {
            assert!(serde_json::from_str::<Request>(good).is_ok(), "{good}");
        }
        for bad in [
            r#"{"ask":"sign","bytes":"00"}"#,
            r#"{"ask":"probe","nonce":"00"}"#,
            r#"{"ask":"probe","nonce":"000102030405060708090a0b0c0d0e0f","text":"x"}"#,
            r#"{"ask":"checkpoints","items":[{"origin":"x","size":1,"root":""}]}"#,
            r#"{"ask":"unlock"}"#,
            "[]",
            "",
        ] {
            assert!(serde_json::from_str::<Request>(bad).is_err(), "{bad}");
        }
    }

    /// DESIGN, Signed texts: a probe can never be read as a checkpoint.
    #[test]
    fn a_probe_is_no_checkpoint() {
        let text = probe_text(&Nonce([7; 16]));
        assert!(Checkpoint::parse(&text).is_err());
        assert_eq!(text, "conductor/probe/v1\nnonce: 07070707070707070707070707070707\n");
    }

    /// DESIGN, Signer client: never secrets in logs.
    #[test]
    fn a_password_is_not_shown() {
        let r = Request::Unlock { password: Password::new(Zeroizing::new("hunter2".into())) };
        assert!(!format!("{r:?}").contains("hunter2"));
    }
}
