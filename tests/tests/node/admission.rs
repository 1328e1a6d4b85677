//! Scope, quotas, idempotency, leases, ramps: what is decided, and that it is decided exactly.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Operation, ops};
use conductor_shared::fact::{ChangeClass, Outcome};
use conductor_shared::http::{Preview, ReceiptPage, RunView, Totals};
use conductor_shared::ids::{RunId, TenantUid};
use conductor_shared::quota::QuotaKind;
use conductor_tests::{Answer, Client, Node, Tenant, run_body, wait_for};
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Invariant 2: no token opens another tenant, and every crossing leaves a receipt in the log of whoever was proved,
/// never in that of a tenant that was only named.
#[test]
fn no_tenant_reaches_another() {
    let node = Node::start();
    let (a, b) = (node.tenant("acme"), node.tenant("bolt"));
    let mut ca = node.client(&a.token);
    let mut cb = node.client(&b.token);
    let run = cb.start_run(&b, None).decided().run_id;
    let before = node.head(b.uid).0;
    // Own token, other tenant's name.
    let r = ca.post("/v1/runs", &run_body(&b, None));
    assert_eq!((r.status, r.reasons()), (403, vec!["scope_mismatch".to_owned()]));
    assert!(r.problem().receipt.is_some_and(|receipt| receipt.origin.tenant == a.uid));
    for bad in [json!({}), json!({"tenant_id": ""}), json!({"tenant_id": 7}), json!({"tenant_id": "nobody"})]
    {
        let r = ca.post("/v1/runs", &bad);
        assert_eq!(r.reasons(), ["scope_mismatch"], "{bad}");
    }
    // Own token and name, the other's run.
    for (path, body) in [
        ("steps", json!({"tenant_id": "acme", "name": "s"})),
        ("finish", json!({"tenant_id": "acme", "outcome": "succeeded"})),
        ("heartbeat", json!({"tenant_id": "acme"})),
        ("cancel", json!({"tenant_id": "acme"})),
    ] {
        let r = ca.post(&format!("/v1/runs/{run}/{path}"), &body);
        assert_eq!(r.reasons(), ["run_unknown"], "{path}");
    }
    // The other's log, in every way a workload may read its own.
    for route in ["/receipts", "/receipts/0/proof", "/checkpoint", "/consistency", "/receipts/export"] {
        let r = ca.get(&format!("/v1/tenants/{}{route}", b.uid));
        assert_eq!((r.status, r.reasons()), (403, vec!["scope_mismatch".to_owned()]), "{route}");
        let r = ca.get(&format!("/v1/tenants/{}{route}", TenantUid::NODE));
        assert_eq!(r.status, 403, "{route}");
        assert_eq!(ca.get(&format!("/v1/tenants/{}{route}", a.uid)).status, 200, "{route}");
    }
    // What only persons read is refused for every tenant alike.
    for route in ["", "/totals"] {
        for uid in [a.uid, b.uid, TenantUid::NODE] {
            let r = ca.get(&format!("/v1/tenants/{uid}{route}"));
            assert_eq!(r.status / 100, 4, "{route}: {r}");
        }
    }
    assert_eq!(ca.get("/v1/tenants").status, 421);
    assert_eq!(ca.get("/v1/stream").status / 100, 4);
    assert_eq!(node.head(b.uid).0, before, "nothing was written into the other's log");
    // A token of one tenant with the uid of another.
    let forged = a.token.replace(&a.uid.to_string(), &b.uid.to_string());
    let r = node.client(&forged).post("/v1/runs", &run_body(&b, None));
    assert_eq!((r.status, r.reasons()), (401, vec!["unauthenticated".to_owned()]));
    assert!(r.problem().receipt.is_some_and(|receipt| receipt.origin.tenant == TenantUid::NODE));
    assert_eq!(node.head(b.uid).0, before);
}

