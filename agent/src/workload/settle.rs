//! Settles and lease renewals: finish, cancel, heartbeat, approval decisions, and settles after the end.

use super::{Claim, Missing, WorkloadCtx};
use crate::intake::request::Reply;
use crate::ledger::ReadError;
use crate::partition::{DayKind, PartitionState, index_hash};
use crate::rows::{RunRow, StepRow, decode, encode};
use crate::staging::BatchBuilder;
use crate::store::Row;
use conductor_shared::clock::micros;
use conductor_shared::fact::{
    ApprovalDecided, HeartbeatsFolded, LateSettle, LeaseRenewed, Outcome, RunFinished, StepFinished,
};
use conductor_shared::http::Decided;
use conductor_shared::ids::RunId;
use conductor_shared::reason::Reason;
use conductor_shared::untrusted::UntrustedText;

/// Maximum number of distinct approval decisions of one run.
const MAX_APPROVALS: usize = 100;

impl WorkloadCtx<'_> {
    pub(super) fn finish_step(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        (id, step): (RunId, u64),
        outcome: Outcome,
        claim: Claim,
    ) -> Result<Reply, ReadError> {
        let open = live.runs.get_mut(&id).and_then(|r| {
            let row = r.steps.remove(&step)?;
            r.lease_until = st.now.mono + self.lease;
            Some((r.unit.clone(), r.row.clone(), row))
        });
        let Some((unit, run, row)) = open else {
            return match self.gone(live, st, id, Some(step))? {
                Missing::Unknown => {
                    let known = live.runs.contains_key(&id)
                        || matches!(self.gone(live, st, id, None)?, Missing::Ended(..));
                    let reason = if known { Reason::StepUnknown } else { Reason::RunUnknown };
                    self.deny(live, st, "step_finish", "", reason.into(), None).map(Err)
                }
                Missing::Ended(was, last) => self.after(live, st, (id, step), outcome, (was, last), claim),
            };
        };
        let index = self.settle_step(live, st, (id, step), (&unit, &run, row), outcome, claim);
        Ok(Ok(Decided {
            step: Some(step),
            lease_us: Some(micros(self.lease)),
            ..Self::decided(live, index, id)
        }))
    }

    /// Records the end of a step that the caller removed from the run's open steps. Returns the receipt's index.
    pub(super) fn settle_step(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        (id, step): (RunId, u64),
        (unit, run, mut row): (&(u64, crate::keys::Key), &RunRow, StepRow),
        outcome: Outcome,
        claim: Claim,
    ) -> u64 {
        let observed = st.now.wall.max(live.log.last()) - row.started;
        let fact = StepFinished {
            principal: self.principal.to_owned(),
            run: id,
            step,
            workflow: run.workflow.clone(),
            env: run.env,
            actor: run.actor,
            outcome,
            claimed_us: claim.us,
            observed_us: micros(observed),
            bytes_in: claim.bytes_in,
            bytes_out: claim.bytes_out,
        };
        let a = live.append(st, &fact.into(), (unit.0, &unit.1));
        live.ramp_stats.step_settled(&live.control, run, outcome, observed);
        row.outcome = Some(outcome);
        row.last = a.index;
        live.put_step(st, id, unit, step, &row);
        a.index
    }

    pub(super) fn heartbeat(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        id: RunId,
    ) -> Result<Reply, ReadError> {
        let (now, lease_us) = (st.now, Some(micros(self.lease)));
        let Some(run) = live.runs.get_mut(&id) else { return self.not_open(live, st, "run_heartbeat", id) };
        run.lease_until = now.mono + self.lease;
        if let Some((index, _)) = run.beats.window.filter(|(_, until)| now.mono < *until) {
            run.beats.folded += 1;
            run.beats.last = now.wall;
            return Ok(Ok(Decided { lease_us, folded: true, ..Self::decided(live, index, id) }));
        }
        let (unit, steps) = (run.unit.clone(), run.steps.len() as u64);
        let fact = LeaseRenewed {
            principal: self.principal.to_owned(),
            run: id,
            lease_us: micros(self.lease),
            steps,
        };
        let a = live.append(st, &fact.into(), (unit.0, &unit.1));
        if let Some(run) = live.runs.get_mut(&id) {
            run.beats.window = Some((a.index, now.mono + self.lease / 2));
        }
        Ok(Ok(Decided { lease_us, ..Self::decided(live, a.index, id) }))
    }

    pub(super) fn approve(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        id: RunId,
        (name, approver): (&UntrustedText, &UntrustedText),
        approved: bool,
    ) -> Result<Reply, ReadError> {
        let said = [name.raw(), approver.raw(), if approved { "1" } else { "0" }].join("\0");
        let said = index_hash(&live.p.keys.index, said.as_bytes());
        let Some(run) = live.runs.get_mut(&id) else { return self.not_open(live, st, "approval_decide", id) };
        run.lease_until = st.now.mono + self.lease;
        let first = run.row.approvals.iter().find(|(hash, _)| *hash == said).map(|(_, index)| *index);
        if let Some(index) = first {
            return Ok(Ok(Decided { folded: true, ..Self::decided(live, index, id) }));
        }
        if run.row.approvals.len() >= MAX_APPROVALS {
            return self
                .deny(live, st, "approval_decide", "", Reason::ApprovalsTooMany.into(), None)
                .map(Err);
        }
        let unit = run.unit.clone();
        let fact = ApprovalDecided {
            principal: self.principal.to_owned(),
            approver: approver.clone(),
            run: id,
            workflow: run.row.workflow.clone(),
            env: run.row.env,
            actor: run.row.actor,
            name: name.clone(),
            approved,
        };
        let a = live.append(st, &fact.into(), (unit.0, &unit.1));
        if let Some(mut run) = live.runs.remove(&id) {
            run.row.approvals.push((said, a.index));
            live.put_run(st, id, &run);
            live.runs.insert(id, run);
        }
        Ok(Ok(Self::decided(live, a.index, id)))
    }

    pub(super) fn not_open(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        op: &'static str,
        id: RunId,
    ) -> Result<Reply, ReadError> {
        let reason = match self.gone(live, st, id, None)? {
            Missing::Unknown => Reason::RunUnknown,
            Missing::Ended(..) => Reason::RunClosed,
        };
        self.deny(live, st, op, "", reason.into(), None).map(Err)
    }

    /// Ends a run and its open steps, whether the workload finished or cancelled it or its lease expired.
    pub fn end_run(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        id: RunId,
        outcome: Outcome,
    ) -> Result<Reply, ReadError> {
        let Some(mut run) = live.runs.remove(&id) else {
            return match self.gone(live, st, id, None)? {
                Missing::Unknown => {
                    self.deny(live, st, "run_finish", "", Reason::RunUnknown.into(), None).map(Err)
                }
                Missing::Ended(was, last) => {
                    self.after(live, st, (id, 0), outcome, (was, last), Claim::default())
                }
            };
        };
        if outcome == Outcome::Lost && run.beats.folded > 0 {
            let fact = HeartbeatsFolded {
                principal: self.principal.to_owned(),
                run: id,
                count_lower_bound: run.beats.since_start,
                count: run.beats.folded,
                last_us: run.beats.last.as_micros(),
            };
            live.append(st, &fact.into(), (run.unit.0, &run.unit.1));
        }
        let steps = std::mem::take(&mut run.steps);
        let open_steps = steps.len() as u64;
        // A step without a finish of its own is not billed as succeeded, whatever the run's outcome.
        let of_steps = if outcome == Outcome::Lost { Outcome::Lost } else { Outcome::Cancelled };
        for (n, row) in steps {
            self.settle_step(live, st, (id, n), (&run.unit, &run.row, row), of_steps, Claim::default());
        }
        let fact = RunFinished {
            principal: self.principal.to_owned(),
            run: id,
            workflow: run.row.workflow.clone(),
            env: run.row.env,
            actor: run.row.actor,
            outcome,
            open_steps,
            observed_us: micros(st.now.wall.max(live.log.last()) - run.row.started),
        };
        let a = live.append(st, &fact.into(), (run.unit.0, &run.unit.1));
        run.row.outcome = Some(outcome);
        run.row.steps = run.next_step - 1;
        run.row.last = a.index;
        live.ramp_stats.run_settled(&live.control, &run.row, outcome, a);
        live.put_run(st, id, &run);
        live.gate.open_runs = live.gate.open_runs.saturating_sub(1);
        Ok(Ok(Self::decided(live, a.index, id)))
    }

    /// Answers a settle that arrives after the end. A repeated outcome gets the first receipt. The first different outcome is
    /// recorded as late, and any further one gets that receipt: late settles are bounded by admitted runs and steps.
    fn after(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        (id, step): (RunId, u64),
        outcome: Outcome,
        (was, last): (Outcome, u64),
        claim: Claim,
    ) -> Result<Reply, ReadError> {
        let number = (step > 0).then_some(step);
        if outcome == was {
            return Ok(Ok(Decided { folded: true, step: number, ..Self::decided(live, last, id) }));
        }
        let key = Row::LateSettle(id.0, step).key();
        let Some(plain) = st.row(self.store, &live.p, &key)? else {
            return self.late(live, st, (id, step), outcome, was, claim);
        };
        let index: u64 = decode(&plain).map_err(|e| live.p.damaged(&key, &e))?;
        Ok(Ok(Decided { late: Some(was), folded: true, step: number, ..Self::decided(live, index, id) }))
    }

    /// Records a late settle. It changes neither the outcome nor the usage.
    fn late(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        (id, step): (RunId, u64),
        outcome: Outcome,
        was: Outcome,
        claim: Claim,
    ) -> Result<Reply, ReadError> {
        let unit = live.day_unit(st, DayKind::Denial)?;
        let labels = if let Some(run) = live.runs.get(&id) {
            Some(run.row.labels())
        } else {
            let key = Row::EndedRun(id.0).key();
            let row = st.row(self.store, &live.p, &key)?;
            let run = row.map(|plain| decode::<RunRow>(&plain).map_err(|e| live.p.damaged(&key, &e)));
            run.transpose()?.map(|r| r.labels())
        };
        let fact = LateSettle {
            principal: self.principal.to_owned(),
            run: id,
            step,
            outcome,
            ended_as: was,
            claimed_us: claim.us,
            bytes_in: claim.bytes_in,
            bytes_out: claim.bytes_out,
        };
        let a = live.append_for(st, &fact.into(), (unit.0, &unit.1), labels);
        let (key, plain) = (Row::LateSettle(id.0, step).key(), encode(&a.index));
        st.rows.put_under(&live.p, &key, (unit.0, &unit.1), &plain);
        st.remember(&live.p, key, plain);
        let step = (step > 0).then_some(step);
        Ok(Ok(Decided { late: Some(was), step, ..Self::decided(live, a.index, id) }))
    }
}
