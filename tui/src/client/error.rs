//! What can go wrong between this program and an agent, each with what, where and how to fix it.
//!
//! Text of an agent is untrusted: it is escaped and bounded.

use conductor_shared::http::Problem;
use conductor_shared::untrusted::escape;
use std::fmt::Write as _;

/// Why a call to an agent gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The agent denied it or could not read it.
    #[error("{}", problem_text(.0))]
    Denied(Box<Problem>),
    /// The session or token is not valid there.
    #[error("{endpoint} does not accept the credentials: {why} {remedy}")]
    Unauthorised {
        endpoint: String,
        /// What it said, escaped.
        why: String,
        remedy: &'static str,
    },
    /// No connection, or it broke.
    #[error("cannot reach {endpoint}: {why}. {remedy}")]
    Unreachable {
        endpoint: String,
        /// What the system said.
        why: String,
        remedy: &'static str,
    },
    /// The server's certificate is not the pinned one.
    #[error(
        "{endpoint} shows another certificate than the pinned one (its SHA-256 is {found}): this is not the agent you pinned, or it was reinstalled. Do not go on before you know which; then pin the new digest."
    )]
    Pin {
        endpoint: String,
        /// Digest of the certificate that was shown, in hex.
        found: String,
    },
    /// No answer in time. A change may or may not have happened.
    #[error(
        "{endpoint} did not answer within {seconds} s: {what} may or may not have been carried out; look before you repeat it"
    )]
    TimedOut {
        endpoint: String,
        /// Name of the route.
        what: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// An answer that is not of this API.
    #[error(
        "{endpoint} gave an answer to {what} that cannot be read: {why}. Is it an agent of this version? (conductor node)"
    )]
    BadAnswer {
        endpoint: String,
        /// Name of the route.
        what: &'static str,
        /// What is wrong, escaped.
        why: String,
    },
    /// This program was called in a way that cannot work.
    #[error("{0}")]
    Usage(String),
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] crate::client::keys::KeyError),
}

impl ClientError {
    /// True when the same request, with the same idempotency key, may be sent again.
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. })
    }

    /// The problem document, when the agent sent one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Denied(p) => Some(p),
            _ => None,
        }
    }
}

/// A problem for people: what was decided, each reason with its remedy, and the receipt.
pub fn problem_text(p: &Problem) -> String {
    let mut out = String::new();
    if p.reasons.is_empty() {
        let _ = write!(out, "refused ({}): {}", p.status, escape(&p.title, 100));
    } else {
        let codes: Vec<&str> = p.reasons.iter().map(|r| r.code()).collect();
        let _ = write!(out, "denied: {}", codes.join(", "));
    }
    if !p.detail.is_empty() {
        let _ = write!(out, "\n  {}", escape(&p.detail, 400));
    }
    for r in &p.reasons {
        let _ = write!(out, "\n  {}: {} {}", r.code(), r.description().trim(), r.remedy());
    }
    if let Some(us) = p.retry_after_us {
        let _ = write!(out, "\n  a retry can succeed after {} s", seconds(us));
    }
    if let Some(r) = &p.receipt {
        let folded = if p.folded { " (given for the same denial less than a second before)" } else { "" };
        let _ = write!(out, "\n  receipt {} in {}{folded}", r.index, r.origin);
    }
    out
}

/// Microseconds as seconds, exactly, without needless zeros.
pub fn seconds(us: u64) -> String {
    let (whole, part) = (us / 1_000_000, us % 1_000_000);
    if part == 0 {
        return whole.to_string();
    }
    format!("{whole}.{part:06}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::fact::Verdict;
    use conductor_shared::http::ReceiptRef;
    use conductor_shared::ids::{NodeId, Origin, TenantUid};
    use conductor_shared::reason::Reason;

    /// SPEC, Bad input: what, where, how to fix it; and hostile text is escaped.
    #[test]
    fn error_texts() {
        let origin = Origin { node: NodeId([1; 16]), tenant: TenantUid([2; 16]), epoch: 1 };
        let p = Problem {
            kind: "urn:conductor:reason:quota_step_rate".into(),
            title: "denied".into(),
            status: 429,
            detail: "step_rate is 10 a second\u{1b}[2J".into(),
            decision: Some(Verdict::Deny),
            reasons: vec![Reason::QuotaStepRate, Reason::Killed],
            receipt: Some(ReceiptRef { origin, index: 7 }),
            folded: true,
            retry_after_us: Some(100_000),
        };
        let unread = Problem {
            kind: "about:blank".into(),
            title: "Bad Request".into(),
            detail: "unknown field `x`".into(),
            status: 400,
            decision: None,
            reasons: vec![],
            receipt: None,
            folded: false,
            retry_after_us: None,
        };
        let endpoint = "unix:/run/a.sock".to_owned();
        let all = [
            ClientError::Denied(Box::new(p)),
            ClientError::Denied(Box::new(unread)),
            ClientError::Pin { endpoint: endpoint.clone(), found: "ab".repeat(32) },
            ClientError::TimedOut { endpoint: endpoint.clone(), what: "command", seconds: 15 },
            ClientError::BadAnswer { endpoint, what: "node_show", why: "it is not JSON".into() },
        ];
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(all.join("\n---\n"));
        assert!(!all.join("").contains('\u{1b}'));
    }

    #[test]
    fn seconds_are_exact() {
        for (us, text) in [(0, "0"), (1, "0.000001"), (1_500_000, "1.5"), (60_000_000, "60")] {
            assert_eq!(seconds(us), text);
        }
    }
}
