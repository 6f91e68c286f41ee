//! Reading a log back: every segment in order, the torn tail of the last one cut.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use proto::keelson::raft::v1 as pb;

use super::record::{self, HEADER_LEN, Kind};
use super::{DIR, Memory, Owner, Place, WalError};
use crate::env::{Env, File};
use crate::raft::codec;
use crate::raft::types::LogId;

/// A segment that stays open: the writer goes on in the last one.
pub struct Segment {
    pub number: u64,
    pub file: Arc<dyn File>,
    /// Where the records after the head begin.
    pub begin: u64,
    /// First free byte.
    pub end: u64,
    pub chain: u32,
    /// Index of the first entry after those that the segment holds: it can go when all below are purged.
    pub next_index: u64,
}

pub fn name(number: u64) -> String {
    format!("{DIR}/{number:016x}.wal")
}

/// The log as the disk has it, and its segments, oldest first.
pub fn replay(env: &Env, owner: Owner) -> Result<(Memory, Vec<Segment>), WalError> {
    let io = |error| WalError::Io("opening the wal", error);
    env.disk.create_dir(DIR).map_err(io)?;
    let mut numbers: Vec<u64> = Vec::new();
    for found in env.disk.list(DIR).map_err(io)? {
        if let Some(number) = found.strip_suffix(".wal").and_then(|hex| u64::from_str_radix(hex, 16).ok()) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    let mut memory = Memory::default();
    let mut segments = Vec::new();
    for (at, number) in numbers.iter().enumerate() {
        let last = at + 1 == numbers.len();
        match replay_segment(env, owner, &mut memory, *number, last)? {
            Some(segment) => segments.push(segment),
            None => env.disk.remove(&name(*number)).map_err(io)?,
        }
    }
    if memory.purge_pending {
        return Err(WalError::Gap { segment: numbers[0], wanted: 0, found: memory.first_index() });
    }
    memory.cached_from = memory.next_index();
    Ok((memory, segments))
}

/// None: a last segment whose head was never written.
fn replay_segment(
    env: &Env,
    owner: Owner,
    memory: &mut Memory,
    number: u64,
    last: bool,
) -> Result<Option<Segment>, WalError> {
    let io = |error| WalError::Io("reading a wal segment", error);
    let file = env.disk.open(&name(number), false).map_err(io)?;
    let bytes = read_whole(&*file).map_err(io)?;
    let mut chain = record::chain_start(number);
    let mut at = 0;
    let mut begin = 0;
    while let Some(found) = record::read(&bytes[at..], chain) {
        if at == 0 && found.kind != Kind::Head {
            break;
        }
        let payload = at + HEADER_LEN;
        let place = Place { file: file.clone(), offset: payload as u64, len: found.payload.len() as u32 };
        take(memory, owner, number, found.kind, found.payload, place)?;
        chain = found.chain;
        at += found.len;
        if begin == 0 {
            begin = at as u64;
        }
    }
    let torn = bytes[at..].iter().any(|byte| *byte != 0);
    if !last && (at == 0 || torn) {
        return Err(WalError::Damaged { segment: number, offset: at as u64 });
    }
    if at == 0 {
        return Ok(None);
    }
    if torn {
        tracing::warn!(segment = number, offset = at, "cut the torn tail of the log");
        file.set_size(at as u64).map_err(io)?;
        file.sync().map_err(io)?;
    }
    memory.segments.insert(number, at as u64);
    Ok(Some(Segment { number, file, begin, end: at as u64, chain, next_index: memory.next_index() }))
}

fn read_whole(file: &dyn File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.size()? as usize];
    let len = file.read_at(0, &mut bytes)?;
    bytes.truncate(len);
    Ok(bytes)
}

fn take(
    memory: &mut Memory,
    owner: Owner,
    segment: u64,
    kind: Kind,
    payload: &[u8],
    place: Place,
) -> Result<(), WalError> {
    match kind {
        Kind::Head => {
            let head = pb::WalHead::decode(payload)?;
            if (head.cluster_id, head.member_id) != (owner.cluster_id, owner.member_id) {
                return Err(WalError::Foreign { segment, cluster: head.cluster_id, found: head.member_id });
            }
            if head.vote.is_some() {
                memory.vote = Some(codec::vote_back(head.vote)?);
            }
            if let Some(purged) = head.purged {
                memory.purge(codec::log_id_back(purged));
            }
        }
        Kind::Entry => {
            let entry = pb::Entry::decode(Bytes::copy_from_slice(payload))?;
            let id = codec::log_id_back(entry.log_id.unwrap_or_default());
            if id.index < memory.first_index() {
                return Ok(());
            }
            if id.index > memory.next_index() && memory.slots.is_empty() && memory.segments.is_empty() {
                // The first segment that is left: those before it went behind a purge that a later record tells.
                memory.purged = Some(LogId::new_term_index(0, id.index - 1));
                memory.purge_pending = true;
            }
            if id.index != memory.next_index() {
                return Err(WalError::Gap { segment, wanted: memory.next_index(), found: id.index });
            }
            memory.push(id.leader_id.term, None, Some(place), payload.len());
        }
        Kind::Vote => memory.vote = Some(codec::vote_back(Some(pb::Vote::decode(payload)?))?),
        Kind::Truncate => {
            let from = payload.try_into().map(u64::from_le_bytes).unwrap_or(0);
            memory.truncate_from(from);
        }
        Kind::Purge => memory.purge(codec::log_id_back(pb::LogId::decode(payload)?)),
        Kind::Committed => memory.committed = Some(codec::log_id_back(pb::LogId::decode(payload)?)),
    }
    Ok(())
}
