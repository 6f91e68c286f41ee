//! The kubelet's side of a pod's log writer: start it, find it again, talk to it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::format::Stream;
use super::protocol::{Call, Open, Reply};

/// A log writer's frames are what it reads at once; a longer one is nonsense.
const FRAME_BYTES_MAX: u32 = 1 << 20;

/// The argument that makes this program a log writer.
pub const SUBCOMMAND: &str = "log-writer";

/// The log writer of one pod.
#[derive(Clone, Debug)]
pub struct Writer {
    socket: PathBuf,
    program: PathBuf,
}

impl Writer {
    /// The writer whose socket is at `socket`; it may not run.
    pub fn new(socket: PathBuf, program: PathBuf) -> Self {
        Self { socket, program }
    }

    /// Starts the writer unless it runs.
    pub async fn ensure(&self) -> io::Result<()> {
        if UnixStream::connect(&self.socket).await.is_ok() {
            return Ok(());
        }
        self.spawn()
    }

    /// Starts a writer. It need not have come up for calls to be made: the socket listens already.
    pub fn spawn(&self) -> io::Result<()> {
        let listener = super::writer::listen(&self.socket)?;
        let mut child = tokio::process::Command::new(&self.program)
            .arg(SUBCOMMAND)
            // Only so that people see whose writer it is.
            .arg(&self.socket)
            .stdin(Stdio::from(listener))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()?;
        // Only to reap it; a writer that died is noticed through its socket.
        tokio::spawn(async move { child.wait().await });
        Ok(())
    }

    /// Has the writer read a run's pipes.
    pub async fn open(&self, open: Open) -> io::Result<()> {
        self.call(&Call::Open(open)).await.map(drop)
    }

    /// Returns when all that the run wrote is in its log. Forgets the run.
    pub async fn drained(&self, run: &str) -> io::Result<()> {
        self.call(&Call::Drained { run: run.into() }).await.map(drop)
    }

    /// Ends the writer; fine when it does not run.
    pub async fn stop(&self) {
        let _ = self.call(&Call::Stop).await;
        let _ = std::fs::remove_file(&self.socket);
    }

    /// Returns when the writer is gone.
    pub async fn gone(&self) {
        if let Ok(mut stream) = UnixStream::connect(&self.socket).await {
            let mut byte = [0];
            let _ = stream.read(&mut byte).await;
        }
    }

    /// What the run writes from now on.
    pub async fn attach(&self, run: &str) -> io::Result<Attached> {
        let stream = self.call(&Call::Attach { run: run.into() }).await?;
        Ok(Attached { stream })
    }

    async fn call(&self, call: &Call) -> io::Result<BufReader<UnixStream>> {
        let mut stream = BufReader::new(UnixStream::connect(&self.socket).await?);
        let mut line = serde_json::to_vec(call)?;
        line.push(b'\n');
        stream.get_mut().write_all(&line).await?;
        let mut answer = String::new();
        if stream.read_line(&mut answer).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the log writer ended"));
        }
        let reply: Reply = serde_json::from_str(&answer)?;
        match reply.error {
            None => Ok(stream),
            Some(error) => Err(io::Error::other(error)),
        }
    }
}

/// The small program beside this one, where it is installed; else this program, which can do the same.
pub fn program() -> PathBuf {
    let own = std::env::current_exe().ok().filter(|path| path.exists());
    let small = own.as_ref().map(|path| path.with_file_name("keelson-log-writer")).filter(|path| path.exists());
    small.or(own).unwrap_or_else(|| Path::new("/proc/self/exe").to_owned())
}

/// The streams of an attached run.
pub struct Attached {
    stream: BufReader<UnixStream>,
}

impl Attached {
    /// The next bytes, or None when the run has ended.
    pub async fn next(&mut self) -> io::Result<Option<(Stream, Vec<u8>)>> {
        let mut header = [0; 5];
        match self.stream.read_exact(&mut header).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        };
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
        }
        let mut bytes = vec![0; length as usize];
        self.stream.read_exact(&mut bytes).await?;
        let stream = if header[0] == 2 { Stream::Stderr } else { Stream::Stdout };
        Ok(Some((stream, bytes)))
    }
}
