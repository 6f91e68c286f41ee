//! Calls over one HTTP/2 connection: each client's one at a time, all of them at once, as one process of many clients does.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use loona_hpack::Decoder;
use test_bench::calls::Figures;
use test_bench::frame::{self, Frame, kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::load::Load;
use crate::wire::{self, Parts};

const READ_BYTES: usize = 64 << 10;
/// Taken from the connection's window before it is given back.
const WINDOW_STEP: u32 = 1 << 29;
/// Data that we send at once without asking for room: less than any window is at its begin.
const FRAME_BYTES_MAX: usize = 16 << 10;

/// One client's call.
struct Open {
    client: usize,
    since: Instant,
    status: u16,
    body: Vec<u8>,
}

/// A connection and the clients on it.
pub struct Streams {
    stream: TlsStream<TcpStream>,
    loads: Vec<Box<dyn Load>>,
    open: HashMap<u32, Open>,
    next: u32,
    out: Vec<u8>,
    request: Vec<u8>,
    headers: Decoder<'static>,
    taken: u32,
    figures: Figures,
}

impl Streams {
    /// Clients on a connection that speaks HTTP/2.
    pub fn new(stream: TlsStream<TcpStream>, loads: Vec<Box<dyn Load>>) -> Self {
        let mut out = frame::PREFACE.to_vec();
        frame::write_settings(&mut out);
        Self {
            stream,
            loads,
            open: HashMap::new(),
            next: 1,
            out,
            request: Vec::new(),
            headers: Decoder::new(),
            taken: 0,
            figures: Figures::default(),
        }
    }

    /// Counts what is answered between `begin` and `end`.
    pub async fn run(mut self, begin: Instant, end: Instant) -> Result<Figures> {
        for client in 0..self.loads.len() {
            self.ask(client)?;
        }
        let (mut inbox, mut filled) = (vec![0; READ_BYTES], 0);
        while Instant::now() < end {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await?;
            self.out.clear();
            let Ok(read) = tokio::time::timeout_at(end.into(), self.stream.read(&mut inbox[filled..])).await else {
                break;
            };
            let read = read?;
            ensure!(read > 0, "the server closed the connection");
            filled += read;
            let mut used = 0;
            while let Some((frame, len)) = frame::split(&inbox[used..filled]) {
                self.take(&frame, begin, end)?;
                used += len;
            }
            inbox.copy_within(used..filled, 0);
            filled -= used;
            if filled == inbox.len() {
                inbox.resize(inbox.len() * 2, 0);
            }
        }
        Ok(self.figures)
    }

    fn ask(&mut self, client: usize) -> Result<()> {
        self.request.clear();
        self.loads[client].request(&mut self.request);
        let parts = wire::parts(&self.request).context("a request of our own")?;
        write_request(&mut self.out, self.next, &parts);
        self.open.insert(self.next, Open { client, since: Instant::now(), status: 0, body: Vec::new() });
        self.next += 2;
        Ok(())
    }

    fn take(&mut self, frame: &Frame<'_>, begin: Instant, end: Instant) -> Result<()> {
        match frame.kind {
            kind::HEADERS => self.head(frame)?,
            kind::DATA => {
                self.taken += frame.payload.len() as u32;
                if self.taken > WINDOW_STEP {
                    frame::write_window(&mut self.out, 0, std::mem::take(&mut self.taken));
                }
                if let Some(open) = self.open.get_mut(&frame.stream) {
                    open.body.extend_from_slice(frame.data());
                }
            }
            kind::SETTINGS if frame.flags & frame::ACK == 0 => {
                frame::write(&mut self.out, kind::SETTINGS, frame::ACK, 0, &[]);
            }
            kind::PING if frame.flags & frame::ACK == 0 => {
                frame::write(&mut self.out, kind::PING, frame::ACK, 0, frame.payload);
            }
            kind::RST_STREAM => bail!("the server reset a call: error {}", frame.increment()),
            kind::GOAWAY => bail!("the server goes away"),
            _ => {}
        }
        if frame.ends_stream() { self.ended(frame.stream, begin, end) } else { Ok(()) }
    }

    fn head(&mut self, frame: &Frame<'_>) -> Result<()> {
        let headers = self.headers.decode(frame.data());
        let Ok(headers) = headers else { bail!("a header block that cannot be read") };
        let status = headers.iter().find(|(name, _)| name == b":status");
        if let (Some((_, status)), Some(open)) = (status, self.open.get_mut(&frame.stream)) {
            open.status = std::str::from_utf8(status)?.parse()?;
        }
        Ok(())
    }

    fn ended(&mut self, stream: u32, begin: Instant, end: Instant) -> Result<()> {
        let Some(open) = self.open.remove(&stream) else { return Ok(()) };
        let now = Instant::now();
        let told = || String::from_utf8_lossy(&open.body).into_owned();
        ensure!(matches!(open.status, 200 | 201), "the server answered {}: {}", open.status, told());
        if self.loads[open.client].heard(&open.body)? && now >= begin && now < end {
            self.figures.operations += 1;
            let micros = now.duration_since(open.since).as_micros() as u64;
            self.figures.latencies.saturating_record(micros.max(1));
        }
        self.ask(open.client)
    }
}

/// Appends a request as frames; its header block refers to nothing that was said before.
fn write_request(out: &mut Vec<u8>, stream: u32, parts: &Parts<'_>) {
    // RFC 7541, appendix A: the places of names in the static table.
    let mut block = match parts.method {
        "GET" => vec![0x82],
        "POST" => vec![0x83],
        other => literal(0x02, None, other),
    };
    block.push(0x87);
    block.extend(literal(0x04, None, parts.path));
    block.extend(literal(0x01, None, "localhost"));
    block.extend(literal(0x0f, Some(19 - 15), parts.accept));
    block.extend(literal(0x0f, Some(58 - 15), "bench"));
    if !parts.body.is_empty() {
        block.extend(literal(0x0f, Some(31 - 15), parts.content_type));
    }
    let ends = if parts.body.is_empty() { frame::END_STREAM } else { 0 };
    frame::write(out, kind::HEADERS, frame::END_HEADERS | ends, stream, &block);
    let mut chunks = parts.body.chunks(FRAME_BYTES_MAX).peekable();
    while let Some(chunk) = chunks.next() {
        let flags = if chunks.peek().is_none() { frame::END_STREAM } else { 0 };
        frame::write(out, kind::DATA, flags, stream, chunk);
    }
}

/// A header that enters no table: the place of its name, and its text.
fn literal(first: u8, second: Option<u8>, text: &str) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend(second);
    match text.len() {
        len @ 0..127 => bytes.push(len as u8),
        len => {
            bytes.push(127);
            let mut rest = len - 127;
            while rest >= 128 {
                bytes.push((rest % 128 + 128) as u8);
                rest /= 128;
            }
            bytes.push(rest as u8);
        }
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_meant() {
        let path = format!("/api/v1/{}", "x".repeat(300));
        let mut request = Vec::new();
        wire::request(&mut request, "PATCH", &path, "application/json", "*/*", b"{}");
        let mut out = Vec::new();
        write_request(&mut out, 5, &wire::parts(&request).unwrap());
        let (head, len) = frame::split(&out).unwrap();
        let headers = Decoder::new().decode(head.payload).unwrap();
        let value =
            |name: &str| headers.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| value.clone());
        assert_eq!(value(":method").as_deref(), Some(&b"PATCH"[..]));
        assert_eq!(value(":path").as_deref(), Some(path.as_bytes()));
        assert_eq!(value("content-type").as_deref(), Some(&b"application/json"[..]));
        assert_eq!(value("accept").as_deref(), Some(&b"*/*"[..]));
        let (data, _) = frame::split(&out[len..]).unwrap();
        assert!(data.ends_stream() && data.data() == b"{}" && data.stream == 5);
    }
}
