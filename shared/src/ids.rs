//! Identities. Random ones are 16 bytes, written as 32 lower-case hex digits, and are never reused; display ids are
//! short identifiers that people choose and that are never part of a database key.

use crate::words::text_schema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not the identity it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 32 lower-case hex digits.
    #[error("expected 32 lower-case hex digits")]
    Hex,
    /// Not 16 upper-case hex digits.
    #[error("expected 16 upper-case hex digits, as minisign shows them")]
    KeyId,
    /// Not 64 lower-case hex digits.
    #[error("expected 64 lower-case hex digits")]
    HexDigest,
    /// Not an identifier.
    #[error("expected an identifier: 1 to 63 of a-z 0-9 . _ -, beginning with a letter or digit")]
    Ident,
    /// Not an origin.
    #[error("expected an origin: conductor-log/<node id>/<tenant uid>/<epoch>")]
    Origin,
}

/// Lower-case hex of bytes.
pub fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// Bytes of a lower-case hex text of exactly `2 * N` digits. Takes the same time whatever it says: some are secrets.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    (text.len() == N * 2 && base16ct::lower::decode(text, &mut out).is_ok()).then_some(out)
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $error:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(base16ct::lower::encode_str(&self.0, &mut [0; 2 * $len]).unwrap_or_default())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex(&self.0))
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                unhex(s).map(Self).ok_or(IdError::$error)
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(base16ct::lower::encode_str(&self.0, &mut [0; 2 * $len]).unwrap_or_default())
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
                s.parse().map_err(serde::de::Error::custom)
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let digits = 2 * $len;
                schemars::json_schema!({"type": "string", "pattern": format!("^[0-9a-f]{{{digits}}}$")})
            }
        }
    };
}

hex_id!(
    /// One agent's installation.
    NodeId,
    16,
    Hex
);
hex_id!(
    /// One tenant: the isolation boundary. Never reused, apart from its display id.
    TenantUid,
    16,
    Hex
);
hex_id!(
    /// One run of a workflow.
    RunId,
    16,
    Hex
);
hex_id!(
    /// One command of an operator, chosen by the console.
    CommandId,
    16,
    Hex
);
hex_id!(
    /// One person. Keys belong to persons.
    PersonId,
    16,
    Hex
);
hex_id!(
    /// One token of a workload.
    TokenId,
    16,
    Hex
);
hex_id!(
    /// One opening of break-glass.
    GrantId,
    16,
    Hex
);

hex_id!(
    /// One incident.
    IncidentId,
    16,
    Hex
);
hex_id!(
    /// A SHA-256 digest, written as 64 hex digits.
    Digest,
    32,
    HexDigest
);

/// The id of a minisign key, written as minisign shows it: 16 upper-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(base16ct::upper::encode_str(&self.0, &mut [0; 16]).unwrap_or_default())
    }
}
impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}
impl FromStr for KeyId {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        let mut id = [0; 8];
        let good = s.len() == 16 && base16ct::upper::decode(s, &mut id).is_ok();
        if good { Ok(Self(id)) } else { Err(IdError::KeyId) }
    }
}
impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

text_schema!(KeyId, "^[0-9A-F]{16}$", "The id of a minisign key, as minisign shows it");

impl TenantUid {
    /// The reserved partition of the node's own log. All zeros, which no random uid ever is.
    pub const NODE: TenantUid = TenantUid([0; 16]);

    /// True for the node's own log.
    pub fn is_node(&self) -> bool {
        *self == Self::NODE
    }
}

/// Bytes of an identifier at most.
pub const MAX_IDENT: usize = 63;
/// The word for the node's own log, where a tenant may be named.
pub const NODE_WORD: &str = "node";
/// Words that are nobody's name.
const RESERVED: [&str; 1] = [NODE_WORD];

/// A short identifier: `[a-z0-9][a-z0-9._-]{0,62}`. The only outside text that may be shown as it is.
///
/// Shared when it is cloned: each decision names the same few workflow types and actions in several places.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ident(Arc<str>);

/// The form of an [`Ident`].
pub const IDENT: &str = "^[a-z0-9][a-z0-9._-]{0,62}$";

