//! kill -9 at random moments: no acknowledged receipt is lost, none cannot be verified, and rows and counts equal a
//! recount.

use conductor_shared::command::{Operation, ops};
use conductor_shared::ids::{RunId, TenantUid};
use conductor_tests::prng::Prng;
use conductor_tests::{Client, Node, Tenant, wait_for};
use conductor_tests::{b64, run_body};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Kills in one run of the test. More with `CONDUCTOR_KILLS`.
const KILLS: u64 = 50;

#[derive(Default)]
struct Acknowledged {
    /// Run starts, by tenant and index: the run.
    runs: BTreeMap<(TenantUid, u64), RunId>,
    /// Everything else, by tenant and index.
    others: Vec<(TenantUid, u64)>,
}

fn work(node: &std::path::Path, t: &Tenant, stop: &AtomicBool, acks: &Mutex<Acknowledged>) {
    let mut c = Client::new(node, &t.token);
    while !stop.load(Ordering::Relaxed) {
        let Ok(r) = c.once("POST", "/v1/runs", run_body(t, Some("s")).to_string().as_bytes(), &[]) else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        if r.status != 200 {
            continue;
        }
        let started = r.decided();
        let run = started.run_id;
        acks.lock().unwrap().runs.insert((t.uid, started.receipt.index), run);
        let mut tell = |path: String, body: Value| {
            if let Ok(r) = c.once("POST", &path, body.to_string().as_bytes(), &[])
                && r.status == 200
            {
                acks.lock().unwrap().others.push((t.uid, r.decided().receipt.index));
            }
        };
        tell(format!("/v1/runs/{run}/steps"), json!({"tenant_id": t.name, "name": "s"}));
        let done = json!({"tenant_id": t.name, "outcome": "succeeded", "duration_us": 3, "bytes_in": 1, "bytes_out": 1});
        tell(format!("/v1/runs/{run}/steps/1/finish"), done);
        tell(format!("/v1/runs/{run}/finish"), json!({"tenant_id": t.name, "outcome": "succeeded"}));
    }
}

/// Invariants 1 and 5: what was answered before a kill, at whatever moment, is there after it.
#[test]
fn kill_at_random_moments_loses_nothing() {
    let kills: u64 = std::env::var("CONDUCTOR_KILLS").ok().and_then(|k| k.parse().ok()).unwrap_or(KILLS);
    let mut seed = [0u8; 8];
    getrandom::fill(&mut seed).unwrap();
    let seed =
        std::env::var("CONDUCTOR_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(u64::from_le_bytes(seed))
            | 1;
    println!("CONDUCTOR_SEED={seed}");
    let mut dice = Prng(seed);
    let mut moment = move || Duration::from_micros(dice.below(120_000));
    let mut node = Node::start();
    let tenants = [node.tenant("acme"), node.tenant("bolt"), node.tenant("coil")];
    for t in &tenants {
        let op = Operation::QuotaSet(ops::QuotaSet {
            kind: conductor_shared::quota::QuotaKind::ConcurrentRuns,
            limit: 100_000,
        });
        node.command(t.uid, op);
    }
    let acks = Mutex::new(Acknowledged::default());
    let socket = node.socket();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        for i in 0..6 {
            let (t, socket, stop, acks) = (&tenants[i % 3], &socket, &stop, &acks);
            s.spawn(move || work(socket, t, stop, acks));
        }
        for k in 0..kills {
            std::thread::sleep(moment());
            node.kill_agent();
            if k % 10 == 9 {
                // Between two starts the rows are compared with the receipts.
                node.check();
            }
            node.start_agent();
        }
        let before = acks.lock().unwrap().others.len();
        wait_for("work goes on", 20, || (acks.lock().unwrap().others.len() > before + 100).then_some(()));
        stop.store(true, Ordering::Relaxed);
    });
    let acks = acks.into_inner().unwrap();
    println!(
        "{} runs and {} other answers acknowledged over {kills} kills",
        acks.runs.len(),
        acks.others.len()
    );
    assert!(acks.runs.len() as u64 > kills, "the load was real");
    for t in &tenants {
        let size = node.all_signed(t.uid);
        let highest = acks.runs.keys().filter(|(u, _)| *u == t.uid).map(|(_, i)| *i).max().unwrap();
        assert!(highest < size);
        let export = node.operator().get(&format!("/v1/tenants/{}/receipts/export?from=0&to={size}", t.uid));
        verify_log(&node, t.uid, size, &export.body, &acks);
    }
    node.stop_agent();
    node.check();
}

/// Kind of a decision about a run.
const RUN_DECIDED: u16 = 0x1001;

/// The whole log against its checkpoint, and every acknowledged receipt in it.
fn verify_log(node: &Node, tenant: TenantUid, size: u64, export: &[u8], acks: &Acknowledged) {
    use conductor_shared::verify::{RangeCheck, Trust, Verdict, checkpoint, hashes};
    let mut lines = export.split(|b| *b == b'\n').filter(|l| !l.is_empty());
    let head: conductor_shared::http::RangeBundle = serde_json::from_slice(lines.next().unwrap()).unwrap();
    let text = std::fs::read_to_string(node.path("trust.toml")).unwrap();
    let key = text.lines().find_map(|l| l.strip_prefix("public_key = \"")).unwrap().trim_end_matches('"');
    let trust = Trust {
        keys: vec![conductor_shared::verify::TrustedKey {
            public_key: key.to_owned(),
            purpose: "checkpoint".into(),
            origin: format!("conductor-log/{}/", node.id),
            sizes: None,
        }],
    };
    let (signature, cp) = checkpoint(head.checkpoint.as_ref().unwrap(), &trust);
    assert_eq!(signature, Verdict::Verified);
    let mut check = RangeCheck::new(0, None);
    let mut found = BTreeMap::new();
    for line in lines {
        let r: conductor_shared::http::ReceiptEvidence = serde_json::from_slice(line).unwrap();
        check.push(&r);
        if r.kind == RUN_DECIDED {
            let what = r.fields.iter().find(|f| f.name == "what").unwrap();
            let d = conductor_shared::record::Disclosed::from_bytes(&b64(&what.disclosure)).unwrap();
            found.insert(r.index, d.value.to_string());
        }
    }
    assert_eq!(check.entries(), size);
    let verdicts = check.finish(
        size,
        &hashes(&head.first_proof).unwrap(),
        &hashes(&head.last_proof).unwrap(),
        cp.as_ref(),
    );
    assert_eq!(verdicts, (Verdict::Verified, Verdict::Verified));
    for ((t, index), run) in &acks.runs {
        assert!(
            *t != tenant || found.get(index).is_some_and(|what| what.contains(&run.to_string())),
            "run {run} at {index} is lost"
        );
    }
    for (t, index) in &acks.others {
        assert!(*t != tenant || *index < size, "receipt {index} is lost");
    }
}
