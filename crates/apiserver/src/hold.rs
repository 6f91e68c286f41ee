//! Answers that hold something until they were sent, and end by a deadline even when nobody reads them.
//!
//! A connection asks for more of an answer only when it can send it. Where the client does not read, nothing is asked, and
//! nothing would end. So a task watches each such answer: at the deadline it takes away what the answer is made from; where
//! the connection still holds its end a while later, it is hung up on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use daemon::serve::{Body, Hangup};
use http_body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::budget::Share;
use crate::fairness::Seat;
use crate::passage::Held;

/// After the deadline, for a client to find out that its answer broke off.
const HANGUP_AFTER: Duration = Duration::from_secs(30);

/// The answer with what it holds.
pub fn body(body: Body, held: Held, until: Instant, hangup: Option<Hangup>) -> Body {
    let Held { seat, content, buffers } = held;
    let size = body.size_hint();
    let source = Arc::new(Mutex::new(Some(Source { body, _held: (seat, content) })));
    let (alive, gone) = oneshot::channel();
    tokio::spawn(watch(Arc::clone(&source), gone, until, hangup));
    Body::new(Watched { source, size, _buffers: buffers, _alive: alive })
}

/// A seat that is left by the deadline, or when this is dropped before.
#[derive(Debug)]
pub struct SeatGuard {
    _alive: oneshot::Sender<()>,
}

impl SeatGuard {
    /// Keeps the seat until then.
    pub fn new(seat: Seat, until: Instant) -> Self {
        let (alive, gone) = oneshot::channel();
        tokio::spawn(async move {
            _ = tokio::time::timeout_at(until.into(), gone).await;
            drop(seat);
        });
        Self { _alive: alive }
    }
}

struct Source {
    body: Body,
    _held: (Option<Seat>, Option<Share>),
}

type Slot = Arc<Mutex<Option<Source>>>;

async fn watch(source: Slot, mut gone: oneshot::Receiver<()>, until: Instant, hangup: Option<Hangup>) {
    if tokio::time::timeout_at(until.into(), &mut gone).await.is_ok() {
        return;
    }
    drop(source.lock().take());
    if tokio::time::timeout(HANGUP_AFTER, gone).await.is_err()
        && let Some(hangup) = hangup
    {
        tracing::debug!("hanging up on a client that does not read its answers");
        hangup.now();
    }
}

struct Watched {
    source: Slot,
    size: SizeHint,
    _buffers: Option<Share>,
    _alive: oneshot::Sender<()>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let mut source = self.source.lock();
        let Some(inner) = source.as_mut() else {
            let late = "the answer was not read in the time that its request may take";
            return Poll::Ready(Some(Err(tonic::Status::deadline_exceeded(late))));
        };
        Pin::new(&mut inner.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.source.lock().as_ref().is_some_and(|source| source.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_ends_and_its_connection_later() {
        let token = tokio_util::sync::CancellationToken::new();
        let stalled = Body::new(StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, tonic::Status>>()));
        let until = Instant::now() + Duration::from_secs(60);
        let mut answer = body(stalled, Held::default(), until, Some(Hangup::new(token.clone())));
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert!(!token.is_cancelled());
        assert!(answer.frame().await.is_some_and(|frame| frame.is_err()), "it broke off");
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert!(token.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_read_hangs_nobody_up() {
        let token = tokio_util::sync::CancellationToken::new();
        let whole = Body::new(Full::new(Bytes::from_static(b"all")));
        let until = Instant::now() + Duration::from_secs(60);
        let answer = body(whole, Held::default(), until, Some(Hangup::new(token.clone())));
        assert_eq!(answer.size_hint().exact(), Some(3));
        assert_eq!(answer.collect().await.expect("all of it").to_bytes(), "all");
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert!(!token.is_cancelled());
    }
}
