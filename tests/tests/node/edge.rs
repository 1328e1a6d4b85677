//! The edge of the agent: who may connect where, and what strangers and owners can take of files, memory and places.

use conductor_shared::command::ops;
use conductor_shared::http::SessionOpened;
use conductor_shared::ids::{Ident, TenantUid};
use conductor_tests::{Client, Node, PATIENCE, bin, free_port, run_body, wait_for};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

const NODE: TenantUid = TenantUid::NODE;

fn kill(selector: &str) -> ops::KillSet {
    ops::KillSet { selector: selector.parse().unwrap(), drain: false }
}

/// Sends bytes and gives what comes until the other side hangs up.
fn told(mut s: UnixStream, parts: &[&[u8]]) -> String {
    s.set_read_timeout(Some(PATIENCE)).unwrap();
    for part in parts {
        s.write_all(part).unwrap();
    }
    let mut all = vec![];
    let _ = s.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

fn streams(node: &Node, session: &str, most: usize) -> (Vec<UnixStream>, String) {
    let head = format!(
        "GET /v1/stream HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {session}\r\nconnection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut open = vec![];
    for _ in 0..most {
        let mut s = UnixStream::connect(node.operator_socket()).unwrap();
        s.set_read_timeout(Some(PATIENCE)).unwrap();
        s.write_all(head.as_bytes()).unwrap();
        let mut begin = [0; 12];
        s.read_exact(&mut begin).unwrap();
        let status = String::from_utf8_lossy(&begin[9..]).into_owned();
        if status != "101" {
            return (open, status);
        }
        // Said hello to, it stays.
        let hello = br#"{"type":"hello","version":1}"#;
        let mut frame = vec![0x81, 0x80 | u8::try_from(hello.len()).unwrap(), 0, 0, 0, 0];
        frame.extend_from_slice(hello);
        s.write_all(&frame).unwrap();
        open.push(s);
    }
    (open, "101".into())
}

/// Neither challenges without a credential nor sessions of one person without end keep anybody from a kill; workloads'
/// sockets know no challenge at all.
#[test]
fn challenges_and_sessions_lock_nobody_out() {
    let node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben"]);
    let a = node.tenant("acme");
    let mut stranger = node.client("");
    for _ in 0..1_050 {
        assert_eq!(stranger.post("/v1/sessions/challenge", &json!({})).status, 200);
    }
    let mut at_work = Client::new(&node.socket(), "");
    assert_eq!(at_work.post("/v1/sessions/challenge", &json!({})).status, 421);
    let sessions: Vec<_> = (0..40).map(|_| node.session_of("ana").read::<SessionOpened>().token).collect();
    let lives = |token: &String| node.client(token).get("/v1/node").status == 200;
    assert!(!lives(&sessions[0]) && lives(&sessions[39]), "the newest are open");
    let bens = node.session_of("ben").read::<SessionOpened>().token;
    assert!(lives(&bens));
    // What is done with is closed, and opens nothing any more.
    let closed = node.client(&bens).send("DELETE", "/v1/sessions", b"", &[]).unwrap();
    assert_eq!(closed.status, 204);
    assert!(!lives(&bens));
    // A tightening proves itself: no challenge, no session.
    let text = node.absolute(a.uid, kill("*/*"));
    assert_eq!(node.send_as("ana", &text).came_to(), ["effective"]);
    let (done, _, said) = node.cli(&["freeze", "set", "acme", "--reason", "stop it"]);
    assert!(done, "{said}");
}

/// Operators have listeners of their own, for their group alone; a session is nothing to a workloads' listener, and a
/// token nothing to an operators'.
#[test]
fn operators_have_listeners_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let group = nix::unistd::getegid().as_raw();
    let node = Node::start_in(dir, &format!("operator_group = \"{group}\"\n"));
    let a = node.tenant("acme");
    let socket = std::fs::metadata(node.operator_socket()).unwrap();
    assert_eq!((socket.permissions().mode() & 0o777, socket.gid()), (0o660, group));
    let session = node.operator().bearer;
    let reads = format!("/v1/tenants/{}", a.uid);
    for (path, bearer) in [(reads.as_str(), &session), ("/v1/tenants", &session), ("/v1/approvals", &session)]
    {
        let r = Client::new(&node.socket(), bearer).get(path);
        assert_eq!(r.status, 421, "{path}: {r}");
        assert!(r.problem().detail.contains("listen_operators"), "{r}");
    }
    let r = Client::new(&node.operator_socket(), &a.token).post("/v1/runs", &run_body(&a, None));
    assert_eq!(r.status, 421, "{r}");
    assert_eq!(Client::new(&node.operator_socket(), &a.token).get(&reads).status, 421);
    let command = node.signed(&node.absolute(a.uid, kill("run/x")).text());
    assert_eq!(Client::new(&node.socket(), "").post("/v1/commands", &command).status, 421);
    for socket in [node.socket(), node.operator_socket()] {
        for path in ["/healthz", "/readyz", "/metrics", "/v1/openapi.json"] {
            assert_eq!(Client::new(&socket, "").get(path).status, 200, "{path}");
        }
    }
}

/// Silent connections of one local user fill neither the operators' socket nor the workloads', for nobody: also not for
/// the same user.
#[test]
fn silent_connections_keep_nobody_out() {
    let mut node = Node::start();
    let a = node.tenant("acme");
    node.stop_agent();
    node.under = ["sh", "-c", "ulimit -n 700; exec \"$0\" \"$@\""].map(str::to_owned).to_vec();
    node.start_agent();
    let silent: Vec<_> = [node.operator_socket(), node.socket()]
        .iter()
        .flat_map(|socket| (0..120).map(move |_| UnixStream::connect(socket).unwrap()))
        .collect();
    assert_eq!(node.send(&node.absolute(a.uid, kill("run/x"))).came_to(), ["effective"]);
    let r = node.client(&a.token).start_run(&a, None);
    assert_eq!(r.status, 200, "{r}");
    drop(silent);
}

/// A stream counts until it closes, for its person and as a connection; beside a full share a kill takes effect.
#[test]
fn streams_count_until_they_close() {
    let node = Node::start_with(tempfile::tempdir().unwrap(), "", &["ben"]);
    let a = node.tenant("acme");
    let anas = node.session_of("ana").read::<SessionOpened>().token;
    let bens = node.session_of("ben").read::<SessionOpened>().token;
    let (open, refused) = streams(&node, &anas, 40);
    assert_eq!((open.len(), refused.as_str()), (16, "429"));
    assert_eq!(streams(&node, &bens, 1).1, "101", "another person has a share of their own");
    assert_eq!(node.send(&node.absolute(a.uid, kill("*/*"))).came_to(), ["effective"]);
    drop(open);
    wait_for("a place is free again", 20, || (streams(&node, &anas, 1).1 == "101").then_some(()));
}

/// With few files the first local user of one tenant too many is refused with the reason, and the agent still hears.
#[test]
fn one_socket_too_many_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = dir.path().join("tenants");
    std::fs::create_dir(&sockets).unwrap();
    let more = format!("tenant_sockets = {:?}\n", sockets.display().to_string());
    let mut node = Node::start_in(dir, "");
    node.stop_agent();
    node.under = ["sh", "-c", "ulimit -n 640; exec \"$0\" \"$@\""].map(str::to_owned).to_vec();
    node.reconfigure(|config| more + &config);
    let mut refused = None;
    for n in 0..100u8 {
        let (tenant_uid, tenant_id) = (TenantUid([n + 1; 16]), Ident::new(&format!("t{n}")).unwrap());
        node.command(NODE, ops::TenantCreate { tenant_uid, tenant_id });
        let r = node.send(&node.compose(tenant_uid, ops::PeerAllow { uid: 0 }));
        if r.status != 200 {
            refused = Some((n, r));
            break;
        }
    }
    let (n, r) = refused.expect("one is refused");
    assert_eq!((r.status, r.reasons()), (507, vec!["sockets_too_many".to_owned()]), "after {n}: {r}");
    assert!(n >= 16, "{n}");
    let first = sockets.join("t0.sock");
    wait_for("an answer", 10, || Client::new(&first, "").send("GET", "/healthz", b"", &[]).ok());
    // With fewer files than it needs the agent says so and does not start.
    node.stop_agent();
    let out = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 300; exec \"$0\" run --config \"$1\"",
            &bin("conductord").display().to_string(),
        ])
        .arg(node.path("c.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && said.contains("raise LimitNOFILE"), "{said}");
}

/// A body without credentials is not kept; at a listener where all of them come to nothing the agent answers, and
/// beside as many half bodies as fit a kill and a run go on.
#[test]
fn half_bodies_hold_nobody_up() {
    let mut node = Node::start();
    let port = node.listen_on_tcp();
    let a = node.tenant("acme");
    let half =
        format!("POST /v1/runs HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n{}", "a".repeat(59_999));
    let open: Vec<_> = (0..200)
        .map(|_| {
            let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
            s.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
            let _ = s.write_all(half.as_bytes());
            s
        })
        .collect();
    assert_eq!(node.send(&node.absolute(a.uid, kill("run/x"))).came_to(), ["effective"]);
    assert_eq!(node.client(&a.token).start_run(&a, None).status, 200);
    drop(open);
}

/// A client that sends all of a body before it reads hears the answer, whatever the agent makes of the body; an answer
/// says how long the connection is kept.
#[test]
fn an_unread_body_still_hears_its_answer() {
    let node = Node::start();
    let long = vec![b'a'; 600_000];
    for (socket, path, status) in [
        (node.socket(), "/v1/runs", "413"),
        (node.socket(), "/v1/commands", "421"),
        (node.socket(), "/v1/nothing", "404"),
        (node.operator_socket(), "/v1/policy/bundles", "401"),
        (node.operator_socket(), "/v1/tenants", "405"),
    ] {
        let token = "authorization: Bearer cds_00\r\n".repeat(usize::from(status == "401"));
        let a = if status == "413" { node.tenant("acme").token } else { String::new() };
        let token = if a.is_empty() { token } else { format!("authorization: Bearer {a}\r\n") };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\n{token}connection: close\r\ncontent-length: {}\r\n\r\n",
            long.len()
        );
        // In two writes, as stock clients do.
        let said = told(UnixStream::connect(&socket).unwrap(), &[head.as_bytes(), &long]);
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {said:.200}");
        assert!(said.contains("keep-alive: timeout=70"), "{said:.300}");
    }
}

