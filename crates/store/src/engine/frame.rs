//! The bytes of segments: `len u32 | crc32c u32 | payload` frames after a header; little endian.
//!
//! A frame's payload is the applied log id (flag u8, term u64, index u64), then effects, each after a tag. A value is
//! stored as `crc32c u32 | bytes`, so that it can be checked when it is read alone. The frame's checksum is seeded with
//! its place.

use bytes::{Buf, Bytes};
use prost::Message;
use proto::keelson::raft::v1 as pb;

use crate::env::planted::{self, Bug};
use crate::mvcc::{Loc, Version};
use crate::raft::codec;
use crate::raft::types::{LogId, StoredMembership};
use crate::state::Effect;

/// Bytes of checksum before a value.
pub const VALUE_HEADER_LEN: usize = 4;
pub const SEGMENT_HEADER_LEN: u64 = 16;
pub const FRAME_HEADER_LEN: usize = 8;
const MAGIC: &[u8; 8] = b"keelseg1";
/// A longer frame is taken for damage.
const FRAME_BYTES_MAX: usize = 1 << 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    Version = 1,
    Moved = 2,
    Compacted = 3,
    Granted = 4,
    Revoked = 5,
    Membership = 6,
    Attributes = 7,
    Alarm = 8,
    Downgrade = 24,
    Auth = 32,
    LeaseLeft = 33,
}

