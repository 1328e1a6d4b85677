//! What is around an agent: a service manager, local users, TLS, a disk that fills up.

use conductor_shared::command::ops;
use conductor_shared::quota::QuotaKind;
use conductor_tests::{Client, Node, PATIENCE, bin, free_port, run_body, wait_for};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

/// Agent: ready only when it serves, a watchdog that the writer feeds, and a stop that is announced.
#[test]
fn the_service_manager_is_told() {
    let mut node = Node::start();
    node.stop_agent();
    let told = UnixDatagram::bind(node.path("notify.sock")).unwrap();
    told.set_read_timeout(Some(PATIENCE)).unwrap();
    node.env = vec![
        ("NOTIFY_SOCKET".into(), node.path("notify.sock").display().to_string()),
        ("WATCHDOG_USEC".into(), "600000".into()),
    ];
    node.spawn_agent();
    let hear = |what: &str| {
        for _ in 0..200 {
            let mut b = [0; 4_096];
            let n = told.recv(&mut b).unwrap_or_else(|e| panic!("{what}: {e}"));
            let text = String::from_utf8_lossy(&b[..n]).into_owned();
            if text.lines().any(|l| l == what) {
                return;
            }
        }
        panic!("{what} was not told");
    };
    hear("READY=1");
    assert_eq!(node.client("").get("/readyz").status, 200, "ready means ready");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    node.stop_agent();
    hear("STOPPING=1");
}

/// Agent: a workload is known by its user id, on its tenant's own socket, as long as the tenant lets it in.
#[test]
fn a_local_user_needs_no_token() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = dir.path().join("tenants");
    std::fs::create_dir(&sockets).unwrap();
    let more = format!("tenant_sockets = {:?}\n", sockets.display().to_string());
    let node = Node::start_in(dir, &more);
    let (a, b) = (node.tenant("acme"), node.tenant("bolt"));
    let uid = nix::unistd::geteuid().as_raw();
    let socket = sockets.join("acme.sock");
    assert!(!socket.exists(), "nobody is let in yet");
    node.command(a.uid, ops::PeerAllow { uid });
    wait_for("the tenant's socket", 10, || socket.exists().then_some(()));
    let mut c = Client::new(&socket, "");
    let r = c.post("/v1/runs", &run_body(&a, None));
    assert_eq!(r.status, 200, "{r}");
    // Its own tenant and no other, whatever it names or shows.
    assert_eq!(c.post("/v1/runs", &run_body(&b, None)).reasons(), ["scope_mismatch"]);
    assert_eq!(Client::new(&socket, &b.token).post("/v1/runs", &run_body(&b, None)).status, 401);
    assert_eq!(Client::new(&node.socket(), "").post("/v1/runs", &run_body(&a, None)).status, 401);
    assert!(!sockets.join("bolt.sock").exists());
    node.command(a.uid, ops::PeerDeny { uid });
    assert_eq!(c.post("/v1/runs", &run_body(&a, None)).status, 401, "at once, on an open connection");
    node.command(a.uid, ops::PeerAllow { uid: uid + 1 });
    wait_for("the socket again", 10, || socket.exists().then_some(()));
    let other = wait_for("an answer", 10, || {
        Client::new(&socket, "").send("POST", "/v1/runs", run_body(&a, None).to_string().as_bytes(), &[]).ok()
    });
    assert_eq!(other.status, 401, "another user is not the one that was let in");
}

/// Agent: TCP speaks TLS, and the console believes the pinned certificate alone.
#[test]
fn tls_with_a_pinned_certificate() {
    let mut node = Node::start();
    node.stop_agent();
    let port = free_port();
    let config = std::fs::read_to_string(node.path("c.toml")).unwrap();
    let listen = config.lines().find(|l| l.starts_with("listen_operators")).unwrap().to_owned();
    let both = listen.replace(']', &format!(", \"https://127.0.0.1:{port}\"]"));
    std::fs::write(node.path("c.toml"), config.replace(&listen, &both)).unwrap();
    node.start_agent();
    let log = node.log();
    let at = log.rfind("https://127.0.0.1").expect("the address is told");
    let address = log[at..].split_whitespace().next().unwrap().to_owned();
    let pem = node.path("keys/tls.pem");
    assert_eq!(std::fs::metadata(&pem).unwrap().permissions().mode() & 0o777, 0o600);
    let ask = |address: &str| {
        let mut c = Command::new(bin("conductor"));
        c.env("HOME", node.path("home")).env_remove("CONDUCTOR_AGENT");
        c.args(["--agent", address, "--json", "--key"]).arg(node.operator_key());
        c.args(["tenant", "list"]).output().unwrap()
    };
    let out = ask(&address);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    // Any other certificate is refused, and so is TLS without a pin and plain HTTP.
    let (host, pin) = address.split_once("#sha256=").unwrap();
    let flipped = if pin.starts_with('0') { "1" } else { "0" };
    let wrong = ask(&format!("{host}#sha256={flipped}{}", &pin[1..]));
    assert!(!wrong.status.success());
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("certificate"), "{said}");
    assert_eq!(ask(host).status.code(), Some(2), "a pin is asked for");
    assert!(!ask(&format!("http://127.0.0.1:{port}")).status.success());
}

/// Store: below the critical mark no new work is admitted; what runs may end, and tightening goes on.
#[test]
fn a_disk_that_is_nearly_full_admits_nothing() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    let mut c = node.client(&a.token);
    let run = c.start_run(&a, None).decided().run_id;
    let step =
        c.post(&format!("/v1/runs/{run}/steps"), &json!({"tenant_id": "acme", "name": "one"})).decided();
    node.stop_agent();
    let config = std::fs::read_to_string(node.path("c.toml")).unwrap();
    std::fs::write(node.path("c.toml"), format!("{config}\n[space]\ncritical_bytes = 1000000000000000\n"))
        .unwrap();
    node.start_agent();
    let mut c = node.client(&a.token);
    let denied = c.start_run(&a, None);
    assert_eq!((denied.status, denied.reasons()), (503, vec!["store_unavailable".to_owned()]));
    let more = c.post(&format!("/v1/runs/{run}/steps"), &json!({"tenant_id": "acme", "name": "two"}));
    assert_eq!(more.reasons(), ["store_unavailable"]);
    let end =
        json!({"tenant_id": "acme", "outcome": "succeeded", "duration_us": 1, "bytes_in": 0, "bytes_out": 0});
    let path = format!("/v1/runs/{run}/steps/{}/finish", step.step.expect("its number"));
    assert_eq!(c.post(&path, &end).status, 200, "settle goes on");
    assert_eq!(c.finish_run(&a, run).status, 200);
    node.command(a.uid, ops::QuotaCap { kind: QuotaKind::ConcurrentRuns, limit: 1 });
    node.all_signed(a.uid);
    node.stop_agent();
    node.check();
}
