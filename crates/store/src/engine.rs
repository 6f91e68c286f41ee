//! The engine: where values lie, and everything that the state needs to be read back.
//!
//! Append-only segments of frames, one frame for each applied entry of the log with its log id inside, so what was
//! applied and what it changed are durable together. The engine is not synced on the write path: the write-ahead log
//! is the durability, and it is purged only behind a synced engine. A checkpoint holds the index as it was, and a
//! restart reads only the frames after it. Segments with little left alive are copied out and removed.
//!
//! [`Writer`] appends; [`View`] reads; [`open`] reads back; [`checkpoint`] and [`maintain`] run on a worker.

pub mod checkpoint;
pub mod frame;
pub mod maintain;
pub mod open;
mod runs;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::env::{Disk, File, Rot, Sizes, is_full, read_exact_at};
use crate::mvcc::{Loc, Values, Version};
use crate::raft::types::LogId;
use crate::state::Effect;

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("{0}: i/o")]
    Io(&'static str, #[source] io::Error),
    #[error(
        "the engine ends at entry {engine:?}, but the log begins after {log}: files of the engine are missing. {MEND}"
    )]
    Behind { engine: Option<u64>, log: u64 },
    #[error(
        "{path} is damaged at byte {offset}: the engine is whole up to entry {engine:?} only, and the log holds nothing before {log} any more. {MEND}"
    )]
    Cut { path: String, offset: u64, engine: Option<u64>, log: u64 },
    #[error("{path} is missing, or damaged or cut before byte {offset}, and values lie there. {MEND}")]
    Lost { path: String, offset: u64 },
    #[error("{path} is damaged. {MEND}")]
    Checkpoint { path: String },
    #[error("{path} holds a frame at byte {offset} that makes no sense to this version. {MEND}")]
    Senseless { path: String, offset: u64 },
    #[error("the value at byte {offset} of engine segment {segment:08x}.seg is damaged")]
    Damaged { segment: u32, offset: u32 },
    #[error("a snapshot cannot be read: {0}")]
    Snapshot(&'static str),
}

impl EngineError {
    /// Whether what was written is not there any more.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Io(_, error) => error.kind() == io::ErrorKind::InvalidData,
            Self::Snapshot(_) => false,
            _ => true,
        }
    }
}

impl From<EngineError> for io::Error {
    fn from(error: EngineError) -> Self {
        io::Error::other(error)
    }
}

/// What to do about a damaged folder.
pub const MEND: &str = "Nothing was changed; put the file back from a copy, or remove the data folder and begin anew from \
    a backup (one of several members gets everything from the others)";

/// A place between two frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub segment: u32,
    pub offset: u64,
}

/// The files that readers need; a reader keeps a copy for as long as it reads, whatever is removed meanwhile.
#[derive(Clone, Default)]
pub struct View {
    files: Arc<BTreeMap<u32, Arc<dyn File>>>,
    /// What could not be written for lack of room.
    waiting: Option<Waiting>,
    rot: Rot,
}

/// Frames that wait for room: they lie in memory, and in the log.
#[derive(Clone)]
struct Waiting {
    at: Position,
    bytes: Bytes,
}

impl View {
    /// The value at `loc`, checked against its checksum.
    pub fn read(&self, loc: Loc) -> io::Result<Bytes> {
        if loc.len == 0 {
            return Ok(Bytes::new());
        }
        let damaged = || self.damaged(loc);
        if let Some(waiting) = &self.waiting
            && waiting.at.segment == loc.segment
            && u64::from(loc.offset) >= waiting.at.offset
        {
            let at = (u64::from(loc.offset) - waiting.at.offset) as usize;
            let found = waiting.bytes.get(at..at + loc.len as usize + frame::VALUE_HEADER_LEN);
            return found.and_then(|bytes| frame::checked_value(bytes.to_vec())).ok_or_else(damaged);
        }
        let file = self.files.get(&loc.segment).ok_or_else(damaged)?;
        let mut bytes = vec![0; loc.len as usize + frame::VALUE_HEADER_LEN];
        match read_exact_at(&**file, u64::from(loc.offset), &mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged()),
            read => read?,
        }
        frame::checked_value(bytes).ok_or_else(damaged)
    }

    /// The error for a value that is not what was written; the member is told.
    fn damaged(&self, loc: Loc) -> io::Error {
        let error = EngineError::Damaged { segment: loc.segment, offset: loc.offset };
        self.rot.report(&error);
        error.into()
    }
}