pub fn segment_header(number: u32) -> [u8; SEGMENT_HEADER_LEN as usize] {
    let mut header = [0; SEGMENT_HEADER_LEN as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c(&header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    header
}

pub fn seed(segment: u32, offset: u64) -> u32 {
    (segment.wrapping_mul(0x9e37_79b9)) ^ (offset as u32)
}

/// Leaves room for the header and writes the log id.
pub fn begin(buffer: &mut Vec<u8>, applied: Option<LogId>) {
    buffer.extend_from_slice(&[0; FRAME_HEADER_LEN]);
    buffer.push(u8::from(applied.is_some()));
    let (term, index) = applied.map_or((0, 0), |id| (id.leader_id.term, id.index));
    buffer.extend_from_slice(&term.to_le_bytes());
    buffer.extend_from_slice(&index.to_le_bytes());
}

/// Fills in the header of the frame that begins at `at`.
pub fn finish(buffer: &mut [u8], at: usize, seed: u32) {
    let payload = at + FRAME_HEADER_LEN;
    let len = (buffer.len() - payload) as u32;
    let crc = crc32c::crc32c_append(seed, &buffer[payload..]);
    buffer[at..at + 4].copy_from_slice(&len.to_le_bytes());
    buffer[at + 4..payload].copy_from_slice(&crc.to_le_bytes());
}

/// The payload of the frame at the beginning of `bytes`, if it is whole and valid in its place.
pub fn payload(bytes: &[u8], seed: u32) -> Option<&[u8]> {
    let mut header = bytes.get(..FRAME_HEADER_LEN)?;
    let len = header.get_u32_le() as usize;
    let crc = header.get_u32_le();
    if len == 0 || len > FRAME_BYTES_MAX {
        return None;
    }
    let payload = bytes.get(FRAME_HEADER_LEN..FRAME_HEADER_LEN + len)?;
    (crc32c::crc32c_append(seed, payload) == crc).then_some(payload)
}

/// Appends a version; gives where its value's header begins in the buffer.
pub fn version(buffer: &mut Vec<u8>, tag: Tag, key: &[u8], version: &Version, value: &[u8]) -> usize {
    buffer.reserve(64 + key.len() + value.len());
    buffer.push(tag as u8);
    buffer.extend_from_slice(&(key.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&(value.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&version.main.to_le_bytes());
    buffer.extend_from_slice(&version.create.to_le_bytes());
    buffer.extend_from_slice(&version.version.to_le_bytes());
    buffer.extend_from_slice(&version.lease.to_le_bytes());
    buffer.extend_from_slice(&version.sub.to_le_bytes());
    buffer.extend_from_slice(key);
    let at = buffer.len();
    buffer.extend_from_slice(&crc32c::crc32c(value).to_le_bytes());
    buffer.extend_from_slice(value);
    at
}

/// The value of a record that was read with its header, if the checksum agrees.
pub fn checked_value(bytes: Vec<u8>) -> Option<Bytes> {
    checked(bytes.into())
}

/// As [`checked_value`], of a part of something larger.
pub fn checked(record: Bytes) -> Option<Bytes> {
    let crc = u32::from_le_bytes(record.get(..VALUE_HEADER_LEN)?.try_into().ok()?);
    let value = record.slice(VALUE_HEADER_LEN..);
    (planted::is(Bug::ChecksumNotChecked) || crc32c::crc32c(&value) == crc).then_some(value)
}

pub fn effect(buffer: &mut Vec<u8>, effect: &Effect<'_>) {
    match effect {
        // Versions carry values and come through `version`.
        Effect::Version { .. } | Effect::Moved { .. } => {}
        Effect::Compacted(revision) => numbers(buffer, Tag::Compacted, &[*revision]),
        Effect::Granted { id, ttl } => numbers(buffer, Tag::Granted, &[*id, *ttl]),
        Effect::Revoked(id) => numbers(buffer, Tag::Revoked, &[*id]),
        Effect::Membership(membership) => {
            let stored = pb::StoredMembership {
                log_id: membership.log_id().as_ref().map(codec::log_id),
                membership: Some(codec::membership(membership.membership())),
            };
            message(buffer, Tag::Membership, &stored);
        }
        Effect::Attributes(attributes) => message(buffer, Tag::Attributes, attributes),
        Effect::LeaseLeft { id, left } => numbers(buffer, Tag::LeaseLeft, &[*id, *left]),
        Effect::Auth(change) => message(buffer, Tag::Auth, change),
        Effect::Alarm { member, alarm, raised } => {
            numbers(buffer, Tag::Alarm, &[*member as i64, i64::from(*alarm), i64::from(*raised)]);
        }
        Effect::Downgrade(target) => {
            message(buffer, Tag::Downgrade, &pb::DowngradeSet { target: target.clone().unwrap_or_default() });
        }
    }
}

fn numbers(buffer: &mut Vec<u8>, tag: Tag, numbers: &[i64]) {
    buffer.push(tag as u8);
    for number in numbers {
        buffer.extend_from_slice(&number.to_le_bytes());
    }
}

fn message(buffer: &mut Vec<u8>, tag: Tag, message: &impl Message) {
    buffer.push(tag as u8);
    buffer.extend_from_slice(&(message.encoded_len() as u32).to_le_bytes());
    buffer.extend_from_slice(&message.encode_to_vec());
}

/// Reads the effects of a payload. `base` is where the payload begins in the segment.
pub struct Reader<'a> {
    rest: &'a [u8],
    segment: u32,
    /// Offset in the segment of the end of the payload.
    end: u64,
}

impl<'a> Reader<'a> {
    /// The log id, and a reader of the effects; none when the payload is too short.
    pub fn new(payload: &'a [u8], segment: u32, base: u64) -> Option<(Option<LogId>, Self)> {
        let mut rest = payload;
        let flag = rest.try_get_u8().ok()?;
        let term = rest.try_get_u64_le().ok()?;
        let index = rest.try_get_u64_le().ok()?;
        let applied = (flag == 1).then(|| LogId::new_term_index(term, index));
        Some((applied, Self { rest, segment, end: base + payload.len() as u64 }))
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next effect and, for a version, its value; none at the end or where the bytes make no sense.
    pub fn next_effect(&mut self) -> Option<(Effect<'a>, &'a [u8])> {
        let tag = self.rest.try_get_u8().ok()?;
        let effect = match tag {
            1 | 2 => return self.version(tag == Tag::Moved as u8),
            3 => Effect::Compacted(self.number()?),
            4 => Effect::Granted { id: self.number()?, ttl: self.number()? },
            5 => Effect::Revoked(self.number()?),
            6 => {
                let stored = pb::StoredMembership::decode(self.message()?).ok()?;
                let members = codec::membership_back(stored.membership.unwrap_or_default()).ok()?;
                Effect::Membership(StoredMembership::new(stored.log_id.map(codec::log_id_back), members))
            }
            7 => Effect::Attributes(pb::MemberAttributes::decode(self.message()?).ok()?),
            8 => Effect::Alarm {
                member: self.number()? as u64,
                alarm: self.number()? as i32,
                raised: self.number()? != 0,
            },
            24 => {
                let set = pb::DowngradeSet::decode(self.message()?).ok()?;
                Effect::Downgrade(Some(set.target).filter(|target| !target.is_empty()))
            }
            33 => Effect::LeaseLeft { id: self.number()?, left: self.number()? },
            32 => Effect::Auth(pb::AuthChange::decode(self.message()?).ok()?),
            _ => return None,
        };
        Some((effect, &[]))
    }

    fn number(&mut self) -> Option<i64> {
        self.rest.try_get_i64_le().ok()
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn message(&mut self) -> Option<&'a [u8]> {
        let len = self.rest.try_get_u32_le().ok()?;
        self.take(len as usize)
    }

    fn version(&mut self, moved: bool) -> Option<(Effect<'a>, &'a [u8])> {
        let key_len = self.rest.try_get_u32_le().ok()? as usize;
        let value_len = self.rest.try_get_u32_le().ok()?;
        let mut version = Version {
            main: self.number()?,
            create: self.number()?,
            version: self.number()?,
            lease: self.number()?,
            ..Default::default()
        };
        version.sub = self.rest.try_get_u32_le().ok()?;
        let key = self.take(key_len)?;
        let offset = (self.end - self.rest.len() as u64) as u32;
        version.loc = Loc { segment: self.segment, offset, len: value_len };
        self.take(VALUE_HEADER_LEN)?;
        let value = self.take(value_len as usize)?;
        let effect = if moved { Effect::Moved { key, version } } else { Effect::Version { key, version } };
        Some((effect, value))
    }
}
