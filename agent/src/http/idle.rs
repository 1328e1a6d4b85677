//! Whose turn it is on a connection, the client's or the server's, and how long it has been silent or waited.
//!
//! One timer a connection, whose ticks look at counters: arming a timeout for each request cost as much as parsing it.

use futures_util::task::AtomicWaker;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// Time between two looks at a connection. A client that makes no progress on a request is closed after this, and at most
/// after twice this; an answer of the writer that is not there by then is given up in the same time.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// A connection on which nothing is asked is kept for so many times [`PATIENCE`]: longer than the lease of a run, so that
/// heartbeats find it open.
pub(super) const KEPT_TICKS: u32 = 7;
/// Tells clients how long that is.
static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static KEPT: HeaderValue = HeaderValue::from_static("timeout=70");

/// Counts on whose side a connection waits: the server's or the client's.
#[derive(Debug, Clone, Default)]
pub(super) struct IdleTracker(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Answers that the server prepares or sends.
    answering: AtomicU32,
    /// Grows with each progress: a request that begins, an answer that was sent.
    progress: AtomicU32,
    /// A request was begun and is not answered.
    in_request: AtomicBool,
    /// The progress at which the writer's answer was given up, and one more; zero for none.
    late: AtomicU64,
    /// Wakes whoever waits for the writer.
    waiting: AtomicWaker,
    /// Why the server ends the connection.
    end: AtomicU8,
    /// Wakes the connection's task when `end` was set.
    waker: AtomicWaker,
}

/// Why the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum End {
    Silence = 1,
    Stop = 2,
}

/// What the watcher of a connection saw last.
#[derive(Debug, Default)]
pub(super) struct Seen {
    progress: u32,
    silent_ticks: u32,
}

/// Why the writer's answer is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The writer dropped the request.
    Dropped,
    /// The time is over.
    Late,
}

impl IdleTracker {
    /// A request begins; until the guard is dropped it is one.
    pub(super) fn request(&self) -> InRequest {
        self.0.in_request.store(true, Relaxed);
        self.0.progress.fetch_add(1, Relaxed);
        InRequest(Self(Arc::clone(&self.0)))
    }

    /// The server's turn, until the guard is dropped.
    pub(super) fn server_turn(&self) -> ServerTurn {
        self.0.answering.fetch_add(1, Relaxed);
        self.progressed();
        ServerTurn(Self(Arc::clone(&self.0)))
    }

    /// The client's turn within the server's, until the guard is dropped.
    pub(super) fn client_turn(&self) -> ClientTurn {
        self.0.answering.fetch_sub(1, Relaxed);
        ClientTurn(Self(Arc::clone(&self.0)))
    }

    pub(super) fn progressed(&self) {
        self.0.progress.fetch_add(1, Relaxed);
    }

    /// Keeps the server's turn until the body was sent.
    pub(super) fn response<B>(&self, mut r: Response<B>) -> Response<ResponseBody<B>> {
        if r.status() != StatusCode::SWITCHING_PROTOCOLS {
            r.headers_mut().insert(KEEP_ALIVE.clone(), KEPT.clone());
        }
        let turn = self.server_turn();
        r.map(|body| ResponseBody { body, _turn: turn })
    }

    /// The writer's answer, in the server's turn. Given up when the server made no progress for [`PATIENCE`].
    pub(super) async fn writer<T>(&self, mut answer: oneshot::Receiver<T>) -> Result<T, NoAnswer> {
        std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = Pin::new(&mut answer).poll(cx) {
                return Poll::Ready(done.map_err(|_| NoAnswer::Dropped));
            }
            self.0.waiting.register(cx.waker());
            let late = self.0.late.load(Acquire) == u64::from(self.0.progress.load(Relaxed)) + 1;
            if late { Poll::Ready(Err(NoAnswer::Late)) } else { Poll::Pending }
        })
        .await
    }

    /// A tick of the watcher: true when the client was silent for too long.
    pub(super) fn tick(&self, seen: &mut Seen) -> bool {
        let progress = self.0.progress.load(Relaxed);
        let answering = self.0.answering.load(Relaxed) > 0;
        let same = std::mem::replace(&mut seen.progress, progress) == progress;
        if same && answering {
            self.0.late.store(u64::from(progress) + 1, Release);
            self.0.waiting.wake();
        }
        seen.silent_ticks = if same && !answering { seen.silent_ticks + 1 } else { 0 };
        // Before the first request and within one there is something to send; between two there need not be.
        let between = progress > 0 && !self.0.in_request.load(Relaxed);
        seen.silent_ticks >= if between { KEPT_TICKS } else { 1 }
    }

    /// Has the connection end.
    pub(super) fn finish(&self, why: End) {
        self.0.end.store(why as u8, Release);
        self.0.waker.wake();
    }

    /// Why the connection ends, if it does; else wakes this task when it does.
    pub(super) fn poll_end(&self, cx: &Context<'_>) -> Poll<End> {
        self.0.waker.register(cx.waker());
        match self.0.end.load(Acquire) {
            0 => Poll::Pending,
            end if end == End::Stop as u8 => Poll::Ready(End::Stop),
            _ => Poll::Ready(End::Silence),
        }
    }
}

