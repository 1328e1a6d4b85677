//! A real OPA server as the engine: the same answers as the built-in one, and what happens when it dies, hangs, is
//! somebody else, or lies.

use conductor_policies::{Bundle, Engine};
use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::{Operation, ops};
use conductor_shared::fact::ChangeClass;
use conductor_shared::reason::Reason;
use conductor_tests::opa::{Opa, liar, opa, until};
use conductor_tests::policy::{rules, shown, trust_and_load};
use conductor_tests::prng::Prng;
use conductor_tests::{Client, Node, Tenant, wait_for};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::process::Command;

/// SPEC X1: the Rego tests pass under stock OPA, which finds nothing to say about the rules either.
#[test]
fn the_rego_tests_pass_under_opa() {
    let opa = opa();
    for args in [
        &["test", "../policies"][..],
        &["check", "--strict", "../policies"],
        &["fmt", "--fail", "--list", "../policies"],
    ] {
        let out = Command::new(&opa).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "opa {args:?}: {said}");
        assert!(args[0] != "test" || said.contains("PASS: "), "{said}");
    }
}

/// A request that is right in most fields: each is now and then missing, of another type, or of another value.
fn input(n: &mut Prng) -> Value {
    let strange = [
        json!(null),
        json!(0),
        json!(1),
        json!(""),
        json!("x"),
        json!([]),
        json!({}),
        json!([true]),
        json!("true"),
    ];
    let classes = ["admit", "loosen", "irreversible"].map(|c| json!(c));
    let operations = ["run.start", "step.start", "ramp.set", "operator.enrol"].map(|o| json!(o));
    let flag = |n: &mut Prng, right: bool| json!(if n.below(12) == 0 { !right } else { right });
    let admits = n.below(2) == 0;
    let class = if admits { json!("admit") } else { n.any(&classes) };
    let mut v = json!({
        "version": 1,
        "class": class,
        "operation": if class == "admit" { n.any(&operations[..2]) } else { n.any(&operations[2..]) },
        "tenant": "acme",
        "profile": "default",
        "principal": if class == "admit" { "workload" } else { "operator" },
        "scope": {"proven": flag(n, true)},
        "freeze": {"active": flag(n, false), "break_glass": flag(n, false)},
    });
    if class == "admit" {
        v["work"] = json!({"action": "run", "workflow": n.any(&["etl", "ml"]), "env": "production", "actor": "service"});
        v["workflow"] = json!({"registered": flag(n, true), "prompt_fits": flag(n, true)});
        v["within"] = json!({"concurrent_runs": flag(n, true), "step_rate": flag(n, true), "receipt_backlog": flag(n, true)});
        v["ramp"] = json!({"included": flag(n, true), "killed": flag(n, false)});
    } else {
        v["role"] = json!({"held": flag(n, true)});
        v["approvals"] = json!({"enough": flag(n, true), "distinct": flag(n, true)});
    }
    if n.below(10) == 0 {
        v["extra"] = n.any(&strange);
    }
    while n.below(3) == 0 {
        let fields: Vec<String> = v.as_object().unwrap().keys().cloned().collect();
        if fields.is_empty() {
            break;
        }
        let field = n.any(&fields);
        let inner: Vec<String> =
            v[&field].as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default();
        match (n.below(4), inner.is_empty()) {
            (0, _) => drop(v.as_object_mut().unwrap().remove(&field)),
            (1, false) => drop(v[&field].as_object_mut().unwrap().remove(&n.any(&inner))),
            (2, false) => v[&field][n.any(&inner)] = n.any(&strange),
            _ => v[&field] = n.any(&strange),
        }
    }
    v
}

