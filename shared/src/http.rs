//! Bodies of the HTTP API. Requests refuse unknown fields, and every request of a workload names its tenant.
//!
//! A mutation may carry `Idempotency-Key: <1 to 128 visible ASCII characters>`. A denial is a problem document
//! (RFC 9457) with the reasons and the receipt.

mod change;
mod freeze;
mod incident;
mod node;
mod policy;
mod query;
mod receipt;
mod tenant;
mod usage;
mod work;

pub use change::*;
pub use freeze::*;
pub use incident::*;
pub use node::*;
pub use policy::*;
pub use query::*;
pub use receipt::*;
pub use tenant::*;
pub use usage::*;
pub use work::*;

pub use crate::untrusted::{MAX_NAME, fits};

use crate::fact::Verdict;
use crate::reason::Reason;
use serde::{Deserialize, Serialize};

/// No request body is larger.
pub const MAX_BODY: usize = 64 * 1024;

/// Whole numbers as JSON means them: `1.0` and `1e3` are whole. No other number is taken, and none beyond what a
/// floating-point number holds exactly.
pub(crate) fn whole<'de, D: serde::Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    struct Whole;
    impl serde::de::Visitor<'_> for Whole {
        type Value = u64;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a whole number, 0 or more")
        }
        fn visit_u64<E>(self, n: u64) -> Result<u64, E> {
            Ok(n)
        }
        fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<u64, E> {
            u64::try_from(n).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(n), &self))
        }
        fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<u64, E> {
            const EXACT: f64 = 9_007_199_254_740_992.0;
            if n.fract() == 0.0 && (0.0..=EXACT).contains(&n) {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                // it was compared right here
                return Ok(n as u64);
            }
            Err(E::invalid_value(serde::de::Unexpected::Float(n), &self))
        }
    }
    d.deserialize_any(Whole)
}
/// Header with the idempotency key.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A problem document (RFC 9457) with Conductor's members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