/// Under 64 racing clients exactly as many runs are admitted as the quota grants, not one more; and another tenant's
/// answers do not change.
#[test]
fn the_quota_of_runs_is_exact_under_racing_clients() {
    let mut node = Node::start();
    let (a, b) = (node.tenant("acme"), node.tenant("bolt"));
    let limit = 37;
    node.command(a.uid, ops::QuotaCap { kind: QuotaKind::ConcurrentRuns, limit });
    let (admitted, denied) = std::thread::scope(|s| {
        s.spawn(|| {
            let mut c = node.client(&b.token);
            for _ in 0..20 {
                c.start_run(&b, None).decided();
            }
        });
        race(&node, &a, 10, |c| c.start_run(&a, None), "quota_concurrent_runs")
    });
    assert_eq!((admitted, denied), (limit, RACERS * 10 - limit));
    assert_eq!(node.client(&a.token).start_run(&a, None).status, 429);
    node.stop_agent();
    node.check();
}

/// Under 64 racing clients exactly the burst of steps is admitted, and then as many as the rate lets in while time
/// passes, whoever asks.
#[test]
#[allow(clippy::disallowed_methods, reason = "the rate is one of real time")]
fn the_burst_of_steps_is_exact_under_racing_clients() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    let burst = 11;
    node.command(a.uid, ops::QuotaCap { kind: QuotaKind::StepRate, limit: 1 });
    node.command(a.uid, ops::QuotaCap { kind: QuotaKind::StepBurst, limit: burst });
    let run = node.client(&a.token).start_run(&a, None).decided().run_id;
    let path = format!("/v1/runs/{run}/steps");
    let step = json!({"tenant_id": a.name, "name": "s"});
    let begun = Instant::now();
    let (admitted, denied) = race(&node, &a, 2, |c| c.post(&path, &step), "quota_step_rate");
    let in_time = begun.elapsed().as_secs();
    assert!((burst..=burst + in_time).contains(&admitted), "{admitted} admitted within {in_time} s");
    assert_eq!(denied, RACERS * 2 - admitted);
    let wait = node.client(&a.token).post(&path, &step).problem().retry_after_us;
    assert!(wait.is_some_and(|us| (1..=1_000_000).contains(&us)), "one a second comes in: {wait:?}");
    node.stop_agent();
    node.check();
}

const RACERS: u64 = 64;

