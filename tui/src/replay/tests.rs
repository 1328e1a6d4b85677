//! Tests of the reader over fixtures and recorded data, and of the driver against a small agent.

use super::drive::{Ended, Job, Options, ReplayEvent, RunReport, Speed, Watcher, drive};
use super::fake_agent::{Shared, problem, start};
use super::plan::TaskGraph;
use super::run::{MAX_RUNS, ReplaySource, jobs};
use super::wfformat::{MAX_TASKS, ReadError, Workflow, read, read_file};
use crate::client::workload::Workload;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::fact::{ActorType, Env, Outcome};
use conductor_shared::ids::Ident;
use conductor_shared::reason::Reason;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/wfformat")
}

fn whole(w: &Workflow) -> Result<usize, ReadError> {
    TaskGraph::new(w).map(|p| p.order().len())
}

/// Compares the reader with the lines of an independent script.
fn compare(sums: &str, folder: &Path) -> usize {
    let table = std::fs::read_to_string(fixtures().join(sums)).unwrap();
    for line in table.lines() {
        let name = line.split(' ').next().unwrap();
        let w = read_file(&folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let s = w.sums();
        assert_eq!(line, format!("{name} {} {} {} {}", s.tasks, s.duration_us, s.bytes_in, s.bytes_out));
        assert_eq!(whole(&w).unwrap(), w.tasks.len(), "{name}");
    }
    table.lines().count()
}

/// SPEC invariant 5: the sums of small records are those of an independent script, to the microsecond and byte.
#[test]
fn valid_fixtures_sum_exactly() {
    let n = compare("valid.sums", &fixtures().join("valid"));
    assert_eq!(n, std::fs::read_dir(fixtures().join("valid")).unwrap().count());
    let odd = read_file(&fixtures().join("valid/children-disagree.json")).unwrap();
    insta::assert_debug_snapshot!(odd.notes);
}

/// SPEC invariant 5: the eight recorded runs, where they are at hand.
#[test]
fn recorded_runs_sum_exactly() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/wfinstances");
    let folder = std::env::var_os("CONDUCTOR_WFINSTANCES").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        assert_eq!(compare("wfinstances.sums", &folder), 8);
    } else {
        eprintln!("no recorded runs in {}: set CONDUCTOR_WFINSTANCES", folder.display());
    }
}

/// SPEC, Bad input: every hostile record is refused with what, where and how to fix it; nothing panics.
#[test]
fn invalid_fixtures_are_refused() {
    let mut names: Vec<_> =
        std::fs::read_dir(fixtures().join("invalid")).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let mut said = String::new();
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let e = read_file(&path).and_then(|w| whole(&w).map(|_| ())).expect_err(&name).to_string();
        assert!(!e.chars().any(char::is_control), "{name}: {e:?}");
        writeln!(said, "{name}: {e}").unwrap();
    }
    insta::assert_snapshot!(said);
}

fn many(n: usize, parents: impl Fn(usize) -> String) -> String {
    let mut spec = String::new();
    let mut runs = String::new();
    for i in 0..n {
        let comma = if i == 0 { "" } else { "," };
        write!(spec, "{comma}{{\"id\":\"t{i}\",\"parents\":[{}]}}", parents(i)).unwrap();
        write!(runs, "{comma}{{\"id\":\"t{i}\",\"runtimeInSeconds\":0.001}}").unwrap();
    }
    format!(
        "{{\"workflow\":{{\"specification\":{{\"tasks\":[{spec}]}},\"execution\":{{\"tasks\":[{runs}]}}}}}}"
    )
}

/// SPEC, Bad input: a million tasks in one chain are read and ordered without recursion; one more is refused.
#[test]
fn a_million_tasks() {
    let chain = |i: usize| if i == 0 { String::new() } else { format!("\"t{}\"", i - 1) };
    let w = read(many(MAX_TASKS, chain).as_bytes()).unwrap();
    assert_eq!(w.sums().duration_us, 1_000_000_000);
    assert_eq!(whole(&w).unwrap(), MAX_TASKS);
    let ring = |i: usize| format!("\"t{}\"", (i + 99_999) % 100_000);
    let e = read(many(100_000, ring).as_bytes()).and_then(|w| whole(&w)).unwrap_err();
    assert!(e.to_string().contains("cycle"), "{e}");
    let e = read(many(MAX_TASKS + 1, |_| String::new()).as_bytes()).unwrap_err();
    assert_eq!(e.to_string(), "it has more than 1000000 tasks: split the record");
}

/// SPEC, Bad input: objects are objects, also where serde would take a list of their values.
#[test]
fn lists_are_not_objects() {
    let task = "{\"id\":\"t0\",\"parents\":[]}";
    let good = many(1, |_| String::new());
    assert!(good.contains(task) && read(good.as_bytes()).is_ok());
    assert!(read(good.replace(task, "[\"t0\",[],null,null,null]").as_bytes()).is_err());
    assert!(
        read(good.replace("{\"id\":\"t0\",\"runtimeInSeconds\":0.001}", "[\"t0\",0.001]").as_bytes())
            .is_err()
    );
    assert!(read(b"[null,null,{}]").is_err());
    // Sums that would not fit are refused, not cut off.
    let long = many(400_000, |_| String::new()).replace("0.001", "31622400");
    assert!(read(long.as_bytes()).unwrap_err().to_string().contains("64 bits"));
}

