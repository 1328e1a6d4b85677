//! Admission of runs and steps: quotas, kill switches, ramp and prompt first, then disk space, then policy.

use super::{Defer, Missing, WorkloadCtx};
use crate::intake::request::{Denial, NewRun, Reply};
use crate::partition::admission::{self, Ramped, RunRequest};
use crate::partition::{Beats, PartitionState, Run};
use crate::policy::{Lookup, Query, TRIES, Wanted};
use crate::rows::{RunRow, StepRow};
use crate::staging::BatchBuilder;
use crate::store::Space;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::clock::{Now, micros};
use conductor_shared::codec::Listed;
use conductor_shared::control::{ControlState, profiles};
use conductor_shared::fact::{RunDecided, StepDecided, Verdict};
use conductor_shared::http::Decided;
use conductor_shared::ids::RunId;
use conductor_shared::policy;
use conductor_shared::profile::PolicyOutage;
use conductor_shared::reason::{Reason, Reasons};
use conductor_shared::untrusted::UntrustedText;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

impl WorkloadCtx<'_> {
    /// Maximum age of a cached allow that may replace a verdict while policy is down. `None`: the profile denies instead.
    fn last_known(&self, log: &ControlState) -> Option<Duration> {
        let profile = profiles::profile(self.node, profiles::name_of(log))?;
        let lasts = profile.policy_outage == PolicyOutage::LastKnown;
        lasts.then_some(Duration::from_secs(profile.last_known_s))
    }

    /// Asks policy about a request that all other checks allow. Returns its reason to deny.
    fn ask_policy(
        &self,
        live: &PartitionState,
        now: Now,
        operation: &str,
        work: policy::Work<'_>,
    ) -> Result<Option<Reason>, Defer> {
        // Policy is only asked when every built-in check passed, so all of these are true.
        let input = policy::Input {
            version: 1,
            class: "admit",
            operation,
            tenant: live.shared.name.as_str(),
            profile: profiles::name_of(&live.control),
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
        let wanted = Wanted { last_known: self.last_known(&live.control), asked: self.tries > 0 };
        match self.policy.lookup(tenant, &input, now, wanted) {
            Lookup::Allow | Lookup::Aging | Lookup::LastKnown => Ok(None),
            Lookup::Deny => Ok(Some(Reason::PolicyDenied)),
            Lookup::Down => Ok(Some(Reason::PolicyUnavailable)),
            Lookup::Unknown if self.tries >= TRIES => Ok(Some(Reason::PolicyContention)),
            Lookup::Unknown => Err(Defer::Policy(Box::new(Query::of(tenant, &input)))),
        }
    }

    /// Adds the reasons of disk space and, if nothing denies the request so far, of policy.
    fn disk_and_policy(
        &self,
        live: &PartitionState,
        now: Now,
        mut reasons: Reasons,
        (operation, work): (&str, policy::Work<'_>),
    ) -> Result<Reasons, Defer> {
        if matches!(self.space, Space::Critical | Space::ControlOnly) {
            reasons.add(Reason::StoreUnavailable);
        }
        if reasons.is_empty() {
            reasons.extend(self.ask_policy(live, now, operation, work)?);
        }
        Ok(reasons)
    }

    pub(super) fn start_run(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        new: &NewRun,
    ) -> Result<Reply, Defer> {
        let id = RunId(crate::platform::random::bytes(&*st.random));
        let by_run = id.to_string();
        let request = RunRequest {
            action: new.action.as_str(),
            workflow: &new.workflow,
            subject: new.subject.as_ref().map_or(by_run.as_bytes(), |s| s.raw().as_bytes()),
            prompt: new.prompt.as_ref(),
        };
        let control = Arc::clone(&live.control);
        // Works on a copy: counters change only if the run is admitted.
        let mut gate = live.gate;
        let ramp_key = live.p.keys.ramp.bytes();
        let (reasons, ramped) = admission::start_run(&mut gate, &control, ramp_key, live.unsigned(), request);
        let work = policy::Work {
            action: new.action.as_str(),
            workflow: new.workflow.as_str(),
            env: new.env.as_str(),
            actor: new.actor.as_str(),
        };
        let reasons = self.disk_and_policy(live, st.now, reasons, ("run.start", work))?;
        if !reasons.is_empty() {
            return self.deny_run(live, st, new, &ramped, reasons);
        }
        live.gate = gate;
        self.record_run(live, st, id, new, &ramped)
    }

    fn deny_run(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        new: &NewRun,
        ramped: &Ramped<'_>,
        reasons: Reasons,
    ) -> Result<Reply, Defer> {
        // Where a ramp decides, denials fold by bucket, so that the preview can count how many a change would admit.
        let bucket =
            if ramped.hundredths < BasisPoints::FULL { ramped.bucket } else { BasisPoints::FULL.get() };
        let NewRun { action, workflow, env, actor, .. } = new;
        let about = format!("run_start {action} {workflow} {env} {actor} {bucket}");
        let fact = || RunDecided {
            verdict: Verdict::Deny,
            reasons: Listed(reasons.codes()),
            ..self.run_decided(RunId::default(), new, ramped)
        };
        Ok(Err(self.fold(live, st, &about, reasons, None, || fact().into())?))
    }

    fn record_run(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        id: RunId,
        new: &NewRun,
        ramped: &Ramped<'_>,
    ) -> Result<Reply, Defer> {
        let unit = live.new_unit(&*Arc::clone(&st.random))?;
        let fact = RunDecided { lease_us: micros(self.lease), ..self.run_decided(id, new, ramped) };
        let a = live.append(st, &fact.into(), (unit.0, &unit.1));
        live.allowed += 1;
        let row = RunRow {
            workflow: new.workflow.clone(),
            env: new.env,
            actor: new.actor,
            action: new.action.clone(),
            started: a.time,
            started_at: a.index,
            steps: 0,
            outcome: None,
            last: a.index,
            approvals: vec![],
        };
        let lease_until = st.now.mono + self.lease;
        let run =
            Run { row, unit, steps: BTreeMap::new(), next_step: 1, lease_until, beats: Beats::default() };
        live.put_run(st, id, &run);
        live.runs.insert(id, run);
        Ok(Ok(Decided {
            lease_us: Some(micros(self.lease)),
            sticky: Some(new.subject.is_some()),
            ..Self::decided(live, a.index, id)
        }))
    }

    /// An allow without a lease. A denial overrides verdict and reasons.
    fn run_decided(&self, run: RunId, new: &NewRun, ramped: &Ramped<'_>) -> RunDecided {
        RunDecided {
            principal: self.principal.to_owned(),
            run,
            workflow: new.workflow.clone(),
            env: new.env,
            actor: new.actor,
            action: new.action.clone(),
            subject: new.subject.clone().unwrap_or_default(),
            verdict: Verdict::Allow,
            reasons: Listed(Vec::new()),
            rule: ramped.rule.map(ToString::to_string).unwrap_or_default(),
            bucket: u64::from(ramped.bucket),
            ramp: u64::from(ramped.hundredths),
            lease_us: 0,
        }
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
                Missing::Ended(..) => Reason::RunClosed,
            };
            return Ok(Err(self.deny(live, st, "step_start", "", reason.into(), None)?));
        };
        let work = policy::Work {
            action: run.row.action.as_str(),
            workflow: run.row.workflow.as_str(),
            env: run.row.env.as_str(),
            actor: run.row.actor.as_str(),
        };
        let mut gate = live.gate;
        let which = (work.action, work.workflow);
        let (reasons, wait) = admission::start_step(
            &mut gate,
            &live.control,
            live.unsigned(),
            which,
            run.steps.len(),
            st.now.mono,
        );
        let reasons = self.disk_and_policy(live, st.now, reasons, ("step.start", work))?;
        if !reasons.is_empty() {
            let row = run.row.clone();
            let fact = || StepDecided {
                verdict: Verdict::Deny,
                reasons: Listed(reasons.codes()),
                ..self.step_decided((id, 0), name, &row)
            };
            let about = format!("step_start {id}");
            return Ok(Err(self.fold(live, st, &about, reasons, wait, || fact().into())?));
        }
        live.gate = gate;
        Ok(self.record_step(live, st, id, name))
    }

    fn record_step(
        &self,
        live: &mut PartitionState,
        st: &mut BatchBuilder,
        id: RunId,
        name: &UntrustedText,
    ) -> Reply {
        let lease_until = st.now.mono + self.lease;
        let Some(run) = live.runs.get_mut(&id) else { return Err(Denial::bare(Reason::RunUnknown)) };
        let step = run.next_step;
        run.next_step += 1;
        run.row.steps += 1;
        run.lease_until = lease_until;
        let unit = run.unit.clone();
        let fact =
            StepDecided { lease_us: micros(self.lease), ..self.step_decided((id, step), name, &run.row) };
        let a = live.append(st, &fact.into(), (unit.0, &unit.1));
        live.allowed += 1;
        let row = StepRow { name: name.clone(), started: a.time, outcome: None, last: a.index };
        live.put_step(st, id, &unit, step, &row);
        if let Some(run) = live.runs.get_mut(&id) {
            run.steps.insert(step, row);
        }
        Ok(Decided {
            step: Some(step),
            lease_us: Some(micros(self.lease)),
            ..Self::decided(live, a.index, id)
        })
    }

    /// An allow without a lease. A denial overrides verdict and reasons.
    fn step_decided(&self, (run, step): (RunId, u64), name: &UntrustedText, of: &RunRow) -> StepDecided {
        StepDecided {
            principal: self.principal.to_owned(),
            run,
            step,
            name: name.clone(),
            workflow: of.workflow.clone(),
            env: of.env,
            actor: of.actor,
            verdict: Verdict::Allow,
            reasons: Listed(Vec::new()),
            lease_us: 0,
        }
    }
}
