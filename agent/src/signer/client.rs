//! The agent's end of the signer's socket. Blocking: used from a thread of its own, never from an async one.
//!
//! It must never wait longer than its deadline, and never believe the signer: each signature is verified under the
//! pinned key, over the exact text that was asked for.

use super::protocol::{
    Answer, Item, MAX_FRAME, MAX_ITEMS, Nonce, Password, Reason, Request, Response, Status, probe_comment,
    probe_text,
};
use super::wire::{Deadline, WireError, peer_uid, read_frame, write_frame};
use conductor_shared::checkpoint::verify_minisign;
use conductor_shared::stream::SignerState;
use conductor_shared::untrusted::escape;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Time of one call, whatever the signer does.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Time to unlock: the key's password is slow to check on purpose, and a wrong one is delayed.
pub const UNLOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// Items are sent in frames of about this size at most, well under [`MAX_FRAME`].
const FRAME_TARGET: usize = 3 << 20;
/// Longest text of the signer that is shown.
const SHOWN: usize = 500;

/// Why the signer did not do what was asked. Texts are safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// Not there, or it went away.
    #[error("the signer does not answer: {0}")]
    Down(String),
    /// Waits for its password.
    #[error("the signer is locked; run: {command}")]
    Locked {
        /// The command that unlocks it.
        command: String,
    },
    /// It did not finish in time.
    #[error("the signer did not answer within the time of a call")]
    TimedOut,
    /// What it said is not what was asked for, or not signed by the pinned key.
    #[error("the signer's answer cannot be believed: {0}")]
    Lies(String),
    #[error("the signer refuses ({reason:?}): {detail}")]
    Refused { reason: Reason, detail: String },
}

impl From<&SignerError> for SignerState {
    fn from(e: &SignerError) -> Self {
        match e {
            SignerError::Locked { .. } => Self::Locked,
            SignerError::Refused { reason, .. } if !matches!(reason, Reason::Busy | Reason::Stopping) => {
                Self::Refuses
            }
            // Busy and stopping pass by themselves, like an outage.
            _ => Self::Down,
        }
    }
}

/// Where the signer is, and what is believed of it.
#[derive(Debug, Clone)]
pub struct SignerClient {
    socket: PathBuf,
    public_key: String,
    uid: Option<u32>,
    timeout: Duration,
}

impl SignerClient {
    /// A signer at `socket` whose signatures count under `public_key` (base64, from the agent's own configuration) and
    /// who runs as `uid`, when that is known.
    pub fn new(socket: impl Into<PathBuf>, public_key: impl Into<String>, uid: Option<u32>) -> Self {
        let public_key = public_key.into().trim().to_owned();
        Self { socket: socket.into(), public_key, uid, timeout: CALL_TIMEOUT }
    }

    /// The key that is believed, base64.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// The same place, where another signer is expected from now on.
    pub fn expect(&mut self, public_key: &str) {
        public_key.trim().clone_into(&mut self.public_key);
    }

    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The command that unlocks this signer. Composed here: a command that a person will type is not taken from a
    /// socket.
    pub fn unlock_command(&self) -> String {
        unlock_command(&self.socket, self.uid)
    }

    /// How it is. Nothing of it is proved but that it knows the public key; see [`Self::probe`].
    pub fn status(&self) -> Result<Status, SignerError> {
        match self.ask(&Request::Status {}, Deadline::after(self.timeout))? {
            Response::Status(s) if s.public_key != self.public_key => {
                Err(lies(format!("it has the key {}, not the pinned one", s.key_id)))
            }
            Response::Status(mut s) => {
                s.detail = escape(&s.detail, SHOWN);
                s.version = escape(&s.version, 40);
                s.unlock_command =
                    if s.unlock_command.is_empty() { String::new() } else { self.unlock_command() };
                Ok(s)
            }
            other => Err(unasked(&other)),
        }
    }

