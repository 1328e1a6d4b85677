//! Policy bundles: who may load them, what is refused, what happens without one, and the way out; with the engine that
//! is built in, and with a real OPA server that dies, hangs and lies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_policies::Bundle;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Command, Operation, ops};
use conductor_shared::http::{Explanation, ReceiptPage, SessionOpened};
use conductor_shared::ids::TenantUid;
use conductor_shared::policy::Statement;
use conductor_tests::policy::{load, load_op, rules, shown, statement, trust_and_load, upload};
use conductor_tests::{Answer, Node, Tenant, b64, wait_for};
use serde_json::json;

const NODE: TenantUid = TenantUid::NODE;
const DAY_US: u64 = 24 * 3600 * 1_000_000;

/// Rules that say no to everything.
fn deny_all() -> Bundle {
    let text = "package conductor\n\ndefault allow := false\n\nreasons contains \"site: nothing goes\"\n";
    Bundle::from_files([("main.rego".to_owned(), text.to_owned())]).unwrap()
}

fn node() -> Node {
    Node::start_with(tempfile::tempdir().unwrap(), "", &["ben", "cleo:viewer"])
}

/// A bundle that lets no run of etl in.
fn resting() -> Bundle {
    rules("deny contains \"etl rests\" if input.work.workflow == \"etl\"")
}

fn start(node: &Node, tenant: &Tenant, workflow: &str) -> Answer {
    let body = json!({"tenant_id": tenant.name, "workflow_type": workflow, "env": "production", "actor_type": "service"});
    node.client(&tenant.token).post("/v1/runs", &body)
}

fn raise(node: &Node, tenant: &Tenant, hundredths: u16) -> Command {
    node.compose(
        tenant.uid,
        ops::RampSet {
            selector: "run/other".parse().unwrap(),
            hundredths: BasisPoints::saturating(hundredths),
        },
    )
}

fn lower(node: &Node, tenant: &Tenant, hundredths: u16) {
    node.command(
        tenant.uid,
        ops::RampCap {
            selector: "run/other".parse().unwrap(),
            hundredths: BasisPoints::saturating(hundredths),
        },
    );
}

/// Revision and digest that the newest receipt of a log names.
fn named(node: &Node, tenant: TenantUid) -> (u64, String) {
    let path = format!("/v1/tenants/{tenant}/receipts?from=-1&limit=1");
    let page: ReceiptPage = node.operator().get(&path).read();
    let sealed = b64(&page.receipts[0].sealed);
    let sealed = conductor_shared::record::Sealed::from_bytes(&sealed).unwrap();
    (sealed.header.policy.revision, conductor_shared::ids::hex(&sealed.header.policy.digest))
}

/// Invariants 4 and 6: a bundle holds when two persons and the policy key say so; it denies more, and its receipts name
/// it.
#[test]
fn a_signed_bundle_holds_and_denies_more() {
    let mut node = node();
    let a = node.tenant("acme");
    start(&node, &a, "etl").decided();
    let zero = shown(&node);
    assert_eq!((zero.revision, zero.trusted_key, zero.trouble.as_str()), (0, None, ""));
    assert_eq!(named(&node, a.uid), (0, zero.digest));
    let good = resting();
    // Nobody's key is trusted yet, and a person's own key is no policy key.
    upload(&node, &good);
    let public_key = node.new_key("policy");
    let early = load_op(&node, statement(&node, &good, 7, DAY_US), "policy");
    assert_eq!(load(&node, early.clone()), ["bundle_invalid"]);
    let bens = node.signed_by("ben", "x")["public_key"].as_str().unwrap().to_owned();
    let r = node.send(&node.compose(NODE, ops::PolicyTrust { public_key: bens }));
    assert_eq!(r.reasons(), ["object_exists"]);
    let trust = node.request(NODE, ops::PolicyTrust { public_key });
    start(&node, &a, "etl").decided();
    assert_eq!(node.approve("cleo", &trust), ["role_missing"]);
    assert_eq!(node.approve("ana", &trust), ["self_approval"]);
    assert_eq!(node.approve("ben", &trust), ["effective"]);
    assert_eq!(load(&node, early), ["effective"]);
    let r = start(&node, &a, "etl");
    assert_eq!((r.status, r.reasons()), (403, vec!["policy_denied".to_owned()]));
    assert_eq!(named(&node, a.uid), (7, conductor_shared::ids::hex(&good.digest())));
    let why = json!({"input": {"version": 1, "class": "admit", "work": {"workflow": "etl"}}});
    let explained: Explanation = node.operator().post("/v1/policy/explain", &why).read();
    assert!(!explained.allow && explained.reasons.contains(&"site: etl rests".to_owned()), "{explained:?}");
}

