//! The watch over ramps, plans and incidents, with real processes and the real API.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Operation, ops};
use conductor_shared::fact::ChangeClass;
use conductor_shared::http::{
    IncidentList, IncidentRow, ReceiptPage, SloList, SloStatus, Timeline, TimelineRow,
};
use conductor_shared::ids::{Ident, TenantUid};
use conductor_shared::operator::parse_roles;
use conductor_shared::quota::QuotaKind;
use conductor_shared::ramp::Selector;
use conductor_shared::slo::Thresholds;
use conductor_shared::untrusted::UntrustedText;
use conductor_tests::policy::{rules, trust_and_load};
use conductor_tests::{Client, Node, Tenant, run_body, wait_for};
use serde_json::json;

/// Judged five times a second; a ramp without a plan needs no bake.
const QUICK: &str = "[slo]\nevaluate_ms = 200\nbake_seconds = 0\n";

fn node() -> (Node, Tenant) {
    let node = Node::start_after(tempfile::tempdir().unwrap(), QUICK);
    let a = node.tenant("acme");
    (node, a)
}

fn rule() -> Selector {
    "run/etl".parse().unwrap()
}

fn ramp(hundredths: u16) -> Operation {
    Operation::RampSet(ops::RampSet { selector: rule(), hundredths: BasisPoints::saturating(hundredths) })
}

/// Starts and ends so many runs that the ramp lets in, the first `failed` of them badly; fewer when it lets none in.
fn runs(c: &mut Client, a: &Tenant, n: usize, failed: usize) {
    let (mut done, mut excluded) = (0, 0);
    for subject in 0.. {
        // At 10 % so many in a row do not come by chance: it fell to nothing.
        if done == n || excluded == 400 {
            return;
        }
        let r = c.post("/v1/runs", &run_body(a, Some(&format!("s-{subject}"))));
        if r.status != 200 {
            assert_eq!(r.reasons(), ["ramp_excluded"]);
            excluded += 1;
            continue;
        }
        let run = r.decided().run_id;
        let outcome = if done < failed { "failed" } else { "succeeded" };
        let r = c.post(&format!("/v1/runs/{run}/finish"), &json!({"tenant_id": a.name, "outcome": outcome}));
        assert_eq!(r.status, 200);
        (done, excluded) = (done + 1, 0);
    }
}

/// The share of subjects that the ramp lets in, in hundredths of a percent.
fn share(node: &Node, a: &Tenant) -> u64 {
    let ramps = node.control(a.uid).ramps;
    ramps.values().next().map_or(10_000, |ramp| ramp.hundredths.into())
}

fn slo(node: &Node, a: &Tenant) -> SloStatus {
    wait_for("a ramp that is watched", 20, || {
        let list: SloList = node.operator().get(&format!("/v1/tenants/{}/slo", a.uid)).read();
        list.ramps.into_iter().next()
    })
}

fn wait_healthy(node: &Node, a: &Tenant) {
    wait_for("healthy", 10, || (slo(node, a).verdict == "healthy").then_some(()));
}

fn incidents(node: &Node, path: &str) -> Vec<IncidentRow> {
    node.operator().get(path).read::<IncidentList>().incidents
}

fn of_tenant(a: &Tenant) -> String {
    format!("/v1/tenants/{}/incidents", a.uid)
}

fn timeline(node: &Node, log: TenantUid) -> Vec<TimelineRow> {
    node.operator().get(&format!("/v1/tenants/{log}/timeline")).read::<Timeline>().rows
}

fn step_of_plan(node: &Node, a: &Tenant) -> Option<u64> {
    node.control(a.uid).plans.values().next().map(|plan| plan.at)
}

fn reasons(node: &Node, a: &Tenant, op: Operation) -> Vec<String> {
    node.send(&node.compose(a.uid, op)).reasons()
}

/// A node on which a ramp that was healthy at 25 % fell from 50 % by itself, and the incident.
fn fallen() -> (Node, Tenant, IncidentRow) {
    let (node, a) = node();
    let mut c = node.client(&a.token);
    node.command(a.uid, ramp(2_500));
    runs(&mut c, &a, 200, 0);
    wait_healthy(&node, &a);
    node.command(a.uid, ramp(5_000));
    assert!(incidents(&node, &of_tenant(&a)).is_empty());
    // As many errors as it takes and one more: should it fall before the last, that one is no breach of what it fell to.
    runs(&mut c, &a, 40, 6);
    wait_for("the ramp falls", 10, || (share(&node, &a) == 2_500).then_some(()));
    let mut open = incidents(&node, &of_tenant(&a));
    assert_eq!(open.len(), 1);
    (node, a, open.remove(0))
}

