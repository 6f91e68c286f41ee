//! Lists as answers: written while they are read, so that memory does not grow with them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use daemon::serve::Body;
use futures::{Stream, StreamExt};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use jiff::Timestamp;
use prost::Message;
use proto::meta::v1::ListMeta;
use serde_json::{Map, Value, json};

use super::negotiate::{Accepted, Format, Shape};
use super::table::Include;
use super::{encode, table};
use crate::registry::Resource;
use crate::status::Result;
use crate::verbs::list::{Listed, Rest};
use crate::watch_cache::Entry;

/// Bytes written at once.
const CHUNK_BYTES: usize = 64 << 10;
/// metadata and items in every list.
const METADATA: u32 = 1;
const ITEMS: u32 = 2;

/// What a list holds whatever it lists: the piece that is written, and those that wait in the connection.
pub const BUFFER_BYTES: u64 = 256 << 10;
/// What text takes that is written as a whole, for each byte of protobuf: the JSON, the tree, the text.
const WHOLE_TEXT_FACTOR: u64 = 16;

/// What a list holds beyond that until it is written. Objects of the cache are shared by all.
pub fn held_bytes(style: &Style, listed: &Listed) -> u64 {
    let own: u64 = listed.entries.iter().map(|entry| entry.bytes.len() as u64).sum();
    // Pages of the store are nobody else's.
    let (pages, all) = match &listed.rest {
        Some(_) => (2 * own, style.resource.cache.size().1),
        None => (0, own),
    };
    let content = match style.accepted.format {
        Format::Json if !style.accepted.pretty => pages,
        Format::Json | Format::Yaml => pages + WHOLE_TEXT_FACTOR * all,
        Format::Protobuf if listed.rest.is_some() => all,
        Format::Protobuf => 0,
    };
    content + (size_of::<Arc<Entry>>() * listed.entries.len()) as u64
}

/// How a list is written.
#[derive(Debug, Clone)]
pub struct Style {
    pub resource: Arc<Resource>,
    pub accepted: Accepted,
    pub include: Include,
}

/// The body of an answer. A list in protobuf or YAML is gathered first: its length, or its order, must be known.
pub async fn body(style: Style, listed: Listed) -> Result<Body> {
    match style.accepted.format {
        Format::Json if !style.accepted.pretty => {
            Ok(Body::new(StreamBody::new(json_chunks(style, listed).map(|chunk| chunk.map(Frame::data)))))
        }
        Format::Json | Format::Yaml => {
            let (format, pretty) = (style.accepted.format, style.accepted.pretty);
            let mut whole = Vec::new();
            let mut chunks = std::pin::pin!(json_chunks(style, listed));
            while let Some(chunk) = chunks.next().await {
                whole.extend_from_slice(&chunk.map_err(crate::status::Failure::internal)?);
            }
            Ok(full(encode::text(whole, format, pretty)))
        }
        Format::Protobuf => protobuf(&style, listed).await,
    }
}

fn full(bytes: Vec<u8>) -> Body {
    Body::new(Full::new(Bytes::from(bytes)))
}

/// JSON, in pieces. What a list ends for in its midst breaks the answer off: the client sees that it is not whole.
fn json_chunks(style: Style, listed: Listed) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let Listed { revision, entries, token, remaining, rest } = listed;
    let mut out = Vec::with_capacity(CHUNK_BYTES + 4096);
    prologue(&mut out, &style, &meta(revision, token, remaining));
    let writer = Writer { style, waiting: entries.into(), rest, out, first: true, now: Timestamp::now() };
    futures::stream::unfold(Some(writer), |writer| async move {
        let mut writer = writer?;
        match writer.chunk().await {
            Ok((chunk, last)) => Some((Ok(chunk), (!last).then_some(writer))),
            Err(failure) => Some((Err(std::io::Error::other(failure)), None)),
        }
    })
}

struct Writer {
    style: Style,
    waiting: VecDeque<Arc<Entry>>,
    rest: Option<Rest>,
    out: Vec<u8>,
    first: bool,
    now: Timestamp,
}

impl Writer {
    /// The next piece, and whether it is the last.
    async fn chunk(&mut self) -> Result<(Bytes, bool)> {
        loop {
            while let Some(entry) = self.waiting.pop_front() {
                if !std::mem::take(&mut self.first) {
                    self.out.push(b',');
                }
                self.item(&entry)?;
                if self.out.len() >= CHUNK_BYTES {
                    return Ok((self.cut(), false));
                }
            }
            let Some(rest) = self.rest.take() else {
                self.out.extend_from_slice(epilogue(&self.style));
                return Ok((self.cut(), true));
            };
            let (entries, rest) = rest.page().await?;
            (self.waiting, self.rest) = (entries.into(), rest);
        }
    }

    fn cut(&mut self) -> Bytes {
        std::mem::replace(&mut self.out, Vec::with_capacity(CHUNK_BYTES + 4096)).into()
    }