/// SPEC X1: both engines give the same answers and the same reasons, on 12,000 generated requests, right and wrong.
#[test]
fn both_engines_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let opa = Opa::start(folder.path());
    let mut c = Client::new(&opa.socket, "");
    let bundle = rules("deny contains \"ml rests\" if input.work.workflow == \"ml\"");
    for (name, text) in bundle.files() {
        let r = c.send("PUT", &format!("/v1/policies/{name}"), text.as_bytes(), &[]).unwrap();
        assert_eq!(r.status, 200, "{name}: {r}");
    }
    // Each document is the input of an evaluation of its own.
    let all = "package asked\n\nanswers := [{\"allow\": a, \"reasons\": r} | some d in input.documents; a := data.conductor.allow with input as d; r := data.conductor.reasons with input as d]\n";
    assert_eq!(c.send("PUT", "/v1/policies/asked.rego", all.as_bytes(), &[]).unwrap().status, 200);
    let mut engine = Engine::prepare(bundle.files()).unwrap();
    assert!(engine.compile(|| true), "compiled, as the agent's workers ask it");
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).unwrap();
    let seed = u64::from_be_bytes(seed) | 1;
    println!("seed {seed}");
    let mut n = Prng(seed);
    let (mut allowed, mut denied) = (0, 0);
    for _ in 0..24 {
        let documents: Vec<Value> = (0..500).map(|_| input(&mut n)).collect();
        let r = c.post("/v1/data/asked/answers", &json!({"input": {"documents": documents}})).json();
        let answers = r["result"].as_array().unwrap();
        assert_eq!(answers.len(), documents.len(), "seed {seed}");
        for (d, a) in documents.iter().zip(answers) {
            let text = d.to_string();
            let allow = engine.allows(&text).unwrap();
            let mut reasons = engine.reasons(&text).unwrap();
            reasons.sort();
            let mut theirs: Vec<String> =
                a["reasons"].as_array().unwrap().iter().map(|r| r.as_str().unwrap().to_owned()).collect();
            theirs.sort();
            assert_eq!((json!(allow), &reasons), (a["allow"].clone(), &theirs), "seed {seed}: {d}");
            assert_eq!(allow, reasons.is_empty(), "seed {seed}: {d}");
            if allow { allowed += 1 } else { denied += 1 }
        }
    }
    assert!(allowed > 500 && denied > 2_000, "seed {seed}: {allowed} allowed, {denied} denied");
}

fn start(node: &Node, tenant: &Tenant) -> Vec<String> {
    let r = node.client(&tenant.token).start_run(tenant, None);
    if r.status == 200 { vec!["allowed".into()] } else { r.reasons() }
}

fn raise(node: &Node, tenant: &Tenant, hundredths: u16) -> Vec<String> {
    let op = Operation::RampSet(ops::RampSet {
        selector: "run/other".parse().unwrap(),
        hundredths: BasisPoints::saturating(hundredths),
    });
    let r = node.send(&node.compose(tenant.uid, op));
    r.came_to()
}

fn lower(node: &Node, tenant: &Tenant, hundredths: u16) {
    let op = Operation::RampCap(ops::RampCap {
        selector: "run/other".parse().unwrap(),
        hundredths: BasisPoints::saturating(hundredths),
    });
    assert_eq!(node.command(tenant.uid, op).class, ChangeClass::Tighten);
}

