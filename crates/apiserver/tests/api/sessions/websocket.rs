//! A client of a WebSocket's channels.

use std::ops::Deref;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::door::Door;

const LIMIT: Duration = Duration::from_secs(20);

/// A client.
pub struct Socket {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    base64: bool,
}

/// What came, by channel.
#[derive(Debug, Default)]
pub struct Messages(Vec<(u8, Vec<u8>)>);

impl Deref for Messages {
    type Target = [(u8, Vec<u8>)];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Messages {
    /// The bytes of a channel.
    pub fn of(&self, channel: u8) -> Vec<u8> {
        self.iter().filter(|(of, _)| *of == channel).flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

async fn open(door: &Door, query: &str, protocol: &str) -> WebSocketStream<TlsStream<TcpStream>> {
    let request = format!("GET /api/v1/namespaces/default/pods/p/{query}");
    let headers = format!(
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v9.channel.k8s.io, {protocol}\r\n"
    );
    let (head, stream) = door.upgrade(&request, &headers).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    assert!(head.contains(&format!("sec-websocket-protocol: {protocol}\r\n")), "{head}");
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

impl Socket {
    pub async fn open(door: &Door, query: &str, protocol: &str) -> Self {
        let base64 = protocol.contains("base64");
        Self::open_as(door, query, protocol, base64).await
    }

    pub async fn open_as(door: &Door, query: &str, protocol: &str, base64: bool) -> Self {
        Self { socket: open(door, query, protocol).await, base64 }
    }

    pub async fn send(&mut self, channel: u8, bytes: &[u8]) {
        let message = [&[channel], bytes].concat();
        self.socket.send(Message::binary(message)).await.expect("sent");
    }

    pub async fn ping(&mut self) {
        self.socket.send(Message::Ping(bytes::Bytes::from_static(b"here"))).await.expect("sent");
    }

    /// Everything until the server closes in order.
    pub async fn all(mut self) -> Messages {
        let mut messages = Messages::default();
        while let Some(message) = self.next().await {
            messages.0.push(message);
        }
        messages
    }

    /// What comes until it is enough.
    pub async fn until(&mut self, enough: impl Fn(&Messages) -> bool) -> Messages {
        let mut messages = Messages::default();
        while !enough(&messages) {
            messages.0.push(self.next().await.expect("more"));
        }
        messages
    }

    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let message = tokio::time::timeout(LIMIT, self.socket.next()).await.expect("in time");
            match message.expect("a close before the end").expect("a message") {
                Message::Binary(bytes) if !self.base64 => return Some((bytes[0], bytes[1..].to_vec())),
                Message::Text(text) if self.base64 => {
                    let (channel, bytes) = (text.as_bytes()[0] - b'0', STANDARD.decode(&text.as_bytes()[1..]));
                    return Some((channel, bytes.expect("base64")));
                }
                Message::Close(frame) => {
                    assert_eq!(frame.map(|frame| frame.code.into()), Some(1000_u16));
                    // Flushes the answer.
                    let _ = self.socket.close(None).await;
                    return None;
                }
                Message::Pong(text) => assert_eq!(&text[..], b"here"),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The bytes that a WebSocket tunnels.
pub async fn tunnel(door: &Door, query: &str, protocol: &str) -> DuplexStream {
    let (mut sink, mut stream) = open(door, query, protocol).await.split();
    let (near, far) = tokio::io::duplex(64 << 10);
    let (mut read, mut write) = tokio::io::split(far);
    tokio::spawn(async move {
        while let Some(Ok(Message::Binary(bytes))) = stream.next().await {
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    });
    tokio::spawn(async move {
        let mut buffer = [0; 100];
        while let Ok(length @ 1..) = read.read(&mut buffer).await {
            let piece = Message::binary(buffer[..length].to_vec());
            if sink.send(piece).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    });
    near
}
