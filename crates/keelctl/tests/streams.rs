//! logs, exec, attach, cp, port-forward and why against a server that runs commands on this machine: what arrives at the user.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt};
use proto::keelson::api::v1 as rpc;
use rpc::discovery_server::{Discovery, DiscoveryServer};
use rpc::resources_server::{Resources, ResourcesServer};
use rpc::streams_server::{Streams, StreamsServer};
use serde_json::{Value, json};
use testkit::terminal::{self, Terminal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// How long anything may take to show.
const LIMIT: Duration = Duration::from_secs(60);

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

fn service() -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "x"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}]}})
}

fn object(of: &Value) -> rpc::Object {
    rpc::Object { resource_version: 7, object: Some(keelctl::remote::to_any(of).unwrap()), warnings: Vec::new() }
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
        let resources = vec![row("Pod", "pods"), row("Event", "events"), row("Service", "services")];
        Ok(Response::new(rpc::ListResourcesResponse { resources }))
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
            "p" => Ok(Response::new(object(&pod()))),
            "web" => Ok(Response::new(object(&service()))),
            name => Err(Status::not_found(format!("pods \"{name}\" not found"))),
        }
    }

    async fn list(&self, request: Request<rpc::ListRequest>) -> Answer<Self::ListStream> {
        let request = request.into_inner();
        let what = request.r#ref.unwrap_or_default();
        // A namespace whose pages expire as soon as the first one was read.
        let (first, whole) = (request.r#continue.is_empty(), request.limit == 0);
        if what.namespace == "expires" && !first {
            let status = proto::meta::v1::Status {
                code: 410,
                reason: "Expired".into(),
                message: "The provided continue parameter is too old".into(),
                ..Default::default()
            };
            return Err(proto::rpc_status::to_tonic(&status));
        }
        let more = what.namespace == "expires" && !whole;
        let chunk = rpc::ListChunk {
            resource_version: 7,
            items: if what.resource == "pods" { vec![object(&pod()); 1 + usize::from(whole)] } else { Vec::new() },
            r#continue: if more { "token".into() } else { String::new() },
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
        if request.follow {
            // A prompt: no line, and nothing after it.
            let chunk = futures::stream::iter([Ok(rpc::LogsChunk { data: "name? ".into() })]);
            return Ok(Response::new(Box::pin(chunk.chain(futures::stream::pending()))));
        }
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
        let outputs = if start.tty { on_terminal(start.command, inputs)? } else { process(start.command, inputs)? };
        Ok(Response::new(Box::pin(ReceiverStream::new(outputs))))
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

/// A command of this machine on a terminal, as a node runs it.
fn on_terminal(
    command: Vec<String>,
    mut inputs: Streaming<rpc::ExecInput>,
) -> Result<mpsc::Receiver<Result<rpc::ExecOutput, Status>>, Status> {
    use rpc::exec_input::Input;
    use rpc::exec_output::Output;
    let (ours, theirs) = terminal::open(1, 1)?;
    let mut program = Command::new(&command[0]);
    program.args(&command[1..]);
    let mut process = terminal::on(theirs, &program)?.spawn()?;
    let (mut writer, mut reader) = (std::fs::File::from(ours.try_clone()?), std::fs::File::from(ours.try_clone()?));
    tokio::spawn(async move {
        while let Ok(Some(input)) = inputs.message().await {
            match input.input {
                Some(Input::Stdin(data)) => writer.write_all(&data).unwrap(),
                Some(Input::Resize(size)) => terminal::resize(&ours, size.width as u16, size.height as u16).unwrap(),
                _ => {}
            }
        }
    });
    let (outputs, received) = mpsc::channel(16);
    std::thread::spawn(move || {
        let send = |output| outputs.blocking_send(Ok(rpc::ExecOutput { output: Some(output) }));
        let mut buffer = [0; 4096];
        // The last process that has the terminal open ends it: reading fails then.
        while let Ok(read @ 1..) = reader.read(&mut buffer) {
            let _ = send(Output::Stdout(buffer[..read].to_vec().into()));
        }
        let code = process.wait().ok().and_then(|status| status.code()).unwrap_or(-1);
        let _ = send(Output::ExitCode(code));
    });
    Ok(received)
}

/// The fake's address; it serves until the test ends.
fn serve(runtime: &tokio::runtime::Runtime, fake: Fake) -> String {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    // As our servers have it: what one stream holds back is not all that the connection may carry.
    let server = tonic::transport::Server::builder()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
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
fn links_are_copied_as_links_that_stay_inside() {
    let session = Session::new();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::create_dir_all(path("src")).unwrap();
    std::fs::write(path("src/file"), "x").unwrap();
    std::os::unix::fs::symlink("file", path("src/link")).unwrap();
    std::fs::create_dir_all(path("pod")).unwrap();
    let (_, err, code) = session.run(&["cp", "-c", "a", &path("src"), &format!("p:{}", path("pod"))], b"");
    assert_eq!(code, 0, "{err}");
    assert_eq!(std::fs::read_link(path("pod/src/link")).unwrap().to_str(), Some("file"));
    // On the way back links could lead out of the folder: they are left behind, with a word.
    let (_, err, code) = session.run(&["cp", "-c", "a", &format!("p:{}", path("pod/src")), &path("back")], b"");
    assert!(code == 0 && err.contains("link"), "{err}");
    assert_eq!(std::fs::read_to_string(path("back/file")).unwrap(), "x");
}

/// Reads until a text was seen; gives all that was read. Panics when the other side ends before.
#[track_caller]
fn read_until(from: &mut impl Read, text: &str) -> String {
    let mut found = String::new();
    let mut byte = [0];
    while !found.ends_with(text) {
        match from.read(&mut byte) {
            Ok(1) => found.push(char::from(byte[0])),
            other => panic!("{other:?} instead of {text:?} after {found:?}"),
        }
    }
    found
}

/// Ends a child when the test ends, however it does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn exec_on_a_terminal_is_a_terminal_at_the_other_end() {
    let session = Session::new();
    let (ours, theirs) = terminal::open(91, 33).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keelctl"));
    command.args(["--server", &session.server, "exec", "-it", "p", "-c", "a", "--"]);
    command.args([
        "sh",
        "-c",
        "trap 'int=1; echo got-int' INT; tty; echo ready; while read -r line; do eval \"$line\"; done",
    ]);
    let mut child = Running(terminal::on(theirs, &command).unwrap().env("KUBECONFIG", "/nonexistent").spawn().unwrap());
    let mut terminal = Terminal::new(ours).unwrap();
    let text = terminal.await_text("ready\r\n", LIMIT).unwrap();
    assert!(text.starts_with("/dev/pts/"), "{text:?}");
    // The size came with the session, and changes with the window. It travels beside the keys: asked until it is there.
    let size_becomes = |terminal: &mut Terminal, want: &str| {
        let ask = format!("until [ \"$(stty size)\" = '{want}' ]; do sleep 0.05; done; echo \"[$(stty size)]\"\n");
        terminal.press(&ask).unwrap();
        terminal.await_text(&format!("\r\n[{want}]\r\n"), LIMIT).unwrap();
    };
    size_becomes(&mut terminal, "33 91");
    terminal.resize(120, 40).unwrap();
    size_becomes(&mut terminal, "40 120");
    // Ctrl-C is a key for the command, not the end of keelctl.
    // It is pressed while the shell runs something, since a shell that just begins to read may hear of it late.
    terminal.press("echo wait\"ing\"; until [ \"$int\" ]; do sleep 0.05; done\n").unwrap();
    terminal.await_text("\r\nwaiting\r\n", LIMIT).unwrap();
    terminal.press("\x03").unwrap();
    terminal.await_text("got-int\r\n", LIMIT).unwrap();
    terminal.press("exit 7\n").unwrap();
    terminal.await_text("command terminated with exit code 7", LIMIT).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(7));
    assert!(terminal.is_cooked().unwrap(), "the terminal is left raw");
}

#[test]
fn a_prompt_is_seen_before_its_line_ends() {
    let session = Session::new();
    let mut child = Running(session.command(&["logs", "-f", "p", "-c", "a"]).spawn().unwrap());
    read_until(child.0.stdout.as_mut().unwrap(), "name? ");
}

#[test]
fn a_list_whose_pages_expire_is_read_at_once() {
    let session = Session::new();
    let (out, err, code) = session.run(&["get", "pods", "-n", "expires", "-o", "name"], b"");
    assert_eq!((out.as_str(), err.as_str(), code), ("pod/p\npod/p\n", "", 0));
}

/// A forward that runs, and the local address it listens on.
fn forward(session: &Session, args: &[&str]) -> (Running, String) {
    let mut child =
        Running(session.command(&[&["port-forward", "--address", "127.0.0.1"], args].concat()).spawn().unwrap());
    let line = read_until(child.0.stdout.as_mut().unwrap(), "\n");
    let (from, to) = line.trim().strip_prefix("Forwarding from ").unwrap().split_once(" -> ").unwrap();
    assert_eq!(to, "8080");
    (child, from.to_owned())
}

#[track_caller]
fn echoes(address: &str, text: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, text);
}

#[test]
fn a_forwarded_port_carries_bytes_both_ways() {
    let session = Session::new();
    let (_child, address) = forward(&session, &["pod/p", ":web"]);
    echoes(&address, "hello");
    echoes(&address, "again");
}

#[test]
fn a_services_port_leads_to_the_port_of_its_pod() {
    let session = Session::new();
    let (_child, address) = forward(&session, &["service/web", ":80"]);
    echoes(&address, "through the service");
}

#[test]
fn a_connection_that_nobody_reads_holds_up_no_other() {
    let session = Session::new();
    let (_child, address) = forward(&session, &["pod/p", ":8080"]);
    let mut stalled = TcpStream::connect(&address).unwrap();
    stalled.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // The echo comes back until every buffer on the way is full.
    let chunk = vec![7; 1 << 20];
    let mut sent = 0;
    while let Ok(written @ 1..) = stalled.write(&chunk) {
        sent += written;
        assert!(sent < 256 << 20, "nothing on the way holds anything up");
    }
    echoes(&address, "others go on");
}

#[test]
fn why_names_the_container_that_waits() {
    let session = Session::new();
    let (out, err, code) = session.run(&["why", "pod", "p"], b"");
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("Container b waits: ImagePullBackOff: Back-off pulling image"), "{out}");
}