    /// Has a fresh nonce signed and verifies it: the key works, now.
    pub fn probe(&self) -> Result<(), SignerError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|e| SignerError::Down(format!("no randomness here: {e}")))?;
        let nonce = Nonce(nonce);
        match self.ask(&Request::Probe { nonce }, Deadline::after(self.timeout))? {
            Response::Probed { signature } => {
                match verify_minisign(&self.public_key, probe_text(&nonce).as_bytes(), &signature) {
                    Ok(comment) if comment == probe_comment(&nonce) => Ok(()),
                    Ok(_) => Err(lies("the probe's trusted comment is another")),
                    Err(e) => Err(lies(format!("the probe: {e}"))),
                }
            }
            other => Err(unasked(&other)),
        }
    }

    /// Has checkpoints signed. One answer an item, in order; every signature returned was verified here, under the
    /// pinned key and over the very (origin, size, root) of its item. More than one frame's worth is sent in several,
    /// under one deadline for all; an error says nothing about those already signed: ask for them again.
    pub fn checkpoints(&self, items: Vec<Item>) -> Result<Vec<Answer>, SignerError> {
        let deadline = Deadline::after(self.timeout);
        let mut answers = Vec::with_capacity(items.len());
        let mut rest = items.into_iter().peekable();
        while rest.peek().is_some() {
            let mut size = 0;
            let mut part = Vec::new();
            while let Some(item) = rest
                .next_if(|i| part.is_empty() || (part.len() < MAX_ITEMS && size + weight(i) <= FRAME_TARGET))
            {
                size += weight(&item);
                part.push(item);
            }
            answers.extend(self.part(part, deadline)?);
        }
        Ok(answers)
    }

    fn part(&self, items: Vec<Item>, deadline: Deadline) -> Result<Vec<Answer>, SignerError> {
        let asked: Vec<_> = items.iter().map(Item::checkpoint).collect();
        let answers = match self.ask(&Request::Checkpoints { items }, deadline)? {
            Response::Checkpoints { answers } => answers,
            other => return Err(unasked(&other)),
        };
        if answers.len() != asked.len() {
            return Err(lies(format!("{} answers to {} questions", answers.len(), asked.len())));
        }
        for (answer, asked) in answers.iter().zip(&asked) {
            if let Answer::Signed { checkpoint } = answer {
                if checkpoint.text != asked.text() {
                    return Err(lies(format!("it signed another text than that of {}", asked.origin)));
                }
                checkpoint.verify(&self.public_key).map_err(|e| lies(format!("{}: {e}", asked.origin)))?;
            }
        }
        Ok(answers)
    }

    fn ask(&self, request: &Request, deadline: Deadline) -> Result<Response, SignerError> {
        match exchange(&self.socket, self.uid, request, deadline)? {
            Response::Refused(r) if r.reason == Reason::Locked => {
                Err(SignerError::Locked { command: self.unlock_command() })
            }
            Response::Refused(r) => {
                Err(SignerError::Refused { reason: r.reason, detail: escape(&r.detail, SHOWN) })
            }
            response => Ok(response),
        }
    }
}

/// Bytes that an item may take in a frame, at most.
fn weight(i: &Item) -> usize {
    400 + 70 * i.proof.len() + i.last.as_ref().map_or(0, |l| 100 + 2 * (l.text.len() + l.signature.len()))
}

fn lies(what: impl Into<String>) -> SignerError {
    SignerError::Lies(what.into())
}

fn unasked(r: &Response) -> SignerError {
    let kind = match r {
        Response::Status(_) => "a status",
        Response::Probed { .. } => "a probe",
        Response::Checkpoints { .. } => "checkpoints",
        Response::Unlocked {} => "unlocked",
        Response::Refused(_) => "a refusal",
    };
    lies(format!("it answered {kind}, which was not asked for"))
}

