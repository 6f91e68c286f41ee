//! Wakes one session, at the cost of two words.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures::task::AtomicWaker;

/// Tells a stream's session that there is something to do.
#[derive(Default)]
pub struct Signal {
    raised: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
    /// Returns when it was raised since the last time. One task at most waits.
    pub async fn raised(&self) {
        std::future::poll_fn(|cx| {
            if self.lower() {
                return Poll::Ready(());
            }
            self.waker.register(cx.waker());
            if self.lower() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn lower(&self) -> bool {
        self.raised.swap(false, Ordering::AcqRel)
    }

    pub(super) fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }
}
