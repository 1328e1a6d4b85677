//! The body of a request: its memory is bounded over all requests of a kind of listener, it must come at a pace, and what
//! the agent does not read of it is drained within bounds, so that a client that sends before it reads hears the answer.

use super::idle::{ClientTurn, IdleTracker};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// Bytes of a body that count as progress.
pub(super) const PROGRESS: usize = 64 * 1024;
/// Bytes of each body that come with the connection and take nothing from the budget: a command or a workload's request
/// is no longer.
pub(super) const FREE_BYTES: usize = 16 * 1024;
/// Bytes of bodies beyond that which all workloads' listeners together keep in memory.
pub const WORKLOAD_BYTES: usize = 64 << 20;
/// The same of the operators' listeners.
pub const OPERATOR_BYTES: usize = 32 << 20;
/// Bytes of a body that nobody reads which are taken from the client and thrown away, so that it comes to read the answer.
/// No route takes a longer one.
pub(super) const DRAINED_BYTES: usize = 2 << 20;

/// Memory for bodies, shared by all connections of a kind of listener.
pub struct BodyBudget(AtomicUsize);

impl BodyBudget {
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(bytes)))
    }

    fn take(&self, bytes: usize) -> bool {
        let less = |free: usize| free.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// What one body has of the budget; given back when dropped, which must not be before the bytes are.
pub(super) struct BodyLease {
    budget: Arc<BodyBudget>,
    read: AtomicUsize,
    taken: AtomicUsize,
    refused: AtomicBool,
}

impl BodyLease {
    pub(super) fn new(budget: &Arc<BodyBudget>) -> Arc<Self> {
        let (read, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { budget: Arc::clone(budget), read, taken, refused: AtomicBool::new(false) })
    }

    /// For a body of at most so many bytes, taken at once; `None` when there is no memory for it.
    pub(super) fn of(budget: &Arc<BodyBudget>, bytes: usize) -> Option<Arc<Self>> {
        let lease = Self::new(budget);
        lease.take(bytes).then_some(lease)
    }

    /// There was no memory for the body.
    pub(super) fn refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let before = self.read.fetch_add(bytes, Ordering::Relaxed);
        let beyond = (before + bytes).saturating_sub(FREE_BYTES.max(before));
        if beyond > 0 && !self.budget.take(beyond) {
            self.refused.store(true, Ordering::Relaxed);
            return false;
        }
        self.taken.fetch_add(beyond, Ordering::Relaxed);
        true
    }
}