/// A breach takes the ramp down by itself to where it was healthy last, opens an incident with its receipts and the
/// time it went unnoticed, and the value is refused until somebody overrides it; a restart forgets nothing of it.
#[test]
fn a_breach_rolls_back_by_itself() {
    let (mut node, a, i) = fallen();
    assert_eq!(i.cause.to_string(), "auto-rollback");
    assert!(i.detail.raw().contains("run/etl fell from 50 % to 25 % (errors)"), "{i:?}");
    assert!(i.began_us.unwrap() <= i.detected_us.unwrap());
    assert_eq!(i.receipts.len(), 6, "the rollback and five errors");
    let read = |index: u64| {
        let path = format!("/v1/tenants/{}/receipts?limit=1&from={index}", a.uid);
        node.operator().get(&path).read::<ReceiptPage>().receipts[0].summary.clone()
    };
    assert!(read(i.receipts[0]).contains("rolled back from 50 % to 25 % (errors)"));
    assert!(read(i.receipts[1]).contains("failed"));
    let rows = timeline(&node, a.uid);
    assert!(rows.iter().any(|row| row.words.contains("incident auto-rollback")), "{rows:?}");
    assert!(rows.iter().any(|row| row.unnoticed_us.is_some()));
    // Neither there nor above, by no way round; below is free.
    assert_eq!(reasons(&node, &a, ramp(5_000)), ["revision_bad"]);
    assert_eq!(reasons(&node, &a, ramp(10_000)), ["revision_bad"]);
    assert_eq!(
        reasons(&node, &a, Operation::RampClear(ops::RampClear { selector: rule() })),
        ["revision_bad"]
    );
    let plan = "30%@1s 60%".parse().unwrap();
    assert_eq!(
        reasons(&node, &a, Operation::PlanSet(ops::PlanSet { selector: rule(), plan })),
        ["revision_bad"]
    );
    node.command(a.uid, ramp(4_000));
    node.kill_agent();
    node.start_agent();
    assert_eq!(reasons(&node, &a, ramp(5_000)), ["revision_bad"]);
    let over = Operation::RampOverride(ops::RampOverride { selector: rule() });
    assert_eq!(node.command(a.uid, over.clone()).class, ChangeClass::Loosen);
    assert_eq!(reasons(&node, &a, over), ["object_unknown"], "once");
    node.command(a.uid, ramp(5_000));
    node.stop_agent();
    node.check();
}

/// Incidents: an open incident is acknowledged and closed by operators, and then is no more.
#[test]
fn an_incident_is_acknowledged_and_closed() {
    let (mut node, a, i) = fallen();
    let id = conductor_shared::ids::unhex(&i.incident).unwrap();
    let ack =
        Operation::IncidentAck(ops::IncidentAck { incident: id, comment: UntrustedText::new("looking") });
    assert_eq!(node.command(a.uid, ack.clone()).class, ChangeClass::Tighten);
    let i = &incidents(&node, "/v1/incidents")[0];
    assert_eq!(i.acknowledged_by.as_ref().map(Ident::as_str), Some("ana"));
    assert_eq!(i.comment.as_ref().map(UntrustedText::raw), Some("looking"));
    node.command(a.uid, ops::IncidentClose { incident: id, comment: UntrustedText::new("fixed") });
    assert!(incidents(&node, &of_tenant(&a)).is_empty());
    assert_eq!(reasons(&node, &a, ack), ["object_unknown"]);
    node.stop_agent();
    node.check();
}

