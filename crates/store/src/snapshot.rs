//! Snapshots: the store as a stream of blocks, taken and installed while everything goes on.
//!
//! A snapshot holds the state at one entry of the log: the head of a checkpoint, then every version up to the head's
//! revision with its value. Versions are immutable and a pin keeps compacted ones, so they are read piece by piece while
//! writers go on.

#[cfg(test)]
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use proto::keelson::raft::v1 as pb;

use crate::auth::tokens::TokenChange;
use crate::engine::checkpoint::{self, BLOCK_BYTES, Draft, take_block, write_block};
use crate::engine::frame::{self, Reader, Tag};
use crate::engine::{EngineError, Position, View, Writer, open};
use crate::env::planted::{self, Bug};
use crate::env::{Env, File};
use crate::mvcc::{Values, Version};
use crate::raft::types::SnapshotMeta;
use crate::shared::{Held, Pin, Shared};
use crate::state::{Effect, State};

/// Keys walked under one lock.
const WALK_KEYS: usize = 1024;
/// Bytes of values after which a piece of a snapshot ends: what is read at once, and what is sent again at most when a
/// transfer breaks.
const PIECE_BYTES: usize = 4 << 20;
/// A snapshot to send, or one that was received.
pub enum SnapshotData {
    Taken(Taken),
    /// The file that holds it, below the data folder.
    Received(String),
}

/// The head as it was, and the store to read the versions from.
pub struct Taken {
    head: Box<pb::CheckpointHead>,
    shared: Arc<Shared>,
    _pin: Pin,
}

/// Takes a snapshot at the last applied entry. Costs nothing until it is read.
pub fn take(shared: &Arc<Shared>) -> (SnapshotMeta, SnapshotData) {
    let held = shared.held.read();
    let meta = SnapshotMeta { last_log_id: held.state.applied, last_membership: held.state.membership.clone() };
    let head = Box::new(checkpoint::head(&held.state, Position::default()));
    (meta, SnapshotData::Taken(Taken { head, shared: shared.clone(), _pin: shared.pin() }))
}

/// A place in the stream to which its reader can go back.
#[derive(Clone)]
pub struct Mark {
    after: Option<Box<[u8]>>,
    stage: Stage,
}

/// Reads a taken snapshot a piece at a time.
pub struct Blocks {
    taken: Taken,
    after: Option<Box<[u8]>>,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    Head,
    Keys,
    End,
    Done,
}

impl Taken {
    /// While it lives, the log that follows the snapshot is not cut: the receiver goes on with it.
    pub fn sending(&self) -> crate::shared::Sending {
        self.shared.begin_sending()
    }

    pub fn blocks(self) -> Blocks {
        Blocks { taken: self, after: None, stage: Stage::Head }
    }
}

/// Versions with their keys.
type Rows = Vec<(Box<[u8]>, Version)>;

impl Blocks {
    /// Where the next bytes begin.
    pub fn mark(&self) -> Mark {
        Mark { after: self.after.clone(), stage: self.stage }
    }

    /// Goes on from there again. What follows says the same in blocks that may be cut otherwise.
    pub fn back_to(&mut self, mark: Mark) {
        self.after = mark.after;
        self.stage = mark.stage;
    }

    /// The next bytes of the stream; none at its end.
    pub fn next_bytes(&mut self) -> io::Result<Option<Bytes>> {
        let mut out = Vec::new();
        match self.stage {
            Stage::Head => {
                write_block(&mut out, &self.taken.head.encode_to_vec());
                self.stage = Stage::Keys;
            }
            Stage::Keys => {
                let (rows, view) = self.walk();
                if rows.is_empty() && self.after.is_none() {
                    self.stage = Stage::End;
                    return self.next_bytes();
                }
                self.encode(rows, &view, &mut out)?;
                if self.after.is_none() {
                    self.stage = Stage::End;
                }
            }
            Stage::End => {
                write_block(&mut out, &[]);
                self.stage = Stage::Done;
            }
            Stage::Done => return Ok(None),
        }
        Ok(Some(out.into()))
    }

    fn walk(&mut self) -> (Rows, View) {
        let held = self.taken.shared.held.read();
        let mut rows: Rows = Vec::new();
        let mut last = None;
        let mut bytes = 0;
        for (key, history) in held.state.index.histories_after(self.after.as_deref(), WALK_KEYS) {
            last = Some(key.into());
            for version in history.versions().iter().filter(|version| version.main <= self.taken.head.revision) {
                bytes += version.loc.len as usize;
                rows.push((key.into(), *version));
            }
            if bytes > PIECE_BYTES {
                break;
            }
        }
        if planted::is(Bug::SnapshotLacksKey) {
            rows.pop();
        }
        self.after = last;
        (rows, held.engine.view())
    }

    fn encode(&self, rows: Rows, view: &View, out: &mut Vec<u8>) -> io::Result<()> {
        let mut block = Vec::new();
        for (key, version) in rows {
            if block.is_empty() {
                frame::begin(&mut block, None);
            }
            let value = view.read(version.loc)?;
            frame::version(&mut block, Tag::Version, &key, &version, &value);
            if block.len() > BLOCK_BYTES {
                write_block(out, &block[frame::FRAME_HEADER_LEN..]);
                block.clear();
            }
        }
        if !block.is_empty() {
            write_block(out, &block[frame::FRAME_HEADER_LEN..]);
        }
        Ok(())
    }
}

