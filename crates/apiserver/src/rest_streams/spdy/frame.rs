//! Frames of SPDY/3.1: read from bytes in any pieces, written to bytes. Blocks of headers stay compressed here.
//!
//! Data is handed on as it arrives, so that a frame of 16 MiB is never held; of control frames at most
//! [`CONTROL_BYTES_MAX`] are.

use bytes::{Buf, Bytes, BytesMut};

use super::{put_u32, u32_at};

/// Largest control frame that is read; its longest part is a compressed block of headers.
pub const CONTROL_BYTES_MAX: usize = 64 << 10;
/// Before the payload: what it is, whose it is, flags, and its length.
const HEAD_BYTES: usize = 8;
const VERSION: u16 = 3;
const CONTROL_BIT: u32 = 1 << 31;
const STREAM_MASK: u32 = !CONTROL_BIT;
/// The sender has no more for the stream.
const FLAG_FIN: u8 = 1;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// Why a stream is reset, as RST_STREAM numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Reset {
    /// No such stream.
    InvalidStream = 2,
    /// Refused before anything was done.
    RefusedStream = 3,
    /// Nobody wants it any more.
    Cancel = 5,
}

/// A frame. Streams are numbered with 31 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream { stream: u32, fin: bool, block: Bytes },
    /// Takes a stream.
    SynReply { stream: u32, fin: bool, block: Bytes },
    /// Ends a stream at once.
    RstStream { stream: u32, status: u32 },
    /// Settings by number; the others are left out.
    Settings(Vec<(u32, u32)>),
    /// To be sent back.
    Ping(u32),
    /// No stream after this one was looked at.
    GoAway { last: u32, status: u32 },
    /// More headers.
    Headers { stream: u32, fin: bool, block: Bytes },
    /// Room for more data; stream 0 is the whole connection.
    WindowUpdate { stream: u32, delta: u32 },
    /// Bytes of a stream, or of one that is read in pieces, a piece.
    Data { stream: u32, fin: bool, bytes: Bytes },
    /// A control frame that nobody here knows; to be overlooked.
    Unknown(u16),
}

/// What ends a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Another version, or no SPDY at all.
    #[error("a control frame of SPDY version {0}; only version 3 is spoken here")]
    Version(u16),
    /// More than [`CONTROL_BYTES_MAX`].
    #[error("a control frame of {0} bytes; at most {CONTROL_BYTES_MAX} are read")]
    TooLarge(usize),
    /// Shorter or longer than its kind.
    #[error("a control frame of kind {kind} with {bytes} bytes")]
    Malformed {
        /// Its number.
        kind: u16,
        /// Its length.
        bytes: usize,
    },
}

/// Makes frames of bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    /// The data frame that is under way.
    data: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    stream: u32,
    left: usize,
    fin: bool,
}

impl Decoder {
    /// Takes bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, once it is there.
    ///
    /// # Errors
    /// Bytes that are no frame; nothing can be read after them.
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(rest) = self.data.take() {
            return Ok(self.piece(rest));
        }
        let (Some(first), Some(second)) = (u32_at(&self.buffer, 0), u32_at(&self.buffer, 4)) else { return Ok(None) };
        let (flags, length) = (second.to_be_bytes()[0], (second & 0xff_ffff) as usize);
        if first & CONTROL_BIT == 0 {
            self.buffer.advance(HEAD_BYTES);
            return Ok(self.piece(Rest { stream: first, left: length, fin: flags & FLAG_FIN != 0 }));
        }
        let (version, kind) = (((first & STREAM_MASK) >> 16) as u16, first as u16);
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        if length > CONTROL_BYTES_MAX {
            return Err(FrameError::TooLarge(length));
        }
        if self.buffer.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(HEAD_BYTES);
        let payload = self.buffer.split_to(length).freeze();
        control(kind, flags, &payload).ok_or(FrameError::Malformed { kind, bytes: length }).map(Some)
    }

    /// What is there of a data frame.
    fn piece(&mut self, rest: Rest) -> Option<Frame> {
        let Rest { stream, left, fin } = rest;
        let bytes = self.buffer.split_to(left.min(self.buffer.len())).freeze();
        let left = left - bytes.len();
        if left == 0 {
            return Some(Frame::Data { stream, fin, bytes });
        }
        self.data = Some(Rest { stream, left, fin });
        (!bytes.is_empty()).then_some(Frame::Data { stream, fin: false, bytes })
    }
}

