//! Reading a log back: every segment in order, the torn tail of the last one cut.
//!
//! [`read`] changes nothing. Only the last write of the last segment can be torn: whatever shows that more than it would be
//! cut ([`record::later_write`], [`Found::check`]) ends in an error that names the file and the byte.

use std::cmp::Ordering;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use proto::keelson::raft::v1 as pb;

use super::record::{self, HEADER_LEN, Kind};
use super::{DIR, Memory, Owner, Place, WalError};
use crate::env::{Env, File, write_again};
use crate::raft::codec;
use crate::raft::types::{LogId, Vote};
use crate::state::State;

/// A segment that stays open: the writer goes on in the last one.
pub struct Segment {
    pub number: u64,
    pub file: Arc<dyn File>,
    /// Where the records after the head begin.
    pub begin: u64,
    /// Where the last write that was read back begins; what stands before it is durable.
    last_write: u64,
    /// First free byte.
    pub end: u64,
    pub chain: u32,
    /// Index of the first entry after those that the segment holds: it can go when all below are purged.
    pub next_index: u64,
}

impl Segment {
    /// A segment that holds nothing but its head, which is durable.
    pub fn begun(number: u64, file: Arc<dyn File>, end: u64, chain: u32, next_index: u64) -> Self {
        Self { number, file, begin: end, last_write: 0, end, chain, next_index }
    }
}

pub fn name(number: u64) -> String {
    format!("{DIR}/{number:016x}.wal")
}

/// Bytes of a head, at most.
const HEAD_BYTES_MAX: usize = 4096;

/// What was read back; nothing on disk has changed yet.
pub struct Found {
    memory: Memory,
    pub(super) owner: Owner,
    /// Oldest first.
    segments: Vec<Segment>,
    torn: Option<Torn>,
}

/// What the last write left behind that is not whole.
enum Torn {
    /// The last segment's head; the segment holds nothing.
    Head(u64),
    /// The end of the last segment's records.
    Tail,
}

/// Reads the log of `owner`.
pub fn read(env: &Env, owner: Owner) -> Result<Found, WalError> {
    let io = |error| WalError::Io("opening the wal", error);
    env.disk.create_dir(DIR).map_err(io)?;
    let numbers = numbers(env).map_err(io)?;
    let mut memory = Memory { cache_bytes_max: env.sizes.wal_cache, ..Memory::default() };
    let mut segments: Vec<Segment> = Vec::new();
    let mut torn = None;
    for (at, number) in numbers.iter().enumerate() {
        let last = at + 1 == numbers.len();
        if let Some(before) = segments.last().filter(|before| before.number + 1 != *number) {
            return Err(WalError::Missing { path: name(before.number + 1) });
        }
        let (segment, tail_torn) = replay_segment(env, owner, &mut memory, *number, last)?;
        match segment {
            Some(segment) => segments.push(segment),
            None => torn = Some(Torn::Head(*number)),
        }
        if tail_torn {
            torn = Some(Torn::Tail);
        }
    }
    if memory.purge_pending {
        return Err(WalError::Gap { path: name(numbers[0]), wanted: 0, found: memory.first_index() });
    }
    memory.cached_from = memory.next_index();
    Ok(Found { memory, owner, segments, torn })
}

/// Whose log it is; none where there is none yet.
pub fn owner(env: &Env) -> Result<Option<Owner>, WalError> {
    let io = |error| WalError::Io("opening the wal", error);
    env.disk.create_dir(DIR).map_err(io)?;
    let Some(first) = numbers(env).map_err(io)?.first().copied() else { return Ok(None) };
    let file = env.disk.open(&name(first), false).map_err(io)?;
    let mut bytes = vec![0; HEAD_BYTES_MAX];
    let len = file.read_at(0, &mut bytes).map_err(io)?;
    let Some(found) = record::read(&bytes[..len], record::chain_start(first)) else { return Ok(None) };
    if found.kind != Kind::Head {
        return Ok(None);
    }
    let head = pb::WalHead::decode(found.payload)?;
    Ok(Some(Owner { cluster_id: head.cluster_id, member_id: head.member_id }))
}

