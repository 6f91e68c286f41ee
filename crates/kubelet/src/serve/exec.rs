//! `exec`: a process that joins a running container, its streams carried both ways.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::keelson::api::v1::exec_input::Input;
use proto::keelson::api::v1::exec_output::Output;
use proto::keelson::api::v1::{ExecInput, ExecOutput, ExecStart};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{ANSWERS_MAX, Answers, NodeService, container};
use crate::observed::State;
use crate::record;
use crate::runtime::container::Streams;
use crate::runtime::exec::Exec;
use crate::runtime::spec::Process;

const READ_BYTES: usize = 32 * 1024;

/// The named pipes of one exec; removed with it.
pub(super) struct Pipes {
    pub streams: Streams,
    /// Held, so that nothing that was written is lost before it is read.
    keep: Vec<File>,
}

impl Drop for Pipes {
    fn drop(&mut self) {
        for path in [&self.streams.stdin, &self.streams.stdout, &self.streams.stderr] {
            if !path.as_os_str().is_empty() {
                // It may never have been made.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

pub(super) fn failed(what: &str, error: &dyn std::error::Error) -> Status {
    Status::internal(format!("{what}: {}", crate::images::chain(error)))
}

impl Pipes {
    fn make(dir: &Path, start: &ExecStart) -> Result<Self, Status> {
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let path = |wanted: bool, kind: &str| match wanted {
            true => dir.join(format!("x-{mark}-{kind}")),
            false => PathBuf::new(),
        };
        let streams = Streams {
            stdin: path(start.stdin, "in"),
            stdout: path(true, "out"),
            stderr: path(!start.tty, "err"),
            terminal: start.tty,
        };
        let mut pipes = Self { streams, keep: Vec::new() };
        for path in [&pipes.streams.stdin, &pipes.streams.stdout, &pipes.streams.stderr] {
            if !path.as_os_str().is_empty() {
                sys::fifo::make(path).map_err(|error| failed("make a pipe", &error))?;
                if *path != pipes.streams.stdin {
                    let both = sys::fifo::open_both(path).map_err(|error| failed("open a pipe", &error))?;
                    pipes.keep.push(both);
                }
            }
        }
        Ok(pipes)
    }

    fn reader(path: &Path) -> Result<pipe::Receiver, Status> {
        pipe::OpenOptions::new().open_receiver(path).map_err(|error| failed("open a pipe", &error))
    }
}

impl NodeService {
    pub(super) async fn serve_exec(&self, mut input: Streaming<ExecInput>) -> Result<Answers<ExecOutput>, Status> {
        let start = first(&mut input).await?;
        if start.command.is_empty() {
            return Err(Status::invalid_argument("you must specify at least 1 command for the container"));
        }
        let (id, pipes_dir, _) = self.running(&start)?;
        let process =
            self.node.containerd.process_of(&id).await.map_err(|error| failed("look up the container", &error))?;
        let mut process = Process { args: start.command.clone(), terminal: start.tty, ..process };
        if start.tty && !process.env.iter().any(|(name, _)| name == "TERM") {
            process.env.push(("TERM".into(), "xterm".into()));
        }
        let pipes = Pipes::make(&pipes_dir, &start)?;
        let exec = self.node.containerd.exec(&id, &process, &pipes.streams).await;
        let exec = exec.map_err(|error| failed("exec", &error))?;
        let (tx, rx) = mpsc::channel(ANSWERS_MAX);
        if let Err(error) = exec.start().await {
            return Err(start_failed(&error));
        }
        tokio::spawn(carry(exec, pipes, start, input, tx));
        Ok(ReceiverStream::new(rx))
    }

    /// The id of the container's current run, and the folder of its pipes.
    pub(super) fn running(&self, start: &ExecStart) -> Result<(String, PathBuf, String), Status> {
        let pod = self.pod(start.pod.as_ref())?;
        let (_, container) = container(&pod, &start.container)?;
        let paths = self.node.paths.pod(&pod.metadata.uid);
        let seen = record::load(&paths).and_then(|(_, observed)| observed.containers.get(&container.name).cloned());
        match seen.map(|seen| seen.state) {
            Some(State::Running { id, .. }) => Ok((id, paths.pipes(), pod.metadata.uid.clone())),
            Some(State::Exited(_)) => Err(Status::failed_precondition(format!(
                "cannot exec into a container in a completed pod; container {} has ended",
                container.name
            ))),
            _ => Err(Status::failed_precondition(format!(
                "container not found (\"{}\"): it does not run",
                container.name
            ))),
        }
    }
}

/// The first message of a call.
pub(super) async fn first(input: &mut Streaming<ExecInput>) -> Result<ExecStart, Status> {
    match input.message().await?.and_then(|message| message.input) {
        Some(Input::Start(start)) => Ok(start),
        _ => Err(Status::invalid_argument("the first message must be a start")),
    }
}

/// A command that cannot be run is the caller's mistake, with runc's words.
fn start_failed(error: &crate::runtime::Error) -> Status {
    let text = crate::images::chain(error);
    Status::failed_precondition(format!("error executing command in container: {text}"))
}

async fn carry(
    exec: Exec,
    pipes: Pipes,
    start: ExecStart,
    input: Streaming<ExecInput>,
    tx: mpsc::Sender<Result<ExecOutput, Status>>,
) {
    let exec = Arc::new(exec);
    let out = |output| Ok(ExecOutput { output: Some(output) });
    if tx.send(out(Output::Started(true))).await.is_err() {
        exec.kill().await;
    }
    let mut readers = tokio::task::JoinSet::new();
    for (path, is_stderr) in [(&pipes.streams.stdout, false), (&pipes.streams.stderr, true)] {
        if !path.as_os_str().is_empty()
            && let Ok(reader) = Pipes::reader(path)
        {
            readers.spawn(copy(reader, is_stderr, tx.clone()));
        }
    }
    let stdin = pipes.streams.stdin.clone();
    let feeder = tokio::spawn(feed(exec.clone(), stdin, input, start));
    let code = tokio::select! {
        code = exec.wait() => code,
        () = tx.closed() => {
            // The caller is gone: nobody would ever end the process.
            exec.kill().await;
            exec.wait().await
        }
    };
    exec.delete().await;
    feeder.abort();
    // All is in the pipes now; without our own ends the readers see the end of them.
    let Pipes { keep, .. } = &pipes;
    let _ = keep;
    finish(pipes, readers).await;
    let last = match code {
        Ok(code) => out(Output::ExitCode(code)),
        Err(error) => Err(failed("wait for the process", &error)),
    };
    let _ = tx.send(last).await;
}

async fn finish(mut pipes: Pipes, mut readers: tokio::task::JoinSet<()>) {
    pipes.keep.clear();
    while readers.join_next().await.is_some() {}
}

async fn copy(mut reader: pipe::Receiver, is_stderr: bool, tx: mpsc::Sender<Result<ExecOutput, Status>>) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(length) = reader.read(&mut buffer).await {
        let bytes = bytes::Bytes::copy_from_slice(&buffer[..length]);
        let output = if is_stderr { Output::Stderr(bytes) } else { Output::Stdout(bytes) };
        if length == 0 || tx.send(Ok(ExecOutput { output: Some(output) })).await.is_err() {
            return;
        }
    }
}

/// Standard input and the terminal's size, from the caller to the process.
async fn feed(exec: Arc<Exec>, stdin: PathBuf, mut input: Streaming<ExecInput>, start: ExecStart) {
    use tokio::io::AsyncWriteExt;
    // The shim has opened its end when the process was started.
    let mut pipe = match start.stdin {
        true => pipe::OpenOptions::new().open_sender(&stdin).ok(),
        false => None,
    };
    while let Ok(Some(message)) = input.message().await {
        match message.input {
            Some(Input::Stdin(bytes)) => {
                if let Some(sink) = &mut pipe
                    && sink.write_all(&bytes).await.is_err()
                {
                    pipe = None;
                }
            }
            Some(Input::StdinClosed(true)) => {
                pipe = None;
                exec.close_stdin().await;
            }
            Some(Input::Resize(size)) => exec.resize(size.width, size.height).await,
            _ => {}
        }
    }
    // The end of the call's input is the end of the standard input.
    if pipe.take().is_some() {
        exec.close_stdin().await;
    }
}
