//! A watch as a stream of chunks: the objects it begins with, what happened since, then what happens. The event of a
//! change is encoded by the first watcher that tells it, and shared by the others.

use std::sync::Arc;
use std::vec;

use futures::Stream;
use proto::dynamic::KindInfo;
use proto::keelson::api::v1::watch_event::Type;
use proto::keelson::api::v1::{Object, WatchEvent};
use proto::meta::v1::Status;
use tokio::time::Instant;

use super::shared::{RawChunk, field};
use super::{encode, status};
use crate::status::Failure;
use crate::verbs::watch::Watching;
use crate::watch_cache::{End, Entry, Item, Subscription};

/// Objects in one chunk, in bytes; one larger object is a chunk of its own.
const CHUNK_BYTES_MAX: usize = 1 << 20;
const CHUNK_LEN_MAX: usize = 1000;
/// `events` in WatchChunk.
const EVENTS: u32 = 1;

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
pub fn chunks(kind: &'static KindInfo, mut watching: Watching) -> impl Stream<Item = Result<RawChunk, tonic::Status>> {
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
    async fn next(&mut self) -> Option<Result<RawChunk, tonic::Status>> {
        loop {
            match self.state {
                State::Beginning => {
                    let chunk = self.beginning();
                    if !chunk.parts.is_empty() {
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

    fn beginning(&mut self) -> RawChunk {
        let mut chunk = RawChunk::default();
        let mut bytes = 0;
        while bytes < CHUNK_BYTES_MAX
            && chunk.parts.len() < CHUNK_LEN_MAX
            && let Some(entry) = self.initial.next()
        {
            bytes += entry.bytes.len();
            chunk.parts.push(field(EVENTS, &event(Type::Added, encode::entry(self.kind, &entry, entry.rev))));
        }
        if self.initial.len() == 0
            && let Some(revision) = self.initial_end.take()
        {
            let mark = bookmark(self.kind, revision);
            chunk.parts.push(field(EVENTS, &WatchEvent { initial_events_end: true, ..mark }));
        }
        chunk
    }
}

/// One chunk of what is there.
fn gather(kind: &'static KindInfo, first: Item, mut more: impl FnMut() -> Option<Item>) -> RawChunk {
    let mut chunk = RawChunk::default();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(item) = next {
        let part = match item {
            // A deleted object is told under the revision of its deletion.
            Item::Change(what, change) => {
                change.encoded(what, |entry, rev| field(EVENTS, &event(what, encode::entry(kind, entry, rev))))
            }
            Item::Bookmark(revision) => field(EVENTS, &bookmark(kind, revision)),
        };
        bytes += part.len();
        chunk.parts.push(part);
        next = if bytes < CHUNK_BYTES_MAX && chunk.parts.len() < CHUNK_LEN_MAX { more() } else { None };
    }
    chunk
}

fn event(kind: Type, object: Object) -> WatchEvent {
    WatchEvent { r#type: kind.into(), object: Some(object), initial_events_end: false }
}

fn bookmark(kind: &KindInfo, revision: i64) -> WatchEvent {
    event(Type::Bookmark, encode::object(kind, revision, &[]))
}

fn ended(end: End) -> Result<RawChunk, tonic::Status> {
    match end {
        End::Slow => {
            let why = "the watch did not keep up with the changes and was ended; go on from the last revision seen";
            Err(status::of(Failure::new(429, "TooManyRequests", why).retry_after(1)))
        }
        End::Reset => {
            let failure = Failure::expired("too old resource version: the store's history was compacted; list again");
            let object = Some(proto::any::pack::<Status>(&failure.0));
            let object = Object { object, ..Object::default() };
            Ok(RawChunk { parts: vec![field(EVENTS, &event(Type::Error, object))] })
        }
        End::Shutdown => Err(status::of(Failure::unavailable("the apiserver is shutting down"))),
    }
}
