//! What was seen under each ramp of a tenant: counts of what settled under its present revision.
//!
//! Kept in a row that is written in the batch of the receipts it counts, so a restart loses none.

use crate::ledger::Appended;
use crate::rows::{RunRow, SloRow, WatchRow};
use conductor_shared::checkpoint::{Checkpoint, SignedCheckpoint};
use conductor_shared::control::ControlState;
use conductor_shared::fact::Outcome;
use conductor_shared::http::SloStatus;
use conductor_shared::ramp::{HISTORY, Selector, deciding};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Receipts of errors that an incident cites.
const CITED: usize = 5;

/// A signed checkpoint with what it says.
pub(crate) type Proof = (Checkpoint, SignedCheckpoint);

/// What was seen under one revision, and how far its advance has come.
#[derive(Debug)]
pub(crate) struct RevisionStats {
    pub(crate) row: WatchRow,
    /// Too many receipts waited already when the revision began: that is no fault of it.
    pub(crate) began_over: bool,
    /// Size of the log when the signer was asked, after it was found healthy.
    pub(crate) asked: Option<u64>,
    /// What the signer answered.
    pub(crate) proof: Option<Box<Proof>>,
}

impl RevisionStats {
    fn new(row: WatchRow) -> Self {
        Self { row, began_over: true, asked: None, proof: None }
    }
}

/// What was seen under the ramps of a tenant.
#[derive(Debug, Default)]
pub struct RampStats {
    pub(crate) ramps: BTreeMap<Selector, RevisionStats>,
    pub(crate) changed: bool,
    pub(crate) published: Arc<Vec<SloStatus>>,
}

impl RampStats {
    /// As they were written last.
    pub fn restored(row: SloRow, control: &ControlState, size: u64) -> Self {
        let ramps = row.ramps.into_iter().filter_map(|(s, w)| Some((s.parse().ok()?, RevisionStats::new(w))));
        let mut this = Self { ramps: ramps.collect(), ..Self::default() };
        this.follow(control, size.saturating_sub(1));
        this
    }

    /// Control state changed with the receipt at this index: revisions that are new begin at nothing.
    pub fn follow(&mut self, control: &ControlState, index: u64) {
        let known = self.ramps.len();
        self.ramps.retain(|s, _| control.ramps.contains_key(s));
        if self.ramps.len() < known {
            // Runs that another rule let in do not count for those that are left.
            self.ramps.values_mut().for_each(|w| w.row.since = index);
            self.changed = true;
        }
        for (selector, ramp) in &control.ramps {
            let before = self.ramps.get(selector).map(|w| &w.row);
            if before.is_some_and(|w| w.revision == ramp.revision) {
                continue;
            }
            let mut good = before.map_or(vec![], |w| w.good.clone());
            good.extend(before.filter(|w| w.healthy).map(|w| w.hundredths));
            let from = good.len().saturating_sub(HISTORY);
            let row = WatchRow {
                revision: ramp.revision,
                hundredths: ramp.hundredths,
                since: index,
                good: good.split_off(from),
                ..WatchRow::default()
            };
            self.ramps.insert(selector.clone(), RevisionStats::new(row));
            self.changed = true;
        }
    }

    /// The watch whose revision let this run in.
    fn of_run(&mut self, control: &ControlState, run: &RunRow) -> Option<&mut WatchRow> {
        if self.ramps.is_empty() {
            return None;
        }
        let (selector, _) = deciding(&control.ramps, run.action.as_str(), run.workflow.as_str())?;
        let w = self.ramps.get_mut(selector).filter(|w| run.started_at > w.row.since)?;
        self.changed = true;
        Some(&mut w.row)
    }

    /// A run ended.
    pub fn run_settled(&mut self, control: &ControlState, run: &RunRow, outcome: Outcome, at: Appended) {
        let error = match outcome {
            Outcome::Succeeded => false,
            Outcome::Failed | Outcome::Lost => true,
            Outcome::Cancelled => return,
        };
        let Some(w) = self.of_run(control, run) else { return };
        w.counts.run(error);
        if error {
            if w.errors.is_empty() {
                w.first_error = at.time;
            }
            w.errors.push(at.index);
            if w.errors.len() > CITED {
                w.errors.remove(0);
            }
        }
    }

