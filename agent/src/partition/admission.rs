//! The hot decision: all quotas, kill switches and the ramp, in one pass that collects every reason and allocates
//! nothing. Pure: state in, reasons out.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::clock::MonoTime;
use conductor_shared::control::ControlState;
use conductor_shared::quota::RateBucket;
use conductor_shared::ramp::{self};
use conductor_shared::reason::{Reason, Reasons};
use std::time::Duration;

/// Open steps that one run may have.
pub const MAX_OPEN_STEPS: usize = 1_000;

/// What the gate keeps for a tenant.
#[derive(Debug, Clone, Copy, Default)]
pub struct AdmissionState {
    /// Open runs.
    pub open_runs: u64,
    /// Rate limiter of steps.
    pub bucket: RateBucket,
}

/// Where a request fell in a ramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramped<'a> {
    /// The rule that decided; `None` without rules.
    pub rule: Option<&'a ramp::Selector>,
    /// Its value.
    pub hundredths: BasisPoints,
    /// The bucket of the subject.
    pub bucket: u16,
}

/// A request to start a run.
#[derive(Debug, Clone, Copy)]
pub struct RunRequest<'a> {
    /// What is asked for.
    pub action: &'a str,
    /// Workflow type.
    pub workflow: &'a conductor_shared::ids::Ident,
    /// Subject, or the run's id.
    pub subject: &'a [u8],
    /// SHA-256 of the prompt that it declares.
    pub prompt: Option<&'a [u8; 32]>,
}

fn backlog(control: &ControlState, unsigned: u64, reasons: &mut Reasons) {
    if unsigned >= control.quotas.receipt_backlog.granted {
        reasons.add(Reason::QuotaReceiptBacklog);
    }
}

/// May this run start? Takes the place of an open run when it may.
pub fn start_run<'a>(
    gate: &mut AdmissionState,
    control: &'a ControlState,
    ramp_key: &[u8; 32],
    unsigned: u64,
    request: RunRequest<'_>,
) -> (Reasons, Ramped<'a>) {
    let mut reasons = Reasons::default();
    let workflow = request.workflow.as_str();
    if !control.workflows.contains(request.workflow) {
        reasons.add(Reason::WorkflowUnknown);
    }
    if !control.prompt_fits(request.workflow, request.prompt) {
        reasons.add(Reason::PromptMismatch);
    }
    if gate.open_runs >= control.quotas.concurrent_runs.granted {
        reasons.add(Reason::QuotaConcurrentRuns);
    }
    backlog(control, unsigned, &mut reasons);
    match control.killed(request.action, workflow) {
        Some(k) if k.drain => reasons.add(Reason::KilledDraining),
        Some(_) => reasons.add(Reason::Killed),
        None => {}
    }
    let bucket = ramp::bucket(ramp_key, request.action, workflow, request.subject);
    let rule = ramp::deciding(&control.ramps, request.action, workflow);
    let hundredths = rule.map_or(BasisPoints::FULL, |(_, r)| r.hundredths);
    if !hundredths.includes(bucket) {
        reasons.add(Reason::RampExcluded);
    }
    if reasons.is_empty() {
        gate.open_runs += 1;
    }
    (reasons, Ramped { rule: rule.map(|(s, _)| s), hundredths, bucket })
}