/// The command that unlocks the signer at a socket, for a shell.
pub fn unlock_command(socket: &Path, uid: Option<u32>) -> String {
    let path = escape(&socket.to_string_lossy(), 200);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    let path = if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) };
    let uid = uid.map_or(String::new(), |u| format!(" --signer-uid {u}"));
    format!("conductor-signer unlock --socket {path}{uid}")
}

/// Status without a pinned key, for the command line on the node itself.
pub fn plain_status(socket: &Path) -> Result<Status, SignerError> {
    match exchange(socket, None, &Request::Status {}, Deadline::after(CALL_TIMEOUT))? {
        Response::Status(s) => Ok(s),
        Response::Refused(r) => {
            Err(SignerError::Refused { reason: r.reason, detail: escape(&r.detail, SHOWN) })
        }
        other => Err(unasked(&other)),
    }
}

/// Sends the password, and only to a process of user `uid`.
pub fn unlock(socket: &Path, uid: u32, password: Password) -> Result<(), SignerError> {
    match exchange(socket, Some(uid), &Request::Unlock { password }, Deadline::after(UNLOCK_TIMEOUT))? {
        Response::Unlocked {} => Ok(()),
        Response::Refused(r) => {
            Err(SignerError::Refused { reason: r.reason, detail: escape(&r.detail, SHOWN) })
        }
        other => Err(unasked(&other)),
    }
}

fn exchange(
    socket: &Path,
    uid: Option<u32>,
    request: &Request,
    deadline: Deadline,
) -> Result<Response, SignerError> {
    let mut stream = dial(socket, deadline)?;
    let there = peer_uid(&stream).map_err(|e| SignerError::Down(format!("no peer credentials: {e}")))?;
    if let Some(uid) = uid.filter(|u| *u != there) {
        return Err(lies(format!("the process at {} runs as uid {there}, not {uid}", shown_path(socket))));
    }
    // Sized beforehand and wiped afterwards: it may hold a password.
    let mut body = Zeroizing::new(Vec::with_capacity(8 << 10));
    serde_json::to_writer(&mut *body, request).map_err(|e| SignerError::Down(e.to_string()))?;
    let sent = write_frame(&mut stream, &body, MAX_FRAME, deadline);
    // A signer that refuses does not always read the question: its answer tells more than our failed write.
    let read = match (read_frame(&mut stream, MAX_FRAME, deadline), sent) {
        (Ok(frame), _) => frame,
        (Err(_), Err(e)) | (Err(e), Ok(())) => return Err(wire(&e)),
    };
    serde_json::from_slice(&read)
        .map_err(|e| lies(format!("not an answer (line {}, column {})", e.line(), e.column())))
}

fn wire(e: &WireError) -> SignerError {
    match e {
        WireError::TimedOut => SignerError::TimedOut,
        WireError::TooLong(..) => lies(e.to_string()),
        WireError::Closed | WireError::Cut | WireError::Io(_) => SignerError::Down(e.to_string()),
    }
}

fn shown_path(p: &Path) -> String {
    escape(&p.to_string_lossy(), 200)
}

/// Connects within the deadline. The socket is made non-blocking first: a connect to a stopped process whose queue is
/// full would otherwise never return.
fn dial(path: &Path, deadline: Deadline) -> Result<UnixStream, SignerError> {
    let down = |e: Errno| SignerError::Down(format!("{}: {}", shown_path(path), e.desc()));
    let address = UnixAddr::new(path).map_err(down)?;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(down)?;
    loop {
        match connect(fd.as_raw_fd(), &address) {
            Ok(()) => break,
            Err(Errno::EAGAIN | Errno::EINTR) => {
                let left = deadline.left().ok_or(SignerError::TimedOut)?;
                std::thread::sleep(left.min(Duration::from_millis(10)));
            }
            Err(e) => return Err(down(e)),
        }
    }
    let stream = UnixStream::from(fd);
    stream.set_nonblocking(false).map_err(|e| SignerError::Down(e.to_string()))?;
    Ok(stream)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
