//! Receives snapshots, one at a time. What has arrived of a transfer that broke stays, so that it can go on.

use std::io;
use std::sync::Arc;

use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::snapshot_chunk::Part;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::env::{Disk, File};
use crate::snapshot::received_name;
use crate::status::malformed;

pub struct Receiving {
    disk: Arc<dyn Disk>,
    /// The attempt that writes; a newer one ends it, as its connection may be dead without knowing.
    attempt: parking_lot::Mutex<CancellationToken>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Transfers so far: each has a file of its own.
    count: u64,
    partial: Option<Partial>,
}

/// A transfer that is not whole yet.
struct Partial {
    transfer: u64,
    name: String,
    file: Arc<dyn File>,
    received: u64,
}

fn failed(error: io::Error) -> Status {
    Status::internal(error.to_string())
}

impl Receiving {
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, attempt: parking_lot::Mutex::default(), state: Mutex::default() }
    }

    fn begin_attempt(&self) -> CancellationToken {
        let mut attempt = self.attempt.lock();
        attempt.cancel();
        *attempt = CancellationToken::new();
        attempt.clone()
    }

    /// Bytes that are there of a transfer; whoever asks has given up the attempt before.
    pub async fn progress(&self, transfer: u64) -> u64 {
        self.begin_attempt();
        let state = self.state.lock().await;
        state.partial.as_ref().filter(|partial| partial.transfer == transfer).map_or(0, |partial| partial.received)
    }

    /// Takes what is left of a transfer; gives the file that holds it whole.
    pub async fn receive(
        &self,
        begin: &pb::SnapshotBegin,
        mut chunks: Streaming<pb::SnapshotChunk>,
    ) -> Result<String, Status> {
        let ended = self.begin_attempt();
        let mut state = self.state.lock().await;
        let partial = state.begin(&self.disk, begin)?;
        loop {
            let chunk = tokio::select! {
                chunk = chunks.message() => chunk?,
                () = ended.cancelled() => return Err(Status::aborted("the transfer goes on in another stream")),
            };
            match chunk.map(|chunk| chunk.part) {
                Some(Some(Part::Data(bytes))) => {
                    partial.file.write_at(partial.received, &bytes).map_err(failed)?;
                    partial.received += bytes.len() as u64;
                }
                Some(_) => return Err(malformed("a snapshot's second chunk is not data")),
                None => break,
            }
        }
        let whole = state.partial.take().map(|partial| partial.name);
        whole.ok_or_else(|| malformed("the transfer is gone"))
    }
}

impl State {
    /// Goes on with the transfer that is here, or begins one in a file of its own.
    fn begin(&mut self, disk: &Arc<dyn Disk>, begin: &pb::SnapshotBegin) -> Result<&mut Partial, Status> {
        let known = |partial: &Partial| partial.transfer == begin.transfer && begin.offset <= partial.received;
        if begin.transfer == 0 || !self.partial.as_ref().is_some_and(known) {
            if begin.offset > 0 {
                return Err(Status::aborted("nothing of this transfer is here: begin it anew"));
            }
            self.discard(&**disk);
            self.count += 1;
            let name = received_name(self.count);
            let file = disk.open(&name, true).map_err(failed)?;
            self.partial = Some(Partial { transfer: begin.transfer, name, file, received: 0 });
        }
        let partial = self.partial.as_mut().ok_or_else(|| malformed("the transfer is gone"))?;
        partial.file.set_size(begin.offset).map_err(failed)?;
        partial.received = begin.offset;
        Ok(partial)
    }

    fn discard(&mut self, disk: &dyn Disk) {
        if let Some(partial) = self.partial.take()
            && let Err(error) = disk.remove(&partial.name)
        {
            tracing::debug!(%error, name = partial.name, "a snapshot that did not arrive whole stays until the next start");
        }
    }
}
