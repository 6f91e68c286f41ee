//! HTTP/2 frames as gRPC's calls need them (RFC 9113), and nothing more. Pure.
//!
//! A client library costs as much as the servers that are measured here, and they share two cores with it. Header blocks of
//! answers are decoded only when a call fails (`refusal`): one that carries a message before its end is a success, since gRPC
//! refuses without one.

/// The client's first bytes.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's header.
pub const HEADER_LEN: usize = 9;
/// The largest window that there is.
pub const WINDOW_MAX: u32 = (1 << 31) - 1;
/// What a window holds before anybody says otherwise.
pub const WINDOW_DEFAULT: u32 = 65_535;
/// Frames that we take.
const FRAME_BYTES_MAX: u32 = 1 << 20;
/// Frames that every peer takes.
const DATA_BYTES_MAX: usize = 16 << 10;

/// Kinds of frames.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
}

/// SETTINGS and PING: it answers one.
pub const ACK: u8 = 1;
/// DATA and HEADERS: the last of their stream.
pub const END_STREAM: u8 = 1;
/// HEADERS: no more of them follow.
pub const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const SETTING_INITIAL_WINDOW: u16 = 4;
const SETTING_FRAME_BYTES: u16 = 5;

/// One frame of the peer.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: &'a [u8],
}

impl Frame<'_> {
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & END_STREAM != 0
    }

    /// The data without its padding.
    pub fn data(&self) -> &[u8] {
        match (self.flags & PADDED != 0, self.payload.split_first()) {
            (true, Some((padding, rest))) => &rest[..rest.len().saturating_sub(usize::from(*padding))],
            _ => self.payload,
        }
    }

    /// The number in a window update.
    pub fn increment(&self) -> u32 {
        self.payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes) & WINDOW_MAX)
    }

    /// The initial window of streams, where settings name one.
    pub fn initial_window(&self) -> Option<u32> {
        let mut found = None;
        for setting in self.payload.chunks_exact(6) {
            if u16::from_be_bytes([setting[0], setting[1]]) == SETTING_INITIAL_WINDOW {
                found = Some(u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]));
            }
        }
        found
    }
}

/// The first whole frame, and its length with its header.
pub fn split(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let header: &[u8; HEADER_LEN] = bytes.first_chunk()?;
    let len = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
    let payload = bytes.get(HEADER_LEN..HEADER_LEN + len)?;
    let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) & WINDOW_MAX;
    Some((Frame { kind: header[3], flags: header[4], stream, payload }, HEADER_LEN + len))
}

/// Appends a frame.
pub fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let len = (payload.len() as u32).to_be_bytes();
    out.extend_from_slice(&len[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Appends the settings that both sides of a measurement begin with, and opens the connection's window wide.
pub fn write_settings(out: &mut Vec<u8>) {
    let mut settings = Vec::new();
    for (name, value) in [(SETTING_INITIAL_WINDOW, WINDOW_MAX), (SETTING_FRAME_BYTES, FRAME_BYTES_MAX)] {
        settings.extend_from_slice(&name.to_be_bytes());
        settings.extend_from_slice(&value.to_be_bytes());
    }
    write(out, kind::SETTINGS, 0, 0, &settings);
    write_window(out, 0, WINDOW_MAX - WINDOW_DEFAULT);
}

/// Appends a window update.
pub fn write_window(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    write(out, kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
}

/// Appends a gRPC message as data of a stream.
pub fn write_message(out: &mut Vec<u8>, stream: u32, message: &[u8], ends: bool) {
    let mut framed = Vec::with_capacity(5 + message.len());
    framed.push(0);
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    let mut chunks = framed.chunks(DATA_BYTES_MAX).peekable();
    while let Some(chunk) = chunks.next() {
        let last = ends && chunks.peek().is_none();
        write(out, kind::DATA, if last { END_STREAM } else { 0 }, stream, chunk);
    }
}

/// Writes the header blocks of one connection's calls: what they share is said once and referred to by its index.
#[derive(Default)]
pub struct Headers {
    told: bool,
}

impl Headers {
    /// Appends the headers that begin a call.
    pub fn write(&mut self, out: &mut Vec<u8>, stream: u32, path: &str) {
        // RFC 7541, appendix A: POST, http; a literal with the name of :path.
        let mut block = vec![0x83, 0x86, 0x04];
        text(&mut block, path);
        if self.told {
            block.extend_from_slice(&[0x80 | 64, 0x80 | 63, 0x80 | 62]);
        } else {
            self.told = true;
            // :authority, content-type and te, each added to the table.
            block.push(0x40 | 1);
            text(&mut block, "localhost");
            block.push(0x40 | 31);
            text(&mut block, "application/grpc");
            block.push(0x40);
            text(&mut block, "te");
            text(&mut block, "trailers");
        }
        write(out, kind::HEADERS, END_HEADERS, stream, &block);
    }
}

fn text(block: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 127, "a length of one byte");
    block.push(text.len() as u8);
    block.extend_from_slice(text.as_bytes());
}

/// Appends what a server says before its answer, and, as trailers, that the call went well.
pub fn write_answer_head(out: &mut Vec<u8>, stream: u32) {
    let mut block = vec![0x88, 0x0f, 0x10];
    text(&mut block, "application/grpc");
    write(out, kind::HEADERS, END_HEADERS, stream, &block);
}

/// Appends the trailers of a call that went well.
pub fn write_ok(out: &mut Vec<u8>, stream: u32) {
    let mut block = vec![0x00];
    text(&mut block, "grpc-status");
    text(&mut block, "0");
    write(out, kind::HEADERS, END_HEADERS | END_STREAM, stream, &block);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_were_written() {
        let mut out = Vec::new();
        write_message(&mut out, 7, b"hello", true);
        let (frame, len) = split(&out).unwrap();
        assert_eq!((frame.kind, frame.stream, len), (kind::DATA, 7, out.len()));
        assert!(frame.ends_stream());
        assert_eq!(frame.data(), b"\0\0\0\0\x05hello");
        assert_eq!(split(&out[..out.len() - 1]), None);
    }

    #[test]
    fn a_long_message_is_cut_and_ends_once() {
        let mut out = Vec::new();
        write_message(&mut out, 1, &vec![1; 40_000], true);
        let (mut rest, mut ends, mut bytes) = (&*out, 0, 0);
        while let Some((frame, len)) = split(rest) {
            ends += usize::from(frame.ends_stream());
            bytes += frame.data().len();
            rest = &rest[len..];
        }
        assert_eq!((rest.len(), ends, bytes), (0, 1, 40_005));
    }

    #[test]
    fn settings_name_their_window() {
        let mut out = Vec::new();
        write_settings(&mut out);
        let (settings, len) = split(&out).unwrap();
        assert_eq!(settings.initial_window(), Some(WINDOW_MAX));
        let (update, _) = split(&out[len..]).unwrap();
        assert_eq!(update.increment(), WINDOW_MAX - WINDOW_DEFAULT);
    }

    #[test]
    fn padding_is_no_data() {
        let frame = Frame { kind: kind::DATA, flags: PADDED, stream: 1, payload: &[2, b'a', b'b', 0, 0] };
        assert_eq!(frame.data(), b"ab");
        let lying = Frame { payload: &[200, b'a'], ..frame };
        assert_eq!(lying.data(), b"");
    }
}
