//! Ports forwarded over SPDY: a client opens a stream of errors and one of data for each connection.
//!
//! Both have the headers `port` and `requestID`; streams of old clients without the latter belong together by their numbers.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::rest_streams::connections::{self, Answers, Came, Connections, Forward, Number};
use crate::rest_streams::drive::{self, Idle, STREAMS_TIMEOUT};
use crate::rest_streams::options;
use crate::rest_streams::spdy::frame::Reset;
use crate::rest_streams::spdy::headers::Headers;
use crate::rest_streams::spdy::reader::{Event, Reader};
use crate::rest_streams::spdy::writer::{self, Writer};
use crate::rest_streams::spdy::{Chunks, Pieces};

/// Connections of one client that are open together.
const CONNECTIONS_MAX: usize = 1_024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Data,
    Error,
}

/// What a stream is for, by its headers.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    role: Role,
    port: u16,
    request: String,
}

/// Refused: headers that say nothing.
fn asked(stream: u32, headers: &Headers) -> Option<Asked> {
    let port = options::port(headers.get("port")?).ok()?;
    let role = match headers.get("streamtype")? {
        "data" => Role::Data,
        "error" => Role::Error,
        _ => return None,
    };
    let request = match (headers.get("requestid"), role) {
        (Some(request), _) if !request.is_empty() => request.to_owned(),
        (_, Role::Error) => stream.to_string(),
        // The stream of errors is the one before.
        (_, Role::Data) => stream.saturating_sub(2).to_string(),
    };
    Some(Asked { role, port, request })
}

/// A connection whose streams are not both there yet.
#[derive(Debug)]
struct Half {
    role: Role,
    stream: u32,
    deadline: Instant,
}

/// The streams of a connection.
#[derive(Debug, Clone, Copy)]
struct Pair {
    port: u16,
    data: u32,
    error: u32,
    /// The client has no more bytes.
    done_there: bool,
    /// The pod has no more bytes.
    done: bool,
}

/// The connections that are open.
#[derive(Debug, Default)]
struct Pairs {
    pairs: HashMap<Number, Pair>,
    by_data: HashMap<u32, Number>,
}

impl Pairs {
    fn insert(&mut self, connection: Number, pair: Pair) {
        self.by_data.insert(pair.data, connection);
        self.pairs.insert(connection, pair);
    }

    /// The connection of a stream of data.
    fn of(&self, data: u32) -> Option<Number> {
        self.by_data.get(&data).copied()
    }

    fn remove(&mut self, connection: Number) -> Option<Pair> {
        let pair = self.pairs.remove(&connection)?;
        self.by_data.remove(&pair.data);
        Some(pair)
    }

    /// One side is done; once both are, the connection is gone.
    fn done(&mut self, connection: Number, side: impl FnOnce(&mut Pair) -> &mut bool) -> Option<Pair> {
        let pair = self.pairs.get_mut(&connection)?;
        *side(pair) = true;
        let pair = *pair;
        if pair.done && pair.done_there {
            self.remove(connection);
        }
        Some(pair)
    }
}

type Shared = Arc<Mutex<Pairs>>;

/// Runs a session until the client ends it.
pub async fn run(chunks: Chunks, pieces: Pieces, forward: Forward) {
    let idle = Idle::new();
    let (writer, pump) = writer::over(pieces, idle.clone());
    let reader = Reader::new(chunks, writer.clone(), idle.clone());
    let (connections, answers) = connections::to(&forward);
    let pairs = Shared::default();
    let reading =
        Reading { reader, writer: writer.clone(), connections, pairs: Arc::clone(&pairs), halves: HashMap::new() };
    let saying = say(writer, answers, pairs, &forward);
    drive::run(Box::pin(reading.run()), Box::pin(pump.run_beside(saying)), &idle).await;
}

struct Reading {
    reader: Reader,
    writer: Writer,
    connections: Connections,
    pairs: Shared,
    /// By request.
    halves: HashMap<String, Half>,
}

