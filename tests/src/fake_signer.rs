//! What stands in the signer's place and is no signer.

use crate::{Node, bin};
use serde_json::json;
use std::io::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What a stand-in does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standin {
    /// Sends bytes that mean nothing.
    Garbage,
    /// Sends one byte a second.
    Trickle,
    /// Says that it waits for its password.
    Locked,
    /// Is a real signer with another key.
    OtherKey,
    /// Says that it signed, and did not.
    Liar,
}

impl Standin {
    /// Listens at the signer's socket until dropped.
    pub fn take_place(self, node: &Node) -> FakeSigner {
        let socket = node.path("signer.sock");
        let _ = std::fs::remove_file(&socket);
        let refused = json!({"answer": "refused", "reason": "locked", "detail": "waits for its password"});
        let signature = "untrusted comment: x\nAAAA\ntrusted comment: y\nAAAA\n";
        let (said, pause) = match self {
            Self::OtherKey => return other_key(node, &socket),
            Self::Garbage => (vec![0, 0, 0, 9, b'{', 0xff, 0, 1, 2, 3, 4, 5, 6], Pause::AtTheEnd),
            Self::Trickle => (vec![0, 0, 1, 0], Pause::AfterEachByte),
            Self::Locked => (frame(&refused), Pause::AtTheEnd),
            Self::Liar => (frame(&json!({"answer": "probed", "signature": signature})), Pause::AtTheEnd),
        };
        let listener = UnixListener::bind(&socket).unwrap();
        let accepting = listener.try_clone().unwrap();
        std::thread::spawn(move || {
            for stream in accepting.incoming() {
                let (Ok(stream), said) = (stream, said.clone()) else { return };
                std::thread::spawn(move || speak(stream, &said, pause));
            }
        });
        FakeSigner { child: None, _listener: Some(listener) }
    }
}

#[derive(Debug, Clone, Copy)]
enum Pause {
    AfterEachByte,
    AtTheEnd,
}

fn speak(mut stream: UnixStream, said: &[u8], pause: Pause) {
    let (size, wait) = match pause {
        Pause::AfterEachByte => (1, Duration::from_secs(1)),
        Pause::AtTheEnd => (said.len(), Duration::from_millis(50)),
    };
    for part in said.chunks(size) {
        if stream.write_all(part).is_err() {
            return;
        }
        std::thread::sleep(wait);
    }
}

fn other_key(node: &Node, socket: &Path) -> FakeSigner {
    let run = |verb: &str| {
        let mut c = Command::new(bin("conductor-signer"));
        c.arg(verb).arg("--dir").arg(node.path("other-signer")).stderr(Stdio::null());
        c
    };
    let made = run("init").arg("--unencrypted").stdout(Stdio::null()).status().unwrap();
    assert!(made.success());
    let child = run("run").arg("--socket").arg(socket).spawn().unwrap();
    FakeSigner { child: Some(child), _listener: None }
}

fn frame(v: &serde_json::Value) -> Vec<u8> {
    let text = v.to_string();
    let mut out = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(text.as_bytes());
    out
}

/// A stand-in that runs.
pub struct FakeSigner {
    child: Option<Child>,
    _listener: Option<UnixListener>,
}

impl Drop for FakeSigner {
    fn drop(&mut self) {
        if let Some(mut c) = self.child.take() {
            let _ = c.kill();
            let _ = c.wait();
        }
    }
}
