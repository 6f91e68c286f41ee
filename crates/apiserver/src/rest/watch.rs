//! Watches as answers: JSON, a line for each event, or protobuf, each event behind its length.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use daemon::serve::Body;
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use jiff::Timestamp;
use prost::Message;
use proto::dynamic::KindInfo;
use proto::keelson::api::v1::watch_event::Type;
use proto::meta::v1::Status;
use serde_json::json;

use super::list::Style;
use super::negotiate::{Format, Shape};
use super::table::Include;
use super::{encode, table};
use crate::metrics;
use crate::status::Failure;
use crate::verbs::tell::{Form, Teller, Told};
use crate::verbs::watch::Watching;
use crate::watch_cache::{Change, End, Entry, RestForm};

/// type and object in WatchEvent, raw in RawExtension.
const TYPE: u32 = 1;
const OBJECT: u32 = 2;
const RAW: u32 = 1;
/// The mark on the bookmark that closes what a watch begins with.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// The content type of a watch.
pub fn content_type(format: Format) -> &'static str {
    match format {
        Format::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        _ => "application/json",
    }
}

/// The events of a watch, as they come. `running` is counted until the client is gone.
pub fn body(style: Style, watching: Watching, running: metrics::Running) -> Body {
    let format = style.accepted.format;
    let teller = Teller::new(Events { style, first: true }, watching);
    let pieces = futures::stream::unfold((teller, running), move |(mut teller, running)| async move {
        let piece = match teller.next().await? {
            Told::Events(events) => join(events),
            Told::Ended(End::Reset) => status_event(&Failure::lost_history().0, format),
            // As upstream: the answer just ends, and the client goes on from where it is.
            Told::Ended(End::Slow | End::Shutdown) => return None,
        };
        Some((Ok::<_, Infallible>(Frame::data(piece)), (teller, running)))
    });
    Body::new(StreamBody::new(pieces))
}

/// A watch that cannot begin, as its only event.
pub fn refusal(failure: &Failure, format: Format) -> Body {
    Body::new(Full::new(status_event(&failure.0, format)))
}

fn join(mut events: Vec<Bytes>) -> Bytes {
    if events.len() == 1 {
        return events.swap_remove(0);
    }
    let mut out = BytesMut::with_capacity(events.iter().map(Bytes::len).sum());
    events.iter().for_each(|event| out.put_slice(event));
    out.freeze()
}

fn status_event(status: &Status, format: Format) -> Bytes {
    match format {
        Format::Protobuf => framed("ERROR", &proto::envelope::encode_kind(status)),
        _ => line("ERROR", &proto::json::to_vec(status)),
    }
}

