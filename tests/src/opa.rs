//! A real OPA server, and a server that answers in its place.

use crate::policy::shown;
use crate::{Node, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A stock OPA server on a unix socket.
pub struct Opa {
    child: Child,
    /// The unix socket that it listens on.
    pub socket: PathBuf,
}

/// Path of the stock `opa` program, fetched if it is missing.
pub fn opa() -> String {
    let found = Command::new("bash").arg("../scripts/opa.sh").output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    String::from_utf8(found.stdout).unwrap().trim().to_owned()
}

impl Opa {
    /// Starts it; its socket is in the folder.
    pub fn start(folder: &Path) -> Self {
        let socket = folder.join("opa.sock");
        let _ = std::fs::remove_file(&socket);
        let child = Command::new(opa())
            .args(["run", "--server", "--disable-telemetry", "--log-level", "error", "--addr"])
            .arg(format!("unix://{}", socket.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("OPA listens", 30, || UnixStream::connect(&socket).ok());
        Self { child, socket }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Opa {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until what hinders policy names this, or until nothing does.
pub fn until(node: &Node, trouble: &str) {
    wait_for(&format!("policy says {trouble:?}"), 30, || {
        let found = shown(node).trouble;
        if trouble.is_empty() { found.is_empty() } else { found.contains(trouble) }.then_some(())
    });
}

/// Answers in OPA's place, each request by `answer`. It hangs up on everybody once what comes back is set.
pub fn liar(
    socket: &Path,
    answer: impl Fn(&str, &str, &Value) -> String + Send + Sync + 'static,
) -> Arc<AtomicBool> {
    let listener = UnixListener::bind(socket).unwrap();
    let answer = Arc::new(answer);
    let gone = Arc::new(AtomicBool::new(false));
    let hung_up = Arc::clone(&gone);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), answer) = (stream, Arc::clone(&answer)) else { return };
            let gone = Arc::clone(&hung_up);
            std::thread::spawn(move || serve(stream, &*answer, &gone));
        }
    });
    gone
}

fn serve(stream: UnixStream, answer: &dyn Fn(&str, &str, &Value) -> String, gone: &AtomicBool) {
    let mut out = stream.try_clone().unwrap();
    let mut input = BufReader::new(stream);
    loop {
        let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
        if input.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        while input.read_line(&mut line).is_ok() && line != "\r\n" {
            if let Some(n) = line.to_lowercase().strip_prefix("content-length:") {
                length = n.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body).unwrap();
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if gone.load(Ordering::Relaxed) {
            return;
        }
        let said = answer(&method, &path, &body);
        let said = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{said}", said.len());
        if out.write_all(said.as_bytes()).is_err() {
            return;
        }
    }
}
