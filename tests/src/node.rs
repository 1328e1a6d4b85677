//! A node of real processes in a scratch folder.

use crate::{Answer, Client};
use base64::Engine as _;
use conductor_shared::command::{Audience, Command as Cmd, Operation, ops};
use conductor_shared::ids::{CommandId, Ident, NodeId, TenantUid, TokenId, hex};
use conductor_shared::session::{Session, Transport};
use conductor_shared::untrusted::UntrustedText;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program of this build.
pub fn bin(name: &str) -> PathBuf {
    if let Ok(dir) = std::env::var("CONDUCTOR_BIN_DIR") {
        return Path::new(&dir).join(name);
    }
    let me = std::env::current_exe().expect("our own path");
    let mut dir = me.parent().expect("a folder").to_owned();
    while !dir.join(name).exists() {
        dir = dir.parent().unwrap_or_else(|| panic!("{name} is not built; run make test")).to_owned();
    }
    dir.join(name)
}

/// Waits until something holds; fails after `seconds`.
#[allow(clippy::disallowed_methods)] // tests measure real time
pub fn wait_for<T>(what: &str, seconds: u64, mut f: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(t) = f() {
            return t;
        }
        assert!(begun.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A tenant with a token.
#[derive(Clone)]
pub struct Tenant {
    /// Uid.
    pub uid: TenantUid,
    /// Display id.
    pub name: String,
    /// Bearer token of a workload.
    pub token: String,
}

/// Agent and signer.
pub struct Node {
    /// Everything is in here.
    pub dir: tempfile::TempDir,
    /// The agent.
    pub agent: Option<Child>,
    /// The signer.
    pub signer: Option<Child>,
    /// The node's id.
    pub id: NodeId,
    /// Environment of the agent, beside that of the test.
    pub env: Vec<(String, String)>,
    /// What runs the agent, word by word; nothing when it runs by itself.
    pub under: Vec<String>,
    key: minisign::KeyPair,
    others: Vec<(String, minisign::KeyPair)>,
    session: std::sync::Mutex<String>,
}

fn random<const N: usize>() -> [u8; N] {
    let mut b = [0; N];
    getrandom::fill(&mut b).expect("randomness");
    b
}

/// A file that only its owner reads.
fn write_secret(path: &Path, text: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(path);
    file.expect("a file").write_all(text.as_bytes()).expect("written");
}

impl Node {
    /// Made and running.
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a scratch folder"), "")
    }

    /// In a given folder, with more lines for the configuration.
    pub fn start_in(dir: tempfile::TempDir, more: &str) -> Self {
        Self::start_with(dir, more, &[])
    }

    /// In a given folder, with more tables after the configuration.
    pub fn start_after(dir: tempfile::TempDir, tables: &str) -> Self {
        let mut node = Self::start_with(dir, "", &[]);
        node.reconfigure(|config| format!("{config}\n{tables}"));
        node
    }

    /// Stops the agent, changes its configuration, and starts it again.
    pub fn reconfigure(&mut self, change: impl FnOnce(String) -> String) {
        self.stop_agent();
        let path = self.path("c.toml");
        let config = std::fs::read_to_string(&path).expect("configuration");
        std::fs::write(path, change(config)).expect("written");
        self.start_agent();
    }

    /// Has the agent listen on TCP as well, in the clear under the demo flag; gives the port.
    pub fn listen_on_tcp(&mut self) -> u16 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        self.reconfigure(|c| {
            c.replace("listen = [", &format!("listen = [\"http://127.0.0.1:{port}\", "))
                .replace("allow_plain = false", "allow_plain = true")
        });
        port
    }

    /// With more persons beside ana: `name`, or `name:role,role`.
    pub fn start_with(dir: tempfile::TempDir, more: &str, persons: &[&str]) -> Self {
        let key = minisign::KeyPair::generate_unencrypted_keypair().expect("a key");
        Self::begin(dir, more, persons, "node-1", key)
    }

    /// With an operator whose key file `locked.key` has this password.
    #[must_use]
    pub fn start_locked(password: &str) -> Self {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let locked = minisign::KeyPair::generate_encrypted_keypair(Some(password.to_owned())).expect("a key");
        let text = locked.sk.to_box(Some("test")).expect("a box").into_string();
        write_secret(&dir.path().join("locked.key"), &text);
        let opened = minisign::SecretKeyBox::from_string(&text).expect("a box");
        let sk = opened.into_secret_key(Some(password.to_owned())).expect("the password");
        Self::begin(dir, "", &[], "node-1", minisign::KeyPair { pk: locked.pk, sk })
    }

    /// Another node, with the same operator.
    #[must_use]
    pub fn sibling(&self, name: &str) -> Self {
        let key = minisign::KeyPair { pk: self.key.pk.clone(), sk: self.key.sk.clone() };
        Self::begin(tempfile::tempdir().expect("a scratch folder"), "", &[], name, key)
    }

    fn begin(
        dir: tempfile::TempDir,
        more: &str,
        persons: &[&str],
        name: &str,
        key: minisign::KeyPair,
    ) -> Self {
        let p = dir.path();
        let ok = |c: &mut Command| {
            let out = c.output().expect("the program starts");
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8(out.stdout).expect("text")
        };
        ok(Command::new(bin("conductor-signer"))
            .args(["init", "--unencrypted", "--dir"])
            .arg(p.join("signer")));
        std::fs::write(p.join("ana.pub"), key.pk.to_box().expect("a box").to_string()).expect("written");
        let mut others = vec![];
        let mut named = vec![];
        for who in persons {
            let name = who.split(':').next().expect("a name");
            let key = minisign::KeyPair::generate_unencrypted_keypair().expect("a key");
            let file = p.join(format!("{name}.pub"));
            std::fs::write(&file, key.pk.to_box().expect("a box").to_string()).expect("written");
            named.push(format!("--operator={who}={}", file.display()));
            others.push((name.to_owned(), key));
        }
        let id = ok(Command::new(bin("conductord"))
            .arg("init")
            .args(named)
            .args(["--name", name, "--environment", "rehearsal"])
            .args([std::ffi::OsStr::new("--config"), p.join("c.toml").as_os_str()])
            .args([std::ffi::OsStr::new("--data"), p.join("data").as_os_str()])
            .args([std::ffi::OsStr::new("--keys"), p.join("keys").as_os_str()])
            .args([std::ffi::OsStr::new("--signer-key"), p.join("signer/signer.pub").as_os_str()])
            .args([std::ffi::OsStr::new("--signer-socket"), p.join("signer.sock").as_os_str()])
            .args([std::ffi::OsStr::new("--trust-out"), p.join("trust.toml").as_os_str()])
            .arg("--listen")
            .arg(format!("unix:{}", p.join("agent.sock").display()))
            .arg("--operator")
            .arg(format!("ana={}", p.join("ana.pub").display())));
        let config = std::fs::read_to_string(p.join("c.toml")).expect("configuration");
        std::fs::write(p.join("c.toml"), format!("{more}{config}")).expect("written");
        let id = id.trim().parse().expect("a node id");
        let mut node = Self {
            dir,
            agent: None,
            signer: None,
            id,
            env: vec![],
            under: vec![],
            key,
            others,
            session: String::new().into(),
        };
        node.start_signer();
        node.start_agent();
        node
    }

    /// A path in the scratch folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The agent's socket.
    pub fn socket(&self) -> PathBuf {
        self.path("agent.sock")
    }

    /// Starts the signer.
    pub fn start_signer(&mut self) {
        let log =
            std::fs::File::options().create(true).append(true).open(self.path("signer.log")).expect("a log");
        let child = Command::new(bin("conductor-signer"))
            .args([
                std::ffi::OsStr::new("run"),
                std::ffi::OsStr::new("--dir"),
                self.path("signer").as_os_str(),
            ])
            .args([std::ffi::OsStr::new("--socket"), self.path("signer.sock").as_os_str()])
            .stderr(log)
            .spawn();
        self.signer = Some(child.expect("the signer starts"));
        let socket = self.path("signer.sock");
        wait_for("the signer listens", 20, || std::os::unix::net::UnixStream::connect(&socket).ok());
    }

    fn conductord(&self) -> Command {
        let Some((first, rest)) = self.under.split_first() else { return Command::new(bin("conductord")) };
        let mut c = Command::new(first);
        c.args(rest).arg(bin("conductord"));
        c
    }

    /// Starts the agent without waiting for it.
    pub fn spawn_agent(&mut self) {
        let log =
            std::fs::File::options().create(true).append(true).open(self.path("agent.log")).expect("a log");
        let child = self
            .conductord()
            .args([
                std::ffi::OsStr::new("run"),
                std::ffi::OsStr::new("--config"),
                self.path("c.toml").as_os_str(),
            ])
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.agent = Some(child.expect("the agent starts"));
    }

    /// Starts the agent and waits until it is ready.
    pub fn start_agent(&mut self) {
        self.spawn_agent();
        let socket = self.socket();
        wait_for("the agent is ready", 30, || {
            let a = Client::new(&socket, "").send("GET", "/readyz", b"", &[]).ok()?;
            (a.status == 200).then_some(())
        });
    }

    /// Kills the agent as a power cut would its process.
    pub fn kill_agent(&mut self) {
        if let Some(mut a) = self.agent.take() {
            let _ = a.kill();
            let _ = a.wait();
        }
    }

    /// Kills the signer.
    pub fn kill_signer(&mut self) {
        if let Some(mut s) = self.signer.take() {
            let _ = s.kill();
            let _ = s.wait();
        }
    }

    /// Stops the agent as a service manager does; fails when it does not end well.
    pub fn stop_agent(&mut self) {
        if let Some(mut a) = self.agent.take() {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(a.id()).expect("a pid"));
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal");
            let code = wait_for("the agent stops", 30, || a.try_wait().expect("waiting"));
            assert!(code.success(), "{code}: {}", self.log());
        }
    }

    /// What the agent wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("agent.log")).unwrap_or_default()
    }

    /// A client with a bearer token.
    pub fn client(&self, bearer: &str) -> Client {
        Client::new(&self.socket(), bearer)
    }

    /// A client with an operator's session. Sessions end with the agent, so each call may open a new one.
    pub fn operator(&self) -> Client {
        let mut session = self.session.lock().expect("not poisoned");
        let mut c = self.client(&session);
        if session.is_empty() || c.get("/v1/node").status != 200 {
            c.bearer = String::new();
            let challenge = c.post("/v1/sessions/challenge", &json!({})).json();
            let text = Session {
                node: self.id,
                transport: Transport::Unix,
                challenge: conductor_shared::ids::unhex(challenge["challenge"].as_str().expect("one"))
                    .expect("hex"),
                issued_at_us: challenge["node"]["now_us"].as_u64().expect("a time"),
            };
            let opened = c.post("/v1/sessions", &self.signed(&text.text()));
            assert_eq!(opened.status, 200, "{}", String::from_utf8_lossy(&opened.body));
            opened.json()["token"].as_str().expect("a token").clone_into(&mut session);
            c.bearer.clone_from(&session);
        }
        c
    }

    /// A text with the operator's signature, as a request body.
    pub fn signed(&self, text: &str) -> Value {
        let comment = Some("conductor/command/v1");
        let sig =
            minisign::sign(Some(&self.key.pk), &self.key.sk, text.as_bytes(), comment, None).expect("signed");
        json!({"text": text, "signature": sig.to_string(), "public_key": self.key.pk.to_base64()})
    }

    /// A file that only its owner reads.
    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        write_secret(&path, text);
        path
    }

    /// The operator's key as such a file.
    pub fn operator_key(&self) -> PathBuf {
        self.secret("ana.key", &self.key.sk.to_box(Some("test")).expect("a box").into_string())
    }

    /// A text with the signature of another person than ana, or of a key that is nobody's yet.
    pub fn signed_by(&self, who: &str, text: &str) -> Value {
        let (_, key) = self.others.iter().find(|(n, _)| n == who).expect("a person");
        let first = text.lines().next();
        let sig = minisign::sign(Some(&key.pk), &key.sk, text.as_bytes(), first, None).expect("signed");
        json!({"text": text, "signature": sig.to_string(), "public_key": key.pk.to_base64()})
    }

    /// Another key, known here under a name.
    pub fn new_key(&mut self, name: &str) -> String {
        let key = minisign::KeyPair::generate_unencrypted_keypair().expect("a key");
        let public = key.pk.to_base64();
        self.others.push((name.to_owned(), key));
        public
    }

    /// A person's session, or the refusal.
    pub fn session_of(&self, who: &str) -> Answer {
        let mut c = self.client("");
        let challenge = c.post("/v1/sessions/challenge", &json!({})).json();
        let text = Session {
            node: self.id,
            transport: Transport::Unix,
            challenge: conductor_shared::ids::unhex(challenge["challenge"].as_str().expect("one"))
                .expect("hex"),
            issued_at_us: challenge["node"]["now_us"].as_u64().expect("a time"),
        };
        c.post("/v1/sessions", &self.signed_by(who, &text.text()))
    }

    /// A command, its base taken from a preview.
    pub fn compose(&self, tenant: TenantUid, op: Operation) -> Cmd {
        let mut c = self.operator();
        let preview = c.post(&format!("/v1/tenants/{tenant}/preview"), &json!({"operation": op.to_list()}));
        assert_eq!(preview.status, 200, "{}", String::from_utf8_lossy(&preview.body));
        let preview = preview.json();
        let base = (preview["class"] == "loosen")
            .then(|| conductor_shared::ids::unhex(preview["base"].as_str().expect("a base")).expect("hex"));
        let now = c.get("/v1/node").json()["now_us"].as_u64().expect("a time");
        Cmd {
            command_id: CommandId(random()),
            audience: Audience::Nodes(vec![self.id]),
            tenant,
            base,
            operation: op,
            reason: UntrustedText::new("test"),
            issued_at_us: now,
            expires_at_us: now + 60_000_000,
            nonce: random(),
        }
    }

    /// Signs and sends a command.
    pub fn send(&self, command: &Cmd) -> Answer {
        self.operator().post("/v1/commands", &self.signed(&command.text()))
    }

    /// A command that must take effect, on the way to what a test is about. A signer that is held up by a busy disk
    /// denies it with a time to come back after; as a client should, it comes back, with a new command.
    #[allow(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    pub fn command(&self, tenant: TenantUid, op: Operation) -> Value {
        const TRIES: u32 = 15;
        for attempt in 1.. {
            let a = self.send(&self.compose(tenant, op.clone()));
            let v = a.json();
            let held_up = v["reasons"] == json!(["signer_unavailable"]) && v["retry_after_us"].is_u64();
            if held_up && attempt < TRIES {
                std::thread::sleep(Duration::from_secs(1));
                continue;
            }
            assert_eq!(
                v["status"],
                "effective",
                "{op:?}: {}\n{}",
                String::from_utf8_lossy(&a.body),
                self.log()
            );
            return v;
        }
        unreachable!("the last try is judged")
    }

    /// A tenant with a token and a workflow `etl`.
    pub fn tenant(&self, name: &str) -> Tenant {
        self.tenant_as(name, TenantUid(random()))
    }

    /// The same with the uid that it has on another node.
    pub fn tenant_as(&self, name: &str, uid: TenantUid) -> Tenant {
        let tenant_id = Ident::new(name).expect("a name");
        self.command(
            TenantUid::NODE,
            Operation::TenantCreate(ops::TenantCreate { tenant_uid: uid, tenant_id }),
        );
        let (token, secret) = (TokenId(random()), random::<32>());
        self.command(
            uid,
            Operation::TokenIssue(ops::TokenIssue {
                token,
                name: Ident::new("t").expect("a name"),
                secret_sha256: Sha256::digest(secret).into(),
            }),
        );
        self.command(
            uid,
            Operation::WorkflowRegister(ops::WorkflowRegister {
                workflow: Ident::new("etl").expect("a name"),
            }),
        );
        Tenant { uid, name: name.to_owned(), token: format!("cdw_{uid}_{token}_{}", hex(&secret)) }
    }

    /// Asks to start a run of `etl`.
    pub fn start_run(&self, c: &mut Client, tenant: &Tenant, subject: Option<&str>) -> Answer {
        let _ = self;
        c.post("/v1/runs", &run_body(tenant, subject))
    }

    /// Runs `conductord check` on the stopped agent's data; fails on any difference.
    pub fn check(&self) {
        let out = self.conductord().arg("check").arg("--config").arg(self.path("c.toml")).output();
        let out = out.expect("the program starts");
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{}: {text}", out.status);
    }

    /// Head of a log: durable size, signed size.
    pub fn head(&self, tenant: TenantUid) -> (u64, u64) {
        let v = self.operator().get(&format!("/v1/tenants/{tenant}/checkpoint")).json();
        let signed =
            v["checkpoint"]["text"].as_str().and_then(|t| t.lines().nth(1)?.parse().ok()).unwrap_or(0);
        (v["size"].as_u64().expect("a size"), signed)
    }

    /// Waits until everything in a log is signed.
    pub fn all_signed(&self, tenant: TenantUid) -> u64 {
        wait_for("everything is signed", 20, || {
            let (size, signed) = self.head(tenant);
            (size == signed).then_some(size)
        })
    }

    /// The signer's public key, base64.
    pub fn signer_key(&self) -> String {
        let text = std::fs::read_to_string(self.path("signer/signer.pub")).expect("a key");
        text.lines().nth(1).expect("a line").to_owned()
    }
}

/// Body of a request to start a run of `etl`.
pub fn run_body(tenant: &Tenant, subject: Option<&str>) -> Value {
    let mut v = json!({"tenant_id": tenant.name, "workflow_type": "etl", "env": "rehearsal", "actor_type": "service"});
    if let Some(s) = subject {
        v["subject"] = json!(s);
    }
    v
}

/// Bytes of base64.
pub fn b64(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill_agent();
        self.kill_signer();
    }
}
