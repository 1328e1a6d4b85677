//! The signer's socket: who may ask, how many at once, for how long.
//!
//! It must never serve a user that it was not told to, wait for a slow peer while others wait, or decrypt a key while
//! it holds what the others need.

use super::engine::Engine;
use super::keys::{KeyError, KeyFile, SECRET};
use super::protocol::{MAX_FRAME, Password, Reason, Refusal, Request, Response};
use super::wire::{Deadline, WireError, peer_uid, read_frame, write_frame};
use crate::platform::files::{FileError, io_error};
use nix::sys::stat::{Mode, umask};
use parking_lot::Mutex;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Most connections at once.
pub const MAX_CONNECTIONS: usize = 8;
/// Time limit for receiving a request, and for sending its answer.
const EXCHANGE: Duration = Duration::from_secs(5);
/// Longest delay after a wrong password.
const MAX_DELAY_S: u64 = 30;
/// Connections need little stack, and locked pages are scarce.
const STACK: usize = 512 << 10;

#[derive(Debug, Clone)]
pub struct Options {
    pub dir: PathBuf,
    pub socket: PathBuf,
    /// The agent's user: the only one that may have something signed.
    pub agent_uid: u32,
    /// Group that may connect to the socket file (mode 0660); none: its owner alone (0600).
    pub socket_gid: Option<u32>,
}

#[derive(Debug)]
pub struct Server {
    /// Not poisoned by a thread that dies: the order of its steps keeps the engine sound at every point.
    engine: Mutex<Engine>,
    options: Options,
    unlocking: Mutex<()>,
    connections: AtomicUsize,
    stopping: AtomicBool,
}

impl Server {
    pub fn new(engine: Engine, options: Options) -> Arc<Self> {
        Arc::new(Self {
            engine: Mutex::new(engine),
            options,
            unlocking: Mutex::new(()),
            connections: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        })
    }

