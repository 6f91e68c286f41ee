//! Calls of one connection in the connection's own task, and their answers in few writes.
//!
//! A call that has a task of its own wakes a thread for its answer, and each answer is a write to the socket: that costs more
//! than a short call itself. Here all calls that are ready are polled in turn, and what they say leaves together. For
//! servers whose calls are short or wait: a call that computes for long holds up the others of its connection.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use futures::task::{ArcWake, AtomicWaker, waker_ref};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::has_budget_remaining;

/// Bytes that wait before they are written without waiting for more.
const HELD_BYTES_MAX: usize = 64 << 10;
/// Memory that an idle connection keeps for what waits.
const HELD_BYTES_KEPT: usize = 16 << 10;

/// Times that a busy connection is polled in a row.
const ROUNDS_MAX: usize = 32;
/// Times that its calls are polled in a row before it is polled itself.
const CALL_ROUNDS_MAX: usize = 4;

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where hyper leaves the calls that it accepts.
#[derive(Clone, Default)]
pub struct Calls {
    accepted: Arc<Mutex<Vec<Call>>>,
}

impl<F> hyper::rt::Executor<F> for Calls
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, call: F) {
        self.accepted.lock().push(Box::pin(call));
    }
}

/// The calls under way.
#[derive(Default)]
pub struct Running {
    calls: Calls,
    running: FuturesUnordered<Call>,
    connection_wakes: Arc<Wakes>,
    call_wakes: Arc<Wakes>,
}

/// Takes what wakes a connection, or its calls, while they are polled: they go round once more instead of through the
/// scheduler, where another thread would be woken for it.
#[derive(Default)]
struct Wakes {
    state: AtomicU8,
    task: AtomicWaker,
}

const WAITING: u8 = 0;
const POLLED: u8 = 1;
const WOKEN: u8 = 2;

impl ArcWake for Wakes {
    fn wake_by_ref(wakes: &Arc<Self>) {
        if wakes.state.swap(WOKEN, Ordering::AcqRel) == WAITING {
            wakes.task.wake();
        }
    }
}

impl Wakes {
    /// What is woken from here on is noted only.
    fn begin(&self) {
        self.state.swap(POLLED, Ordering::AcqRel);
    }

    /// Whether anything was woken.
    fn any(&self) -> bool {
        self.state.load(Ordering::Acquire) == WOKEN
    }

    /// From here on the task is woken; false when something was woken already.
    fn wait(&self) -> bool {
        self.state.compare_exchange(POLLED, WAITING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Running {
    pub fn executor(&self) -> Calls {
        self.calls.clone()
    }

    /// Takes the calls that were accepted.
    fn absorb(&mut self) {
        let accepted = std::mem::take(&mut *self.calls.accepted.lock());
        self.running.extend(accepted);
    }

    /// Polls what is ready, and what becomes ready by that: all that they say leaves together then.
    fn advance(&mut self) {
        let wakes = self.call_wakes.clone();
        let waker = waker_ref(&wakes);
        for _ in 0..CALL_ROUNDS_MAX {
            wakes.begin();
            self.absorb();
            while let Poll::Ready(Some(())) = self.running.poll_next_unpin(&mut Context::from_waker(&waker)) {
                self.absorb();
            }
            if !wakes.any() || !has_budget_remaining() {
                return;
            }
        }
    }

    /// Polls a connection and its calls until nothing moves and nothing is held back; after [`ROUNDS_MAX`] others get their
    /// turn first.
    pub fn poll<C: Future>(
        &mut self,
        mut connection: Pin<&mut C>,
        held: &Held,
        cx: &mut Context<'_>,
    ) -> Poll<C::Output> {
        let wakes = self.connection_wakes.clone();
        let waker = waker_ref(&wakes);
        wakes.task.register(cx.waker());
        self.call_wakes.task.register(cx.waker());
        for _ in 0..ROUNDS_MAX {
            wakes.begin();
            // A connection that is polled writes what was held when it begins to read.
            if let Poll::Ready(ended) = connection.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(ended);
            }
            self.advance();
            let waits = [wakes.wait(), self.call_wakes.wait()];
            if waits == [true; 2] && !held.wants_writing() {
                return Poll::Pending;
            }
            if !has_budget_remaining() {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whether a [`Holding`] has bytes that the socket would take.
#[derive(Clone, Default)]
pub struct Held {
    bytes: Arc<AtomicBool>,
    blocked: Arc<AtomicBool>,
}

impl Held {
    fn wants_writing(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) && !self.blocked.load(Ordering::Relaxed)
    }
}

/// A stream that holds what is flushed until it is read from next, or until there is much of it.
pub struct Holding<S> {
    stream: S,
    waiting: BytesMut,
    held: Held,
    /// What was written past `waiting` may still lie in the stream's own buffer.
    unflushed: bool,
}

impl<S: AsyncWrite + Unpin> Holding<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, waiting: BytesMut::new(), held: Held::default(), unflushed: false }
    }

    pub fn held(&self) -> Held {
        self.held.clone()
    }

    /// Writes what waits, as far as the socket takes it.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = match Pin::new(&mut self.stream).poll_write(cx, &self.waiting) {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    self.held.blocked.store(true, Ordering::Relaxed);
                    return Poll::Pending;
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let _written = self.waiting.split_to(written);
        }
        if self.waiting.capacity() > HELD_BYTES_KEPT {
            self.waiting = BytesMut::new();
        }
        self.held.bytes.store(false, Ordering::Relaxed);
        self.held.blocked.store(false, Ordering::Relaxed);
        std::task::ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Writes what waits, and much more behind it without copying that.
    fn write_past(&mut self, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.drain(cx))?;
        self.unflushed = true;
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        self.held.bytes.store(true, Ordering::Relaxed);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Holding<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(Err(error)) = self.drain(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Holding<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.waiting.len() >= HELD_BYTES_MAX {
            std::task::ready!(self.drain(cx))?;
        }
        self.hold(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len >= HELD_BYTES_MAX {
            return self.write_past(cx, parts);
        }
        if self.waiting.len() >= HELD_BYTES_MAX {
            std::task::ready!(self.drain(cx))?;
        }
        for part in parts {
            self.hold(part);
        }
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.waiting.len() {
            waiting if waiting >= HELD_BYTES_MAX || self.unflushed => self.drain(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.drain(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
