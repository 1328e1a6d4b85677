//! A node of real processes in a scratch folder.

mod commands;
mod reading;

use crate::Client;
use crate::programs::{bin, free_port, wait_for, write_secret};
use conductor_shared::ids::{NodeId, TenantUid};
use conductor_shared::routes::WORKLOAD_TOKEN;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A tenant with a token.
#[derive(Clone)]
pub struct Tenant {
    pub uid: TenantUid,
    /// Its display id.
    pub name: String,
    /// Bearer token of a workload.
    pub token: String,
}

/// An agent and its signer. Dropping it kills both and removes the folder.
pub struct Node {
    /// Holds data, keys, sockets, configuration and logs.
    pub dir: tempfile::TempDir,
    /// The agent's process; `None` while it is stopped.
    pub agent: Option<Child>,
    /// The signer's process; `None` while it is stopped.
    pub signer: Option<Child>,
    pub id: NodeId,
    /// Additional environment variables of the agent.
    pub env: Vec<(String, String)>,
    /// The same of the signer.
    pub signer_env: Vec<(String, String)>,
    /// Command that runs the agent, such as a tracer with its arguments; empty for none.
    pub under: Vec<String>,
    key: minisign::KeyPair,
    others: Vec<(String, minisign::KeyPair)>,
    session: std::sync::Mutex<String>,
}

impl Node {
    /// A new node with the operator ana, running and ready.
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a scratch folder"), "")
    }

    /// The same in a given folder, with more lines at the top of the configuration.
    pub fn start_in(dir: tempfile::TempDir, more: &str) -> Self {
        Self::start_with(dir, more, &[])
    }

    /// The same in a given folder, with more tables at the end of the configuration.
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

    /// Lets the agent listen for workloads on TCP as well, without TLS, and returns the port.
    pub fn listen_on_tcp(&mut self) -> u16 {
        self.also_on_tcp("listen")
    }

    /// The same for operators.
    pub fn listen_to_operators_on_tcp(&mut self) -> u16 {
        self.also_on_tcp("listen_operators")
    }

    fn also_on_tcp(&mut self, field: &str) -> u16 {
        let port = free_port();
        self.reconfigure(|c| {
            c.replace(&format!("\n{field} = ["), &format!("\n{field} = [\"http://127.0.0.1:{port}\", "))
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
            signer_env: vec![],
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

    /// The agent's socket for workloads.
    pub fn socket(&self) -> PathBuf {
        self.path("agent.sock")
    }

    /// The agent's socket for operators.
    pub fn operator_socket(&self) -> PathBuf {
        self.path("operator.sock")
    }

    /// Starts the signer and waits until its socket accepts connections.
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
            .envs(self.signer_env.iter().map(|(k, v)| (k, v)))
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
            if let Some(ended) = self.agent.as_mut().and_then(|a| a.try_wait().expect("waiting")) {
                panic!("the agent ended, {ended}: {}", self.log());
            }
            let a = Client::new(&socket, "").send("GET", "/readyz", b"", &[]).ok()?;
            (a.status == 200).then_some(())
        });
    }

    /// Kills the agent with SIGKILL.
    pub fn kill_agent(&mut self) {
        if let Some(mut a) = self.agent.take() {
            let _ = a.kill();
            let _ = a.wait();
        }
    }

    /// Kills the signer with SIGKILL.
    pub fn kill_signer(&mut self) {
        if let Some(mut s) = self.signer.take() {
            let _ = s.kill();
            let _ = s.wait();
        }
    }

    /// Stops the agent with SIGTERM, as a service manager does. Fails unless it exits with success.
    pub fn stop_agent(&mut self) {
        if let Some(mut a) = self.agent.take() {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(a.id()).expect("a pid"));
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal");
            let code = wait_for("the agent stops", 30, || a.try_wait().expect("waiting"));
            assert!(code.success(), "{code}: {}", self.log());
        }
    }

    /// What the agent logged to standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("agent.log")).unwrap_or_default()
    }

    /// A client with a bearer token, at the socket that accepts it: for workloads if it is a workload's, else for operators.
    pub fn client(&self, bearer: &str) -> Client {
        let workload = bearer.starts_with(WORKLOAD_TOKEN);
        let socket = if workload { self.socket() } else { self.operator_socket() };
        Client::new(&socket, bearer)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill_agent();
        self.kill_signer();
    }
}
