//! Metering, usage and cost of a real agent (SPEC 2.1 to 2.3, invariant 5).

use super::history::conductor;
use super::persons::approve;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_shared::command::{Operation, ops};
use conductor_shared::cost::TYPE_LINE;
use conductor_shared::ids::TenantUid;
use conductor_shared::time_range::utc_month;
use conductor_tests::{Node, Tenant};
use serde_json::{Value, json};

const NODE: TenantUid = TenantUid::NODE;

/// Runs of three steps, one heartbeat and one approval.
pub(super) fn work(node: &Node, a: &Tenant, runs: u64) {
    let mut c = node.client(&a.token);
    for n in 0..runs {
        let started = node.start_run(&mut c, a, None);
        assert_eq!(started.status, 200, "{}", String::from_utf8_lossy(&started.body));
        let run = started.json()["run_id"].as_str().unwrap().to_owned();
        for s in 0..3 {
            let body = json!({"tenant_id": a.name, "name": format!("s{s}")});
            let step = c.post(&format!("/v1/runs/{run}/steps"), &body).json()["step"].as_u64().unwrap();
            let done = json!({"tenant_id": a.name, "outcome": "succeeded", "duration_us": 1_000_000 * (n + 1), "bytes_in": 10, "bytes_out": 20});
            assert_eq!(c.post(&format!("/v1/runs/{run}/steps/{step}/finish"), &done).status, 200);
        }
        let tenant = json!({"tenant_id": a.name});
        assert_eq!(c.post(&format!("/v1/runs/{run}/heartbeat"), &tenant).status, 200);
        let body = json!({"tenant_id": a.name, "name": "go", "approver": "eva", "approved": true});
        assert_eq!(c.post(&format!("/v1/runs/{run}/approvals"), &body).status, 200);
        let done = json!({"tenant_id": a.name, "outcome": "succeeded"});
        assert_eq!(c.post(&format!("/v1/runs/{run}/finish"), &done).status, 200);
        // A late settle is a receipt of the run as well.
        assert_eq!(c.post(&format!("/v1/runs/{run}/finish"), &done).status, 200);
    }
}

fn usage(node: &Node, a: &Tenant, query: &str) -> Value {
    let r = node.operator().get(&format!("/v1/tenants/{}/usage?{query}", a.uid));
    assert_eq!(r.status, 200, "{}", String::from_utf8_lossy(&r.body));
    r.json()
}

fn cost(node: &Node, a: &Tenant, query: &str) -> Value {
    let r = node.operator().get(&format!("/v1/tenants/{}/cost?{query}", a.uid));
    assert_eq!(r.status, 200, "{}", String::from_utf8_lossy(&r.body));
    r.json()
}

/// Trusts a billing key of its own, with a second person.
pub(super) fn trust(node: &mut Node) {
    let public_key = node.new_key("billing");
    let c = node.compose(NODE, Operation::RateTrust(ops::RateTrust { public_key }));
    assert_eq!(node.send(&c).json()["status"], "requested");
    assert_eq!(approve(node, "ben", &c), ["effective"]);
}

pub(super) fn card(version: u64, from: &str, compute_hour: u64) -> String {
    format!(
        "{TYPE_LINE}\nversion = {version}\ncurrency = \"EUR\"\ndecimals = 6\neffective_from = \"{from}\"\ncompute_hour = {compute_hour}\nstorage_gb_month = 90000000000\nsigning_million = 700000001\n"
    )
}

pub(super) fn load(node: &Node, text: &str, key: &str) -> Operation {
    let signed = node.signed_by(key, text);
    let signature = STANDARD.encode(signed["signature"].as_str().unwrap());
    Operation::RateLoad(ops::RateLoad { card: STANDARD.encode(text), signature })
}

