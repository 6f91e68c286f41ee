//! Blocking work off the async threads: a thread that drains a bounded queue, or a task in a simulation.

use tokio::sync::mpsc;

use super::{Env, process};

/// Jobs that one worker may have waiting.
const QUEUE_LEN_MAX: usize = 4096;
/// Jobs that it takes at once.
const BATCH_LEN_MAX: usize = 1024;

/// Owns its state; gets everything that has queued up since it last ran.
pub trait Worker: Send + 'static {
    type Job: Send + 'static;
    fn run(&mut self, jobs: Vec<Self::Job>);
}

/// Sends jobs to a worker, in order. The worker ends when the last handle is gone.
pub struct WorkerHandle<J> {
    tx: mpsc::Sender<J>,
}

impl<J> Clone for WorkerHandle<J> {
    fn clone(&self) -> Self {
        Self { tx: self.tx.clone() }
    }
}

impl<J: Send + 'static> WorkerHandle<J> {
    /// Starts `worker` under `name`.
    pub fn spawn<W: Worker<Job = J>>(env: &Env, name: &str, mut worker: W) -> std::io::Result<Self> {
        let (tx, mut rx) = mpsc::channel(QUEUE_LEN_MAX);
        if env.threads {
            std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                while let Some(first) = rx.blocking_recv() {
                    worker.run(drain(first, &mut rx));
                }
            })?;
        } else {
            // Ends with its handles.
            drop(process::spawn(async move {
                while let Some(first) = rx.recv().await {
                    worker.run(drain(first, &mut rx));
                }
            }));
        }
        Ok(Self { tx })
    }

    /// Queues a job; an error means that the worker is gone.
    pub async fn send(&self, job: J) -> std::io::Result<()> {
        self.tx.send(job).await.map_err(|_| std::io::Error::other("the worker has stopped"))
    }
}

fn drain<J>(first: J, rx: &mut mpsc::Receiver<J>) -> Vec<J> {
    let mut jobs = vec![first];
    while jobs.len() < BATCH_LEN_MAX {
        match rx.try_recv() {
            Ok(job) => jobs.push(job),
            Err(_) => break,
        }
    }
    jobs
}
