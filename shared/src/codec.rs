//! The one canonical binary encoding of values: integers, bytes, UTF-8 text and lists. No floats, no maps.
//!
//! | type | code | content |
//! |---|---|---|
//! | `U64` | 1 | 8 bytes, big-endian |
//! | `I64` | 2 | 8 bytes, big-endian, two's complement |
//! | `Bytes` | 3 | as they are |
//! | `Text` | 4 | UTF-8 |
//! | `List` | 5 | count (4 bytes), then for each item: type code, content length (4 bytes), content |
//!
//! Each value has exactly one encoding, and decoding refuses every other one.

use std::fmt;

/// How deep lists may nest.
pub const MAX_DEPTH: usize = 8;

/// A value of the canonical encoding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Unsigned integer.
    U64(u64),
    /// Signed integer.
    I64(i64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// UTF-8 text.
    Text(String),
    /// Ordered values.
    List(Vec<Value>),
}

/// Why bytes are not a canonical value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Ends too early.
    #[error("ends after {have} bytes where {want} were announced")]
    Short {
        /// Bytes announced.
        want: usize,
        /// Bytes there.
        have: usize,
    },
    /// Bytes left over.
    #[error("{0} bytes left over at the end")]
    Long(usize),
    /// Unknown type code.
    #[error("unknown type code {0}")]
    Type(u8),
    /// Not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// Lists nest too deep.
    #[error("lists nest deeper than {MAX_DEPTH}")]
    Depth,
    /// Well-formed, but not what the schema expects here.
    #[error("expected {0}")]
    Expected(&'static str),
}

/// Reads fixed pieces from the front of a slice.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], CodecError> {
        if self.0.len() < n {
            return Err(CodecError::Short { want: n, have: self.0.len() });
        }
        let (head, tail) = self.0.split_at(n);
        self.0 = tail;
        Ok(head)
    }
    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let s = self.take(N)?;
        let mut a = [0; N];
        a.copy_from_slice(s);
        Ok(a)
    }
    /// One byte.
    pub fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(self.array::<1>()?[0])
    }
    /// Two bytes, big-endian.
    pub fn u16(&mut self) -> Result<u16, CodecError> {
        self.array().map(u16::from_be_bytes)
    }
    /// Four bytes, big-endian.
    pub fn u32(&mut self) -> Result<u32, CodecError> {
        self.array().map(u32::from_be_bytes)
    }
    /// Eight bytes, big-endian.
    pub fn u64(&mut self) -> Result<u64, CodecError> {
        self.array().map(u64::from_be_bytes)
    }
    /// Bytes with a four-byte length before them.
    pub fn prefixed(&mut self) -> Result<&'a [u8], CodecError> {
        let n = self.u32()? as usize;
        self.take(n)
    }
    /// Refuses what is left over.
    pub fn end(self) -> Result<(), CodecError> {
        if self.0.is_empty() { Ok(()) } else { Err(CodecError::Long(self.0.len())) }
    }
}

/// Appends `bytes` with a four-byte big-endian length before them.
///
/// Lengths over 4 GiB cannot occur: every input is bounded far below.
pub fn put_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&length_prefix(len));
}

/// What [`put_prefixed`] puts before so many bytes.
#[allow(clippy::cast_possible_truncation)] // see put_prefixed
pub fn length_prefix(len: usize) -> [u8; 4] {
    debug_assert!(u32::try_from(len).is_ok());
    (len as u32).to_be_bytes()
}

impl Value {
    /// The type code.
    pub fn code(&self) -> u8 {
        match self {
            Value::U64(_) => 1,
            Value::I64(_) => 2,
            Value::Bytes(_) => 3,
            Value::Text(_) => 4,
            Value::List(_) => 5,
        }
    }

    /// Appends the content, without type or length.
    pub fn content(&self, out: &mut Vec<u8>) {
        match self {
            Value::U64(n) => out.extend_from_slice(&n.to_be_bytes()),
            Value::I64(n) => out.extend_from_slice(&n.to_be_bytes()),
            Value::Bytes(b) => out.extend_from_slice(b),
            Value::Text(t) => out.extend_from_slice(t.as_bytes()),
            Value::List(items) => {
                put_len(out, items.len());
                for item in items {
                    item.put(out);
                }
            }
        }
    }

