//! `keelctl exec`: a command in a container, with a terminal where asked for.

use std::io::Write as _;

use anyhow::{Context, bail};
use futures::StreamExt;
use proto::keelson::api::v1::{ExecInput, ExecStart, TerminalSize, exec_input, exec_output};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::logs::{check_container, default_container, pod_ref, pods_of};
use crate::cli::Global;
use crate::error::Exit;
use crate::remote::Remote;
use crate::terminal;

/// Inputs on their way to the server.
const INPUTS_MAX: usize = 16;
/// Bytes read from standard input at once.
const READ_BYTES: usize = 32 << 10;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pod, or what has pods: p, deployment/hello
    pub pod: String,
    /// The container
    #[arg(short = 'c', long, default_value = "", hide_default_value = true)]
    pub container: String,
    /// Pass standard input on
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// A terminal
    #[arg(short = 't', long)]
    pub tty: bool,
    /// Print only what the command prints
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// The command and its arguments, after --
    #[arg(last = true)]
    pub command: Vec<String>,
}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    if args.command.is_empty() {
        bail!("you must specify at least one command for the container: keelctl exec POD -- COMMAND");
    }
    let remote = Remote::connect(global)?;
    let session = Session::prepare(&remote, global, &args.pod, &args.container, args.stdin, args.tty).await?;
    let code = session.run(&remote, args.command, true).await?;
    ended(code)
}

/// A container command's exit code as ours.
pub fn ended(code: i32) -> anyhow::Result<()> {
    if code == 0 {
        return Ok(());
    }
    Err(Exit { code: u8::try_from(code).unwrap_or(1), message: format!("command terminated with exit code {code}") }
        .into())
}

/// A session with a container: exec or attach.
pub struct Session {
    pub start: ExecStart,
}

impl Session {
    pub async fn prepare(
        remote: &Remote,
        global: &Global,
        word: &str,
        container: &str,
        stdin: bool,
        tty: bool,
    ) -> anyhow::Result<Self> {
        let catalog = remote.catalog().await?;
        let pods = pods_of(remote, &catalog, global, catalog.of_kind("v1", "Pod")?, word, false).await?;
        let pod = pods.first().context("no pod was found")?;
        let phase = pod.pointer("/status/phase").and_then(serde_json::Value::as_str).unwrap_or_default();
        if matches!(phase, "Succeeded" | "Failed") {
            bail!("cannot exec into a container in a completed pod; current phase is {phase}");
        }
        let container = if container.is_empty() { default_container(pod)? } else { check_container(pod, container)? };
        let tty = if tty && !terminal::stdin_is_terminal() {
            crate::complain!("Unable to use a TTY - input is not a terminal or the right kind of file");
            false
        } else {
            tty
        };
        let start = ExecStart {
            pod: Some(pod_ref(pod)),
            container,
            command: Vec::new(),
            stdin,
            stdout: true,
            stderr: !tty,
            tty,
        };
        Ok(Self { start })
    }

    /// Runs until the other side ends; the exit code of an exec.
    pub async fn run(self, remote: &Remote, command: Vec<String>, exec: bool) -> anyhow::Result<i32> {
        let (tty, stdin) = (self.start.tty, self.start.stdin);
        let (inputs, queue) = mpsc::channel(INPUTS_MAX);
        let start = ExecStart { command, ..self.start };
        inputs.send(input(exec_input::Input::Start(start))).await.context("starting the session")?;
        let _raw = if tty && stdin { Some(terminal::Raw::enter().context("making the terminal raw")?) } else { None };
        let mut tasks = tokio::task::JoinSet::new();
        if tty {
            tasks.spawn(send_sizes(inputs.clone()));
        }
        if stdin {
            tasks.spawn(send_stdin(inputs.clone()));
        }
        // Held so that a session without standard input stays open.
        let _open = inputs;
        let mut streams = remote.streams();
        let call = if exec {
            streams.exec(ReceiverStream::new(queue)).await
        } else {
            streams.attach(ReceiverStream::new(queue)).await
        };
        let mut outputs = call.map_err(|status| remote.failed(status))?.into_inner();
        let mut code = 0;
        while let Some(output) = outputs.next().await {
            match output.map_err(|status| remote.failed(status))?.output {
                Some(exec_output::Output::Stdout(data)) => {
                    let mut out = std::io::stdout().lock();
                    out.write_all(&data)?;
                    out.flush()?;
                }
                Some(exec_output::Output::Stderr(data)) => {
                    let mut out = std::io::stderr().lock();
                    out.write_all(&data)?;
                    out.flush()?;
                }
                Some(exec_output::Output::ExitCode(exit)) => code = exit,
                Some(exec_output::Output::Started(_)) | None => {}
            }
        }
        tasks.abort_all();
        Ok(code)
    }
}

pub fn input(input: exec_input::Input) -> ExecInput {
    ExecInput { input: Some(input) }
}

async fn send_stdin(inputs: mpsc::Sender<ExecInput>) {
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let message = match stdin.read(&mut buffer).await {
            Ok(0) | Err(_) => exec_input::Input::StdinClosed(true),
            Ok(read) => exec_input::Input::Stdin(buffer[..read].to_vec().into()),
        };
        let last = matches!(message, exec_input::Input::StdinClosed(_));
        if inputs.send(input(message)).await.is_err() || last {
            return;
        }
    }
}

/// The terminal's size, now and whenever it changes.
async fn send_sizes(inputs: mpsc::Sender<ExecInput>) {
    let Ok(mut changes) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change()) else { return };
    loop {
        if let Some((width, height)) = terminal::size() {
            let size = TerminalSize { width: width.into(), height: height.into() };
            if inputs.send(input(exec_input::Input::Resize(size))).await.is_err() {
                return;
            }
        }
        if changes.recv().await.is_none() {
            return;
        }
    }
}