/// The segments of one generation of the engine, shared by writer and readers.
pub struct Engine {
    disk: Arc<dyn Disk>,
    /// Folder of this generation.
    dir: String,
    view: RwLock<View>,
    limits: Sizes,
    /// Bytes of each segment.
    sizes: RwLock<BTreeMap<u32, u64>>,
    /// Where the newest checkpoint stands, and its size.
    checkpoint: Mutex<(Position, u64)>,
}

impl Engine {
    pub fn view(&self) -> View {
        self.view.read().clone()
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.sizes.read().values().sum()
    }

    /// Where the newest checkpoint stands, and its size.
    fn checkpoint(&self) -> (Position, u64) {
        *self.checkpoint.lock()
    }

    pub fn set_checkpoint(&self, position: Position, bytes: u64) {
        *self.checkpoint.lock() = (position, bytes);
    }

    fn path(&self, segment: u32) -> String {
        format!("{}/{segment:08x}.seg", self.dir)
    }

    fn add(&self, segment: u32, file: Arc<dyn File>, size: u64) {
        let mut view = self.view.write();
        Arc::make_mut(&mut view.files).insert(segment, file);
        self.sizes.write().insert(segment, size);
    }

    fn remove(&self, segment: u32) -> io::Result<()> {
        Arc::make_mut(&mut self.view.write().files).remove(&segment);
        self.sizes.write().remove(&segment);
        self.disk.remove(&self.path(segment))
    }
}

/// Appends frames. One frame is open at a time; [`Writer::flush`] makes finished frames readable.
pub struct Writer {
    engine: Arc<Engine>,
    segment: u32,
    file: Arc<dyn File>,
    /// Bytes in the file.
    written: u64,
    /// Finished frames and the open one, not yet in the file.
    buffer: Vec<u8>,
    /// Where the open frame begins in the buffer.
    frame_at: Option<usize>,
    /// Segments with writes that are not synced.
    unsynced: Vec<Arc<dyn File>>,
    dir_dirty: bool,
    /// The buffer's frames wait for room on the disk.
    waits: bool,
}

impl Writer {
    fn new(engine: Arc<Engine>, segment: u32, file: Arc<dyn File>, written: u64) -> Self {
        let unsynced = vec![file.clone()];
        Self {
            engine,
            segment,
            file,
            written,
            buffer: Vec::new(),
            frame_at: None,
            unsynced,
            dir_dirty: true,
            waits: false,
        }
    }

