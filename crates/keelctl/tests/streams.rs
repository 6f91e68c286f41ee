//! logs, exec, attach, cp, port-forward and why against a server that runs commands on this machine: what arrives at the user.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use futures::{Stream, StreamExt};
use proto::keelson::api::v1 as rpc;
use rpc::discovery_server::{Discovery, DiscoveryServer};
use rpc::resources_server::{Resources, ResourcesServer};
use rpc::streams_server::{Streams, StreamsServer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

type Answer<T> = Result<Response<T>, Status>;
type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// One pod `p` with containers a and b; its processes are this machine's.
#[derive(Clone, Default)]
struct Fake {
    logs: Arc<Mutex<Vec<rpc::LogsRequest>>>,
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"},
        "spec": {"nodeName": "n", "containers": [{"name": "a", "ports": [{"name": "web", "containerPort": 8080}]}, {"name": "b"}]},
        "status": {"phase": "Running", "containerStatuses": [{"name": "a", "ready": true, "state": {"running": {}}},
            {"name": "b", "image": "r.example/b:1", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}]}})
}

fn object() -> rpc::Object {
    rpc::Object { resource_version: 7, object: Some(keelctl::remote::to_any(&pod()).unwrap()), warnings: Vec::new() }
}

#[tonic::async_trait]
impl Discovery for Fake {
    async fn list_resources(&self, _: Request<rpc::ListResourcesRequest>) -> Answer<rpc::ListResourcesResponse> {
        let row = |kind: &str, plural: &str| rpc::ApiResource {
            version: "v1".into(),
            kind: kind.into(),
            plural: plural.into(),
            namespaced: true,
            ..rpc::ApiResource::default()
        };
        Ok(Response::new(rpc::ListResourcesResponse { resources: vec![row("Pod", "pods"), row("Event", "events")] }))
    }

    async fn get_version(&self, _: Request<rpc::GetVersionRequest>) -> Answer<rpc::Version> {
        Ok(Response::new(rpc::Version::default()))
    }
}

#[tonic::async_trait]
impl Resources for Fake {
    type ListStream = Boxed<rpc::ListChunk>;
    type WatchStream = Boxed<rpc::WatchChunk>;

    async fn get(&self, request: Request<rpc::GetRequest>) -> Answer<rpc::Object> {
        match request.into_inner().r#ref.unwrap_or_default().name.as_str() {
            "p" => Ok(Response::new(object())),
            name => Err(Status::not_found(format!("pods \"{name}\" not found"))),
        }
    }

    async fn list(&self, request: Request<rpc::ListRequest>) -> Answer<Self::ListStream> {
        let pods = request.into_inner().r#ref.unwrap_or_default().resource == "pods";
        let chunk = rpc::ListChunk {
            resource_version: 7,
            items: if pods { vec![object()] } else { Vec::new() },
            ..rpc::ListChunk::default()
        };
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(chunk)]))))
    }

    async fn watch(&self, _: Request<rpc::WatchRequest>) -> Answer<Self::WatchStream> {
        Err(Status::unimplemented("no watch here"))
    }

    async fn create(&self, _: Request<rpc::CreateRequest>) -> Answer<rpc::Object> {
        Err(Status::unimplemented("read only"))
    }

    async fn update(&self, _: Request<rpc::UpdateRequest>) -> Answer<rpc::Object> {
        Err(Status::unimplemented("read only"))
    }

    async fn patch(&self, _: Request<rpc::PatchRequest>) -> Answer<rpc::Object> {
        Err(Status::unimplemented("read only"))
    }

    async fn delete(&self, _: Request<rpc::DeleteRequest>) -> Answer<rpc::DeleteResponse> {
        Err(Status::unimplemented("read only"))
    }

    async fn delete_collection(
        &self,
        _: Request<rpc::DeleteCollectionRequest>,
    ) -> Answer<rpc::DeleteCollectionResponse> {
        Err(Status::unimplemented("read only"))
    }
}

#[tonic::async_trait]
impl Streams for Fake {
    type LogsStream = Boxed<rpc::LogsChunk>;
    type ExecStream = Boxed<rpc::ExecOutput>;
    type AttachStream = Boxed<rpc::ExecOutput>;
    type PortForwardStream = Boxed<rpc::PortForwardFrame>;

    async fn logs(&self, request: Request<rpc::LogsRequest>) -> Answer<Self::LogsStream> {
        let request = request.into_inner();
        let text = format!("one {}\ntwo", request.container);
        self.logs.lock().unwrap().push(request);
        // A line may come in two chunks, and the last one may lack its end.
        let chunks: Vec<_> =
            text.as_bytes().chunks(2).map(|data| Ok(rpc::LogsChunk { data: data.to_vec().into() })).collect();
        Ok(Response::new(Box::pin(futures::stream::iter(chunks))))
    }