/// A hangup ends neither agent nor signer.
#[test]
fn a_hangup_ends_nothing() {
    use nix::sys::signal::{Signal, kill};
    let mut node = Node::start();
    let a = node.tenant("acme");
    for child in [&node.agent, &node.signer] {
        let pid = child.as_ref().unwrap().id();
        kill(nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGHUP).unwrap();
    }
    wait_for("the agent says so", 10, || node.log().contains("SIGHUP").then_some(()));
    node.command(a.uid, ops::WorkflowRegister { workflow: Ident::new("more").unwrap() });
    assert!(node.head(NODE).0 > 0);
    node.stop_agent();
    let log = node.log();
    let stop = log.rfind("stopping").expect("it says that it stops");
    assert!(!log[stop..].contains(" WARN "), "a clean stop is quiet: {}", &log[stop..]);
}

/// A path of 107 bytes works as it was taken; one byte more is refused by `init`, with the number.
#[test]
fn long_socket_paths_are_told_at_init() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start();
    let init = |name: &str, socket: &str| {
        Command::new(bin("conductord"))
            .args(["init", "--name", "n", "--environment", "rehearsal", "--signer-socket", "/nowhere"])
            .arg("--config")
            .arg(dir.path().join(format!("{name}.toml")))
            .arg("--data")
            .arg(dir.path().join(name))
            .arg("--keys")
            .arg(dir.path().join(format!("{name}-keys")))
            .arg("--signer-key")
            .arg(node.path("signer/signer.pub"))
            .arg("--operator")
            .arg(format!("ana={}", node.path("ana.pub").display()))
            .args([
                "--listen",
                &format!("unix:{socket}"),
                "--listen-operators",
                &format!("unix:{}/o", dir.path().display()),
            ])
            .output()
            .unwrap()
    };
    let of_length = |n: usize| {
        let folder = dir.path().display().to_string();
        format!("{folder}/{}", "s".repeat(n - folder.len() - 1))
    };
    let out = init("long", &of_length(108));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("107") && said.contains("108"), "{said}");
    let socket = of_length(107);
    let out = init("fits", &socket);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut agent = Command::new(bin("conductord"))
        .args(["run", "--config"])
        .arg(dir.path().join("fits.toml"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the agent is ready", 30, || {
        let r = Client::new(socket.as_ref(), "").send("GET", "/readyz", b"", &[]).ok()?;
        (r.status == 200).then_some(())
    });
    agent.kill().unwrap();
    agent.wait().unwrap();
}

