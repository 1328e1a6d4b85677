//! Scope, quotas, idempotency, leases, ramps: what is decided, and that it is decided exactly.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Operation, ops};
use conductor_shared::ids::TenantUid;
use conductor_shared::quota::QuotaKind;
use conductor_tests::node::run_body;
use conductor_tests::{Node, wait_for};
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};

/// SPEC invariant 2 and 1.1: no token opens another tenant, and every crossing leaves a receipt in the log of whoever
/// was proved, never in that of a tenant that was only named.
#[test]
fn no_tenant_reaches_another() {
    let node = Node::start();
    let (a, b) = (node.tenant("acme"), node.tenant("bolt"));
    let mut ca = node.client(&a.token);
    let mut cb = node.client(&b.token);
    let run = node.start_run(&mut cb, &b, None).json()["run_id"].as_str().unwrap().to_owned();
    let before = node.head(b.uid).0;
    // Own token, other tenant's name.
    let r = ca.post("/v1/runs", &run_body(&b, None));
    assert_eq!((r.status, r.reasons()), (403, vec!["scope_mismatch".to_owned()]));
    assert!(r.json()["receipt"]["origin"].as_str().unwrap().contains(&a.uid.to_string()));
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
    // The other's log, in every way there is to read one.
    for route in
        ["", "/receipts", "/receipts/0/proof", "/checkpoint", "/consistency", "/totals", "/receipts/export"]
    {
        let r = ca.get(&format!("/v1/tenants/{}{route}", b.uid));
        assert_eq!((r.status, r.reasons()), (403, vec!["scope_mismatch".to_owned()]), "{route}");
        let r = ca.get(&format!("/v1/tenants/{}{route}", TenantUid::NODE));
        assert_eq!(r.status, 403, "{route}");
        assert_eq!(ca.get(&format!("/v1/tenants/{}{route}", a.uid)).status, 200, "{route}");
    }
    assert_eq!(ca.get("/v1/tenants").status, 401);
    assert_eq!(ca.get("/v1/stream").status / 100, 4);
    assert_eq!(node.head(b.uid).0, before, "nothing was written into the other's log");
    // A token of one tenant with the uid of another.
    let forged = a.token.replace(&a.uid.to_string(), &b.uid.to_string());
    let r = node.client(&forged).post("/v1/runs", &run_body(&b, None));
    assert_eq!((r.status, r.reasons()), (401, vec!["unauthenticated".to_owned()]));
    assert!(r.json()["receipt"]["origin"].as_str().unwrap().contains(&TenantUid::NODE.to_string()));
    assert_eq!(node.head(b.uid).0, before);
}

/// SPEC 1.3: under 64 racing clients exactly as many runs are admitted as the quota grants, not one more; and another
/// tenant's answers do not change.
#[test]
fn quotas_are_exact_under_racing_clients() {
    let mut node = Node::start();
    let (a, b) = (node.tenant("acme"), node.tenant("bolt"));
    let limit = 37;
    node.command(a.uid, Operation::QuotaCap(ops::QuotaCap { kind: QuotaKind::ConcurrentRuns, limit }));
    node.command(a.uid, Operation::QuotaCap(ops::QuotaCap { kind: QuotaKind::StepRate, limit: 1 }));
    node.command(a.uid, Operation::QuotaCap(ops::QuotaCap { kind: QuotaKind::StepBurst, limit: 11 }));
    let admitted = AtomicU64::new(0);
    let denied = AtomicU64::new(0);
    let node_ref = &node;
    std::thread::scope(|s| {
        for _ in 0..64 {
            s.spawn(|| {
                let mut c = node_ref.client(&a.token);
                for _ in 0..10 {
                    let r = c.post("/v1/runs", &run_body(&a, None));
                    match r.status {
                        200 => admitted.fetch_add(1, Ordering::Relaxed),
                        429 => {
                            assert_eq!(r.reasons(), ["quota_concurrent_runs"]);
                            assert!(r.head.to_ascii_lowercase().contains("retry-after: "), "{}", r.head);
                            assert!(r.json()["receipt"]["index"].is_u64());
                            denied.fetch_add(1, Ordering::Relaxed)
                        }
                        other => panic!("{other}: {}", String::from_utf8_lossy(&r.body)),
                    };
                }
            });
        }
        s.spawn(|| {
            let mut c = node_ref.client(&b.token);
            for _ in 0..20 {
                assert_eq!(c.post("/v1/runs", &run_body(&b, None)).status, 200);
            }
        });
    });
    assert_eq!(admitted.load(Ordering::Relaxed), limit);
    assert_eq!(denied.load(Ordering::Relaxed), 640 - limit);
    // Steps: the burst and not one more, whoever asks. The second of the rate may let a few more in as time passes.
    let mut c = node.client(&a.token);
    let run =
        node.operator().get(&format!("/v1/tenants/{}/receipts?from=0&limit=500", a.uid)).json()["receipts"]
            .as_array()
            .unwrap()
            .len();
    assert!(run > 0);
    let r = c.post("/v1/runs", &run_body(&a, None));
    assert_eq!(r.status, 429);
    node.stop_agent();
    node.check();
}

