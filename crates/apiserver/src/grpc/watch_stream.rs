//! A watch as a stream of chunks. The event of a change is encoded by the first watcher that tells it, and shared by
//! the others.

use bytes::Bytes;
use futures::Stream;
use proto::dynamic::KindInfo;
use proto::keelson::api::v1::watch_event::Type;
use proto::keelson::api::v1::{Object, WatchEvent};
use proto::meta::v1::Status;

use super::shared::{RawChunk, field};
use super::{encode, status};
use crate::status::Failure;
use crate::verbs::tell::{Form, Teller, Told};
use crate::verbs::watch::Watching;
use crate::watch_cache::{Change, End, Entry};

/// `events` in WatchChunk.
const EVENTS: u32 = 1;

/// The chunks of a watch.
pub fn chunks(kind: &'static KindInfo, watching: Watching) -> impl Stream<Item = Result<RawChunk, tonic::Status>> {
    let teller = Teller::new(Chunked { kind }, watching);
    futures::stream::unfold(teller, |mut teller| async move {
        let chunk = match teller.next().await? {
            Told::Events(parts) => Ok(RawChunk { parts }),
            Told::Ended(end) => ended(end),
        };
        Some((chunk, teller))
    })
}

/// Events as fields of a chunk.
struct Chunked {
    kind: &'static KindInfo,
}

impl Form for Chunked {
    fn initial(&mut self, entry: &Entry) -> Bytes {
        field(EVENTS, &event(Type::Added, encode::entry(self.kind, entry, entry.rev)))
    }

    fn change(&mut self, what: Type, change: &Change) -> Bytes {
        // A deleted object is told under the revision of its deletion.
        change.encoded(what, |entry, rev| field(EVENTS, &event(what, encode::entry(self.kind, entry, rev))))
    }

    fn bookmark(&mut self, revision: i64, initial_end: bool) -> Bytes {
        let mark = event(Type::Bookmark, encode::object(self.kind, revision, &[]));
        field(EVENTS, &WatchEvent { initial_events_end: initial_end, ..mark })
    }
}

fn event(kind: Type, object: Object) -> WatchEvent {
    WatchEvent { r#type: kind.into(), object: Some(object), initial_events_end: false }
}

fn ended(end: End) -> Result<RawChunk, tonic::Status> {
    match end {
        End::Slow => {
            let why = "the watch did not keep up with the changes and was ended; go on from the last revision seen";
            Err(status::of(Failure::new(429, "TooManyRequests", why).retry_after(1)))
        }
        End::Reset => {
            let object = Some(proto::any::pack::<Status>(&Failure::lost_history().0));
            let object = Object { object, ..Object::default() };
            Ok(RawChunk { parts: vec![field(EVENTS, &event(Type::Error, object))] })
        }
        End::Shutdown => Err(status::of(Failure::unavailable("the apiserver is shutting down"))),
    }
}
