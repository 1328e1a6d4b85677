//! Operations of workloads, decided on the staged state: each request sees what the one before it left.

use crate::intake::request::{Denial, Idempotency, Reply, WorkloadOp};
use crate::ledger::ReadError;
use crate::partition::admission::{self, AdmissionState, RunRequest};
use crate::partition::denial_dedup::{DenialKey, Folded, PATIENCE};
use crate::partition::{DayKind, PartitionState, Run, index_hash};
use crate::policy::{Lookup, Policy, Query, TRIES};
use crate::rows::{Answered, RequestRow, RunRow, StepRow, decode, encode};
use crate::staging::BatchBuilder;
use crate::store::{Row, Space, Store};
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::clock::{Micros, SECOND};
use conductor_shared::codec::Listed;
use conductor_shared::control::ControlState;
use conductor_shared::control::profiles;
use conductor_shared::fact::{
    ActorType, ApprovalDecided, Env, Fact, LateSettle, LeaseRenewed, Outcome, RequestDenied, RunDecided,
    RunFinished, StepDecided, StepFinished, Verdict,
};
use conductor_shared::fail_closed::Class;
use conductor_shared::http::{Decided, ReceiptRef};
use conductor_shared::ids::{Ident, RunId};
use conductor_shared::meter::HOUR_US;
use conductor_shared::policy;
use conductor_shared::profile::PolicyOutage;
use conductor_shared::reason::{Reason, Reasons};
use conductor_shared::untrusted::UntrustedText;
use std::sync::Arc;

/// What an operation needs besides the partition.
pub struct WorkloadCtx<'a> {
    /// For rows that are not in memory: ended runs and steps, requests carried out.
    pub store: &'a Store,
    /// Room on disk.
    pub space: Space,
    /// How long a lease is.
    pub lease_us: Micros,
    /// Who asks.
    pub principal: &'a str,
    /// Policy.
    pub policy: &'a Policy,
    /// The node's control state, which has the profiles.
    pub node: &'a ControlState,
    /// How often an engine was asked about this.
    pub tries: u8,
}

/// Why an operation cannot be decided now.
#[derive(Debug)]
pub enum Defer {
    /// An engine must be asked first. Nothing was staged.
    Policy(Box<Query>),
    /// The store.
    Read(ReadError),
}

impl From<ReadError> for Defer {
    fn from(e: ReadError) -> Self {
        Self::Read(e)
    }
}

impl From<crate::store::StoreError> for Defer {
    fn from(e: crate::store::StoreError) -> Self {
        Self::Read(e.into())
    }
}

impl From<crate::keys::KeyError> for Defer {
    fn from(e: crate::keys::KeyError) -> Self {
        Self::Read(e.into())
    }
}

/// A run or step asked about that is not open.
enum Missing {
    Unknown,
    Ended(Outcome),
}

