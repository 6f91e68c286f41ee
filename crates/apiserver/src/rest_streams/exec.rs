//! A process in a container, as the client's side of exec and attach sees it.

pub mod spdy;
pub mod websocket;

use bytes::Bytes;
use futures::{StreamExt, stream};
use proto::keelson::api::v1::exec_input::Input;
use proto::keelson::api::v1::exec_output::Output;
use proto::keelson::api::v1::{ExecInput, ExecOutput, ExecStart};
use proto::keelson::node::v1::node_client::NodeClient;
use proto::meta::v1::Status;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::options::Kind;
use super::status;

/// Inputs on their way to the kubelet; with [`INPUT_BYTES_MAX`] the bound on what a session holds of them.
const INPUTS_MAX: usize = 16;
/// Bytes of standard input in a message to the kubelet.
const INPUT_BYTES_MAX: usize = 256 << 10;

/// What is to run, and where.
#[derive(Debug)]
pub struct Exec {
    /// Whether it is begun or joined.
    pub kind: Kind,
    /// The kubelet.
    pub kubelet: NodeClient<Channel>,
    /// The pod with its uid, the container, the command.
    pub start: ExecStart,
}

/// What a process said.
#[derive(Debug)]
pub enum Said {
    /// Bytes of its standard output.
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
    /// It ended, or could not begin.
    Ended(Box<Status>),
}

/// The input of a process.
#[derive(Debug, Clone)]
pub struct Inputs(mpsc::Sender<ExecInput>);

impl Inputs {
    /// Passes standard input on. What the process does not take any more is dropped.
    pub async fn stdin(&self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(INPUT_BYTES_MAX));
            self.send(Input::Stdin(part)).await;
        }
    }

    /// Passes anything on.
    pub async fn send(&self, input: Input) {
        let _ended = self.0.send(ExecInput { input: Some(input) }).await;
    }
}

/// A process: begun at the first look at it, killed where it is dropped before it has ended.
pub struct Process {
    kind: Kind,
    state: State,
}

enum State {
    /// The kubelet has not been called yet.
    Asked(Exec, mpsc::Receiver<ExecInput>),
    /// It runs.
    Running(Streaming<ExecOutput>),
    /// It has ended.
    Ended,
}

impl Exec {
    /// The process, and its input.
    pub fn prepare(self) -> (Inputs, Process) {
        let (sender, inputs) = mpsc::channel(INPUTS_MAX);
        (Inputs(sender), Process { kind: self.kind, state: State::Asked(self, inputs) })
    }
}

impl Process {
    /// What it says next; [`Said::Ended`] is the last.
    pub async fn next(&mut self) -> Said {
        loop {
            let step = match std::mem::replace(&mut self.state, State::Ended) {
                State::Asked(exec, inputs) => begin(exec, inputs).await.map(State::Running),
                State::Running(mut outputs) => match outputs.message().await {
                    Ok(Some(output)) => {
                        let said = said(output);
                        if !matches!(said, Some(Said::Ended(_))) {
                            self.state = State::Running(outputs);
                        }
                        match said {
                            Some(said) => return said,
                            None => continue,
                        }
                    }
                    Ok(None) => return Said::Ended(Box::new(self.unfinished())),
                    Err(error) => Err(error),
                },
                State::Ended => return Said::Ended(Box::new(self.unfinished())),
            };
            match step {
                Ok(running) => self.state = running,
                Err(error) => return Said::Ended(Box::new(status::refused(&error))),
            }
        }
    }

    /// The status where the kubelet told no exit code: as it should be where a container was joined.
    fn unfinished(&self) -> Status {
        match self.kind {
            Kind::Attach => status::exited(0),
            Kind::Exec => api::status::internal("the kubelet ended the call without an exit code; does it still run?"),
        }
    }
}

async fn begin(exec: Exec, inputs: mpsc::Receiver<ExecInput>) -> Result<Streaming<ExecOutput>, tonic::Status> {
    let Exec { kind, mut kubelet, start } = exec;
    let start = ExecInput { input: Some(Input::Start(start)) };
    let inputs = stream::iter([start]).chain(ReceiverStream::new(inputs));
    let outputs = match kind {
        Kind::Exec => kubelet.exec(inputs).await,
        Kind::Attach => kubelet.attach(inputs).await,
    };
    Ok(outputs?.into_inner())
}

fn said(output: ExecOutput) -> Option<Said> {
    match output.output? {
        Output::Started(_) => None,
        Output::Stdout(bytes) => Some(Said::Stdout(bytes)),
        Output::Stderr(bytes) => Some(Said::Stderr(bytes)),
        Output::ExitCode(code) => Some(Said::Ended(Box::new(status::exited(code)))),
    }
}
