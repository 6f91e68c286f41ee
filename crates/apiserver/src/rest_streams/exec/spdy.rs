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
    // A client that fills its standard input before all streams are there holds up the reader, and its deadline.
    let Ok(Ok(streams)) = tokio::time::timeout(STREAMS_TIMEOUT, begun).await else {
        return writer.end(0, GOAWAY_OK).await;
    };
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

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tonic::transport::Endpoint;

    use super::*;
    use crate::rest_streams::negotiate::EXEC_SPDY;
    use crate::rest_streams::options::Kind;
    use crate::rest_streams::spdy::frame::Frame;
    use crate::rest_streams::spdy::headers::testing::Deflater;
    use crate::rest_streams::spdy::over;

    /// Runs a session whose client sends `frames` and then nothing, until it ends.
    async fn run_with(frames: &[Frame]) -> Vec<u8> {
        let start = ExecStart { command: vec!["cat".into()], stdin: true, stdout: true, ..ExecStart::default() };
        let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let kubelet = proto::keelson::node::v1::node_client::NodeClient::new(channel);
        let (mut client, server) = tokio::io::duplex(8 << 20);
        let mut wire = BytesMut::new();
        frames.iter().for_each(|frame| frame.encode(&mut wire));
        client.write_all(&wire).await.expect("room");
        let (chunks, pieces) = over(server);
        run(chunks, pieces, &EXEC_SPDY[1], Exec { kind: Kind::Exec, kubelet, start }).await;
        let mut answered = Vec::new();
        client.read_to_end(&mut answered).await.expect("all of it");
        answered
    }

    fn open(deflater: &mut Deflater, stream: u32, kind: &str) -> Frame {
        let headers = Headers(vec![("streamtype".to_owned(), kind.to_owned())]);
        Frame::SynStream { stream, fin: false, block: deflater.write(&headers) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_thirty_seconds_for_its_streams() {
        let (mut deflater, begin) = (Deflater::default(), Instant::now());
        run_with(&[open(&mut deflater, 1, "error"), open(&mut deflater, 3, "stdin")]).await;
        assert_eq!(begin.elapsed(), STREAMS_TIMEOUT);
        let mut deflater = Deflater::default();
        let mut frames = vec![open(&mut deflater, 1, "error"), open(&mut deflater, 3, "stdin")];
        let data = || Frame::Data { stream: 3, fin: false, bytes: Bytes::from_static(&[7; 1 << 16]) };
        frames.extend((0..60).map(|_| data()));
        run_with(&frames).await;
        assert_eq!(begin.elapsed(), STREAMS_TIMEOUT * 2, "nor does it help to fill the standard input");
    }

    #[tokio::test]
    async fn streams_that_nobody_knows_are_reset() {
        let mut deflater = Deflater::default();
        let frames = [
            open(&mut deflater, 1, "data"),
            open(&mut deflater, 3, "error"),
            open(&mut deflater, 5, "error"),
            Frame::SynStream { stream: 4, fin: false, block: Bytes::new() },
        ];
        let answered = run_with(&frames).await;
        let mut decoder = crate::rest_streams::spdy::frame::Decoder::default();
        decoder.push(&answered);
        let mut kinds = Vec::new();
        while let Some(frame) = decoder.next().expect("our own frames") {
            kinds.push(match frame {
                Frame::RstStream { stream, status } => format!("reset {stream} {status}"),
                Frame::SynReply { stream, .. } => format!("reply {stream}"),
                Frame::GoAway { status, .. } => format!("goaway {status}"),
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(kinds, ["reset 1 5", "reply 3", "reset 5 5", "goaway 1"], "a broken block ends the connection");
    }
}