/// Each racer asks so many times at once: how many were admitted, and how many denied for this reason.
fn race(
    node: &Node,
    tenant: &Tenant,
    times: u64,
    ask: impl Fn(&mut Client) -> Answer + Sync,
    reason: &str,
) -> (u64, u64) {
    let (admitted, denied) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|s| {
        for _ in 0..RACERS {
            s.spawn(|| {
                let mut c = node.client(&tenant.token);
                for _ in 0..times {
                    let r = ask(&mut c);
                    if r.status == 200 {
                        admitted.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    assert_eq!((r.status, r.reasons()), (429, vec![reason.to_owned()]), "{r}");
                    assert!(r.header("retry-after").is_some(), "{}", r.head);
                    assert!(r.problem().receipt.is_some(), "{r}");
                    denied.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    (admitted.into_inner(), denied.into_inner())
}

/// The same denial within a second is folded, and its count is written when the fold closes.
#[test]
fn denials_fold_and_their_count_is_kept() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    node.command(a.uid, ops::QuotaCap { kind: QuotaKind::ConcurrentRuns, limit: 0 });
    let mut c = node.client(&a.token);
    let first = c.start_run(&a, Some("s")).problem();
    assert!(!first.folded);
    for _ in 0..5 {
        let again = c.start_run(&a, Some("s")).problem();
        assert_eq!((again.folded, again.receipt), (true, first.receipt));
    }
    let count = wait_for("the fold closes", 10, || {
        let page: ReceiptPage =
            node.operator().get(&format!("/v1/tenants/{}/receipts?from=-3", a.uid)).read();
        page.receipts.into_iter().find(|r| r.kind_name == "DenialsFolded").map(|r| r.summary)
    });
    assert!(count.ends_with("came 5 more times"), "{count}");
    node.stop_agent();
    node.check();
}

/// Agent: the same key gives the same answer, another body is a conflict, and a concurrent duplicate starts nothing
/// twice.
#[test]
fn idempotency_keys_hold() {
    let node = Node::start();
    let a = node.tenant("acme");
    let body = run_body(&a, None).to_string();
    let send = |key: &str, body: &str| {
        let mut c = node.client(&a.token);
        c.send("POST", "/v1/runs", body.as_bytes(), &[("Idempotency-Key", key)]).unwrap()
    };
    let first = send("k1", &body);
    assert_eq!(first.status, 200);
    assert_eq!(send("k1", &body).body, first.body);
    let other = run_body(&a, Some("x")).to_string();
    assert_eq!(send("k1", &other).reasons(), ["idempotency_conflict"]);
    assert_ne!(send("k2", &body).decided().run_id, first.decided().run_id);
    let runs: Vec<RunId> = std::thread::scope(|s| {
        let all: Vec<_> = (0..16).map(|_| s.spawn(|| send("k3", &body).decided().run_id)).collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(runs.iter().all(|run| *run == runs[0]), "{runs:?}");
    // Only what was carried out is remembered: a denial may become an allow.
    node.command(a.uid, ops::KillSet { selector: "*/*".parse().unwrap(), drain: false });
    assert_eq!(send("k4", &body).reasons(), ["killed"]);
    node.command(a.uid, ops::KillClear { selector: "*/*".parse().unwrap() });
    assert_eq!(send("k4", &body).status, 200);
    for bad in ["", "a b", &"x".repeat(129), "é"] {
        assert_eq!(send(bad, &body).status, 400, "{bad:?}");
    }
    // The key of one principal means nothing to another tenant's.
    let b = node.tenant("bolt");
    let r = node.client(&b.token).send(
        "POST",
        "/v1/runs",
        run_body(&b, None).to_string().as_bytes(),
        &[("Idempotency-Key", "k1")],
    );
    assert_eq!(r.unwrap().status, 200);
}

/// The path of a change: each request is decided on the state that the one before it left, also while that is still on
/// its way to the disk. Of two ends of one step, asked at once, one is the end and the other comes late; of two
/// requests with one key, one is carried out.
#[test]
fn what_is_on_its_way_to_the_disk_is_known() {
    const LANES: usize = 12;
    const ROUNDS: usize = 60;
    let node = Node::start();
    let a = node.tenant("acme");
    for kind in [QuotaKind::StepRate, QuotaKind::StepBurst, QuotaKind::ConcurrentRuns] {
        node.command(a.uid, ops::QuotaSet { kind, limit: kind.max() });
    }
    std::thread::scope(|s| {
        for lane in 0..LANES {
            let (node, a) = (&node, &a);
            s.spawn(move || {
                let (mut one, mut two) = (node.client(&a.token), node.client(&a.token));
                let run = one.start_run(a, None).decided().run_id;
                let steps = format!("/v1/runs/{run}/steps");
                let mut both = |path: &str, body: serde_json::Value, key: Option<String>| {
                    let key: Vec<_> = key.iter().map(|k| ("Idempotency-Key", k.as_str())).collect();
                    let body = body.to_string();
                    let ask = |c: &mut conductor_tests::Client| {
                        c.send("POST", path, body.as_bytes(), &key).unwrap().decided()
                    };
                    std::thread::scope(|s| {
                        let other = s.spawn(|| ask(&mut two));
                        let first = ask(&mut one);
                        [first, other.join().unwrap()]
                    })
                };
                for round in 0..ROUNDS {
                    let key = Some(format!("{lane}-{round}"));
                    let [x, y] = both(&steps, json!({"tenant_id": "acme", "name": "s"}), key);
                    assert_eq!(x, y, "one step was started");
                    let end = json!({"tenant_id": "acme", "outcome": "succeeded", "duration_us": 1,
                        "bytes_in": 0, "bytes_out": 0});
                    let ends = both(&format!("{steps}/{}/finish", x.step.expect("its number")), end, None);
                    assert_eq!(ends.iter().filter(|e| !e.folded).count(), 1, "{ends:?}");
                    assert_eq!(ends[0].receipt, ends[1].receipt);
                }
                let ends = both(
                    &format!("/v1/runs/{run}/finish"),
                    json!({"tenant_id": "acme", "outcome": "failed"}),
                    None,
                );
                assert_eq!(ends.iter().filter(|e| !e.folded).count(), 1, "{ends:?}");
                assert_eq!(ends[0].receipt, ends[1].receipt);
            });
        }
    });
}

/// Agent: what a crashed workload held comes back, settles as lost, and a late finish revives nothing; after a restart
/// every open run has a full lease.
#[test]
fn leases_run_out_and_come_back() {
    let mut node = Node::start_in(tempfile::tempdir().unwrap(), "lease_seconds = 3\n");
    let a = node.tenant("acme");
    node.command(a.uid, ops::QuotaCap { kind: QuotaKind::ConcurrentRuns, limit: 1 });
    let mut c = node.client(&a.token);
    let run = c.start_run(&a, None).decided().run_id;
    let step =
        c.post(&format!("/v1/runs/{run}/steps"), &json!({"tenant_id": "acme", "name": "one"})).decided();
    assert_eq!(step.step, Some(1));
    assert_eq!(c.start_run(&a, None).reasons(), ["quota_concurrent_runs"]);
    node.wait_us(2_000_000);
    node.kill_agent();
    node.start_agent();
    // Two of its three seconds were over before the restart; they do not count.
    node.wait_us(1_500_000);
    let mut c = node.client(&a.token);
    let path = format!("/v1/runs/{run}?tenant_id=acme");
    let mut show = || c.get(&path).read::<RunView>();
    assert_eq!(show().outcome, None);
    let lost = wait_for("the lease runs out", 10, || Some(show()).filter(|run| run.outcome.is_some()));
    assert_eq!((lost.outcome, lost.open_steps), (Some(Outcome::Lost), 0));
    let mut c = node.client(&a.token);
    let done =
        json!({"tenant_id": "acme", "outcome": "succeeded", "duration_us": 5, "bytes_in": 1, "bytes_out": 2});
    let late = c.post(&format!("/v1/runs/{run}/steps/1/finish"), &done);
    assert_eq!(late.decided().late, Some(Outcome::Lost));
    assert_eq!(c.finish_run(&a, run).decided().late, Some(Outcome::Lost));
    assert_eq!(c.get(&path).read::<RunView>().outcome, Some(Outcome::Lost));
    let totals: Totals = node.operator().get(&format!("/v1/tenants/{}/totals", a.uid)).read();
    assert_eq!(totals.total.step_us, 0, "a late claim is recorded, and not billed");
    assert_eq!(c.start_run(&a, None).status, 200, "its place came back");
    node.stop_agent();
    node.check();
}

/// A ramp lets the same subjects in whenever it is raised again, raising only adds, and a change upwards is a loosening
/// that waits for its checkpoint.
#[test]
fn ramps_are_sticky() {
    let node = Node::start();
    let a = node.tenant("acme");
    let sel = || "run/etl".parse().unwrap();
    let admitted = || -> Vec<usize> {
        let mut c = node.client(&a.token);
        (0..60)
            .filter(|i| {
                let r = c.start_run(&a, Some(&format!("subject-{i}")));
                if r.status == 200 {
                    c.finish_run(&a, r.decided().run_id);
                } else {
                    assert_eq!(r.reasons(), ["ramp_excluded"]);
                }
                r.status == 200
            })
            .collect()
    };
    let down =
        node.command(a.uid, ops::RampCap { selector: sel(), hundredths: BasisPoints::saturating(3000) });
    assert_eq!((down.class, down.proposal), (ChangeClass::Tighten, None));
    let third = admitted();
    assert!((5..35).contains(&third.len()), "{third:?}");
    let up = node.command(a.uid, ops::RampSet { selector: sel(), hundredths: BasisPoints::saturating(7000) });
    assert_eq!(up.class, ChangeClass::Loosen);
    assert!(up.proposal.is_some_and(|proposal| proposal.index < up.receipt.index));
    let more = admitted();
    assert!(third.iter().all(|s| more.contains(s)), "raising only adds");
    node.command(a.uid, ops::RampCap { selector: sel(), hundredths: BasisPoints::saturating(3000) });
    assert_eq!(admitted(), third, "the same subjects as before");
    // The exact blast radius: as many as would really be let in.
    let op = Operation::RampSet(ops::RampSet { selector: sel(), hundredths: BasisPoints::saturating(7000) });
    let path = format!("/v1/tenants/{}/preview", a.uid);
    let p: Preview = node.operator().post(&path, &json!({"operation": op.to_list()})).read();
    let newly = (more.len() - third.len()) as u64;
    assert_eq!((p.requests, p.newly_allowed, p.newly_denied), (180, 3 * newly, 0));
}

/// Bad input: clear problem documents, no crash, nothing raw.
#[test]
fn bad_input_is_refused_clearly() {
    let node = Node::start();
    let a = node.tenant("acme");
    let mut c = node.client(&a.token);
    let good = run_body(&a, None);
    for (body, status) in [
        (b"{".to_vec(), 400),
        (b"[]".to_vec(), 400),
        (b"\xff\xfe".to_vec(), 400),
        ([b"[".repeat(60_000), b"]".to_vec()].concat(), 400),
        (vec![b' '; 70_000], 413),
        (good.to_string().replace("rehearsal", "moon").into_bytes(), 400),
        (good.to_string().replace("\"env\"", "\"surprise\":1,\"env\"").into_bytes(), 400),
        (good.to_string().replace("etl", "e\\u001b[2Jtl").into_bytes(), 400),
        (run_body(&a, Some(&"s".repeat(600))).to_string().into_bytes(), 400),
    ] {
        let r = c.send("POST", "/v1/runs", &body, &[]).unwrap();
        assert_eq!(r.status, status, "{}", String::from_utf8_lossy(&body[..body.len().min(80)]));
        let text = String::from_utf8(r.body).unwrap();
        assert!(!text.contains('\x1b'), "{text}");
    }
    let r = c
        .send("POST", "/v1/runs", good.to_string().as_bytes(), &[("Origin", "http://evil.example")])
        .unwrap();
    assert_eq!(r.status, 403);
    assert_eq!(c.get("/v1/nothing").status, 404);
    assert_eq!(c.send("DELETE", "/v1/runs", b"", &[]).unwrap().status, 405);
    assert_eq!(
        c.post("/v1/runs/zz/finish", &json!({"tenant_id": "acme", "outcome": "succeeded"})).status,
        400
    );
    let lost = json!({"tenant_id": "acme", "outcome": "lost"});
    assert_eq!(c.post(&format!("/v1/runs/{}/finish", "0".repeat(32)), &lost).status, 400);
    assert_eq!(c.start_run(&a, Some("\u{202e}\x1b[31m")).status, 200);
    let page = c.get(&format!("/v1/tenants/{}/receipts?from=-1", a.uid));
    assert!(!String::from_utf8(page.body).unwrap().contains(['\x1b', '\u{202e}']));
}

/// Gates (prompt integrity): a run that declares another prompt than the pinned one is denied with a receipt; a pin
/// tightens at once, and another pin is a loosening.
#[test]
fn a_pinned_prompt_is_kept() {
    let node = Node::start();
    let a = node.tenant("acme");
    let etl = || conductor_shared::ids::Ident::new("etl").unwrap();
    let pin = |n: u8| Operation::WorkflowPin(ops::WorkflowPin { workflow: etl(), prompt_sha256: [n; 32] });
    let mut c = node.client(&a.token);
    let mut start = |prompt: Option<&str>| {
        let mut body = run_body(&a, None);
        if let Some(p) = prompt {
            body["prompt_sha256"] = json!(p);
        }
        c.post("/v1/runs", &body)
    };
    let (one, two) = (conductor_shared::ids::hex(&[1; 32]), conductor_shared::ids::hex(&[2; 32]));
    assert_eq!(start(Some(&one)).status, 200, "nothing is pinned");
    assert_eq!(node.command(a.uid, pin(1)).class, ChangeClass::Tighten);
    assert_eq!(start(Some(&one)).status, 200);
    for wrong in [Some(two.as_str()), None] {
        let r = start(wrong);
        assert_eq!((r.status, r.reasons()), (403, vec!["prompt_mismatch".to_owned()]));
        assert!(r.problem().receipt.is_some());
    }
    assert_eq!(start(Some("abc")).status, 400);
    assert_eq!(start(Some(&one.to_uppercase().replace('1', "A"))).status, 400);
    assert_eq!(node.command(a.uid, pin(2)).class, ChangeClass::Loosen);
    assert_eq!(start(Some(&one)).reasons(), ["prompt_mismatch"]);
    assert_eq!(start(Some(&two)).status, 200);
    let gone = Operation::WorkflowPin(ops::WorkflowPin {
        workflow: conductor_shared::ids::Ident::new("x").unwrap(),
        prompt_sha256: [1; 32],
    });
    assert_eq!(node.send(&node.compose(a.uid, gone)).reasons(), ["object_unknown"]);
}
