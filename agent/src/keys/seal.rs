//! Sealing: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) with a random nonce. What a value belongs to (origin, row, key,
//! kind) is associated data, so that no sealed value can be moved to another place.
//!
//! The first 16 bytes of a nonce derive a key for this one value (`HChaCha20`), the other 8 are the nonce under it. The
//! cipher itself is ring's, which TLS uses as well: for 40 to
//! 200 bytes it takes 270 to 310 ns, and portable code 310 to 570 (docs/adr/0018, 2).

use super::Key;
use crate::platform::random::Random;
use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroize as _;

/// A sealed value does not open: wrong key, wrong place or altered bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open: it was altered, moved, or belongs to another key")]
pub struct SealError;

/// Bytes of the number of a key.
pub const KEY_NUMBER: usize = 8;
const NONCE: usize = 24;
const TAG: usize = 16;
/// Bytes that sealing adds: number of the key, nonce, tag.
pub const OVERHEAD: usize = KEY_NUMBER + NONCE + TAG;

/// Puts a text where [`seal_in_place`] will seal it: `room` is longer by [`OVERHEAD`].
pub fn put_plain(room: &mut [u8], plain: &[u8]) {
    room[KEY_NUMBER + NONCE..][..plain.len()].copy_from_slice(plain);
}

/// Seals what [`put_plain`] put into `room`; the result is that of [`seal`]. The last eight bytes of `place` are room for
/// the number of the key.
pub fn seal_in_place(
    key: &Key,
    number: u64,
    place: &mut [u8],
    room: &mut [u8],
    random: &dyn Random,
) -> Result<(), SealError> {
    let number = number.to_be_bytes();
    *place.last_chunk_mut().ok_or(SealError)? = number;
    let (before, rest) = room.split_first_chunk_mut().ok_or(SealError)?;
    *before = number;
    encrypt(key, place, rest, random)
}

/// `room` is nonce, text, tag; the text is there.
fn encrypt(key: &Key, ad: &[u8], room: &mut [u8], random: &dyn Random) -> Result<(), SealError> {
    let (nonce, rest) = room.split_first_chunk_mut::<NONCE>().ok_or(SealError)?;
    random.fill(nonce);
    let (text, tag) = rest.split_last_chunk_mut::<TAG>().ok_or(SealError)?;
    let (key, nonce) = of_value(key, nonce)?;
    let found = key.seal_in_place_separate_tag(nonce, Aad::from(ad), text).map_err(|_| SealError)?;
    tag.copy_from_slice(found.as_ref());
    Ok(())
}

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
    let mut out = Vec::with_capacity(plain.len() + NONCE + 16);
    wrap_into(&mut out, key, ad, plain, random);
    out
}

fn wrap_into(out: &mut Vec<u8>, key: &Key, ad: &[u8], plain: &[u8], random: &dyn Random) {
    let start = out.len();
    out.resize(start + NONCE + plain.len() + TAG, 0);
    out[start + NONCE..][..plain.len()].copy_from_slice(plain);
    // Encryption fails only for texts of 256 GiB; what is left would not open again.
    if encrypt(key, ad, &mut out[start..], random).is_err() {
        out.truncate(start);
    }
}

pub(super) fn unwrap(key: &Key, ad: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, SealError> {
    let (nonce, ct) = wrapped.split_first_chunk::<NONCE>().ok_or(SealError)?;
    let (k, nonce) = of_value(key, nonce)?;
    let mut plain = ct.to_vec();
    let len = k.open_in_place(nonce, Aad::from(ad), &mut plain).map_err(|_| SealError)?.len();
    plain.truncate(len);
    Ok(plain)
}

/// The key of one value, and the nonce under it.
fn of_value(key: &Key, nonce: &[u8; NONCE]) -> Result<(LessSafeKey, Nonce), SealError> {
    let (derive, rest) = nonce.split_first_chunk::<16>().ok_or(SealError)?;
    let mut of_value: [u8; 32] = hchacha::<R20>(key.bytes().into(), derive.into()).into();
    let unbound = UnboundKey::new(&CHACHA20_POLY1305, &of_value);
    of_value.zeroize();
    let mut short = [0; 12];
    short[4..].copy_from_slice(rest);
    let key = unbound.map_err(|_| SealError)?;
    Ok((LessSafeKey::new(key), Nonce::assume_unique_for_key(short)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::random::OsRandom;
    use conductor_shared::ids::{hex, unhex};

    /// Gives the bytes it was given.
    struct Given(Vec<u8>);
    impl Random for Given {
        fn fill(&self, out: &mut [u8]) {
            out.copy_from_slice(&self.0[..out.len()]);
        }
    }

    /// DESIGN, Keys: what is sealed is XChaCha20-Poly1305 and nothing of our own. The vector is that of
    /// draft-irtf-cfrg-xchacha-03, A.3.1.
    #[test]
    fn sealing_is_the_published_cipher() {
        let key =
            Key::new(unhex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f").unwrap());
        let nonce: Vec<u8> = (0x40..0x58).collect();
        let ad = unhex::<12>("50515253c0c1c2c3c4c5c6c7").unwrap();
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let wrapped = wrap(&key, &ad, plain, &Given(nonce.clone()));
        let published = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49";
        assert_eq!(hex(&wrapped), hex(&nonce) + published);
        assert_eq!(unwrap(&key, &ad, &wrapped).unwrap(), plain);
    }

    /// DESIGN, Keys: a sealed value opens only in its place, under its key and number, unaltered.
    #[test]
    fn a_sealed_value_cannot_be_moved() {
        let random = OsRandom::default();
        let (key, other) = (Key::new([1; 32]), Key::new([2; 32]));
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
