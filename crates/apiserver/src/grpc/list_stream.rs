//! A list as a stream of chunks; memory does not grow with its size beyond the objects, which the cache has anyway.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::Stream;
use proto::dynamic::KindInfo;
use proto::keelson::api::v1::ListChunk;

use super::encode;
use crate::verbs::list::Listed;
use crate::watch_cache::Entry;

/// Objects in one chunk, in bytes; one larger object is a chunk of its own.
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// The chunks: the first carries the revision, the last the token.
pub fn chunks(kind: &'static KindInfo, listed: Listed) -> impl Stream<Item = Result<ListChunk, tonic::Status>> {
    let Listed { revision, entries, token, remaining } = listed;
    let rest: VecDeque<Arc<Entry>> = entries.into();
    futures::stream::unfold(Some((rest, true)), move |state| {
        let token = token.clone();
        async move {
            let (mut rest, first) = state?;
            let mut chunk = ListChunk { resource_version: if first { revision } else { 0 }, ..Default::default() };
            let mut bytes = 0;
            while let Some(next) = rest.front() {
                if !chunk.items.is_empty() && bytes + next.bytes.len() > CHUNK_BYTES_MAX {
                    break;
                }
                bytes += next.bytes.len();
                chunk.items.push(encode::entry(kind, next, next.rev));
                rest.pop_front();
            }
            let next = if rest.is_empty() {
                chunk.r#continue = token;
                chunk.remaining_item_count = remaining;
                None
            } else {
                Some((rest, false))
            };
            Some((Ok(chunk), next))
        }
    })
}
