//! One connection: requests in, answers out, one after the other, and whose turn it is meanwhile.
//!
//! A client that owes something, a request or the rest of one, is looked at now and then, and hung up when nothing came
//! of it since. Time that the agent takes for its answers counts for nobody. One clock a connection, set once a look:
//! a time limit for each request, set and taken back, cost as much as reading the request.

use crate::platform::stopped;
use futures_util::task::AtomicWaker;
use http_body_util::{Either, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU8, AtomicU32};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// A client that owes something may take so long, and at most twice that.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// So much of a body is a step forward: a client that brings less in the time it has is hung up on.
const STEP: usize = 64 * 1024;
/// When the agent stops, a connection may finish what it is at.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// Whose turn it is.
#[derive(Debug, Clone, Default)]
pub(super) struct IdleTracker(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Answers that the agent owes or is giving.
    owed: AtomicU32,
    /// Grows with each step forward: a request that begins, an answer that is given.
    steps: AtomicU32,
    /// Whether the connection ends though its client would go on with it: `GOES_ON`, `SILENCE` or `STOP`.
    end: AtomicU8,
    /// Who is told.
    waker: AtomicWaker,
}

const GOES_ON: u8 = 0;
const SILENCE: u8 = 1;
const STOP: u8 = 2;

impl IdleTracker {
    /// The agent's turn begins, and lasts until what this gives is dropped.
    pub(super) fn begin(&self) -> ServerTurn {
        self.0.owed.fetch_add(1, Relaxed);
        self.0.steps.fetch_add(1, Relaxed);
        ServerTurn(IdleTracker(Arc::clone(&self.0)))
    }

    /// An answer: the agent's turn until the last of it was given.
    pub(super) fn ours<B>(&self, r: Response<B>) -> Response<ResponseBody<B>> {
        let turn = self.begin();
        r.map(|body| ResponseBody { body, _turn: turn })
    }

    /// A body that is read within the agent's turn: the client's until the last of it has come.
    pub(super) fn theirs<B: Body>(&self, body: B) -> RequestBody<B> {
        let waits = !body.is_end_stream();
        let theirs = waits.then(|| {
            self.0.owed.fetch_sub(1, Relaxed);
            ClientTurn(IdleTracker(Arc::clone(&self.0)))
        });
        RequestBody { body, theirs, since_step: 0 }
    }

    /// True when the client owes something, and did nothing since `seen`, which becomes now.
    fn idle(&self, seen: &mut u32) -> bool {
        let before = std::mem::replace(seen, self.0.steps.load(Relaxed));
        self.0.owed.load(Relaxed) == 0 && before == *seen
    }
}

/// The agent's turn.
#[derive(Debug)]
pub(super) struct ServerTurn(IdleTracker);

impl Drop for ServerTurn {
    fn drop(&mut self) {
        self.0.0.owed.fetch_sub(1, Relaxed);
        self.0.0.steps.fetch_add(1, Relaxed);
    }
}

/// The client's turn within the agent's.
#[derive(Debug)]
struct ClientTurn(IdleTracker);

impl Drop for ClientTurn {
    fn drop(&mut self) {
        self.0.0.owed.fetch_add(1, Relaxed);
        self.0.0.steps.fetch_add(1, Relaxed);
    }
}

/// A body that is the client's turn for as long as it comes.
#[derive(Debug)]
pub(super) struct RequestBody<B> {
    body: B,
    theirs: Option<ClientTurn>,
    since_step: usize,
}

impl<B: Body<Data = Bytes> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) if !self.body.is_end_stream() => {
                self.since_step += frame.data_ref().map_or(0, Bytes::len);
                if self.since_step >= STEP
                    && let Some(theirs) = &self.theirs
                {
                    theirs.0.0.steps.fetch_add(1, Relaxed);
                    self.since_step = 0;
                }
            }
            // That was all of it.
            Poll::Ready(_) => self.theirs = None,
        }
        polled
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that is the agent's turn for as long as it is given.
#[derive(Debug)]
pub(super) struct ResponseBody<B> {
    body: B,
    _turn: ServerTurn,
}

impl<B: Body<Data = Bytes> + Unpin> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer: of a workload's change, or of the router.
pub(super) type Answer = Response<ResponseBody<Either<Full<Bytes>, axum::body::Body>>>;

