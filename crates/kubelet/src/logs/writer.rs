//! The log writer: a process per pod that outlives the kubelet.
//!
//! It reads the containers' named pipes, writes their logs and serves attached clients. Plain threads, one per stream:
//! they wait in the kernel and cost next to nothing. Standard input is the listening socket, which the kubelet made,
//! so the kubelet can connect before this process runs. Started as `keelson-kubelet log-writer`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use super::file::LogFile;
use super::format::{Splitter, Stream};
use super::protocol::{Call, Open, Reply};
use crate::time;

/// How much is read at once: what a pipe holds.
const READ_BYTES: usize = 64 * 1024;
/// An attached client that is this many chunks behind is cut off; the log has everything.
const ATTACHED_CHUNKS_MAX: usize = 64;
/// A longer call is nonsense; its parts are answered as such.
const CALL_BYTES_MAX: u64 = 64 * 1024;
const STACK_BYTES: usize = 256 * 1024;

/// One run: its log, how many streams are still open, who is attached.
struct Run {
    log: Mutex<LogFile>,
    state: Mutex<RunState>,
    ended: Condvar,
}

#[derive(Default)]
struct RunState {
    open_streams: usize,
    attached: Vec<mpsc::SyncSender<(Stream, Arc<[u8]>)>>,
}

type Runs = Arc<Mutex<HashMap<String, Arc<Run>>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A poisoned lock means another thread panicked between two writes; the data is a log and stays usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs until told to stop.
pub fn run() -> io::Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    serve(UnixListener::from(stdin))
}

fn serve(listener: UnixListener) -> io::Result<()> {
    listener.set_nonblocking(false)?;
    let runs = Runs::default();
    let (stop, stopped) = mpsc::channel();
    thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        for client in listener.incoming().flatten() {
            let (runs, stop) = (runs.clone(), stop.clone());
            let spawned = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
                // A client that went away needs no answer.
                let _ = talk(&client, &runs, &stop);
            });
            if spawned.is_err() {
                continue; // The client sees its connection closed and tries again.
            }
        }
    })?;
    // The other end is dropped only with the process.
    let _ = stopped.recv();
    Ok(())
}

fn talk(client: &UnixStream, runs: &Runs, stop: &mpsc::Sender<()>) -> io::Result<()> {
    let mut lines = BufReader::new(client);
    let mut line = Vec::new();
    while lines.by_ref().take(CALL_BYTES_MAX).read_until(b'\n', &mut line)? > 0 {
        let call: Result<Call, _> = serde_json::from_slice(&line);
        line.clear();
        match call {
            Ok(Call::Open(open)) => reply(client, start(&open, runs))?,
            Ok(Call::Drained { run }) => {
                if let Some(run) = find(runs, &run) {
                    wait(&run);
                }
                lock(runs).remove(&run);
                reply(client, Ok(()))?;
            }
            Ok(Call::Attach { run }) => match find(runs, &run) {
                Some(run) => return attach(client, &run),
                None => reply(client, Err(io::Error::other("no such container runs")))?,
            },
            Ok(Call::Stop) => {
                reply(client, Ok(()))?;
                let _ = stop.send(());
            }
            Err(error) => reply(client, Err(error.into()))?,
        }
    }
    Ok(())
}

fn reply(mut client: &UnixStream, result: io::Result<()>) -> io::Result<()> {
    let reply = Reply { error: result.err().map(|error| error.to_string()) };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    client.write_all(&line)
}

fn find(runs: &Runs, run: &str) -> Option<Arc<Run>> {
    lock(runs).get(run).cloned()
}

fn wait(run: &Run) {
    let mut state = lock(&run.state);
    while state.open_streams > 0 {
        state = run.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Begins to read a run's streams. Fine when it is read already.
fn start(open: &Open, runs: &Runs) -> io::Result<()> {
    let mut known = lock(runs);
    if known.contains_key(&open.run) {
        return Ok(());
    }
    let mut streams = vec![(Stream::Stdout, pipe(&open.stdout)?)];
    if let Some(stderr) = &open.stderr {
        streams.push((Stream::Stderr, pipe(stderr)?));
    }
    let run = Arc::new(Run {
        log: Mutex::new(LogFile::open(&open.log, open.limits)),
        state: Mutex::new(RunState { open_streams: streams.len(), attached: Vec::new() }),
        ended: Condvar::new(),
    });
    known.insert(open.run.clone(), run.clone());
    for (stream, pipe) in streams {
        let run = run.clone();
        thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            copy(&run, stream, pipe);
            let mut state = lock(&run.state);
            state.open_streams -= 1;
            if state.open_streams == 0 {
                state.attached.clear();
            }
            run.ended.notify_all();
        })?;
    }
    Ok(())
}

fn pipe(path: &Path) -> io::Result<File> {
    sys::fifo::open_read(path).map_err(io::Error::other)
}

/// Copies one stream until its last writer is gone.
fn copy(run: &Run, stream: Stream, mut pipe: File) {
    let (mut splitter, mut buffer, mut out) = (Splitter::default(), vec![0; READ_BYTES], Vec::new());
    loop {
        sys::fifo::wait_readable(&pipe);
        match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                let records = splitter.push(stream, &buffer[..length], time::now(), &mut out);
                if records > 0 {
                    lock(&run.log).append(&out, records, time::now());
                    out.clear();
                }
                broadcast(run, stream, &buffer[..length]);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => break,
        }
    }
    let records = splitter.finish(stream, time::now(), &mut out);
    if records > 0 {
        lock(&run.log).append(&out, records, time::now());
    }
}

fn broadcast(run: &Run, stream: Stream, bytes: &[u8]) {
    let mut state = lock(&run.state);
    if state.attached.is_empty() {
        return;
    }
    let chunk: Arc<[u8]> = bytes.into();
    state.attached.retain(|client| client.try_send((stream, chunk.clone())).is_ok());
}

/// Sends what the run writes from now on, until it ends or the client goes away.
fn attach(mut client: &UnixStream, run: &Run) -> io::Result<()> {
    let (tx, rx) = mpsc::sync_channel(ATTACHED_CHUNKS_MAX);
    {
        let mut state = lock(&run.state);
        if state.open_streams > 0 {
            state.attached.push(tx);
        }
    }
    reply(client, Ok(()))?;
    for (stream, bytes) in rx {
        let kind = match stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        let mut frame = vec![kind];
        frame.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        frame.extend_from_slice(&bytes);
        client.write_all(&frame)?;
    }
    Ok(())
}

/// The listening socket as a child's standard input.
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Ok(UnixListener::bind(path)?.into())
}
