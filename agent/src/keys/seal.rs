//! Sealing: XChaCha20-Poly1305 with a random nonce. What a value belongs to (origin, row, key, kind) is associated
//! data, so that no sealed value can be moved to another place.

use super::Key;
use crate::random::{Random, bytes};
use chacha20poly1305::aead::{Aead as _, AeadInOut as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

/// A sealed value does not open: wrong key, wrong place or altered bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open: it was altered, moved, or belongs to another key")]
pub struct SealError;

/// Bytes that sealing adds.
pub const OVERHEAD: usize = 8 + 24 + 16;

/// Seals under a key with a number. Result: number(8) nonce(24) ciphertext tag(16).
pub fn seal(key: &Key, number: u64, place: &[u8], plain: &[u8], random: &dyn Random) -> Vec<u8> {
    let number = number.to_be_bytes();
    let mut out = Vec::with_capacity(plain.len() + OVERHEAD);
    out.extend_from_slice(&number);
    wrap_into(&mut out, key, &[place, &number].concat(), plain, random);
    out
}

/// The number of the key that a value is sealed under.
pub fn key_number(sealed: &[u8]) -> Result<u64, SealError> {
    sealed.first_chunk::<8>().map(|b| u64::from_be_bytes(*b)).ok_or(SealError)
}

/// Opens what [`seal`] made. `key` gives the key of a number.
pub fn open(key: &Key, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let (number, rest) = sealed.split_first_chunk::<8>().ok_or(SealError)?;
    let mut ad = Vec::with_capacity(place.len() + 8);
    ad.extend_from_slice(place);
    ad.extend_from_slice(number);
    unwrap(key, &ad, rest)
}

pub(super) fn wrap(key: &Key, ad: &[u8], plain: &[u8], random: &dyn Random) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + 24 + 16);
    wrap_into(&mut out, key, ad, plain, random);
    out
}

fn wrap_into(out: &mut Vec<u8>, key: &Key, ad: &[u8], plain: &[u8], random: &dyn Random) {
    let nonce: [u8; 24] = bytes(random);
    out.extend_from_slice(&nonce);
    let start = out.len();
    out.extend_from_slice(plain);
    let cipher = XChaCha20Poly1305::new((&key.0).into());
    match cipher.encrypt_inout_detached(&XNonce::from(nonce), ad, out[start..].as_mut().into()) {
        Ok(tag) => out.extend_from_slice(&tag),
        // Encryption fails only for texts of 256 GiB; what is left would not open again.
        Err(_) => out.truncate(start),
    }
}

pub(super) fn unwrap(key: &Key, ad: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, SealError> {
    let (nonce, ct) = wrapped.split_first_chunk::<24>().ok_or(SealError)?;
    let cipher = XChaCha20Poly1305::new((&key.0).into());
    cipher.decrypt(&XNonce::from(*nonce), Payload { msg: ct, aad: ad }).map_err(|_| SealError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;

    /// DESIGN, Keys: a sealed value opens only in its place, under its key and number, unaltered.
    #[test]
    fn a_sealed_value_cannot_be_moved() {
        let random = OsRandom::default();
        let (key, other) = (Key([1; 32]), Key([2; 32]));
        let sealed = seal(&key, 7, b"here", b"secret", &random);
        assert_eq!(open(&key, b"here", &sealed).unwrap(), b"secret");
        assert_eq!(key_number(&sealed), Ok(7));
        assert!(open(&other, b"here", &sealed).is_err());
        assert!(open(&key, b"there", &sealed).is_err());
        for i in 0..sealed.len() {
            let mut s = sealed.clone();
            s[i] ^= 1;
            assert!(open(&key, b"here", &s).is_err(), "byte {i}");
            assert!(open(&key, b"here", &sealed[..i]).is_err());
        }
        assert_ne!(seal(&key, 7, b"here", b"secret", &random), sealed, "nonces are random");
    }
}
