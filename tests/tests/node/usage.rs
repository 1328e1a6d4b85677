//! Metering, usage and cost of a real agent.

use conductor_shared::clock::WallTime;
use conductor_shared::command::{Operation, ops};
use conductor_shared::cost::{CostAnswer, Explained};
use conductor_shared::fact::{ActorType, Env};
use conductor_shared::ids::TenantUid;
use conductor_shared::time_range::{Period, utc_month};
use conductor_shared::usage::UsageAnswer;
use conductor_tests::billing::{card, load, trust};
use conductor_tests::workload::work;
use conductor_tests::{Node, Tenant};
use serde_json::json;
use std::time::Duration;

const NODE: TenantUid = TenantUid::NODE;

fn usage(node: &Node, a: &Tenant, query: &str) -> UsageAnswer {
    node.operator().get(&format!("/v1/tenants/{}/usage?{query}", a.uid)).read()
}

fn cost(node: &Node, a: &Tenant, query: &str) -> CostAnswer {
    node.operator().get(&format!("/v1/tenants/{}/cost?{query}", a.uid)).read()
}

/// A node on which acme has done four runs and beta one.
fn worked() -> (Node, Tenant, Tenant) {
    let node = Node::start();
    let (a, b) = (node.tenant("acme"), node.tenant("beta"));
    work(&node, &a, 4);
    work(&node, &b, 1);
    node.all_signed(a.uid);
    (node, a, b)
}

/// Every receipt of work is metered once, with all labels, and usage says what was done; it survives a restart, and the
/// stopped agent's rows agree with the receipts.
#[test]
fn usage_is_what_was_done() {
    let (mut node, a, _) = worked();
    let u = usage(&node, &a, "range=24h");
    let t = &u.totals;
    // Eleven a run: start, three steps begun and ended, a heartbeat, an approval, the end, a settle too late.
    assert_eq!((t.runs_started, t.approval_decisions), (4, 4));
    assert_eq!((t.steps_executed, t.step_us, t.bytes_in, t.bytes_out), (12, 30_000_000, 120, 240));
    assert_eq!((t.receipts_emitted, t.receipts_signed), (44, 44));
    assert!(t.storage_bytes > 44 * 100, "{t:?}");
    assert_eq!(t.storage_bytes, t.storage_bytes_written, "nothing was there before");
    assert_eq!(u.breakdown.len(), 1);
    let group = &u.breakdown[0].group;
    assert_eq!((group.workflow_type.as_ref().unwrap().as_str(), group.env), ("etl", Some(Env::Rehearsal)));
    node.stop_agent();
    node.check();
    node.start_agent();
    let again = usage(&node, &a, "range=24h");
    assert_eq!((again.totals.receipts_emitted, again.totals.storage_bytes), (44, t.storage_bytes));
}

/// Reads: usage is of one tenant, also by its display id and without a version, for whoever may read that; bad
/// questions are explained.
#[test]
fn usage_is_of_one_tenant() {
    let (node, a, b) = worked();
    let mut c = node.client(&a.token);
    let own =
        node.operator().get("/tenants/acme/usage?range=24h&group_by=actor_type&step=1d&tz=Asia/Kathmandu");
    assert_eq!(own.status, 200);
    let own: UsageAnswer = own.read();
    assert_eq!(own.totals.receipts_emitted, 44);
    assert_eq!(own.breakdown[0].group.actor_type, Some(ActorType::Service));
    assert_eq!(own.steps.len(), 2, "a day of the zone ended within: {:?}", own.steps);
    assert_eq!(
        c.get(&format!("/v1/tenants/{}/usage", a.uid)).reasons(),
        ["role_missing"],
        "it is for persons"
    );
    let other = c.get(&format!("/v1/tenants/{}/usage", b.uid));
    assert_eq!((other.status, other.reasons()), (403, vec!["scope_mismatch".to_owned()]));
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
        assert!(r.problem().detail.contains(what), "{query}: {r}");
    }
}

/// The same numbers in every form: CSV, the plain command, and a recount of the receipts.
#[test]
fn usage_is_the_same_in_every_form() {
    let (node, a, _) = worked();
    let csv = node.operator().get(&format!("/v1/tenants/{}/usage?range=24h&format=csv", a.uid));
    let text = String::from_utf8(csv.body).unwrap();
    let row: Vec<&str> = text.lines().nth(1).unwrap().split(',').collect();
    assert_eq!((row[0], row[3], row[6], row[8], row[12]), ("acme", "etl", "4", "30000000", "44"));
    let (ok, shown, said) = node.cli(&["usage", "show", "acme", "--range", "24h"]);
    let shown: UsageAnswer = serde_json::from_value(shown).unwrap();
    assert!(ok && shown.totals.steps_executed == 12, "{said}");
    let (ok, counted, said) = node.cli(&["usage", "recount", "acme"]);
    assert!(ok && counted["differences"] == json!([]), "{said}");
}

