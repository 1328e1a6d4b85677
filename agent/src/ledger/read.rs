//! Reading receipts back: opened, and checked against their own commitments.

use super::Partition;
use super::redact::{closed, unlisted};
use crate::keys::{self, KeyError};
use crate::store::{Row, Store, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::access::Sight;
use conductor_shared::codec::Reader;
use conductor_shared::describe;
use conductor_shared::fact::{Fact, schema};
use conductor_shared::http::{FieldEvidence, ReceiptEvidence, ReceiptJson};
use conductor_shared::ids::PartitionId;
use conductor_shared::record::{Body, Disclosed, Sealed, salt};
use std::ops::Range;

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl ReadError {
    /// The partition that this damages. `None`: it says something about the store as a whole, and so does damage
    /// of the node's own partition, without which nothing is decided.
    pub fn damages(&self) -> Option<PartitionId> {
        let partition = match self {
            Self::Store(StoreError::Row { partition, .. }) => *partition,
            Self::Keys(KeyError::Gone { tenant, epoch, .. }) => {
                Some(PartitionId { tenant: *tenant, epoch: *epoch })
            }
            _ => None,
        };
        partition.filter(|p| !p.tenant.is_node())
    }
}

/// A receipt as stored.
#[derive(Debug, Clone)]
pub struct Receipt {
    pub sealed: Sealed,
    /// Seed and values; `None` when its unit key was destroyed.
    pub body: Option<Body>,
    /// The fact; `None` when erased, or of a kind this program does not know.
    pub fact: Option<Fact>,
    /// Sealed bytes.
    pub stored: u64,
}

/// One receipt. It must be there.
pub fn read_receipt(store: &Store, p: &Partition, index: u64) -> Result<Receipt, ReadError> {
    let key = Row::Receipt(index).key();
    let row = store.get(&p.family, &key)?.ok_or_else(|| p.damaged(&key, "a receipt is missing"))?;
    decode(p, index, &row)
}

/// Its fields without those that stay closed, disclosed; none when erased, or of a kind this program does not know.
fn disclosed(r: &Receipt, closed: impl Fn(&Fact) -> Vec<&'static str>) -> Vec<Disclosed> {
    let (Some(body), Some(schema)) = (&r.body, schema(r.sealed.header.kind)) else { return vec![] };
    let closed = r.fact.as_ref().map(closed).unwrap_or_default();
    let fields = schema.fields.iter().zip(&body.values);
    fields
        .filter(|(name, _)| !closed.contains(name))
        .map(|(name, value)| Disclosed {
            name: (*name).to_owned(),
            value: value.clone(),
            salt: salt(&body.seed, name),
        })
        .collect()
}

/// A receipt as the API lists it, with the fields that this sight shows, but for those that only a file of evidence has. Its words are made of the whole fact: they hold nothing
/// of what stays closed.
pub fn read_json(r: &Receipt, sight: Sight) -> ReceiptJson {
    let left_out = |f: &Fact| [closed(f, sight), unlisted(f)].concat();
    let mut json = describe::receipt(&r.sealed, &disclosed(r, left_out));
    if let Some(fact) = &r.fact {
        json.summary = describe::summary(fact);
        json.verdict = describe::verdict(fact);
    }
    json
}

/// One line that says what happened, safe to show.
pub fn summary(r: &Receipt) -> String {
    match &r.fact {
        Some(fact) => describe::summary(fact),
        None if r.body.is_none() => "erased".to_owned(),
        None => "a fact newer than this agent".to_owned(),
    }
}

/// A receipt as a file that is verified holds it, with the fields that this sight shows. Without the others it verifies too.
pub fn read_evidence(r: &Receipt, sight: Sight) -> ReceiptEvidence {
    let h = &r.sealed.header;
    let field = |d: Disclosed| FieldEvidence { disclosure: STANDARD.encode(d.to_bytes()), name: d.name };
    ReceiptEvidence {
        index: h.index,
        time_us: h.time_us,
        kind: h.kind,
        sealed: STANDARD.encode(r.sealed.to_bytes()),
        fields: disclosed(r, |f| closed(f, sight).to_vec()).into_iter().map(field).collect(),
    }
}

/// Indexes of control facts in a range, in order, so many at most.
pub fn control_facts(
    store: &Store,
    p: &Partition,
    range: Range<u64>,
    most: usize,
) -> Result<Vec<u64>, ReadError> {
    let mut out = Vec::new();
    store.scan(&p.family, &Row::Control(range.start).scan_from(), |row, _| {
        match row {
            Row::Control(index) if index < range.end && out.len() < most => out.push(index),
            _ => return false,
        }
        true
    })?;
    Ok(out)
}

/// Opens and checks the row of a receipt.
pub(super) fn decode(p: &Partition, index: u64, row: &[u8]) -> Result<Receipt, ReadError> {
    let key = Row::Receipt(index).key();
    let bad = |what: &str| p.damaged(&key, what);
    let mut r = Reader(row);
    let head = r.prefixed().map_err(|e| bad(&e.to_string()))?;
    let sealed = Sealed::from_bytes(&p.open(&key, head)?).map_err(|e| bad(&e.to_string()))?;
    if sealed.header.origin != p.origin || sealed.header.index != index {
        return Err(bad("a receipt of another place"));
    }
    let number = keys::key_number(r.0).map_err(|e| bad(&e.to_string()))?;
    let body = match p.open(&key, r.0) {
        Ok(plain) => {
            Some(Body::from_bytes(&plain, sealed.header.commitments).map_err(|e| bad(&e.to_string()))?)
        }
        Err(ReadError::Keys(KeyError::Gone { unit, .. })) if unit == number => None,
        Err(e) => return Err(e),
    };
    let fact = match (&body, schema(sealed.header.kind)) {
        (Some(body), Some(s)) => {
            if body.digests(s.fields) != sealed.digests {
                return Err(bad("values differ from what was committed to"));
            }
            Fact::from_values(sealed.header.kind, &body.values).map_err(|e| bad(&e.to_string()))?
        }
        _ => None,
    };
    Ok(Receipt { sealed, body, fact, stored: row.len() as u64 })
}
