//! Whole months against an independent ground truth: generated traffic with price changes, corrections, kills and the
//! days on which clocks change, and the recorded workflow runs. `tests/ground-truth` computes from the raw trace, in
//! another language, what the agent's answers must be to the unit.

use conductor_shared::clock::WallTime;
use conductor_shared::fact::{ActorType, Env};
use conductor_shared::ids::{Ident, TenantUid};
use conductor_shared::meter::{Adjustment, EventType, Labels, SLOT_US};
use conductor_shared::time_range::{from_rfc3339, utc_month};
use conductor_shared::usage::UsageAnswer;
use conductor_tests::backfill::Backfill;
use conductor_tests::billing::{card, load, trust};
use conductor_tests::events::{by_id, on_tape};
use conductor_tests::prng::{Prng, seeded};
use conductor_tests::{Node, bin, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Receipts of a busy day.
const BUSY: u64 = 220;

fn ground_truth(node: &Node, trace: &str, cards: &Value, answers: &[(&str, Value)]) {
    let write = |name: &str, text: &str| {
        let path = node.path(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (trace, cards) = (write("trace.jsonl", trace), write("cards.json", &cards.to_string()));
    let files: Vec<_> = answers.iter().map(|(name, a)| write(name, &a.to_string())).collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ground-truth/ground_truth.py");
    let report = node.path("ground-truth.json");
    let mut run = Command::new("python3");
    run.arg(script).arg("--report").arg(&report).args([trace, cards]).args(files);
    let out = run.output().expect("python3");
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    println!("{said}");
    // What was found is kept as a signed file, which the stock verifier takes.
    let text = std::fs::read_to_string(&report).unwrap();
    let signature = node.path("ground-truth.json.minisig");
    std::fs::write(&signature, node.signed_by("billing", &text)["signature"].as_str().unwrap()).unwrap();
    let key = node.operator().get("/v1/rates").json()["billing_key"].as_str().unwrap().to_owned();
    let verify = |file: &Path| {
        let mut v = Command::new("minisign");
        v.args(["-V", "-q", "-P", &key]).arg("-x").arg(&signature).arg("-m").arg(file);
        v.status().expect("minisign").success()
    };
    assert!(verify(&report));
    std::fs::write(&report, text.replace("conductor/ground-truth/v1", "conductor/ground-truth/v2")).unwrap();
    assert!(!verify(&report), "any other file is refused");
}

fn labels(d: &mut Prng) -> Labels {
    let workflow = ["etl", "ml", "report", "mail"][usize::try_from(d.below(4)).unwrap()];
    Labels {
        env: [Env::Production, Env::Staging][usize::try_from(d.below(2)).unwrap()],
        actor_type: [ActorType::Service, ActorType::Person][usize::try_from(d.below(2)).unwrap()],
        workflow_type: Ident::new(workflow).unwrap(),
    }
}

fn raw(at_us: u64, fact: &str, l: &Labels, claimed_us: u64, stored: u64) -> String {
    json!({"t": at_us, "fact": fact, "workflow": l.workflow_type, "env": l.env, "actor": l.actor_type, "claimed_us": claimed_us, "bytes_in": 1, "bytes_out": 2, "stored": stored})
        .to_string()
}

/// One correction of a slot that is over, in the trace and in the log.
fn correct(backfill: &mut Backfill, d: &mut Prng, at: u64, since: u64, trace: &mut String) {
    let slot = since / SLOT_US + d.below((at - since) / SLOT_US);
    let (event, count, quantity) = match d.below(3) {
        0 => (EventType::StepExecuted, -1, -500_000),
        1 => (EventType::StorageBytesWritten, 1, 70_000),
        _ => (EventType::RunStarted, 2, 2),
    };
    let a = Adjustment { at_us: slot * SLOT_US, labels: labels(d), event, count, quantity };
    backfill.correct(at, std::slice::from_ref(&a));
    let l = &a.labels;
    let line = json!({"t": a.at_us, "event": event.as_str(), "count": count, "quantity": quantity, "workflow": l.workflow_type, "env": l.env, "actor": l.actor_type});
    let _ = writeln!(trace, "{line}");
}

/// A month of traffic: busy days, quiet ones, some without anything. What was staged and lost in a crash is not in the
/// trace.
fn month(backfill: &mut Backfill, d: &mut Prng, from: u64, to: u64, trace: &mut String) {
    let day = 24 * 4 * SLOT_US;
    let mut begin = from;
    while begin < to {
        let receipts = match d.below(5) {
            0 => 0,
            1 => 3,
            _ => BUSY,
        };
        let mut at = begin;
        let mut staged = String::new();
        for _ in 0..receipts {
            at += d.below(2 * (day / (receipts + 1)));
            if at >= (begin + day).min(to) {
                break;
            }
            let l = labels(d);
            match d.below(8) {
                0 => {
                    let a = backfill.run(at, &l);
                    let _ = writeln!(staged, "{}", raw(a.time.as_micros(), "run_allowed", &l, 0, a.stored));
                }
                1 => {
                    let a = backfill.approval(at, &l);
                    let _ = writeln!(staged, "{}", raw(a.time.as_micros(), "approval", &l, 0, a.stored));
                }
                2 if at > from + 8 * SLOT_US && d.below(4) == 0 => {
                    correct(backfill, d, at, from, &mut staged);
                }
                _ => {
                    let us = d.below(90_000_000);
                    let a = backfill.step(at, &l, us);
                    let _ =
                        writeln!(staged, "{}", raw(a.time.as_micros(), "step_finished", &l, us, a.stored));
                }
            }
            match d.below(40) {
                0 => {
                    backfill.crash();
                    staged.clear();
                }
                1..6 => {
                    backfill.commit();
                    *trace += &std::mem::take(&mut staged);
                }
                _ => {}
            }
        }
        backfill.commit();
        *trace += &staged;
        begin += day;
    }
}

/// Invariant 5: two months with a price change in each, corrections, kills and a change of clocks; usage by day of two
/// zones, and cost, equal the ground truth to the unit.
#[test]
fn generated_months_agree_with_the_ground_truth() {
    let mut d = seeded();
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben"]);
    let a = node.tenant("acme");
    // Receipt times never go back: the months lie in the next year.
    let now = node.now_us();
    let year: u64 = utc_month(WallTime::from_micros(now)).unwrap().0[..4].parse().unwrap();
    let y = year + 1;
    trust(&mut node);
    let cards = [
        card(1, "2026-01-01T00:00:00Z", 120_000_001),
        card(2, &format!("{y}-03-17T10:15:00Z"), 99_999_999),
        card(3, &format!("{y}-10-25T00:00:00Z"), 7),
    ];
    for text in &cards {
        node.command(TenantUid::NODE, load(&node, text, "billing"));
    }
    node.stop_agent();
    let mut backfill = Backfill::open(&node.path("data"), &node.path("keys"), node.id, a.uid);
    let mut trace = String::new();
    for m in ["03", "10"] {
        let (_, p) = utc_month(from_rfc3339(&format!("{y}-{m}-15T00:00:00Z")).unwrap()).unwrap();
        month(&mut backfill, &mut d, p.from.as_micros(), p.to.as_micros(), &mut trace);
    }
    backfill.close();
    node.start_agent();
    node.all_signed(a.uid);
    let get = |path: String| -> Value {
        let r = node.operator().get(&format!("/v1/tenants/{}/{path}", a.uid));
        assert_eq!(r.status, 200, "{path}: {r}");
        r.json()
    };
    let answers = [
        ("march", get(format!("usage?range={y}-03&step=1d"))),
        ("march-berlin", get(format!("usage?range={y}-03&step=1d&tz=Europe/Berlin"))),
        ("october-berlin", get(format!("usage?range={y}-10&step=1d&tz=Europe/Berlin"))),
        ("between", get(format!("usage?range={y}-03-20T07:45:00Z/{y}-10-11T00:15:00Z"))),
        ("an-hour", get(format!("usage?range={y}-03-21T07:15:00Z/PT1H"))),
        ("cost-march", get(format!("cost?range={y}-03&step=1d"))),
        ("cost-october", get(format!("cost?range={y}-10&step=1h"))),
        ("cost-all", get(format!("cost?range={y}-03-03T00:15:00Z/{y}-10-31"))),
    ];
    let cards = node.operator().get("/v1/rates").json()["cards"].clone();
    ground_truth(&node, &trace, &cards, &answers);
    // The same as a recount of the receipts says.
    assert_eq!(get("usage/recount".into())["differences"], json!([]));
}

/// The recorded runs, where they are at hand; else the records of the reader's tests.
fn records() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = here.join("../../shared/data/wfinstances");
    let folder = std::env::var_os("CONDUCTOR_WFINSTANCES").map_or(beside, PathBuf::from);
    let folder = if folder.is_dir() { folder } else { here.join("fixtures/wfformat/valid") };
    let files = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
    let mut files: Vec<_> = files.filter(|f| f.extension().is_some_and(|e| e == "json")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn is(event: &Value, of: EventType) -> bool {
    event["type"] == format!("conductor.{of}.v1")
}

/// What the metered steps say: time and bytes, sorted.
fn steps_of(events: &BTreeMap<String, Value>) -> Vec<String> {
    let steps = events.values().filter(|e| is(e, EventType::StepExecuted)).map(|e| &e["data"]);
    let mut words: Vec<String> =
        steps.map(|d| format!("{} {} {}", d["quantity"], d["bytes_in"], d["bytes_out"])).collect();
    words.sort();
    words
}

/// The same as an independent script reads it, task by task, in the files.
fn recorded_steps(files: &[PathBuf]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/wf_sums.py");
    let out = Command::new("python3").arg(script).arg("--tasks").args(files).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut words: Vec<String> = String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect();
    words.sort();
    words
}

/// The events as the ground truth reads them.
fn trace_of(events: &BTreeMap<String, Value>) -> String {
    let mut trace = String::new();
    for e in events.values() {
        let d = &e["data"];
        let t = from_rfc3339(d["counts_at"].as_str().unwrap()).unwrap().as_micros();
        let kind = e["type"].as_str().unwrap().trim_start_matches("conductor.").trim_end_matches(".v1");
        let zero = json!(0);
        let bytes = |name: &str| d.get(name).unwrap_or(&zero).clone();
        let line = json!({"t": t, "event": kind, "count": d["count"], "quantity": d["quantity"], "workflow": d["workflow_type"], "env": d["env"], "actor": d["actor_type"], "bytes_in": bytes("bytes_in"), "bytes_out": bytes("bytes_out")});
        let _ = writeln!(trace, "{line}");
    }
    trace
}

/// Invariant 5: recorded workflow runs, played as real clients; each step that was metered is one of the records, to
/// the microsecond and byte, and usage and cost equal the ground truth of the events that left.
#[test]
fn recorded_runs_agree_with_the_ground_truth() {
    let files = records();
    let dir = tempfile::tempdir().unwrap();
    let sink = format!("[[sink]]\nname = \"tape\"\nfolder = \"{}\"\n", dir.path().join("tape").display());
    let mut node = Node::start_with(dir, "", &["ben"]);
    node.reconfigure(|config| format!("{config}\n{sink}"));
    let a = node.tenant("acme");
    trust(&mut node);
    node.command(TenantUid::NODE, load(&node, &card(1, "2026-01-01T00:00:00Z", 120_000_001), "billing"));
    let token = node.secret("acme.token", &a.token);
    let mut replay = Command::new(bin("conductor"));
    replay.args(["--agent", &format!("unix:{}", node.socket().display()), "replay"]).args(&files);
    replay.args(["--tenant", "acme", "--workflow", "etl", "--speed", "max", "--token-file"]).arg(token);
    let out = replay.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let receipts = node.all_signed(a.uid);
    let total = || -> u64 {
        let u: UsageAnswer = node.operator().get(&format!("/v1/tenants/{}/usage?range=24h", a.uid)).read();
        u.totals.receipts_emitted.try_into().unwrap()
    };
    let metered = total();
    assert!(metered < receipts, "what is no work is not metered");
    let events = wait_for("all events are on tape", 20, || {
        let all = by_id(&on_tape(&node));
        let emitted = all.values().filter(|e| is(e, EventType::ReceiptEmitted)).count();
        (emitted as u64 == metered).then_some(all)
    });
    assert_eq!(steps_of(&events), recorded_steps(&files));
    let trace = trace_of(&events);
    let get = |path: &str| node.operator().get(&format!("/v1/tenants/{}/{path}", a.uid)).json();
    let answers = [
        ("usage", get("usage?range=24h")),
        ("usage-days", get("usage?range=48h&step=1d")),
        ("cost", get("cost?range=24h")),
    ];
    let cards = node.operator().get("/v1/rates").json()["cards"].clone();
    ground_truth(&node, &trace, &cards, &answers);
}
