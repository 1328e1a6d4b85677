//! May a run or a step start? Quotas, kill switches, ramp and prompt first, then policy.

use super::{Defer, Missing, WorkloadCtx};
use crate::intake::request::{Denial, Reply};
use crate::partition::admission::{self, AdmissionState, RunRequest};
use crate::partition::{PartitionState, Run};
use crate::policy::{Lookup, Query, TRIES};
use crate::rows::{RunRow, StepRow};
use crate::staging::BatchBuilder;
use crate::store::Space;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::clock::{Micros, SECOND};
use conductor_shared::codec::Listed;
use conductor_shared::control::{ControlState, profiles};
use conductor_shared::fact::{ActorType, Env, RunDecided, StepDecided, Verdict};
use conductor_shared::http::Decided;
use conductor_shared::ids::{Ident, RunId};
use conductor_shared::policy;
use conductor_shared::profile::PolicyOutage;
use conductor_shared::reason::{Reason, Reasons};
use conductor_shared::untrusted::UntrustedText;
use std::sync::Arc;

impl WorkloadCtx<'_> {
    /// How old an allow may be that stands in for an engine that is down: SPEC, invariant 3, by profile.
    pub(super) fn last_known_us(&self, log: &ControlState) -> Option<Micros> {
        let profile = profiles::profile(self.node, profiles::name_of(log))?;
        let lasts = profile.policy_outage == PolicyOutage::LastKnown;
        lasts.then_some(profile.last_known_s * SECOND)
    }

    /// Policy's word on what the gate let through. `before` is the gate as it was, for when policy says no.
    pub(super) fn ask_policy(
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

    pub(super) fn start_run(
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

    pub(super) fn start_step(
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
}
