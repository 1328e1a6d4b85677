//! Plays workflows against an agent: starts a run; each step asks for admission when its parents are done, waits for its
//! recorded duration, and reports its outcome.
//!
//! Sums count only what the agent acknowledged. Every request carries an idempotency key, and a retry carries the same
//! one. A stopped replay leaves no run open.

use super::plan::TaskGraph;
use super::wfformat::Workflow;
use crate::client::error::ClientError;
use crate::client::workload::Workload;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::fact::{ActorType, Env, Outcome};
use conductor_shared::http::{Decided, FinishRun, FinishStep, ReceiptRef, StartRun, StartStep};
use conductor_shared::ids::{Ident, RunId};
use conductor_shared::untrusted::{UntrustedText, escape};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How fast recorded time passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    Max,
    /// So many times as fast as recorded.
    Times(f64),
}

impl Speed {
    /// How long a recorded duration takes.
    pub fn scale(self, us: u64) -> Duration {
        match self {
            Self::Max => Duration::ZERO,
            Self::Times(x) => {
                Duration::try_from_secs_f64(us as f64 / 1e6 / x).unwrap_or(Duration::from_secs(u64::MAX / 4))
            }
        }
    }
}

#[derive(Debug, Clone)]
pub struct Options {
    /// Workflow type, from the tenant's catalog.
    pub workflow: Ident,
    pub env: Env,
    /// Type of the actor that starts the runs.
    pub actor: ActorType,
    /// What is asked for.
    pub action: Ident,
    /// Subjects are this and the number of the run; without it a run is its own subject.
    pub subject_prefix: Option<String>,
    /// Prompt that the runs declare, SHA-256 in hex.
    pub prompt_sha256: Option<String>,
    pub speed: Speed,
    /// Share of runs that are finished as failed, whatever their steps did.
    pub fail_hundredths: BasisPoints,
    /// Steps of one run that may be open at a time.
    pub parallel: usize,
    /// Runs that may be open at a time.
    pub runs: usize,
    /// How long one request is tried again before its denial stands.
    pub max_wait: Duration,
    /// First part of all idempotency keys; unique to this replay.
    pub key: String,
}

/// One run to play.
#[derive(Debug, Clone)]
pub struct Job {
    /// Name for people, escaped.
    pub label: String,
    pub workflow: Arc<Workflow>,
    pub plan: Arc<TaskGraph>,
}

/// How a run ended here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    Succeeded,
    /// It was not let in.
    Denied,
    /// A step was denied or went wrong; the run was finished as failed.
    Failed,
    /// Stopped here, and cancelled at the agent.
    Cancelled,
}

/// Totals of one run or of all.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct ReplayTotals {
    pub steps: u64,
    /// Their recorded time, microseconds.
    pub step_us: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Reasons of all denials, those that were overcome by waiting too.
    pub denials: BTreeMap<String, u64>,
    pub retries: u64,
    /// Steps that ended too late to count.
    pub late: u64,
}

impl ReplayTotals {
    /// Adds what another one did.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.step_us = self.step_us.saturating_add(other.step_us);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        for (reason, n) in &other.denials {
            *self.denials.entry(reason.clone()).or_insert(0) += n;
        }
        self.retries += other.retries;
        self.late += other.late;
    }
}

/// The outcome of one run.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RunReport {
    pub label: String,
    /// The agent's id of it.
    pub run_id: Option<RunId>,
    pub ended: Ended,
    /// Receipt of its start or of its denial.
    pub receipt: Option<ReceiptRef>,
    #[serde(flatten)]
    pub totals: ReplayTotals,
    /// Why it did not succeed, escaped.
    pub why: Option<String>,
}

/// Called after each step and each run, from any thread; must not block.
pub type Watcher = Arc<dyn Fn(&ReplayEvent<'_>) + Send + Sync>;

/// What a watcher hears.
#[derive(Debug)]
pub enum ReplayEvent<'a> {
    Step,
    Run(&'a RunReport),
}

struct Run {
    workload: Workload,
    options: Arc<Options>,
    job: Job,
    number: usize,
    report: Mutex<RunReport>,
    watcher: Watcher,
    stop: watch::Receiver<bool>,
}

/// Whether being stopped ends the waiting between two attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Keep retrying: what has begun must be settled.
    Settle,
    /// Stop retrying: what has not begun need not begin.
    Admit,
}

