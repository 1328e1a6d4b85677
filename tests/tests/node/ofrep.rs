//! Ramps as feature flags, asked for by an existing `OpenFeature` client: the Python SDK with its OFREP provider.

use conductor_shared::basis_points::BasisPoints;
use conductor_shared::command::ops;
use conductor_shared::ids::Ident;
use conductor_tests::{Client, Node, Tenant};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A node that listens on TCP as well, under the demo flag: the client speaks no unix sockets.
fn node() -> (Node, String) {
    let mut node = Node::start();
    let port = node.listen_on_tcp();
    (node, format!("http://127.0.0.1:{port}"))
}

/// What the client gets, for each flag and subject. The default is the answer that is not expected.
fn ask(node: &Node, url: &str, token: &str, asks: &[Value]) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let packages = Command::new(root.join("scripts/python-packages.sh")).arg("openfeature").output().unwrap();
    assert!(packages.status.success(), "{}", String::from_utf8_lossy(&packages.stderr));
    let file = node.path("token");
    std::fs::write(&file, token).unwrap();
    let mut child = Command::new("python3")
        .arg(root.join("tests/openfeature/ask.py"))
        .arg(url)
        .arg(file)
        .env("PYTHONPATH", String::from_utf8(packages.stdout).unwrap().trim())
        .env("NO_PROXY", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let lines: String = asks.iter().map(|a| format!("{a}\n")).collect();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    String::from_utf8(out.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn started(node: &Node, a: &Tenant, subject: &str) -> bool {
    let r = node.client(&a.token).start_run(a, Some(subject));
    assert!(r.status == 200 || r.reasons() == ["ramp_excluded"], "{}", r.status);
    r.status == 200
}

/// A tenant with a ramp on one workflow and a kill switch on another.
fn tenant_with_flags(node: &Node) -> Tenant {
    let a = node.tenant("acme");
    node.command(
        a.uid,
        ops::RampSet { selector: "run/etl".parse().unwrap(), hundredths: BasisPoints::saturating(4_000) },
    );
    node.command(a.uid, ops::WorkflowRegister { workflow: Ident::new("ml").unwrap() });
    node.command(a.uid, ops::KillSet { selector: "*/ml".parse().unwrap(), drain: true });
    a
}

/// Ramps: the client's answer is what the gate says of the same subject, with the rule that decided.
#[test]
fn an_openfeature_client_sees_what_the_gate_does() {
    let (node, url) = node();
    let a = tenant_with_flags(&node);
    let subjects: Vec<String> = (0..40).map(|n| format!("customer-{n} \u{fc}\u{202e}")).collect();
    let gate: Vec<bool> = subjects.iter().map(|s| started(&node, &a, s)).collect();
    assert!(gate.contains(&true) && gate.contains(&false));
    let asks: Vec<Value> = subjects
        .iter()
        .zip(&gate)
        .map(|(s, inside)| json!({"flag": "run/etl", "key": s, "default": !inside}))
        .collect();
    let size = node.head(a.uid).0;
    for (got, inside) in ask(&node, &url, &a.token, &asks).iter().zip(&gate) {
        let variant = if *inside { "on" } else { "off" };
        assert_eq!((&got["value"], &got["variant"]), (&json!(inside), &json!(variant)));
        assert_eq!((&got["reason"], &got["error"]), (&json!("SPLIT"), &Value::Null));
        let metadata = json!({"rule": "run/etl", "rampHundredths": 4_000, "revision": 1});
        assert_eq!(got["metadata"], metadata);
    }
    assert_eq!(node.head(a.uid).0, size, "to ask leaves no receipt");
}

/// Ramps: kill switches, unknown flags and missing subjects come as the protocol has them.
#[test]
fn an_openfeature_client_is_told_what_is_wrong() {
    let (node, url) = node();
    let a = tenant_with_flags(&node);
    let asks = [
        json!({"flag": "etl", "default": true}),
        json!({"flag": "run/ml", "key": "x", "default": true}),
        json!({"flag": "run/none", "key": "x", "default": true}),
        json!({"flag": "test/etl", "default": false}),
        json!({"flag": "run/etl", "key": "y".repeat(600), "default": true}),
    ];
    let answers = ask(&node, &url, &a.token, &asks);
    let short: Vec<(bool, &str)> = answers
        .iter()
        .map(|g| (g["value"].as_bool().unwrap(), g["error"].as_str().or(g["reason"].as_str()).unwrap()))
        .collect();
    let expected = [
        (true, "TARGETING_KEY_MISSING"),
        (false, "DISABLED"),
        (true, "FLAG_NOT_FOUND"),
        (true, "STATIC"),
        (true, "INVALID_CONTEXT"),
    ];
    assert_eq!(short, expected);
}

/// Invariant 2: a token opens its own tenant's flags; without a right token the client falls back to its default.
#[test]
fn an_openfeature_client_sees_its_own_tenant() {
    let (node, url) = node();
    tenant_with_flags(&node);
    let b = node.tenant("globex");
    let asks = [
        json!({"flag": "run/etl", "key": "x", "default": false}),
        json!({"flag": "run/ml", "key": "x", "default": true}),
    ];
    let of_b = ask(&node, &url, &b.token, &asks);
    assert_eq!((&of_b[0]["value"], &of_b[0]["reason"]), (&json!(true), &json!("STATIC")));
    assert_eq!(of_b[1]["error"], "FLAG_NOT_FOUND");
    let none = ask(&node, &url, "cdw_wrong", &asks[..1]);
    assert_eq!((&none[0]["value"], &none[0]["error"]), (&json!(false), &json!("GENERAL")));
}

/// OFREP, bulk evaluation: all flags at once, unchanged ones are told so by their tag, and bad bodies by the codes of the
/// protocol.
#[test]
fn all_flags_at_once() {
    let node = Node::start();
    let a = node.tenant("acme");
    node.command(
        a.uid,
        ops::RampSet { selector: "canary/*".parse().unwrap(), hundredths: BasisPoints::saturating(0) },
    );
    let mut c = node.client(&a.token);
    let path = "/ofrep/v1/evaluate/flags";
    let r = c.post(path, &json!({"context": {"targetingKey": "s", "plan": "gold"}}));
    let flags = r.json()["flags"].clone();
    let short: Vec<_> =
        flags.as_array().unwrap().iter().map(|f| (f["key"].clone(), f["value"].clone())).collect();
    assert_eq!(short, [(json!("canary/etl"), json!(false)), (json!("run/etl"), json!(true))]);
    let tag = r.header("etag").expect("a tag").to_owned();
    let body = json!({"context": {"targetingKey": "s", "plan": "gold"}}).to_string();
    let again = |c: &mut conductor_tests::Client| {
        c.send("POST", path, body.as_bytes(), &[("If-None-Match", &tag)]).unwrap()
    };
    assert_eq!(again(&mut c).status, 304);
    node.command(
        a.uid,
        ops::RampSet { selector: "canary/*".parse().unwrap(), hundredths: BasisPoints::saturating(10_000) },
    );
    assert_eq!(again(&mut c).status, 200);
    for (body, code) in [
        ("{", "PARSE_ERROR"),
        ("[]", "PARSE_ERROR"),
        ("{\"context\": 7}", "INVALID_CONTEXT"),
        ("{\"context\": {\"targetingKey\": 7}}", "INVALID_CONTEXT"),
    ] {
        let r = c.send("POST", path, body.as_bytes(), &[]).unwrap();
        assert_eq!((r.status, r.json()["errorCode"].as_str()), (400, Some(code)), "{body}");
    }
    let r = c.post(&format!("{path}/run%2Fetl"), &json!({}));
    assert_eq!((r.status, r.json()["key"].as_str()), (200, Some("run/etl")));
    let r = c.post(&format!("{path}/Bad%1bKey"), &json!({}));
    assert_eq!((r.status, r.json()["errorCode"].as_str()), (404, Some("FLAG_NOT_FOUND")));
    assert!(!String::from_utf8(r.body).unwrap().contains('\u{1b}'));
    assert_eq!(Client::new(&node.socket(), "").post(path, &json!({})).status, 401);
}

/// Invariant 2: a context that names another tenant is denied on every route of the protocol, with a receipt in the log of
/// whoever asked.
#[test]
fn a_context_of_another_tenant_is_denied() {
    let node = Node::start();
    let (a, b) = (node.tenant("acme"), node.tenant("globex"));
    let sizes = || [a.uid, b.uid].map(|uid| node.head(uid).0);
    let mut c = node.client(&a.token);
    for path in ["/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/run%2Fetl"] {
        let [own, other] = sizes();
        let ask = |c: &mut Client, tenant: &str| {
            c.post(path, &json!({"context": {"targetingKey": "s", "tenant_id": tenant}}))
        };
        assert_eq!(ask(&mut c, "acme").status, 200, "{path}");
        let r = ask(&mut c, "globex");
        assert_eq!((r.status, r.reasons()), (403, vec!["scope_mismatch".to_owned()]), "{path}");
        assert_eq!(sizes(), [own + 1, other], "{path}");
    }
}