    /// A step ended.
    pub fn step_settled(&mut self, control: &ControlState, run: &RunRow, outcome: Outcome, seen: Duration) {
        if matches!(outcome, Outcome::Succeeded | Outcome::Failed)
            && let Some(w) = self.of_run(control, run)
        {
            w.counts.steps.add(seen);
        }
    }

    /// A paused plan needs a new checkpoint before it advances again.
    pub(crate) fn forget_proof(&mut self, s: &Selector) {
        if let Some(w) = self.ramps.get_mut(s) {
            (w.asked, w.proof) = (None, None);
        }
    }

    /// The signer signed this much of the log.
    pub fn covered(&mut self, cp: &Checkpoint, signed: &SignedCheckpoint) {
        for w in self.ramps.values_mut().filter(|w| w.asked.is_some_and(|size| cp.size >= size)) {
            w.asked = None;
            w.proof = Some(Box::new((*cp, signed.clone())));
        }
    }

    /// As of the last judgement.
    pub fn published(&self) -> Arc<Vec<SloStatus>> {
        Arc::clone(&self.published)
    }

    /// What must be written with the next batch.
    pub fn row_if_changed(&mut self) -> Option<SloRow> {
        std::mem::take(&mut self.changed).then(|| SloRow {
            ramps: self.ramps.iter().map(|(s, w)| (s.to_string(), w.row.clone())).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::basis_points::BasisPoints;
    use conductor_shared::clock::WallTime;
    use conductor_shared::command::{Operation, ops};
    use conductor_shared::fact::{ActorType, Env};
    use conductor_shared::ids::Ident;

    fn control(ops: &[(&str, u16)]) -> ControlState {
        ops.iter().fold(ControlState::default(), |s, (rule, h)| {
            s.after(&Operation::RampSet(ops::RampSet {
                selector: rule.parse().unwrap(),
                hundredths: BasisPoints::saturating(*h),
            }))
        })
    }
    fn run(started_at: u64) -> RunRow {
        RunRow {
            workflow: Ident::new("etl").unwrap(),
            env: Env::Rehearsal,
            actor: ActorType::Service,
            action: Ident::new("run").unwrap(),
            started: WallTime::EPOCH,
            started_at,
            steps: 0,
            outcome: None,
            last: 0,
            approvals: vec![],
        }
    }
    fn settle(w: &mut RampStats, c: &ControlState, started_at: u64, outcome: Outcome) -> u64 {
        w.run_settled(
            c,
            &run(started_at),
            outcome,
            Appended { index: 99, time: WallTime::from_micros(7), stored: 0 },
        );
        w.ramps[&"*/etl".parse::<Selector>().unwrap()].row.counts.all.settled
    }

    /// SPEC 3.2: only runs that started and settled under the current revision count, and cancelled ones do not.
    #[test]
    fn the_population_is_that_of_the_revision() {
        let mut c = control(&[("*/etl", 1_000)]);
        let mut w = RampStats::default();
        w.follow(&c, 10);
        assert_eq!(settle(&mut w, &c, 9, Outcome::Failed), 0, "started before it");
        assert_eq!(settle(&mut w, &c, 11, Outcome::Failed), 1);
        assert_eq!(settle(&mut w, &c, 12, Outcome::Lost), 2);
        assert_eq!(settle(&mut w, &c, 13, Outcome::Cancelled), 2);
        let row = w.row_if_changed().unwrap();
        assert!(w.row_if_changed().is_none());
        assert_eq!(
            RampStats::restored(row, &c, 20).ramps[&"*/etl".parse::<Selector>().unwrap()]
                .row
                .counts
                .all
                .errors,
            2
        );
        c = c.after(&Operation::RampSet(ops::RampSet {
            selector: "*/etl".parse().unwrap(),
            hundredths: BasisPoints::saturating(2_000),
        }));
        w.follow(&c, 20);
        assert_eq!(settle(&mut w, &c, 15, Outcome::Failed), 0, "a new revision begins at nothing");
        c = c.after(&Operation::RampSet(ops::RampSet {
            selector: "run/etl".parse().unwrap(),
            hundredths: BasisPoints::saturating(500),
        }));
        w.follow(&c, 30);
        assert_eq!(settle(&mut w, &c, 31, Outcome::Failed), 0, "a more exact rule decides");
        c = c.after(&Operation::RampClear(ops::RampClear { selector: "run/etl".parse().unwrap() }));
        w.follow(&c, 40);
        assert_eq!(settle(&mut w, &c, 31, Outcome::Failed), 0, "it was let in by a rule that is gone");
    }
}
