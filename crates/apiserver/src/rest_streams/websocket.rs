//! The WebSocket below a session.

use std::io;

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::channel::{Codec, Received};
use super::drive::Idle;
use super::spdy::{Chunks, Pieces};

/// Largest message of a client, as upstream has it.
const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// Read at once, and gathered before it is written.
const BUFFER_BYTES: usize = 16 << 10;

/// A WebSocket on a connection that was upgraded.
pub type WebSocket = WebSocketStream<TokioIo<Upgraded>>;

/// The server's side of an upgraded connection.
pub async fn over(connection: Upgraded) -> WebSocket {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, Some(config)).await
}

/// The channels of a WebSocket, to be written.
pub struct Writer {
    sink: SplitSink<WebSocket, Message>,
    codec: Codec,
    idle: Idle,
}

/// The channels of a WebSocket, to be read.
pub struct Reader {
    stream: SplitStream<WebSocket>,
    codec: Codec,
    idle: Idle,
}

/// Both directions of a WebSocket that carries channels.
pub fn channels(socket: WebSocket, codec: Codec, idle: &Idle) -> (Reader, Writer) {
    let (sink, stream) = socket.split();
    (Reader { stream, codec, idle: idle.clone() }, Writer { sink, codec, idle: idle.clone() })
}

impl Writer {
    /// Sends bytes of a channel; false where the client is gone.
    pub async fn send(&mut self, channel: u8, bytes: &[u8]) -> bool {
        self.idle.touch();
        self.sink.send(self.codec.encode(channel, bytes)).await.is_ok()
    }

    /// Says that nothing more comes; false where the client is gone.
    pub async fn end(&mut self) -> bool {
        let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.sink.send(Message::Close(Some(normal))).await.is_ok()
    }
}

impl Reader {
    /// The next message; none once the client is gone.
    pub async fn next(&mut self) -> Option<Received> {
        let message = self.stream.next().await?;
        self.idle.touch();
        match message {
            Ok(message) => Some(self.codec.decode(message)),
            Err(error) => {
                tracing::debug!("a client's WebSocket ends: {error}");
                None
            }
        }
    }

    /// Throws away what comes until the client is gone.
    pub async fn discard(mut self) {
        while self.next().await.is_some() {}
    }
}

/// The bytes in a WebSocket's binary messages, for what is tunneled in it.
pub fn tunnel(socket: WebSocket) -> (Chunks, Pieces) {
    let (sink, stream) = socket.split();
    let chunks = stream.filter_map(|message| {
        std::future::ready(match message {
            Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
            Ok(Message::Text(_)) => Some(Err(io::Error::other("a text message in a tunnel"))),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_) | Message::Close(_)) => None,
            Err(error) => Some(Err(plain(error))),
        })
    });
    let pieces = sink.sink_map_err(plain).with(|bytes: Bytes| std::future::ready(Ok(Message::Binary(bytes))));
    (chunks.boxed(), Box::pin(pieces))
}

fn plain(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
