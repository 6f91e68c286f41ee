//! exec and attach over SPDY: a stream each for standard input, output, the end and the terminal's size, told apart by the
//! header `streamType`.

use proto::keelson::api::v1::ExecStart;
use proto::keelson::api::v1::exec_input::Input;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Exec, Inputs, Process, Said};
use crate::rest_streams::drive::{self, Idle, STREAMS_TIMEOUT};
use crate::rest_streams::negotiate::ExecProtocol;
use crate::rest_streams::resize::Resizes;
use crate::rest_streams::spdy::frame::Reset;
use crate::rest_streams::spdy::headers::Headers;
use crate::rest_streams::spdy::reader::{Event, GOAWAY_OK, Reader};
use crate::rest_streams::spdy::writer::{self, Writer};
use crate::rest_streams::spdy::{Chunks, Pieces};
use crate::rest_streams::status::Form;

/// The streams of a session by what they are for.
#[derive(Debug, Clone, Copy, Default)]
struct Streams {
    error: Option<u32>,
    stdin: Option<u32>,
    stdout: Option<u32>,
    stderr: Option<u32>,
    resize: Option<u32>,
}

impl Streams {
    /// The place of a new stream; none: nobody knows such a stream, or there is one.
    fn place(&mut self, headers: &Headers) -> Option<&mut Option<u32>> {
        let place = match headers.get("streamtype")? {
            "error" => &mut self.error,
            "stdin" => &mut self.stdin,
            "stdout" => &mut self.stdout,
            "stderr" => &mut self.stderr,
            "resize" => &mut self.resize,
            _ => return None,
        };
        place.is_none().then_some(place)
    }

    /// Whether all streams are there without which the process is not begun.
    fn complete(&self, start: &ExecStart, resizes: bool) -> bool {
        let wanted = [
            (true, self.error),
            (start.stdin, self.stdin),
            (start.stdout, self.stdout),
            (start.stderr, self.stderr),
            (start.tty && resizes, self.resize),
        ];
        wanted.iter().all(|(wanted, stream)| !wanted || stream.is_some())
    }

    fn all(&self) -> impl Iterator<Item = u32> {
        [self.stdin, self.resize, self.stdout, self.stderr, self.error].into_iter().flatten()
    }
}

/// Runs a session until the process or the client ends it.
pub async fn run(chunks: Chunks, pieces: Pieces, protocol: &'static ExecProtocol, exec: Exec) {
    let idle = Idle::new();
    let (writer, pump) = writer::over(pieces, idle.clone());
    let reader = Reader::new(chunks, writer.clone(), idle.clone());
    let start = exec.start.clone();
    let (inputs, process) = exec.prepare();
    let (begin, begun) = oneshot::channel();
    let reading = Reading { reader, writer: writer.clone(), streams: Streams::default(), inputs };
    let reading = reading.run(&start, protocol.resizes, begin);
    let saying = say(writer, process, begun, protocol.status);
    drive::run(Box::pin(reading), Box::pin(pump.run_beside(saying)), &idle).await;
}

struct Reading {
    reader: Reader,
    writer: Writer,
    streams: Streams,
    inputs: Inputs,
}

impl Reading {
    async fn run(mut self, start: &ExecStart, resizes: bool, begin: oneshot::Sender<Streams>) {
        let (mut begin, deadline) = (Some(begin), Instant::now() + STREAMS_TIMEOUT);
        let mut sizes = Resizes::default();
        loop {
            let until = begin.as_ref().map(|_| deadline);
            let Some(event) = self.reader.next(until).await else { return };
            match event {
                Event::Opened { stream, headers } => {
                    self.opened(stream, &headers).await;
                    if self.streams.complete(start, resizes)
                        && let Some(begin) = begin.take()
                    {
                        let _ended = begin.send(self.streams);
                    }
                }
                Event::Data { stream, bytes } => {
                    let length = bytes.len();
                    if Some(stream) == self.streams.stdin && start.stdin {
                        self.inputs.stdin(bytes).await;
                    } else if Some(stream) == self.streams.resize
                        && let Some(size) = sizes.read(&bytes)
                    {
                        self.inputs.send(Input::Resize(size)).await;
                    }
                    self.writer.consumed(stream, length).await;
                }
                Event::Finished { stream } | Event::Reset { stream } => {
                    if Some(stream) == self.streams.stdin && start.stdin {
                        self.inputs.send(Input::StdinClosed(true)).await;
                    }
                }
                Event::Late => {
                    tracing::debug!("a client did not open its streams within {} s", STREAMS_TIMEOUT.as_secs());
                    return;
                }
            }
        }
    }

    async fn opened(&mut self, stream: u32, headers: &Headers) {
        match self.streams.place(headers) {
            Some(place) => {
                *place = Some(stream);
                self.reader.accept(stream).await;
            }
            None => self.writer.reset(stream, Reset::Cancel).await,
        }
    }
}

/// Says what the process says, once all streams are there.
async fn say(writer: Writer, mut process: Process, begun: oneshot::Receiver<Streams>, form: Form) {
    let Ok(streams) = begun.await else { return };
    loop {
        let (stream, bytes) = match process.next().await {
            Said::Stdout(bytes) => (streams.stdout, bytes),
            Said::Stderr(bytes) => (streams.stderr, bytes),
            Said::Ended(status) => {
                if let (Some(stream), Some(bytes)) = (streams.error, form.encode(&status)) {
                    writer.data(stream, bytes).await;
                }
                for stream in streams.all() {
                    writer.finish(stream).await;
                }
                return writer.end(streams.all().max().unwrap_or(0), GOAWAY_OK).await;
            }
        };
        if let Some(stream) = stream {
            // A stream that the client has closed takes nothing, and the process goes on.
            writer.data(stream, bytes).await;
        }
    }
}