    /// Creates segment `number` and a writer at its beginning.
    fn create(engine: Arc<Engine>, number: u32) -> io::Result<Self> {
        let file = create_segment(&engine, number)?;
        Ok(Self::new(engine, number, file, frame::SEGMENT_HEADER_LEN))
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The end of the last flushed frame.
    pub fn position(&self) -> Position {
        Position { segment: self.segment, offset: self.written }
    }

    /// Begins the frame of one entry of the log, in a new segment where the current one is full.
    pub fn begin(&mut self, applied: Option<LogId>) -> io::Result<()> {
        if self.written + self.buffer.len() as u64 > self.engine.limits.engine_segment {
            self.flush()?;
            let next = self.segment + 1;
            // Without room the old segment grows beyond its bound, in memory.
            match create_segment(&self.engine, next) {
                _ if self.waits => {}
                Err(error) if is_full(&error) => {}
                created => {
                    let file = created?;
                    self.unsynced.push(file.clone());
                    (self.segment, self.file, self.written) = (next, file, frame::SEGMENT_HEADER_LEN);
                    self.dir_dirty = true;
                }
            }
        }
        self.frame_at = Some(self.buffer.len());
        frame::begin(&mut self.buffer, applied);
        Ok(())
    }

    /// An effect other than a version: those come through [`Values`].
    pub fn effect(&mut self, effect: &Effect<'_>) {
        frame::effect(&mut self.buffer, effect);
    }

    /// A copy of a version's record.
    fn moved(&mut self, key: &[u8], version: &Version, value: &[u8]) -> Loc {
        let at = frame::version(&mut self.buffer, frame::Tag::Moved, key, version, value);
        self.loc(at, value.len())
    }

    fn loc(&self, at: usize, len: usize) -> Loc {
        Loc { segment: self.segment, offset: (self.written + at as u64) as u32, len: len as u32 }
    }

    /// Ends the open frame.
    pub fn finish(&mut self) {
        if let Some(at) = self.frame_at.take() {
            let seed = frame::seed(self.segment, self.written + at as u64);
            frame::finish(&mut self.buffer, at, seed);
        }
    }

    /// Whether frames wait for room on the disk; [`Writer::flush`] tries again.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// Writes finished frames to the file, not to the disk. On a full disk they stay in memory, where readers find them:
    /// they are in the log, which is not cut before they are written.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        match self.file.write_at(self.written, &self.buffer) {
            Err(error) if is_full(&error) => {
                let waiting = Waiting { at: self.position(), bytes: Bytes::copy_from_slice(&self.buffer) };
                self.engine.view.write().waiting = Some(waiting);
                if !std::mem::replace(&mut self.waits, true) {
                    tracing::error!("the disk of --data-dir is full: what is applied stays in memory and in the log");
                }
                return Ok(());
            }
            result => result?,
        }
        if std::mem::take(&mut self.waits) {
            self.engine.view.write().waiting = None;
            tracing::info!("there is room on the disk of --data-dir again: the engine goes on");
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.buffer.capacity() > 4 << 20 {
            self.buffer = Vec::new();
        }
        self.engine.sizes.write().insert(self.segment, self.written);
        Ok(())
    }

    /// What must be synced for everything up to [`Writer::position`] to be durable.
    pub fn take_unsynced(&mut self) -> Unsynced {
        let files = std::mem::replace(&mut self.unsynced, vec![self.file.clone()]);
        let dir = std::mem::take(&mut self.dir_dirty).then(|| self.engine.dir.clone());
        Unsynced { disk: self.engine.disk.clone(), files, dir }
    }
}

fn create_segment(engine: &Engine, number: u32) -> io::Result<Arc<dyn File>> {
    let file = engine.disk.open(&engine.path(number), true)?;
    file.set_size(0)?;
    file.write_at(0, &frame::segment_header(number))?;
    engine.add(number, file.clone(), frame::SEGMENT_HEADER_LEN);
    Ok(file)
}

/// Files to sync, without holding the writer.
pub struct Unsynced {
    disk: Arc<dyn Disk>,
    files: Vec<Arc<dyn File>>,
    dir: Option<String>,
}

impl Unsynced {
    pub fn sync(&self) -> io::Result<()> {
        for file in &self.files {
            file.sync()?;
        }
        match &self.dir {
            Some(dir) => self.disk.sync_dir(dir),
            None => Ok(()),
        }
    }
}

impl Values for Writer {
    fn put(&mut self, key: &[u8], version: &Version, value: &[u8]) -> Loc {
        let at = frame::version(&mut self.buffer, frame::Tag::Version, key, version, value);
        self.loc(at, value.len())
    }

    fn tombstone(&mut self, key: &[u8], version: &Version) -> Loc {
        let at = frame::version(&mut self.buffer, frame::Tag::Version, key, version, b"");
        self.loc(at, 0)
    }

    fn read(&self, loc: Loc) -> io::Result<Bytes> {
        if loc.segment == self.segment && u64::from(loc.offset) >= self.written && loc.len > 0 {
            let at = (u64::from(loc.offset) - self.written) as usize + frame::VALUE_HEADER_LEN;
            return Ok(Bytes::copy_from_slice(&self.buffer[at..at + loc.len as usize]));
        }
        self.engine.view.read().read(loc)
    }
}
