//! One HTTP/1.1 connection, served until it ends, its client is silent for too long, or the agent stops.

use super::idle::{End, IdleTracker, PATIENCE, ResponseBody, Seen};
use crate::platform::stopped;
use http_body_util::{Either, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// When the agent stops, a connection may finish its present request.
const LAST_ANSWER: Duration = Duration::from_secs(5);

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
        let mut seen = Seen::default();
        let end = loop {
            tokio::select! {
                () = stopped(&mut stopping) => break End::Stop,
                () = tokio::time::sleep(patience) => if watched.tick(&mut seen) {
                    break End::Silence;
                },
            }
        };
        watched.finish(end);
    }));
    let handler = Arc::new(handler);
    let service = hyper::service::service_fn(|r| {
        let (handler, tracker) = (Arc::clone(&handler), tracker.clone());
        async move {
            let _request = tracker.request();
            Ok::<_, std::convert::Infallible>(handler.answer(r, &tracker).await)
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.max_buf_size(64 * 1024).writev(false);
    let conn = http.serve_connection(TokioIo::new(io), service).with_upgrades();
    let mut conn = std::pin::pin!(conn);
    let end = std::future::poll_fn(|cx| {
        if conn.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        tracker.poll_end(cx).map(Some)
    });
    if end.await != Some(End::Stop) {
        return;
    }
    conn.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_ANSWER, conn).await;
}

#[cfg(test)]
mod tests {
    use super::super::request_body::{BodyBudget, BodyLease, PROGRESS, RequestBody, Unread, WORKLOAD_BYTES};
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
                    let lease = BodyLease::new(&BodyBudget::new(WORKLOAD_BYTES));
                    let body = RequestBody::new(r.into_body(), tracker, lease, Unread::default());
                    (body.collect().await.map(all).unwrap_or_default(), ours)
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
