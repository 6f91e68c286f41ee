//! The write-ahead log: segments of checksummed records, group commit, a torn tail cut at open.
//!
//! What it assumes of the disk: a write that was not synced may be there, in part, or not at all, and what follows it
//! may be there although it is not; what was synced stays. A segment's checksums are chained, so a record counts only
//! when everything before it in the segment is whole.
//!
//! [`read`] reads every segment back, [`Wal::open`] goes on behind them; [`Wal`] keeps where each entry lies and the youngest entries themselves;
//! the [`writer`] owns the files. Invariant: memory changes first, in openraft's order; the writer follows in the same
//! order; callbacks fire only after the sync.

mod open;
mod record;
mod writer;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::storage::IOFlushed;
use parking_lot::Mutex;
use prost::Message;
use proto::keelson::raft::v1 as pb;
use tokio::sync::oneshot;

use crate::counts::{Count, Times};
use crate::engine::MEND;
use crate::env::{Env, File, Rot, WorkerHandle, read_exact_at};
use crate::keepsake::Keepsake;
use crate::raft::codec::{self, CodecError};
use crate::raft::types::{Entry, LogId, TypeConfig, Vote};

pub use open::{Found, owner, read};

/// Folder of the segments below the data folder.
pub const DIR: &str = "wal";
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    #[error("{0}: i/o")]
    Io(&'static str, #[source] io::Error),
    #[error("{path} is damaged at byte {offset}: what was acknowledged stands there or behind it. {MEND}")]
    Damaged { path: String, offset: u64 },
    #[error(
        "{path} ends at byte {offset} with entry {last:?}, but entries up to {applied:?} were acknowledged: it is damaged there. {MEND}"
    )]
    Short { path: String, offset: u64, last: Option<u64>, applied: Option<u64> },
    #[error("{path} is missing. {MEND}")]
    Missing { path: String },
    #[error("{path} holds a record at byte {offset} that a newer version wrote; start that version")]
    Newer { path: String, offset: u64 },
    #[error("{path} does not continue the segment before it (wanted entry {wanted}, found {found}). {MEND}")]
    Gap { path: String, wanted: u64, found: u64 },
    #[error("{path} belongs to member {found:x} of cluster {cluster:x}; every file of wal/ must be of one member")]
    Foreign { path: String, cluster: u64, found: u64 },
    #[error("an entry of the wal was whole when it was written, and is damaged now (byte {offset} of its segment)")]
    Rotten { offset: u64 },
    #[error("a wal record cannot be decoded")]
    Decode(#[from] prost::DecodeError),
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl WalError {
    /// Whether what was written is not there any more.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. } | Self::Short { .. } | Self::Missing { .. } | Self::Gap { .. } | Self::Rotten { .. }
        )
    }
}

impl From<WalError> for io::Error {
    fn from(error: WalError) -> Self {
        io::Error::other(error)
    }
}

/// Whose log it is; written at the head of every segment and checked when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub cluster_id: u64,
    pub member_id: u64,
}

/// Where an entry's record lies, once it is written.
#[derive(Clone)]
struct Place {
    file: Arc<dyn File>,
    offset: u64,
    len: u32,
    /// Of the entry alone: the record's own checksum needs everything before it.
    crc: u32,
}

struct Slot {
    term: u64,
    place: Option<Place>,
    entry: Option<Entry>,
    bytes: usize,
}

/// The log in memory. `slots[0]` is the entry after `purged`.
#[derive(Default)]
struct Memory {
    vote: Option<Vote>,
    purged: Option<LogId>,
    committed: Option<LogId>,
    slots: VecDeque<Slot>,
    /// Entries below this index are not kept in memory any more.
    cached_from: u64,
    cached_bytes: usize,
    cache_bytes_max: usize,
    /// Bytes of each segment on disk.
    segments: BTreeMap<u64, u64>,
    /// While reading back: older segments are gone, and the record that says up to where is still to come.
    purge_pending: bool,
}

impl Memory {
    fn first_index(&self) -> u64 {
        self.purged.map_or(0, |id| id.index + 1)
    }

    fn next_index(&self) -> u64 {
        self.first_index() + self.slots.len() as u64
    }

