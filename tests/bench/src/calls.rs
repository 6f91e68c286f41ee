//! Calls over one HTTP/2 connection: for each client one at a time, as fast as they are answered.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use tokio::net::TcpStream;

use crate::frame::{self, Headers, kind};
use crate::refusal::Blocks;

/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;
/// Taken from a window before it is given back.
const WINDOW_STEP: u32 = 1 << 29;

/// A call that a client begins.
pub struct Call {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// What is sent at once.
    pub messages: Vec<Vec<u8>>,
    /// Whether the call goes on after these messages; else it ends with its answer, and the next one begins.
    pub stays: bool,
}

/// What an answer means.
#[derive(Default)]
pub struct Heard {
    /// Operations that it completes.
    pub operations: u64,
    /// What is sent next in a call that stays.
    pub send: Option<Vec<u8>>,
}

/// What clients ask for. Clients are numbered over all connections.
pub trait Load: Send {
    fn call(&mut self, client: usize) -> Call;
    fn heard(&mut self, client: usize, message: &[u8]) -> Result<Heard>;
}

/// What was measured.
pub struct Figures {
    pub operations: u64,
    pub took: Duration,
    /// Microseconds from a call's begin, or from the last message sent in it, to its answer.
    pub latencies: Histogram<u64>,
}

impl Default for Figures {
    fn default() -> Self {
        let latencies = Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds in order");
        Self { operations: 0, took: Duration::ZERO, latencies }
    }
}

impl Figures {
    pub fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.took = self.took.max(other.took);
        self.latencies.add(&other.latencies).expect("the same bounds");
    }
}

/// One client's call under way.
struct Open {
    client: usize,
    since: Instant,
    stays: bool,
    /// Begun messages of the answer.
    inbox: Vec<u8>,
    answered: bool,
    /// Bytes of data that the peer still takes.
    window: i64,
    /// Bytes taken of the window that we gave.
    taken: u32,
}

/// Drives `clients` over one connection until `end`.
pub struct Driver<'a> {
    socket: TcpStream,
    load: &'a mut dyn Load,
    figures: Figures,
    /// Answers before it are not counted.
    begin: Instant,
    headers: Headers,
    blocks: Blocks,
    out: Vec<u8>,
    sent: usize,
    open: HashMap<u32, Open>,
    next_stream: u32,
    /// Data that waits for a window: stream, message, whether it ends the stream.
    waiting: VecDeque<(u32, Vec<u8>, bool)>,
    window: i64,
    stream_window: i64,
    taken: u32,
}

impl<'a> Driver<'a> {
    pub async fn connect(port: u16, load: &'a mut dyn Load) -> Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await.with_context(|| format!("port {port}"))?;
        socket.set_nodelay(true)?;
        let mut out = frame::PREFACE.to_vec();
        frame::write_settings(&mut out);
        Ok(Self {
            socket,
            load,
            figures: Figures::default(),
            begin: Instant::now(),
            headers: Headers::default(),
            blocks: Blocks::default(),
            out,
            sent: 0,
            open: HashMap::new(),
            next_stream: 1,
            waiting: VecDeque::new(),
            window: frame::WINDOW_DEFAULT.into(),
            stream_window: frame::WINDOW_DEFAULT.into(),
            taken: 0,
        })
    }