/// SPEC, Bad input: nesting without end neither overflows the stack nor is taken.
#[test]
fn deep_nesting() {
    let deep = "[".repeat(1_000_000);
    assert!(matches!(read(deep.as_bytes()), Err(ReadError::Json { .. })));
    let deep = format!("{{\"x\":{}{},\"workflow\":3}}", "[".repeat(500_000), "]".repeat(500_000));
    assert!(matches!(read(deep.as_bytes()), Err(ReadError::Json { .. })));
    let parents = format!("{}\"t0\"{}", "[".repeat(300_000), "]".repeat(300_000));
    assert!(matches!(read(many(2, |_| parents.clone()).as_bytes()), Err(ReadError::Json { .. })));
}

/// SPEC, Bad input: a place in the file is the place in the file, not in some part of it.
#[test]
fn places_are_those_of_the_file() {
    let text = "{\n \"workflow\": {\n  \"specification\": {\n   \"tasks\": [\n    {\"id\": \"a\", \"parents\": [7]}\n   ]\n  },\n  \"execution\": {\"tasks\": [{\"id\": \"a\", \"runtimeInSeconds\": 1}]}\n }\n}\n";
    let e = read(text.as_bytes()).unwrap_err();
    let ReadError::Json { line: 5, column: 29, .. } = e else { panic!("{e}") };
}

proptest::proptest! {
    /// SPEC, Bad input: one altered byte is refused or read, and never panics.
    #[test]
    fn any_byte_altered(at: usize, byte: u8) {
        let mut b = std::fs::read(fixtures().join("valid/diamond.json")).unwrap();
        let n = b.len();
        b[at % n] = byte;
        if let Ok(w) = read(&b) {
            let _ = whole(&w);
        }
    }
}

fn options() -> Options {
    Options {
        workflow: Ident::new("etl").unwrap(),
        env: Env::Rehearsal,
        actor: ActorType::Service,
        action: Ident::new("run").unwrap(),
        subject_prefix: None,
        prompt_sha256: None,
        speed: Speed::Max,
        fail_hundredths: BasisPoints::ZERO,
        parallel: 3,
        runs: 1,
        max_wait: Duration::from_secs(2),
        key: "t".into(),
    }
}

fn job(w: Workflow) -> Job {
    let plan = Arc::new(TaskGraph::new(&w).unwrap());
    Job { label: w.name.clone(), workflow: Arc::new(w), plan }
}

fn diamond() -> Workflow {
    read_file(&fixtures().join("valid/diamond.json")).unwrap()
}