    fn item(&mut self, entry: &Entry) -> Result<()> {
        let Style { resource, accepted, include } = &self.style;
        match accepted.shape {
            Shape::Whole => encode::json(&mut self.out, resource.kind, entry.rev, &entry.bytes, false)?,
            Shape::Table => {
                let object = encode::decode(resource.kind, entry.rev, &entry.bytes)?;
                let row = table::row(resource, object.as_ref(), *accepted, *include, self.now);
                self.out.extend_from_slice(&row);
            }
            Shape::Metadata | Shape::MetadataList => {
                let object = encode::metadata(entry.rev, &entry.bytes)?;
                self.out.extend_from_slice(&encode::partial(&object, *accepted));
            }
        }
        Ok(())
    }
}

fn meta(revision: i64, token: String, remaining: Option<i64>) -> ListMeta {
    ListMeta {
        resource_version: if revision == 0 { String::new() } else { revision.to_string() },
        r#continue: token,
        remaining_item_count: remaining,
        ..ListMeta::default()
    }
}

fn prologue(out: &mut Vec<u8>, style: &Style, meta: &ListMeta) {
    let Style { resource, accepted, .. } = style;
    let (kind, version) = match accepted.shape {
        Shape::Table => {
            out.extend_from_slice(&table::prologue(resource, *accepted, &meta_json(meta), true));
            return;
        }
        Shape::Whole => (format!("{}List", resource.kind.kind), resource.kind.api_version),
        Shape::Metadata | Shape::MetadataList => {
            ("PartialObjectMetadataList".to_owned(), encode::partial_version(*accepted))
        }
    };
    let mut meta = meta_json(meta);
    if resource.custom.is_some() && accepted.shape == Shape::Whole && meta.get("continue").is_none() {
        // As upstream, which has no type for such lists and leaves nothing out.
        meta["continue"] = json!("");
    }
    out.extend_from_slice(
        format!(r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{meta},"items":["#).as_bytes(),
    );
}

fn meta_json(meta: &ListMeta) -> Value {
    let mut json = Map::new();
    if !meta.resource_version.is_empty() {
        json.insert("resourceVersion".to_owned(), json!(meta.resource_version));
    }
    if !meta.r#continue.is_empty() {
        json.insert("continue".to_owned(), json!(meta.r#continue));
    }
    if let Some(count) = meta.remaining_item_count {
        json.insert("remainingItemCount".to_owned(), json!(count));
    }
    Value::Object(json)
}

fn epilogue(style: &Style) -> &'static [u8] {
    match style.accepted.shape {
        Shape::Table => table::EPILOGUE,
        _ => b"]}",
    }
}

/// The whole list as one message in its envelope. Its length comes first, so all of it is gathered (objects of the
/// cache are shared, not copied), then written object by object.
async fn protobuf(style: &Style, listed: Listed) -> Result<Body> {
    let Listed { revision, mut entries, token, remaining, mut rest } = listed;
    while let Some(more) = rest {
        let (page, further) = more.page().await?;
        entries.extend(page);
        rest = further;
    }
    let partial = style.accepted.shape != Shape::Whole;
    let meta = meta(revision, token, remaining).encode_to_vec();
    let items: usize = entries.iter().map(|entry| encode::field_len(item_len(entry, partial))).sum();
    let length = encode::field_len(meta.len()) + items;
    let (kind, version) = match partial {
        false => (format!("{}List", style.resource.kind.kind), style.resource.kind.api_version),
        true => ("PartialObjectMetadataList".to_owned(), encode::partial_version(style.accepted)),
    };
    let (mut head, tail) = encode::list_envelope(version, &kind, length);
    encode::field(&mut head, METADATA, &meta);
    let chunks = futures::stream::unfold(
        (entries.into_iter(), head, Some(tail)),
        move |(mut entries, mut out, mut tail)| async move {
            tail.as_ref()?;
            out.reserve(CHUNK_BYTES);
            while out.len() < CHUNK_BYTES {
                let Some(entry) = entries.next() else {
                    out.extend_from_slice(&tail.take().unwrap_or_default());
                    break;
                };
                encode::field(&mut out, ITEMS, &item(&entry, partial));
            }
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(std::mem::take(&mut out)))), (entries, out, tail)))
        },
    );
    Ok(Body::new(StreamBody::new(chunks)))
}

fn item(entry: &Entry, partial: bool) -> Vec<u8> {
    match partial {
        false => encode::with_version(entry.rev, &entry.bytes),
        // The entry was read when it came into the cache.
        true => encode::metadata(entry.rev, &entry.bytes).map(|object| object.encode_to_vec()).unwrap_or_default(),
    }
}

fn item_len(entry: &Entry, partial: bool) -> usize {
    match partial {
        false => encode::len_with_version(entry.rev, &entry.bytes),
        true => item(entry, partial).len(),
    }
}