    /// Counts what is answered between `begin` and `end`.
    pub async fn run(mut self, clients: std::ops::Range<usize>, begin: Instant, end: Instant) -> Result<Figures> {
        self.begin = begin;
        for client in clients {
            self.call(client);
        }
        let mut bytes = vec![0; READ_BYTES];
        let mut filled = 0;
        while Instant::now() < end {
            let interest = match self.sent < self.out.len() {
                true => tokio::io::Interest::READABLE | tokio::io::Interest::WRITABLE,
                false => tokio::io::Interest::READABLE,
            };
            let ready = tokio::time::timeout_at(end.into(), self.socket.ready(interest)).await;
            let Ok(ready) = ready else { break };
            let ready = ready?;
            if ready.is_writable() {
                self.write()?;
            }
            if ready.is_readable() {
                match self.socket.try_read(&mut bytes[filled..]) {
                    Ok(0) => bail!("the server closed the connection"),
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error.into()),
                }
                let used = self.take(&bytes[..filled])?;
                bytes.copy_within(used..filled, 0);
                filled -= used;
                if filled == bytes.len() {
                    bytes.resize(bytes.len() * 2, 0);
                }
                self.write()?;
            }
        }
        self.figures.took = end - begin;
        Ok(self.figures)
    }

    fn write(&mut self) -> io::Result<()> {
        while self.sent < self.out.len() {
            match self.socket.try_write(&self.out[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    fn call(&mut self, client: usize) {
        let call = self.load.call(client);
        let stream = self.next_stream;
        self.next_stream += 2;
        self.headers.write(&mut self.out, stream, call.path);
        let open = Open {
            client,
            since: Instant::now(),
            stays: call.stays,
            inbox: Vec::new(),
            answered: false,
            window: self.stream_window,
            taken: 0,
        };
        self.open.insert(stream, open);
        let last = call.messages.len().saturating_sub(1);
        for (at, message) in call.messages.into_iter().enumerate() {
            self.send(stream, message, !call.stays && at == last);
        }
    }

    fn send(&mut self, stream: u32, message: Vec<u8>, ends: bool) {
        self.waiting.push_back((stream, message, ends));
        self.send_waiting();
    }

    fn send_waiting(&mut self) {
        let mut later = VecDeque::new();
        while let Some((stream, message, ends)) = self.waiting.pop_front() {
            let bytes = (message.len() + 5) as i64;
            let Some(open) = self.open.get_mut(&stream) else { continue };
            if bytes > self.window || bytes > open.window {
                later.push_back((stream, message, ends));
                continue;
            }
            self.window -= bytes;
            open.window -= bytes;
            frame::write_message(&mut self.out, stream, &message, ends);
        }
        self.waiting = later;
    }

    /// Takes every whole frame; says how many bytes those were.
    fn take(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut used = 0;
        while let Some((frame, len)) = frame::split(&bytes[used..]) {
            used += len;
            match frame.kind {
                kind::DATA => self.data(&frame)?,
                kind::HEADERS => self.blocks.keep(frame.stream, frame.data()),
                kind::SETTINGS if frame.flags & frame::ACK == 0 => self.settings(&frame),
                kind::PING if frame.flags & frame::ACK == 0 => {
                    frame::write(&mut self.out, kind::PING, frame::ACK, 0, frame.payload);
                }
                kind::WINDOW_UPDATE => self.widen(&frame),
                kind::RST_STREAM => bail!("the server reset a call: error {}", frame.increment()),
                kind::GOAWAY => bail!("the server goes away"),
                _ => {}
            }
            if frame.ends_stream() {
                self.ended(frame.stream)?;
            }
        }
        Ok(used)
    }

    fn settings(&mut self, frame: &frame::Frame<'_>) {
        if let Some(window) = frame.initial_window() {
            let more = i64::from(window) - self.stream_window;
            self.stream_window += more;
            self.open.values_mut().for_each(|open| open.window += more);
        }
        frame::write(&mut self.out, kind::SETTINGS, frame::ACK, 0, &[]);
        self.send_waiting();
    }

    fn widen(&mut self, frame: &frame::Frame<'_>) {
        let more = i64::from(frame.increment());
        match frame.stream {
            0 => self.window += more,
            stream => {
                if let Some(open) = self.open.get_mut(&stream) {
                    open.window += more;
                }
            }
        }
        if !self.waiting.is_empty() {
            self.send_waiting();
        }
    }

    fn data(&mut self, frame: &frame::Frame<'_>) -> Result<()> {
        let bytes = frame.payload.len() as u32;
        self.taken += bytes;
        if self.taken > WINDOW_STEP {
            frame::write_window(&mut self.out, 0, std::mem::take(&mut self.taken));
        }
        let Some(open) = self.open.get_mut(&frame.stream) else { return Ok(()) };
        open.taken += bytes;
        if open.taken > WINDOW_STEP {
            frame::write_window(&mut self.out, frame.stream, std::mem::take(&mut open.taken));
        }
        open.inbox.extend_from_slice(frame.data());
        let mut inbox = std::mem::take(&mut open.inbox);
        let client = open.client;
        let mut used = 0;
        while let Some(message) = message(&inbox[used..]) {
            used += 5 + message.len();
            let heard = self.load.heard(client, message)?;
            self.answered(frame.stream, heard);
        }
        inbox.drain(..used);
        if let Some(open) = self.open.get_mut(&frame.stream) {
            open.inbox = inbox;
        }
        Ok(())
    }

    fn answered(&mut self, stream: u32, heard: Heard) {
        let Some(open) = self.open.get_mut(&stream) else { return };
        let now = Instant::now();
        open.answered = true;
        if now >= self.begin {
            self.figures.operations += heard.operations;
            if heard.operations > 0 {
                let micros = now.duration_since(open.since).as_micros() as u64;
                self.figures.latencies.saturating_record(micros.max(1));
            }
        }
        open.since = now;
        if let Some(next) = heard.send {
            self.send(stream, next, false);
        }
    }

    fn ended(&mut self, stream: u32) -> Result<()> {
        let Some(open) = self.open.remove(&stream) else { return Ok(()) };
        if open.stays {
            bail!("the server ended a call that was to stay: {}", self.blocks.told(stream));
        }
        if !open.answered {
            bail!("the server refused a call after {:?}: {}", open.since.elapsed(), self.blocks.told(stream));
        }
        self.call(open.client);
        Ok(())
    }
}

/// The first whole gRPC message.
fn message(inbox: &[u8]) -> Option<&[u8]> {
    let header: &[u8; 5] = inbox.first_chunk()?;
    let len = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
    inbox.get(5..5 + len)
}