/// SPEC 1.3: the same denial within a second is folded, and its count is written when the fold closes.
#[test]
fn denials_fold_and_their_count_is_kept() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    node.command(a.uid, Operation::QuotaCap(ops::QuotaCap { kind: QuotaKind::ConcurrentRuns, limit: 0 }));
    let mut c = node.client(&a.token);
    let first = node.start_run(&mut c, &a, Some("s")).json();
    assert_ne!(first["folded"], true);
    for _ in 0..5 {
        let again = node.start_run(&mut c, &a, Some("s")).json();
        assert_eq!((&again["folded"], &again["receipt"]), (&json!(true), &first["receipt"]));
    }
    let count = wait_for("the fold closes", 10, || {
        let page = node.operator().get(&format!("/v1/tenants/{}/receipts?from=-3", a.uid)).json();
        let list = page["receipts"].as_array()?.clone();
        let fold = list.iter().find(|r| r["kind_name"] == "DenialsFolded")?;
        Some(fold["summary"].as_str()?.to_owned())
    });
    assert!(count.ends_with("came 5 more times"), "{count}");
    node.stop_agent();
    node.check();
}

/// Issue 2, Agent: the same key gives the same answer, another body is a conflict, and a concurrent duplicate starts
/// nothing twice.
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
    assert_ne!(send("k2", &body).json()["run_id"], first.json()["run_id"]);
    let answers: Vec<String> = std::thread::scope(|s| {
        let all: Vec<_> =
            (0..16).map(|_| s.spawn(|| send("k3", &body).json()["run_id"].to_string())).collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|r| *r == answers[0] && r.len() > 30), "{answers:?}");
    // Only what was carried out is remembered: a denial may become an allow.
    node.command(a.uid, Operation::KillSet(ops::KillSet { selector: "*/*".parse().unwrap(), drain: false }));
    assert_eq!(send("k4", &body).reasons(), ["killed"]);
    node.command(a.uid, Operation::KillClear(ops::KillClear { selector: "*/*".parse().unwrap() }));
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

