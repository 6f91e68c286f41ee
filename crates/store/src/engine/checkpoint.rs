//! Checkpoints: the index without values, so that a restart reads only the frames after it.
//!
//! A checkpoint is taken while writers go on, so its later keys may be ahead of its head. That does no harm: replay
//! begins at the head's position, effects can be taken twice, and the frames up to the end of the walk are synced before
//! the checkpoint counts.
//!
//! Blocks `len u32 | crc32c u32 | payload`: the head, then keys with their versions, then an empty block.

use std::io;
use std::sync::Arc;

use bytes::Buf;
use prost::Message;
use proto::keelson::raft::v1 as pb;

use super::{Engine, Position};
use crate::auth::Auth;
use crate::env::File;
use crate::mvcc::history::History;
use crate::mvcc::{Loc, Version};
use crate::raft::codec;
use crate::raft::types::StoredMembership;
use crate::state::State;

pub const NAME: &str = "checkpoint";
const TEMPORARY: &str = "checkpoint.tmp";
/// Payload bytes after which a block of keys is closed.
pub const BLOCK_BYTES: usize = 256 << 10;

/// Everything of the state but its keys.
pub fn head(state: &State, position: Position) -> pb::CheckpointHead {
    pb::CheckpointHead {
        applied: state.applied.as_ref().map(codec::log_id),
        membership: Some(pb::StoredMembership {
            log_id: state.membership.log_id().as_ref().map(codec::log_id),
            membership: Some(codec::membership(state.membership.membership())),
        }),
        attributes: state.attributes.values().cloned().collect(),
        alarms: state
            .alarms
            .iter()
            .map(|(member_id, alarm)| pb::HeldAlarm { member_id: *member_id, alarm: *alarm })
            .collect(),
        leases: state
            .lessor
            .iter()
            .map(|(id, lease)| pb::HeldLease { id, ttl: lease.ttl, remaining_ttl: lease.left })
            .collect(),
        revision: state.index.revision(),
        compacted: state.index.compacted(),
        segment: position.segment,
        offset: position.offset,
        downgrade_target: state.downgrade.clone().unwrap_or_default(),
        epoch: state.epoch,
        auth: Some(state.auth.to_wire()),
    }
}

/// The state that a head describes, without keys.
pub fn state(head: pb::CheckpointHead) -> Option<(State, Position)> {
    let mut state = State { applied: head.applied.map(codec::log_id_back), epoch: head.epoch, ..Default::default() };
    let membership = head.membership.unwrap_or_default();
    let members = codec::membership_back(membership.membership.unwrap_or_default()).ok()?;
    state.membership = StoredMembership::new(membership.log_id.map(codec::log_id_back), members);
    state.attributes = head.attributes.into_iter().map(|of| (of.member_id, of)).collect();
    state.alarms = head.alarms.into_iter().map(|held| (held.member_id, held.alarm)).collect();
    for lease in head.leases {
        state.lessor.restore(lease.id, lease.ttl);
        state.lessor.set_left(lease.id, lease.remaining_ttl);
    }
    state.downgrade = Some(head.downgrade_target).filter(|target| !target.is_empty());
    state.auth = Auth::from_wire(head.auth);
    state.index.set_revision(head.revision);
    state.index.restore_compacted(head.compacted);
    Some((state, Position { segment: head.segment, offset: head.offset }))
}

pub fn write_block(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// The first block of `bytes`, taken off it.
pub fn take_block<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = *bytes;
    let len = rest.try_get_u32_le().ok()? as usize;
    let crc = rest.try_get_u32_le().ok()?;
    let (payload, rest) = rest.split_at_checked(len)?;
    *bytes = rest;
    (crc32c::crc32c(payload) == crc).then_some(payload)
}

/// Writes a checkpoint beside the old one; [`Draft::publish`] puts it in its place.
pub struct Draft {
    engine: Arc<Engine>,
    file: Arc<dyn File>,
    offset: u64,
    block: Vec<u8>,
}