    fn slot(&self, index: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(index.checked_sub(self.first_index())?).ok()?)
    }

    fn slot_mut(&mut self, index: u64) -> Option<&mut Slot> {
        let at = index.checked_sub(self.first_index())?;
        self.slots.get_mut(usize::try_from(at).ok()?)
    }

    fn last_log_id(&self) -> Option<LogId> {
        match self.slots.back() {
            Some(slot) => Some(LogId::new_term_index(slot.term, self.next_index() - 1)),
            None => self.purged,
        }
    }

    fn push(&mut self, term: u64, entry: Option<Entry>, place: Option<Place>, bytes: usize) {
        if entry.is_some() {
            self.cached_bytes += bytes;
        }
        self.slots.push_back(Slot { term, place, entry, bytes });
    }

    /// Drops everything from `index` on.
    fn truncate_from(&mut self, index: u64) {
        while self.next_index() > index {
            let Some(slot) = self.slots.pop_back() else { return };
            self.forget(&slot);
        }
    }

    /// Drops everything up to `id`; the log may end before it (a snapshot was installed).
    fn purge(&mut self, id: LogId) {
        while self.first_index() <= id.index {
            let Some(slot) = self.slots.pop_front() else { break };
            self.forget(&slot);
            let index = self.first_index();
            self.purged = Some(LogId::new_term_index(slot.term, index));
        }
        if self.purged.is_none_or(|purged| purged.index <= id.index) {
            self.purged = Some(id);
            self.purge_pending = false;
        }
    }

    fn forget(&mut self, slot: &Slot) {
        if slot.entry.is_some() {
            self.cached_bytes -= slot.bytes;
        }
    }

    /// Lets go of the oldest written entries while the cache is over its bound.
    fn evict(&mut self) {
        self.cached_from = self.cached_from.max(self.first_index());
        while self.cached_bytes > self.cache_bytes_max && self.cached_from < self.next_index() {
            let index = self.cached_from;
            let Some(slot) = self.slot_mut(index) else { return };
            if slot.place.is_none() {
                return;
            }
            let bytes = slot.bytes;
            if slot.entry.take().is_some() {
                self.cached_bytes -= bytes;
            }
            self.cached_from += 1;
        }
    }
}

/// What the writer is asked to do, in order.
pub enum Job {
    Append { entries: Vec<(LogId, Vec<u8>)>, committed: Option<LogId>, done: IOFlushed<TypeConfig> },
    Vote { vote: Vote, done: oneshot::Sender<io::Result<()>> },
    Truncate { from: u64, done: oneshot::Sender<io::Result<()>> },
    Purge { upto: LogId, done: oneshot::Sender<io::Result<()>> },
}

/// What the writer has done since the start.
#[derive(Debug, Default)]
pub struct Work {
    syncs: Times,
    bytes: Count,
}

/// The log of one member. Clones share it.
#[derive(Clone)]
pub struct Wal {
    memory: Arc<Mutex<Memory>>,
    writer: WorkerHandle<Job>,
    stalled: Arc<AtomicBool>,
    work: Arc<Work>,
    rot: Rot,
}

impl Wal {
    /// Begins the log of a member whose state came from elsewhere: it stands for everything up to `purged`.
    pub fn create(env: &Env, owner: Owner, vote: Vote, purged: LogId) -> Result<(), WalError> {
        env.disk.create_dir(DIR).map_err(|error| WalError::Io("creating the wal", error))?;
        let memory = Memory { vote: Some(vote), purged: Some(purged), ..Default::default() };
        // The writer begins its first segment, whose head says all this, durably.
        let keepsake =
            Keepsake::open(env, owner).map_err(|error| WalError::Io("opening what the member keeps", error))?;
        let memory = Arc::new(Mutex::new(memory));
        writer::Writer::new(env, owner, memory, Vec::new(), Arc::default(), Arc::default(), Arc::new(keepsake))?;
        Ok(())
    }

    /// Cuts what is torn and starts the writer. Only when what was read is known to be all that was acknowledged.
    pub fn open(env: &Env, found: Found, keepsake: Arc<Keepsake>) -> Result<Self, WalError> {
        let owner = found.owner;
        let (memory, files) = found.finish(env).map_err(|error| WalError::Io("opening the wal", error))?;
        let memory = Arc::new(Mutex::new(memory));
        let stalled = Arc::new(AtomicBool::new(false));
        let work = Arc::new(Work::default());
        let writer = writer::Writer::new(env, owner, memory.clone(), files, stalled.clone(), work.clone(), keepsake)?;
        let writer =
            WorkerHandle::spawn(env, "wal", writer).map_err(|error| WalError::Io("starting the wal", error))?;
        Ok(Self { memory, writer, stalled, work, rot: env.rot.clone() })
    }