impl Reading {
    async fn run(mut self) {
        loop {
            let until = self.halves.values().map(|half| half.deadline).min();
            let Some(event) = self.reader.next(until).await else { return };
            match event {
                Event::Opened { stream, headers } => self.opened(stream, &headers).await,
                Event::Data { stream, bytes } => {
                    let length = bytes.len();
                    let connection = self.pairs.lock().of(stream);
                    match connection {
                        Some(connection) => self.connections.data(connection, bytes).await,
                        // Bytes before there is a connection, or to a stream that only we write to.
                        None => self.writer.reset(stream, Reset::Cancel).await,
                    }
                    self.writer.consumed(stream, length).await;
                }
                Event::Finished { stream } => {
                    let connection = self.pairs.lock().of(stream);
                    if let Some(connection) = connection {
                        self.pairs.lock().done(connection, |pair| &mut pair.done_there);
                        self.connections.close(connection).await;
                    }
                }
                Event::Reset { stream } => self.reset(stream).await,
                Event::Late => self.give_up(Instant::now()).await,
            }
        }
    }

    async fn opened(&mut self, stream: u32, headers: &Headers) {
        let Some(Asked { role, port, request }) = asked(stream, headers) else {
            return self.writer.reset(stream, Reset::Cancel).await;
        };
        let open = self.pairs.lock().pairs.len();
        let half = self.halves.remove(&request);
        let is_double = half.as_ref().is_some_and(|half| half.role == role);
        if is_double || open + self.halves.len() >= CONNECTIONS_MAX {
            if let Some(half) = half {
                self.halves.insert(request, half);
            }
            return self.writer.reset(stream, Reset::RefusedStream).await;
        }
        self.reader.accept(stream).await;
        let Some(half) = half else {
            let deadline = Instant::now() + STREAMS_TIMEOUT;
            self.halves.insert(request, Half { role, stream, deadline });
            return;
        };
        let (data, error) = match role {
            Role::Data => (stream, half.stream),
            Role::Error => (half.stream, stream),
        };
        let connection = self.connections.number();
        self.pairs.lock().insert(connection, Pair { port, data, error, done_there: false, done: false });
        self.connections.open(connection, port).await;
    }

    /// A client that resets the data is done with the connection; it waits for the end of the errors.
    async fn reset(&mut self, stream: u32) {
        self.halves.retain(|_, half| half.stream != stream);
        let pair = {
            let mut pairs = self.pairs.lock();
            pairs.of(stream).and_then(|connection| Some((connection, pairs.remove(connection)?)))
        };
        let Some((connection, pair)) = pair else { return };
        self.connections.abort(connection).await;
        self.writer.finish(pair.error).await;
    }

    /// Ends what waited too long for its other half.
    async fn give_up(&mut self, now: Instant) {
        let late: Vec<u32> = self.halves.values().filter(|half| half.deadline <= now).map(|half| half.stream).collect();
        self.halves.retain(|_, half| half.deadline > now);
        for stream in late {
            self.writer.reset(stream, Reset::Cancel).await;
        }
    }
}

/// Says what comes of the connections.
async fn say(writer: Writer, mut answers: Answers, pairs: Shared, forward: &Forward) {
    while let Some(came) = answers.next().await {
        match came {
            Came::Data(connection, bytes) => {
                let data = pairs.lock().pairs.get(&connection).map(|pair| pair.data);
                if let Some(data) = data {
                    writer.data(data, bytes).await;
                }
            }
            Came::Closed(connection, error) => {
                let pair = match error.as_str() {
                    "" => pairs.lock().done(connection, |pair| &mut pair.done),
                    _ => pairs.lock().remove(connection),
                };
                let Some(pair) = pair else { continue };
                if !error.is_empty() {
                    writer.data(pair.error, forward.failed(pair.port, &error).into()).await;
                }
                writer.finish(pair.data).await;
                writer.finish(pair.error).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(stream: u32, pairs: &[(&str, &str)]) -> Option<Asked> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        asked(stream, &Headers(pairs.collect()))
    }

    #[test]
    fn streams_say_what_they_are_for() {
        let data = of(3, &[("streamtype", "data"), ("port", "80"), ("requestid", "7")]);
        assert_eq!(data, Some(Asked { role: Role::Data, port: 80, request: "7".into() }));
        let old = [of(1, &[("streamtype", "error"), ("port", "80")]), of(3, &[("streamtype", "data"), ("port", "80")])];
        let requests = old.map(|asked| asked.expect("an old client").request);
        assert_eq!(requests, ["1", "1"]);
        for bad in [
            &[("streamtype", "data")][..],
            &[("port", "80")],
            &[("streamtype", "stdin"), ("port", "80")],
            &[("streamtype", "data"), ("port", "0")],
        ] {
            assert_eq!(of(1, bad), None, "{bad:?}");
        }
    }
}
