//! Thefts: what a stolen session and a stolen tenant token open, and what they do not.

use conductor_shared::command::{Operation, ops};
use conductor_shared::http::SessionOpened;
use conductor_shared::ids::TenantUid;
use conductor_tests::{Client, Node, wait_for};
use serde_json::json;
use std::io::{Read as _, Write as _};

const NODE: TenantUid = TenantUid::NODE;

/// Status of a request over TCP.
fn over_tcp(port: u16, path: &str, bearer: &str) -> u16 {
    let mut s = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\nconnection: close\r\n\r\n"
    );
    s.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    s.read_to_string(&mut text).unwrap();
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Attacks (stolen session): it reads, on the node and over the transport it was opened for, until its person is shut
/// out or the agent stops; it signs nothing, starts nothing, and is no workload's token.
#[test]
fn a_stolen_session_reads_and_nothing_else() {
    let mut node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben", "cleo"]);
    let port = node.listen_to_operators_on_tcp();
    let a = node.tenant("acme");
    let stolen = node.session_of("ben").read::<SessionOpened>().token;
    let mut thief = node.client(&stolen);
    let tenant = format!("/v1/tenants/{}", a.uid);
    assert_eq!(thief.get(&tenant).status, 200, "it reads");
    // A command needs a signature, whatever session brings it; an edited one does not verify.
    let kill = Operation::KillSet(ops::KillSet { selector: "*/*".parse().unwrap(), drain: false });
    let text = node.compose(a.uid, kill).text();
    let mut signed = node.signed(&text);
    signed["text"] = json!(text.replace("drain: false", "drain: true"));
    for body in [json!({"text": text}), json!({"text": text, "signature": "", "public_key": ""}), signed] {
        let r = thief.post("/v1/commands", &body);
        assert!(r.status >= 400 && r.status < 500, "{}", r.status);
    }
    assert!(node.control(a.uid).kills.is_empty(), "nothing was changed");
    // It starts no work, and asks for no flags.
    let run =
        json!({"tenant_id": "acme", "workflow_type": "etl", "env": "rehearsal", "actor_type": "service"});
    for (path, body) in [("/v1/runs", run), ("/ofrep/v1/evaluate/flags", json!({}))] {
        assert_eq!(thief.post(path, &body).status, 421, "operators' listeners take no work");
        let mut elsewhere = Client::new(&node.socket(), &stolen);
        assert!(matches!(elsewhere.post(path, &body).status, 401 | 421));
    }
    // Not over another transport, and not on another node.
    assert_eq!(over_tcp(port, &tenant, &stolen), 401);
    let other = Node::start();
    assert_eq!(other.client(&stolen).get("/v1/node").status, 401);
    // Its person is shut out: it ends at once.
    node.command(NODE, ops::OperatorSuspend { person: node.person("ben") });
    wait_for("the session ends", 5, || (thief.get(&tenant).status == 401).then_some(()));
}

/// Attacks (stolen tenant token): it is that tenant's workload and nothing more: no other tenant, no node, no command,
/// no session; revoked, it opens nothing from the next request on, and each try is on record.
#[test]
fn a_stolen_token_is_one_tenants_workload() {
    let node = Node::start();
    let (a, b) = (node.tenant("acme"), node.tenant("globex"));
    let mut thief = node.client(&a.token);
    for path in ["/v1/tenants", "/v1/approvals", "/v1/freezes", "/v1/incidents", "/v1/policy"] {
        assert_eq!(thief.get(path).status, 421, "{path}");
        assert_eq!(Client::new(&node.operator_socket(), &a.token).get(path).status, 421, "{path}");
    }
    for part in
        ["", "/receipts", "/timeline", "/config", "/config/1", "/slo", "/incidents", "/totals", "/checkpoint"]
    {
        let r = thief.get(&format!("/v1/tenants/{}{part}", b.uid));
        assert_eq!((r.status, r.reasons()), (403, vec!["scope_mismatch".to_owned()]), "{part}");
        assert_eq!(thief.get(&format!("/v1/tenants/{NODE}{part}")).status, 403, "{part}");
    }
    let size = node.head(b.uid).0;
    assert_eq!(
        thief.post("/v1/commands", &json!({"text": "x", "signature": "", "public_key": ""})).status / 100,
        4
    );
    let as_b =
        json!({"tenant_id": "globex", "workflow_type": "etl", "env": "rehearsal", "actor_type": "service"});
    assert_eq!(thief.post("/v1/runs", &as_b).reasons(), ["scope_mismatch"]);
    assert_eq!(node.head(b.uid).0, size, "nothing stands in the log of who was only named");
    let parts: Vec<&str> = a.token.split('_').collect();
    let token = parts[2].parse().unwrap();
    node.command(a.uid, ops::TokenRevoke { token });
    assert_eq!(thief.start_run(&a, None).status, 401);
    assert_eq!(thief.get(&format!("/v1/tenants/{}", a.uid)).status, 401);
    // The other's secret under one's own id, and one's own under the other's.
    let forged = format!("cdw_{}_{}_{}", b.uid, parts[2], parts[3]);
    assert_eq!(node.client(&forged).start_run(&b, None).status, 401);
}
