//! Denials of workload requests, each with a receipt.

use super::WorkloadCtx;
use crate::intake::request::Denial;
use crate::ledger::ReadError;
use crate::partition::PartitionState;
use crate::partition::deny::{By, Denied};
use crate::staging::BatchBuilder;
use conductor_shared::codec::Listed;
use conductor_shared::fact::{Fact, RequestDenied};
use conductor_shared::reason::Reasons;
use conductor_shared::untrusted::UntrustedText;
use std::time::Duration;

impl WorkloadCtx<'_> {
    /// Denies with a receipt. An equal denial within the same second is only counted and shares the first one's receipt.
    pub(super) fn fold(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        about: &str,
        reasons: Reasons,
        retry_after: Option<Duration>,
        fact: impl FnOnce() -> Fact,
    ) -> Result<Denial, ReadError> {
        let denied =
            Denied { by: By::Principal(self.principal), about: about.to_owned(), reasons, retry_after };
        Ok(live.deny(st, denied, fact)?)
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