/// One line of JSON with an object as it is in the cache, under the revision of its event.
fn whole_line(what: &str, kind: &'static KindInfo, entry: &Entry, rev: i64) -> crate::status::Result<Bytes> {
    let mut out = Vec::with_capacity(entry.bytes.len() * 2);
    out.extend_from_slice(br#"{"type":""#);
    out.extend_from_slice(what.as_bytes());
    out.extend_from_slice(br#"","object":"#);
    encode::json(&mut out, kind, rev, &entry.bytes, true)?;
    out.extend_from_slice(b"}\n");
    // The event stays in the window: without the room that was left over.
    out.shrink_to_fit();
    Ok(out.into())
}

/// One line of JSON.
fn line(what: &str, object: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(object.len() + 40);
    out.put_slice(br#"{"type":""#);
    out.put_slice(what.as_bytes());
    out.put_slice(br#"","object":"#);
    out.put_slice(object);
    out.put_slice(b"}\n");
    out.freeze()
}

/// One event of protobuf behind its length.
fn framed(what: &str, object: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(object.len() + 32);
    encode::field(&mut event, TYPE, what.as_bytes());
    let mut extension = Vec::with_capacity(object.len() + 8);
    encode::field(&mut extension, RAW, object);
    encode::field(&mut event, OBJECT, &extension);
    let mut out = BytesMut::with_capacity(event.len() + 4);
    // An object has at most a few MiB.
    out.put_u32(u32::try_from(event.len()).unwrap_or(u32::MAX));
    out.put_slice(&event);
    out.freeze()
}

/// Events as REST writes them.
struct Events {
    style: Style,
    /// Until the first table has told the columns.
    first: bool,
}

impl Form for Events {
    fn initial(&mut self, entry: &Entry) -> Bytes {
        self.event(Type::Added, entry, entry.rev)
    }

    fn change(&mut self, what: Type, change: &Change) -> Bytes {
        let form = match (self.style.accepted.shape, self.style.accepted.format) {
            (Shape::Whole, Format::Protobuf) => RestForm::Protobuf,
            (Shape::Whole, _) => RestForm::Json,
            // Rows and metadata are asked for by few, and rows tell an age.
            _ => return change.object(what).map_or_else(Bytes::new, |entry| self.event(what, entry, change.rev)),
        };
        change.encoded_for_rest(form, what, |entry, rev| self.event(what, entry, rev))
    }

    fn bookmark(&mut self, revision: i64, initial_end: bool) -> Bytes {
        let kind = self.style.resource.kind;
        let mut object = kind.new_object();
        let meta = object.metadata_mut();
        meta.resource_version = revision.to_string();
        if initial_end {
            meta.annotations.insert(INITIAL_END.to_owned(), "true".to_owned());
        }
        self.write("BOOKMARK", object.as_ref(), true)
    }
}

impl Events {
    fn event(&mut self, what: Type, entry: &Entry, rev: i64) -> Bytes {
        let kind = self.style.resource.kind;
        let name = name(what);
        if self.style.accepted.shape == Shape::Whole && self.style.accepted.format == Format::Protobuf {
            return framed(name, &encode::envelope(kind, rev, &entry.bytes));
        }
        let written = match self.style.accepted.shape {
            Shape::Whole => whole_line(name, kind, entry, rev),
            _ => encode::decode(kind, rev, &entry.bytes).map(|object| self.write(name, object.as_ref(), false)),
        };
        written.unwrap_or_else(|failure| status_event(&failure.0, self.style.accepted.format))
    }

    fn write(&mut self, what: &str, object: &dyn proto::dynamic::DynObject, is_bookmark: bool) -> Bytes {
        let Style { resource, accepted, include } = &self.style;
        match (accepted.shape, accepted.format) {
            (Shape::Whole, Format::Protobuf) => framed(what, &proto::envelope::encode_dyn(object)),
            (Shape::Whole, _) => line(what, &object.to_json()),
            (Shape::Metadata | Shape::MetadataList, format) => {
                let partial = proto::meta::v1::PartialObjectMetadata { metadata: object.metadata().clone() };
                match format {
                    Format::Protobuf => {
                        let version = encode::partial_version(*accepted);
                        let raw =
                            proto::envelope::encode_bytes(version, "PartialObjectMetadata", partial.encode_to_vec());
                        framed(what, &raw)
                    }
                    _ => line(what, &encode::partial(&partial, *accepted)),
                }
            }
            (Shape::Table, _) => {
                let metadata = json!({"resourceVersion": object.metadata().resource_version});
                let with_columns = std::mem::take(&mut self.first);
                let mut out = table::prologue(resource, *accepted, &metadata, with_columns);
                let include = if is_bookmark { Include::Metadata } else { *include };
                out.extend_from_slice(&table::row(resource, object, *accepted, include, Timestamp::now()));
                out.extend_from_slice(table::EPILOGUE);
                line(what, &out)
            }
        }
    }
}

fn name(what: Type) -> &'static str {
    match what {
        Type::Added => "ADDED",
        Type::Modified => "MODIFIED",
        Type::Deleted => "DELETED",
        Type::Bookmark => "BOOKMARK",
        Type::Error | Type::Unspecified => "ERROR",
    }
}

/// How a watch of a resource is written.
pub fn style(
    resource: &Arc<crate::registry::Resource>,
    accepted: super::negotiate::Accepted,
    include: Include,
) -> Style {
    Style { resource: Arc::clone(resource), accepted, include }
}