/// Plays all jobs, at most `options.runs` at a time, until they are done or `stop` turns true. Reports come in the order
/// of the jobs; jobs that were never begun have none.
pub async fn drive(
    workload: &Workload,
    jobs: Vec<Job>,
    options: Options,
    stop: watch::Receiver<bool>,
    watcher: &Watcher,
) -> Vec<RunReport> {
    let options = Arc::new(options);
    let mut waiting = jobs.into_iter().enumerate();
    let mut going = JoinSet::new();
    let mut done: Vec<(usize, RunReport)> = vec![];
    loop {
        while going.len() < options.runs.max(1) && !*stop.borrow() {
            let Some((number, job)) = waiting.next() else { break };
            let run = Arc::new(Run {
                workload: workload.clone(),
                options: Arc::clone(&options),
                number,
                report: Mutex::new(blank(&job.label)),
                job,
                watcher: Arc::clone(watcher),
                stop: stop.clone(),
            });
            let stop = stop.clone();
            going.spawn(async move { (number, play(run, stop).await) });
        }
        match going.join_next().await {
            None => break,
            Some(Ok((number, report))) => {
                watcher(&ReplayEvent::Run(&report));
                done.push((number, report));
            }
            Some(Err(_)) => {} // a run's task neither panics nor is aborted
        }
    }
    done.sort_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, r)| r).collect()
}

fn blank(label: &str) -> RunReport {
    RunReport {
        label: label.to_owned(),
        run_id: None,
        ended: Ended::Failed,
        receipt: None,
        totals: ReplayTotals::default(),
        why: None,
    }
}

/// Resolves when the replay is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|s| *s).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn play(run: Arc<Run>, mut stop: watch::Receiver<bool>) -> RunReport {
    // A start that is under way is waited for, also when stopped: were it let in, the run would be left open.
    let decided = match run.start().await {
        Ok(d) => d,
        Err(e) => {
            let ended = if e.problem().is_some() { Ended::Denied } else { Ended::Failed };
            run.tally().receipt = e.problem().and_then(|p| p.receipt);
            return run.end(ended, Some(e.to_string()));
        }
    };
    let id = decided.run_id;
    {
        let mut t = run.tally();
        t.run_id = Some(id);
        t.receipt = Some(decided.receipt);
    }
    // Dropping the set ends the heartbeats with the run.
    let mut beats = JoinSet::new();
    if let Some(lease) = decided.lease_us {
        beats.spawn(heartbeats(Arc::clone(&run), id, lease));
    }
    let trouble = tokio::select! {
        biased;
        t = run.steps(id) => t,
        () = stopped(&mut stop) => {
            beats.abort_all();
            let key = run.key("cancel");
            let cancel = run.ask(Patience::Settle, || run.workload.cancel_run(id, &key));
            let why = match tokio::time::timeout(Duration::from_secs(10), cancel).await {
                Ok(Ok(_)) => "stopped here; the run is cancelled".to_owned(),
                Ok(Err(e)) => format!("stopped here, and the agent did not cancel the run: {e}"),
                Err(_) => "stopped here, and the agent did not answer; its lease ends the run".to_owned(),
            };
            return run.end(Ended::Cancelled, Some(why));
        }
    };
    let trouble = trouble.or_else(|| run.made_to_fail().then(|| "it was made to fail (--fail)".to_owned()));
    let outcome = if trouble.is_none() { Outcome::Succeeded } else { Outcome::Failed };
    let body = FinishRun { tenant_id: run.workload.tenant().clone(), outcome };
    let key = run.key("finish");
    let finished = run.ask(Patience::Settle, || run.workload.finish_run(id, &body, &key)).await;
    match (trouble, finished) {
        (None, Ok(_)) => run.end(Ended::Succeeded, None),
        (Some(why), Ok(_)) => run.end(Ended::Failed, Some(why)),
        (why, Err(e)) => {
            run.end(Ended::Failed, Some(why.unwrap_or_else(|| format!("finish of the run: {e}"))))
        }
    }
}

async fn heartbeats(run: Arc<Run>, id: RunId, lease_us: u64) {
    let every = Duration::from_micros(lease_us / 3).max(Duration::from_millis(50));
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await; // the first comes at once, and the run has just begun
    for n in 1u64.. {
        ticks.tick().await;
        let key = run.key(&format!("beat-{n}"));
        // The next heartbeat makes up for a failed one.
        let _ = run.workload.heartbeat(id, &key).await;
    }
}

/// The end of a step: its index, and its error if it failed.
type StepEnd = (u32, Option<String>);

