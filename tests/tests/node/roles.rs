//! Who may call what: every route of the table by every kind of caller, over the real socket.

use conductor_shared::command::ops;
use conductor_shared::http::{
    CommandStatus, ConfigRevision, ReceiptPage, RequestList, SessionOpened, TenantDetail, TenantList,
};
use conductor_shared::ids::{Digest, TenantUid, TokenId};
use conductor_shared::operator::{GrantedRole, Roles};
use conductor_shared::routes::{ROUTES, Right, Route};
use conductor_tests::{Node, PATIENCE, Tenant, wait_for};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::path::Path;

const NODE: TenantUid = TenantUid::NODE;

/// Callers, in the order of the columns of the law. A role with `@` is one for acme alone.
const CALLERS: [&str; 17] = [
    "nobody",
    "suspended",
    "no-role",
    "viewer",
    "viewer@",
    "operator",
    "operator@",
    "approver",
    "approver@",
    "auditor",
    "auditor@",
    "admin",
    "break-glass",
    "break-glass@",
    "acme's",
    "globex's",
    "revoked",
];

/// What stands in the path for `{tenant}`.
const LOGS: [&str; 3] = ["acme", "globex", "node"];

/// Reads, as columns: whether a caller comes past the check of a right, by the log that the path names.
fn law(right: Right, log: &str) -> &'static str {
    // n: nobody, suspended, no role | v viewers | o operators | a approvers | u auditors | ad, bg, bg@ | w workloads
    match (right, log) {
        (Right::Open, _) => "+++ ++ ++ ++ ++ +++ +++",
        (Right::Signature, _) => "+++ ++ ++ ++ ++ +++ ---",
        (Right::Session, _) => "--+ ++ ++ ++ ++ +++ ---",
        (Right::Known, _) => "--+ ++ ++ ++ ++ +++ ++-",
        (Right::Workload, _) => "--- -- -- -- -- --- ++-",
        (Right::Log, "acme") => "--- ++ ++ ++ ++ --- ---",
        (Right::Log, "globex") => "--- +- +- +- +- --- ---",
        (Right::Log, _) => "--- +- -- -- +- +-- ---",
        (Right::LogOrOwn, "acme") => "--- ++ ++ ++ ++ --- +--",
        (Right::LogOrOwn, "globex") => "--- +- +- +- +- --- -+-",
        (Right::LogOrOwn, _) => "--- +- -- -- +- +-- ---",
        (Right::Logs, _) => "--- ++ ++ ++ ++ +-- ---",
        (Right::Sums, _) => "--- +- +- +- +- +-- ---",
        (Right::NodeLog, _) => "--- +- -- -- +- +-- ---",
        // Of a kill switch, which operators set and whoever reads all of the log may look at.
        (Right::Preview, "acme") => "--- -- ++ ++ ++ --- ---",
        (Right::Preview, "globex") => "--- -- +- +- +- --- ---",
        (Right::Preview, _) => "--- -- +- -- +- +-- ---",
        (Right::Admin, _) => "--- -- -- -- -- +-- ---",
    }
}

/// Sets roles with the word of two persons, or of one where nothing becomes looser.
fn grant(node: &Node, name: &str, roles: &[GrantedRole]) {
    let roles: Roles = roles.iter().cloned().collect();
    let command = node.compose(NODE, ops::OperatorRoles { person: node.person(name), roles });
    if node.send(&command).outcome().status == CommandStatus::Requested {
        assert_eq!(node.approve("ben", &command), ["effective"]);
    }
}

fn session(node: &Node, name: &str) -> String {
    node.session_of(name).read::<SessionOpened>().token
}

