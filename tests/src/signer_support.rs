//! A real signer process in a folder of its own, and logs for it to sign.

use crate::{bin, wait_for};
use conductor_agent::signer::client::SignerClient;
use conductor_agent::signer::protocol::{Answer, Item, ItemReason, Known};
use conductor_shared::checkpoint::SignedCheckpoint;
use conductor_shared::ids::{NodeId, Origin, TenantUid};
use conductor_shared::merkle::{Frontier, Hash, Nodes, consistency_proof, root_at};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

pub fn signer(args: &[&str]) -> Output {
    Command::new(bin("conductor-signer")).args(args).stdin(Stdio::null()).output().unwrap()
}
pub fn code(out: &Output) -> i32 {
    out.status.code().unwrap()
}
pub fn err(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// A signer in a directory of its own.
pub struct SignerProcess {
    pub tmp: tempfile::TempDir,
    pub child: Option<Child>,
}

impl SignerProcess {
    pub fn new(init: &[&str]) -> Self {
        let this = Self { tmp: tempfile::tempdir().unwrap(), child: None };
        let dir = this.dir();
        let out = signer(&[&["init", "--dir", dir.to_str().unwrap()], init].concat());
        assert!(out.status.success(), "{}", err(&out));
        this
    }
    pub fn dir(&self) -> PathBuf {
        self.tmp.path().join("signer")
    }
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }
    pub fn socket(&self) -> PathBuf {
        self.tmp.path().join("sock")
    }
    pub fn command(&self, extra: &[&str]) -> Command {
        let mut c = Command::new(bin("conductor-signer"));
        c.arg("run").arg("--dir").arg(self.dir()).arg("--socket").arg(self.socket()).args(extra);
        c.stdin(Stdio::null());
        c
    }
    pub fn start(&mut self, extra: &[&str]) {
        self.child = Some(self.command(extra).stderr(Stdio::null()).spawn().unwrap());
        wait_for("the signer answers", 10, || self.client().status().ok());
    }
    /// Runs it where it is expected to refuse.
    pub fn refuses_to_start(&self, extra: &[&str]) -> Output {
        let out = self.command(extra).output().unwrap();
        assert!(!out.status.success());
        out
    }
    pub fn key(&self) -> String {
        fs::read_to_string(self.file("signer.pub")).unwrap().lines().nth(1).unwrap().to_owned()
    }
    pub fn client(&self) -> SignerClient {
        SignerClient::new(self.socket(), self.key(), None)
    }
    pub fn signal(&mut self, s: Signal) -> i32 {
        let mut child = self.child.take().unwrap();
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), s).unwrap();
        child.wait().unwrap().code().unwrap_or(-1)
    }
    pub fn one(&self, item: Item) -> Answer {
        self.client().checkpoints(vec![item]).unwrap().remove(0)
    }
}
impl Drop for SignerProcess {
    fn drop(&mut self) {
        if let Some(mut c) = self.child.take() {
            let _ = c.kill();
            let _ = c.wait();
        }
    }
}

/// Log number `n` of kind `seed`; its leaves are made of their index.
#[derive(Clone, Copy)]
pub struct Log {
    pub n: u8,
    pub seed: u8,
}
impl Nodes for Log {
    type Error = Infallible;
    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        let mut f = Frontier::default();
        for i in index << level..(index + 1) << level {
            let mut leaf = [self.seed; 32];
            leaf[..8].copy_from_slice(&i.to_be_bytes());
            leaf[8] = self.n;
            f.push(leaf, |_, _, _| {});
        }
        Ok(f.root())
    }
}
impl Log {
    pub fn item(self, from: u64, size: u64) -> Item {
        Item {
            origin: Origin { node: NodeId([1; 16]), tenant: TenantUid([self.n; 16]), epoch: 1 },
            size,
            root: root_at(&self, size).unwrap(),
            proof_from: from,
            proof: consistency_proof(&self, from, size).unwrap(),
            last: None,
        }
    }
}
pub const LOG: Log = Log { n: 2, seed: 1 };
pub const FORK: Log = Log { n: 2, seed: 9 };

pub fn signed(a: Answer) -> SignedCheckpoint {
    match a {
        Answer::Signed { checkpoint } => checkpoint,
        Answer::Refused { reason, .. } => panic!("refused: {reason}"),
    }
}
pub fn refused(a: Answer) -> (ItemReason, Option<Known>) {
    match a {
        Answer::Refused { reason, last } => (reason, last),
        Answer::Signed { checkpoint } => panic!("signed: {}", checkpoint.text),
    }
}