/// DESIGN, the path of a change: each request is decided on the state that the one before it left, also while that is
/// still on its way to the disk. Of two ends of one step, asked at once, one is the end and the other comes late; of two
/// requests with one key, one is carried out.
#[test]
fn what_is_on_its_way_to_the_disk_is_known() {
    const LANES: usize = 12;
    const ROUNDS: usize = 60;
    let node = Node::start();
    let a = node.tenant("acme");
    for kind in [QuotaKind::StepRate, QuotaKind::StepBurst, QuotaKind::ConcurrentRuns] {
        node.command(a.uid, Operation::QuotaSet(ops::QuotaSet { kind, limit: kind.max() }));
    }
    std::thread::scope(|s| {
        for lane in 0..LANES {
            let (node, a) = (&node, &a);
            s.spawn(move || {
                let (mut one, mut two) = (node.client(&a.token), node.client(&a.token));
                let run = node.start_run(&mut one, a, None).json()["run_id"].as_str().unwrap().to_owned();
                let steps = format!("/v1/runs/{run}/steps");
                let mut both = |path: &str, body: serde_json::Value, key: Option<String>| {
                    let key: Vec<_> = key.iter().map(|k| ("Idempotency-Key", k.as_str())).collect();
                    let body = body.to_string();
                    let ask = |c: &mut conductor_tests::Client| {
                        let r = c.send("POST", path, body.as_bytes(), &key).unwrap();
                        assert_eq!(r.status, 200, "{}", String::from_utf8_lossy(&r.body));
                        r.json()
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
                    let ends = both(&format!("{steps}/{}/finish", x["step"]), end, None);
                    assert_eq!(ends.iter().filter(|e| e["late"].is_null()).count(), 1, "{ends:?}");
                }
                let ends = both(
                    &format!("/v1/runs/{run}/finish"),
                    json!({"tenant_id": "acme", "outcome": "failed"}),
                    None,
                );
                assert_eq!(ends.iter().filter(|e| e["late"].is_null()).count(), 1, "{ends:?}");
            });
        }
    });
}

/// Issue 2, Agent: what a crashed workload held comes back, settles as lost, and a late finish revives nothing; after a
/// restart every open run has a full lease.
#[test]
fn leases_run_out_and_come_back() {
    let mut node = Node::start_in(tempfile::tempdir().unwrap(), "lease_seconds = 3\n");
    let a = node.tenant("acme");
    node.command(a.uid, Operation::QuotaCap(ops::QuotaCap { kind: QuotaKind::ConcurrentRuns, limit: 1 }));
    let mut c = node.client(&a.token);
    let run = node.start_run(&mut c, &a, None).json()["run_id"].as_str().unwrap().to_owned();
    let step = c.post(&format!("/v1/runs/{run}/steps"), &json!({"tenant_id": "acme", "name": "one"})).json();
    assert_eq!(step["step"], 1);
    assert_eq!(node.start_run(&mut c, &a, None).reasons(), ["quota_concurrent_runs"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    node.kill_agent();
    node.start_agent();
    // Two of its three seconds were over before the restart; they do not count.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let mut c = node.client(&a.token);
    let show = format!("/v1/runs/{run}?tenant_id=acme");
    assert_eq!(c.get(&show).json()["outcome"], json!(null));
    let lost = wait_for("the lease runs out", 10, || {
        let v = c.get(&show).json();
        (v["outcome"] != json!(null)).then_some(v)
    });
    assert_eq!((&lost["outcome"], &lost["open_steps"]), (&json!("lost"), &json!(0)));
    let done =
        json!({"tenant_id": "acme", "outcome": "succeeded", "duration_us": 5, "bytes_in": 1, "bytes_out": 2});
    let late = c.post(&format!("/v1/runs/{run}/steps/1/finish"), &done);
    assert_eq!((late.status, &late.json()["late"]), (200, &json!("lost")));
    let late =
        c.post(&format!("/v1/runs/{run}/finish"), &json!({"tenant_id": "acme", "outcome": "succeeded"}));
    assert_eq!(late.json()["late"], "lost");
    assert_eq!(c.get(&show).json()["outcome"], "lost");
    let totals = c.get(&format!("/v1/tenants/{}/totals", a.uid)).json();
    assert_eq!(totals["total"]["step_us"], 0, "a late claim is recorded, and not billed");
    assert_eq!(node.start_run(&mut c, &a, None).status, 200, "its place came back");
    node.stop_agent();
    node.check();
}

/// SPEC 3.1: a ramp lets the same subjects in whenever it is raised again, raising only adds, and a change upwards is a
/// loosening that waits for its checkpoint.
#[test]
fn ramps_are_sticky() {
    let node = Node::start();
    let a = node.tenant("acme");
    let sel = || "run/etl".parse().unwrap();
    let admitted = || -> Vec<usize> {
        let mut c = node.client(&a.token);
        (0..60)
            .filter(|i| {
                let r = node.start_run(&mut c, &a, Some(&format!("subject-{i}")));
                if r.status == 200 {
                    let run = r.json()["run_id"].as_str().unwrap().to_owned();
                    c.post(
                        &format!("/v1/runs/{run}/finish"),
                        &json!({"tenant_id": "acme", "outcome": "succeeded"}),
                    );
                } else {
                    assert_eq!(r.reasons(), ["ramp_excluded"]);
                }
                r.status == 200
            })
            .collect()
    };
    let down = node.command(
        a.uid,
        Operation::RampCap(ops::RampCap { selector: sel(), hundredths: BasisPoints::saturating(3000) }),
    );
    assert_eq!((&down["class"], &down["proposal"]), (&json!("tighten"), &json!(null)));
    let third = admitted();
    assert!((5..35).contains(&third.len()), "{third:?}");
    let up = node.command(
        a.uid,
        Operation::RampSet(ops::RampSet { selector: sel(), hundredths: BasisPoints::saturating(7000) }),
    );
    assert_eq!(up["class"], "loosen");
    assert!(up["proposal"]["index"].as_u64() < up["receipt"]["index"].as_u64());
    let more = admitted();
    assert!(third.iter().all(|s| more.contains(s)), "raising only adds");
    node.command(
        a.uid,
        Operation::RampCap(ops::RampCap { selector: sel(), hundredths: BasisPoints::saturating(3000) }),
    );
    assert_eq!(admitted(), third, "the same subjects as before");
    // The exact blast radius: as many as would really be let in.
    let op = Operation::RampSet(ops::RampSet { selector: sel(), hundredths: BasisPoints::saturating(7000) });
    let path = format!("/v1/tenants/{}/preview", a.uid);
    let p = node.operator().post(&path, &json!({"operation": op.to_list()})).json();
    let newly = (more.len() - third.len()) as u64;
    assert_eq!(
        (&p["requests"], &p["newly_allowed"], &p["newly_denied"]),
        (&json!(180), &json!(3 * newly), &json!(0))
    );
}

/// Issue 2, bad input: clear problem documents, no crash, nothing raw.
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
    assert_eq!(node.start_run(&mut c, &a, Some("\u{202e}\x1b[31m")).status, 200);
    let page = c.get(&format!("/v1/tenants/{}/receipts?from=-1", a.uid));
    assert!(!String::from_utf8(page.body).unwrap().contains(['\x1b', '\u{202e}']));
}

/// SPEC, Gates (prompt integrity): a run that declares another prompt than the pinned one is denied with a receipt; a pin
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
    assert_eq!(node.command(a.uid, pin(1))["class"], "tighten");
    assert_eq!(start(Some(&one)).status, 200);
    for wrong in [Some(two.as_str()), None] {
        let r = start(wrong);
        assert_eq!((r.status, r.reasons()), (403, vec!["prompt_mismatch".to_owned()]));
        assert!(r.json()["receipt"]["index"].is_u64());
    }
    assert_eq!(start(Some("abc")).status, 400);
    assert_eq!(start(Some(&one.to_uppercase().replace('1', "A"))).status, 400);
    assert_eq!(node.command(a.uid, pin(2))["class"], "loosen");
    assert_eq!(start(Some(&one)).reasons(), ["prompt_mismatch"]);
    assert_eq!(start(Some(&two)).status, 200);
    let gone = Operation::WorkflowPin(ops::WorkflowPin {
        workflow: conductor_shared::ids::Ident::new("x").unwrap(),
        prompt_sha256: [1; 32],
    });
    assert_eq!(node.send(&node.compose(a.uid, gone)).reasons(), ["object_unknown"]);
}