fn quiet() -> Watcher {
    Arc::new(|_: &ReplayEvent<'_>| {})
}

async fn play(workload: &Workload, jobs: Vec<Job>, o: Options) -> Vec<RunReport> {
    let (_tell, stop) = watch::channel(false);
    drive(workload, jobs, o, stop, &quiet()).await
}

fn agent() -> (tempfile::TempDir, Shared, Workload) {
    let dir = tempfile::tempdir().unwrap();
    let (seen, workload) = start(dir.path());
    (dir, seen, workload)
}

/// SPEC invariant 5 and 1.1: what the agent receives sums to the record, and no step starts before its parents ended.
#[tokio::test]
async fn a_run_is_played_whole() {
    let (_dir, seen, workload) = agent();
    let w = diamond();
    let want = w.sums();
    let generated = super::generate::workflow(3, 4);
    let jobs = vec![job(w), job(generated.clone())];
    let reports = play(&workload, jobs, Options { subject_prefix: Some("u".into()), ..options() }).await;
    assert_eq!(reports.iter().map(|r| r.ended).collect::<Vec<_>>(), [Ended::Succeeded; 2]);
    let got = &reports[0];
    assert_eq!(
        (got.totals.steps, got.totals.step_us, got.totals.bytes_in, got.totals.bytes_out),
        (want.tasks, want.duration_us, want.bytes_in, want.bytes_out)
    );
    let s = seen.lock().unwrap();
    assert_eq!(s.started[..4].first().map(String::as_str), Some("a"));
    assert_eq!(s.started[3], "d");
    let reported: u64 = s.finished.iter().map(|f| f.duration_us).sum();
    assert_eq!(reported, want.duration_us + generated.sums().duration_us);
    assert_eq!(s.runs.iter().map(|r| r.subject.as_ref().unwrap().raw()).collect::<Vec<_>>(), ["u0", "u1"]);
    assert!(s.finished_runs.iter().all(|f| f.outcome == Outcome::Succeeded));
    assert!(s.most_open <= 3 && s.keys.values().all(|n| *n == 1));
}

/// SPEC 1.3: after a 429 the request waits as the agent asks and is sent again with the same key; the denial is reported.
#[tokio::test]
async fn a_429_is_waited_out() {
    let (_dir, seen, workload) = agent();
    {
        let mut s = seen.lock().unwrap();
        s.deny_steps
            .extend([problem(Reason::QuotaStepRate, Some(30_000)), problem(Reason::QuotaStepRate, None)]);
    }
    let reports = play(&workload, vec![job(diamond())], options()).await;
    assert_eq!(reports[0].ended, Ended::Succeeded);
    assert_eq!((reports[0].totals.retries, reports[0].totals.denials["quota_step_rate"]), (2, 2));
    assert_eq!(seen.lock().unwrap().keys["t-r0-s0"], 3);
}

/// SPEC 1.3: a wait that would take too long is not begun; the denial stands and the run is finished as failed.
#[tokio::test]
async fn a_long_wait_is_not_begun() {
    let (_dir, seen, workload) = agent();
    seen.lock().unwrap().deny_steps.push_back(problem(Reason::QuotaStepRate, Some(3_600_000_000)));
    let reports = play(&workload, vec![job(diamond())], options()).await;
    assert_eq!(reports[0].ended, Ended::Failed);
    let s = seen.lock().unwrap();
    assert_eq!((s.finished_runs.len(), s.finished_runs[0].outcome), (1, Outcome::Failed));
}

/// SPEC, demo, step 4: the share that is made to fail is exact and spread evenly, and its steps are done all the same.
#[tokio::test]
async fn a_share_is_made_to_fail() {
    let (_dir, seen, workload) = agent();
    let jobs = (0..10).map(|_| job(diamond())).collect();
    let reports =
        play(&workload, jobs, Options { fail_hundredths: BasisPoints::saturating(3_000), ..options() }).await;
    let failed: Vec<bool> = reports.iter().map(|r| r.ended == Ended::Failed).collect();
    let (f, t) = (true, false);
    assert_eq!(failed, [t, t, t, f, t, t, f, t, t, f]);
    assert!(reports.iter().all(|r| r.totals.steps == 4));
    let s = seen.lock().unwrap();
    assert_eq!(s.finished_runs.iter().filter(|r| r.outcome == Outcome::Failed).count(), 3);
}

/// SPEC 3.1: a run that is denied is reported with its reasons, and the others go on.
#[tokio::test]
async fn a_denied_run_is_reported() {
    let (_dir, seen, workload) = agent();
    seen.lock().unwrap().deny_runs.push_back(problem(Reason::RampExcluded, None));
    let reports = play(&workload, vec![job(diamond()), job(diamond())], options()).await;
    assert_eq!(reports.iter().map(|r| r.ended).collect::<Vec<_>>(), [Ended::Denied, Ended::Succeeded]);
    assert_eq!(reports[0].totals.denials["ramp_excluded"], 1);
    insta::assert_snapshot!(reports[0].why.as_ref().unwrap());
}

/// SPEC, Time (leases): a step that takes longer than a third of the lease is kept alive by heartbeats.
#[tokio::test]
async fn heartbeats_keep_a_run_alive() {
    let (_dir, seen, workload) = agent();
    seen.lock().unwrap().lease_us = Some(300_000);
    let mut w = super::generate::workflow(1, 1);
    w.tasks.truncate(1);
    w.tasks[0].duration_us = 5_000_000;
    let reports = play(&workload, vec![job(w)], Options { speed: Speed::Times(10.0), ..options() }).await;
    assert_eq!(reports[0].ended, Ended::Succeeded);
    let n = seen.lock().unwrap().heartbeats;
    assert!((2..=5).contains(&n), "{n}");
}

/// SPEC, Bad input (a stopped client): a replay that is stopped leaves no run open.
#[tokio::test]
async fn stopping_cancels_what_is_open() {
    let (_dir, seen, workload) = agent();
    let mut w = diamond();
    for t in &mut w.tasks {
        t.duration_us = 60_000_000;
    }
    let (tell, stop) = watch::channel(false);
    let jobs = vec![job(w.clone()), job(w.clone()), job(w)];
    let o = Options { speed: Speed::Times(1.0), runs: 2, ..options() };
    let watcher = quiet();
    let stopper = async {
        while seen.lock().unwrap().started.len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tell.send(true).unwrap();
    };
    let (reports, ()) = tokio::join!(drive(&workload, jobs, o, stop, &watcher), stopper);
    assert_eq!(reports.iter().map(|r| r.ended).collect::<Vec<_>>(), [Ended::Cancelled; 2]);
    let s = seen.lock().unwrap();
    assert_eq!((s.runs.len(), s.cancelled.len(), s.finished_runs.len()), (2, 2, 0));
}

/// Bad input: more runs than can be played are refused before one of them is made.
#[test]
fn too_many_runs_are_not_begun() {
    let generated =
        |count, repeat| jobs(&ReplaySource::Generated { count, seed: 1 }, repeat).map(|all| all.len());
    assert_eq!(generated(2, 3), Ok(6));
    for (count, repeat) in [(u64::MAX, 1), (1, usize::MAX), (MAX_RUNS as u64 + 1, 1), (u64::MAX, usize::MAX)]
    {
        assert!(generated(count, repeat).is_err_and(|e| e.contains("at most")), "{count} x {repeat}");
    }
}