/// A node with a rate card, and a last month that was backfilled: an hour and a half of steps, 3 receipts, 2 GB from its
/// begin on; a run three days later.
struct Month {
    node: Node,
    tenant: Tenant,
    current: String,
    previous: String,
    before: Period,
}

impl Month {
    fn begin() -> Self {
        let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben"]);
        let tenant = node.tenant("acme");
        let (current, period) = utc_month(WallTime::from_micros(node.now_us())).unwrap();
        let (previous, before) = utc_month(period.from - Duration::from_micros(1)).unwrap();
        trust(&mut node);
        node.command(NODE, load(&node, &card(1, "2026-01-01T00:00:00Z", 120_000_000), "billing"));
        let at = before.from.as_micros();
        let later = at + 3 * 24 * 3_600_000_000;
        let list = [
            format!("step_executed {at} production service etl 3 5400000000"),
            format!("receipt_emitted {at} production service etl 3 3"),
            format!("storage_bytes_written {at} production service etl 1 2000000000"),
            format!("run_started {later} production service etl 1 1"),
        ];
        let adjustments = list.iter().map(|l| l.parse().unwrap()).collect();
        node.command(tenant.uid, ops::UsageCorrect { adjustments });
        Self { node, tenant, current, previous, before }
    }

    /// Cost of last month by days.
    fn cost(&self) -> CostAnswer {
        cost(&self.node, &self.tenant, &format!("range={}&step=1d", self.previous))
    }

    /// A correction of last month, as the word of a command.
    fn correction(&self, count: i64, step_us: i64) -> String {
        format!("step_executed {} production service etl {count} {step_us}", self.before.from.as_micros())
    }

    fn end(mut self) {
        let totals = self.cost().totals;
        self.node.stop_agent();
        self.node.check();
        self.node.start_agent();
        assert_eq!(self.cost().totals, totals, "a restart changes nothing");
    }
}

/// A rate card is taken only from the trusted key, spelled as it must be, in one currency, and never an older one.
#[test]
fn rate_cards_are_signed_and_only_rise() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben"]);
    let first = card(1, "2026-01-01T00:00:00Z", 120_000_000);
    let reasons =
        |node: &Node, text: &str, key: &str| node.send(&node.compose(NODE, load(node, text, key))).reasons();
    node.new_key("other");
    assert_eq!(reasons(&node, &first, "other"), ["rate_card_invalid"], "nobody is trusted yet");
    trust(&mut node);
    assert_eq!(reasons(&node, &first, "other"), ["rate_card_invalid"]);
    node.command(NODE, load(&node, &first, "billing"));
    assert_eq!(reasons(&node, &first, "billing"), ["rate_card_older"]);
    let dollars = card(2, "2026-01-01T00:00:00Z", 1).replace("EUR", "USD");
    assert_eq!(reasons(&node, &dollars, "billing"), ["rate_card_invalid"]);
}

/// Invariant 5: an amount is exact to the unit, and days add up to the month; what was kept at the end of a month is
/// kept in the next one too, and not before.
#[test]
fn cost_is_exact() {
    let m = Month::begin();
    let c = m.cost();
    let hours = i128::from(m.before.length().as_secs() / 3_600);
    let storage = (2 * 90_000_000_000 * hours + 365) / 730;
    assert_eq!((c.totals.compute, i128::from(c.totals.storage)), (180_000_000, storage));
    assert_eq!(c.totals.signing, 2_100, "3 x 700000001 / 1000000 rounds to 2100");
    let by_day: i64 = c.steps.iter().map(|s| s.amounts.total).sum();
    assert_eq!(c.totals.total, by_day, "days add up to the month");
    assert_eq!((c.unit.as_str(), c.reconciled), ("10^-6 EUR", false));
    let this = usage(&m.node, &m.tenant, &format!("range={}", m.current));
    assert!(this.totals.storage_bytes >= 2_000_000_000, "{this:?}");
    let earlier = usage(&m.node, &m.tenant, &format!("range=P1D/{}-01", m.previous));
    assert_eq!(earlier.breakdown, []);
    m.end();
}

