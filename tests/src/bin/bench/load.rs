//! The load program: one thread with an event loop, many connections, each asking as soon as it was answered.

use conductor_tests::{Client, Tenant};
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Reads the last answer, which is empty at first, and writes the next request.
pub(crate) type Next = Box<dyn FnMut(&[u8], &mut Vec<u8>) + Send>;

/// One connection's side of the talk.
pub(crate) struct Talk {
    pub socket: PathBuf,
    pub next: Next,
    /// Whether what came is a whole answer; stops the bench if it is not a yes.
    pub whole: fn(&[u8]) -> bool,
    /// Waits so long before it asks again.
    pub pause: Duration,
}

/// The load program: one thread, so many connections, each asking as soon as it was answered. Decisions a second and
/// latencies in ms.
pub(crate) fn load(connections: usize, round: Duration, talk: impl Fn(usize) -> Talk) -> (f64, Vec<f64>) {
    let all = load_each((0..connections).map(talk).collect(), round);
    let times: Vec<f64> = all.into_iter().flatten().collect();
    (times.len() as f64 / round.as_secs_f64(), times)
}

/// The same, with the latencies of each connection.
pub(crate) fn load_each(talks: Vec<Talk>, round: Duration) -> Vec<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let begin = Instant::now() + Duration::from_millis(500);
        let tasks: Vec<_> = talks.into_iter().map(|t| tokio::spawn(converse(t, begin, round))).collect();
        let mut all = vec![];
        for t in tasks {
            all.push(t.await.expect("a connection"));
        }
        all
    })
}

/// Asks until the round is over; the first half second warms up.
async fn converse(mut talk: Talk, begin: Instant, round: Duration) -> Vec<f64> {
    let mut stream = tokio::net::UnixStream::connect(&talk.socket).await.expect("a connection");
    let (mut out, mut got, mut times) = (vec![], vec![], vec![]);
    while begin.elapsed() < round {
        out.clear();
        (talk.next)(&got, &mut out);
        got.clear();
        let asked = Instant::now();
        stream.write_all(&out).await.expect("sent");
        while !(talk.whole)(&got) {
            assert!(stream.read_buf(&mut got).await.expect("answered") > 0, "hung up");
        }
        if asked >= begin {
            times.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        if !talk.pause.is_zero() {
            tokio::time::sleep(talk.pause).await;
        }
    }
    times
}

fn http_whole(got: &[u8]) -> bool {
    let Some(head) = got.windows(4).position(|w| w == b"\r\n\r\n") else { return false };
    // A flood is mostly refused; any other answer is a fault of the bench.
    let known = got.starts_with(b"HTTP/1.1 200 ") || got.starts_with(b"HTTP/1.1 429 ");
    assert!(known, "{}", String::from_utf8_lossy(got));
    let text = std::str::from_utf8(&got[..head]).expect("ASCII");
    let length = text.lines().find_map(|l| l.strip_prefix("content-length: ")).expect("a length");
    got.len() >= head + 4 + length.parse::<usize>().expect("a number")
}

/// A run whose steps start and finish in turn.
pub(crate) fn steps(socket: &Path, t: &Tenant) -> Talk {
    let mut c = Client::new(socket, &t.token);
    let run = c.post("/v1/runs", &conductor_tests::run_body(t, None)).json();
    let run = run["run_id"].as_str().expect("a run").to_owned();
    let start = json!({"tenant_id": t.name, "name": "individuals_ID0000004"}).to_string();
    let finish =
        json!({"tenant_id": t.name, "outcome": "succeeded", "duration_us": 5, "bytes_in": 1, "bytes_out": 1});
    let finish = finish.to_string();
    // All but the number of the step is written beforehand, as the requests to Redis are.
    let to = format!("POST /v1/runs/{run}/steps");
    let rest = |body: &str| format!(" {}{}\r\n\r\n{body}", head(t), body.len());
    let (start, finish) = (format!("{to}{}", rest(&start)), format!("/finish{}", rest(&finish)));
    let (mut n, mut open) = (0u64, false);
    let next = move |_: &[u8], out: &mut Vec<u8>| {
        if open {
            write!(out, "{to}/{n}").expect("memory");
            out.extend_from_slice(finish.as_bytes());
        } else {
            n += 1;
            out.extend_from_slice(start.as_bytes());
        }
        open = !open;
    };
    Talk { socket: socket.to_owned(), next: Box::new(next), whole: http_whole, pause: Duration::ZERO }
}

/// Runs one after the other, of one step each.
pub(crate) fn runs(socket: &Path, t: &Tenant) -> Talk {
    let (start, head) = (conductor_tests::run_body(t, None).to_string(), head(t));
    let step = json!({"tenant_id": t.name, "name": "individuals_ID0000004"}).to_string();
    let ended = json!({"tenant_id": t.name, "outcome": "succeeded"}).to_string();
    let step_ended =
        json!({"tenant_id": t.name, "outcome": "succeeded", "duration_us": 5, "bytes_in": 1, "bytes_out": 1});
    let step_ended = step_ended.to_string();
    let (mut run, mut turn) = (String::new(), 0);
    let next = move |answer: &[u8], out: &mut Vec<u8>| {
        if turn == 1 {
            run = run_of(answer);
        }
        let (path, body) = match turn {
            0 => (String::new(), &start),
            1 => (format!("/{run}/steps"), &step),
            2 => (format!("/{run}/steps/1/finish"), &step_ended),
            _ => (format!("/{run}/finish"), &ended),
        };
        turn = (turn + 1) % 4;
        write!(out, "POST /v1/runs{path} {head}{}\r\n\r\n{body}", body.len()).expect("memory");
    };
    Talk { socket: socket.to_owned(), next: Box::new(next), whole: http_whole, pause: Duration::ZERO }
}

fn run_of(answer: &[u8]) -> String {
    let body = answer.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| at + 4);
    let body: serde_json::Value = serde_json::from_slice(&answer[body..]).expect("JSON");
    body["run_id"].as_str().expect("a run").to_owned()
}

/// Nothing but starts of runs, which its quotas soon refuse.
pub(crate) fn flood(socket: &Path, t: &Tenant) -> Talk {
    let (body, head) = (conductor_tests::run_body(t, None).to_string(), head(t));
    let next = move |_: &[u8], out: &mut Vec<u8>| {
        write!(out, "POST /v1/runs {head}{}\r\n\r\n{body}", body.len()).expect("memory");
    };
    Talk { socket: socket.to_owned(), next: Box::new(next), whole: http_whole, pause: Duration::ZERO }
}

fn head(t: &Tenant) -> String {
    format!(
        "HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: ",
        t.token
    )
}