/// May this step start? Takes one from the bucket when it may; else says after how long the rate allows it.
pub fn start_step(
    gate: &mut AdmissionState,
    control: &ControlState,
    unsigned: u64,
    (action, workflow): (&str, &str),
    open_steps: usize,
    mono: MonoTime,
) -> (Reasons, Option<Duration>) {
    let mut reasons = Reasons::default();
    backlog(control, unsigned, &mut reasons);
    if control.killed(action, workflow).is_some_and(|k| !k.drain) {
        reasons.add(Reason::Killed);
    }
    if open_steps >= MAX_OPEN_STEPS {
        reasons.add(Reason::StepsTooMany);
    }
    let mut wait = None;
    // A denied request takes nothing from the bucket.
    let mut bucket = gate.bucket;
    let (rate, burst) = (control.quotas.step_rate.granted, control.quotas.step_burst.granted);
    match bucket.take(mono, rate, burst) {
        Ok(()) if reasons.is_empty() => gate.bucket = bucket,
        Ok(()) => {}
        Err(after) => {
            reasons.add(Reason::QuotaStepRate);
            wait = (after != RateBucket::NEVER).then_some(after);
        }
    }
    (reasons, wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use conductor_shared::command::{Operation, ops};
    use conductor_shared::ids::Ident;
    use conductor_shared::quota::QuotaKind;

    fn state(ops: &[Operation]) -> ControlState {
        ops.iter().fold(ControlState::default(), |s, op| s.after(op))
    }

    /// SPEC, Words (decision): every reason that applies is told, and a denial takes nothing.
    #[test]
    fn every_reason_is_told_and_nothing_is_taken() {
        let sel = || "*/*".parse().unwrap();
        let control = state(&[
            Operation::QuotaCap(ops::QuotaCap { kind: QuotaKind::ConcurrentRuns, limit: 0 }),
            Operation::QuotaCap(ops::QuotaCap { kind: QuotaKind::ReceiptBacklog, limit: 5 }),
            Operation::KillSet(ops::KillSet { selector: sel(), drain: false }),
            Operation::RampCap(ops::RampCap { selector: sel(), hundredths: BasisPoints::saturating(0) }),
        ]);
        let mut gate = AdmissionState::default();
        let workflow = Ident::new("etl").unwrap();
        let request = RunRequest { action: "run", workflow: &workflow, subject: b"s", prompt: None };
        let (reasons, ramped) = start_run(&mut gate, &control, &[0; 32], 5, request);
        let codes: Vec<_> = reasons.iter().map(Reason::code).collect();
        assert_eq!(
            codes,
            ["quota_concurrent_runs", "quota_receipt_backlog", "ramp_excluded", "killed", "workflow_unknown"]
        );
        assert_eq!((gate.open_runs, ramped.hundredths), (0, BasisPoints::ZERO));
        let before = gate.bucket;
        let (reasons, _) =
            start_step(&mut gate, &control, 5, ("run", "etl"), MAX_OPEN_STEPS, MonoTime::from_micros(1_000));
        assert!(reasons.has(Reason::Killed) && reasons.has(Reason::StepsTooMany));
        assert_eq!(gate.bucket, before);
    }

    /// SPEC 3.1: `kill --drain` denies new runs only, `kill` steps as well.
    #[test]
    fn draining_lets_open_runs_go_on() {
        let etl = Operation::WorkflowRegister(ops::WorkflowRegister { workflow: Ident::new("etl").unwrap() });
        let kill = |drain| Operation::KillSet(ops::KillSet { selector: "*/etl".parse().unwrap(), drain });
        for (drain, step_denied) in [(true, false), (false, true)] {
            let control = state(&[etl.clone(), kill(drain)]);
            let mut gate = AdmissionState::default();
            let workflow = Ident::new("etl").unwrap();
            let request = RunRequest { action: "run", workflow: &workflow, subject: b"s", prompt: None };
            assert!(!start_run(&mut gate, &control, &[0; 32], 0, request).0.is_empty());
            let (r, _) = start_step(&mut gate, &control, 0, ("run", "etl"), 0, MonoTime::from_micros(1));
            assert_eq!(!r.is_empty(), step_denied);
        }
    }

    /// SPEC, Gates (prompt integrity): a pinned prompt lets that prompt in and no other, and not none.
    #[test]
    fn another_prompt_is_denied() {
        let workflow = Ident::new("agent-native-loop-n4").unwrap();
        let pinned: [u8; 32] =
            conductor_shared::ids::unhex("2fcf3ef5535a5dd116439d1fc8a665e03945e1c6981373895fd9344bd486b658")
                .unwrap();
        let register = Operation::WorkflowRegister(ops::WorkflowRegister { workflow: workflow.clone() });
        let pin =
            Operation::WorkflowPin(ops::WorkflowPin { workflow: workflow.clone(), prompt_sha256: pinned });
        let reasons = |control: &ControlState, prompt: Option<&[u8; 32]>| {
            let request = RunRequest { action: "run", workflow: &workflow, subject: b"s", prompt };
            let (r, _) = start_run(&mut AdmissionState::default(), control, &[0; 32], 0, request);
            r.iter().map(Reason::code).collect::<Vec<_>>()
        };
        let control = state(&[register.clone(), pin]);
        assert!(reasons(&control, Some(&pinned)).is_empty());
        assert_eq!(reasons(&control, Some(&[1; 32])), ["prompt_mismatch"]);
        assert_eq!(reasons(&control, None), ["prompt_mismatch"]);
        assert!(
            reasons(&state(&[register]), Some(&[1; 32])).is_empty(),
            "without a pin every prompt may run"
        );
    }
}