    /// Appends type code, content length and content.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.push(self.code());
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        self.content(out);
        let n = out.len() - at - 4;
        out[at..at + 4].copy_from_slice(&length_prefix(n));
    }

    /// Content without type or length.
    pub fn to_content(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.content(&mut out);
        out
    }

    /// Decodes content of a known type.
    pub fn from_content(code: u8, content: &[u8]) -> Result<Self, CodecError> {
        Self::decode(code, content, 0)
    }

    /// Reads type code, length and content.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let code = r.u8()?;
        Self::decode(code, r.prefixed()?, 0)
    }

    fn decode(code: u8, content: &[u8], depth: usize) -> Result<Self, CodecError> {
        let eight = || -> Result<[u8; 8], CodecError> {
            content.try_into().map_err(|_| CodecError::Short { want: 8, have: content.len() })
        };
        Ok(match code {
            1 => Value::U64(u64::from_be_bytes(eight()?)),
            2 => Value::I64(i64::from_be_bytes(eight()?)),
            3 => Value::Bytes(content.to_vec()),
            4 => Value::Text(std::str::from_utf8(content).map_err(|_| CodecError::Utf8)?.to_owned()),
            5 => {
                if depth == MAX_DEPTH {
                    return Err(CodecError::Depth);
                }
                let mut r = Reader(content);
                let count = r.u32()? as usize;
                // Each item takes at least five bytes, so a count cannot make us reserve more than was sent.
                if count > r.0.len() / 5 {
                    return Err(CodecError::Short { want: count.saturating_mul(5), have: r.0.len() });
                }
                let mut items = Vec::with_capacity(count);
                for _ in 0..count {
                    let code = r.u8()?;
                    items.push(Self::decode(code, r.prefixed()?, depth + 1)?);
                }
                r.end()?;
                Value::List(items)
            }
            other => return Err(CodecError::Type(other)),
        })
    }
}

/// A value that is not made of others, borrowed.
#[derive(Debug, Clone, Copy)]
pub enum Plain<'a> {
    /// Unsigned integer.
    U64(u64),
    /// Signed integer.
    I64(i64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// UTF-8 text.
    Text(&'a str),
}

impl Plain<'_> {
    /// The value.
    pub fn to_value(self) -> Value {
        match self {
            Self::U64(n) => Value::U64(n),
            Self::I64(n) => Value::I64(n),
            Self::Bytes(b) => Value::Bytes(b.to_vec()),
            Self::Text(t) => Value::Text(t.to_owned()),
        }
    }

    /// What [`Value::put`] appends.
    pub fn put(self, out: &mut Vec<u8>) {
        let mut put = |code: u8, content: &[u8]| {
            out.push(code);
            put_prefixed(out, content);
        };
        match self {
            Self::U64(n) => put(1, &n.to_be_bytes()),
            Self::I64(n) => put(2, &n.to_be_bytes()),
            Self::Bytes(b) => put(3, b),
            Self::Text(t) => put(4, t.as_bytes()),
        }
    }
}

/// Appends a list of `count` items, written by `items`: as [`Value::put`] does, without building the list.
pub fn put_list(out: &mut Vec<u8>, count: usize, items: impl FnOnce(&mut Vec<u8>)) {
    out.push(5);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    put_len(out, count);
    items(out);
    let n = out.len() - at - 4;
    out[at..at + 4].copy_from_slice(&length_prefix(n));
}

/// A Rust type with one canonical value.
pub trait Canon: Sized {
    /// To the canonical value.
    fn to_value(&self) -> Value;
    /// Appends the same bytes as [`Value::put`], without building the value.
    fn put(&self, out: &mut Vec<u8>);
    /// From it.
    fn from_value(v: &Value) -> Result<Self, CodecError>;
}

