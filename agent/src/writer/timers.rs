//! Work that is due by time: overdue proposals, expired leases, folds that close, freezes, plans and incidents.

use super::dispatch::OPEN_STEP;
use super::{Open, Writer};
use crate::freeze::calendar;
use crate::intake::reply::{Answer, Answers};
use crate::keys::KeyError;
use crate::ledger::ReadError;
use crate::partition::{DayKind, PartitionState};
use crate::policy::Policy;
use crate::rollout::controller::{self, Judgement, Tick};
use crate::scope::TenantScope;
use crate::staging::BatchBuilder;
use crate::store::Space;
use crate::workload::WorkloadCtx;
use conductor_shared::clock::WallTime;
use conductor_shared::control::ControlState;
use conductor_shared::fact::{Fact, Outcome};
use conductor_shared::ids::PartitionId;
use conductor_shared::reason::Reason;
use std::sync::Arc;
use std::time::Duration;

/// Interval of rounds over all partitions.
const ROUND: Duration = Duration::from_millis(200);
/// Maximum rows that one partition's turn in a round touches, besides lost runs and its own counters.
const LOOK: usize = 512;
/// The same for a lost run, besides its open steps.
const LOST_RUN: usize = 16;
/// The same for an abandoned proposal.
const ABANDONED: usize = 8;
/// Maximum number of folds closed in one turn of a partition.
const FOLDS: usize = 64;
/// Maximum number of lost runs ended in one turn of a partition.
const LOST: usize = 64;

/// A round over all partitions, in as many steps as it takes.
pub(super) struct Round {
    pub(super) left: Vec<PartitionId>,
    pub(super) judgement: Judgement,
}

impl Writer {
    /// Runs what is due. Cheap if nothing is.
    pub(super) fn tick(&mut self, st: &mut BatchBuilder, answers: &mut Answers) -> Result<(), ReadError> {
        if self.round.is_none() {
            self.round = self.begin_round(st)?;
        }
        self.go_on_with_round(st, answers)?;
        self.abandon_overdue(st, answers)?;
        self.snapshot(st);
        Ok(())
    }

    pub(super) fn go_on_with_round(
        &mut self,
        st: &mut BatchBuilder,
        _: &mut Answers,
    ) -> Result<(), ReadError> {
        let Some(mut round) = self.round.take() else { return Ok(()) };
        let done = self.look_at_all(st, &mut round);
        // The error concerns one partition; the round goes on with the others.
        self.round = (!round.left.is_empty()).then_some(round);
        done
    }

    /// Abandons overdue proposals as far as this step has room.
    fn abandon_overdue(&mut self, st: &mut BatchBuilder, answers: &mut Answers) -> Result<(), ReadError> {
        while st.fits(ABANDONED) {
            let Some(p) = self.proposals.take_overdue(st.now.mono) else { break };
            let id = p.partition;
            let Some(live) = self.open.as_mut().and_then(|o| o.partitions.get_mut(id)) else {
                p.lost();
                continue;
            };
            let out = p.abandon(live, st, Reason::CheckpointTimeout.into())?;
            answers.push(id, Answer::Command(out.0, out.1));
        }
        Ok(())
    }

    /// Begins the next round if it is due.
    fn begin_round(&mut self, st: &mut BatchBuilder) -> Result<Option<Round>, ReadError> {
        let mono = st.now.mono;
        if mono < self.last_round + ROUND {
            return Ok(None);
        }
        let since = mono - self.last_round;
        self.last_round = mono;
        let outage = self.outage();
        let Some(open) = &mut self.open else { return Ok(None) };
        self.space = open.store.space(open.partitions.iter().map(PartitionState::open_work).sum());
        self.parts.board.set_space(self.space);
        let disk_critical = matches!(self.space, Space::Critical | Space::ControlOnly);
        let health = &self.parts.health;
        let tick = Tick { pace: self.parts.slo, outage, disk_critical, since, health };
        let judgement = self.eval.begin_round(&mut open.partitions, st, tick)?;
        Ok(Some(Round { left: open.partitions.ids().collect(), judgement }))
    }

    fn look_at_all(&mut self, st: &mut BatchBuilder, round: &mut Round) -> Result<(), ReadError> {
        let (outage, lease) = (self.outage(), self.parts.lease);
        let Some(open) = &mut self.open else { return Ok(()) };
        // Freezes first: they pause plans.
        let time = self.calendar.of_node(&mut open.partitions, st)?;
        let node = open.partitions.node_control().unwrap_or_default();
        round.judgement.now(outage, &node, open.partitions.node_doubted());
        while let Some(id) = round.left.pop() {
            let ended = end_lost_runs(open, id, st, (&node, self.space, lease, &self.parts.policy))?;
            let Some(live) = open.partitions.get_mut(id).filter(|l| l.status.serves()) else { continue };
            if !ended || !st.fits(LOOK + live.rows_of_touch()) {
                round.left.push(id);
                return Ok(());
            }
            calendar::over(live, st, time)?;
            controller::evaluate(live, st, round.judgement, (&self.parts.policy, &node))?;
            if self.space != Space::ControlOnly {
                close_folds(live, st)?;
            }
            close_requests(live, st)?;
        }
        Ok(())
    }
}

fn close_folds(live: &mut PartitionState, st: &mut BatchBuilder) -> Result<(), KeyError> {
    for closed in live.closed_folds(st.now.mono, FOLDS) {
        let unit = live.day_unit(st, DayKind::Denial)?;
        live.append(st, &Fact::from(closed), (unit.0, &unit.1));
    }
    Ok(())
}

fn close_requests(live: &mut PartitionState, st: &mut BatchBuilder) -> Result<(), KeyError> {
    let (control, now) = (Arc::clone(&live.control), st.now.wall);
    for (id, r) in control.requests.iter().filter(|(_, r)| WallTime::from_micros(r.expires_at_us) <= now) {
        crate::command::close(live, st, (*id, r), Reason::CommandExpired.into(), None)?;
    }
    Ok(())
}

/// Ends runs whose lease expired. False if more are due than this step has room for.
fn end_lost_runs(
    open: &mut Open,
    id: PartitionId,
    st: &mut BatchBuilder,
    (node, space, lease, policy): (&ControlState, Space, Duration, &Policy),
) -> Result<bool, ReadError> {
    let Some(live) = open.partitions.get_mut(id).filter(|l| l.status.serves()) else { return Ok(true) };
    if space == Space::ControlOnly {
        return Ok(true);
    }
    let lost = live.runs.iter().filter(|(_, r)| r.lease_until <= st.now.mono).take(LOST);
    let lost: Vec<_> = lost.map(|(run, r)| (*run, LOST_RUN + OPEN_STEP * r.steps.len())).collect();
    if lost.is_empty() {
        return Ok(true);
    }
    let scope = TenantScope::of_agent(id);
    let principal = scope.principal();
    // Ending a run admits nothing, so it does not matter whether the node log can be trusted.
    let node_doubted = false;
    let work =
        WorkloadCtx { store: &open.store, space, lease, principal, policy, node, node_doubted, tries: 0 };
    for (run, rows) in lost {
        if !st.fits(rows + live.rows_of_touch()) {
            return Ok(false);
        }
        let _ = work.end_run(live, st, run, Outcome::Lost)?;
    }
    Ok(true)
}
