//! The record: what one entry of a log is, byte for byte. This format can never change; a new one has a new number.
//!
//! ```text
//! header   = format(2) node(16) tenant(16) epoch(8) index(8) time_us(8) kind(2)
//!            policy_revision(8) policy_digest(32) commitments(2)             all integers big-endian
//! salt     = HMAC-SHA256(seed, field name)
//! digest   = SHA-256("conductor/field/v1\0" len4(name) name type salt(32) len4(value) value)
//! leaf     = SHA-256(0x00 "conductor/leaf/v1\0" len4(header) header digest...)      digests in schema order
//! ```
//!
//! The header says how many commitments follow; the commitments themselves are the digests. It holds nothing that
//! anyone typed. Disclosing a field gives its name, value and salt; dropping the seed and the values erases the record
//! and keeps its leaf (the way of SD-JWT, RFC 9901).

use crate::codec::{CodecError, Reader, Value, length_prefix, put_prefixed};
use crate::ids::{NodeId, Origin, TenantUid};
use crate::merkle::Hash;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The one format there is.
pub const FORMAT: u16 = 1;
/// Begins what a field digest hashes.
pub const FIELD_TAG: &[u8] = b"conductor/field/v1\0";
/// Stands after the 0x00 of a leaf.
pub const LEAF_TAG: &[u8] = b"conductor/leaf/v1\0";

/// The version of the rules a receipt was decided under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Revision of the bundle; 0 for the rules built in.
    pub revision: u64,
    /// SHA-256 of the bundle, or of the name of the built-in rules.
    pub digest: Hash,
}

impl PolicyVersion {
    /// The rules built into the agent, when no bundle is loaded.
    pub fn built_in() -> Self {
        Self { revision: 0, digest: Sha256::digest(b"conductor/built-in-policy/v1").into() }
    }
}

/// The part of a record that is always disclosed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whose log.
    pub origin: Origin,
    /// Place in the log, from 0.
    pub index: u64,
    /// Receipt time, microseconds since the Unix epoch; never goes back within a log.
    pub time_us: u64,
    /// Kind of fact; see [`crate::fact`].
    pub kind: u16,
    /// The rules it was decided under.
    pub policy: PolicyVersion,
    /// Number of commitments.
    pub commitments: u16,
}

impl Header {
    /// Length of the encoding.
    pub const LEN: usize = 108;

    /// The canonical bytes.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut b = [0u8; Self::LEN];
        b[0..2].copy_from_slice(&FORMAT.to_be_bytes());
        b[2..42].copy_from_slice(&self.origin.to_bytes());
        b[42..50].copy_from_slice(&self.index.to_be_bytes());
        b[50..58].copy_from_slice(&self.time_us.to_be_bytes());
        b[58..60].copy_from_slice(&self.kind.to_be_bytes());
        b[60..68].copy_from_slice(&self.policy.revision.to_be_bytes());
        b[68..100].copy_from_slice(&self.policy.digest);
        b[100..102].copy_from_slice(&self.commitments.to_be_bytes());
        // Reserved, zero: keeps the length of the first format fixed should a flag be needed.
        b
    }

    /// Reads the canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut r = Reader(bytes);
        let format = r.u16()?;
        if format != FORMAT {
            return Err(RecordError::Newer(format));
        }
        let origin = Origin { node: NodeId(r.array()?), tenant: TenantUid(r.array()?), epoch: r.u64()? };
        let h = Self {
            origin,
            index: r.u64()?,
            time_us: r.u64()?,
            kind: r.u16()?,
            policy: PolicyVersion { revision: r.u64()?, digest: r.array()? },
            commitments: r.u16()?,
        };
        if r.array::<6>()? != [0; 6] {
            return Err(RecordError::Codec(CodecError::Expected("six zero bytes")));
        }
        r.end()?;
        Ok(h)
    }
}

/// Why stored or sent bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer Conductor.
    #[error("record format {0} is newer than this program knows (1); use a newer one")]
    Newer(u16),
    /// Not the canonical encoding.
    #[error("not a record: {0}")]
    Codec(#[from] CodecError),
    /// The digests do not fit the header or the fields.
    #[error("record disagrees with itself: {0}")]
    Disagrees(&'static str),
}

/// Salt of one field.
pub fn salt(seed: &[u8; 32], name: &str) -> Hash {
    Salter::new(seed).salt(name)
}

/// The key's two hash states are computed once for all fields of a record.
struct Salter(Hmac<Sha256>);
impl Salter {
    #[allow(clippy::expect_used)] // HMAC takes keys of every length
    fn new(seed: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(seed).expect("HMAC takes keys of every length"))
    }
    fn salt(&self, name: &str) -> Hash {
        let mut m = self.0.clone();
        m.update(name.as_bytes());
        m.finalize().into_bytes().into()
    }
}

/// Digest of one field. `content` is the canonical content of the value, `code` its type.
pub fn field_digest(name: &str, code: u8, salt: &Hash, content: &[u8]) -> Hash {
    let mut value = vec![code];
    put_prefixed(&mut value, content);
    digest_in(&mut Vec::new(), name, salt, &value)
}