/// Invariants 4 and 6: unsigned, edited, strange, expired and older bundles are refused and the good one stays, after a
/// power cut too.
#[test]
fn bundles_are_signed_and_only_rise() {
    let mut node = node();
    let a = node.tenant("acme");
    trust_and_load(&mut node, &resting(), 7, DAY_US);
    let other = rules("deny contains \"other\" if false");
    let mut stranger = statement(&node, &other, 8, DAY_US);
    assert_eq!(load(&node, load_op(&node, stranger, "policy")), ["bundle_invalid"], "its files are not here");
    upload(&node, &other);
    assert_eq!(load(&node, load_op(&node, stranger, "ben")), ["bundle_invalid"], "another key");
    let op = load_op(&node, stranger, "policy");
    let Operation::PolicyLoad(ops::PolicyLoad { signature, .. }) = op else { unreachable!() };
    stranger.expires_at_us += 1;
    let edited = Operation::PolicyLoad(ops::PolicyLoad { statement: stranger, signature });
    assert_eq!(load(&node, edited), ["bundle_invalid"], "an edited statement");
    let stale = Statement { expires_at_us: node.now_us(), ..statement(&node, &other, 8, 0) };
    assert_eq!(load(&node, load_op(&node, stale, "policy")), ["bundle_invalid"], "expired");
    for revision in [6, 7] {
        let old = statement(&node, &other, revision, DAY_US);
        assert_eq!(load(&node, load_op(&node, old, "policy")), ["bundle_older"]);
    }
    for _ in 0..2 {
        assert_eq!(shown(&node).revision, 7);
        assert_eq!(start(&node, &a, "etl").reasons(), ["policy_denied"]);
        node.kill_agent();
        node.start_agent();
    }
    node.stop_agent();
    node.check();
}

/// Bad input: files of a bundle are brought by an operator, and are refused clearly when they are none.
#[test]
fn strange_bundle_files_are_refused() {
    let node = node();
    for bad in
        [json!({"archive": "AAAA"}), json!({"archive": "!"}), json!({"archive": "", "x": 1}), json!([])]
    {
        assert_eq!(node.operator().post("/v1/policy/bundles", &bad).status, 400, "{bad}");
    }
    assert_eq!(node.client("").post("/v1/policy/bundles", &json!({"archive": ""})).status, 401);
    let cleos = node.session_of("cleo").read::<SessionOpened>().token;
    let files = json!({"archive": STANDARD.encode(resting().pack(1).unwrap())});
    let r = node.client(&cleos).post("/v1/policy/bundles", &files);
    assert_eq!((r.status, r.reasons()), (403, vec!["role_missing".to_owned()]));
}

/// Policy can only say no. Rules that allow everything they are asked let nothing through that the invariants deny.
#[test]
fn policy_allows_nothing_that_rust_denies() {
    let mut node = node();
    let a = node.tenant("acme");
    let text = "package conductor\n\ndefault allow := false\n\nallow if input.class\n\nreasons contains \"never\" if false\n";
    let open = Bundle::from_files([("main.rego".to_owned(), text.to_owned())]).unwrap();
    trust_and_load(&mut node, &open, 1, DAY_US);
    assert_eq!(start(&node, &a, "etl").status, 200);
    assert_eq!(start(&node, &a, "nope").reasons(), ["workflow_unknown"]);
    node.command(a.uid, ops::KillSet { selector: "*/*".parse().unwrap(), drain: false });
    assert_eq!(start(&node, &a, "etl").reasons(), ["killed"]);
    let unkill = node.compose(a.uid, ops::KillClear { selector: "*/*".parse().unwrap() });
    assert_eq!(node.send_as("cleo", &unkill).reasons(), ["role_missing"]);
    let stale = Command { base: Some([0; 32]), ..unkill };
    assert_eq!(node.send(&stale).reasons(), ["base_stale"]);
    lower(&node, &a, 1);
    node.kill_signer();
    let r = node.send(&raise(&node, &a, 2));
    assert_ne!(r.came_to(), ["effective"], "the signer is down: {r}");
}