/// A node with a person for each role, two tenants, and the bearer token of each caller.
fn site() -> (Node, Tenant, Tenant, Vec<String>) {
    let on_the_node = ["viewer", "operator", "approver", "auditor", "admin", "break-glass"];
    let mut persons: Vec<String> = on_the_node.iter().map(|role| format!("{role}:{role}")).collect();
    persons.push("ben".to_owned());
    let on_acme = ["viewer", "operator", "approver", "auditor", "break-glass"];
    persons.extend(on_acme.iter().map(|role| format!("a-{role}:viewer")));
    persons.extend(["no-role:viewer".to_owned(), "suspended:viewer".to_owned()]);
    let persons: Vec<&str> = persons.iter().map(String::as_str).collect();
    let node = Node::start_with(tempfile::tempdir().unwrap(), "", &persons);
    let (acme, globex, gone) = (node.tenant("acme"), node.tenant("globex"), node.tenant("gone"));
    let of_suspended = session(&node, "suspended");
    node.command(NODE, ops::OperatorSuspend { person: node.person("suspended") });
    for role in on_acme {
        grant(&node, &format!("a-{role}"), &[GrantedRole::Tenant(role.parse().unwrap(), acme.uid)]);
    }
    grant(&node, "no-role", &[]);
    let token: TokenId = gone.token.split('_').nth(2).unwrap().parse().unwrap();
    node.command(gone.uid, ops::TokenRevoke { token });
    let bearers = CALLERS.map(|caller| match caller {
        "nobody" => String::new(),
        "suspended" => of_suspended.clone(),
        "acme's" => acme.token.clone(),
        "globex's" => globex.token.clone(),
        "revoked" => gone.token.clone(),
        person => match person.strip_suffix('@') {
            Some(role) => session(&node, &format!("a-{role}")),
            None => session(&node, person),
        },
    });
    (node, acme, globex, bearers.to_vec())
}

/// A body that the route takes, about something that is not there where there is a choice.
fn body(route: &Route, tenant: &str) -> Value {
    let work =
        json!({"tenant_id": tenant, "name": "x", "approver": "y", "approved": true, "outcome": "failed"});
    match route.name.word() {
        "run_start" => {
            json!({"tenant_id": tenant, "workflow_type": "etl", "env": "rehearsal", "actor_type": "service"})
        }
        "preview" => json!({"operation": ["kill.set", "selector", "*/*", "drain", "false"]}),
        "policy_explain" => json!({"input": {}}),
        _ if route.path.starts_with("/v1/runs") => work,
        _ => json!({}),
    }
}

fn path(route: &Route, log: &str, tenant: &str) -> String {
    let path = route.path.replace("{tenant}", log).replace("{run}", &"0a".repeat(16)).replace("{step}", "1");
    let path = path.replace("{index}", "0").replace("{revision}", "1").replace("{digest}", &"00".repeat(32));
    let query = match route.name.word() {
        "run_show" => format!("?tenant_id={tenant}"),
        "dead_letters" => "?sink=none".to_owned(),
        "cost_explain" => "?bucket=compute".to_owned(),
        _ => String::new(),
    };
    path.replace("{*flag}", "run/etl") + &query
}

/// Reads and invariant 2: the law of rights, cell by cell. A row that is added to the table of routes is tried by
/// itself.
#[test]
fn every_route_is_for_whom_the_law_says() {
    let (node, acme, globex, bearers) = site();
    let mut clients: Vec<_> = bearers.iter().map(|b| node.client(b)).collect();
    let uids = [acme.uid, globex.uid, NODE].map(|uid| uid.to_string());
    let (mut matrix, mut wrong) = (vec![], vec![]);
    let mut routes: Vec<&Route> = ROUTES.iter().collect();
    // This one ends the sessions by which the others are tried.
    routes.sort_by_key(|r| r.name.word() == "session_close");
    for route in routes {
        let logs = if route.path.contains("{tenant}") { &LOGS[..] } else { &LOGS[..1] };
        for (log, uid) in logs.iter().zip(&uids) {
            let expected: String = law(route.right, log).replace(' ', "");
            let mut seen = String::new();
            for ((caller, client), expected) in CALLERS.iter().zip(&mut clients).zip(expected.chars()) {
                let own = if *caller == "globex's" { "globex" } else { "acme" };
                let body = if route.method == "GET" {
                    Vec::new()
                } else {
                    body(route, own).to_string().into_bytes()
                };
                let path = path(route, uid, own);
                let r = client.send(route.method, &path, &body, &[]).expect("an answer");
                let admitted = !matches!(r.status, 401 | 403 | 421);
                seen.push(if admitted { '+' } else { '-' });
                if admitted != (expected == '+') {
                    wrong.push(format!("{caller}: {} {path}: {r}", route.method));
                }
                assert!(r.status < 500 || r.status == 503, "{} {path} by {caller}: {r}", route.method);
            }
            matrix.push(format!("{:<17} {:<5} {log:<6} {seen}", route.name.word(), route.method));
        }
    }
    println!("{:>31}{}\n{}", "", CALLERS.join(" "), matrix.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(CALLERS.len(), law(Right::Open, "").replace(' ', "").len());
}

/// Sends a head that announces a body, and no body; gives the status of the answer.
fn head_alone(socket: &Path, path: &str, bearer: &str) -> String {
    let mut s = std::os::unix::net::UnixStream::connect(socket).unwrap();
    s.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: bEaReR {bearer}\r\nexpect: 100-continue\r\ncontent-length: 60000\r\n\r\n"
    );
    s.write_all(head.as_bytes()).unwrap();
    let mut line = [0; 12];
    s.read_exact(&mut line)
        .map_or_else(|e| e.to_string(), |()| String::from_utf8_lossy(&line[9..]).into_owned())
}