/// Guard of a request.
#[derive(Debug)]
pub(super) struct InRequest(IdleTracker);

impl Drop for InRequest {
    fn drop(&mut self) {
        self.0.0.in_request.store(false, Relaxed);
        self.0.progressed();
    }
}

/// Guard of the server's turn.
#[derive(Debug)]
pub(super) struct ServerTurn(IdleTracker);

impl Drop for ServerTurn {
    fn drop(&mut self) {
        self.0.0.answering.fetch_sub(1, Relaxed);
        self.0.progressed();
    }
}

/// Guard of the client's turn within the server's.
#[derive(Debug)]
pub(super) struct ClientTurn(IdleTracker);

impl ClientTurn {
    pub(super) fn progressed(&self) {
        self.0.progressed();
    }
}

impl Drop for ClientTurn {
    fn drop(&mut self) {
        self.0.0.answering.fetch_add(1, Relaxed);
        self.0.progressed();
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    /// Ticks until a client that does nothing counts as silent.
    fn patience(tracker: &IdleTracker) -> u32 {
        let mut seen = Seen { progress: tracker.0.progress.load(Relaxed), silent_ticks: 0 };
        (1..100).find(|_| tracker.tick(&mut seen)).unwrap_or(0)
    }

    /// E3: a connection on which nothing is asked outlasts a heartbeat's interval, as it is told; half a request does not.
    #[test]
    fn a_kept_connection_may_be_silent_for_longer() {
        let tracker = IdleTracker::default();
        assert_eq!(patience(&tracker), 1, "it must ask something first");
        let request = tracker.request();
        assert_eq!(patience(&tracker), 1, "it must send what it began");
        let r = tracker.response(Response::new(()));
        let told = r.headers()["keep-alive"].to_str().unwrap();
        assert_eq!(told, format!("timeout={}", PATIENCE.as_secs() * u64::from(KEPT_TICKS)));
        drop(request);
        assert_eq!(patience(&tracker), 0, "the answer is on its way");
        drop(r);
        assert_eq!(patience(&tracker), KEPT_TICKS);
    }

    /// E11: an answer of the writer that is not there in the time of two ticks is given up, for this request alone.
    #[test]
    fn a_writer_that_is_held_up_is_not_waited_for() {
        let tracker = IdleTracker::default();
        let (to, answer) = oneshot::channel::<u8>();
        let _request = tracker.request();
        let turn = tracker.server_turn();
        let mut waiting = Box::pin(tracker.writer(answer));
        let mut seen = Seen::default();
        assert!(!tracker.tick(&mut seen) && waiting.as_mut().now_or_never().is_none());
        assert!(!tracker.tick(&mut seen), "that it waits is not the client's silence");
        assert_eq!(waiting.as_mut().now_or_never(), Some(Err(NoAnswer::Late)));
        drop((waiting, to, turn));
        let (to, answer) = oneshot::channel();
        let _turn = tracker.server_turn();
        assert!(!tracker.tick(&mut seen));
        let mut waiting = Box::pin(tracker.writer(answer));
        assert!(waiting.as_mut().now_or_never().is_none());
        to.send(7u8).unwrap();
        assert_eq!(waiting.as_mut().now_or_never(), Some(Ok(7)));
        let (dropped, answer) = oneshot::channel::<u8>();
        drop(dropped);
        assert_eq!(tracker.writer(answer).now_or_never(), Some(Err(NoAnswer::Dropped)));
    }
}