/// The guide's example works: the exported certificate is for what is configured, and a stock client that trusts it and
/// nothing else reaches the agent by that name.
#[test]
fn the_certificate_is_for_configured_names() {
    let mut node = Node::start();
    node.stop_agent();
    let port = free_port();
    let config = std::fs::read_to_string(node.path("c.toml")).unwrap();
    let config = config.replace("\nlisten = [", &format!("\nlisten = [\"https://127.0.0.1:{port}\", "));
    std::fs::write(node.path("c.toml"), format!("certificate_names = [\"agent.example\"]\n{config}"))
        .unwrap();
    let config = node.path("c.toml");
    let certificate = |more: &[&str]| {
        let mut c = Command::new(bin("conductord"));
        c.args(["certificate", "--config"]).arg(&config).args(more);
        let out = c.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(out.stdout), text(out.stderr).trim().to_owned())
    };
    let file = node.path("node-1.crt").display().to_string();
    let (_, pin) = certificate(&["--out", &file]);
    let (pem, same) = certificate(&[]);
    assert_eq!((pin.as_str(), pem), (same.as_str(), std::fs::read_to_string(&file).unwrap()));
    node.start_agent();
    assert!(node.log().contains(&format!("#{pin}")), "the pin is that of the log: {pin}");
    for name in ["agent.example", "127.0.0.1", "node-1"] {
        let body = over_tls(port, &file, name).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(body.ends_with("ok\n"), "{name}: {body}");
    }
    assert!(over_tls(port, &file, "other.example").is_err());
    let (_, renewed) = certificate(&["--renew"]);
    assert_ne!(renewed, pin);
}

/// GET /healthz by a TLS client that trusts one certificate and checks the name.
fn over_tls(port: u16, ca: &str, name: &str) -> Result<String, String> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(|e| e.to_string())?;
    let mut tls = rustls::ClientConnection::new(config.into(), name).map_err(|e| e.to_string())?;
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
    let mut s = rustls::Stream::new(&mut tls, &mut tcp);
    s.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .map_err(|e| e.to_string())?;
    let mut all = vec![];
    let _ = s.read_to_end(&mut all);
    Ok(String::from_utf8_lossy(&all).into_owned())
}