fn control(kind: u16, flags: u8, payload: &Bytes) -> Option<Frame> {
    let number = |at: usize| u32_at(payload, at);
    let stream = || number(0).map(|stream| stream & STREAM_MASK);
    let fin = flags & FLAG_FIN != 0;
    // The associated stream, the priority and the slot do not matter to a server that pushes nothing.
    let block = |at: usize| (payload.len() >= at).then(|| payload.slice(at..));
    Some(match kind {
        SYN_STREAM => Frame::SynStream { stream: stream()?, fin, block: block(10)? },
        SYN_REPLY => Frame::SynReply { stream: stream()?, fin, block: block(4)? },
        HEADERS => Frame::Headers { stream: stream()?, fin, block: block(4)? },
        RST_STREAM if payload.len() == 8 => Frame::RstStream { stream: stream()?, status: number(4)? },
        PING if payload.len() == 4 => Frame::Ping(number(0)?),
        GOAWAY if payload.len() == 8 => Frame::GoAway { last: stream()?, status: number(4)? },
        WINDOW_UPDATE if payload.len() == 8 => {
            Frame::WindowUpdate { stream: stream()?, delta: number(4)? & STREAM_MASK }
        }
        SETTINGS => Frame::Settings(settings(payload)?),
        RST_STREAM | PING | GOAWAY | WINDOW_UPDATE => return None,
        other => Frame::Unknown(other),
    })
}

fn settings(payload: &Bytes) -> Option<Vec<(u32, u32)>> {
    let count = u32_at(payload, 0)? as usize;
    let entries = payload.slice(4..);
    (entries.len() == count.checked_mul(8)?).then(|| {
        let entry = |entry: &[u8]| Some((u32_at(entry, 0)? & 0xff_ffff, u32_at(entry, 4)?));
        entries.chunks(8).filter_map(entry).collect()
    })
}

impl Frame {
    /// Writes the frame.
    ///
    /// # Panics
    /// Data must have less than 16 MiB.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Data { stream, fin, bytes } => {
                put_u32(out, stream & STREAM_MASK);
                put_length(out, u8::from(*fin), bytes.len());
                out.extend_from_slice(bytes);
            }
            Self::SynStream { stream, fin, block } => {
                put_control(out, SYN_STREAM, u8::from(*fin), 10 + block.len());
                put_u32(out, *stream);
                out.extend_from_slice(&[0; 6]);
                out.extend_from_slice(block);
            }
            Self::SynReply { stream, fin, block } => put_block(out, SYN_REPLY, *stream, *fin, block),
            Self::Headers { stream, fin, block } => put_block(out, HEADERS, *stream, *fin, block),
            Self::RstStream { stream, status } => put_pair(out, RST_STREAM, *stream, *status),
            Self::GoAway { last, status } => put_pair(out, GOAWAY, *last, *status),
            Self::WindowUpdate { stream, delta } => put_pair(out, WINDOW_UPDATE, *stream, *delta),
            Self::Ping(id) => {
                put_control(out, PING, 0, 4);
                put_u32(out, *id);
            }
            Self::Settings(entries) => {
                put_control(out, SETTINGS, 0, 4 + entries.len() * 8);
                put_u32(out, u32::try_from(entries.len()).expect("few settings"));
                for (id, value) in entries {
                    put_u32(out, *id);
                    put_u32(out, *value);
                }
            }
            Self::Unknown(kind) => put_control(out, *kind, 0, 0),
        }
    }
}

fn put_length(out: &mut BytesMut, flags: u8, length: usize) {
    let length = u32::try_from(length).ok().filter(|length| length >> 24 == 0).expect("a frame has less than 16 MiB");
    put_u32(out, (u32::from(flags) << 24) | length);
}

fn put_control(out: &mut BytesMut, kind: u16, flags: u8, length: usize) {
    put_u32(out, CONTROL_BIT | (u32::from(VERSION) << 16) | u32::from(kind));
    put_length(out, flags, length);
}

fn put_block(out: &mut BytesMut, kind: u16, stream: u32, fin: bool, block: &[u8]) {
    put_control(out, kind, u8::from(fin), 4 + block.len());
    put_u32(out, stream);
    out.extend_from_slice(block);
}

fn put_pair(out: &mut BytesMut, kind: u16, first: u32, second: u32) {
    put_control(out, kind, 0, 8);
    put_u32(out, first);
    put_u32(out, second);
}

#[cfg(test)]
mod tests;