macro_rules! canon {
    ($t:ty, $what:literal, $to:expr, $pat:pat => $from:expr) => {
        impl Canon for $t {
            fn to_value(&self) -> Value {
                let to: fn(&$t) -> Plain<'_> = $to;
                to(self).to_value()
            }
            fn put(&self, out: &mut Vec<u8>) {
                let to: fn(&$t) -> Plain<'_> = $to;
                to(self).put(out);
            }
            fn from_value(v: &Value) -> Result<Self, CodecError> {
                match v {
                    $pat => $from,
                    _ => Err(CodecError::Expected($what)),
                }
            }
        }
    };
}

canon!(u64, "an unsigned integer", |n| Plain::U64(*n), Value::U64(n) => Ok(*n));
canon!(i64, "a signed integer", |n| Plain::I64(*n), Value::I64(n) => Ok(*n));
canon!(bool, "0 or 1", |b| Plain::U64(u64::from(*b)), Value::U64(n) => match n {
    0 => Ok(false), 1 => Ok(true), _ => Err(CodecError::Expected("0 or 1")) });
canon!(String, "text", |t| Plain::Text(t), Value::Text(t) => Ok(t.clone()));
canon!(Vec<u8>, "bytes", |b| Plain::Bytes(b), Value::Bytes(b) => Ok(b.clone()));
canon!([u8; 32], "32 bytes", |b| Plain::Bytes(b),
    Value::Bytes(b) => b.as_slice().try_into().map_err(|_| CodecError::Expected("32 bytes")));
canon!([u8; 16], "16 bytes", |b| Plain::Bytes(b),
    Value::Bytes(b) => b.as_slice().try_into().map_err(|_| CodecError::Expected("16 bytes")));
canon!([u8; 8], "8 bytes", |b| Plain::Bytes(b),
    Value::Bytes(b) => b.as_slice().try_into().map_err(|_| CodecError::Expected("8 bytes")));
canon!(crate::untrusted::UntrustedText, "text", |t| Plain::Text(t.raw()), Value::Text(t) => Ok(Self::new(t.clone())));
canon!(crate::ids::Ident, "an identifier", |t| Plain::Text(t.as_str()),
    Value::Text(t) => Self::new(t).map_err(|_| CodecError::Expected("an identifier")));

macro_rules! canon_cause {
    ($($t:ident),*) => { $(
        canon!(crate::cause::Cause<crate::cause::$t>, "an identifier", |c| Plain::Text(c.as_str()),
            Value::Text(t) => crate::ids::Ident::new(t).map(crate::cause::Cause::read)
                .map_err(|_| CodecError::Expected("an identifier")));
    )* };
}
canon_cause!(IncidentCause, RollbackCause);

macro_rules! canon_id {
    ($($t:ident),*) => { $(
        impl Canon for crate::ids::$t {
            fn to_value(&self) -> Value { self.0.to_value() }
            fn put(&self, out: &mut Vec<u8>) { self.0.put(out); }
            fn from_value(v: &Value) -> Result<Self, CodecError> { <[u8; 16]>::from_value(v).map(Self) }
        }
    )* };
}
canon_id!(NodeId, TenantUid, RunId, CommandId, PersonId, TokenId, GrantId, IncidentId);
canon!(crate::ids::Digest, "32 bytes", |d| Plain::Bytes(&d.0), Value::Bytes(b) => b.as_slice().try_into().map(crate::ids::Digest)
        .map_err(|_| CodecError::Expected("32 bytes")));

/// A list. `Vec<u8>` is bytes, so lists are wrapped.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listed<T>(pub Vec<T>);

impl<T: Canon> Canon for Listed<T> {
    fn to_value(&self) -> Value {
        Value::List(self.0.iter().map(Canon::to_value).collect())
    }
    fn put(&self, out: &mut Vec<u8>) {
        put_list(out, self.0.len(), |out| self.0.iter().for_each(|item| item.put(out)));
    }
    fn from_value(v: &Value) -> Result<Self, CodecError> {
        match v {
            Value::List(items) => items.iter().map(T::from_value).collect::<Result<_, _>>().map(Self),
            _ => Err(CodecError::Expected("a list")),
        }
    }
}

impl Canon for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }
    fn put(&self, out: &mut Vec<u8>) {
        Value::put(self, out);
    }
    fn from_value(v: &Value) -> Result<Self, CodecError> {
        Ok(v.clone())
    }
}

