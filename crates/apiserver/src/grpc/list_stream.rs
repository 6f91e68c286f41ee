//! A list as a stream of chunks; memory does not grow with its size: its objects are the cache's, or are read from the
//! store a page at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::Stream;
use proto::dynamic::KindInfo;
use proto::keelson::api::v1::ListChunk;

use super::{encode, status};
use crate::status::Failure;
use crate::verbs::list::{Listed, Rest};
use crate::watch_cache::Entry;

/// Objects in one chunk, in bytes; one larger object is a chunk of its own.
const CHUNK_BYTES_MAX: usize = 256 << 10;
/// What a list holds whatever it lists: the chunk that is made, and those that wait in the connection.
pub const BUFFER_BYTES: u64 = 768 << 10;

/// What a list holds beyond that. Objects of the cache are shared by all, those of the store's pages are not.
pub fn held_bytes(listed: &Listed) -> u64 {
    let own: u64 = listed.entries.iter().map(|entry| entry.bytes.len() as u64).sum();
    let pages = if listed.rest.is_some() { 2 * own } else { 0 };
    pages + (size_of::<Arc<Entry>>() * listed.entries.len()) as u64
}

/// The chunks: the first carries the revision, the last the token.
pub fn chunks(kind: &'static KindInfo, listed: Listed) -> impl Stream<Item = Result<ListChunk, tonic::Status>> {
    let Listed { revision, entries, token, remaining, rest } = listed;
    let lister = Lister { waiting: entries.into(), rest, revision: Some(revision), token, remaining };
    futures::stream::unfold(Some(lister), move |lister| async move {
        let mut lister = lister?;
        match lister.chunk(kind).await {
            Ok((chunk, true)) => Some((Ok(chunk), None)),
            Ok((chunk, false)) => Some((Ok(chunk), Some(lister))),
            Err(failure) => Some((Err(status::of(failure)), None)),
        }
    })
}

struct Lister {
    waiting: VecDeque<Arc<Entry>>,
    rest: Option<Rest>,
    /// Until the first chunk has told it.
    revision: Option<i64>,
    token: String,
    remaining: Option<i64>,
}

impl Lister {
    /// The next chunk, and whether it is the last.
    async fn chunk(&mut self, kind: &'static KindInfo) -> Result<(ListChunk, bool), Failure> {
        let mut chunk = ListChunk { resource_version: self.revision.take().unwrap_or_default(), ..Default::default() };
        let mut bytes = 0;
        loop {
            while let Some(next) = self.waiting.front() {
                if !chunk.items.is_empty() && bytes + next.bytes.len() > CHUNK_BYTES_MAX {
                    return Ok((chunk, false));
                }
                bytes += next.bytes.len();
                chunk.items.push(encode::entry(kind, next, next.rev));
                self.waiting.pop_front();
            }
            let Some(rest) = self.rest.take() else {
                chunk.r#continue = std::mem::take(&mut self.token);
                chunk.remaining_item_count = self.remaining;
                return Ok((chunk, true));
            };
            let (entries, rest) = rest.page().await?;
            (self.waiting, self.rest) = (entries.into(), rest);
        }
    }
}