/// The name for the `count`-th snapshot that is received: each transfer has a file of its own, so that one that was
/// given up cannot spoil the next.
pub fn received_name(count: u64) -> String {
    format!("{}-{count}", open::RECEIVED)
}

/// Replaces state and engine by a received snapshot.
pub fn install(env: &Env, shared: &Arc<Shared>, meta: &SnapshotMeta, snapshot: SnapshotData) -> io::Result<()> {
    let SnapshotData::Received(name) = snapshot else {
        // openraft offers a member its own snapshot back at start; the engine already holds it.
        return Ok(());
    };
    let file = env.disk.open(&name, false)?;
    let generation = open::next_generation(&*env.disk)?;
    let mut writer = open::create(env, generation)?;
    let mut state = fill(&*file, &mut writer)?;
    if state.applied != meta.last_log_id {
        return Err(EngineError::Snapshot("it does not end where its meta says").into());
    }
    state.attach_leases();
    writer.take_unsynced().sync()?;
    let position = writer.position();
    let size = write_checkpoint(&state, &writer, position)?;
    writer.engine().set_checkpoint(position, size);
    open::set_current(&*env.disk, generation)?;
    let revision = state.index.revision();
    let applied = state.applied;
    {
        let mut old = shared.writer.lock();
        let mut held = shared.held.write();
        // Users may have gone, and come again, while this member did not hear of it.
        shared.tokens.take(TokenChange::ForgetAll);
        shared.note_auth(&state);
        *held = Held { state, engine: writer.engine().clone() };
        *old = writer;
    }
    shared.hub.reset(revision);
    shared.set_applied(applied);
    open::sweep(&*env.disk, generation)?;
    env.disk.remove(&name)
}

/// Writes the checkpoint of an engine that nobody uses yet; gives its size.
pub fn write_checkpoint(state: &State, writer: &Writer, position: Position) -> io::Result<u64> {
    let mut draft = Draft::begin(writer.engine().clone(), &checkpoint::head(state, position))?;
    let mut after: Option<Box<[u8]>> = None;
    loop {
        let mut last = None;
        for (key, history) in state.index.histories_after(after.as_deref(), WALK_KEYS) {
            draft.key(key, history)?;
            last = Some(key.into());
        }
        match last {
            Some(last) => after = Some(last),
            None => return draft.publish(),
        }
    }
}

/// Reads the stream's blocks into an empty engine.
fn fill(file: &dyn File, writer: &mut Writer) -> io::Result<State> {
    let damaged = || io::Error::from(EngineError::Snapshot("a block is damaged or missing"));
    let mut blocks = BlockFile { file, offset: 0, size: file.size()? };
    let first = blocks.next_block()?.ok_or_else(damaged)?;
    let head = pb::CheckpointHead::decode(&*first).map_err(io::Error::other)?;
    let (mut state, _) = checkpoint::state(head).ok_or_else(damaged)?;
    loop {
        let block = blocks.next_block()?.ok_or_else(damaged)?;
        if block.is_empty() {
            return Ok(state);
        }
        let (_, mut reader) = Reader::new(&block, 0, 0).ok_or_else(damaged)?;
        writer.begin(state.applied)?;
        while !reader.is_empty() {
            let (effect, value) = reader.next_effect().ok_or_else(damaged)?;
            if let Effect::Version { key, mut version } = effect {
                version.loc = writer.put(key, &version, value);
                state.index.insert(key, version);
            }
        }
        writer.finish();
        writer.flush()?;
    }
}

struct BlockFile<'a> {
    file: &'a dyn File,
    offset: u64,
    size: u64,
}

impl BlockFile<'_> {
    /// The next block's payload; none where it is not whole.
    fn next_block(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut header = [0; 8];
        if self.file.read_at(self.offset, &mut header)? < header.len() {
            return Ok(None);
        }
        let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        // The length is not checked yet: it must not make us ask for more than there is.
        if (header.len() + len) as u64 > self.size - self.offset.min(self.size) {
            return Ok(None);
        }
        let mut block = vec![0; header.len() + len];
        let read = self.file.read_at(self.offset, &mut block)?;
        if read < block.len() {
            return Ok(None);
        }
        self.offset += block.len() as u64;
        let mut rest = &*block;
        Ok(take_block(&mut rest).map(<[u8]>::to_vec))
    }
}

/// Keys and current values of a snapshot, for tests.
#[cfg(test)]
pub fn contents(shared: &Shared) -> io::Result<BTreeMap<Vec<u8>, Bytes>> {
    let held = shared.held.read();
    let view = held.engine.view();
    let mut contents = BTreeMap::new();
    for (key, history) in held.state.index.histories_after(None, usize::MAX) {
        if let Some(version) = history.at(i64::MAX) {
            contents.insert(key.to_vec(), view.read(version.loc)?);
        }
    }
    Ok(contents)
}
