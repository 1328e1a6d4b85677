//! Receipts, pages and bundles of them, and proofs about logs.

use crate::checkpoint::SignedCheckpoint;
use crate::fact::Verdict;
use crate::ids::Origin;
use serde::{Deserialize, Serialize};

/// A field of a receipt, disclosed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FieldJson {
    /// Name in the schema.
    pub name: String,
    /// Canonical bytes of [`crate::record::Disclosed`], base64: what a verifier checks.
    pub disclosure: String,
    /// The same for people, escaped for display: names and values, nested for groups. Proves nothing.
    pub shown: String,
}

/// One receipt, as listed. Its words are the agent's and prove nothing; what proves is [`ReceiptEvidence`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ReceiptJson {
    /// Place in the log.
    pub index: u64,
    /// Receipt time, microseconds since the Unix epoch.
    pub time_us: u64,
    /// Kind number.
    pub kind: u16,
    /// Kind name, or `unknown` when this agent does not know it.
    pub kind_name: String,
    /// Header and digests ([`crate::record::Sealed`]), base64.
    pub sealed: String,
    /// Disclosed fields; fewer than there are digests when some were erased or withheld.
    pub fields: Vec<FieldJson>,
    /// What happened, in one line, escaped for display.
    pub summary: String,
    /// For work: the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// A field of a receipt in a file that is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldEvidence {
    /// Name in the schema; the disclosure repeats it.
    pub name: String,
    /// Canonical bytes of [`crate::record::Disclosed`], base64.
    pub disclosure: String,
}

/// One receipt in a file that is verified. It holds no word that the log does not commit to: whoever reads it makes
/// the words anew, with [`crate::verify::read`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiptEvidence {
    /// Place in the log; the sealed header repeats it, and the two that follow.
    pub index: u64,
    /// Receipt time, microseconds since the Unix epoch.
    pub time_us: u64,
    /// Kind number.
    pub kind: u16,
    /// Header and digests ([`crate::record::Sealed`]), base64.
    pub sealed: String,
    /// Disclosed fields; fewer than there are digests when some were erased or withheld.
    pub fields: Vec<FieldEvidence>,
}

/// `GET /v1/tenants/{uid}/receipts?from=&limit=` (`limit` at most 500; `from` may be `-n` for the last n)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ReceiptPage {
    /// Whose log.
    pub origin: Origin,
    /// Entries that are durable.
    pub size: u64,
    /// In order of index.
    pub receipts: Vec<ReceiptJson>,
    /// Where to go on, when there is more.
    pub next: Option<u64>,
}

/// Type line of [`ReceiptBundle`] and [`RangeBundle`].
pub const BUNDLE_TYPE: &str = "conductor/receipts/v2";

/// `GET /v1/tenants/{uid}/receipts/{index}/proof`: one receipt with all that verifies it, but no key: whoever verifies
/// has the key already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiptBundle {
    /// [`BUNDLE_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The receipt.
    pub receipt: ReceiptEvidence,
    /// Audit path from leaf to root, base64 each.
    pub proof: Vec<String>,
    /// The checkpoint the path leads to; `None` while none covers the receipt.
    pub checkpoint: Option<SignedCheckpoint>,
}

/// `GET /v1/tenants/{uid}/receipts/export?from=&to=`, JSON lines: first this, then one [`ReceiptEvidence`] a
/// line, in order and without a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeBundle {
    /// [`BUNDLE_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// First index.
    pub from: u64,
    /// One after the last index.
    pub to: u64,
    /// Audit path of the first entry, base64 each.
    pub first_proof: Vec<String>,
    /// Audit path of the last entry, base64 each. With the first one it proves the range whole.
    pub last_proof: Vec<String>,
    /// The checkpoint they lead to.
    pub checkpoint: Option<SignedCheckpoint>,
}

/// `GET /v1/tenants/{uid}/checkpoint`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LogHead {
    /// Whose log.
    pub origin: Origin,
    /// Entries that are durable.
    pub size: u64,
    /// Root of those, base64; not signed.
    pub root: String,
    /// Newest signed checkpoint.
    pub checkpoint: Option<SignedCheckpoint>,
}

/// `GET /v1/tenants/{uid}/consistency?from=&to=`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Consistency {
    /// Whose log.
    pub origin: Origin,
    /// Older size.
    pub from: u64,
    /// Newer size.
    pub to: u64,
    /// Root of the newer, base64.
    pub to_root: String,
    /// Hashes, base64 each.
    pub proof: Vec<String>,
}
