//! Sends a snapshot to a member. A transfer that breaks goes on where it stopped: the sender asks how much has arrived and
//! reads on from there, while the leader goes on with its work.

use std::io;
use std::time::{Duration, Instant};

use proto::keelson::raft::v1 as pb;
use proto::keelson::raft::v1::raft_client::RaftClient;
use proto::keelson::raft::v1::snapshot_chunk::Part;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::raft::codec;
use crate::raft::types::Vote;
use crate::shared;
use crate::snapshot::{Blocks, Mark, Taken};

/// Chunks read ahead of the network.
const QUEUE_LEN: usize = 4;
const CHUNK_BYTES: usize = 1 << 20;
/// Rest after a break.
const PAUSE: Duration = Duration::from_millis(200);
/// Without any progress for so long, the leader begins anew with what it has then.
const GIVE_UP: Duration = Duration::from_secs(30);
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// A snapshot as a stream in which one can go back.
struct Source {
    blocks: Blocks,
    offset: u64,
    marks: Vec<(u64, Mark)>,
}

impl Source {
    fn next_bytes(&mut self) -> io::Result<Option<bytes::Bytes>> {
        self.marks.push((self.offset, self.blocks.mark()));
        let bytes = self.blocks.next_bytes()?;
        self.offset += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Ok(bytes)
    }

    /// Goes back to the last place that begins within what was received; gives where that is.
    fn seek(&mut self, received: u64) -> u64 {
        let kept = self.marks.partition_point(|(offset, _)| *offset <= received);
        self.marks.truncate(kept.max(1));
        if let Some((offset, mark)) = self.marks.pop() {
            self.blocks.back_to(mark);
            self.offset = offset;
        }
        self.offset
    }
}

pub struct Sending {
    _log_stays: shared::Sending,
    source: Source,
    begin: pb::SnapshotBegin,
    /// What had arrived at the last break, and when that was seen to change.
    received: u64,
    advanced: Instant,
}

impl Sending {
    pub fn new(taken: Taken, begin: pb::SnapshotBegin) -> Self {
        let _log_stays = taken.sending();
        let source = Source { blocks: taken.blocks(), offset: 0, marks: Vec::new() };
        Self { _log_stays, source, begin, received: 0, advanced: Instant::now() }
    }

    /// Returns, with the receiver's vote, when the snapshot is installed there.
    pub async fn run(mut self, client: impl Fn() -> io::Result<RaftClient<Channel>>) -> io::Result<Vote> {
        loop {
            let status = match self.attempt(client()?).await? {
                Ok(rsp) => return codec::vote_back(rsp.vote).map_err(io::Error::other),
                Err(status) => status,
            };
            if !is_broken(&status) {
                return Err(io::Error::other(status));
            }
            tokio::time::sleep(PAUSE).await;
            self.resume(client()?).await;
            if self.advanced.elapsed() > GIVE_UP {
                return Err(io::Error::other(status));
            }
        }
    }

    /// Sends what is left. The outer error is one of our own disk.
    async fn attempt(
        &mut self,
        mut client: RaftClient<Channel>,
    ) -> io::Result<Result<pb::SnapshotResponse, tonic::Status>> {
        let (tx, rx) = mpsc::channel(QUEUE_LEN);
        let begin = pb::SnapshotBegin { offset: self.source.offset, ..self.begin.clone() };
        let send = async move {
            let mut parts = vec![Part::Begin(begin)];
            loop {
                for part in parts.drain(..) {
                    if tx.send(pb::SnapshotChunk { part: Some(part) }).await.is_err() {
                        return Ok(());
                    }
                }
                let Some(mut bytes) = self.source.next_bytes()? else { return Ok(()) };
                while !bytes.is_empty() {
                    parts.push(Part::Data(bytes.split_to(bytes.len().min(CHUNK_BYTES))));
                }
            }
        };
        let (sent, answer) = futures::join!(send, client.install_snapshot(ReceiverStream::new(rx)));
        let sent: io::Result<()> = sent;
        sent.map(|()| answer.map(tonic::Response::into_inner))
    }

    /// Goes back to what has arrived; when nobody tells, the next attempt breaks at once and asks again.
    async fn resume(&mut self, mut client: RaftClient<Channel>) {
        let ask = pb::SnapshotProgressRequest { target: self.begin.target, transfer: self.begin.transfer };
        let Ok(Ok(rsp)) = tokio::time::timeout(ASK_TIMEOUT, client.snapshot_progress(ask)).await else { return };
        let received = rsp.into_inner().received;
        if received != self.received {
            self.received = received;
            self.advanced = Instant::now();
        }
        let offset = self.source.seek(received);
        tracing::info!(offset, "the transfer of a snapshot broke and goes on");
    }
}

/// Whether the way broke, and not the receiver refused.
fn is_broken(status: &tonic::Status) -> bool {
    use tonic::Code;
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded | Code::Aborted
    )
}
