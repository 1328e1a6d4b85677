//! Policy bundles: who may load them, what is refused, what happens without one, and the way out; with the engine that
//! is built in, and with a real OPA server that dies, hangs and lies.

use super::persons::{approve, by};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conductor_policies::Bundle;
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Command, Operation, ops};
use conductor_shared::ids::TenantUid;
use conductor_shared::policy::Statement;
use conductor_tests::{Node, Tenant};
use serde_json::{Value, json};
use std::time::Duration;

const NODE: TenantUid = TenantUid::NODE;
const DAY_US: u64 = 24 * 3600 * 1_000_000;

/// The built-in rules, and more of one's own.
pub(super) fn rules(site: &str) -> Bundle {
    let mut files = Bundle::built_in().files().clone();
    files.insert("site.rego".into(), format!("package conductor.site\n\n{site}\n"));
    Bundle::from_files(files).unwrap()
}

/// Rules that say no to everything.
fn deny_all() -> Bundle {
    let text = "package conductor\n\ndefault allow := false\n\nreasons contains \"site: nothing goes\"\n";
    Bundle::from_files([("main.rego".to_owned(), text.to_owned())]).unwrap()
}

fn now(node: &Node) -> u64 {
    node.operator().get("/v1/node").json()["now_us"].as_u64().unwrap()
}

fn upload(node: &Node, bundle: &Bundle) {
    let body = json!({ "archive": STANDARD.encode(bundle.pack(1).unwrap()) });
    let r = node.operator().post("/v1/policy/bundles", &body);
    assert_eq!(r.status, 200, "{}", String::from_utf8_lossy(&r.body));
}

fn statement(node: &Node, bundle: &Bundle, revision: u64, life_us: u64) -> Statement {
    let built_at_us = now(node);
    Statement { revision, digest: bundle.digest(), built_at_us, expires_at_us: built_at_us + life_us }
}

fn load_op(node: &Node, statement: Statement, key: &str) -> Operation {
    let signed = node.signed_by(key, &statement.text());
    Operation::PolicyLoad(ops::PolicyLoad {
        statement,
        signature: STANDARD.encode(signed["signature"].as_str().unwrap()),
    })
}

/// Asked for by ana; what ben's approval comes to.
fn load(node: &Node, op: Operation) -> Vec<String> {
    let c = node.compose(NODE, op);
    let r = node.send(&c);
    if r.status == 200 { approve(node, "ben", &c) } else { r.reasons() }
}

/// Trusts a policy key of its own and loads the bundle under it.
pub(super) fn trust_and_load(node: &mut Node, bundle: &Bundle, revision: u64, life_us: u64) {
    if !shown(node)["trusted_key"].is_string() {
        let public_key = node.new_key("policy");
        let c = node.compose(NODE, Operation::PolicyTrust(ops::PolicyTrust { public_key }));
        assert_eq!(node.send(&c).json()["status"], "requested");
        assert_eq!(approve(node, "ben", &c), ["effective"]);
    }
    upload(node, bundle);
    let op = load_op(node, statement(node, bundle, revision, life_us), "policy");
    assert_eq!(load(node, op), ["effective"]);
}

pub(super) fn shown(node: &Node) -> Value {
    node.operator().get("/v1/policy").json()
}

fn start(node: &Node, tenant: &Tenant, workflow: &str) -> conductor_tests::Answer {
    let body = json!({"tenant_id": tenant.name, "workflow_type": workflow, "env": "production", "actor_type": "service"});
    node.client(&tenant.token).post("/v1/runs", &body)
}

fn raise(node: &Node, tenant: &Tenant, hundredths: u16) -> Command {
    node.compose(
        tenant.uid,
        Operation::RampSet(ops::RampSet {
            selector: "run/other".parse().unwrap(),
            hundredths: BasisPoints::saturating(hundredths),
        }),
    )
}

fn lower(node: &Node, tenant: &Tenant, hundredths: u16) {
    node.command(
        tenant.uid,
        Operation::RampCap(ops::RampCap {
            selector: "run/other".parse().unwrap(),
            hundredths: BasisPoints::saturating(hundredths),
        }),
    );
}

