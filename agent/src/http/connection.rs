//! One HTTP/1.1 connection.
//!
//! Closes connections whose client makes no progress on a request for 10-20 s. Time that the agent takes to answer does
//! not count. Uses one timer per connection; arming a timeout per request cost as much as parsing it.

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

/// A client without progress is closed after this, and at most after twice this.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a body that count as progress.
const PROGRESS: usize = 64 * 1024;
/// When the agent stops, a connection may finish its present request.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// Counts on whose side a connection waits: the server's or the client's.
#[derive(Debug, Clone, Default)]
pub(super) struct IdleTracker(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Answers that the server prepares or sends.
    answering: AtomicU32,
    /// Grows with each progress: a request that begins, an answer that was sent.
    progress: AtomicU32,
    /// Why the server ends the connection: `GOES_ON` (it does not), `SILENCE` or `STOP`.
    end: AtomicU8,
    /// Wakes the connection's task when `end` was set.
    waker: AtomicWaker,
}

const GOES_ON: u8 = 0;
const SILENCE: u8 = 1;
const STOP: u8 = 2;

impl IdleTracker {
    /// The server's turn, until the guard is dropped.
    pub(super) fn server_turn(&self) -> ServerTurn {
        self.0.answering.fetch_add(1, Relaxed);
        self.0.progress.fetch_add(1, Relaxed);
        ServerTurn(IdleTracker(Arc::clone(&self.0)))
    }

    /// Keeps the server's turn until the body was sent.
    pub(super) fn response<B>(&self, r: Response<B>) -> Response<ResponseBody<B>> {
        let turn = self.server_turn();
        r.map(|body| ResponseBody { body, _turn: turn })
    }

    /// Gives the turn to the client, within the server's, until the body was read.
    pub(super) fn request_body<B: Body>(&self, body: B) -> RequestBody<B> {
        let waits = !body.is_end_stream();
        let client_turn = waits.then(|| {
            self.0.answering.fetch_sub(1, Relaxed);
            ClientTurn(IdleTracker(Arc::clone(&self.0)))
        });
        RequestBody { body, client_turn, since_progress: 0 }
    }

    /// True when it is the client's turn and nothing happened since `seen`, which is set to now.
    fn idle(&self, seen: &mut u32) -> bool {
        let before = std::mem::replace(seen, self.0.progress.load(Relaxed));
        self.0.answering.load(Relaxed) == 0 && before == *seen
    }
}

/// Guard of the server's turn.
#[derive(Debug)]
pub(super) struct ServerTurn(IdleTracker);

impl Drop for ServerTurn {
    fn drop(&mut self) {
        self.0.0.answering.fetch_sub(1, Relaxed);
        self.0.0.progress.fetch_add(1, Relaxed);
    }
}

/// Guard of the client's turn within the server's.
#[derive(Debug)]
struct ClientTurn(IdleTracker);

impl Drop for ClientTurn {
    fn drop(&mut self) {
        self.0.0.answering.fetch_add(1, Relaxed);
        self.0.0.progress.fetch_add(1, Relaxed);
    }
}

/// A request body that the client is sending. Its turn ends with the last frame.
#[derive(Debug)]
pub(super) struct RequestBody<B> {
    body: B,
    client_turn: Option<ClientTurn>,
    since_progress: usize,
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
                self.since_progress += frame.data_ref().map_or(0, Bytes::len);
                if self.since_progress >= PROGRESS
                    && let Some(turn) = &self.client_turn
                {
                    turn.0.0.progress.fetch_add(1, Relaxed);
                    self.since_progress = 0;
                }
            }
            // The last frame, or an error.
            Poll::Ready(_) => self.client_turn = None,
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

/// A response body. The server's turn ends when it is dropped: hyper drops it once the last frame is in its buffer.
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

/// Answers the requests of one connection.
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

/// Aborts a task when dropped.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves a connection until it ends, its client makes no progress, or the agent stops.
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
    // Ends are rare, so a separate task watches for them; the connection's own task only reads one atomic number.
    let watched = tracker.clone();
    let _watcher = AbortOnDrop(tokio::spawn(async move {
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
                    (body, tracker.server_turn())
                }
                Self::Within => {
                    let ours = tracker.server_turn();
                    (tracker.request_body(r.into_body()).collect().await.map(all).unwrap_or_default(), ours)
                }
            };
            tokio::time::sleep(SHORT * 6).await;
            drop(ours);
            tracker.response(Response::new(Full::new(body)))
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
        let length = 24 * PROGRESS;
        let head = format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n");
        for (piece, good) in [(1, false), (PROGRESS, true)] {
            // More than twice over before the last piece, and ten times what one takes.
            let (mut client, _stop) = connect_within(10 * SHORT, Slow::Within);
            client.write_all(head.as_bytes()).await.unwrap();
            let mut hung_up = false;
            for _ in 0..length / PROGRESS {
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