/// A plan goes on only when enough was seen and all of it was healthy for the whole bake; nothing seen is no health,
/// and a breach ends it.
#[test]
fn a_plan_goes_on_only_when_healthy() {
    let (mut node, a) = node();
    let mut c = node.client(&a.token);
    let plan =
        || Operation::PlanSet(ops::PlanSet { selector: rule(), plan: "10%@1s 50%@1s 100%".parse().unwrap() });
    assert_eq!(node.command(a.uid, plan()).class, ChangeClass::Loosen);
    assert_eq!(share(&node, &a), 1_000);
    // A bake without runs is over, and nothing goes on.
    wait_for("baked", 10, || (slo(&node, &a).up_us == 1_000_000).then_some(()));
    runs(&mut c, &a, 199, 0);
    wait_for("199 seen", 10, || (slo(&node, &a).settled == 199).then_some(()));
    assert_eq!((slo(&node, &a).verdict.as_str(), share(&node, &a)), ("no_data", 1_000));
    runs(&mut c, &a, 1, 0);
    wait_for("the next step", 10, || (share(&node, &a) == 5_000).then_some(()));
    let rows = timeline(&node, a.uid);
    assert!(rows.iter().any(|row| row.words.contains("went on to 50 %: 200 runs, 0 failed")), "{rows:?}");
    assert_eq!(step_of_plan(&node, &a), Some(1));
    // Stopped, nothing goes on, whatever is seen.
    let stop = Operation::PlanStop(ops::PlanStop { selector: rule() });
    assert_eq!(node.command(a.uid, stop).class, ChangeClass::Tighten);
    runs(&mut c, &a, 250, 0);
    wait_healthy(&node, &a);
    assert_eq!(share(&node, &a), 5_000);
    // A plan again: its second step breaks, and it falls to the first and ends.
    node.command(a.uid, plan());
    runs(&mut c, &a, 200, 0);
    wait_for("the next step", 10, || (share(&node, &a) == 5_000).then_some(()));
    runs(&mut c, &a, 10, 10);
    wait_for("it falls", 10, || (share(&node, &a) == 1_000).then_some(()));
    assert_eq!(step_of_plan(&node, &a), None);
    node.stop_agent();
    node.check();
}

/// Policy is asked of each step of a plan, not of the plan alone. While it says no the plan pauses.
#[test]
fn policy_is_asked_of_each_step() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben"]);
    node.reconfigure(|config| format!("{config}\n{QUICK}"));
    let a = node.tenant("acme");
    let mut c = node.client(&a.token);
    let no = "deny contains \"no raising today\" if input.operation == \"ramp.set\"";
    trust_and_load(&mut node, &rules(no), 1, 3_600_000_000);
    let plan = "10%@1s 100%".parse().unwrap();
    node.command(a.uid, ops::PlanSet { selector: rule(), plan });
    runs(&mut c, &a, 250, 0);
    wait_healthy(&node, &a);
    // Some judgements, each of which would go on.
    node.wait_us(1_500_000);
    assert_eq!(share(&node, &a), 1_000);
    assert_eq!(step_of_plan(&node, &a), Some(0), "it pauses, and is not over");
    let yes = "deny contains \"nothing\" if false";
    trust_and_load(&mut node, &rules(yes), 2, 3_600_000_000);
    wait_for("the next step", 10, || (share(&node, &a) == 10_000).then_some(()));
}

/// Invariant 4: a plan goes on under the key that signed it: not while its person is suspended, not without the role,
/// and not once the key was revoked.
#[test]
fn a_plan_stops_with_its_author() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben", "cleo"]);
    node.reconfigure(|config| format!("{config}\n{QUICK}"));
    let a = node.tenant("acme");
    let mut c = node.client(&a.token);
    let ben = node.person("ben");
    let of_ben = node.control(TenantUid::NODE).operators;
    let key = *of_ben.iter().find(|(_, k)| k.person == ben).unwrap().0;
    let roles = |words: &str| parse_roles(words).unwrap();
    let two = |op: Operation| {
        let command = node.request(TenantUid::NODE, op);
        assert_eq!(node.approve("cleo", &command), ["effective"]);
    };
    let stops = [
        Operation::OperatorSuspend(ops::OperatorSuspend { person: ben }),
        Operation::OperatorRoles(ops::OperatorRoles { person: ben, roles: roles("approver viewer") }),
        Operation::OperatorRevoke(ops::OperatorRevoke { key }),
    ];
    for stop in stops {
        let plan = "10%@1s 100%".parse().unwrap();
        let command = node.compose(a.uid, ops::PlanSet { selector: rule(), plan });
        assert_eq!(node.send_as("ben", &command).came_to(), ["effective"]);
        node.command(TenantUid::NODE, stop.clone());
        runs(&mut c, &a, 250, 0);
        wait_healthy(&node, &a);
        // Some judgements, each of which would go on.
        node.wait_us(1_500_000);
        assert_eq!((share(&node, &a), step_of_plan(&node, &a)), (1_000, Some(0)), "{stop:?}");
        match stop {
            Operation::OperatorSuspend(_) => {
                two(Operation::OperatorResume(ops::OperatorResume { person: ben }));
            }
            Operation::OperatorRoles(_) => two(Operation::OperatorRoles(ops::OperatorRoles {
                person: ben,
                roles: roles("admin approver operator viewer"),
            })),
            _ => continue,
        }
        wait_for("the next step", 10, || (share(&node, &a) == 10_000).then_some(()));
        node.command(a.uid, ops::RampCap { selector: rule(), hundredths: BasisPoints::ZERO });
    }
}

