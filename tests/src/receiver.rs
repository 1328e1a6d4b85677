//! A receiver of CloudEvents over HTTP, as bad as one asks it to be.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Takes everything.
    Takes,
    /// 503.
    Fails,
    /// Reads and never answers.
    Hangs,
    /// Takes it, and answers when nobody waits any more.
    Late,
    /// 422 for a batch in which an event is a step.
    Picky,
}

/// A receiver. It stops when dropped.
pub struct Receiver {
    port: u16,
    mood: Arc<Mutex<Mood>>,
    taken: Arc<Mutex<Vec<Value>>>,
    headers: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Receiver {
    /// Listens on a free port.
    pub fn start(mood: Mood) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let r = Self {
            port,
            mood: Arc::new(Mutex::new(mood)),
            taken: Arc::default(),
            headers: Arc::default(),
            stop: Arc::default(),
        };
        r.listen(Arc::clone(&r.stop));
        r
    }

    fn listen(&self, stop: Arc<AtomicBool>) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).expect("its port again");
        listener.set_nonblocking(true).expect("non-blocking");
        let (mood, taken, headers) =
            (Arc::clone(&self.mood), Arc::clone(&self.taken), Arc::clone(&self.headers));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                let (mood, taken, headers) = (Arc::clone(&mood), Arc::clone(&taken), Arc::clone(&headers));
                std::thread::spawn(move || serve(stream, &mood, &taken, &headers));
            }
        });
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/events", self.port)
    }

    /// From now on it behaves so.
    pub fn becomes(&self, mood: Mood) {
        *self.mood.lock().expect("a mood") = mood;
    }

    /// Stops listening.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(50));
    }

    /// Listens again on the same port.
    pub fn restart(&mut self) {
        self.stop();
        self.stop = Arc::default();
        self.listen(Arc::clone(&self.stop));
    }

    /// All events it took, repeated ones too.
    pub fn taken(&self) -> Vec<Value> {
        self.taken.lock().expect("events").clone()
    }

    /// Header lines of all requests.
    pub fn headers(&self) -> Vec<String> {
        self.headers.lock().expect("headers").clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn serve(stream: TcpStream, mood: &Mutex<Mood>, taken: &Mutex<Vec<Value>>, headers: &Mutex<Vec<String>>) {
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
        let mood = *mood.lock().expect("a mood");
        let picked = mood == Mood::Picky && events.iter().any(|e| e["type"] == "conductor.step_executed.v1");
        let status = match mood {
            Mood::Fails => "503 Service Unavailable",
            Mood::Picky if picked => "422 Unprocessable Content",
            _ => "204 No Content",
        };
        match mood {
            Mood::Hangs => {
                std::thread::sleep(Duration::from_secs(5));
                return;
            }
            Mood::Late => {
                taken.lock().expect("events").extend(events);
                std::thread::sleep(Duration::from_secs(2));
            }
            Mood::Takes | Mood::Picky if !picked => taken.lock().expect("events").extend(events),
            _ => {}
        }
        if write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}
