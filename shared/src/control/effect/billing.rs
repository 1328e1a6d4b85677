//! Corrections of usage, rate cards, reconciled months, and sinks.

use crate::command::ops;
use crate::control::ControlState;
use crate::cost::{Amounts, MAX_CARDS, Reconciled};
use crate::ids::Digest;

impl ControlState {
    pub(super) fn usage_correct(&mut self, op: &ops::UsageCorrect) {
        self.corrections += op.adjustments.len() as u64;
    }

    pub(super) fn rate_trust(&mut self, op: ops::RateTrust) {
        self.billing_key = Some(op.public_key);
    }

    pub(super) fn rate_load(&mut self, op: &ops::RateLoad) {
        // Versions only rise, whatever a log says.
        let newest = self.rate_cards.last().map_or(0, |c| c.version);
        let room = self.rate_cards.len() < MAX_CARDS;
        self.rate_cards.extend(op.rate_card().filter(|c| c.version > newest && room));
    }

    pub(super) fn cost_reconcile(&mut self, index: u64, op: ops::CostReconcile) {
        // A command whose amounts have no total is not parsed.
        let Ok(amounts) = Amounts::of(op.amounts) else { return };
        let invoice_sha256 = Digest(op.invoice_sha256);
        self.reconciled.insert(op.month, Reconciled { amounts, invoice_sha256, index });
    }

    pub(super) fn sink_replay(&mut self, op: ops::SinkReplay) {
        *self.sink_replays.entry(op.sink).or_default() += 1;
    }

    pub(super) fn sink_redeliver(&mut self, op: ops::SinkRedeliver) {
        self.sink_redeliveries.entry(op.sink).or_default().order(op.from, op.to);
    }
}
