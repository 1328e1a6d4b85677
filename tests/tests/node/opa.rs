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

/// Rules that are wrong on purpose: they show what differs from OPA.
const CASES: &str = "rego-cases";

/// The Rego tests pass under stock OPA, which finds nothing to say about the rules either.
#[test]
fn the_rego_tests_pass_under_opa() {
    let opa = opa();
    for args in [
        &["test", "--ignore", CASES][..],
        &["check", "--strict", "--ignore", CASES],
        &["fmt", "--fail", "--list"],
    ] {
        let mut opa = Command::new(&opa);
        opa.args(args);
        if args[0] == "fmt" {
            // It knows no --ignore.
            let files = std::fs::read_dir("../policies").unwrap().map(|f| f.unwrap().path());
            opa.args(files.filter(|f| f.extension().is_some_and(|e| e == "rego")));
        } else {
            opa.arg("../policies");
        }
        let out = opa.output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "opa {args:?}: {said}");
        assert!(args[0] != "test" || said.contains("PASS: "), "{said}");
    }
}

/// The built-in rules, and one of a site that goes by its data: ml rests.
fn resting() -> Bundle {
    let site = "package conductor.site\n\ndeny contains sprintf(\"%s rests\", [w]) if {\n\tw := input.work.workflow\n\tis_string(w)\n\tregex.match(data.conductor.known.resting, w)\n}\n";
    let mut files = Bundle::built_in().files().clone();
    files.insert("site.rego".into(), site.into());
    files.insert("conductor/known/data.yaml".into(), "resting: ^m.$\n".into());
    Bundle::from_files(files).unwrap()
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

/// Both engines give the same answers and the same reasons, on 12,000 generated requests, right and wrong.
#[test]
fn both_engines_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let opa = Opa::start(folder.path());
    let mut c = Client::new(&opa.socket, "");
    let bundle = resting();
    for (name, text) in bundle.rules() {
        let r = c.send("PUT", &format!("/v1/policies/{name}"), text.as_bytes(), &[]).unwrap();
        assert_eq!(r.status, 200, "{name}: {r}");
    }
    let data = bundle.data().unwrap();
    assert_eq!(c.send("PUT", "/v1/data/conductor", data.as_bytes(), &[]).unwrap().status, 204);
    // Each document is the input of an evaluation of its own.
    let all = "package asked\n\nanswers := [{\"allow\": a, \"reasons\": r} | some d in input.documents; a := data.conductor.allow with input as d; r := data.conductor.reasons with input as d]\n";
    assert_eq!(c.send("PUT", "/v1/policies/asked.rego", all.as_bytes(), &[]).unwrap().status, 200);
    let mut engine = Engine::prepare(bundle.files()).unwrap();
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

/// Invariant 3, column "policy engine down", with a real OPA: killed, stopped and started anew, it costs admissions and
/// loosening, and never tightening; nothing is let through; and it forgets nothing that it was told.
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

/// Attacks (an OPA that lies): an answer without the nonce, with an old one, or by another bundle is none; one that is
/// bound and false loosens nothing, because the built-in engine must allow as well; and somebody else's OPA is not
/// asked.
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

/// OPA is fed the data of a bundle with its rules, and a bundle may be as long as bundles are.
#[test]
fn opa_is_fed_data_and_long_bundles() {
    let folder = tempfile::tempdir().unwrap();
    let opa = Opa::start(folder.path());
    let config = format!("policy = {{ opa = {{ socket = \"{}\" }} }}\n", opa.socket.display());
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), &config, &["ben"]);
    until(&node, "");
    let a = node.tenant("acme");
    assert_eq!(start(&node, &a), ["allowed"]);
    // What OPA tells of its modules is beyond what an answer may be.
    let table = |workflow: &str| {
        let mut files = Bundle::built_in().files().clone();
        let rows: String = (0..500)
            .map(|n| format!("\ntable.r{n} := {{\"a\": [1, 2, 3], \"b\": input.tenant}}\n"))
            .collect();
        let site = "package conductor.site\n\ndeny contains \"it rests\" if data.conductor.known.resting == input.work.workflow\n";
        files.insert("site.rego".into(), format!("{site}{rows}"));
        files.insert("data.json".into(), json!({"conductor": {"known": {"resting": workflow}}}).to_string());
        Bundle::from_files(files).unwrap()
    };
    for (revision, resting, said) in
        [(1, "etl", "policy_denied"), (2, "other", "allowed"), (3, "etl", "policy_denied")]
    {
        trust_and_load(&mut node, &table(resting), revision, u64::MAX / 4);
        wait_for("OPA has the bundle", 20, || (start(&node, &a) == [said]).then_some(()));
        until(&node, "");
    }
}

