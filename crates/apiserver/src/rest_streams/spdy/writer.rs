//! Sends frames: a handle for those who have something to say, and the one that writes to the connection.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::SinkExt;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::Pieces;
use super::frame::{Frame, Reset};
use super::window::{Room, Windows};
use crate::rest_streams::drive::Idle;

/// Frames that wait to be written; with [`DATA_BYTES_MAX`] the bound on what a connection holds.
const FRAMES_MAX: usize = 16;
/// Bytes of a data frame.
const DATA_BYTES_MAX: usize = 32 << 10;

#[derive(Debug)]
enum Out {
    Frame(Bytes),
    /// The last frame was sent.
    End,
}

/// Says what is to be sent.
#[derive(Debug, Clone)]
pub struct Writer {
    frames: mpsc::Sender<Out>,
    windows: Arc<Mutex<Windows>>,
    /// A window became wider, or a stream was closed.
    changed: Arc<Notify>,
}

/// Writes to the connection.
pub struct Pump {
    frames: mpsc::Receiver<Out>,
    pieces: Pieces,
    idle: Idle,
}

/// Both, over a connection.
pub fn over(pieces: Pieces, idle: Idle) -> (Writer, Pump) {
    let (sender, frames) = mpsc::channel(FRAMES_MAX);
    let writer = Writer { frames: sender, windows: Arc::default(), changed: Arc::default() };
    (writer, Pump { frames, pieces, idle })
}

impl Pump {
    /// Writes until the end was said (true), or until the client takes nothing any more (false).
    pub async fn run(mut self) -> bool {
        while let Some(out) = self.frames.recv().await {
            self.idle.touch();
            let sent = match out {
                Out::Frame(bytes) if self.frames.is_empty() => self.pieces.send(bytes).await,
                Out::Frame(bytes) => self.pieces.feed(bytes).await,
                Out::End => return self.pieces.close().await.is_ok(),
            };
            if sent.is_err() {
                return false;
            }
        }
        false
    }
}

impl Pump {
    /// Writes what `saying` says; as [`Self::run`].
    pub async fn run_beside(self, saying: impl Future<Output = ()>) -> bool {
        let said = async {
            saying.await;
            // The pump tells when the last of it was written.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = self.run() => ended,
            () = said => false,
        }
    }
}

impl Writer {
    /// What is known of the streams; for the reader.
    pub fn windows(&self) -> &Mutex<Windows> {
        &self.windows
    }

    /// Wakes those who wait for room.
    pub fn changed(&self) {
        self.changed.notify_waiters();
    }

    /// Sends a frame. A client that is gone shows in the pump and in the reader.
    pub async fn send(&self, frame: Frame) {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        let _gone = self.frames.send(Out::Frame(bytes.freeze())).await;
    }

    /// Sends bytes of a stream, in pieces, as the client has room for them; false once the stream is closed.
    pub async fn data(&self, stream: u32, mut bytes: Bytes) -> bool {
        while !bytes.is_empty() {
            let Some(room) = self.room(stream, bytes.len().min(DATA_BYTES_MAX)).await else { return false };
            self.send(Frame::Data { stream, fin: false, bytes: bytes.split_to(room) }).await;
        }
        true
    }

    /// Waits for room; none: the stream is closed.
    async fn room(&self, stream: u32, wanted: usize) -> Option<usize> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.windows.lock().take(stream, wanted) {
                Room::Bytes(room) => return Some(room),
                Room::Closed => return None,
                Room::None => {}
            }
            changed.await;
        }
    }

    /// We have no more for the stream.
    pub async fn finish(&self, stream: u32) {
        let was_open = self.windows.lock().finish(stream);
        if was_open {
            self.send(Frame::Data { stream, fin: true, bytes: Bytes::new() }).await;
        }
    }

    /// Ends a stream at once.
    pub async fn reset(&self, stream: u32, why: Reset) {
        self.windows.lock().reset(stream);
        self.changed();
        self.send(Frame::RstStream { stream, status: why as u32 }).await;
    }

    /// What arrived on a stream was passed on.
    pub async fn consumed(&self, stream: u32, bytes: usize) {
        let (of_stream, of_connection) = self.windows.lock().consume(stream, bytes);
        for (stream, delta) in [(stream, of_stream), (0, of_connection)] {
            if delta > 0 {
                self.send(Frame::WindowUpdate { stream, delta }).await;
            }
        }
    }

    /// Waits until nothing more is written.
    pub async fn ended(&self) {
        self.frames.closed().await;
    }

    /// Says that nothing more comes, and closes our direction.
    pub async fn end(&self, last: u32, status: u32) {
        self.send(Frame::GoAway { last, status }).await;
        let _gone = self.frames.send(Out::End).await;
    }
}