impl Ident {
    /// Checks and takes an identifier.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let b = text.as_bytes();
        let head = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let ok = (1..=MAX_IDENT).contains(&b.len())
            && head(b[0])
            && b.iter().all(|&c| head(c) || matches!(c, b'.' | b'_' | b'-'));
        if ok { Ok(Self(text.into())) } else { Err(IdError::Ident) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It reads as an id (32 hex digits, or the 16 of a key), or is a word that means something where a name may stand.
    /// Nothing new is given such a name: whoever wrote it could mean the one and hit the other.
    pub fn is_reserved(&self) -> bool {
        let is_id = matches!(self.0.len(), 16 | 32) && self.0.bytes().all(|c| c.is_ascii_hexdigit());
        is_id || RESERVED.contains(&self.as_str())
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
impl fmt::Debug for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
impl FromStr for Ident {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        Self::new(s)
    }
}
impl Serialize for Ident {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for Ident {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::new(&s).map_err(serde::de::Error::custom)
    }
}

text_schema!(Ident, IDENT, "A short identifier");

/// One incarnation of a tenant's partition. A purge or a restore begins another one, with the next epoch: whoever holds
/// on to an incarnation, across threads or time, holds this, and not the tenant alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId {
    /// The tenant, or [`TenantUid::NODE`].
    pub tenant: TenantUid,
    /// Epoch of its log, as in [`Origin`].
    pub epoch: u64,
}

impl PartitionId {
    /// The node's own.
    pub const NODE: Self = Self { tenant: TenantUid::NODE, epoch: 1 };
}

/// The name of one log: `conductor-log/<node_id>/<tenant_uid>/<epoch>`. It holds no name that a person gave.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Origin {
    /// The agent that writes the log.
    pub node: NodeId,
    /// The tenant, or [`TenantUid::NODE`].
    pub tenant: TenantUid,
    /// 1 for a new log; a restore or re-creation opens the next one.
    pub epoch: u64,
}

impl Origin {
    /// Length of [`Origin::to_bytes`].
    pub const LEN: usize = 40;

    /// Fixed binary form: node, tenant, epoch in big-endian.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..16].copy_from_slice(&self.node.0);
        out[16..32].copy_from_slice(&self.tenant.0);
        out[32..].copy_from_slice(&self.epoch.to_be_bytes());
        out
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conductor-log/{}/{}/{}", self.node, self.tenant, self.epoch)
    }
}

impl FromStr for Origin {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        let mut parts = s.split('/');
        let origin = (|| {
            (parts.next()? == "conductor-log").then_some(())?;
            let node = parts.next()?.parse().ok()?;
            let tenant = parts.next()?.parse().ok()?;
            let epoch = parse_decimal(parts.next()?)?;
            (epoch > 0 && parts.next().is_none()).then_some(Origin { node, tenant, epoch })
        })();
        origin.ok_or(IdError::Origin)
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

text_schema!(Origin, "^conductor-log/[0-9a-f]{32}/[0-9a-f]{32}/[1-9][0-9]*$", "The name of one log");

/// A decimal number in its one canonical spelling: no sign, no leading zero.
pub fn parse_decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|c| c.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DESIGN, formats: an id has one spelling. Every other byte in any place is refused, and not mistaken for a digit.
    #[test]
    fn hex_has_sixteen_digits() {
        let all: Vec<u8> = (0..=255).collect();
        let text = hex(&all);
        assert_eq!(unhex::<256>(&text).as_ref().map(|b| &b[..]), Some(&all[..]));
        assert_eq!(text, all.iter().map(|b| format!("{b:02x}")).collect::<String>());
        for c in (0..=0x7f_u8).map(char::from) {
            let is_digit = matches!(c, '0'..='9' | 'a'..='f');
            assert_eq!(unhex::<1>(&format!("{c}0")).is_some(), is_digit, "{c:?}");
            assert_eq!(unhex::<1>(&format!("0{c}")).is_some(), is_digit, "{c:?}");
        }
        assert_eq!((unhex::<1>("é"), unhex::<1>("0"), unhex::<1>("000")), (None, None, None));
        assert_eq!(RunId([0xab; 16]).to_string(), "ab".repeat(16));
    }

    /// SPEC, Bad input: identifiers are `[a-z0-9][a-z0-9._-]{0,62}`, and nothing else is.
    #[test]
    fn identifiers_are_exactly_the_published_form() {
        for good in ["a", "0", "etl-1000genome", "a.b_c-d", &"a".repeat(63)] {
            assert_eq!(Ident::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", ".a", "_a", "A", "a b", "a/b", "é", "a\u{202e}b", "a\x1b[2J", &"a".repeat(64)]
        {
            assert_eq!(Ident::new(bad), Err(IdError::Ident), "{bad:?}");
        }
    }

    /// A6: what reads as an id or as a reserved word is nobody's name.
    #[test]
    fn names_are_no_ids() {
        for reserved in ["node", &"0".repeat(32), &"5f".repeat(16), "0123456789abcdef"] {
            assert!(Ident::new(reserved).unwrap().is_reserved(), "{reserved}");
        }
        for free in ["nodes", "node-1", "acme", "cafe", &"0".repeat(31), &"g".repeat(32), "0123456789abcde-"]
        {
            assert!(!Ident::new(free).unwrap().is_reserved(), "{free}");
        }
    }

    /// DESIGN, Origins: one spelling for each origin.
    #[test]
    fn origins_have_one_spelling() {
        let o = Origin { node: NodeId([0xab; 16]), tenant: TenantUid([7; 16]), epoch: 12 };
        let text = o.to_string();
        assert_eq!(text.parse::<Origin>().unwrap(), o);
        for bad in [
            text.replace("/12", "/012"),
            text.replace("/12", "/+12"),
            text.replace("/12", "/0"),
            text.replace("ab", "AB"),
            format!("{text}/"),
            text.replace("conductor-log", "conductor"),
        ] {
            assert_eq!(bad.parse::<Origin>(), Err(IdError::Origin), "{bad}");
        }
    }
}
