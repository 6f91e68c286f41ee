//! Makes events of what a client sends, and answers what is the protocol's own business.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use super::Chunks;
use super::frame::{Decoder, Frame, FrameError, Reset};
use super::headers::{Headers, HeadersError, Inflater, Stored};
use super::window::SETTINGS_INITIAL_WINDOW;
use super::writer::Writer;
use crate::rest_streams::drive::Idle;

/// Streams of a connection that are open together.
const STREAMS_MAX: usize = 2_048;
/// For a client that speaks no SPDY to hear so.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(5);
/// GOAWAY: all is well, and the client did what SPDY does not allow.
pub const GOAWAY_OK: u32 = 0;
const GOAWAY_PROTOCOL_ERROR: u32 = 1;

/// What a client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It opened a stream, which is to be taken or reset.
    Opened { stream: u32, headers: Headers },
    /// It sent bytes of a stream.
    Data { stream: u32, bytes: bytes::Bytes },
    /// It has no more bytes for a stream.
    Finished { stream: u32 },
    /// It wants no more of a stream.
    Reset { stream: u32 },
    /// Nothing, until the time that was given.
    Late,
}

/// Reads a connection.
pub struct Reader {
    chunks: Chunks,
    decoder: Decoder,
    inflater: Inflater,
    replies: Stored,
    writer: Writer,
    idle: Idle,
    /// The newest stream.
    last: u32,
    /// An event that comes after the one that was told.
    next: Option<Event>,
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Headers(#[from] HeadersError),
    #[error("stream {0} is opened by the client, after {1}")]
    Number(u32, u32),
}

impl Reader {
    /// Reads `chunks`; what is to be answered goes to `writer`.
    pub fn new(chunks: Chunks, writer: Writer, idle: Idle) -> Self {
        Self {
            chunks,
            decoder: Decoder::default(),
            inflater: Inflater::default(),
            replies: Stored::default(),
            writer,
            idle,
            last: 0,
            next: None,
        }
    }

    /// The next event, or [`Event::Late`] at `until`. None: the client is gone, or speaks no SPDY.
    pub async fn next(&mut self, until: Option<Instant>) -> Option<Event> {
        if let Some(next) = self.next.take() {
            return Some(next);
        }
        loop {
            match self.frames().await {
                Ok(Some(event)) => return Some(event),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!("a client's SPDY ends: {error}");
                    self.writer.end(self.last, GOAWAY_PROTOCOL_ERROR).await;
                    // The session ends with its reader; the client is to hear why.
                    let _deaf = tokio::time::timeout(LAST_WORDS_TIMEOUT, self.writer.ended()).await;
                    return None;
                }
            }
            let chunk = match until {
                Some(until) if until <= Instant::now() => return Some(Event::Late),
                Some(until) => match tokio::time::timeout_at(until, self.chunks.next()).await {
                    Ok(chunk) => chunk,
                    Err(_) => return Some(Event::Late),
                },
                None => self.chunks.next().await,
            };
            self.decoder.push(&chunk?.ok()?);
            self.idle.touch();
        }
    }