/// An amount is explained down to its events, which add up.
#[test]
fn cost_is_explained() {
    let m = Month::begin();
    let args = ["cost", "explain", "acme", "--range", &m.previous, "--bucket", "storage", "--all"];
    let (ok, e, said) = m.node.cli(&args);
    assert!(ok, "{said}");
    let adds = |e: &Explained| -> i128 { e.events.iter().map(|event| event.adds).sum() };
    let e: Explained = serde_json::from_value(e).unwrap();
    assert_eq!(adds(&e) + e.kept_before, e.parts[0].quantity);
    assert_eq!(e.amount, m.cost().totals.storage);
    assert!(e.events[0].recorded_us > e.events[0].at_us, "it was backfilled");
    work(&m.node, &m.tenant, 2);
    m.node.all_signed(m.tenant.uid);
    let args = ["cost", "explain", "acme", "--range", "24h", "--bucket", "compute", "--all"];
    let (ok, e, said) = m.node.cli(&args);
    let e: Explained = serde_json::from_value(e).unwrap();
    assert!(ok && e.events.len() == 6 && adds(&e) == 9_000_000, "{said}");
}

/// An invoice is compared to the unit; one that differs is named, one that agrees is put on record, and the month is
/// reconciled only while it stays so.
#[test]
fn an_invoice_is_reconciled_while_it_agrees() {
    let m = Month::begin();
    let c = m.cost();
    let invoice = m.node.path("invoice.csv");
    let write = |compute: i64| {
        let (s, n) = (c.totals.storage, c.totals.signing);
        let text = format!(
            "bucket,workflow_type,env,amount\ncompute,etl,production,{compute}\nstorage,etl,production,{s}\nsigning,etl,production,{n}\n"
        );
        std::fs::write(&invoice, text).unwrap();
    };
    let file = invoice.display().to_string();
    let reconcile = |month: &str| {
        m.node.cli(&[
            "cost",
            "reconcile",
            "acme",
            month,
            "--invoice",
            &file,
            "--yes",
            "--reason",
            "invoice 7",
        ])
    };
    write(180_000_001);
    let (ok, differs, said) = reconcile(&m.previous);
    assert!(!ok && differs["differences"][0]["metered"] == 180_000_000, "{said}");
    write(180_000_000);
    let (ok, done, said) = reconcile(&m.previous);
    assert!(ok && done["status"] == "effective", "{said}");
    let c = m.cost();
    assert!(c.reconciled && c.rows.iter().all(|row| row.reconciled));
    let (ok, ..) = reconcile(&m.current);
    assert!(!ok, "this month is not over");
    let add = m.correction(-1, -3_600_000_000);
    let (ok, _, said) =
        m.node.cli(&["usage", "correct", "acme", "--add", &add, "--yes", "--reason", "metered twice"]);
    assert!(ok, "{said}");
    let c = m.cost();
    assert_eq!((c.totals.compute, c.reconciled), (60_000_000, false));
    m.end();
}

/// Days that were added up before are added up again after a correction; bad corrections are refused.
#[test]
fn corrections_change_only_what_they_name() {
    let m = Month::begin();
    let whole = || {
        let t = usage(&m.node, &m.tenant, &format!("range={}", m.previous)).totals;
        (t.step_us, t.runs_started)
    };
    assert_eq!((whole(), whole()), ((5_400_000_000, 1), (5_400_000_000, 1)));
    let correct = |word: String| {
        Operation::UsageCorrect(ops::UsageCorrect { adjustments: vec![word.parse().unwrap()] })
    };
    m.node.command(m.tenant.uid, correct(m.correction(-1, -3_600_000_000)));
    assert_eq!(whole(), (1_800_000_000, 1));
    for (word, why) in [
        (format!("run_started {} production service etl 1 1", end_of_this_month(&m)), "period_invalid"),
        (
            format!("run_started {} production service nothing 1 1", m.before.from.as_micros()),
            "workflow_unknown",
        ),
        ("run_started 0 production service etl 1 1".to_owned(), "period_invalid"),
    ] {
        assert_eq!(m.node.send(&m.node.compose(m.tenant.uid, correct(word))).reasons(), [why]);
    }
    m.end();
}

/// The end of this month, which is not yet.
fn end_of_this_month(m: &Month) -> u64 {
    utc_month(WallTime::from_micros(m.node.now_us())).unwrap().1.to.as_micros()
}

/// FOCUS has the same amounts, as decimals, for one billing period.
#[test]
fn focus_has_the_same_amounts() {
    let m = Month::begin();
    let out = m.node.path("focus.csv").display().to_string();
    let args = ["export", "cost", "acme", "--range", &m.previous, "--format", "focus", "--out", &out];
    let (ok, _, said) = m.node.cli(&args);
    assert!(ok, "{said}");
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.starts_with("BilledCost,BillingAccountId,") && text.contains("\r\n180.000000,"), "{text}");
    let r = m.node.operator().get(&format!("/v1/tenants/{}/cost?range=60d&format=focus", m.tenant.uid));
    assert_eq!(r.status, 400);
}