impl Draft {
    pub fn begin(engine: Arc<Engine>, head: &pb::CheckpointHead) -> io::Result<Self> {
        let file = engine.disk.open(&format!("{}/{TEMPORARY}", engine.dir), true)?;
        file.set_size(0)?;
        let mut draft = Self { engine, file, offset: 0, block: head.encode_to_vec() };
        draft.close_block()?;
        Ok(draft)
    }

    /// Removes a draft that could not be written: a full disk wants the room.
    pub fn discard(engine: &Engine) {
        // There may be none.
        drop(engine.disk.remove(&format!("{}/{TEMPORARY}", engine.dir)));
    }

    fn close_block(&mut self) -> io::Result<()> {
        let mut out = Vec::with_capacity(self.block.len() + 8);
        write_block(&mut out, &self.block);
        self.file.write_at(self.offset, &out)?;
        self.offset += out.len() as u64;
        self.block.clear();
        Ok(())
    }

    pub fn key(&mut self, key: &[u8], history: &History) -> io::Result<()> {
        let block = &mut self.block;
        block.extend_from_slice(&(key.len() as u32).to_le_bytes());
        block.extend_from_slice(&(history.versions().len() as u32).to_le_bytes());
        block.extend_from_slice(key);
        for version in history.versions() {
            for number in [version.main, version.create, version.version, version.lease] {
                block.extend_from_slice(&number.to_le_bytes());
            }
            for number in [version.sub, version.loc.segment, version.loc.offset, version.loc.len] {
                block.extend_from_slice(&number.to_le_bytes());
            }
        }
        if self.block.len() > BLOCK_BYTES { self.close_block() } else { Ok(()) }
    }

    /// Everything that the walk may have seen must be synced by now. Gives the checkpoint's size.
    pub fn publish(mut self) -> io::Result<u64> {
        if !self.block.is_empty() {
            self.close_block()?;
        }
        self.close_block()?;
        self.file.sync()?;
        let dir = &self.engine.dir;
        self.engine.disk.rename(&format!("{dir}/{TEMPORARY}"), &format!("{dir}/{NAME}"))?;
        self.engine.disk.sync_dir(dir)?;
        Ok(self.offset)
    }
}

/// Reads a checkpoint; none when it is not whole.
pub fn read(bytes: &[u8]) -> Option<(State, Position)> {
    let mut rest = bytes;
    let head = pb::CheckpointHead::decode(take_block(&mut rest)?).ok()?;
    let (mut state, position) = state(head)?;
    let revision = state.index.revision();
    loop {
        let mut block = take_block(&mut rest)?;
        if block.is_empty() {
            // Keys that were walked late may be ahead of the head; replay brings the revision along.
            state.index.set_revision(revision);
            return Some((state, position));
        }
        while !block.is_empty() {
            read_key(&mut block, &mut state)?;
        }
    }
}

fn read_key(block: &mut &[u8], state: &mut State) -> Option<()> {
    let key_len = block.try_get_u32_le().ok()? as usize;
    let count = block.try_get_u32_le().ok()?;
    let (key, rest) = block.split_at_checked(key_len)?;
    *block = rest;
    let mut versions = smallvec::SmallVec::<[Version; 2]>::new();
    for _ in 0..count {
        let mut version = Version {
            main: block.try_get_i64_le().ok()?,
            create: block.try_get_i64_le().ok()?,
            version: block.try_get_i64_le().ok()?,
            lease: block.try_get_i64_le().ok()?,
            ..Default::default()
        };
        version.sub = block.try_get_u32_le().ok()?;
        version.loc = Loc {
            segment: block.try_get_u32_le().ok()?,
            offset: block.try_get_u32_le().ok()?,
            len: block.try_get_u32_le().ok()?,
        };
        versions.push(version);
    }
    state.index.load(key, versions.into_iter());
    Some(())
}
