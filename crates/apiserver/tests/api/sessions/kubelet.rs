//! A kubelet whose containers know a few commands.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use proto::keelson::api::v1::exec_input::Input;
use proto::keelson::api::v1::exec_output::Output;
use proto::keelson::api::v1::port_forward_frame::Frame;
use proto::keelson::api::v1::{ExecInput, ExecOutput, LogsChunk, LogsRequest, PortForwardClose, PortForwardFrame};
use proto::keelson::node::v1::node_server::{Node, NodeServer};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

type Chunks<T> = BoxStream<'static, Result<T, Status>>;

/// Counts the processes that sleep.
struct Kubelet {
    sleepers: Arc<AtomicUsize>,
}

/// A process that sleeps until it is dropped.
struct Sleeper(Arc<AtomicUsize>);

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub fn routes(sleepers: Arc<AtomicUsize>) -> Routes {
    Routes::new(NodeServer::new(Kubelet { sleepers }))
}

fn says(outputs: Vec<Output>) -> Chunks<ExecOutput> {
    stream::iter(outputs.into_iter().map(|output| Ok(ExecOutput { output: Some(output) }))).boxed()
}

/// Standard input as standard output, then an end.
fn echoes(inputs: Streaming<ExecInput>, end: Vec<Output>) -> Chunks<ExecOutput> {
    let bytes = inputs
        .map(|input| input.ok().and_then(|input| input.input))
        .take_while(|input| std::future::ready(!matches!(input, None | Some(Input::StdinClosed(_)))));
    let outputs = bytes.filter_map(|input| {
        std::future::ready(match input {
            Some(Input::Stdin(bytes)) => Some(Ok(ExecOutput { output: Some(Output::Stdout(bytes)) })),
            _ => None,
        })
    });
    outputs.chain(says(end)).boxed()
}

#[tonic::async_trait]
impl Node for Kubelet {
    type LogsStream = Chunks<LogsChunk>;
    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        let asked = request.into_inner();
        if asked.previous {
            return Err(Status::failed_precondition("previous terminated container \"c\" in pod \"p\" not found"));
        }
        let text = format!("{} tail {}", asked.container, asked.tail_lines.unwrap_or(-1));
        Ok(Response::new(stream::iter([Ok(LogsChunk { data: text.into_bytes().into() })]).boxed()))
    }

    type ExecStream = Chunks<ExecOutput>;
    async fn exec(&self, request: Request<Streaming<ExecInput>>) -> Result<Response<Self::ExecStream>, Status> {
        let mut inputs = request.into_inner();
        let Some(ExecInput { input: Some(Input::Start(start)) }) = inputs.message().await? else {
            return Err(Status::invalid_argument("the first message must be a start"));
        };
        assert!(start.pod.is_some_and(|pod| !pod.uid.is_empty()), "the apiserver knows the pod's uid");
        let command: Vec<&str> = start.command.iter().map(String::as_str).collect();
        let out = |text: &'static str| bytes::Bytes::from_static(text.as_bytes());
        Ok(Response::new(match command[..] {
            ["cat"] => echoes(inputs, vec![Output::ExitCode(0)]),
            ["exit", code] => says(vec![
                Output::Started(true),
                Output::Stdout(out("out")),
                Output::Stderr(out("err")),
                Output::ExitCode(code.parse().expect("a code")),
            ]),
            ["size"] => loop {
                if let Some(ExecInput { input: Some(Input::Resize(size)) }) = inputs.message().await? {
                    let text = format!("{}x{}", size.width, size.height).into_bytes();
                    break says(vec![Output::Stdout(text.into()), Output::ExitCode(0)]);
                }
            },
            ["sleep"] => {
                self.sleepers.fetch_add(1, Ordering::SeqCst);
                let sleeper = Sleeper(Arc::clone(&self.sleepers));
                stream::pending().inspect(move |_| _ = &sleeper).boxed()
            }
            _ => return Err(Status::failed_precondition(format!("container not found (\"{}\")", start.container))),
        }))
    }

    type AttachStream = Chunks<ExecOutput>;
    async fn attach(&self, request: Request<Streaming<ExecInput>>) -> Result<Response<Self::AttachStream>, Status> {
        Ok(Response::new(echoes(request.into_inner(), Vec::new())))
    }

    type PortForwardStream = Chunks<PortForwardFrame>;
    async fn port_forward(
        &self,
        request: Request<Streaming<PortForwardFrame>>,
    ) -> Result<Response<Self::PortForwardStream>, Status> {
        // Port 80 echoes, 82 ends the call, all others refuse.
        let frames = request.into_inner().map(|frame| {
            let frame = match frame?.frame {
                Some(Frame::Open(open)) if open.port == 82 => return Err(Status::unavailable("the pod has ended")),
                Some(Frame::Open(open)) if open.port == 80 => Frame::Open(open),
                Some(Frame::Open(open)) => {
                    let error = "connection refused".to_owned();
                    Frame::Close(PortForwardClose { connection: open.connection, error })
                }
                Some(Frame::Close(close)) => {
                    Frame::Close(PortForwardClose { connection: close.connection, error: String::new() })
                }
                Some(data) => data,
                None => return Err(Status::invalid_argument("an empty frame")),
            };
            Ok(PortForwardFrame { frame: Some(frame) })
        });
        Ok(Response::new(frames.boxed()))
    }
}
