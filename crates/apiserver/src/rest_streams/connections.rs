//! Connections to ports of a pod, many of them in one call to its kubelet.
//!
//! A call begins with the first connection. Where it ends, so do its connections, and the next one begins another call.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use proto::keelson::api::v1::port_forward_frame::Frame;
use proto::keelson::api::v1::{PodRef, PortForwardClose, PortForwardData, PortForwardFrame, PortForwardOpen};
use proto::keelson::node::v1::node_client::NodeClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::status;

/// Frames on their way to the kubelet; with [`DATA_BYTES_MAX`] the bound on what a session holds of them.
const FRAMES_MAX: usize = 16;
/// Bytes of a connection in a message to the kubelet.
const DATA_BYTES_MAX: usize = 256 << 10;
/// Calls that begin while one is answered: each is begun by the end of the one before.
const CALLS_MAX: usize = 4;

/// What a connection of ours is called in a call.
pub type Number = u32;

/// A pod and its kubelet.
#[derive(Debug, Clone)]
pub struct Forward {
    /// The pod, with its uid.
    pub pod: PodRef,
    /// Its kubelet.
    pub kubelet: NodeClient<Channel>,
}

impl Forward {
    /// What a client reads of a connection that failed.
    pub fn failed(&self, port: u16, why: &str) -> String {
        let PodRef { name, uid, .. } = &self.pod;
        format!("error forwarding port {port} to pod {name}, uid {uid}: {why}")
    }
}

/// What came of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// Bytes.
    Data(Number, Bytes),
    /// No more bytes; and why, where it failed.
    Closed(Number, String),
}

#[derive(Debug)]
struct Call {
    number: u64,
    frames: mpsc::Receiver<PortForwardFrame>,
}

#[derive(Debug, Default)]
struct State {
    last_connection: Number,
    last_call: u64,
    /// The call that connections are opened in.
    call: Option<(u64, mpsc::Sender<PortForwardFrame>)>,
    connections: HashMap<Number, Connection>,
}

/// A connection that is open.
#[derive(Debug)]
struct Connection {
    /// The call that it belongs to.
    call: u64,
    /// The client, and the pod, have no more bytes.
    done_there: bool,
    done: bool,
}

impl State {
    /// One side is done; once both are, the connection is gone.
    fn done(&mut self, connection: Number, side: impl FnOnce(&mut Connection) -> &mut bool) {
        let Some(found) = self.connections.get_mut(&connection) else { return };
        *side(found) = true;
        if found.done && found.done_there {
            self.connections.remove(&connection);
        }
    }
}

/// Opens connections and writes to them.
#[derive(Debug, Clone)]
pub struct Connections {
    pod: PodRef,
    state: Arc<Mutex<State>>,
    calls: mpsc::Sender<Call>,
}

/// Reads what comes of connections.
pub struct Answers {
    kubelet: NodeClient<Channel>,
    state: Arc<Mutex<State>>,
    calls: mpsc::Receiver<Call>,
    running: Option<(u64, Streaming<PortForwardFrame>)>,
    /// Connections whose call has ended.
    ended: VecDeque<Came>,
}

/// Both directions of connections to a pod.
pub fn to(forward: &Forward) -> (Connections, Answers) {
    let state = Arc::new(Mutex::new(State::default()));
    let (sender, calls) = mpsc::channel(CALLS_MAX);
    let connections = Connections { pod: forward.pod.clone(), state: Arc::clone(&state), calls: sender };
    let kubelet = forward.kubelet.clone();
    (connections, Answers { kubelet, state, calls, running: None, ended: VecDeque::new() })
}

impl Connections {
    /// Takes a number for a connection, which begins with [`Self::open`].
    pub fn number(&self) -> Number {
        let mut state = self.state.lock();
        state.last_connection += 1;
        state.last_connection
    }

