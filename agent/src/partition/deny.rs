//! Denials, each with a receipt or with that of the same denial less than a second ago.

use super::denial_dedup::{Coalescer, DenialKey, Folded, PATIENCE};
use super::{DayKind, PartitionState};
use crate::intake::request::Denial;
use crate::keys::KeyError;
use crate::staging::BatchBuilder;
use conductor_shared::fact::Fact;
use conductor_shared::http::ReceiptRef;
use conductor_shared::ids::PersonId;
use conductor_shared::reason::{Reason, Reasons};
use std::time::Duration;

/// Whose denial it is: what it is counted with, and whose budget of receipts it spends.
pub enum By<'a> {
    /// Whoever asks over HTTP, by name: all of a log share a budget.
    Principal(&'a str),
    /// A person who signed it.
    Person(PersonId),
}

/// What is denied, and why.
pub struct Denied<'a> {
    pub by: By<'a>,
    /// Operation, and what of it matters to the reasons.
    pub about: String,
    pub reasons: Reasons,
    pub retry_after: Option<Duration>,
}

impl PartitionState {
    /// Denies with a receipt in this log, or with that of the same denial less than a second ago.
    pub fn deny(
        &mut self,
        st: &mut BatchBuilder,
        denied: Denied<'_>,
        fact: impl FnOnce() -> Fact,
    ) -> Result<Denial, KeyError> {
        let Denied { by, about, reasons, retry_after } = denied;
        self.denied += 1;
        let of_quota = reasons.iter().any(is_quota);
        if of_quota {
            self.quota_denied = Some(st.now.mono);
        }
        let same = |principal: String| DenialKey { principal, about, reasons };
        let (same, folds): (_, fn(&mut Self) -> &mut Coalescer) = match by {
            By::Principal(name) => (same(name.to_owned()), |s| &mut s.folds),
            By::Person(person) => (same(format!("person:{person}")), |s| &mut s.command_folds),
        };
        let (index, nth) = match folds(self).fold(same, st.now.mono) {
            Folded::Into(first, nth) => {
                if of_quota {
                    self.quota_flood.note(first, st.now);
                }
                self.touch(st);
                (first, nth)
            }
            Folded::First(same) => {
                let unit = self.day_unit(st, DayKind::Denial)?;
                let index = self.append(st, &fact(), (unit.0, &unit.1)).index;
                if let Some(closed) = folds(self).begin(same, index, st.now.mono) {
                    self.append(st, &closed.into(), (unit.0, &unit.1));
                }
                (index, 0)
            }
        };
        let receipt = Some(ReceiptRef { origin: self.p.origin, index });
        Ok(Denial { reasons, receipt, folded: nth > 0, held: nth > PATIENCE, retry_after })
    }
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