    /// The event of the frames that are there, if they have one.
    async fn frames(&mut self) -> Result<Option<Event>, ReadError> {
        while let Some(frame) = self.decoder.next()? {
            if let Some(event) = self.take(frame).await? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    async fn take(&mut self, frame: Frame) -> Result<Option<Event>, ReadError> {
        match frame {
            Frame::SynStream { stream, fin, block } => {
                let headers = self.inflater.read(&block)?;
                return self.opened(stream, fin, headers).await;
            }
            // Nobody here waits for what they say, but the next block builds on this one.
            Frame::SynReply { block, .. } | Frame::Headers { block, .. } => drop(self.inflater.read(&block)?),
            Frame::Data { stream, fin, bytes } => return Ok(self.data(stream, fin, bytes).await),
            Frame::RstStream { stream, .. } => {
                let was_there = self.writer.windows().lock().reset(stream);
                self.writer.changed();
                return Ok(was_there.then_some(Event::Reset { stream }));
            }
            Frame::Ping(id) => {
                // Those with even numbers are ours, and we send none.
                if id % 2 == 1 {
                    self.writer.send(Frame::Ping(id)).await;
                }
            }
            Frame::WindowUpdate { stream, delta } => {
                self.writer.windows().lock().widen(stream, delta);
                self.writer.changed();
            }
            Frame::Settings(entries) => {
                let initial = entries.iter().find(|(id, _)| *id == SETTINGS_INITIAL_WINDOW);
                if let Some((_, initial)) = initial {
                    self.writer.windows().lock().set_initial(*initial);
                    self.writer.changed();
                }
            }
            Frame::GoAway { .. } | Frame::Unknown(_) => {}
        }
        Ok(None)
    }

    async fn opened(&mut self, stream: u32, fin: bool, headers: Headers) -> Result<Option<Event>, ReadError> {
        if stream.is_multiple_of(2) || stream <= self.last {
            return Err(ReadError::Number(stream, self.last));
        }
        self.last = stream;
        if self.writer.windows().lock().len() >= STREAMS_MAX {
            self.writer.reset(stream, Reset::RefusedStream).await;
            return Ok(None);
        }
        self.writer.windows().lock().open(stream, fin);
        self.next = fin.then_some(Event::Finished { stream });
        Ok(Some(Event::Opened { stream, headers }))
    }

    async fn data(&mut self, stream: u32, fin: bool, bytes: bytes::Bytes) -> Option<Event> {
        if !self.writer.windows().lock().receives(stream) {
            // What was under way when a stream was closed is no mistake.
            self.writer.consumed(stream, bytes.len()).await;
            if stream > self.last {
                self.writer.reset(stream, Reset::InvalidStream).await;
            }
            return None;
        }
        let finished = fin.then_some(Event::Finished { stream });
        if fin {
            self.writer.windows().lock().finish_there(stream);
        }
        if bytes.is_empty() {
            return finished;
        }
        self.next = finished;
        Some(Event::Data { stream, bytes })
    }

    /// Takes a stream that was opened.
    pub async fn accept(&mut self, stream: u32) {
        let block = self.replies.write(&Headers::default());
        self.writer.send(Frame::SynReply { stream, fin: false, block }).await;
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use futures::stream;

    use super::super::headers::testing::Deflater;
    use super::super::writer;
    use super::*;

    fn reader(wire: &[Frame]) -> (Reader, writer::Pump, tokio::io::DuplexStream) {
        let mut bytes = BytesMut::new();
        wire.iter().for_each(|frame| frame.encode(&mut bytes));
        let (near, far) = tokio::io::duplex(1 << 20);
        let (_, pieces) = super::super::over(far);
        let idle = Idle::new();
        let (writer, pump) = writer::over(pieces, idle.clone());
        let chunks = stream::iter([Ok(bytes.freeze())]).boxed();
        (Reader::new(chunks, writer, idle), pump, near)
    }

    fn open(deflater: &mut Deflater, stream: u32, kind: &str) -> Frame {
        let headers = Headers(vec![("streamtype".to_owned(), kind.to_owned())]);
        Frame::SynStream { stream, fin: kind == "error", block: deflater.write(&headers) }
    }

    /// The events of a client's frames, and the frames that it is answered; streams are taken.
    async fn run(wire: &[Frame]) -> (Vec<Event>, Vec<Frame>) {
        let (mut reader, pump, mut near) = reader(wire);
        let pump = tokio::spawn(pump.run());
        let mut events = Vec::new();
        while let Some(event) = reader.next(None).await {
            if let Event::Opened { stream, .. } = event {
                reader.accept(stream).await;
            }
            events.push(event);
        }
        drop(reader);
        pump.await.expect("no panic");
        let mut answered = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut near, &mut answered).await.expect("all of it");
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        decoder.push(&answered);
        while let Some(frame) = decoder.next().expect("our own frames") {
            frames.push(frame);
        }
        (events, frames)
    }

    #[tokio::test]
    async fn streams_are_opened_used_and_closed() {
        let mut deflater = Deflater::default();
        let data = |stream, fin, bytes: &'static [u8]| Frame::Data { stream, fin, bytes: Bytes::from_static(bytes) };
        let wire = [
            open(&mut deflater, 1, "error"),
            open(&mut deflater, 3, "stdin"),
            data(3, false, b"hello"),
            Frame::Ping(1),
            Frame::Ping(2),
            data(3, true, b"!"),
            data(3, false, b"after the end"),
            data(9, false, b"on no stream"),
            Frame::RstStream { stream: 1, status: 5 },
        ];
        let (events, answers) = run(&wire).await;
        let kinds: Vec<_> = events
            .iter()
            .map(|event| match event {
                Event::Opened { stream, headers } => format!("{stream} {}", headers.get("streamtype").unwrap_or("")),
                Event::Data { stream, bytes } => format!("{stream} {}", bytes.escape_ascii()),
                Event::Finished { stream } => format!("{stream} ends"),
                Event::Reset { stream } => format!("{stream} reset"),
                Event::Late => "late".to_owned(),
            })
            .collect();
        assert_eq!(kinds, ["1 error", "1 ends", "3 stdin", "3 hello", "3 !", "3 ends", "1 reset"]);
        assert!(matches!(answers[0], Frame::SynReply { stream: 1, .. }), "{answers:?}");
        assert!(matches!(answers[1], Frame::SynReply { stream: 3, .. }), "{answers:?}");
        assert_eq!(answers[2..], [Frame::Ping(1), Frame::RstStream { stream: 9, status: 2 }]);
    }

    #[tokio::test]
    async fn streams_that_are_numbered_wrongly_end_the_connection() {
        for numbers in [&[2][..], &[3, 3], &[3, 1]] {
            let mut deflater = Deflater::default();
            let wire: Vec<Frame> = numbers.iter().map(|stream| open(&mut deflater, *stream, "stdin")).collect();
            let (_, answers) = run(&wire).await;
            assert!(matches!(answers.last(), Some(Frame::GoAway { status: 1, .. })), "{answers:?}");
        }
    }

    #[tokio::test]
    async fn streams_are_bounded() {
        let mut deflater = Deflater::default();
        let wire: Vec<Frame> = (0..=STREAMS_MAX as u32).map(|at| open(&mut deflater, at * 2 + 1, "stdin")).collect();
        let (events, answers) = run(&wire).await;
        assert_eq!(events.len(), STREAMS_MAX);
        let last = STREAMS_MAX as u32 * 2 + 1;
        assert_eq!(answers.last(), Some(&Frame::RstStream { stream: last, status: Reset::RefusedStream as u32 }));
    }

    #[tokio::test]
    async fn data_waits_for_room_where_the_client_keeps_windows() {
        let mut deflater = Deflater::default();
        let wire = [Frame::Settings(vec![(SETTINGS_INITIAL_WINDOW, 10)]), open(&mut deflater, 1, "stdout")];
        let (mut reader, pump, _near) = reader(&wire);
        tokio::spawn(pump.run());
        assert!(matches!(reader.next(None).await, Some(Event::Opened { stream: 1, .. })));
        let writer = reader.writer.clone();
        let sending = tokio::spawn(async move { writer.data(1, Bytes::from_static(&[7; 25])).await });
        for _ in 0..2 {
            tokio::task::yield_now().await;
            assert!(!sending.is_finished());
            reader.writer.windows().lock().widen(1, 10);
            reader.writer.changed();
        }
        assert!(sending.await.expect("no panic"), "the room came");
        let writer = reader.writer.clone();
        let sending = tokio::spawn(async move { writer.data(1, Bytes::from_static(&[7; 25])).await });
        tokio::task::yield_now().await;
        reader.writer.reset(1, Reset::Cancel).await;
        assert!(!sending.await.expect("no panic"), "the stream is closed");
    }
}