/// SPEC invariant 3, column "policy engine down", with a real OPA: killed, stopped and started anew, it costs
/// admissions and loosening, and never tightening; nothing is let through; and it forgets nothing that it was told.
#[test]
fn opa_dies_hangs_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut opa = Opa::start(folder.path());
    let config = format!("policy = {{ opa = {{ socket = \"{}\" }} }}\n", opa.socket.display());
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), &config, &["ben"]);
    until(&node, "");
    assert_eq!(shown(&node).engine, "opa");
    let a = node.tenant("acme");
    assert_eq!(start(&node, &a), ["allowed"]);
    lower(&node, &a, 1000);
    assert_eq!(raise(&node, &a, 1001), ["effective"]);
    for frozen in [true, false] {
        if frozen {
            opa.signal(Signal::SIGSTOP);
        } else {
            opa.signal(Signal::SIGKILL);
        }
        // The first that needs the engine finds out, and is not let through either.
        for _ in 0..3 {
            assert_eq!(raise(&node, &a, 2000), ["policy_unavailable"]);
        }
        until(&node, "OPA");
        for _ in 0..30 {
            assert_eq!(start(&node, &a), ["policy_unavailable"]);
        }
        lower(&node, &a, if frozen { 900 } else { 800 });
        if frozen {
            opa.signal(Signal::SIGCONT);
        } else {
            drop(opa);
            opa = Opa::start(folder.path());
        }
        until(&node, "");
        assert_eq!(start(&node, &a), ["allowed"], "OPA is back");
        assert_eq!(raise(&node, &a, 1001), ["effective"]);
    }
    // It is fed what was loaded.
    trust_and_load(
        &mut node,
        &rules("deny contains \"etl rests\" if input.work.workflow == \"etl\""),
        3,
        u64::MAX / 4,
    );
    wait_for("OPA has the bundle", 20, || (start(&node, &a) == ["policy_denied"]).then_some(()));
    node.stop_agent();
    node.check();
}

/// Issue 3, Attacks (an OPA that lies): an answer without the nonce, with an old one, or by another bundle is none; one
/// that is bound and false loosens nothing, because the built-in engine must allow as well; and somebody else's OPA is
/// not asked.
#[test]
fn an_opa_that_lies_loosens_nothing() {
    for lie in ["no nonce", "old nonce", "other bundle", "not true", "huge", "bound"] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("opa.sock");
        let digest = conductor_shared::ids::hex(&Bundle::built_in().digest());
        liar(&socket, move |method, path, body| match (method, path) {
            ("GET", _) => json!({"result": []}).to_string(),
            ("PUT" | "DELETE", _) => "{}".to_owned(),
            _ => {
                let nonce = body["input"]["nonce"].clone();
                match lie {
                    "no nonce" => json!({"result": {"digest": digest, "allow": true}}),
                    "old nonce" => json!({"result": {"nonce": "00", "digest": digest, "allow": true}}),
                    "other bundle" => json!({"result": {"nonce": nonce, "digest": "00", "allow": true}}),
                    "not true" => json!({"result": {"nonce": nonce, "digest": digest, "allow": "true"}}),
                    "huge" => json!({"result": {"nonce": nonce, "digest": digest, "allow": true}, "x": "x".repeat(1 << 20)}),
                    _ => json!({"result": {"nonce": nonce, "digest": digest, "allow": true}}),
                }
                .to_string()
            }
        });
        let config = format!("policy = {{ opa = {{ socket = \"{}\" }} }}\n", socket.display());
        let node = Node::start_with(tempfile::tempdir().unwrap(), &config, &["ben"]);
        if lie != "bound" {
            until(&node, "OPA");
            let id = conductor_shared::ids::TenantUid([1; 16]);
            let name = conductor_shared::ids::Ident::new("acme").unwrap();
            let c = node.compose(
                conductor_shared::ids::TenantUid::NODE,
                ops::TenantCreate { tenant_uid: id, tenant_id: name },
            );
            assert_eq!(node.send(&c).reasons(), [Reason::PolicyUnavailable.code()], "{lie}");
            continue;
        }
        until(&node, "");
        let a = node.tenant("acme");
        assert_eq!(start(&node, &a), ["allowed"]);
    }
}

/// Issue 3, Attacks: an OPA that runs as another user than it should is not asked.
#[test]
fn somebody_elses_opa_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    let opa = Opa::start(folder.path());
    let config = format!("policy = {{ opa = {{ socket = \"{}\", uid = 64999 }} }}\n", opa.socket.display());
    let node = Node::start_with(tempfile::tempdir().unwrap(), &config, &[]);
    until(&node, "expected 64999");
}