    pub fn vote(&self) -> Option<Vote> {
        self.memory.lock().vote
    }

    pub fn committed(&self) -> Option<LogId> {
        self.memory.lock().committed
    }

    /// Remembered with the next append: it only saves work after a restart.
    pub fn set_committed(&self, committed: Option<LogId>) {
        self.memory.lock().committed = committed;
    }

    /// The last purged and the last entry.
    pub fn state(&self) -> (Option<LogId>, Option<LogId>) {
        let memory = self.memory.lock();
        (memory.purged, memory.last_log_id())
    }

    /// How long syncs took.
    pub fn syncs(&self) -> &Times {
        &self.work.syncs
    }

    /// Bytes written since the start.
    pub fn written(&self) -> u64 {
        self.work.bytes.get()
    }

    /// Whether entries wait for room on the disk.
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Segments on disk.
    pub fn segments(&self) -> usize {
        self.memory.lock().segments.len()
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.memory.lock().segments.values().sum()
    }

    pub async fn save_vote(&self, vote: Vote) -> io::Result<()> {
        self.memory.lock().vote = Some(vote);
        self.wait(|done| Job::Vote { vote, done }).await
    }

    /// Queues entries; they can be read at once, `done` is told when they are on disk.
    pub async fn append(&self, entries: impl Iterator<Item = Entry>, done: IOFlushed<TypeConfig>) -> io::Result<()> {
        let mut records = Vec::new();
        let committed;
        {
            let mut memory = self.memory.lock();
            for entry in entries {
                let encoded = codec::entry(&entry).encode_to_vec();
                let id = entry.log_id;
                memory.push(id.leader_id.term, Some(entry), None, encoded.len());
                records.push((id, encoded));
            }
            committed = memory.committed;
        }
        self.writer.send(Job::Append { entries: records, committed, done }).await
    }

    /// Drops everything after `last` (everything, if none).
    pub async fn truncate_after(&self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |id| id.index + 1);
        self.memory.lock().truncate_from(from);
        self.wait(|done| Job::Truncate { from, done }).await
    }

    /// Drops everything up to `upto`, and the segments that held only such entries.
    pub async fn purge(&self, upto: LogId) -> io::Result<()> {
        self.memory.lock().purge(upto);
        self.wait(|done| Job::Purge { upto, done }).await
    }

    async fn wait(&self, job: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Job) -> io::Result<()> {
        let (tx, rx) = oneshot::channel();
        self.writer.send(job(tx)).await?;
        rx.await.map_err(|_| io::Error::other("the wal has stopped"))?
    }

    fn note(&self, error: &WalError) {
        if matches!(error, WalError::Rotten { .. }) {
            self.rot.report(error);
        }
    }

    /// Entries from `range`, from memory or disk; stops early at `bytes_max`, but gives at least one.
    pub fn read(&self, range: RangeInclusive<u64>, bytes_max: usize) -> Result<Vec<Entry>, WalError> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for index in range {
            let (place, entry, len) = {
                let memory = self.memory.lock();
                let Some(slot) = memory.slot(index) else { break };
                (slot.place.clone(), slot.entry.clone(), slot.bytes)
            };
            bytes += len;
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            let entry = match (entry, place) {
                (Some(entry), _) => entry,
                (None, Some(place)) => read_entry(&place).inspect_err(|error| self.note(error))?,
                (None, None) => break,
            };
            found.push(entry);
        }
        Ok(found)
    }
}

fn read_entry(place: &Place) -> Result<Entry, WalError> {
    let mut bytes = vec![0; place.len as usize];
    match read_exact_at(&*place.file, place.offset, &mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(WalError::Rotten { offset: place.offset });
        }
        read => read.map_err(|error| WalError::Io("reading an entry", error))?,
    }
    if crc32c::crc32c(&bytes) != place.crc {
        return Err(WalError::Rotten { offset: place.offset });
    }
    Ok(codec::entry_back(pb::Entry::decode(bytes::Bytes::from(bytes))?)?)
}
