//! Ports forwarded over the channels of a WebSocket: for each port of the URL one of data and one of errors.
//!
//! Both begin with the port, in two bytes, the lower first. Nobody can close a channel: all ends with the last connection.

use hyper::upgrade::Upgraded;

use crate::rest_streams::channel::{Codec, Received};
use crate::rest_streams::connections::{self, Answers, Came, Connections, Forward, Number};
use crate::rest_streams::drive::{self, Idle};
use crate::rest_streams::websocket::{self, Reader, Writer};

/// A port and its channels.
#[derive(Debug, Clone, Copy)]
struct Pair {
    port: u16,
    connection: Number,
    data: u8,
    open: bool,
}

impl Pair {
    fn error(&self) -> u8 {
        self.data + 1
    }
}

/// Runs a session until the connections or the client end it.
pub async fn run(connection: Upgraded, codec: Codec, forward: Forward, ports: Vec<u16>) {
    let idle = Idle::new();
    let (reader, writer) = websocket::channels(websocket::over(connection).await, codec, &idle);
    let (connections, answers) = connections::to(&forward);
    // There are few ports, so that the channels have numbers.
    let pairs: Vec<Pair> = (0_u8..)
        .step_by(2)
        .zip(ports)
        .map(|(data, port)| Pair { port, connection: connections.number(), data, open: true })
        .collect();
    let reading = read(reader, connections, pairs.clone());
    let writing = write(writer, answers, pairs, &forward);
    drive::run(Box::pin(reading), Box::pin(writing), &idle).await;
}

async fn read(mut reader: Reader, connections: Connections, pairs: Vec<Pair>) {
    for pair in &pairs {
        connections.open(pair.connection, pair.port).await;
    }
    while let Some(received) = reader.next().await {
        match received {
            Received::Data(channel, bytes) => {
                if let Some(pair) = pairs.iter().find(|pair| pair.data == channel) {
                    connections.data(pair.connection, bytes).await;
                }
            }
            Received::Gone => return reader.discard().await,
            Received::Closed(_) | Received::Nothing => {}
        }
    }
}

/// True once the end was sent.
async fn write(mut writer: Writer, mut answers: Answers, mut pairs: Vec<Pair>, forward: &Forward) -> bool {
    let mut there = true;
    for pair in &pairs {
        for channel in [pair.data, pair.error()] {
            there = there && writer.send(channel, &pair.port.to_le_bytes()).await;
        }
    }
    while there && pairs.iter().any(|pair| pair.open) {
        let Some(came) = answers.next().await else { return false };
        let (Came::Data(connection, _) | Came::Closed(connection, _)) = &came;
        let Some(pair) = pairs.iter_mut().find(|pair| pair.connection == *connection && pair.open) else { continue };
        match came {
            Came::Data(_, bytes) => there = writer.send(pair.data, &bytes).await,
            Came::Closed(_, error) => {
                pair.open = false;
                if !error.is_empty() {
                    there = writer.send(pair.error(), forward.failed(pair.port, &error).as_bytes()).await;
                }
            }
        }
    }
    there && writer.end().await
}