/// Invariant 3, columns "policy engine down" and "both": without a valid bundle admissions and loosenings are denied,
/// tightening and settling go on; `recover` by two admins on the node itself is the way out, also of rules that deny
/// everything, and with the signer dead.
#[test]
fn expired_and_deny_all_bundles_have_a_way_out() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben", "cleo:approver"]);
    let a = node.tenant("acme");
    let mut c = node.client(&a.token);
    let run = c.start_run(&a, None).decided().run_id;
    trust_and_load(&mut node, &rules("deny contains \"x\" if false"), 1, 2_500_000);
    assert_eq!(start(&node, &a, "etl").status, 200);
    wait_for("the bundle expires", 10, || shown(&node).trouble.contains("expired").then_some(()));
    // 1, 30 and 300 failures in a row make no allow.
    for n in 0..300 {
        let r = start(&node, &a, "etl");
        assert_eq!((r.status, r.reasons()), (503, vec!["policy_unavailable".to_owned()]), "{n}");
    }
    let grow = |h: u16| node.send(&raise(&node, &a, h)).reasons();
    lower(&node, &a, 5000);
    assert_eq!(grow(6000), ["policy_unavailable"]);
    assert_eq!(c.finish_run(&a, run).status, 200, "settle goes on");
    // Both out.
    node.kill_signer();
    node.wait_signer(false);
    lower(&node, &a, 4000);
    let both = node.send(&raise(&node, &a, 6000)).reasons();
    assert_eq!(both, ["signer_unavailable"]);
    // The way out: a bundle that denies everything is loaded, and then replaced, with the signer dead.
    upload(&node, &deny_all());
    let op = load_op(&node, statement(&node, &deny_all(), 2, DAY_US), "policy");
    let c2 = node.request(NODE, op);
    assert_eq!(node.approve("cleo", &c2), ["abandoned"], "an approver who is no admin");
    let op = load_op(&node, statement(&node, &deny_all(), 3, DAY_US), "policy");
    assert_eq!(load(&node, op), ["effective"]);
    assert_eq!(start(&node, &a, "etl").reasons(), ["policy_denied"]);
    let back = rules("deny contains \"y\" if false");
    upload(&node, &back);
    let op = load_op(&node, statement(&node, &back, 4, DAY_US), "policy");
    assert_eq!(load(&node, op), ["effective"]);
    let incidents = node.control(NODE).incidents;
    assert!(incidents.values().any(|i| i.cause.to_string() == "policy-recovered"), "{incidents:?}");
    node.start_signer();
    node.all_signed(NODE);
    wait_for("admissions are back", 20, || {
        (node.client(&a.token).start_run(&a, None).status == 200).then_some(())
    });
    node.command(
        a.uid,
        ops::RampSet { selector: "run/other".parse().unwrap(), hundredths: BasisPoints::saturating(9000) },
    );
    node.stop_agent();
    node.check();
}

/// A bundle that makes the engine panic on all that is asked: each is denied for that, and for nothing else, however often
/// and however many at once; it is told, as an incident too; and another bundle, loaded without asking this one, heals the
/// agent without a restart.
#[test]
fn a_bundle_that_breaks_the_engine_is_replaced() {
    let mut node = node();
    let a = node.tenant("acme");
    trust_and_load(
        &mut node,
        &rules("deny contains \"x\" if strings.count(input.tenant, \"\") > 100"),
        1,
        DAY_US,
    );
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for n in 0..25 {
                    let r = start(&node, &a, "etl");
                    assert_eq!((r.status, r.reasons()), (503, vec!["policy_unavailable".to_owned()]), "{n}");
                }
            });
        }
    });
    lower(&node, &a, 4000);
    assert_eq!(node.send(&raise(&node, &a, 6000)).reasons(), ["policy_unavailable"]);
    let broken = shown(&node);
    assert!(broken.trouble.contains("broke down (window size must be non-zero)"), "{broken:?}");
    assert_eq!((broken.down, broken.workers, broken.given_up), (false, 2, 0));
    let open = || {
        let incidents = node.control(NODE).incidents;
        incidents.values().filter(|i| i.cause.to_string() == "policy-outage").count()
    };
    wait_for("the incident is open", 20, || (open() == 1).then_some(()));
    let (ok, _, said) = node.cli(&["policy", "show"]);
    assert!(ok && said.contains("bundle 1 leaves some requests without an answer"), "{said}");
    // Not from elsewhere, and not by an approver who is no admin: it is the way out of a broken policy.
    let good = resting();
    upload(&node, &good);
    assert_eq!(load(&node, load_op(&node, statement(&node, &good, 2, DAY_US), "policy")), ["effective"]);
    assert_eq!(start(&node, &a, "etl").reasons(), ["policy_denied"]);
    assert_eq!(shown(&node).trouble, "");
    wait_for("the incident is closed", 20, || (open() == 0).then_some(()));
    node.stop_agent();
    node.check();
}

/// Policy (explain): why a run was denied is told for the profile that governed its tenant then, not for the one that
/// does now.
#[test]
fn a_receipt_is_explained_as_of_its_time() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben"]);
    let a = node.tenant("acme");
    let careful = rules("deny contains \"not while careful\" if input.profile == \"careful\"");
    trust_and_load(&mut node, &careful, 1, DAY_US);
    let allowed = start(&node, &a, "etl");
    assert_eq!(allowed.status, 200);
    let profile = conductor_shared::ids::Ident::new("careful").unwrap();
    node.command(NODE, ops::ProfileCreate { profile: profile.clone() });
    let c = node.request(a.uid, ops::ProfileAssign { profile });
    assert_eq!(node.approve("ben", &c), ["effective"]);
    let denied = start(&node, &a, "etl");
    assert_eq!(denied.reasons(), ["policy_denied"]);
    let explain = |at: u64| {
        let at = at.to_string();
        let args = ["policy", "explain", "--tenant", "acme", "--receipt", &at];
        let (ok, told, said) = node.cli(&args);
        assert!(ok, "{said}");
        (told["allow"].as_bool().unwrap(), said)
    };
    let (may, said) = explain(denied.problem().receipt.expect("a receipt").index);
    assert!(!may && said.contains("site: not while careful"), "{said}");
    let (may, said) = explain(allowed.decided().receipt.index);
    assert!(may, "{said}");
}
