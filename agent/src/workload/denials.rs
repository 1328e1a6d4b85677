//! Denials, each with a receipt or with that of the same denial less than a second ago.

use super::WorkloadCtx;
use crate::intake::request::Denial;
use crate::ledger::ReadError;
use crate::partition::denial_dedup::{DenialKey, Folded, PATIENCE};
use crate::partition::{DayKind, PartitionState};
use crate::staging::BatchBuilder;
use conductor_shared::codec::Listed;
use conductor_shared::fact::{Fact, RequestDenied};
use conductor_shared::http::ReceiptRef;
use conductor_shared::reason::{Reason, Reasons};
use conductor_shared::untrusted::UntrustedText;
use std::time::Duration;

impl WorkloadCtx<'_> {
    /// Denies with a receipt, or with that of the same denial less than a second ago.
    pub(super) fn fold(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        about: &str,
        reasons: Reasons,
        retry_after: Option<Duration>,
        fact: impl FnOnce() -> Fact,
    ) -> Result<Denial, ReadError> {
        deny_folded(live, st, self.principal, about, reasons, retry_after, fact)
    }

    pub(super) fn deny(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        operation: &'static str,
        peer: &str,
        reasons: Reasons,
        retry_after: Option<Duration>,
    ) -> Result<Denial, ReadError> {
        self.fold(live, st, operation, reasons, retry_after, || {
            RequestDenied {
                principal: self.principal.to_owned(),
                peer: UntrustedText::new(peer),
                operation: operation.to_owned(),
                named_tenant: UntrustedText::default(),
                reasons: Listed(reasons.codes()),
            }
            .into()
        })
    }
}

/// Denies with a receipt in this partition, or with that of the same denial less than a second ago.
pub fn deny_folded(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    principal: &str,
    about: &str,
    reasons: Reasons,
    retry_after: Option<Duration>,
    fact: impl FnOnce() -> Fact,
) -> Result<Denial, ReadError> {
    live.denied += 1;
    let of_quota = reasons.iter().any(is_quota);
    if of_quota {
        live.quota_denied = Some(st.now.mono);
    }
    let same = DenialKey { principal: principal.to_owned(), about: about.to_owned(), reasons };
    let (index, nth) = match live.folds.fold(same, st.now.mono) {
        Folded::Into(first, nth) => {
            if of_quota {
                live.quota_flood.note(first, st.now);
            }
            live.touch(st);
            (first, nth)
        }
        Folded::First(same) => {
            let unit = live.day_unit(st, DayKind::Denial)?;
            let index = live.append(st, &fact(), (unit.0, &unit.1)).index;
            if let Some(closed) = live.folds.begin(same, index, st.now.mono) {
                live.append(st, &closed.into(), (unit.0, &unit.1));
            }
            (index, 0)
        }
    };
    let receipt = Some(ReceiptRef { origin: live.p.origin, index });
    Ok(Denial { reasons, receipt, folded: nth > 0, held: nth > PATIENCE, retry_after })
}

fn is_quota(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::QuotaConcurrentRuns
            | Reason::QuotaReceiptBacklog
            | Reason::QuotaStepRate
            | Reason::QuotaEvidenceBytes
    )
}