/// A module that somebody else put into OPA, in a package that decides, is refused by name, before it is asked and while it
/// is; without it OPA is asked again.
#[test]
fn modules_of_others_decide_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let opa = Opa::start(folder.path());
    let mut c = Client::new(&opa.socket, "");
    let mut put = |id: &str, package: &str| {
        let text = format!("package {package}\n\nallow if true\n");
        assert_eq!(c.send("PUT", &format!("/v1/policies/{id}"), text.as_bytes(), &[]).unwrap().status, 200);
    };
    put("harmless.rego", "somebody.elses");
    put("early.rego", "conductor");
    let config = format!("policy = {{ opa = {{ socket = \"{}\" }} }}\n", opa.socket.display());
    let node = Node::start_with(tempfile::tempdir().unwrap(), &config, &["ben"]);
    until(&node, "early.rego");
    assert_eq!(
        Client::new(&opa.socket, "").send("DELETE", "/v1/policies/early.rego", &[], &[]).unwrap().status,
        200
    );
    until(&node, "");
    let a = node.tenant("acme");
    assert_eq!(start(&node, &a), ["allowed"]);
    put("late.rego", "conductor_agent");
    until(&node, "late.rego");
    assert_eq!(start(&node, &a), ["policy_unavailable"]);
}

/// Bundles of stock `opa build` are taken with their data; what cannot be is refused by name, with what to do.
#[test]
fn bundles_of_opa_build_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    std::fs::create_dir_all(rules.join("conductor/known")).unwrap();
    for (name, text) in resting().rules() {
        std::fs::write(rules.join(name), text).unwrap();
    }
    std::fs::write(rules.join("main_test.rego"), "package conductor_test\n\ntest_it if true\n").unwrap();
    std::fs::write(rules.join("conductor/known/data.json"), "{\"resting\": \"^m.$\"}").unwrap();
    let build = |more: &[&str]| {
        let out = folder.path().join("b.tar.gz");
        let run = Command::new(opa())
            .current_dir(folder.path())
            .arg("build")
            .args(more)
            .args(["-o", "b.tar.gz"])
            .output();
        let run = run.unwrap();
        assert!(run.status.success(), "{more:?}: {}", String::from_utf8_lossy(&run.stderr));
        std::fs::read(out).unwrap()
    };
    for taken in [
        &["-b", "rules", "--revision", "7"][..],
        &["rules", "--revision", "7"],
        &["-O", "1", "-b", "rules", "-e", "conductor/allow", "--revision", "7"],
    ] {
        let bytes = build(taken);
        let bundle = match Bundle::unpack(&bytes) {
            // What OPA optimises it moves into packages of its own.
            Err(e) if taken[0] == "-O" => {
                assert!(e.to_string().contains("optimized/"), "{e}");
                continue;
            }
            bundle => bundle.unwrap(),
        };
        assert_eq!(conductor_policies::revision(&bytes).unwrap(), 7);
        let mut engine = Engine::prepare(bundle.files()).unwrap();
        let mut asked = json!({"version": 1, "class": "admit", "work": {"workflow": "ml"}});
        let rests = |engine: &mut Engine, asked: &Value| {
            engine.reasons(&asked.to_string()).unwrap().iter().any(|r| r == "site: ml rests")
        };
        assert!(rests(&mut engine, &asked), "{taken:?}");
        asked["work"]["workflow"] = json!("etl");
        assert!(!rests(&mut engine, &asked), "{taken:?}");
    }
    assert!(
        conductor_policies::revision(&build(&["-b", "rules"]))
            .unwrap_err()
            .to_string()
            .contains("--revision")
    );
    std::fs::write(folder.path().join("secret"), "a secret that is long enough for anybody").unwrap();
    std::fs::write(rules.join("schema.json"), "{\"title\": 1}").unwrap();
    for (refused, said) in [
        (&["-t", "plan", "-e", "conductor/allow", "-b", "rules"][..], "plan.json: "),
        (&["-b", "rules", "--signing-alg", "HS256", "--signing-key", "secret"], ".signatures.json: "),
        (&["rules"], "data.title: all data of a bundle stands under conductor"),
    ] {
        let e = Bundle::unpack(&build(refused)).unwrap_err().to_string();
        assert!(e.contains(said), "{refused:?}: {e}");
    }
}

/// The functions that the page lists are those of OPA.
#[test]
fn the_functions_of_opa_are_known() {
    let out = Command::new(opa()).args(["capabilities", "--current"]).output().unwrap();
    let told: Value = serde_json::from_slice(&out.stdout).unwrap();
    let line = |b: &Value| {
        let arguments = b["decl"]["args"].as_array().map_or(0, Vec::len);
        let operator = b["infix"].as_str().map_or(String::new(), |i| format!(" {i}"));
        format!("{} {arguments}{operator}", b["name"].as_str().unwrap())
    };
    let theirs: Vec<String> = told["builtins"].as_array().unwrap().iter().map(line).collect();
    let known = include_str!("../../../policies/tests/opa-builtins.txt");
    let missing: Vec<&str> = known.lines().filter(|l| !theirs.iter().any(|t| t == l)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "named by the list and not by OPA");
    // A newer OPA than the list's may know more.
}

/// Attacks: an OPA that runs as another user than it should is not asked.
#[test]
fn somebody_elses_opa_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    let opa = Opa::start(folder.path());
    let config = format!("policy = {{ opa = {{ socket = \"{}\", uid = 64999 }} }}\n", opa.socket.display());
    let node = Node::start_with(tempfile::tempdir().unwrap(), &config, &[]);
    until(&node, "expected 64999");
}