impl WorkloadCtx<'_> {
    /// Carries one operation out, once: a request that was carried out before gets the same answer.
    pub fn once(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        op: &WorkloadOp,
        once: Option<&Idempotency>,
    ) -> Result<Reply, Defer> {
        let Some(once) = once else { return self.decide(live, st, op) };
        let day = u32::try_from(st.now.wall_us / (24 * HOUR_US)).unwrap_or(u32::MAX);
        let text =
            [self.principal.as_bytes(), b"\0", op.name().as_bytes(), b"\0", once.key.as_bytes()].concat();
        let hash = index_hash(&live.p.keys.index, &text);
        for d in [day, day.saturating_sub(1)] {
            let key = Row::Request(d, hash).key();
            if let Some(row) = st.row(self.store, &live.p, &key)? {
                let found: RequestRow = decode(&row).map_err(|e| live.p.damaged(&key, &e))?;
                return Ok(if found.body == once.body {
                    Ok(found.answer.to_decided(live.p.origin))
                } else {
                    Err(self.deny(live, st, op.name(), "", Reason::IdempotencyConflict.into(), None)?)
                });
            }
        }
        let reply = self.decide(live, st, op)?;
        // Only what was carried out is remembered: a denial may become an allow.
        if let Ok(decided) = &reply {
            let key = Row::Request(day, hash).key();
            let plain = encode(&RequestRow { body: once.body, answer: Answered::of(decided) });
            let unit = match live.runs.get(&decided.run_id) {
                Some(run) => run.unit.clone(),
                None => live.day_unit(st, DayKind::Control)?,
            };
            st.rows.put_under(&live.p, &key, (unit.0, &unit.1), &plain);
            st.remember(&live.p, key, plain);
        }
        Ok(reply)
    }

    fn decide(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        op: &WorkloadOp,
    ) -> Result<Reply, Defer> {
        let class = if op.settles() { Class::Settle } else { Class::Admit };
        if let Some(reason) = live.status.refuses(class) {
            return Ok(Err(Denial::bare(reason)));
        }
        let settled = match op {
            WorkloadOp::StartRun { workflow, env, actor, action, subject, prompt } => {
                let what = (workflow, action, prompt.as_ref());
                return self.start_run(live, st, what, (*env, *actor), subject.as_ref());
            }
            WorkloadOp::StartStep { run, name } => return self.start_step(live, st, *run, name),
            WorkloadOp::FinishStep { run, step, outcome, claimed_us, bytes_in, bytes_out } => {
                let claim = Claim { us: *claimed_us, bytes_in: *bytes_in, bytes_out: *bytes_out };
                self.finish_step(live, st, (*run, *step), *outcome, claim)
            }
            WorkloadOp::Heartbeat { run } => self.heartbeat(live, st, *run),
            WorkloadOp::Approve { run, name, approver, approved } => {
                self.approve(live, st, *run, (name, approver), *approved)
            }
            WorkloadOp::FinishRun { run, outcome } => self.end_run(live, st, *run, *outcome),
            WorkloadOp::CancelRun { run } => self.end_run(live, st, *run, Outcome::Cancelled),
        };
        Ok(settled?)
    }

    /// How old an allow may be that stands in for an engine that is down: SPEC, invariant 3, by profile.
    fn last_known_us(&self, log: &ControlState) -> Option<Micros> {
        let profile = profiles::profile(self.node, profiles::name_of(log))?;
        let lasts = profile.policy_outage == PolicyOutage::LastKnown;
        lasts.then_some(profile.last_known_s * SECOND)
    }

    /// Policy's word on what the gate let through. `before` is the gate as it was, for when policy says no.
    fn ask_policy(
        &self,
        live: &mut PartitionState,
        st: &BatchBuilder,
        before: AdmissionState,
        operation: &str,
        work: policy::Work<'_>,
    ) -> Result<Option<Reason>, Defer> {
        let name = Arc::clone(&live.shared);
        let control = Arc::clone(&live.control);
        // What the gate did not let through is not asked about: all of these hold.
        let input = policy::Input {
            version: 1,
            class: "admit",
            operation,
            tenant: name.name.as_str(),
            profile: profiles::name_of(&control),
            principal: "workload",
            scope: policy::Scope { proven: true },
            work: Some(work),
            workflow: Some(policy::Workflow { registered: true, prompt_fits: true }),
            within: Some(policy::Within { concurrent_runs: true, step_rate: true, receipt_backlog: true }),
            ramp: Some(policy::Ramp { included: true, killed: false }),
            freeze: policy::Freeze { active: false, break_glass: false },
            role: None,
            approvals: None,
        };
        let tenant = live.p.id.tenant;
        let denied = match self.policy.lookup(tenant, &input, st.now, self.last_known_us(&control)) {
            Lookup::Allow | Lookup::Aging | Lookup::LastKnown => return Ok(None),
            Lookup::Deny => Reason::PolicyDenied,
            Lookup::Down => Reason::PolicyUnavailable,
            Lookup::Unknown if self.tries >= TRIES => Reason::PolicyContention,
            Lookup::Unknown => {
                live.gate = before;
                return Err(Defer::Policy(Box::new(Query::of(tenant, &input))));
            }
        };
        live.gate = before;
        Ok(Some(denied))
    }

    fn start_run(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        (workflow, action, prompt): (&Ident, &Ident, Option<&[u8; 32]>),
        (env, actor): (Env, ActorType),
        subject: Option<&UntrustedText>,
    ) -> Result<Reply, Defer> {
        let id = RunId(crate::platform::random::bytes(&*st.random));
        let by_run = id.to_string();
        let request = RunRequest {
            action: action.as_str(),
            workflow,
            subject: subject.map_or(by_run.as_bytes(), |s| s.raw().as_bytes()),
            prompt,
        };
        let unsigned = live.unsigned();
        let control = Arc::clone(&live.control);
        let before = live.gate;
        let (mut reasons, ramped) =
            admission::start_run(&mut live.gate, &control, live.p.keys.ramp.bytes(), unsigned, request);
        if self.space == Space::Critical {
            live.gate = before;
            reasons.add(Reason::StoreUnavailable);
        }
        if reasons.is_empty() {
            let work = policy::Work {
                action: action.as_str(),
                workflow: workflow.as_str(),
                env: env.as_str(),
                actor: actor.as_str(),
            };
            if let Some(r) = self.ask_policy(live, st, before, "run.start", work)? {
                reasons.add(r);
            }
        }
        let allowed = reasons.is_empty();
        let fact = |reasons: Reasons| RunDecided {
            principal: self.principal.to_owned(),
            run: if allowed { id } else { RunId::default() },
            workflow: workflow.clone(),
            env,
            actor,
            action: action.clone(),
            subject: subject.cloned().unwrap_or_default(),
            verdict: if allowed { Verdict::Allow } else { Verdict::Deny },
            reasons: Listed(reasons.codes()),
            rule: ramped.rule.map(ToString::to_string).unwrap_or_default(),
            bucket: u64::from(ramped.bucket),
            ramp: u64::from(ramped.hundredths),
            lease_us: if allowed { self.lease_us } else { 0 },
        };
        if !allowed {
            // Where a ramp decides, each bucket is a denial of its own, so that a blast radius can be told exactly.
            let bucket =
                if ramped.hundredths < BasisPoints::FULL { ramped.bucket } else { BasisPoints::FULL.get() };
            let about = format!("run_start {action} {workflow} {env} {actor} {bucket}");
            return Ok(Err(self.fold(live, st, &about, reasons, None, || fact(reasons).into())?));
        }
        let unit = live.new_unit(&*Arc::clone(&st.random))?;
        let a = live.append(st, &fact(reasons).into(), (unit.0, &unit.1));
        live.allowed += 1;
        let row = RunRow {
            workflow: workflow.clone(),
            env,
            actor,
            action: action.clone(),
            started_us: a.time_us,
            started_at: a.index,
            steps: 0,
            outcome: None,
            last: a.index,
        };
        let lease_until = st.now.mono_us + self.lease_us;
        let run = Run { row, unit, steps: std::collections::BTreeMap::new(), next_step: 1, lease_until };
        live.put_run(st, id, &run);
        live.runs.insert(id, run);
        Ok(Ok(Decided {
            lease_us: Some(self.lease_us),
            sticky: Some(subject.is_some()),
            ..Self::decided(live, a.index, id)
        }))
    }

    fn start_step(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        id: RunId,
        name: &UntrustedText,
    ) -> Result<Reply, Defer> {
        let Some(run) = live.runs.get(&id) else {
            let reason = match self.gone(live, st, id, None)? {
                Missing::Unknown => Reason::RunUnknown,
                Missing::Ended(_) => Reason::RunClosed,
            };
            return Ok(Err(self.deny(live, st, "step_start", "", reason.into(), None)?));
        };
        let (workflow, env, actor) = (run.row.workflow.clone(), run.row.env, run.row.actor);
        let (action, open) = (run.row.action.clone(), run.steps.len());
        let unsigned = live.unsigned();
        let control = Arc::clone(&live.control);
        let which = (action.as_str(), workflow.as_str());
        let before = live.gate;
        let (mut reasons, wait) =
            admission::start_step(&mut live.gate, &control, unsigned, which, open, st.now.mono_us);
        if self.space == Space::Critical {
            live.gate = before;
            reasons.add(Reason::StoreUnavailable);
        }
        if reasons.is_empty() {
            let work =
                policy::Work { action: which.0, workflow: which.1, env: env.as_str(), actor: actor.as_str() };
            if let Some(r) = self.ask_policy(live, st, before, "step.start", work)? {
                reasons.add(r);
            }
        }
        let allowed = reasons.is_empty();
        let fact = |step: u64| StepDecided {
            principal: self.principal.to_owned(),
            run: id,
            step,
            name: name.clone(),
            workflow,
            env,
            actor,
            verdict: if allowed { Verdict::Allow } else { Verdict::Deny },
            reasons: Listed(reasons.codes()),
            lease_us: if allowed { self.lease_us } else { 0 },
        };
        if !allowed {
            let about = format!("step_start {id}");
            return Ok(Err(self.fold(live, st, &about, reasons, wait, || fact(0).into())?));
        }
        let lease_until = st.now.mono_us + self.lease_us;
        let Some(run) = live.runs.get_mut(&id) else { return Ok(Err(Denial::bare(Reason::RunUnknown))) };
        let step = run.next_step;
        run.next_step += 1;
        run.row.steps += 1;
        run.lease_until = lease_until;
        let unit = run.unit.clone();
        let a = live.append(st, &fact(step).into(), (unit.0, &unit.1));
        live.allowed += 1;
        let row = StepRow { name: name.clone(), started_us: a.time_us, outcome: None, last: a.index };
        live.put_step(st, id, &unit, step, &row);
        if let Some(run) = live.runs.get_mut(&id) {
            run.steps.insert(step, row);
        }
        Ok(Ok(Decided {
            step: Some(step),
            lease_us: Some(self.lease_us),
            ..Self::decided(live, a.index, id)
        }))
    }

    fn finish_step(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        (id, step): (RunId, u64),
        outcome: Outcome,
        claim: Claim,
    ) -> Result<Reply, ReadError> {
        let open = live.runs.get_mut(&id).and_then(|r| {
            let row = r.steps.remove(&step)?;
            r.lease_until = st.now.mono_us + self.lease_us;
            Some((r.unit.clone(), r.row.clone(), row))
        });
        let Some((unit, run, row)) = open else {
            return match self.gone(live, st, id, Some(step))? {
                Missing::Unknown => {
                    let known = live.runs.contains_key(&id)
                        || matches!(self.gone(live, st, id, None)?, Missing::Ended(_));
                    let reason = if known { Reason::StepUnknown } else { Reason::RunUnknown };
                    self.deny(live, st, "step_finish", "", reason.into(), None).map(Err)
                }
                Missing::Ended(was) => self.late(live, st, (id, step), outcome, was, claim),
            };
        };
        let index = self.settle_step(live, st, (id, step), (&unit, &run, row), outcome, claim);
        Ok(Ok(Decided { step: Some(step), lease_us: Some(self.lease_us), ..Self::decided(live, index, id) }))
    }

    /// Writes the end of an open step that was taken out of its run.
    fn settle_step(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        (id, step): (RunId, u64),
        (unit, run, mut row): (&(u64, crate::keys::Key), &RunRow, StepRow),
        outcome: Outcome,
        claim: Claim,
    ) -> u64 {
        let observed_us = st.now.wall_us.max(live.log.last_us()).saturating_sub(row.started_us);
        let fact = StepFinished {
            principal: self.principal.to_owned(),
            run: id,
            step,
            workflow: run.workflow.clone(),
            env: run.env,
            actor: run.actor,
            outcome,
            claimed_us: claim.us,
            observed_us,
            bytes_in: claim.bytes_in,
            bytes_out: claim.bytes_out,
        };
        let a = live.append(st, &fact.into(), (unit.0, &unit.1));
        live.ramp_stats.step_settled(&live.control, run, outcome, observed_us);
        row.outcome = Some(outcome);
        row.last = a.index;
        live.put_step(st, id, unit, step, &row);
        a.index
    }

    fn heartbeat(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        id: RunId,
    ) -> Result<Reply, ReadError> {
        let Some(run) = live.runs.get_mut(&id) else { return self.not_open(live, st, "run_heartbeat", id) };
        run.lease_until = st.now.mono_us + self.lease_us;
        let (unit, steps) = (run.unit.clone(), run.steps.len() as u64);
        let fact =
            LeaseRenewed { principal: self.principal.to_owned(), run: id, lease_us: self.lease_us, steps };
        let a = live.append(st, &fact.into(), (unit.0, &unit.1));
        Ok(Ok(Decided { lease_us: Some(self.lease_us), ..Self::decided(live, a.index, id) }))
    }

    fn approve(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        id: RunId,
        (name, approver): (&UntrustedText, &UntrustedText),
        approved: bool,
    ) -> Result<Reply, ReadError> {
        let Some(run) = live.runs.get_mut(&id) else { return self.not_open(live, st, "approval_decide", id) };
        run.lease_until = st.now.mono_us + self.lease_us;
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
        Ok(Ok(Self::decided(live, a.index, id)))
    }

    fn not_open(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        op: &'static str,
        id: RunId,
    ) -> Result<Reply, ReadError> {
        let reason = match self.gone(live, st, id, None)? {
            Missing::Unknown => Reason::RunUnknown,
            Missing::Ended(_) => Reason::RunClosed,
        };
        self.deny(live, st, op, "", reason.into(), None).map(Err)
    }

    /// Ends a run, and with it its open steps: finished by the workload, cancelled, or lost.
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
                Missing::Ended(was) => self.late(live, st, (id, 0), outcome, was, Claim::default()),
            };
        };
        let steps = std::mem::take(&mut run.steps);
        let open_steps = steps.len() as u64;
        // A run that went well cannot vouch for steps that never said so.
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
            observed_us: st.now.wall_us.max(live.log.last_us()).saturating_sub(run.row.started_us),
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

    /// A settle that came too late: recorded under the run's own key, and nothing else.
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
        let step = (step > 0).then_some(step);
        Ok(Ok(Decided { late: Some(was), step, ..Self::decided(live, a.index, id) }))
    }

    fn gone(
        &self,
        live: &PartitionState,
        st: &BatchBuilder,
        id: RunId,
        step: Option<u64>,
    ) -> Result<Missing, ReadError> {
        let key = step.map_or(Row::EndedRun(id.0), |n| Row::EndedStep(id.0, n)).key();
        let Some(plain) = st.row(self.store, &live.p, &key)? else { return Ok(Missing::Unknown) };
        let outcome = match step {
            None => decode::<RunRow>(&plain).map(|r| r.outcome),
            Some(_) => decode::<StepRow>(&plain).map(|r| r.outcome),
        };
        let outcome = outcome.map_err(|e| live.p.damaged(&key, &e))?;
        outcome.map(Missing::Ended).ok_or_else(|| live.p.damaged(&key, "ended without an outcome"))
    }

    fn decided(live: &PartitionState, index: u64, run: RunId) -> Decided {
        Decided {
            decision: Verdict::Allow,
            receipt: ReceiptRef { origin: live.p.origin, index },
            run_id: run,
            step: None,
            lease_us: None,
            sticky: None,
            late: None,
        }
    }

    /// Denies with a receipt, or with that of the same denial less than a second ago.
    fn fold(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        about: &str,
        reasons: Reasons,
        retry_after_us: Option<Micros>,
        fact: impl FnOnce() -> Fact,
    ) -> Result<Denial, ReadError> {
        deny_folded(live, st, self.principal, about, reasons, retry_after_us, fact)
    }

    fn deny(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        operation: &'static str,
        peer: &str,
        reasons: Reasons,
        retry_after_us: Option<Micros>,
    ) -> Result<Denial, ReadError> {
        self.fold(live, st, operation, reasons, retry_after_us, || {
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

/// What a workload claims about a step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Claim {
    us: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// Denies with a receipt in this partition, or with that of the same denial less than a second ago.
pub fn deny_folded(
    live: &mut PartitionState,
    st: &mut BatchBuilder,
    principal: &str,
    about: &str,
    reasons: Reasons,
    retry_after_us: Option<Micros>,
    fact: impl FnOnce() -> Fact,
) -> Result<Denial, ReadError> {
    live.denied += 1;
    let of_quota = [
        Reason::QuotaConcurrentRuns,
        Reason::QuotaReceiptBacklog,
        Reason::QuotaStepRate,
        Reason::QuotaEvidenceBytes,
    ];
    if of_quota.iter().any(|q| reasons.has(*q)) {
        live.quota_denied = Some(st.now.mono_us);
    }
    let same = DenialKey { principal: principal.to_owned(), about: about.to_owned(), reasons };
    let (index, nth) = match live.folds.fold(same, st.now.mono_us) {
        Folded::Into(first, nth) => {
            if of_quota.iter().any(|q| reasons.has(*q)) {
                live.quota_flood.note(first, st.now);
            }
            live.touch(st);
            (first, nth)
        }
        Folded::First(same) => {
            let unit = live.day_unit(st, DayKind::Denial)?;
            let index = live.append(st, &fact(), (unit.0, &unit.1)).index;
            if let Some(closed) = live.folds.begin(same, index, st.now.mono_us) {
                live.append(st, &closed.into(), (unit.0, &unit.1));
            }
            (index, 0)
        }
    };
    let receipt = Some(ReceiptRef { origin: live.p.origin, index });
    Ok(Denial { reasons, receipt, folded: nth > 0, held: nth > PATIENCE, retry_after_us })
}
