//! The document of the API, as programs of others take it.

use conductor_tests::Node;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The document is valid by a checker of others, and a client that was generated from it by a tool of others does the
/// work of a workload and reads as an operator, in types.
#[test]
fn a_generated_client_works() {
    let node = Node::start();
    let a = node.tenant("acme");
    let session = node.operator().bearer;
    let document = node.path("openapi.json");
    std::fs::write(&document, node.client("").get("/v1/openapi.json").body).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let packages = Command::new(root.join("scripts/python-packages.sh")).arg("openapi").output().unwrap();
    assert!(packages.status.success(), "{}", String::from_utf8_lossy(&packages.stderr));
    let mut child = Command::new("python3")
        .arg(root.join("tests/openapi/use.py"))
        .args([document.as_os_str(), node.socket().as_os_str(), node.operator_socket().as_os_str()])
        .arg(node.dir.path())
        .env("PYTHONPATH", String::from_utf8(packages.stdout).unwrap().trim())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let lines = format!("{}\n{}\n{}\n{session}\n", a.name, a.uid, a.token);
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    let got: Value = serde_json::from_slice(&out.stdout).unwrap();
    let types = json!([
        "Decided",
        "Decided",
        "Decided",
        "Decided",
        "RunView",
        "Decided",
        "Evaluation",
        "Failure",
        "Problem",
        "ReceiptPage",
        "TenantDetail",
        "UsageAnswer",
        "CostAnswer",
        "Problem"
    ]);
    assert_eq!(got["types"], types);
    assert_eq!((&got["run"]["steps"], &got["run"]["open_steps"]), (&json!(1), &json!(0)));
    assert_eq!(
        (&got["flag"]["value"], &got["no_flag"]["errorCode"]),
        (&json!(true), &json!("FLAG_NOT_FOUND"))
    );
    assert_eq!(
        (&got["foreign"][0], &got["foreign"][1]["reasons"]),
        (&json!(403), &json!(["scope_mismatch"]))
    );
    assert!(got["foreign"][1]["receipt"]["index"].is_u64(), "on record: {got}");
    assert_eq!(got["denied"]["reasons"], json!(["role_missing"]));
    assert_eq!((&got["receipts"], &got["workflows"]), (&json!(2), &json!(["etl"])));
    assert_eq!((&got["steps"], &got["stream"]), (&json!(1), &json!(426)));
}

/// What the document calls an integer is taken as JSON means it, and what is none is refused; a length is counted as
/// the document counts it.
#[test]
fn the_service_takes_what_the_document_says() {
    let node = Node::start();
    let a = node.tenant("acme");
    let mut c = node.client(&a.token);
    let run = c.start_run(&a, Some(&"\u{fc}".repeat(512))).decided().run_id;
    assert_eq!(c.start_run(&a, Some(&"u".repeat(513))).status, 400);
    let finish = |bytes: &str| {
        format!(
            r#"{{"tenant_id":"acme","outcome":"succeeded","duration_us":1e3,"bytes_in":{bytes},"bytes_out":0}}"#
        )
    };
    for (bytes, status) in
        [("1.5", 400), ("-1", 400), ("-1.0", 400), ("1e300", 400), ("true", 400), ("2.0", 200)]
    {
        let step =
            c.post(&format!("/v1/runs/{run}/steps"), &json!({"tenant_id": "acme", "name": "s"})).decided();
        let path = format!("/v1/runs/{run}/steps/{}/finish", step.step.unwrap());
        let r = c.send("POST", &path, finish(bytes).as_bytes(), &[]).unwrap();
        assert_eq!(r.status, status, "{bytes}: {r}");
    }
    for path in ["/v1/node", "/v1/nothing", "/v1/stream"] {
        let r = node.client("").get(path);
        assert_eq!(r.header("content-type"), Some("application/problem+json"), "{path}: {r}");
    }
    let mut operator = node.operator();
    for path in
        ["receipts?limit=x", "receipts?from=--1", "timeline?after=-1", "cost/explain", "usage?format=xml"]
    {
        let r = operator.get(&format!("/v1/tenants/{}/{path}", a.uid));
        assert_eq!(
            (r.status, r.header("content-type")),
            (400, Some("application/problem+json")),
            "{path}: {r}"
        );
    }
    let r =
        operator.send("POST", &format!("/v1/tenants/{}/preview", a.uid), &vec![b'x'; 70_000], &[]).unwrap();
    assert_eq!((r.status, r.header("content-type")), (413, Some("application/problem+json")), "{r}");
}