/// Reads; RFC 9110: who may not call is refused before a body is asked for, on every route that takes one and asks for
/// a right. The name of the scheme has no case.
#[test]
fn a_right_is_judged_before_a_body_is_read() {
    let (node, acme, _, bearers) = site();
    let nobody = format!("cdw_{}_{}_{}", acme.uid, "00".repeat(16), "00".repeat(32));
    let no_role = &bearers[CALLERS.iter().position(|c| *c == "no-role").unwrap()];
    for route in ROUTES.iter().filter(|r| r.method == "POST" && r.right.authenticates()) {
        let path = path(route, &acme.uid.to_string(), "acme");
        if route.right == Right::Workload {
            assert_eq!(head_alone(&node.socket(), &path, &nobody), "401", "{path}");
        } else {
            assert_eq!(head_alone(&node.operator_socket(), &path, "cds_00"), "401", "{path}");
            assert_eq!(head_alone(&node.operator_socket(), &path, no_role), "403", "{path}");
        }
    }
}

/// Reads: what a viewer, and a workload of the tenant, reads of receipts and of state has no subjects (viewer), no
/// signed texts, no signatures and no digests of tokens; what is left verifies, and what is missing is told.
#[test]
fn what_is_not_for_all_is_left_out() {
    let (node, acme, _, bearers) = site();
    let r = node.client(&acme.token).start_run(&acme, Some("subject-of-the-run"));
    assert_eq!(r.status, 200, "{r}");
    node.all_signed(acme.uid);
    let base = format!("/v1/tenants/{}", acme.uid);
    for (caller, subjects, secrets) in [
        ("viewer", false, false),
        ("viewer@", false, false),
        ("acme's", true, false),
        ("operator@", true, true),
    ] {
        let mut c = node.client(&bearers[CALLERS.iter().position(|c| *c == caller).unwrap()]);
        let page: ReceiptPage = c.get(&format!("{base}/receipts?limit=500")).read();
        let all = format!("{:?}", page.receipts);
        assert_eq!(all.contains("subject-of-the-run"), subjects, "{caller}");
        assert_eq!(all.contains("untrusted comment"), secrets, "{caller}: signatures");
        assert_eq!(all.contains("conductor/command/v1"), secrets, "{caller}: texts");
        assert_eq!(all.contains("secret_sha256"), secrets, "{caller}: digests of tokens");
        let disclosed: Vec<Vec<u8>> = page
            .receipts
            .iter()
            .flat_map(|r| &r.fields)
            .map(|f| conductor_tests::b64(&f.disclosure))
            .collect();
        let holds =
            |word: &str| disclosed.iter().any(|d| d.windows(word.len()).any(|w| w == word.as_bytes()));
        assert_eq!(holds("subject-of-the-run"), subjects, "{caller}");
        assert_eq!(holds("untrusted comment") || holds("conductor/command/v1"), secrets, "{caller}");
        let export = c.get(&format!("{base}/receipts/export"));
        let file = node.path("export.jsonl");
        std::fs::write(&file, &export.body).unwrap();
        let trust = node.path("trust.toml");
        let (good, told, said) =
            node.cli(&["verify", file.to_str().unwrap(), "--trust", trust.to_str().unwrap()]);
        assert_eq!(
            (&told["signature"]["verdict"], &told["inclusion"]["verdict"]),
            (&json!("verified"), &json!("verified"))
        );
        // What was withheld is told, and never called whole.
        assert_eq!(
            (good, &told["completeness"]["verdict"] == "verified"),
            (secrets, secrets),
            "{caller}: {said}"
        );
    }
    let mut viewer = node.client(&bearers[CALLERS.iter().position(|c| *c == "viewer").unwrap()]);
    let detail: TenantDetail = viewer.get(&base).read();
    assert!(detail.control.tokens.values().all(|t| t.secret_sha256 == Digest([0; 32])));
    assert!(node.control(acme.uid).tokens.values().all(|t| t.secret_sha256 != Digest([0; 32])));
    let past: ConfigRevision = viewer.get(&format!("{base}/config/{}", detail.control.revision)).read();
    assert!(past.control.tokens.values().all(|t| t.secret_sha256 == Digest([0; 32])));
}

