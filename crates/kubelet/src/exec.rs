//! Runs a command in a container to its end, for probes and hooks.
//!
//! The work is a task of its own, so that a caller who goes away leaves neither the process nor its pipe behind.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use crate::paths::PodPaths;
use crate::runtime::container::Streams;
use crate::runtime::exec::Exec;
use crate::runtime::spec::Process;
use crate::runtime::{Containerd, Error};

/// What a probe or hook may say; more is read and thrown away.
const OUTPUT_BYTES_MAX: usize = 10 * 1024;
/// How long the rest of the output is waited for after the process ended: a grandchild may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a killed process may take to be gone.
const DEATH: Duration = Duration::from_secs(5);
/// How the pipes of commands are named.
const PIPE_PREFIX: &str = "x-";

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// None: it did not end in time and was killed.
    pub code: Option<i32>,
    pub output: String,
}

/// Runs `process` in the container; kills it after `timeout`, and when the returned future is dropped.
pub async fn run(
    containerd: &Containerd,
    paths: &PodPaths,
    container_id: &str,
    process: &Process,
    timeout: Option<Duration>,
) -> Result<Ended, Error> {
    let command = Command {
        containerd: containerd.clone(),
        pipe: paths.pipes().join(format!("{PIPE_PREFIX}{}", uuid::Uuid::new_v4().simple())),
        container_id: container_id.to_owned(),
        process: process.clone(),
        timeout,
    };
    let (tx, rx) = oneshot::channel();
    tokio::spawn(command.run(tx));
    rx.await.unwrap_or_else(|_| Err(lacks_end(container_id)))
}

/// Removes the pipes of commands that a kubelet before this one ran.
pub fn forget_old(paths: &PodPaths) {
    for entry in std::fs::read_dir(paths.pipes()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PIPE_PREFIX) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn lacks_end(container_id: &str) -> Error {
    Error::Incomplete { operation: "exec in", object: container_id.to_owned(), lacks: "its end" }
}

struct Command {
    containerd: Containerd,
    pipe: PathBuf,
    container_id: String,
    process: Process,
    timeout: Option<Duration>,
}

type Answer = oneshot::Sender<Result<Ended, Error>>;

impl Command {
    async fn run(self, answer: Answer) {
        let answered = match Output::open(&self.pipe) {
            Ok(output) => self.execute(output, answer).await,
            Err(error) => answer.send(Err(error)).is_ok(),
        };
        if !answered {
            tracing::debug!(id = self.container_id, "nobody waits for a command any more");
        }
        let _ = std::fs::remove_file(&self.pipe);
    }

    /// Returns whether somebody took the answer.
    async fn execute(&self, mut output: Output, mut answer: Answer) -> bool {
        let streams = Streams { stdout: self.pipe.clone(), stderr: self.pipe.clone(), ..Streams::default() };
        let exec = match self.containerd.exec(&self.container_id, &self.process, &streams).await {
            Ok(exec) => exec,
            Err(error) => return answer.send(Err(error)).is_ok(),
        };
        let code = output.beside(self.end_of(&exec, answer.closed())).await;
        // The deletion returns after the shim copied all that the process and its children wrote.
        let mut deletion = std::pin::pin!(exec.delete());
        let in_time = output.beside(tokio::time::timeout(LAST_WORDS, &mut deletion)).await.is_ok();
        output.rest();
        let answered = answer.send(code.map(|code| Ended { code, output: output.text() })).is_ok();
        if !in_time {
            output.beside(deletion).await;
        }
        answered
    }

    /// The exit code; None when the process had to be killed.
    async fn end_of(&self, exec: &Exec, abandoned: impl Future<Output = ()>) -> Result<Option<i32>, Error> {
        exec.start().await?;
        let timeout = async {
            match self.timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            code = exec.wait() => return code.map(Some),
            () = timeout => {}
            () = abandoned => {}
        }
        exec.kill().await;
        // Only what has ended can be deleted.
        let _ = tokio::time::timeout(DEATH, exec.wait()).await;
        Ok(None)
    }
}

/// The reading end of a command's pipe, and the beginning of what came out.
struct Output {
    pipe: pipe::Receiver,
    kept: Vec<u8>,
}

impl Output {
    fn open(path: &Path) -> Result<Self, Error> {
        sys::fifo::make(path)?;
        // Both ends: the shim need not wait for us, and what was written stays until it is read.
        let pipe = pipe::OpenOptions::new().read_write(true).open_receiver(path);
        let failed = |source| Error::Io { operation: "open fifo", path: path.display().to_string(), source };
        Ok(Self { pipe: pipe.map_err(failed)?, kept: Vec::new() })
    }

    /// Reads while `work` goes on: a full pipe would stop the process.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                readable = self.pipe.readable() => match readable {
                    Ok(()) => self.rest(),
                    Err(_) => return work.await,
                },
            }
        }
    }

    /// Reads what is there now.
    fn rest(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match self.pipe.try_read(&mut buffer) {
                Ok(length) if length > 0 => {
                    let room = OUTPUT_BYTES_MAX.saturating_sub(self.kept.len());
                    self.kept.extend_from_slice(&buffer[..length.min(room)]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Empty. It never ends, since we hold its other end as well.
                _ => return,
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}