/// The same for a value with its type code and length. `room` is a scratch buffer: hashing one piece is much faster than
/// many small ones.
fn digest_in(room: &mut Vec<u8>, name: &str, salt: &Hash, value: &[u8]) -> Hash {
    room.clear();
    room.extend_from_slice(FIELD_TAG);
    put_prefixed(room, name.as_bytes());
    let (code, content) = value.split_at(value.len().min(1));
    for part in [code, salt, content] {
        room.extend_from_slice(part);
    }
    Sha256::digest(room).into()
}

/// Leaf hash of a record, from [`Sealed::to_bytes`].
pub fn leaf_hash(sealed: &[u8]) -> Hash {
    let mut h = Sha256::new();
    h.update([0]);
    h.update(LEAF_TAG);
    h.update(length_prefix(Header::LEN));
    h.update(sealed);
    h.finalize().into()
}

/// The disclosed part of a record as it is stored and proved: header and digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The header.
    pub header: Header,
    /// Field digests in schema order.
    pub digests: Vec<Hash>,
}

impl Sealed {
    /// Header, then digests.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Header::LEN + 32 * self.digests.len());
        out.extend_from_slice(&self.header.to_bytes());
        for d in &self.digests {
            out.extend_from_slice(d);
        }
        out
    }

    /// Reads [`Sealed::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut r = Reader(bytes);
        let header = Header::from_bytes(r.take(Header::LEN)?)?;
        let digests = (0..header.commitments).map(|_| r.array()).collect::<Result<Vec<_>, _>>()?;
        r.end()?;
        Ok(Self { header, digests })
    }

    /// The leaf.
    pub fn leaf(&self) -> Hash {
        leaf_hash(&self.to_bytes())
    }
}

/// The erasable part of a record: the seed of its salts, and its values in schema order.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// 32 random bytes.
    pub seed: [u8; 32],
    /// Values in schema order.
    pub values: Vec<Value>,
}

impl Body {
    /// Digests in schema order. `names` has as many entries as there are values.
    pub fn digests(&self, names: &[&str]) -> Vec<Hash> {
        self.encoded().digests(names)
    }

    /// Seed, then values.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encoded().0
    }

    fn encoded(&self) -> Encoded {
        Encoded::new(&self.seed, |out| self.values.iter().for_each(|v| v.put(out)))
    }

    /// Reads [`Body::to_bytes`] of a record with `count` commitments.
    pub fn from_bytes(bytes: &[u8], count: u16) -> Result<Self, RecordError> {
        let mut r = Reader(bytes);
        let seed = r.array()?;
        let values = (0..count).map(|_| Value::read(&mut r)).collect::<Result<Vec<_>, _>>()?;
        r.end()?;
        Ok(Self { seed, values })
    }
}

/// A body encoded once and hashed in place.
pub struct Encoded(Vec<u8>);

impl Encoded {
    /// Seed, then the values that `put_values` appends in their canonical encoding, in schema order.
    pub fn new(seed: &[u8; 32], put_values: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(seed);
        put_values(&mut out);
        Self(out)
    }

    /// [`Body::to_bytes`] of it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Digests in schema order. `names` has as many entries as there are values.
    pub fn digests(&self, names: &[&str]) -> Vec<Hash> {
        let mut out = Vec::with_capacity(names.len());
        self.each_digest(names, |d| out.push(d));
        out
    }

    /// [`Sealed::to_bytes`] of the record with this body.
    pub fn sealed(&self, header: &Header, names: &[&str]) -> Vec<u8> {
        let mut out = Vec::with_capacity(Header::LEN + 32 * names.len());
        out.extend_from_slice(&header.to_bytes());
        self.each_digest(names, |d| out.extend_from_slice(&d));
        out
    }

    fn each_digest(&self, names: &[&str], mut each: impl FnMut(Hash)) {
        let Some((seed, mut rest)) = self.0.split_first_chunk() else { return };
        let salter = Salter::new(seed);
        let mut room = Vec::with_capacity(512);
        for name in names {
            // Type code, length, content.
            let Some(len) = rest.get(1..5).and_then(|l| l.try_into().ok()).map(u32::from_be_bytes) else {
                break;
            };
            let Some((value, after)) = rest.split_at_checked(5 + len as usize) else { break };
            each(digest_in(&mut room, name, &salter.salt(name), value));
            rest = after;
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("values", &self.values).finish_non_exhaustive()
    }
}

/// One field of a record, disclosed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosed {
    /// Name in the schema of the kind.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Its salt.
    pub salt: Hash,
}

impl Disclosed {
    /// The digest this disclosure must match.
    pub fn digest(&self) -> Hash {
        field_digest(&self.name, self.value.code(), &self.salt, &self.value.to_content())
    }

    /// Canonical bytes: length-prefixed name, salt, value.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_prefixed(&mut out, self.name.as_bytes());
        out.extend_from_slice(&self.salt);
        self.value.put(&mut out);
        out
    }

    /// Reads [`Disclosed::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut r = Reader(bytes);
        let name =
            std::str::from_utf8(r.prefixed()?).map_err(|_| RecordError::Codec(CodecError::Utf8))?.to_owned();
        let salt = r.array()?;
        let value = Value::read(&mut r)?;
        r.end()?;
        Ok(Self { name, value, salt })
    }
}