/// SPEC 2.1 and 2.2: every receipt of work is metered once, with all labels; usage says what was done, by workflow type
/// and environment, in every form the same; a tenant reads its own and nobody else's; bad questions are explained.
#[test]
fn usage_is_what_was_done() {
    let mut node = Node::start();
    let (a, b) = (node.tenant("acme"), node.tenant("beta"));
    work(&node, &a, 4);
    work(&node, &b, 1);
    node.all_signed(a.uid);
    let u = usage(&node, &a, "range=24h");
    let t = &u["totals"];
    // Eleven a run: start, three steps begun and ended, a heartbeat, an approval, the end, a settle too late.
    let want = [
        ("runs_started", 4),
        ("steps_executed", 12),
        ("step_us", 30_000_000),
        ("bytes_in", 120),
        ("bytes_out", 240),
        ("approval_decisions", 4),
        ("receipts_emitted", 44),
        ("receipts_signed", 44),
    ];
    for (name, n) in want {
        assert_eq!(t[name], json!(n), "{name}: {t}");
    }
    assert!(t["storage_bytes"].as_i64().unwrap() > 44 * 100, "{t}");
    assert_eq!(t["storage_bytes"], t["storage_bytes_written"], "nothing was there before");
    assert_eq!(u["breakdown"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&u["breakdown"][0]["workflow_type"], &u["breakdown"][0]["env"]),
        (&json!("etl"), &json!("rehearsal"))
    );
    // By its display id, without a version, by the tenant itself.
    let own = node
        .client(&a.token)
        .get("/tenants/acme/usage?range=24h&group_by=actor_type&step=1d&tz=Asia/Kathmandu");
    assert_eq!(own.status, 200);
    assert_eq!(own.json()["totals"]["receipts_emitted"], json!(44));
    assert_eq!(own.json()["breakdown"][0]["actor_type"], "service");
    let steps = own.json()["steps"].as_array().unwrap().clone();
    assert_eq!(steps.len(), 2, "a day of the zone ended within: {steps:?}");
    let other = node.client(&a.token).get(&format!("/v1/tenants/{}/usage", b.uid));
    assert_eq!((other.status, other.reasons()), (403, vec!["scope_mismatch".to_owned()]));
    // What is wrong is a problem document that says so.
    for (query, what) in [
        ("range=401d", "400d"),
        ("range=2026-10-02/2026-10-01", "ends before"),
        ("range=2026-10-01T00:01:00Z/P1D", "quarter"),
        ("step=2h", "15m, 1h, 1d"),
        ("group_by=tenant", "group_by"),
        ("tz=Mars", "time zone"),
        ("format=xml", "format"),
        ("range=400d&step=15m", "longer step"),
    ] {
        let r = node.operator().get(&format!("/v1/tenants/{}/usage?{query}", a.uid));
        assert_eq!((r.status, r.header("content-type")), (400, Some("application/problem+json")), "{query}");
        assert!(r.json()["detail"].as_str().unwrap().contains(what), "{query}: {}", r.json()["detail"]);
    }
    // The same numbers in every form.
    let csv = node.operator().get(&format!("/v1/tenants/{}/usage?range=24h&format=csv", a.uid));
    let text = String::from_utf8(csv.body.clone()).unwrap();
    let row: Vec<&str> = text.lines().nth(1).unwrap().split(',').collect();
    assert_eq!((row[0], row[3], row[6], row[8], row[12]), ("acme", "etl", "4", "30000000", "44"));
    let (ok, shown, said) = conductor(&node, &["usage", "show", "acme", "--range", "24h"]);
    assert!(ok && shown["totals"]["steps_executed"] == 12, "{said}");
    let (ok, counted, said) = conductor(&node, &["usage", "recount", "acme"]);
    assert!(ok && counted["differences"] == json!([]), "{said}");
    // It survives a restart, and the stopped agent's rows agree with the receipts.
    node.stop_agent();
    node.check();
    node.start_agent();
    let again = usage(&node, &a, "range=24h");
    assert_eq!(again["totals"]["receipts_emitted"], json!(44));
    assert_eq!(again["totals"]["storage_bytes"], t["storage_bytes"]);
}