/// What answers at one connection.
pub(super) trait Handler: Send + Sync + 'static {
    /// Body of an answer.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;
    /// Answers one request.
    fn answer(
        &self,
        r: Request<Incoming>,
        tracker: &IdleTracker,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// A task that ends with what it is for.
struct Aborted(tokio::task::JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves a connection until it ends, its client falls silent, or the agent stops.
pub(super) async fn serve_connection<S, H>(io: S, stopping: watch::Receiver<bool>, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    serve_within(PATIENCE, io, stopping, handler).await;
}

async fn serve_within<S, H>(patience: Duration, io: S, mut stopping: watch::Receiver<bool>, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let tracker = IdleTracker::default();
    // What ends a connection seldom happens, and is looked after by a task of its own: the one that answers reads one
    // number, beside those that it changes anyway.
    let watched = tracker.clone();
    let _look_after = Aborted(tokio::spawn(async move {
        let mut seen = 0;
        let end = loop {
            tokio::select! {
                () = stopped(&mut stopping) => break STOP,
                () = tokio::time::sleep(patience) => if watched.idle(&mut seen) {
                    break SILENCE;
                },
            }
        };
        watched.0.end.store(end, Release);
        watched.0.waker.wake();
    }));
    let handler = Arc::new(handler);
    let service = hyper::service::service_fn(|r| {
        let (handler, tracker) = (Arc::clone(&handler), tracker.clone());
        async move { Ok::<_, std::convert::Infallible>(handler.answer(r, &tracker).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.max_buf_size(64 * 1024).writev(false);
    let conn = http.serve_connection(TokioIo::new(io), service).with_upgrades();
    let mut conn = std::pin::pin!(conn);
    let end = std::future::poll_fn(|cx| {
        if conn.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        tracker.0.waker.register(cx.waker());
        let end = tracker.0.end.load(Acquire);
        if end == GOES_ON { Poll::Pending } else { Poll::Ready(Some(end)) }
    });
    if end.await != Some(STOP) {
        return;
    }
    conn.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_ANSWER, conn).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    const SHORT: Duration = Duration::from_millis(50);
    /// Longer than any patience above, and not for ever.
    const LONG: Duration = Duration::from_secs(20);

    /// Reads the body in the client's turn, before its own or within it; answers in its own and takes long over it.
    #[derive(Clone, Copy)]
    enum Slow {
        Before,
        Within,
    }
    impl Handler for Slow {
        type Body = ResponseBody<Full<Bytes>>;
        async fn answer(&self, r: Request<Incoming>, tracker: &IdleTracker) -> Response<Self::Body> {
            let all = http_body_util::Collected::to_bytes;
            let (body, ours) = match self {
                Self::Before => {
                    let body = r.into_body().collect().await.map(all).unwrap_or_default();
                    (body, tracker.begin())
                }
                Self::Within => {
                    let ours = tracker.begin();
                    (tracker.theirs(r.into_body()).collect().await.map(all).unwrap_or_default(), ours)
                }
            };
            tokio::time::sleep(SHORT * 6).await;
            drop(ours);
            tracker.ours(Response::new(Full::new(body)))
        }
    }

    fn connect(slow: Slow) -> (DuplexStream, watch::Sender<bool>) {
        connect_within(SHORT, slow)
    }

    fn connect_within(patience: Duration, slow: Slow) -> (DuplexStream, watch::Sender<bool>) {
        let (ours, theirs) = tokio::io::duplex(4_096);
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(serve_within(patience, ours, stopping, slow));
        (theirs, stop)
    }

    /// Everything that comes until the other side hangs up.
    async fn rest(mut client: DuplexStream) -> String {
        let mut all = vec![];
        let read = tokio::time::timeout(LONG, client.read_to_end(&mut all)).await;
        read.expect("hung up in time").expect("read");
        String::from_utf8(all).expect("text")
    }

    /// SPEC X1, bounded everything: whoever says nothing, half a head or half a body does not keep a place for ever.
    #[tokio::test]
    async fn silence_is_hung_up_on() {
        for slow in [Slow::Before, Slow::Within] {
            for said in
                ["", "POST / HTTP/1.1\r\nhost: a\r\n", "POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nab"]
            {
                let (mut client, _stop) = connect(slow);
                client.write_all(said.as_bytes()).await.unwrap();
                assert_eq!(rest(client).await, "", "after {said:?}");
            }
        }
    }

    /// The same of a body that comes a byte at a time. One that is long and comes steadily is read to its end.
    #[tokio::test]
    async fn a_body_must_come_at_a_pace() {
        let length = 24 * STEP;
        let head = format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n");
        for (piece, good) in [(1, false), (STEP, true)] {
            // More than twice over before the last piece, and ten times what one takes.
            let (mut client, _stop) = connect_within(10 * SHORT, Slow::Within);
            client.write_all(head.as_bytes()).await.unwrap();
            let mut hung_up = false;
            for _ in 0..length / STEP {
                tokio::time::sleep(SHORT).await;
                hung_up |= client.write_all(&vec![b'a'; piece]).await.is_err();
            }
            assert_eq!(!hung_up, good, "pieces of {piece}");
            if good {
                let all = rest(client).await;
                assert!(all.starts_with("HTTP/1.1 200 ") && all.ends_with(&"a".repeat(length)));
            }
        }
    }

    /// The time that the agent takes is not the client's: an answer comes however long it took, and then silence is
    /// silence again.
    #[tokio::test]
    async fn a_slow_answer_is_not_silence() {
        for slow in [Slow::Before, Slow::Within] {
            let (mut client, _stop) = connect(slow);
            client.write_all(b"POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nabcd").await.unwrap();
            let all = rest(client).await;
            assert!(all.starts_with("HTTP/1.1 200 ") && all.ends_with("\r\n\r\nabcd"), "{all}");
        }
    }

    /// DESIGN, graceful stop: what was asked is answered, and then the connection ends.
    #[tokio::test]
    async fn a_stop_lets_an_answer_be_given() {
        let (mut client, stop) = connect(Slow::Before);
        client.write_all(b"POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nabcd").await.unwrap();
        tokio::time::sleep(SHORT).await;
        stop.send(true).unwrap();
        let all = rest(client).await;
        assert!(all.contains("connection: close") && all.ends_with("abcd"), "{all}");
    }
}
