//! `conductor replay`: from files or made-up workflows to a summary.

use super::drive::{Ended, Job, Options, ReplayEvent, ReplayTotals, RunReport, Watcher, drive};
use super::plan::TaskGraph;
use super::wfformat::{self, Sums};
use crate::client::error::seconds;
use crate::client::workload::Workload;
use conductor_shared::clock::{Clock, micros};
use conductor_shared::untrusted::escape;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// Maximum number of runs.
pub const MAX_RUNS: usize = 1_000_000;

/// Where workflows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplaySource {
    Files(Vec<PathBuf>),
    Generated { count: u64, seed: u64 },
}

/// Reads or makes the workflows and repeats them. An error names the file.
pub fn jobs(source: &ReplaySource, repeat: usize) -> Result<Vec<Job>, String> {
    let asked = match source {
        ReplaySource::Files(files) => files.len(),
        ReplaySource::Generated { count, .. } => usize::try_from(*count).unwrap_or(usize::MAX),
    };
    // Before any of them is made.
    let total = asked.saturating_mul(repeat);
    if total > MAX_RUNS {
        return Err(format!("{total} runs were asked for, and at most {MAX_RUNS} are played at a time"));
    }
    let mut jobs = vec![];
    let mut add = |label: String, workflow: wfformat::Workflow| {
        let plan = TaskGraph::new(&workflow).map_err(|e| format!("{label}: {e}"))?;
        for note in &workflow.notes {
            eprintln!("{label}: note: {note}");
        }
        jobs.push(Job { label, workflow: Arc::new(workflow), plan: Arc::new(plan) });
        Ok::<_, String>(())
    };
    match source {
        ReplaySource::Files(files) => {
            for f in files {
                let label = escape(&f.to_string_lossy(), 200);
                let w = wfformat::read_file(f).map_err(|e| format!("{label}: {e}"))?;
                add(label, w)?;
            }
        }
        ReplaySource::Generated { count, seed } => {
            for n in 0..*count {
                let w = super::generate::workflow(*seed, n);
                add(w.name.clone(), w)?;
            }
        }
    }
    let once = jobs.len();
    Ok(jobs.into_iter().cycle().take(once * repeat).collect())
}

/// Everything a replay did.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ReplaySummary {
    /// Runs by how they ended.
    pub runs: BTreeMap<&'static str, u64>,
    /// Runs that were not begun, because the replay was stopped.
    pub not_begun: u64,
    /// What the agent acknowledged.
    #[serde(flatten)]
    pub totals: ReplayTotals,
    /// Exact sums over the records that were to be played: what `steps` and the rest come to when nothing is denied.
    pub recorded: Sums,
    /// How long it took, microseconds.
    pub elapsed_us: u64,
    /// Each run, in order.
    pub reports: Vec<RunReport>,
}

impl ReplaySummary {
    fn new(jobs_planned: u64, recorded: Sums, reports: Vec<RunReport>, elapsed_us: u64) -> Self {
        let mut runs = BTreeMap::from([("cancelled", 0), ("denied", 0), ("failed", 0), ("succeeded", 0)]);
        let begun = reports.len() as u64;
        let mut s = Self {
            runs: BTreeMap::new(),
            not_begun: jobs_planned.saturating_sub(begun),
            totals: ReplayTotals::default(),
            recorded,
            elapsed_us,
            reports: vec![],
        };
        for r in &reports {
            *runs.entry(word(r.ended)).or_insert(0) += 1;
            s.totals.add(&r.totals);
        }
        s.runs = runs;
        s.reports = reports;
        s
    }

    /// True when every run was let in and succeeded.
    pub fn all_succeeded(&self) -> bool {
        self.not_begun == 0 && self.runs.iter().all(|(k, n)| *k == "succeeded" || *n == 0)
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        let n = |k| self.runs.get(k).copied().unwrap_or(0);
        let _ = writeln!(
            out,
            "runs       {} succeeded, {} denied, {} failed, {} cancelled",
            n("succeeded"),
            n("denied"),
            n("failed"),
            n("cancelled")
        );
        if self.not_begun > 0 {
            let _ = writeln!(out, "           {} not begun", self.not_begun);
        }
        let _ = writeln!(out, "steps      {} of {} recorded", self.totals.steps, self.recorded.tasks);
        let (did, all) = (self.totals.step_us, self.recorded.duration_us);
        let _ = writeln!(out, "step time  {did} us ({} s) of {all} us recorded", seconds(did));
        let _ = writeln!(out, "bytes in   {} of {} recorded", self.totals.bytes_in, self.recorded.bytes_in);
        let _ = writeln!(out, "bytes out  {} of {} recorded", self.totals.bytes_out, self.recorded.bytes_out);
        let _ = writeln!(out, "sent again {}", self.totals.retries);
        for (reason, n) in &self.totals.denials {
            let _ = writeln!(out, "denied     {n} x {reason}");
        }
        let _ = writeln!(out, "took       {} s", seconds(self.elapsed_us));
        out
    }
}

fn word(e: Ended) -> &'static str {
    match e {
        Ended::Succeeded => "succeeded",
        Ended::Denied => "denied",
        Ended::Failed => "failed",
        Ended::Cancelled => "cancelled",
    }
}

/// Plays, shows progress on standard error, and cancels its open runs on Ctrl-C or SIGTERM.
pub async fn run(workload: &Workload, jobs: Vec<Job>, options: Options, clock: &dyn Clock) -> ReplaySummary {
    let recorded = jobs.iter().map(|j| j.workflow.sums()).fold(Sums::default(), |a, b| Sums {
        tasks: a.tasks + b.tasks,
        duration_us: a.duration_us.saturating_add(b.duration_us),
        bytes_in: a.bytes_in.saturating_add(b.bytes_in),
        bytes_out: a.bytes_out.saturating_add(b.bytes_out),
    });
    let planned = jobs.len() as u64;
    let (tell, stop) = watch::channel(false);
    let listener = tokio::spawn(async move {
        wait_for_signal().await;
        eprintln!("stopping: open runs are being cancelled; once more to leave at once");
        let _ = tell.send(true);
        wait_for_signal().await;
        std::process::exit(130);
    });
    let bar = progress(recorded.tasks);
    let watcher: Watcher = {
        let bar = bar.clone();
        Arc::new(move |e| match e {
            ReplayEvent::Step => bar.inc(1),
            ReplayEvent::Run(r) => print_run(&bar, r),
        })
    };
    let began = clock.now().mono;
    let reports = drive(workload, jobs, options, stop, &watcher).await;
    let elapsed = micros(clock.now().mono - began);
    listener.abort();
    bar.finish_and_clear();
    ReplaySummary::new(planned, recorded, reports, elapsed)
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}

fn progress(steps: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::new(steps);
    // The template is a constant; a bar without style is no reason to fail.
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} steps {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}

fn print_run(bar: &ProgressBar, r: &RunReport) {
    let run = r.run_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let mut line =
        format!("{} run {run} {}: {} steps, {} us", r.label, word(r.ended), r.totals.steps, r.totals.step_us);
    if let Some(why) = &r.why {
        let _ = write!(line, "; {}", why.lines().next().unwrap_or(""));
    }
    if bar.is_hidden() {
        eprintln!("{line}");
    } else {
        bar.println(line);
    }
}