    async fn exec(&self, request: Request<Streaming<rpc::ExecInput>>) -> Answer<Self::ExecStream> {
        let mut inputs = request.into_inner();
        let Some(rpc::exec_input::Input::Start(start)) = inputs.message().await?.and_then(|input| input.input) else {
            return Err(Status::invalid_argument("the first message starts the command"));
        };
        Ok(Response::new(Box::pin(ReceiverStream::new(process(start.command, inputs)?))))
    }

    async fn attach(&self, request: Request<Streaming<rpc::ExecInput>>) -> Answer<Self::AttachStream> {
        let mut inputs = request.into_inner();
        inputs.message().await?;
        Ok(Response::new(Box::pin(ReceiverStream::new(process(vec!["cat".into()], inputs)?))))
    }

    /// Every connection to port 8080 is an echo; other ports refuse.
    async fn port_forward(
        &self,
        request: Request<Streaming<rpc::PortForwardFrame>>,
    ) -> Answer<Self::PortForwardStream> {
        let frames = request.into_inner().filter_map(async |frame| {
            use rpc::port_forward_frame::Frame;
            match frame.ok()?.frame? {
                Frame::Open(open) if open.port != 8080 => {
                    let close =
                        rpc::PortForwardClose { connection: open.connection, error: "connection refused".into() };
                    Some(Ok(rpc::PortForwardFrame { frame: Some(Frame::Close(close)) }))
                }
                Frame::Open(_) => None,
                other => Some(Ok(rpc::PortForwardFrame { frame: Some(other) })),
            }
        });
        Ok(Response::new(Box::pin(frames)))
    }
}

/// A command of this machine, its streams as messages.
fn process(
    command: Vec<String>,
    mut inputs: Streaming<rpc::ExecInput>,
) -> Result<mpsc::Receiver<Result<rpc::ExecOutput, Status>>, Status> {
    use rpc::exec_input::Input;
    use rpc::exec_output::Output;
    let (outputs, received) = mpsc::channel(16);
    let mut process = tokio::process::Command::new(&command[0]);
    process.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut process = process.spawn().map_err(|error| Status::internal(error.to_string()))?;
    let mut stdin = process.stdin.take();
    tokio::spawn(async move {
        while let Ok(Some(input)) = inputs.message().await {
            match (input.input, stdin.as_mut()) {
                (Some(Input::Stdin(data)), Some(stdin)) => drop(stdin.write_all(&data).await),
                (Some(Input::StdinClosed(_)), _) => stdin = None,
                _ => {}
            }
        }
    });
    let (mut out, mut err) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
    tokio::spawn(async move {
        let send = async |output| outputs.send(Ok(rpc::ExecOutput { output: Some(output) })).await;
        let _ = send(Output::Started(true)).await;
        let one = async {
            let mut buffer = vec![0; 8192];
            while let Ok(read @ 1..) = out.read(&mut buffer).await {
                let _ = send(Output::Stdout(buffer[..read].to_vec().into())).await;
            }
        };
        let other = async {
            let mut buffer = vec![0; 8192];
            while let Ok(read @ 1..) = err.read(&mut buffer).await {
                let _ = send(Output::Stderr(buffer[..read].to_vec().into())).await;
            }
        };
        tokio::join!(one, other);
        let code = process.wait().await.ok().and_then(|status| status.code()).unwrap_or(-1);
        let _ = send(Output::ExitCode(code)).await;
    });
    Ok(received)
}

/// The fake's address; it serves until the test ends.
fn serve(runtime: &tokio::runtime::Runtime, fake: Fake) -> String {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .add_service(DiscoveryServer::new(fake.clone()))
        .add_service(ResourcesServer::new(fake.clone()))
        .add_service(StreamsServer::new(fake));
    runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    format!("http://{address}")
}

struct Session {
    server: String,
    fake: Fake,
    _runtime: tokio::runtime::Runtime,
}

impl Session {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let fake = Fake::default();
        Self { server: serve(&runtime, fake.clone()), fake, _runtime: runtime }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keelctl"));
        command.arg("--server").arg(&self.server).args(args).env("KUBECONFIG", "/nonexistent").env_remove("HOME");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Standard output, standard error and exit code, with something on standard input.
    fn run(&self, args: &[&str], input: &[u8]) -> (String, String, i32) {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr), output.status.code().unwrap_or(-1))
    }
}

