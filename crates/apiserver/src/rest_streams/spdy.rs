//! SPDY/3.1, as far as Kubernetes' streams need it: a server to which a client opens streams.
//!
//! [`frame`] reads and writes frames, [`headers`] the compressed blocks in them; [`reader`] makes events of what a client
//! sends, [`writer`] sends. Neither knows what the streams are for.

pub mod dictionary;
pub mod frame;
pub mod headers;
pub mod reader;
pub mod window;
pub mod writer;

use std::io;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::sink::SinkExt;
use futures::stream::{BoxStream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{BytesCodec, FramedWrite};
use tokio_util::io::ReaderStream;

/// Bytes read from a connection at once.
const READ_BYTES: usize = 16 << 10;

/// Bytes from a client, in any pieces.
pub type Chunks = BoxStream<'static, io::Result<Bytes>>;
/// Bytes to a client.
pub type Pieces = Pin<Box<dyn futures::Sink<Bytes, Error = io::Error> + Send>>;

/// Both directions of a connection.
pub fn over<S: AsyncRead + AsyncWrite + Send + 'static>(stream: S) -> (Chunks, Pieces) {
    let (read, write) = tokio::io::split(stream);
    let chunks = ReaderStream::with_capacity(read, READ_BYTES).boxed();
    let pieces = FramedWrite::new(write, BytesCodec::new());
    (chunks, Box::pin(pieces.with(|bytes: Bytes| std::future::ready(Ok::<Bytes, io::Error>(bytes)))))
}

/// The four octets of a number.
fn put_u32(out: &mut BytesMut, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}

/// The number in the four octets at `at`.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let octets = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*octets))
}