    /// Opens a connection to a port of the pod.
    pub async fn open(&self, connection: Number, port: u16) {
        let (frames, call) = {
            let mut state = self.state.lock();
            let (number, frames, call) = match &state.call {
                Some((number, frames)) => (*number, frames.clone(), None),
                None => {
                    let (frames, received) = mpsc::channel(FRAMES_MAX);
                    state.last_call += 1;
                    let number = state.last_call;
                    state.call = Some((number, frames.clone()));
                    (number, frames, Some(Call { number, frames: received }))
                }
            };
            state.connections.insert(connection, Connection { call: number, done_there: false, done: false });
            (frames, call)
        };
        if let Some(call) = call {
            let _ended = self.calls.send(call).await;
        }
        let open = PortForwardOpen { pod: Some(self.pod.clone()), connection, port: port.into() };
        let _ended = frames.send(PortForwardFrame { frame: Some(Frame::Open(open)) }).await;
    }

    /// Writes to a connection. What it does not take any more is dropped.
    pub async fn data(&self, connection: Number, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let data = bytes.split_to(bytes.len().min(DATA_BYTES_MAX));
            self.send(connection, Frame::Data(PortForwardData { connection, data })).await;
        }
    }

    /// There are no more bytes for a connection.
    pub async fn close(&self, connection: Number) {
        self.send(connection, Frame::Close(PortForwardClose { connection, error: String::new() })).await;
        self.state.lock().done(connection, |connection| &mut connection.done_there);
    }

    /// Nobody wants a connection any more.
    pub async fn abort(&self, connection: Number) {
        let error = "the client gave the connection up".to_owned();
        self.send(connection, Frame::Close(PortForwardClose { connection, error })).await;
        self.state.lock().connections.remove(&connection);
    }

    async fn send(&self, connection: Number, frame: Frame) {
        let frames = {
            let state = self.state.lock();
            let of = state.connections.get(&connection).map(|connection| &connection.call);
            state.call.as_ref().filter(|(number, _)| of == Some(number)).map(|(_, frames)| frames.clone())
        };
        if let Some(frames) = frames {
            let _ended = frames.send(PortForwardFrame { frame: Some(frame) }).await;
        }
    }
}

impl Answers {
    /// What comes next; none once nobody opens connections any more.
    pub async fn next(&mut self) -> Option<Came> {
        loop {
            if let Some(ended) = self.ended.pop_front() {
                return Some(ended);
            }
            let Some((number, running)) = &mut self.running else {
                let call = self.calls.recv().await?;
                self.begin(call).await;
                continue;
            };
            let number = *number;
            match running.message().await {
                Ok(Some(frame)) => {
                    if let Some(came) = self.came(frame) {
                        return Some(came);
                    }
                }
                Ok(None) => self.end(number, "the kubelet ended the call"),
                Err(error) => self.end(number, &status::told(&error)),
            }
        }
    }

    async fn begin(&mut self, Call { number, frames }: Call) {
        let mut frames = ReceiverStream::new(frames);
        // A kubelet answers once it knows the pod, which the first frame names.
        let Some(first) = frames.next().await else { return };
        match self.kubelet.port_forward(stream::iter([first]).chain(frames)).await {
            Ok(answer) => self.running = Some((number, answer.into_inner())),
            Err(error) => self.end(number, &status::told(&error)),
        }
    }

    fn came(&self, frame: PortForwardFrame) -> Option<Came> {
        match frame.frame? {
            Frame::Data(data) => Some(Came::Data(data.connection, data.data)),
            Frame::Close(close) => {
                let mut state = self.state.lock();
                if close.error.is_empty() {
                    state.done(close.connection, |connection| &mut connection.done);
                } else {
                    state.connections.remove(&close.connection);
                }
                Some(Came::Closed(close.connection, close.error))
            }
            Frame::Open(_) => None,
        }
    }

    /// A call has ended, and with it its connections.
    fn end(&mut self, number: u64, why: &str) {
        self.running = None;
        let mut state = self.state.lock();
        state.call = None;
        let of_call = state.connections.iter().filter(|(_, connection)| connection.call == number);
        let mut ended: Vec<Number> = of_call.map(|(connection, _)| *connection).collect();
        ended.sort_unstable();
        for connection in ended {
            state.connections.remove(&connection);
            self.ended.push_back(Came::Closed(connection, why.to_owned()));
        }
    }
}
