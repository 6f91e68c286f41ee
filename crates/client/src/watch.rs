//! A watch as a stream of events.

use std::collections::VecDeque;

use futures::Stream;
use futures::stream;
use proto::keelson::api::v1::watch_event::Type;
use proto::keelson::api::v1::{Object as Answer, WatchChunk, WatchEvent};
use proto::meta::v1::Status;

use crate::client::Client;
use crate::error::Error;

/// One change.
#[derive(Clone, Debug)]
pub enum Event<T> {
    /// The object is new, or newly matches the selectors.
    Added(T),
    /// The object changed.
    Modified(T),
    /// The object as it was last; gone, or no longer matching.
    Deleted(T),
    /// Everything up to this revision was told.
    Bookmark {
        /// The revision.
        resource_version: i64,
        /// It closes the initial events.
        initial_events_end: bool,
    },
}

struct State<D> {
    client: Client,
    chunks: tonic::Streaming<WatchChunk>,
    waiting: VecDeque<WatchEvent>,
    decode: D,
    ended: bool,
}

/// Events out of chunks. An ERROR event is the stream's last item.
pub(crate) fn events<T, D>(
    client: Client,
    chunks: tonic::Streaming<WatchChunk>,
    decode: D,
) -> impl Stream<Item = Result<Event<T>, Error>> + Send + use<T, D>
where
    D: Fn(Answer) -> Result<T, Error> + Send + Sync,
    T: Send,
{
    let state = State { client, chunks, waiting: VecDeque::new(), decode, ended: false };
    stream::unfold(state, |mut state| async move {
        loop {
            if state.ended {
                return None;
            }
            if let Some(event) = state.waiting.pop_front() {
                let event = event_of(event, &state.decode);
                state.ended = event.is_err();
                return Some((event, state));
            }
            match state.chunks.message().await {
                Ok(Some(chunk)) => state.waiting = chunk.events.into(),
                Ok(None) => return None,
                Err(status) => {
                    state.ended = true;
                    let error = state.client.error(&status);
                    return Some((Err(error), state));
                }
            }
        }
    })
}

fn event_of<T>(event: WatchEvent, decode: &impl Fn(Answer) -> Result<T, Error>) -> Result<Event<T>, Error> {
    let kind = event.r#type();
    let object = event.object.ok_or(Error::Incomplete("object"))?;
    match kind {
        Type::Added => Ok(Event::Added(decode(object)?)),
        Type::Modified => Ok(Event::Modified(decode(object)?)),
        Type::Deleted => Ok(Event::Deleted(decode(object)?)),
        Type::Bookmark => Ok(Event::Bookmark {
            resource_version: object.resource_version,
            initial_events_end: event.initial_events_end,
        }),
        Type::Error => {
            let any = object.object.ok_or(Error::Incomplete("status"))?;
            Err(Error::Refused(Box::new(proto::any::unpack::<Status>(&any)?)))
        }
        Type::Unspecified => Err(Error::Incomplete("event type")),
    }
}