/// Revision and digest that the newest receipt of a log names.
fn named(node: &Node, tenant: TenantUid) -> (u64, String) {
    let page = node.operator().get(&format!("/v1/tenants/{tenant}/receipts?from=-1&limit=1")).json();
    let sealed = STANDARD.decode(page["receipts"][0]["sealed"].as_str().unwrap()).unwrap();
    let sealed = conductor_shared::record::Sealed::from_bytes(&sealed).unwrap();
    (sealed.header.policy.revision, conductor_shared::ids::hex(&sealed.header.policy.digest))
}

/// SPEC X1 and invariants 4 and 6: a bundle holds when two persons and the policy key say so; it denies more, and its
/// receipts name it; unsigned, edited, strange, expired and older ones are refused and the good one stays, after a
/// restart too.
#[test]
fn bundles_are_signed_and_only_rise() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben", "cleo:viewer"]);
    let a = node.tenant("acme");
    assert_eq!(start(&node, &a, "etl").status, 200);
    let zero = shown(&node);
    assert_eq!(
        (&zero["revision"], &zero["trusted_key"], &zero["trouble"]),
        (&json!(0), &Value::Null, &json!(""))
    );
    assert_eq!(named(&node, a.uid), (0, zero["digest"].as_str().unwrap().to_owned()));
    let good = rules("deny contains \"etl rests\" if input.work.workflow == \"etl\"");
    // Nobody's key is trusted yet, and a person's own key is no policy key.
    upload(&node, &good);
    let public_key = node.new_key("policy");
    let early = load_op(&node, statement(&node, &good, 7, DAY_US), "policy");
    assert_eq!(load(&node, early.clone()), ["bundle_invalid"]);
    let bens = node.signed_by("ben", "x")["public_key"].as_str().unwrap().to_owned();
    let r = node.send(&node.compose(NODE, Operation::PolicyTrust(ops::PolicyTrust { public_key: bens })));
    assert_eq!(r.reasons(), ["object_exists"]);
    let trust = node.compose(NODE, Operation::PolicyTrust(ops::PolicyTrust { public_key }));
    assert_eq!(node.send(&trust).json()["status"], "requested");
    assert_eq!(start(&node, &a, "etl").status, 200);
    assert_eq!(approve(&node, "cleo", &trust), ["role_missing"]);
    assert_eq!(approve(&node, "ana", &trust), ["self_approval"]);
    assert_eq!(approve(&node, "ben", &trust), ["effective"]);
    assert_eq!(load(&node, early), ["effective"]);
    let r = start(&node, &a, "etl");
    assert_eq!((r.status, r.reasons()), (403, vec!["policy_denied".to_owned()]));
    assert_eq!(named(&node, a.uid), (7, conductor_shared::ids::hex(&good.digest())));
    let why = json!({"input": {"version": 1, "class": "admit", "work": {"workflow": "etl"}}});
    let e = node.operator().post("/v1/policy/explain", &why).json();
    assert_eq!(e["allow"], false);
    assert!(e["reasons"].as_array().unwrap().contains(&json!("site: etl rests")), "{e}");
    // What is refused.
    let other = rules("deny contains \"other\" if false");
    let mut stranger = statement(&node, &other, 8, DAY_US);
    assert_eq!(load(&node, load_op(&node, stranger, "policy")), ["bundle_invalid"], "its files are not here");
    upload(&node, &other);
    assert_eq!(load(&node, load_op(&node, stranger, "ben")), ["bundle_invalid"], "another key");
    let op = load_op(&node, stranger, "policy");
    let Operation::PolicyLoad(ops::PolicyLoad { signature, .. }) = op.clone() else { unreachable!() };
    stranger.expires_at_us += 1;
    let edited = Operation::PolicyLoad(ops::PolicyLoad { statement: stranger, signature });
    assert_eq!(load(&node, edited), ["bundle_invalid"], "an edited statement");
    let stale = Statement { expires_at_us: now(&node), ..statement(&node, &other, 8, 0) };
    assert_eq!(load(&node, load_op(&node, stale, "policy")), ["bundle_invalid"], "expired");
    for revision in [6, 7] {
        let old = statement(&node, &other, revision, DAY_US);
        assert_eq!(load(&node, load_op(&node, old, "policy")), ["bundle_older"]);
    }
    for bad in
        [json!({"archive": "AAAA"}), json!({"archive": "!"}), json!({"archive": "", "x": 1}), json!([])]
    {
        assert_eq!(node.operator().post("/v1/policy/bundles", &bad).status, 400, "{bad}");
    }
    assert_eq!(node.client("").post("/v1/policy/bundles", &json!({"archive": ""})).status, 401);
    let cleos = node.session_of("cleo").json()["token"].as_str().unwrap().to_owned();
    let files = json!({"archive": STANDARD.encode(other.pack(1).unwrap())});
    let r = node.client(&cleos).post("/v1/policy/bundles", &files);
    assert_eq!((r.status, r.reasons()), (403, vec!["role_missing".to_owned()]));
    // The last good one stays, also after a power cut.
    for _ in 0..2 {
        assert_eq!(shown(&node)["revision"], 7);
        assert_eq!(start(&node, &a, "etl").reasons(), ["policy_denied"]);
        node.kill_agent();
        node.start_agent();
    }
    node.stop_agent();
    node.check();
}