#[test]
fn exec_keeps_streams_apart_and_ends_with_the_commands_code() {
    let session = Session::new();
    let (out, err, code) =
        session.run(&["exec", "p", "-c", "a", "--", "sh", "-c", "echo out; echo err >&2; exit 3"], b"");
    assert_eq!((out.as_str(), err.as_str(), code), ("out\n", "err\ncommand terminated with exit code 3\n", 3));
    let (out, _, code) = session.run(&["exec", "-i", "pod/p", "-c", "b", "--", "tr", "a-z", "A-Z"], b"hello");
    assert_eq!((out.as_str(), code), ("HELLO", 0));
    let (_, err, code) = session.run(&["exec", "p", "--", "true"], b"");
    assert_eq!((err.as_str(), code), ("Defaulted container \"a\" out of: a, b\n", 0));
    let (_, err, code) = session.run(&["exec", "p", "-c", "z", "--", "true"], b"");
    assert_eq!((err.as_str(), code), ("error: container z is not valid for pod p out of: a, b; did you mean a?\n", 1));
}

#[test]
fn attach_passes_standard_input_and_output() {
    let session = Session::new();
    let (out, _, code) = session.run(&["attach", "-i", "-q", "p", "-c", "a"], b"through\n");
    assert_eq!((out.as_str(), code), ("through\n", 0));
}

#[test]
fn logs_print_whole_lines_and_pass_their_options_on() {
    let session = Session::new();
    let (out, _, code) =
        session.run(&["logs", "p", "-c", "b", "--tail=5", "--since=2m", "--timestamps", "--previous"], b"");
    assert_eq!((out.as_str(), code), ("one b\ntwo", 0));
    let request = session.fake.logs.lock().unwrap().pop().unwrap();
    assert_eq!(
        (request.tail_lines, request.since_seconds, request.timestamps, request.previous),
        (Some(5), Some(120), true, true)
    );
    let (out, _, _) = session.run(&["logs", "-l", "app=x", "--all-containers", "--prefix"], b"");
    assert_eq!(out, "[pod/p/a] one a\n[pod/p/a] two[pod/p/b] one b\n[pod/p/b] two");
    assert_eq!(session.fake.logs.lock().unwrap().pop().unwrap().tail_lines, Some(10));
    let (_, err, code) = session.run(&["logs", "p", "-c", "zz"], b"");
    assert_eq!((err.as_str(), code), ("error: container zz is not valid for pod p out of: a, b\n", 1));
}

#[test]
fn files_and_folders_are_copied_both_ways() {
    let session = Session::new();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::create_dir_all(path("src/sub")).unwrap();
    std::fs::create_dir_all(path("pod")).unwrap();
    let large: Vec<u8> = (0..1_000_000_u32).flat_map(|number| number.to_le_bytes()).collect();
    std::fs::write(path("src/sub/large"), &large).unwrap();
    std::fs::write(path("src/small"), "x").unwrap();
    let copy = |from: &str, to: &str| {
        let (out, err, code) = session.run(&["cp", "-c", "a", from, to], b"");
        assert_eq!(code, 0, "{from} -> {to}: {out}{err}");
    };
    copy(&path("src"), &format!("p:{}", path("pod")));
    assert_eq!(std::fs::read(path("pod/src/sub/large")).unwrap(), large);
    copy(&path("src/small"), &format!("p:{}", path("pod/renamed")));
    assert_eq!(std::fs::read_to_string(path("pod/renamed")).unwrap(), "x");
    copy(&format!("p:{}", path("pod/src")), &path("back"));
    assert_eq!(std::fs::read(path("back/sub/large")).unwrap(), large);
    copy(&format!("default/p:{}", path("pod/renamed")), &path("one"));
    assert_eq!(std::fs::read_to_string(path("one")).unwrap(), "x");
    let (_, err, code) = session.run(&["cp", "-c", "a", &format!("p:{}", path("nope")), &path("y")], b"");
    assert!(code == 1 && err.contains("may not exist there"), "{err}");
}

#[test]
fn a_forwarded_port_carries_bytes_both_ways() {
    let session = Session::new();
    let mut child = session.command(&["port-forward", "pod/p", ":web", "--address", "127.0.0.1"]).spawn().unwrap();
    let mut line = Vec::new();
    let mut stdout = child.stdout.take().unwrap();
    let mut byte = [0];
    while byte[0] != b'\n' && stdout.read(&mut byte).unwrap() > 0 {
        line.push(byte[0]);
    }
    let line = String::from_utf8(line).unwrap();
    let (from, to) = line.trim().strip_prefix("Forwarding from ").unwrap().split_once(" -> ").unwrap();
    assert_eq!(to, "8080");
    for text in ["hello", "again"] {
        let mut stream = TcpStream::connect(from).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, text);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn why_names_the_container_that_waits() {
    let session = Session::new();
    let (out, err, code) = session.run(&["why", "pod", "p"], b"");
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("Container b waits: ImagePullBackOff: Back-off pulling image"), "{out}");
}