fn numbers(env: &Env) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> = Vec::new();
    for found in env.disk.list(DIR)? {
        if let Some(number) = found.strip_suffix(".wal").and_then(|hex| u64::from_str_radix(hex, 16).ok()) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

impl Found {
    /// Up to where entries are gone because the engine holds them.
    pub fn purged(&self) -> Option<u64> {
        self.memory.purged.map(|purged| purged.index)
    }

    /// The vote that was kept beside the log: the log may have lost its own.
    pub fn promise(&mut self, kept: Option<Vote>) {
        if kept.partial_cmp(&self.memory.vote) == Some(Ordering::Greater) {
            self.memory.vote = kept;
        }
    }

    pub fn vote(&self) -> Option<Vote> {
        self.memory.vote
    }

    /// Refuses when the state, of a member that is its cluster's only voter, is ahead of its log: such a member applies
    /// nothing before it is synced, so entries that were acknowledged are missing.
    pub fn check(&self, state: &State) -> Result<(), WalError> {
        let applied = state.applied.map(|applied| applied.index);
        let last = self.memory.last_log_id().map(|last| last.index);
        let alone = state.membership.membership().voter_ids().eq([self.owner.member_id]);
        if !alone || applied <= last {
            return Ok(());
        }
        let number = match (&self.torn, self.segments.last()) {
            (Some(Torn::Head(number)), _) => *number,
            (_, Some(segment)) => segment.number,
            (_, None) => 1,
        };
        let offset = self.segments.last().filter(|segment| segment.number == number).map_or(0, |segment| segment.end);
        Err(WalError::Short { path: name(number), offset, last, applied })
    }

    /// Cuts what is torn, durably; gives the log and its segments. Only after [`Found::check`].
    pub(super) fn finish(self, env: &Env) -> io::Result<(Memory, Vec<Segment>)> {
        match (&self.torn, self.segments.last()) {
            (Some(Torn::Head(number)), _) => {
                tracing::warn!(file = name(*number), "removed a segment that was never begun");
                env.disk.remove(&name(*number))?;
            }
            (Some(Torn::Tail), Some(segment)) => {
                tracing::warn!(file = name(segment.number), offset = segment.end, "cut the torn tail of the log");
                segment.file.set_size(segment.end)?;
                segment.file.sync()?;
            }
            _ => {}
        }
        if let Some(last) = self.segments.last() {
            write_again(&*last.file, last.last_write, last.end)?;
        }
        Ok((self.memory, self.segments))
    }
}

/// The segment, and whether its tail is torn; no segment: a last one whose head was never written whole.
fn replay_segment(
    env: &Env,
    owner: Owner,
    memory: &mut Memory,
    number: u64,
    last: bool,
) -> Result<(Option<Segment>, bool), WalError> {
    let io = |error| WalError::Io("reading a wal segment", error);
    let file = env.disk.open(&name(number), false).map_err(io)?;
    let bytes = read_whole(&*file).map_err(io)?;
    let mut chain = record::chain_start(number);
    let mut at = 0;
    let mut begin = 0;
    let mut last_write = 0;
    while let Some(found) = record::read(&bytes[at..], chain) {
        if at == 0 && found.kind != Kind::Head {
            break;
        }
        let payload = at + HEADER_LEN;
        let (len, crc) = (found.payload.len() as u32, crc32c::crc32c(found.payload));
        let place = Place { file: file.clone(), offset: payload as u64, len, crc };
        take(memory, owner, number, found.kind, found.payload, place)?;
        chain = found.chain;
        if found.first {
            last_write = at as u64;
        }
        at += found.len;
        if begin == 0 {
            begin = at as u64;
        }
    }
    let rest = &bytes[at..];
    let torn = rest.iter().any(|byte| *byte != 0);
    let damaged = || WalError::Damaged { path: name(number), offset: at as u64 };
    if torn && record::is_foreign(rest, chain) {
        return Err(WalError::Newer { path: name(number), offset: at as u64 });
    }
    if !last && (at == 0 || torn) {
        return Err(damaged());
    }
    if at == 0 {
        // A head is synced before anything follows it, and before older segments go.
        let begun = rest.iter().skip(HEAD_BYTES_MAX).any(|byte| *byte != 0);
        let alone = memory.segments.is_empty() && number != 1;
        return if begun || alone { Err(damaged()) } else { Ok((None, false)) };
    }
    if torn && record::later_write(rest).is_some() {
        return Err(damaged());
    }
    memory.segments.insert(number, at as u64);
    let segment = Segment { number, file, begin, last_write, end: at as u64, chain, next_index: memory.next_index() };
    Ok((Some(segment), torn))
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
                return Err(WalError::Foreign { path: name(segment), cluster: head.cluster_id, found: head.member_id });
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
                return Err(WalError::Gap { path: name(segment), wanted: memory.next_index(), found: id.index });
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