/// SPEC X1: policy can only say no. Rules that allow everything they are asked let nothing through that the invariants
/// deny.
#[test]
fn policy_allows_nothing_that_rust_denies() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben", "cleo:viewer"]);
    let a = node.tenant("acme");
    let text = "package conductor\n\ndefault allow := false\n\nallow if input.class\n\nreasons contains \"never\" if false\n";
    let open = Bundle::from_files([("main.rego".to_owned(), text.to_owned())]).unwrap();
    trust_and_load(&mut node, &open, 1, DAY_US);
    assert_eq!(start(&node, &a, "etl").status, 200);
    assert_eq!(start(&node, &a, "nope").reasons(), ["workflow_unknown"]);
    node.command(a.uid, Operation::KillSet(ops::KillSet { selector: "*/*".parse().unwrap(), drain: false }));
    assert_eq!(start(&node, &a, "etl").reasons(), ["killed"]);
    let unkill =
        node.compose(a.uid, Operation::KillClear(ops::KillClear { selector: "*/*".parse().unwrap() }));
    assert_eq!(by(&node, "cleo", &unkill).reasons(), ["role_missing"]);
    let stale = Command { base: Some([0; 32]), ..unkill };
    assert_eq!(node.send(&stale).reasons(), ["base_stale"]);
    lower(&node, &a, 1);
    node.kill_signer();
    let r = node.send(&raise(&node, &a, 2));
    assert_ne!(r.json()["status"], "effective", "the signer is down: {}", String::from_utf8_lossy(&r.body));
}

