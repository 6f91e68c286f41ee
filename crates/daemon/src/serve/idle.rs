//! Knows whether a connection has anything to do.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use super::Body;

/// What a connection does.
#[derive(Debug)]
pub struct Activity {
    begin: Instant,
    running: AtomicUsize,
    /// When the last request ended, in milliseconds from the beginning.
    ended_ms: AtomicU64,
}

/// A request that is under way until this is dropped.
#[derive(Debug)]
pub struct Active(Arc<Activity>);

impl Activity {
    /// Nothing yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { begin: Instant::now(), running: AtomicUsize::new(0), ended_ms: AtomicU64::new(0) })
    }

    /// A request begins.
    pub fn begin(self: &Arc<Self>) -> Active {
        self.running.fetch_add(1, Ordering::Relaxed);
        Active(Arc::clone(self))
    }

    /// How long there was nothing to do; zero while there is.
    pub fn idle_for(&self) -> Duration {
        if self.running.load(Ordering::Acquire) > 0 {
            return Duration::ZERO;
        }
        let ended = Duration::from_millis(self.ended_ms.load(Ordering::Relaxed));
        self.begin.elapsed().saturating_sub(ended)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let since = u64::try_from(self.0.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.ended_ms.store(since, Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Release);
    }
}

/// An answer is under way until its body is gone.
pub fn until_sent(response: Response<Body>, active: Active) -> Response<Body> {
    if response.body().is_end_stream() {
        return response;
    }
    response.map(|body| Body::new(Sending { body, _active: active }))
}

struct Sending {
    body: Body,
    _active: Active,
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
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

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_while_nothing_is_answered() {
        let activity = Activity::new();
        let (first, second) = (activity.begin(), activity.begin());
        tokio::time::sleep(Duration::from_secs(10)).await;
        drop(first);
        assert_eq!(activity.idle_for(), Duration::ZERO);
        drop(second);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(activity.idle_for(), Duration::from_secs(5));
    }
}