    /// Accepts on its own thread from now on.
    pub fn start(self: &Arc<Self>, listener: UnixListener) -> std::io::Result<()> {
        let this = Arc::clone(self);
        std::thread::Builder::new().name("accept".into()).stack_size(STACK).spawn(move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => this.admit(stream),
                    Err(e) => {
                        tracing::warn!("accept: {e}");
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
            }
        })?;
        Ok(())
    }

    /// Stops: what is being answered is finished, nothing new is taken, the anchor is advanced.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for _ in 0..100 {
            if self.connections.load(Ordering::SeqCst) == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = std::fs::remove_file(&self.options.socket);
        if let Err(e) = self.engine.lock().stop() {
            tracing::error!("the anchor could not be written: {e}");
        }
    }

    /// Locked, ready or refusing: for the service manager's status line.
    pub fn state_line(&self) -> String {
        let s = self.engine.lock().status();
        if s.detail.is_empty() { "ready".into() } else { s.detail }
    }

    fn admit(self: &Arc<Self>, mut stream: UnixStream) {
        let uid = match peer_uid(&stream) {
            Ok(uid) => uid,
            Err(e) => return tracing::warn!("a connection without peer credentials: {e}"),
        };
        let own = nix::unistd::geteuid().as_raw();
        let refuse = |stream: &mut UnixStream, reason, detail: String| {
            // Small enough for the socket's buffer: this never waits.
            let _ = answer(
                stream,
                &Response::Refused(Refusal::new(reason, detail)),
                Deadline::after(Duration::from_millis(50)),
            );
        };
        if uid != self.options.agent_uid && uid != own && uid != 0 {
            tracing::warn!(uid, "refused a connection of another user");
            let detail =
                format!("uid {uid} may not use this signer; it serves uid {}", self.options.agent_uid);
            return refuse(&mut stream, Reason::NotPermitted, detail);
        }
        if self.stopping.load(Ordering::SeqCst) {
            return refuse(&mut stream, Reason::Stopping, "the signer stops".into());
        }
        if self.connections.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
            self.connections.fetch_sub(1, Ordering::SeqCst);
            return refuse(&mut stream, Reason::Busy, format!("all {MAX_CONNECTIONS} connections are taken"));
        }
        let this = Arc::clone(self);
        let spawned = std::thread::Builder::new().name("ask".into()).stack_size(STACK).spawn(move || {
            this.serve(stream, uid, own);
            this.connections.fetch_sub(1, Ordering::SeqCst);
        });
        if let Err(e) = spawned {
            self.connections.fetch_sub(1, Ordering::SeqCst);
            tracing::warn!("no thread for a connection: {e}");
        }
    }

    fn serve(&self, mut stream: UnixStream, uid: u32, own: u32) {
        let frame = match read_frame(&mut stream, MAX_FRAME, Deadline::after(EXCHANGE)) {
            Ok(frame) => frame,
            Err(WireError::Closed) => return,
            Err(e) => {
                tracing::warn!(uid, "no request: {e}");
                let r = Response::Refused(Refusal::new(Reason::Malformed, e.to_string()));
                let _ = answer(&mut stream, &r, Deadline::after(EXCHANGE));
                return;
            }
        };
        // A message of serde_json names the place, the kind and at most a field: never a value.
        let response = match serde_json::from_slice::<Request>(&frame) {
            Ok(request) => self.handle(request, uid, own),
            Err(e) => Err(Refusal::new(
                Reason::Malformed,
                format!(
                    "not a request ({:?} error at line {}, column {})",
                    e.classify(),
                    e.line(),
                    e.column()
                ),
            )),
        };
        drop(frame);
        let response = response.unwrap_or_else(|r| {
            tracing::info!(uid, reason = ?r.reason, "refused: {}", conductor_shared::untrusted::escape(&r.detail, 300));
            Response::Refused(r)
        });
        if let Err(e) = answer(&mut stream, &response, Deadline::after(EXCHANGE)) {
            tracing::warn!(uid, "the answer was not taken: {e}");
        }
    }

    /// The agent has things signed; the signer's own user and root unlock; each may ask how it is.
    fn handle(&self, request: Request, uid: u32, own: u32) -> Result<Response, Refusal> {
        let agent = uid == self.options.agent_uid;
        let keeper = uid == own || uid == 0;
        let denied =
            |who: &str| Refusal::new(Reason::NotPermitted, format!("only {who} may ask this, not uid {uid}"));
        match request {
            Request::Status {} => Ok(Response::Status(self.engine.lock().status())),
            Request::Probe { nonce } if agent => {
                Ok(Response::Probed { signature: self.engine.lock().probe(&nonce)? })
            }
            Request::Checkpoints { items } if agent => {
                Ok(Response::Checkpoints { answers: self.engine.lock().checkpoints(&items)? })
            }
            Request::Unlock { password } if keeper => self.unlock(&password),
            Request::Unlock { .. } => Err(denied("the signer's own user or root")),
            _ => Err(denied(&format!("the agent (uid {})", self.options.agent_uid))),
        }
    }

    /// Decrypts on the connection's own thread, the engine free meanwhile; one at a time, so that guesses queue behind
    /// the delay of the one before.
    fn unlock(&self, password: &Password) -> Result<Response, Refusal> {
        let Some(_one) = self.unlocking.try_lock() else {
            return Err(Refusal::new(Reason::Busy, "another password is being tried: wait and try again"));
        };
        if self.engine.lock().unlocked() {
            return Ok(Response::Unlocked {});
        }
        let path = self.options.dir.join(SECRET);
        match KeyFile::read(&path).and_then(|f| f.open(Some(password))) {
            Ok(key) => {
                self.engine.lock().unlock(key)?;
                tracing::info!("unlocked");
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(&self.state_line())]);
                Ok(Response::Unlocked {})
            }
            Err(KeyError::WrongPassword(_)) => {
                let wrong = self.engine.lock().wrong_password();
                let delay = (1u64 << (wrong - 1).min(10)).min(MAX_DELAY_S);
                tracing::warn!(wrong, "wrong password");
                std::thread::sleep(Duration::from_secs(delay));
                let detail = format!("wrong password ({wrong} since the signer was started)");
                Err(Refusal::new(Reason::WrongPassword, detail))
            }
            Err(e) => Err(Refusal::new(Reason::KeyUnusable, e.to_string())),
        }
    }
}

fn answer(stream: &mut UnixStream, response: &Response, by: Deadline) -> Result<(), WireError> {
    let body = serde_json::to_vec(response).map_err(std::io::Error::other)?;
    write_frame(stream, &body, MAX_FRAME, by)
}

/// Why the socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("{0}: another process listens there; stop it or choose another --socket")]
    Taken(PathBuf),
    /// Something else is there.
    #[error("{0}: there is something that is not a socket; choose another --socket")]
    NotASocket(PathBuf),
    /// The system says no.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Makes the socket file: never open to others, not even for a moment. A socket left by a killed signer is replaced.
pub fn listen(path: &Path, gid: Option<u32>) -> Result<UnixListener, ListenError> {
    if let Ok(meta) = std::fs::symlink_metadata(path) {
        if !meta.file_type().is_socket() {
            return Err(ListenError::NotASocket(path.into()));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(ListenError::Taken(path.into()));
        }
        std::fs::remove_file(path).map_err(io_error(path, "remove the old socket"))?;
    }
    let before = umask(Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path);
    umask(before);
    let listener = listener.map_err(io_error(path, "listen"))?;
    if gid.is_some() {
        std::os::unix::fs::chown(path, None, gid).map_err(io_error(path, "give to the group"))?;
        let mode = std::fs::Permissions::from_mode(0o660);
        std::fs::set_permissions(path, mode).map_err(io_error(path, "set the mode"))?;
    }
    Ok(listener)
}
