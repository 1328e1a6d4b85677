//! Minisign's signature file, made with ed25519-dalek: two Ed25519 signatures in a fifth of the time that the `minisign`
//! crate takes, which reads and writes the key files (docs/adr/0020).
//!
//! ```text
//! untrusted comment: ...
//! base64("ED" key_number(8) signature(64))       over the BLAKE2b-512 of the text
//! trusted comment: ...
//! base64(signature(64))                          over the signature above and the trusted comment
//! ```
//!
//! Signatures are hedged: the secret that their nonce is derived from is mixed with fresh randomness each time, as in
//! draft-irtf-cfrg-det-sigs-with-noise. Without the randomness they are as good as plain Ed25519; with it, a signature
//! that a fault of the machine spoiled tells nothing about the key.
//!
//! Never public: the one caller, [`super::keys`], signs only texts that the signer composed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::Blake2b512;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use minisign::SecretKey;
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

/// Offsets of the key's number and of its seed and public half in minisign's secret key.
const NUMBER: std::ops::Range<usize> = 54..62;
const PAIR: std::ops::Range<usize> = 62..126;

/// The decrypted key. Wiped when dropped.
pub(super) struct Pair {
    number: [u8; 8],
    /// On the heap, so that it stays in one place until it is wiped.
    secret: Box<ExpandedSecretKey>,
    public: VerifyingKey,
}

impl Pair {
    /// `None` when its halves do not belong together.
    pub(super) fn of(key: &SecretKey) -> Option<Self> {
        let raw = Zeroizing::new(key.to_bytes());
        let pair = Zeroizing::new(<[u8; 64]>::try_from(raw.get(PAIR)?).ok()?);
        let pair = SigningKey::from_keypair_bytes(&pair).ok()?;
        Some(Self {
            number: raw.get(NUMBER)?.try_into().ok()?,
            secret: Box::new(ExpandedSecretKey::from(&pair.to_bytes())),
            public: pair.verifying_key(),
        })
    }

    /// The text of a signature file.
    pub(super) fn sign(
        &self,
        text: &str,
        trusted: &str,
        untrusted: &str,
    ) -> Result<String, getrandom::Error> {
        let signature = self.hedged(&Blake2b512::digest(text))?.to_bytes();
        let both = self.hedged(&[&signature, trusted.as_bytes()].concat())?.to_bytes();
        let first = STANDARD.encode([b"ED", &self.number[..], &signature].concat());
        let second = STANDARD.encode(both);
        Ok(format!("untrusted comment: {untrusted}\n{first}\ntrusted comment: {trusted}\n{second}\n"))
    }

    fn hedged(&self, message: &[u8]) -> Result<Signature, getrandom::Error> {
        let mut noise = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *noise)?;
        let mut secret =
            ExpandedSecretKey { scalar: self.secret.scalar, hash_prefix: self.secret.hash_prefix };
        let mixed = Zeroizing::new(<[u8; 64]>::from(
            Sha512::new().chain_update(secret.hash_prefix).chain_update(*noise).finalize(),
        ));
        secret.hash_prefix.copy_from_slice(&mixed[..32]);
        Ok(raw_sign::<Sha512>(&secret, message, &self.public))
    }
}
