//! A watch as a stream of chunks: the objects it begins with, what happened since, then what happens.

use std::sync::Arc;
use std::vec;

use futures::Stream;
use proto::dynamic::KindInfo;
use proto::keelson::api::v1::watch_event::Type;
use proto::keelson::api::v1::{Object, WatchChunk, WatchEvent};
use proto::meta::v1::Status;
use tokio::time::Instant;

use super::{encode, status};
use crate::status::Failure;
use crate::verbs::watch::Watching;
use crate::watch_cache::{End, Entry, Item, Subscription};

/// Objects in one chunk, in bytes; one larger object is a chunk of its own.
const CHUNK_BYTES_MAX: usize = 1 << 20;
const CHUNK_LEN_MAX: usize = 1000;

/// Where a watch is in its life.
enum State {
    /// The objects it begins with are being told.
    Beginning,
    /// What happened before it was told of is being told.
    CatchingUp,
    /// What happens is told as it happens.
    Following,
    /// Nothing follows.
    Ended,
}

struct Teller {
    kind: &'static KindInfo,
    state: State,
    initial: vec::IntoIter<Arc<Entry>>,
    backlog: vec::IntoIter<Item>,
    /// The bookmark that closes the beginning, where one is wanted.
    initial_end: Option<i64>,
    subscription: Subscription,
    deadline: Instant,
}

/// The chunks of a watch.
pub fn chunks(kind: &'static KindInfo, mut watching: Watching) -> impl Stream<Item = Result<WatchChunk, tonic::Status>> {
    let teller = Teller {
        kind,
        state: State::Beginning,
        initial: std::mem::take(&mut watching.subscription.initial).into_iter(),
        backlog: std::mem::take(&mut watching.subscription.backlog).into_iter(),
        initial_end: watching.mark_initial_end.then_some(watching.subscription.revision),
        deadline: Instant::now() + watching.timeout,
        subscription: watching.subscription,
    };
    futures::stream::unfold(teller, |mut teller| async move { Some((teller.next().await?, teller)) })
}

impl Teller {
    async fn next(&mut self) -> Option<Result<WatchChunk, tonic::Status>> {
        loop {
            match self.state {
                State::Beginning => {
                    let chunk = self.beginning();
                    if !chunk.events.is_empty() {
                        return Some(Ok(chunk));
                    }
                    self.state = State::CatchingUp;
                }
                State::CatchingUp => {
                    let first = self.backlog.next();
                    let Some(first) = first else {
                        self.state = State::Following;
                        continue;
                    };
                    let Self { kind, backlog, .. } = self;
                    return Some(Ok(gather(kind, first, || backlog.next())));
                }
                State::Following => {
                    let next = tokio::time::timeout_at(self.deadline, self.subscription.next()).await;
                    let Self { kind, subscription, .. } = self;
                    match next {
                        Ok(Ok(first)) => return Some(Ok(gather(kind, first, || subscription.try_next()))),
                        Ok(Err(end)) => {
                            self.state = State::Ended;
                            return Some(ended(end));
                        }
                        Err(_) => return None,
                    }
                }
                State::Ended => return None,
            }
        }
    }

    fn beginning(&mut self) -> WatchChunk {
        let mut chunk = WatchChunk::default();
        let mut bytes = 0;
        while bytes < CHUNK_BYTES_MAX
            && chunk.events.len() < CHUNK_LEN_MAX
            && let Some(entry) = self.initial.next()
        {
            bytes += entry.bytes.len();
            chunk.events.push(event(Type::Added, encode::entry(self.kind, &entry, entry.rev)));
        }
        if self.initial.len() == 0
            && let Some(revision) = self.initial_end.take()
        {
            let mark = bookmark(self.kind, revision);
            chunk.events.push(WatchEvent { initial_events_end: true, ..mark });
        }
        chunk
    }
}

/// One chunk of what is there.
fn gather(kind: &'static KindInfo, first: Item, mut more: impl FnMut() -> Option<Item>) -> WatchChunk {
    let mut chunk = WatchChunk::default();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(item) = next {
        let event = match item {
            Item::Change(what, change) => match change.object(what) {
                // A deleted object is told under the revision of its deletion.
                Some(entry) => event(what, encode::entry(kind, entry, change.rev)),
                None => bookmark(kind, change.rev),
            },
            Item::Bookmark(revision) => bookmark(kind, revision),
        };
        bytes += event.object.as_ref().and_then(|object| object.object.as_ref()).map_or(0, |any| any.value.len());
        chunk.events.push(event);
        next = if bytes < CHUNK_BYTES_MAX && chunk.events.len() < CHUNK_LEN_MAX { more() } else { None };
    }
    chunk
}

fn event(kind: Type, object: Object) -> WatchEvent {
    WatchEvent { r#type: kind.into(), object: Some(object), initial_events_end: false }
}

fn bookmark(kind: &KindInfo, revision: i64) -> WatchEvent {
    event(Type::Bookmark, encode::object(kind, revision, &[]))
}

fn ended(end: End) -> Result<WatchChunk, tonic::Status> {
    match end {
        End::Slow => {
            let why = "the watch did not keep up with the changes and was ended; go on from the last revision seen";
            Err(status::of(Failure::new(429, "TooManyRequests", why).retry_after(1)))
        }
        End::Reset => {
            let failure = Failure::expired("too old resource version: the store's history was compacted; list again");
            let object = Some(proto::any::pack::<Status>(&failure.0));
            let object = Object { object, ..Object::default() };
            Ok(WatchChunk { events: vec![event(Type::Error, object)] })
        }
        End::Shutdown => Err(status::of(Failure::unavailable("the apiserver is shutting down"))),
    }
}