/// SPEC 2.3 and X4: prices come from signed, effective-dated cards; an amount is explained down to its events; an invoice
/// is compared to the unit; what was reconciled is reconciled only while it stays so.
#[test]
#[allow(clippy::too_many_lines, reason = "one month from its first event to its correction")]
fn cost_is_exact_explained_and_reconciled() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben"]);
    let a = node.tenant("acme");
    let now = node.operator().get("/v1/node").json()["now_us"].as_u64().unwrap();
    let (this_month, period) = utc_month(now).unwrap();
    let (last_month, before) = utc_month(period.from_us - 1).unwrap();
    // Nobody is trusted yet; then another key, another spelling, an older version.
    let first = card(1, "2026-01-01T00:00:00Z", 120_000_000);
    node.new_key("other");
    assert_eq!(node.send(&node.compose(NODE, load(&node, &first, "other"))).reasons(), ["rate_card_invalid"]);
    trust(&mut node);
    assert_eq!(node.send(&node.compose(NODE, load(&node, &first, "other"))).reasons(), ["rate_card_invalid"]);
    node.command(NODE, load(&node, &first, "billing"));
    assert_eq!(node.send(&node.compose(NODE, load(&node, &first, "billing"))).reasons(), ["rate_card_older"]);
    let dollars = card(2, "2026-01-01T00:00:00Z", 1).replace("EUR", "USD");
    assert_eq!(
        node.send(&node.compose(NODE, load(&node, &dollars, "billing"))).reasons(),
        ["rate_card_invalid"]
    );
    // Last month is backfilled: an hour and a half of steps, 3 receipts, 2 GB from its begin on; a run three days later.
    let at = before.from_us;
    let later = at + 3 * 24 * 3_600_000_000;
    let list = [
        format!("step_executed {at} production service etl 3 5400000000"),
        format!("receipt_emitted {at} production service etl 3 3"),
        format!("storage_bytes_written {at} production service etl 1 2000000000"),
        format!("run_started {later} production service etl 1 1"),
    ];
    let adjustments = list.iter().map(|l| l.parse().unwrap()).collect();
    node.command(a.uid, Operation::UsageCorrect(ops::UsageCorrect { adjustments }));
    let asked = format!("range={last_month}&step=1d");
    let c = cost(&node, &a, &asked);
    let hours = i128::from(before.to_us - before.from_us) / 3_600_000_000;
    let storage = (2 * 90_000_000_000 * hours + 365) / 730;
    assert_eq!(c["totals"]["compute"], json!(180_000_000), "{c}");
    assert_eq!(c["totals"]["storage"].as_i64().map(i128::from), Some(storage), "{c}");
    assert_eq!(c["totals"]["signing"], json!(2_100), "3 x 700000001 / 1000000 rounds to 2100");
    let by_day: i64 = c["steps"].as_array().unwrap().iter().map(|s| s["total"].as_i64().unwrap()).sum();
    assert_eq!(c["totals"]["total"], json!(by_day), "days add up to the month");
    assert_eq!((&c["unit"], &c["reconciled"]), (&json!("10^-6 EUR"), &json!(false)));
    // What was kept at the end of the month is kept in this one too, and not before.
    let this = usage(&node, &a, &format!("range={this_month}"));
    assert!(this["totals"]["storage_bytes"].as_i64().unwrap() >= 2_000_000_000, "{this}");
    let earlier = usage(&node, &a, &format!("range=P1D/{last_month}-01"));
    assert_eq!(earlier["breakdown"], json!([]));
    // Explained by its events, which add up.
    let args = ["cost", "explain", "acme", "--range", &last_month, "--bucket", "storage", "--all"];
    let (ok, e, said) = conductor(&node, &args);
    assert!(ok, "{said}");
    let adds = |e: &Value| -> i128 {
        let each = e["events"].as_array().unwrap().iter();
        each.map(|v| v["adds"].as_str().unwrap().parse::<i128>().unwrap()).sum()
    };
    let quantity: i128 = e["parts"][0]["quantity"].as_str().unwrap().parse().unwrap();
    assert_eq!(adds(&e) + e["kept_before"].as_str().unwrap().parse::<i128>().unwrap(), quantity);
    assert_eq!(e["amount"], c["totals"]["storage"]);
    assert!(e["events"][0]["recorded_us"].as_u64() > e["events"][0]["at_us"].as_u64(), "it was backfilled");
    work(&node, &a, 2);
    node.all_signed(a.uid);
    let args = ["cost", "explain", "acme", "--range", "24h", "--bucket", "compute", "--all"];
    let (ok, e, said) = conductor(&node, &args);
    assert!(ok && e["events"].as_array().unwrap().len() == 6 && adds(&e) == 9_000_000, "{said}");
    // An invoice that differs is named; one that agrees is put on record.
    let invoice = node.path("invoice.csv");
    let write = |compute: i64| {
        let (s, n) = (&c["totals"]["storage"], &c["totals"]["signing"]);
        let text = format!(
            "bucket,workflow_type,env,amount\ncompute,etl,production,{compute}\nstorage,etl,production,{s}\nsigning,etl,production,{n}\n"
        );
        std::fs::write(&invoice, text).unwrap();
    };
    let file = invoice.display().to_string();
    let reconcile =
        ["cost", "reconcile", "acme", &last_month, "--invoice", &file, "--yes", "--reason", "invoice 7"];
    write(180_000_001);
    let (ok, differs, said) = conductor(&node, &reconcile);
    assert!(!ok && differs["differences"][0]["metered"] == 180_000_000, "{said}");
    write(180_000_000);
    let (ok, done, said) = conductor(&node, &reconcile);
    assert!(ok && done["status"] == "effective", "{said}");
    let c = cost(&node, &a, &asked);
    assert!(c["reconciled"] == true && c["rows"].as_array().unwrap().iter().all(|r| r["reconciled"] == true));
    // This month is not over, and not reconciled.
    let early = ["cost", "reconcile", "acme", &this_month, "--invoice", &file, "--yes", "--reason", "x"];
    write(0);
    let (ok, ..) = conductor(&node, &early);
    assert!(!ok);
    // A correction in the month makes it differ from what was agreed, and only it. Days that were added up before are
    // added up anew.
    let whole = || {
        let t = usage(&node, &a, &format!("range={last_month}"))["totals"].clone();
        (t["step_us"].as_i64().unwrap(), t["runs_started"].as_i64().unwrap())
    };
    assert_eq!((whole(), whole()), ((5_400_000_000, 1), (5_400_000_000, 1)));
    let add = format!("step_executed {at} production service etl -1 -3600000000");
    let (ok, _, said) =
        conductor(&node, &["usage", "correct", "acme", "--add", &add, "--yes", "--reason", "metered twice"]);
    assert!(ok, "{said}");
    assert_eq!(whole(), (1_800_000_000, 1));
    let c = cost(&node, &a, &asked);
    assert_eq!((&c["totals"]["compute"], &c["reconciled"]), (&json!(60_000_000), &json!(false)));
    // Bad corrections.
    for (op, why) in [
        (format!("run_started {} production service etl 1 1", period.to_us), "period_invalid"),
        (format!("run_started {at} production service nothing 1 1"), "workflow_unknown"),
        ("run_started 0 production service etl 1 1".to_owned(), "period_invalid"),
    ] {
        let op = Operation::UsageCorrect(ops::UsageCorrect { adjustments: vec![op.parse().unwrap()] });
        assert_eq!(node.send(&node.compose(a.uid, op)).reasons(), [why]);
    }
    // FOCUS: the same amounts, as decimals, for one billing period.
    let out = node.path("focus.csv").display().to_string();
    let args = ["export", "cost", "acme", "--range", &last_month, "--format", "focus", "--out", &out];
    let (ok, _, said) = conductor(&node, &args);
    assert!(ok, "{said}");
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.starts_with("BilledCost,BillingAccountId,") && text.contains("\r\n60.000000,"), "{text}");
    let r = node.operator().get(&format!("/v1/tenants/{}/cost?range=60d&format=focus", a.uid));
    assert_eq!(r.status, 400);
    node.stop_agent();
    node.check();
    node.start_agent();
    assert_eq!(cost(&node, &a, &asked)["totals"], c["totals"]);
}
