//! A receiver of CloudEvents over HTTP that fails in the way a test asks for.

use crate::programs::free_port;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the sink does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behavior {
    /// Accepts every batch with 204.
    Accept,
    /// Answers 503 to every batch.
    Fail,
    /// Reads and never answers.
    Hang,
    /// Accepts, and answers after the client's timeout.
    AnswerLate,
    /// Answers 422 to a batch that holds a step.
    RejectSteps,
    /// Answers 422 to a batch that holds an event of this tenant.
    RejectTenant(&'static str),
    /// Answers this status to everything.
    Answer(u16),
}

impl Behavior {
    fn status(self, events: &[Value]) -> u16 {
        let holds = |field: &str, value: &str| events.iter().any(|e| e[field] == value);
        match self {
            Self::Answer(status) => status,
            Self::Fail => 503,
            Self::RejectSteps if holds("type", "conductor.step_executed.v1") => 422,
            Self::RejectTenant(name) if holds("subject", name) => 422,
            _ => 204,
        }
    }
}

/// An HTTP server that records the events it accepts. Dropping it stops it.
pub struct FakeSink {
    port: u16,
    behavior: Arc<Mutex<Behavior>>,
    taken: Arc<Mutex<Vec<Value>>>,
    headers: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl FakeSink {
    /// Listens on a free port.
    pub fn start(behavior: Behavior) -> Self {
        let port = free_port();
        let mut this = Self {
            port,
            behavior: Arc::new(Mutex::new(behavior)),
            taken: Arc::default(),
            headers: Arc::default(),
            stop: Arc::default(),
            listener: None,
        };
        this.restart();
        this
    }

    fn listen(&self) -> JoinHandle<()> {
        let stop = Arc::clone(&self.stop);
        let listener = TcpListener::bind(("127.0.0.1", self.port)).expect("its port again");
        listener.set_nonblocking(true).expect("non-blocking");
        let (behavior, taken, headers) =
            (Arc::clone(&self.behavior), Arc::clone(&self.taken), Arc::clone(&self.headers));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                let (behavior, taken, headers) =
                    (Arc::clone(&behavior), Arc::clone(&taken), Arc::clone(&headers));
                std::thread::spawn(move || serve(stream, &behavior, &taken, &headers));
            }
        })
    }

    /// The URL to configure as the sink's target.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/events", self.port)
    }

    /// Changes what it does from the next batch on.
    pub fn behave(&self, behavior: Behavior) {
        *self.behavior.lock().expect("a behavior") = behavior;
    }

    /// Closes the port, so that connections are refused.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(listener) = self.listener.take() {
            listener.join().expect("it listened");
        }
    }

    /// Listens again on the same port.
    pub fn restart(&mut self) {
        self.stop();
        self.stop = Arc::default();
        self.listener = Some(self.listen());
    }

    /// All events it took, repeated ones too.
    pub fn taken(&self) -> Vec<Value> {
        self.taken.lock().expect("events").clone()
    }

    /// Number of batches that were brought, taken or not.
    pub fn requests(&self) -> usize {
        self.headers().iter().filter(|line| line.to_lowercase().starts_with("content-length:")).count()
    }

    /// Header lines of all requests.
    pub fn headers(&self) -> Vec<String> {
        self.headers.lock().expect("headers").clone()
    }
}

impl Drop for FakeSink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn serve(
    stream: TcpStream,
    behavior: &Mutex<Behavior>,
    taken: &Mutex<Vec<Value>>,
    headers: &Mutex<Vec<String>>,
) {
    stream.set_nonblocking(false).expect("blocking");
    let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
    let mut stream = stream;
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            headers.lock().expect("headers").push(line.trim().to_owned());
            if let Some(n) = line.to_lowercase().strip_prefix("content-length:") {
                length = n.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let events: Vec<Value> = serde_json::from_slice(&body).expect("a batch");
        let behavior = *behavior.lock().expect("a behavior");
        let status = behavior.status(&events);
        match behavior {
            Behavior::Hang => {
                std::thread::sleep(Duration::from_secs(5));
                return;
            }
            Behavior::AnswerLate => {
                taken.lock().expect("events").extend(events);
                std::thread::sleep(Duration::from_secs(2));
            }
            _ if status == 204 => taken.lock().expect("events").extend(events),
            _ => {}
        }
        if write!(stream, "HTTP/1.1 {status} So It Is\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}
