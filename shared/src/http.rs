//! Bodies of the HTTP API. Requests refuse unknown fields, and every request of a workload names its tenant.
//!
//! A mutation may carry `Idempotency-Key: <1 to 128 visible ASCII characters>`. A denial is a problem document
//! (RFC 9457) with the reasons and the receipt.

mod change;
mod freeze;
mod incident;
mod node;
mod policy;
mod receipt;
mod tenant;
mod usage;
mod work;

pub use change::*;
pub use freeze::*;
pub use incident::*;
pub use node::*;
pub use policy::*;
pub use receipt::*;
pub use tenant::*;
pub use usage::*;
pub use work::*;

use crate::fact::Verdict;
use crate::reason::Reason;
use serde::{Deserialize, Serialize};

/// No request body is larger.
pub const MAX_BODY: usize = 64 * 1024;
/// No step name, subject or approval name is longer, in bytes.
pub const MAX_NAME: usize = 512;
/// Header with the idempotency key.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A problem document (RFC 9457) with Conductor's members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank`, or `urn:conductor:reason:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short and fixed for the type.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened here, and how to fix it.
    pub detail: String,
    /// `deny` for a decision; absent for a request that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Verdict>,
    /// Every reason that applies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// The receipt of this denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptRef>,
    /// The same denial was given less than a second ago, and `receipt` is that one's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub folded: bool,
    /// After how many microseconds a retry can succeed, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_us: Option<u64>,
}