impl Drop for BodyLease {
    fn drop(&mut self) {
        self.budget.0.fetch_add(*self.taken.get_mut(), Ordering::Relaxed);
    }
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError<E> {
    #[error(transparent)]
    Connection(E),
    #[error("other requests take all memory for bodies")]
    Memory,
}

/// Where a body goes that was not read to its end.
pub(super) type Unread<B> = Arc<Mutex<Option<B>>>;

/// A request body that the client is sending. Its turn ends with the last frame.
pub(super) struct RequestBody<B> {
    body: Option<B>,
    client_turn: Option<ClientTurn>,
    lease: Arc<BodyLease>,
    unread: Unread<B>,
    since_progress: usize,
}

impl<B: Body> RequestBody<B> {
    /// Gives the turn to the client, within the server's, until the body was read.
    pub(super) fn new(body: B, tracker: &IdleTracker, lease: Arc<BodyLease>, unread: Unread<B>) -> Self {
        let client_turn = (!body.is_end_stream()).then(|| tracker.client_turn());
        Self { body: Some(body), client_turn, lease, unread, since_progress: 0 }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = BodyError<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        let ended = body.is_end_stream();
        let frame = match polled {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => frame,
            // The end, or an error.
            Poll::Ready(other) => {
                (self.client_turn, self.body) = (None, None);
                return Poll::Ready(other.map(|r| r.map_err(BodyError::Connection)));
            }
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        if !self.lease.take(bytes) {
            self.client_turn = None;
            return Poll::Ready(Some(Err(BodyError::Memory)));
        }
        if ended {
            (self.client_turn, self.body) = (None, None);
        } else {
            self.since_progress += bytes;
            if self.since_progress >= PROGRESS
                && let Some(turn) = &self.client_turn
            {
                turn.progressed();
                self.since_progress = 0;
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }
    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }
    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            *self.unread.lock() = Some(body);
        }
    }
}

/// Reads what the client still sends, and throws it away. The connection is closed after a body that is longer.
pub(super) async fn drain<B: Body<Data = Bytes> + Unpin>(body: &mut B, tracker: &IdleTracker) {
    if body.is_end_stream() || body.size_hint().lower() > DRAINED_BYTES as u64 {
        return;
    }
    let (mut drained, mut since_progress) = (0, 0);
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        drained += bytes;
        since_progress += bytes;
        if drained > DRAINED_BYTES {
            return;
        }
        if since_progress >= PROGRESS {
            tracker.progressed();
            since_progress = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};
    use std::convert::Infallible;

    fn chunks(sizes: &[usize]) -> impl Body<Data = Bytes, Error = Infallible> + Unpin + use<> {
        let frames: Vec<_> = sizes.iter().map(|n| Ok(Frame::data(Bytes::from(vec![b'a'; *n])))).collect();
        StreamBody::new(futures_util::stream::iter(frames))
    }

    fn wrapped<B: Body>(body: B, budget: &Arc<BodyBudget>) -> (RequestBody<B>, Arc<BodyLease>, Unread<B>) {
        let (lease, unread) = (BodyLease::new(budget), Unread::default());
        let tracker = IdleTracker::default();
        let _ours = tracker.server_turn();
        let body = RequestBody::new(body, &tracker, Arc::clone(&lease), Arc::clone(&unread));
        (body, lease, unread)
    }

    /// C10: bodies of all requests share one budget; a short one needs none, and what was taken comes back.
    #[tokio::test]
    async fn bodies_share_a_budget() {
        let budget = BodyBudget::new(10_000);
        let (long, lease, _) = wrapped(chunks(&[FREE_BYTES - 1, 5_000, 4_000]), &budget);
        assert_eq!(long.collect().await.map_err(|_| ()).unwrap().to_bytes().len(), FREE_BYTES + 8_999);
        assert_eq!(budget.0.load(Ordering::Relaxed), 1_001);
        let (second, refused, _) = wrapped(chunks(&[FREE_BYTES, 2_000]), &budget);
        assert!(matches!(second.collect().await, Err(BodyError::Memory)));
        assert!(refused.refused() && !lease.refused());
        let (short, of_short, _) = wrapped(chunks(&[FREE_BYTES]), &budget);
        assert_eq!(short.collect().await.map_err(|_| ()).unwrap().to_bytes().len(), FREE_BYTES);
        drop((lease, refused, of_short));
        assert_eq!(budget.0.load(Ordering::Relaxed), 10_000);
    }

    /// E3: what a handler does not read is there to be drained; what it reads is not.
    #[tokio::test]
    async fn an_unread_body_is_kept() {
        let budget = BodyBudget::new(0);
        let (body, _, unread) = wrapped(chunks(&[10, 20]), &budget);
        drop(body);
        let mut rest = unread.lock().take().expect("kept");
        drain(&mut rest, &IdleTracker::default()).await;
        assert!(rest.frame().await.is_none(), "drained to its end");
        let (body, _, unread) = wrapped(Full::new(Bytes::from_static(b"a")), &budget);
        body.collect().await.map_err(|_| ()).unwrap();
        assert!(unread.lock().is_none());
    }

    /// E3: no more is drained than any route takes.
    #[tokio::test]
    async fn draining_is_bounded() {
        let mut endless = chunks(&[DRAINED_BYTES / 2; 5]);
        drain(&mut endless, &IdleTracker::default()).await;
        assert!(endless.frame().await.is_some(), "the rest is not read");
    }
}