impl Run {
    fn tally(&self) -> MutexGuard<'_, RunReport> {
        self.report.lock()
    }

    fn key(&self, what: &str) -> String {
        format!("{}-r{}-{what}", self.options.key, self.number)
    }

    /// Evenly spread: of any so many runs in a row that share fails.
    fn made_to_fail(&self) -> bool {
        let (n, share) = (self.number as u64, u64::from(self.options.fail_hundredths));
        let so_far = |runs: u64| runs * share / u64::from(BasisPoints::FULL);
        so_far(n + 1) > so_far(n)
    }

    fn end(&self, ended: Ended, why: Option<String>) -> RunReport {
        let mut t = self.tally();
        t.ended = ended;
        t.why = why;
        t.clone()
    }

    async fn start(&self) -> Result<Decided, ClientError> {
        let o = &self.options;
        let body = StartRun {
            tenant_id: self.workload.tenant().clone(),
            workflow_type: o.workflow.clone(),
            env: o.env,
            actor_type: o.actor,
            action: o.action.clone(),
            prompt_sha256: o.prompt_sha256.clone(),
            subject: o.subject_prefix.as_ref().map(|p| UntrustedText::new(format!("{p}{}", self.number))),
        };
        let key = self.key("start");
        self.ask(Patience::Admit, || self.workload.start_run(&body, &key)).await
    }

    /// Plays the steps in order of their parents. Says what went wrong, after open steps have ended.
    async fn steps(self: &Arc<Self>, id: RunId) -> Option<String> {
        let plan = &self.job.plan;
        let mut waits = plan.waits.clone();
        let mut ready: VecDeque<u32> = plan.roots().collect();
        let mut open: JoinSet<StepEnd> = JoinSet::new();
        let mut trouble: Option<String> = None;
        loop {
            while trouble.is_none() && open.len() < self.options.parallel.max(1) {
                let Some(place) = ready.pop_front() else { break };
                let run = Arc::clone(self);
                open.spawn(async move { (place, run.step(id, place).await.err()) });
            }
            let Some(ended) = open.join_next().await else { return trouble };
            let Ok((place, wrong)) = ended else { continue };
            if let Some(wrong) = wrong {
                let task = &self.job.workflow.tasks[place as usize].id;
                trouble.get_or_insert_with(|| format!("step \"{}\": {wrong}", escape(task, 80)));
                continue;
            }
            (self.watcher)(&ReplayEvent::Step);
            for child in plan.children(place) {
                let w = &mut waits[*child as usize];
                *w -= 1;
                if *w == 0 {
                    ready.push_back(*child);
                }
            }
        }
    }

    async fn step(&self, id: RunId, place: u32) -> Result<(), String> {
        let task = &self.job.workflow.tasks[place as usize];
        let tenant_id = self.workload.tenant().clone();
        let start = StartStep { tenant_id: tenant_id.clone(), name: UntrustedText::new(task.id.as_str()) };
        let key = self.key(&format!("s{place}"));
        let decided = self.ask(Patience::Admit, || self.workload.start_step(id, &start, &key)).await;
        let decided = decided.map_err(|e| e.to_string())?;
        let number = decided.step.ok_or("the agent let the step in and gave no number for it")?;
        tokio::time::sleep(self.options.speed.scale(task.duration_us)).await;
        let finish = FinishStep {
            tenant_id,
            outcome: Outcome::Succeeded,
            duration_us: task.duration_us,
            bytes_in: task.bytes_in,
            bytes_out: task.bytes_out,
        };
        let key = self.key(&format!("f{place}"));
        let finished =
            self.ask(Patience::Settle, || self.workload.finish_step(id, number, &finish, &key)).await;
        let finished = finished.map_err(|e| e.to_string())?;
        let mut report = self.tally();
        let t = &mut report.totals;
        if finished.late.is_some() {
            t.late += 1;
            return Err("it ended after its lease: the agent had given it up".into());
        }
        t.steps += 1;
        t.step_us = t.step_us.saturating_add(task.duration_us);
        t.bytes_in = t.bytes_in.saturating_add(task.bytes_in);
        t.bytes_out = t.bytes_out.saturating_add(task.bytes_out);
        Ok(())
    }

    /// Sends until there is an answer that stands: waits as the agent says, but not longer than allowed in all.
    async fn ask<F>(&self, patience: Patience, send: impl Fn() -> F) -> Result<Decided, ClientError>
    where
        F: Future<Output = Result<Decided, ClientError>>,
    {
        let mut waited = Duration::ZERO;
        for attempt in 0u32.. {
            let e = match send().await {
                Ok(d) => return Ok(d),
                Err(e) => e,
            };
            if let Some(p) = e.problem() {
                let mut t = self.tally();
                for r in &p.reasons {
                    *t.totals.denials.entry(r.code().to_owned()).or_insert(0) += 1;
                }
            }
            let Some(wait) = again(&e, attempt) else { return Err(e) };
            if waited + wait > self.options.max_wait {
                return Err(e);
            }
            let mut stop = self.stop.clone();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopped(&mut stop), if patience == Patience::Admit => return Err(e),
            }
            self.tally().totals.retries += 1;
            waited += wait;
        }
        Err(ClientError::Usage("gave up".into())) // not reached: attempts end by time
    }
}

/// How long to wait before sending the same again; `None` when that cannot help.
fn again(e: &ClientError, attempt: u32) -> Option<Duration> {
    let backoff = Duration::from_millis(50u64 << attempt.min(5)).min(Duration::from_secs(2));
    match e.problem() {
        Some(p) if matches!(p.status, 429 | 503) => {
            let asked = p.retry_after_us.map(Duration::from_micros);
            // Others wait for the same moment: a request that was denied before waits longer than asked.
            let longer = if attempt == 0 { Duration::from_millis(10) } else { backoff };
            Some(asked.unwrap_or(backoff).max(longer))
        }
        Some(_) => None,
        None => e.may_retry().then_some(backoff),
    }
}
