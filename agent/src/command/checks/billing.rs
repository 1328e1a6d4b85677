//! Corrections of usage, rate cards and reconciled months.

use super::when;
use conductor_shared::clock::WallTime;
use conductor_shared::command::ops;
use conductor_shared::control::ControlState;
use conductor_shared::cost::{MAX_CARDS, RateCard};
use conductor_shared::reason::{Reason, Reasons};
use conductor_shared::time_range::{MAX_RANGE_US, from_rfc3339, utc_month};
use std::time::Duration;

pub(super) fn usage_correct(op: &ops::UsageCorrect, log: &ControlState, now: WallTime) -> Reasons {
    let known = op.adjustments.iter().all(|a| log.workflows.contains(&a.labels.workflow_type));
    let oldest = now - Duration::from_micros(MAX_RANGE_US);
    let in_time = op.adjustments.iter().all(|a| (oldest..=now).contains(&WallTime::from_micros(a.at_us)));
    let mut reasons = when(!known, Reason::WorkflowUnknown);
    reasons.extend(when(!in_time, Reason::PeriodInvalid).iter());
    reasons
}

/// Whose the card is, whether it can be read, its version and its unit.
pub(super) fn rate_load(op: &ops::RateLoad, log: &ControlState) -> Reasons {
    let texts = op.card_text().zip(op.signature_text());
    let key = log.billing_key.as_deref();
    let card = texts.zip(key).and_then(|((card, file), key)| RateCard::verify(&card, &file, key).ok());
    let Some(card) = card else { return Reason::RateCardInvalid.into() };
    let Some(last) = log.rate_cards.last() else { return Reasons::default() };
    if card.version <= last.version {
        return Reason::RateCardOlder.into();
    }
    let other_unit = (&card.currency, card.decimals) != (&last.currency, last.decimals);
    when(other_unit || log.rate_cards.len() >= MAX_CARDS, Reason::RateCardInvalid)
}

pub(super) fn cost_reconcile(op: &ops::CostReconcile, now: WallTime) -> Reasons {
    let month = from_rfc3339(&format!("{}-01T00:00:00Z", op.month)).and_then(utc_month);
    when(month.is_none_or(|(_, p)| p.to > now), Reason::PeriodInvalid)
}
