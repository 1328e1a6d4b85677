//! A small blocking HTTP/1.1 client over a unix socket, kept alive: independent of the programs under test.

use crate::programs::PATIENCE;
use conductor_shared::http::{CommandOutcome, Decided, Problem};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// A client with one connection, which is reopened when the server closes it.
pub struct Client {
    socket: PathBuf,
    stream: Option<BufReader<UnixStream>>,
    /// Bearer token, sent with each request unless it is empty.
    pub bearer: String,
}

/// A response, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Status line and header lines, as received.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// Body of a success as its type; fails the test when it is none.
    pub fn read<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, 200, "{self}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
    /// What a workload's request came to.
    pub fn decided(&self) -> Decided {
        self.read()
    }
    /// What a command came to.
    pub fn outcome(&self) -> CommandOutcome {
        self.read()
    }
    /// What a command came to in words: its status, or the reasons of its denial.
    pub fn came_to(&self) -> Vec<String> {
        match self.status {
            200 => vec![self.json()["status"].as_str().expect("a status").to_owned()],
            _ => self.reasons(),
        }
    }
    /// Body of a denial or an error.
    pub fn problem(&self) -> Problem {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
    /// Body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
    /// Value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| {
            let (k, v) = l.split_once(':')?;
            k.eq_ignore_ascii_case(name).then(|| v.trim())
        })
    }
    /// Reason codes of a denial.
    pub fn reasons(&self) -> Vec<String> {
        let list = self.json()["reasons"].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|r| r.as_str().map(str::to_owned)).collect()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

impl Client {
    /// Connects when first used.
    pub fn new(socket: &Path, bearer: &str) -> Self {
        Self { socket: socket.to_owned(), stream: None, bearer: bearer.to_owned() }
    }

    /// One request; connects again once when the connection is gone.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> std::io::Result<Answer> {
        let fresh = self.stream.is_none();
        match self.once(method, path, body, headers) {
            Err(_) if !fresh => {
                self.stream = None;
                self.once(method, path, body, headers)
            }
            done => done,
        }
    }

    /// Without trying twice, for requests that must not be repeated.
    pub fn once(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> std::io::Result<Answer> {
        if self.stream.is_none() {
            let s = UnixStream::connect(&self.socket)?;
            s.set_read_timeout(Some(PATIENCE))?;
            self.stream = Some(BufReader::new(s));
        }
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n", body.len());
        if !self.bearer.is_empty() {
            head += &format!("authorization: Bearer {}\r\n", self.bearer);
        }
        for (k, v) in headers {
            head += &format!("{k}: {v}\r\n");
        }
        head += "\r\n";
        let done = self.exchange(head.as_bytes(), body);
        if done.is_err() {
            self.stream = None;
        }
        done
    }

    fn exchange(&mut self, head: &[u8], body: &[u8]) -> std::io::Result<Answer> {
        let gone = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let stream = self.stream.as_mut().ok_or_else(gone)?;
        let mut all = head.to_vec();
        all.extend_from_slice(body);
        stream.get_mut().write_all(&all)?;
        let mut head = String::new();
        loop {
            let n = stream.read_line(&mut head)?;
            if n == 0 {
                return Err(gone());
            }
            if head.ends_with("\r\n\r\n") {
                break;
            }
        }
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(gone)?;
        let lower = head.to_ascii_lowercase();
        let mut body = Vec::new();
        if let Some(n) = lower.lines().find_map(|l| l.strip_prefix("content-length: ")?.trim().parse().ok()) {
            body.resize(n, 0);
            stream.read_exact(&mut body)?;
        } else if lower.contains("transfer-encoding: chunked") {
            loop {
                let mut line = String::new();
                stream.read_line(&mut line)?;
                let n = usize::from_str_radix(line.trim(), 16).map_err(|_| gone())?;
                let mut part = vec![0; n + 2];
                stream.read_exact(&mut part)?;
                body.extend_from_slice(&part[..n]);
                if n == 0 {
                    break;
                }
            }
        }
        Ok(Answer { status, head, body })
    }

    /// GET, which must be answered.
    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, b"", &[]).expect("the agent answers")
    }

    /// POST of JSON, which must be answered.
    pub fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, body.to_string().as_bytes(), &[]).expect("the agent answers")
    }
}
