//! Reads the values of an operation's arguments. One spelling each: what reads back as another text is refused later.

use super::MAX_REASON;
use crate::basis_points::BasisPoints;
use crate::checkpoint::key_id;
use crate::ids::{Ident, parse_decimal, unhex};
use crate::untrusted::{UntrustedText, is_unshowable};
use std::str::FromStr;

/// No signature or proof is longer, in base64.
const MAX_BASE64: usize = 1024;

/// The values of an operation's arguments, in order.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a>(&'a [&'a str]);

impl<'a> Values<'a> {
    pub(super) fn new(values: &'a [&'a str]) -> Self {
        Self(values)
    }

    /// The value at a place.
    pub fn text(&self, i: usize) -> Option<&'a str> {
        self.0.get(i).copied()
    }

    /// All values from a place on.
    pub fn rest(&self, i: usize) -> &'a [&'a str] {
        self.0.get(i..).unwrap_or_default()
    }

    /// Whatever its own reader takes.
    pub fn read<T: FromStr>(&self, i: usize) -> Option<T> {
        self.text(i)?.parse().ok()
    }

    /// A decimal number.
    pub fn number(&self, i: usize) -> Option<u64> {
        parse_decimal(self.text(i)?)
    }

    /// A decimal number with a sign.
    pub fn integer(&self, i: usize) -> Option<i64> {
        self.read(i)
    }

    /// Hundredths of a percent, at most 100 %.
    pub fn hundredths(&self, i: usize) -> Option<BasisPoints> {
        self.number(i)?.try_into().ok()
    }

    /// An identifier.
    pub fn ident(&self, i: usize) -> Option<Ident> {
        Ident::new(self.text(i)?).ok()
    }

    /// Bytes in hex.
    pub fn hex<const N: usize>(&self, i: usize) -> Option<[u8; N]> {
        unhex(self.text(i)?)
    }

    /// A minisign public key.
    pub fn public_key(&self, i: usize) -> Option<String> {
        self.text(i).filter(|k| key_id(k).is_some()).map(str::to_owned)
    }

    /// A minisign file in base64; what it holds is for whoever verifies it.
    pub fn base64(&self, i: usize) -> Option<String> {
        let digit = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'=');
        let fits = |t: &&str| !t.is_empty() && t.len() <= MAX_BASE64 && t.bytes().all(digit);
        self.text(i).filter(fits).map(str::to_owned)
    }

    /// One visible line, as long as a reason.
    pub fn comment(&self, i: usize) -> Option<UntrustedText> {
        let fits = |t: &&str| {
            t.chars().count() <= MAX_REASON && !t.chars().any(is_unshowable) && !t.trim().is_empty()
        };
        self.text(i).filter(fits).map(UntrustedText::new)
    }
}