/// Reads: what lists all logs lists those that the person may read, and no others.
#[test]
fn lists_have_what_the_person_may_read() {
    let (node, acme, globex, bearers) = site();
    let of = |name: &str| node.client(&bearers[CALLERS.iter().position(|c| *c == name).unwrap()]);
    for caller in ["viewer@", "operator@", "approver@", "auditor@"] {
        let mut c = of(caller);
        let list: TenantList = c.get("/v1/tenants").read();
        assert_eq!(list.tenants.iter().map(|t| t.tenant_uid).collect::<Vec<_>>(), [acme.uid], "{caller}");
        for path in ["/v1/approvals", "/v1/freezes", "/v1/incidents", "/v1/rates"] {
            let answer = c.get(path).json().to_string();
            let named = answer.contains("globex") || answer.contains(&globex.uid.to_string());
            assert!(!named && !answer.contains(&NODE.to_string()), "{caller}: {path}: {answer}");
        }
    }
    let request = node.request(
        NODE,
        ops::OperatorRoles {
            person: node.person("no-role"),
            roles: [GrantedRole::read("viewer")].into_iter().collect(),
        },
    );
    for (caller, sees) in [("approver", true), ("admin", true), ("operator", false), ("viewer", false)] {
        let list: RequestList = of(caller).get("/v1/approvals").read();
        assert_eq!(list.requests.iter().any(|r| r.text == request.text()), sees, "{caller}");
    }
}

/// Reads: a stream ends, and a download goes no further, within a second of the loss of the right.
#[test]
fn what_goes_on_ends_with_its_right() {
    let (node, acme, _, bearers) = site();
    let bearer = &bearers[CALLERS.iter().position(|c| *c == "operator@").unwrap()];
    let mut s = std::os::unix::net::UnixStream::connect(node.operator_socket()).unwrap();
    s.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "GET /v1/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    s.write_all(head.as_bytes()).unwrap();
    let hello = br#"{"type":"hello","version":1}"#;
    // A masked text frame; the mask is all zeros.
    let mut frame = vec![0x81, 0x80 | u8::try_from(hello.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(hello);
    s.write_all(&frame).unwrap();
    let mut all = vec![];
    let mut some = [0; 4096];
    let told = |all: &[u8], word: &str| String::from_utf8_lossy(all).contains(word);
    while !told(&all, "overview_end") {
        let n = s.read(&mut some).unwrap();
        assert!(n > 0, "the stream goes on");
        all.extend_from_slice(&some[..n]);
    }
    assert!(told(&all, "101 Switching") && !told(&all, "globex"));
    grant(&node, "a-operator", &[GrantedRole::Tenant("break-glass".parse().unwrap(), acme.uid)]);
    s.read_to_end(&mut all).expect("the stream ends");
    assert!(told(&all, "session_ended"), "{}", String::from_utf8_lossy(&all));
    wait_for("nothing is read any more", 5, || {
        let r = node.client(bearer).get(&format!("/v1/tenants/{}/receipts/export", acme.uid));
        (r.status == 403).then_some(())
    });
}

/// Operators' sessions are opened and used on operators' listeners; whoever can open a tenant's socket is a workload.
#[test]
fn a_tenants_socket_takes_no_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = dir.path().join("tenants");
    std::fs::create_dir(&sockets).unwrap();
    let node = Node::start_with(dir, &format!("tenant_sockets = {:?}\n", sockets.display().to_string()), &[]);
    let acme = node.tenant("acme");
    node.command(acme.uid, ops::PeerAllow { uid: nix::unistd::getuid().as_raw() });
    let path = sockets.join("acme.sock");
    wait_for("the tenant's socket", 20, || path.exists().then_some(()));
    let session = node.operator().bearer;
    let mut c = conductor_tests::Client::new(&path, &session);
    for path in ["/v1/tenants", "/v1/node", &format!("/v1/tenants/{}", acme.uid)] {
        assert_eq!(c.get(path).status, 421, "{path}");
    }
    assert_eq!(c.post("/v1/sessions/challenge", &json!({})).status, 421);
    let mut own = conductor_tests::Client::new(&path, "");
    assert_eq!(own.start_run(&acme, None).status, 200, "its workloads are served");
}
