//! containerd's content store: blobs by digest.

use std::collections::HashMap;
use std::sync::Arc;

use containerd_client::services::v1 as api;
use futures::{Stream, StreamExt};

use super::connection::{leased, request};
use super::{Containerd, Error};

/// How much of a blob goes into one message.
const CHUNK_BYTES: usize = 1 << 20;
/// The most that a manifest or configuration may be: they are read whole.
const DOCUMENT_BYTES_MAX: usize = 16 << 20;

/// Blobs that are being written, by digest: images share layers, and one of two pulls waits for the other's.
pub(super) type Turns = Arc<parking_lot::Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>;

/// A blob that nobody else writes for as long as this lives.
pub(super) struct Turn {
    turns: Turns,
    digest: String,
    guard: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.turns.lock();
        self.guard = None;
        // Only the map knows it: nobody waits.
        if turns.get(&self.digest).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            turns.remove(&self.digest);
        }
    }
}

impl Containerd {
    pub(super) async fn turn(&self, digest: &str) -> Turn {
        let lock = self.turns.lock().entry(digest.to_owned()).or_default().clone();
        let guard = Some(lock.lock_owned().await);
        Turn { turns: self.turns.clone(), digest: digest.to_owned(), guard }
    }

    /// The whole blob; for manifests and configurations, not for layers.
    pub(super) async fn read_blob(&self, digest: &str) -> Result<Vec<u8>, Error> {
        let read = api::ReadContentRequest { digest: digest.into(), ..Default::default() };
        let answer = self.content().read(request(read)).await.map_err(Error::of("read content", digest))?;
        let mut stream = answer.into_inner();
        let mut blob = Vec::new();
        while let Some(chunk) = stream.message().await.map_err(Error::of("read content", digest))? {
            blob.extend_from_slice(&chunk.data);
            if blob.len() > DOCUMENT_BYTES_MAX {
                return Err(Error::TooLarge { object: digest.into(), bytes_max: DOCUMENT_BYTES_MAX });
            }
        }
        Ok(blob)
    }

    /// Whether the blob is in the store, whole.
    pub(super) async fn has_blob(&self, digest: &str) -> Result<bool, Error> {
        let info = api::InfoRequest { digest: digest.into() };
        match self.content().info(request(info)).await {
            Ok(_) => Ok(true),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(false),
            Err(status) => Err(Error::of("look up content", digest)(status)),
        }
    }

    /// Writes a blob of known digest from a stream of bytes, under a lease. containerd checks digest and size.
    pub(super) async fn write_blob<S>(
        &self,
        lease: &str,
        digest: &str,
        size: i64,
        labels: HashMap<String, String>,
        body: S,
    ) -> Result<(), Error>
    where
        S: Stream<Item = Result<bytes::Bytes, std::io::Error>> + Send + Unpin + 'static,
    {
        let (tx, rx) = tokio::sync::mpsc::channel::<api::WriteContentRequest>(2);
        // A name of its own: what a pull that was cut off has left is not gone on with, but collected by containerd.
        let name = format!("keelson-{}-{digest}", uuid::Uuid::new_v4().simple());
        let message = api::WriteContentRequest {
            r#ref: name.clone(),
            total: size.max(0),
            expected: digest.into(),
            ..Default::default()
        };
        let feed = feed(tx, message, labels, body);
        let call = async {
            let stream = tokio_stream::wrappers::ReceiverStream::new(rx);
            let mut answers = self.content().write(leased(stream, lease)).await?.into_inner();
            while answers.message().await?.is_some() {}
            Ok::<(), tonic::Status>(())
        };
        let (fed, written) = tokio::join!(feed, call);
        let result = match written {
            Err(status) if status.code() == tonic::Code::AlreadyExists => return Ok(()),
            Err(status) => fed.and(Err(Error::of("write content", digest)(status))),
            Ok(()) => fed,
        };
        if result.is_err() {
            // What came so far takes room on the disk. The first error is the one that matters.
            let abort = api::AbortRequest { r#ref: name };
            let _ = self.content().abort(leased(abort, lease)).await;
        }
        result
    }
}

async fn feed<S>(
    tx: tokio::sync::mpsc::Sender<api::WriteContentRequest>,
    template: api::WriteContentRequest,
    labels: HashMap<String, String>,
    mut body: S,
) -> Result<(), Error>
where
    S: Stream<Item = Result<bytes::Bytes, std::io::Error>> + Send + Unpin,
{
    // The first message must not carry data: it opens the write and learns where to begin.
    let stat = api::WriteContentRequest { action: api::WriteAction::Stat as i32, ..template.clone() };
    if tx.send(stat).await.is_err() {
        return Ok(()); // The other side ended the call; its answer says why.
    }
    let mut offset = 0;
    while let Some(chunk) = body.next().await {
        let chunk =
            chunk.map_err(|source| Error::Io { operation: "download", path: template.expected.clone(), source })?;
        for part in chunk.chunks(CHUNK_BYTES) {
            let write = api::WriteContentRequest {
                action: api::WriteAction::Write as i32,
                offset,
                data: part.to_vec(),
                ..template.clone()
            };
            offset += part.len() as i64;
            if tx.send(write).await.is_err() {
                return Ok(());
            }
        }
    }
    let commit = api::WriteContentRequest { action: api::WriteAction::Commit as i32, offset, labels, ..template };
    // A failed send means the call ended early; its answer says why.
    let _ = tx.send(commit).await;
    Ok(())
}
