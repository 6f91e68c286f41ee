//! Answers of events, written past protobuf's structs: a head for each watcher, and behind it the events as they were
//! encoded once for all ([`crate::mvcc::Event`]). Pure.

use bytes::{Buf, BufMut, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint, message};
use proto::etcdserverpb as etcd;
use smallvec::SmallVec;

/// Of gRPC: whether the message is compressed, and its length.
const PREFIX_LEN: usize = 5;
/// The number of `header` in a WatchResponse, and the tags of its other fields.
const HEADER_FIELD: u32 = 1;
const WATCH_ID_TAG: u8 = 2 << 3;
const FRAGMENT_TAG: u8 = 7 << 3;
const EVENTS_TAG: u8 = 11 << 3 | 2;

/// What the answers at one revision begin with.
pub struct Head(SmallVec<[u8; 64]>);

impl Head {
    pub fn new(header: &etcd::ResponseHeader) -> Self {
        let mut out = BytesMut::with_capacity(64);
        message::encode(HEADER_FIELD, header, &mut out);
        Self(SmallVec::from_slice(&out))
    }
}

/// One event as a watcher sees it.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub revision: i64,
    /// The whole field without what was before.
    field: &'a [u8],
    /// What was before, to stand at the event's end.
    prev: &'a [u8],
}

impl<'a> Part<'a> {
    /// Of [`crate::mvcc::Event::field`] and [`crate::mvcc::Event::prev_field`], or nothing.
    pub fn new(revision: i64, field: &'a [u8], prev: &'a [u8]) -> Self {
        Self { revision, field, prev }
    }

    pub fn len(&self) -> usize {
        if self.prev.is_empty() {
            return self.field.len();
        }
        let event = self.event().len() + self.prev.len();
        1 + encoded_len_varint(event as u64) + event
    }

    /// The event alone: behind the tag's one byte and the length, whose last byte is below 128.
    fn event(&self) -> &'a [u8] {
        let begin = self.field.iter().skip(1).position(|byte| *byte < 0x80).map_or(self.field.len(), |last| last + 2);
        &self.field[begin..]
    }

    fn put(&self, out: &mut BytesMut) {
        if self.prev.is_empty() {
            return out.put_slice(self.field);
        }
        let event = self.event();
        out.put_u8(EVENTS_TAG);
        encode_varint((event.len() + self.prev.len()) as u64, out);
        out.put_slice(event);
        out.put_slice(self.prev);
    }
}

/// Appends an answer with its prefix. `bytes` is the length of all parts; with `fragment` more of it follows.
pub fn put(out: &mut BytesMut, head: &Head, watch_id: i64, fragment: bool, parts: &[Part<'_>], bytes: usize) {
    let id_len = if watch_id == 0 { 0 } else { 1 + encoded_len_varint(watch_id as u64) };
    let len = head.0.len() + id_len + if fragment { 2 } else { 0 } + bytes;
    out.reserve(PREFIX_LEN + len);
    out.put_u8(0);
    out.put_u32(len as u32);
    out.put_slice(&head.0);
    if watch_id != 0 {
        out.put_u8(WATCH_ID_TAG);
        encode_varint(watch_id as u64, out);
    }
    if fragment {
        out.put_slice(&[FRAGMENT_TAG, 1]);
    }
    parts.iter().for_each(|part| part.put(out));
}

/// As [`put`], in fragments where the events have more than `bytes_max`.
pub fn put_cut(
    out: &mut BytesMut,
    head: &Head,
    watch_id: i64,
    mut parts: &[Part<'_>],
    mut bytes: usize,
    bytes_max: usize,
) {
    while bytes > bytes_max {
        let (mut first, mut len) = (1, parts[0].len());
        while first < parts.len() && len + parts[first].len() <= bytes_max {
            len += parts[first].len();
            first += 1;
        }
        if first == parts.len() {
            break;
        }
        put(out, head, watch_id, true, &parts[..first], len);
        (parts, bytes) = (&parts[first..], bytes - len);
    }
    put(out, head, watch_id, false, parts, bytes);
}

/// Decodes the messages that [`put`] wrote, for those who want structs.
pub fn split(mut messages: bytes::Bytes) -> impl Iterator<Item = Result<etcd::WatchResponse, prost::DecodeError>> {
    std::iter::from_fn(move || {
        if messages.remaining() < PREFIX_LEN {
            return None;
        }
        messages.advance(1);
        let len = messages.get_u32() as usize;
        Some(prost::Message::decode(messages.split_to(len.min(messages.len()))))
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use proto::mvccpb;

    use super::*;
    use crate::mvcc::range::key_value;
    use crate::mvcc::{Event, Version};

    fn version() -> impl Strategy<Value = Version> {
        let number = || prop_oneof![0..200_i64, any::<i64>()];
        (number(), number(), number(), number()).prop_map(|(main, create, version, lease)| Version {
            main,
            create,
            version,
            lease,
            ..Default::default()
        })
    }

    fn bytes() -> impl Strategy<Value = Bytes> {
        prop_oneof![prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(any::<u8>(), 100..300)]
            .prop_map(Bytes::from)
    }

    /// An event, and the value before it where it can be read.
    fn event() -> impl Strategy<Value = (Event, Option<Bytes>)> {
        (bytes(), version(), bytes(), prop::option::of(version()), prop::option::of(bytes()))
            .prop_map(|(key, version, value, prev, before)| (Event::new(key, version, value, prev), before))
    }

    fn message(event: &Event, before: Option<&Bytes>) -> mvccpb::Event {
        let kv = match event.is_delete() {
            true => mvccpb::KeyValue { key: event.key.clone(), mod_revision: event.version.main, ..Default::default() },
            false => key_value(event.key.clone(), &event.version, event.value.clone()),
        };
        let prev_kv = event.prev.zip(before).map(|(prev, before)| key_value(event.key.clone(), &prev, before.clone()));
        mvccpb::Event { r#type: i32::from(event.is_delete()), kv: Some(kv), prev_kv }
    }

    proptest! {
        #[test]
        fn what_is_written_by_hand_is_what_protobuf_reads(
            events in prop::collection::vec(event(), 0..5),
            prev_kv in any::<bool>(),
            fragment in any::<bool>(),
            watch_id in prop_oneof![-1..200_i64, any::<i64>()],
            ids in any::<(u64, u64, i64, u64)>(),
        ) {
            let (cluster_id, member_id, revision, raft_term) = ids;
            let header = etcd::ResponseHeader { cluster_id, member_id, revision, raft_term };
            let before = |at: usize| events[at].1.clone().filter(|_| prev_kv);
            let parts: Vec<Part<'_>> = events
                .iter()
                .enumerate()
                .map(|(at, (event, _))| {
                    let prev = if prev_kv { &event.prev_field(|_| before(at))[..] } else { &[] };
                    Part::new(revision, event.field(), prev)
                })
                .collect();
            let mut out = BytesMut::new();
            put(&mut out, &Head::new(&header), watch_id, fragment, &parts, parts.iter().map(Part::len).sum());
            put(&mut out, &Head::new(&header), 7, false, &[], 0);
            let expect = etcd::WatchResponse {
                header: Some(header),
                watch_id,
                fragment,
                events: (0..events.len()).map(|at| message(&events[at].0, before(at).as_ref())).collect(),
                ..Default::default()
            };
            let got: Vec<_> = split(out.freeze()).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(&got[0], &expect);
            prop_assert_eq!(got.len(), 2);
            prop_assert_eq!(got[1].watch_id, 7);
        }
    }
}