/// SPEC invariant 3, columns "policy engine down" and "both", and X1: without a valid bundle admissions and loosenings
/// are denied, tightening and settling go on; `recover` by two admins on the node itself is the way out, also of rules
/// that deny everything, and with the signer dead.
#[test]
fn expired_and_deny_all_bundles_have_a_way_out() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben", "cleo:approver"]);
    let a = node.tenant("acme");
    let mut c = node.client(&a.token);
    let run = node.start_run(&mut c, &a, None).json()["run_id"].as_str().unwrap().to_owned();
    trust_and_load(&mut node, &rules("deny contains \"x\" if false"), 1, 2_500_000);
    assert_eq!(start(&node, &a, "etl").status, 200);
    std::thread::sleep(Duration::from_millis(2_600));
    assert!(shown(&node)["trouble"].as_str().unwrap().contains("expired"));
    // 1, 30 and 300 failures in a row make no allow.
    for n in 0..300 {
        let r = start(&node, &a, "etl");
        assert_eq!((r.status, r.reasons()), (503, vec!["policy_unavailable".to_owned()]), "{n}");
    }
    let grow = |h: u16| node.send(&raise(&node, &a, h)).reasons();
    lower(&node, &a, 5000);
    assert_eq!(grow(6000), ["policy_unavailable"]);
    let done = json!({"tenant_id": "acme", "outcome": "succeeded"});
    assert_eq!(c.post(&format!("/v1/runs/{run}/finish"), &done).status, 200, "settle goes on");
    // Both out.
    node.kill_signer();
    conductor_tests::wait_for("the agent notices", 20, || {
        let text = node.client("").get("/metrics");
        String::from_utf8(text.body).unwrap().contains("\nconductor_signer_up 0\n").then_some(())
    });
    lower(&node, &a, 4000);
    let both = node.send(&raise(&node, &a, 6000)).reasons();
    assert_eq!(both, ["signer_unavailable"]);
    // The way out: a bundle that denies everything is loaded, and then replaced, with the signer dead.
    upload(&node, &deny_all());
    let op = load_op(&node, statement(&node, &deny_all(), 2, DAY_US), "policy");
    let c2 = node.compose(NODE, op);
    assert_eq!(node.send(&c2).json()["status"], "requested");
    assert_eq!(approve(&node, "cleo", &c2), ["abandoned"], "an approver who is no admin");
    let op = load_op(&node, statement(&node, &deny_all(), 3, DAY_US), "policy");
    assert_eq!(load(&node, op), ["effective"]);
    assert_eq!(start(&node, &a, "etl").reasons(), ["policy_denied"]);
    let back = rules("deny contains \"y\" if false");
    upload(&node, &back);
    let op = load_op(&node, statement(&node, &back, 4, DAY_US), "policy");
    assert_eq!(load(&node, op), ["effective"]);
    let incidents =
        node.operator().get(&format!("/v1/tenants/{NODE}")).json()["control"]["incidents"].clone();
    assert!(incidents.as_object().unwrap().values().any(|i| i["cause"] == "policy-recovered"), "{incidents}");
    node.start_signer();
    node.all_signed(NODE);
    let r = conductor_tests::wait_for("admissions are back", 20, || {
        let r = node.start_run(&mut node.client(&a.token), &a, None);
        (r.status == 200).then_some(r)
    });
    assert_eq!(r.status, 200);
    node.command(
        a.uid,
        Operation::RampSet(ops::RampSet {
            selector: "run/other".parse().unwrap(),
            hundredths: BasisPoints::saturating(9000),
        }),
    );
    node.stop_agent();
    node.check();
}

/// Issue 3, Policy (explain): why a run was denied is told for the profile that governed its tenant then, not for the one
/// that does now.
#[test]
fn a_receipt_is_explained_as_of_its_time() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben"]);
    let a = node.tenant("acme");
    let careful = rules("deny contains \"not while careful\" if input.profile == \"careful\"");
    trust_and_load(&mut node, &careful, 1, DAY_US);
    let index = |r: &conductor_tests::Answer| r.json()["receipt"]["index"].as_u64().unwrap().to_string();
    let allowed = start(&node, &a, "etl");
    assert_eq!(allowed.status, 200);
    let profile = conductor_shared::ids::Ident::new("careful").unwrap();
    node.command(NODE, Operation::ProfileCreate(ops::ProfileCreate { profile: profile.clone() }));
    let c = node.compose(a.uid, Operation::ProfileAssign(ops::ProfileAssign { profile }));
    assert_eq!(node.send(&c).json()["status"], "requested");
    assert_eq!(approve(&node, "ben", &c), ["effective"]);
    let denied = start(&node, &a, "etl");
    assert_eq!(denied.reasons(), ["policy_denied"]);
    let explain = |at: &str| {
        let args = ["policy", "explain", "--tenant", "acme", "--receipt", at];
        let (ok, told, said) = super::history::conductor(&node, &args);
        assert!(ok, "{said}");
        (told["allow"].as_bool().unwrap(), said)
    };
    let (may, said) = explain(&index(&denied));
    assert!(!may && said.contains("site: not while careful"), "{said}");
    let (may, said) = explain(&index(&allowed));
    assert!(may, "{said}");
}