/// An option is a list of none or one.
impl<T: Canon> Canon for Option<T> {
    fn to_value(&self) -> Value {
        Value::List(self.iter().map(Canon::to_value).collect())
    }
    fn put(&self, out: &mut Vec<u8>) {
        put_list(out, usize::from(self.is_some()), |out| self.iter().for_each(|item| item.put(out)));
    }
    fn from_value(v: &Value) -> Result<Self, CodecError> {
        match v {
            Value::List(items) if items.is_empty() => Ok(None),
            Value::List(items) if items.len() == 1 => T::from_value(&items[0]).map(Some),
            _ => Err(CodecError::Expected("a list of none or one")),
        }
    }
}

impl fmt::Display for Value {
    /// For people: text from outside is escaped and cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::U64(n) => write!(f, "{n}"),
            Value::I64(n) => write!(f, "{n}"),
            Value::Bytes(b) => f.write_str(&crate::ids::hex(&b[..b.len().min(64)])),
            Value::Text(t) => f.write_str(&crate::untrusted::escape(t, 200)),
            Value::List(items) => {
                f.write_str("[")?;
                for (i, v) in items.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{v}")?;
                }
                f.write_str("]")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(Value::U64),
            any::<i64>().prop_map(Value::I64),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
            ".{0,20}".prop_map(Value::Text),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| proptest::collection::vec(inner, 0..5).prop_map(Value::List))
    }

    proptest! {
        /// DESIGN, Record: one canonical encoding, both ways.
        #[test]
        fn a_value_survives_and_has_one_encoding(v in values()) {
            let mut out = Vec::new();
            v.put(&mut out);
            let mut r = Reader(&out);
            let back = Value::read(&mut r).unwrap();
            prop_assert!(r.end().is_ok());
            prop_assert_eq!(back, v);
        }

        /// SPEC, Bad input: any bytes are refused or re-encode to themselves; nothing panics.
        #[test]
        fn any_bytes_are_refused_or_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut r = Reader(&bytes);
            if let Ok(v) = Value::read(&mut r) {
                let mut again = Vec::new();
                v.put(&mut again);
                prop_assert_eq!(&bytes[..again.len()], &again[..]);
            }
        }
    }

    /// DESIGN, Record: what a type appends by itself is the encoding of its value.
    #[test]
    fn what_is_put_is_the_value() {
        fn same<T: Canon + PartialEq + fmt::Debug>(t: T) {
            let (mut short, mut long) = (vec![7], vec![7]);
            t.put(&mut short);
            t.to_value().put(&mut long);
            assert_eq!(short, long, "{t:?}");
            assert_eq!(T::from_value(&t.to_value()), Ok(t));
        }
        same(u64::MAX - 1);
        same(-2_i64);
        same(true);
        same("é".to_owned());
        same(vec![1_u8, 2]);
        same([1_u8; 32]);
        same([2_u8; 16]);
        same([3_u8; 8]);
        same(crate::untrusted::UntrustedText::new("a\u{202e}b"));
        same(crate::ids::Ident::new("etl").unwrap());
        same(crate::ids::RunId([4; 16]));
        same(crate::fact::Outcome::Lost);
        same(Listed(vec!["a".to_owned(), String::new()]));
        same(Listed::<u64>(vec![]));
        same(Some(Listed(vec![Some(1_u64), None])));
        same(None::<u64>);
        same(Value::List(vec![Value::I64(-1), Value::List(vec![])]));
    }

    /// SPEC, Bad input: a huge announced count allocates nothing.
    #[test]
    fn a_hostile_count_is_refused() {
        let bytes = [5u8, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(Value::read(&mut Reader(&bytes)), Err(CodecError::Short { .. })));
        let mut deep = vec![];
        for _ in 0..50 {
            let mut outer = vec![5u8];
            let mut content = 1u32.to_be_bytes().to_vec();
            if deep.is_empty() {
                content = 0u32.to_be_bytes().to_vec();
            } else {
                content.extend_from_slice(&deep);
            }
            put_prefixed(&mut outer, &content);
            deep = outer;
        }
        assert_eq!(Value::read(&mut Reader(&deep)), Err(CodecError::Depth));
    }
}