/// Invariant 3: while the signer is out a plan does not go on, and a breach is the platform's: it marks no revision
/// bad. The outage itself is an incident in the node's log, opened and closed by facts.
#[test]
fn in_an_outage_nothing_goes_on_and_nothing_is_blamed() {
    let (mut node, a) = node();
    let mut c = node.client(&a.token);
    let plan = "10%@1s 100%".parse().unwrap();
    node.command(a.uid, ops::PlanSet { selector: rule(), plan });
    node.kill_signer();
    runs(&mut c, &a, 250, 0);
    let of_node = format!("/v1/tenants/{}/incidents", TenantUid::NODE);
    let i = wait_for("the outage is noticed", 20, || incidents(&node, &of_node).pop());
    assert_eq!(i.cause.to_string(), "signer-outage");
    let unnoticed = i.detected_us.unwrap() - i.began_us.unwrap();
    assert!((5_000_000..8_000_000).contains(&unnoticed), "{unnoticed}");
    wait_healthy(&node, &a);
    assert_eq!(share(&node, &a), 1_000, "to go on is a loosening");
    runs(&mut c, &a, 40, 40);
    wait_for("it falls", 10, || (share(&node, &a) == 0).then_some(()));
    assert!(node.control(a.uid).bad.is_empty(), "no revision is blamed");
    let i = &incidents(&node, &of_tenant(&a))[0];
    assert!(i.detail.raw().contains("(platform)"), "{i:?}");
    node.start_signer();
    wait_for("the outage is over", 30, || incidents(&node, &of_node).is_empty().then_some(()));
    node.command(a.uid, ramp(1_000));
    node.kill_agent();
    node.check();
}

/// Invariant 5: a kill in the middle loses no counts: what was answered is counted, and what is counted was said.
#[test]
fn a_kill_loses_no_counts() {
    let (mut node, a) = node();
    let strict = Thresholds { errors_hundredths: BasisPoints::saturating(5_000), ..Thresholds::default() };
    node.command(a.uid, ops::SloSet { selector: rule(), thresholds: strict });
    node.command(a.uid, ramp(5_000));
    for n in 1..=3u64 {
        let mut c = node.client(&a.token);
        runs(&mut c, &a, 20, 3);
        node.kill_agent();
        node.start_agent();
        wait_for("counted", 10, || {
            let s = slo(&node, &a);
            (s.settled == 20 * n && s.failed == 3 * n).then_some(())
        });
    }
    // The backlog alone is never the revision's fault.
    let tight = Thresholds { backlog: 0, ..strict };
    node.command(a.uid, ops::SloSet { selector: rule(), thresholds: tight });
    let mut c = node.client(&a.token);
    wait_for("it falls", 20, || {
        runs(&mut c, &a, 1, 0);
        (share(&node, &a) == 0).then_some(())
    });
    assert!(node.control(a.uid).bad.is_empty(), "no revision is blamed");
}

/// Incidents: a flood of denials by quota is an incident of the tenant that makes it.
#[test]
fn a_flood_is_an_incident() {
    let (node, a) = node();
    node.command(a.uid, ops::QuotaCap { kind: QuotaKind::ConcurrentRuns, limit: 0 });
    assert!(incidents(&node, &of_tenant(&a)).is_empty());
    std::thread::scope(|s| {
        for _ in 0..64 {
            s.spawn(|| {
                let mut c = node.client(&a.token);
                for _ in 0..40 {
                    assert_eq!(c.post("/v1/runs", &run_body(&a, None)).status, 429);
                }
            });
        }
    });
    let i = wait_for("the flood is noticed", 10, || incidents(&node, &of_tenant(&a)).pop());
    assert_eq!(i.cause.to_string(), "quota-flood");
    assert_eq!(i.receipts.len(), 1);
}
