//! containerd's content store: blobs by digest.

use std::collections::HashMap;

use containerd_client::services::v1 as api;
use futures::{Stream, StreamExt};

use super::connection::{leased, request};
use super::{Containerd, Error};

/// How much of a blob goes into one message.
const CHUNK_BYTES: usize = 1 << 20;

impl Containerd {
    /// The whole blob; for manifests and configurations, not for layers.
    pub(super) async fn read_blob(&self, digest: &str) -> Result<Vec<u8>, Error> {
        let read = api::ReadContentRequest { digest: digest.into(), ..Default::default() };
        let answer = self.content().read(request(read)).await.map_err(Error::of("read content", digest))?;
        let mut stream = answer.into_inner();
        let mut blob = Vec::new();
        while let Some(chunk) = stream.message().await.map_err(Error::of("read content", digest))? {
            blob.extend_from_slice(&chunk.data);
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
        let message = api::WriteContentRequest {
            r#ref: format!("keelson-{digest}"),
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
        match written {
            Err(status) if status.code() == tonic::Code::AlreadyExists => Ok(()),
            Err(status) => {
                fed?;
                Err(Error::of("write content", digest)(status))
            }
            Ok(()) => fed,
        }
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
