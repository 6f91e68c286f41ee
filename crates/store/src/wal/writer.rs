//! The log's writer: everything that waits becomes one write and one sync.
//!
//! On a full disk it waits for room: nothing of what waits was acknowledged, and nothing is lost. A failed sync is another
//! matter: what is on disk is unknown then, and the member ends.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::storage::IOFlushed;
use parking_lot::Mutex;
use prost::Message;
use proto::keelson::raft::v1 as pb;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::open::{Segment, name};
use super::record::{self, HEADER_LEN, Kind};
use super::{DIR, Job, Memory, Owner, Place, WalError, Work};
use crate::env::planted::{self, Bug};
use crate::env::{Disk, Env, File, Worker, is_full};
use crate::keepsake::Keepsake;
use crate::raft::codec;
use crate::raft::types::{LogId, TypeConfig};

/// Rest before a write is tried again on a full disk.
const FULL_PAUSE: Duration = Duration::from_millis(250);

/// Owns the segments. After a failed write or sync it answers every job with that error: what is on disk is unknown.
pub struct Writer {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    owner: Owner,
    memory: Arc<Mutex<Memory>>,
    /// Oldest first; the last one is written to.
    segments: VecDeque<Segment>,
    buffer: Vec<u8>,
    /// Entries in the buffer: index, where their payload will lie.
    placed: Vec<Placed>,
    committed: u64,
    failed: Option<(io::ErrorKind, String)>,
    /// The vote's second copy; and whether there is a new one.
    keepsake: Arc<Keepsake>,
    voted: bool,
    /// Set while it waits for room.
    stalled: Arc<AtomicBool>,
    /// Whether it may wait: not in a simulation, where it would hold up the only thread.
    patient: bool,
    work: Arc<Work>,
}

/// An entry in the buffer, and where its payload will lie.
struct Placed {
    index: u64,
    term: u64,
    offset: u64,
    len: u32,
    crc: u32,
}

enum Done {
    Flushed(IOFlushed<TypeConfig>),
    Told(oneshot::Sender<io::Result<()>>),
}

impl Done {
    fn tell(self, result: io::Result<()>) {
        match self {
            Self::Flushed(callback) => callback.io_completed(result),
            // The asker may have gone; there is nobody else to tell.
            Self::Told(tx) => drop(tx.send(result)),
        }
    }
}

impl Writer {
    pub fn new(
        env: &Env,
        owner: Owner,
        memory: Arc<Mutex<Memory>>,
        segments: Vec<Segment>,
        stalled: Arc<AtomicBool>,
        work: Arc<Work>,
        keepsake: Arc<Keepsake>,
    ) -> Result<Self, WalError> {
        let mut writer = Self {
            disk: env.disk.clone(),
            segment_bytes: env.sizes.wal_segment,
            owner,
            memory,
            segments: segments.into(),
            buffer: Vec::new(),
            placed: Vec::new(),
            committed: 0,
            failed: None,
            keepsake,
            voted: false,
            stalled,
            patient: env.threads,
            work,
        };
        // After an unclean stop the tail may have been written but not synced: what was read back must stay.
        match writer.segments.back() {
            Some(segment) => segment.file.sync().map_err(|error| WalError::Io("syncing the wal", error))?,
            None => writer.rotate().map_err(|error| WalError::Io("creating the wal", error))?,
        }
        Ok(writer)
    }

    fn active(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("there is always a segment to write to")
    }

    fn record(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let len = (HEADER_LEN + payload.len()) as u64;
        let end = self.active().end + self.buffer.len() as u64 + len;
        if end > self.segment_bytes && self.active().end > self.active().begin {
            self.flush()?;
            self.insist(Self::rotate)?;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let segment = self.active();
        segment.chain = record::write(&mut buffer, segment.chain, kind, payload);
        self.buffer = buffer;
        Ok(())
    }

    /// Does what can be done again from its beginning, until there is room for it.
    #[expect(clippy::disallowed_methods, reason = "the writer has a thread of its own")]
    fn insist(&mut self, mut work: impl FnMut(&mut Self) -> io::Result<()>) -> io::Result<()> {
        loop {
            let result = work(self);
            let full = result.as_ref().is_err_and(is_full);
            if full != self.stalled.swap(full, Ordering::Relaxed) {
                match full {
                    true => tracing::error!("the disk of --data-dir is full: writes wait until there is room on it"),
                    false => tracing::info!("there is room on the disk of --data-dir again: writes go on"),
                }
            }
            if !full || !self.patient {
                return result;
            }
            std::thread::sleep(FULL_PAUSE);
        }
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let (file, end) = (self.active().file.clone(), self.active().end);
        self.insist(|_| file.write_at(end, &buffer))?;
        self.active().end += buffer.len() as u64;
        self.work.bytes.add(buffer.len() as u64);
        self.buffer = buffer;
        self.buffer.clear();
        if self.buffer.capacity() > 4 << 20 {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Writes what is buffered, makes it durable and lets readers find it.
    fn flush(&mut self) -> io::Result<()> {
        self.write_buffer()?;
        let (number, file, end) = {
            let segment = self.active();
            (segment.number, segment.file.clone(), segment.end)
        };
        let start = Instant::now();
        file.sync()?;
        self.work.syncs.observe(start.elapsed());
        let mut memory = self.memory.lock();
        memory.segments.insert(number, end);
        for Placed { index, term, offset, len, crc } in self.placed.drain(..) {
            // A slot may be gone, or be another entry's, when it was truncated meanwhile: its own record follows.
            if let Some(slot) = memory.slot_mut(index).filter(|slot| slot.term == term) {
                slot.place = Some(Place { file: file.clone(), offset, len, crc });
            }
        }
        memory.evict();
        Ok(())
    }

    /// Reserves a segment's room where there is plenty: a nearly full disk has better use for it.
    fn allocate(&self, file: &dyn File) -> io::Result<()> {
        if self.disk.space()?.free / 4 < self.segment_bytes {
            return Ok(());
        }
        match file.allocate(self.segment_bytes) {
            Err(error) if is_full(&error) || error.kind() == io::ErrorKind::Unsupported => Ok(()),
            result => result,
        }
    }

    /// Begins a new segment; everything before is synced by then.
    fn rotate(&mut self) -> io::Result<()> {
        let number = self.segments.back().map_or(1, |segment| segment.number + 1);
        let file = self.disk.open(&name(number), true)?;
        file.set_size(0)?;
        self.allocate(&*file)?;
        let (vote, purged, next_index) = {
            let memory = self.memory.lock();
            (memory.vote, memory.purged, memory.first_index())
        };
        let head = pb::WalHead {
            cluster_id: self.owner.cluster_id,
            member_id: self.owner.member_id,
            vote: vote.as_ref().map(codec::vote),
            purged: purged.as_ref().map(codec::log_id),
        };
        let mut buffer = Vec::new();
        let chain = record::write(&mut buffer, record::chain_start(number), Kind::Head, &head.encode_to_vec());
        file.write_at(0, &buffer)?;
        file.sync()?;
        self.disk.sync_dir(DIR)?;
        let end = buffer.len() as u64;
        self.memory.lock().segments.insert(number, end);
        self.segments.push_back(Segment::begun(number, file, end, chain, next_index));
        Ok(())
    }

    fn take(&mut self, job: Job) -> (Done, io::Result<()>) {
        match job {
            Job::Append { entries, committed, done } => (Done::Flushed(done), self.append(entries, committed)),
            Job::Vote { vote, done } => {
                let payload = codec::vote(&vote).encode_to_vec();
                let planted = planted::is(Bug::VoteNotPersisted);
                self.voted |= !planted;
                (Done::Told(done), if planted { Ok(()) } else { self.record(Kind::Vote, &payload) })
            }
            Job::Truncate { from, done } => {
                self.placed.retain(|placed| placed.index < from);
                let planted = planted::is(Bug::TruncationNotPersisted);
                let result = if planted { Ok(()) } else { self.record(Kind::Truncate, &from.to_le_bytes()) };
                self.active().next_index = from;
                (Done::Told(done), result)
            }
            Job::Purge { upto, done } => {
                let payload = codec::log_id(&upto).encode_to_vec();
                let result = self.record(Kind::Purge, &payload).and_then(|()| self.drop_segments(upto.index));
                (Done::Told(done), result)
            }
        }
    }

    fn append(&mut self, entries: Vec<(LogId, Vec<u8>)>, committed: Option<LogId>) -> io::Result<()> {
        for (id, payload) in entries {
            self.record(Kind::Entry, &payload)?;
            let end = self.active().end + self.buffer.len() as u64;
            self.active().next_index = id.index + 1;
            let (len, crc) = (payload.len() as u32, crc32c::crc32c(&payload));
            let offset = end - u64::from(len);
            self.placed.push(Placed { index: id.index, term: id.leader_id.term, offset, len, crc });
        }
        if let Some(id) = committed.filter(|id| id.index > self.committed) {
            self.committed = id.index;
            self.record(Kind::Committed, &codec::log_id(&id).encode_to_vec())?;
        }
        Ok(())
    }

    /// Writes the vote's second copy, once the log has the first.
    fn keep_vote(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.voted) {
            return Ok(());
        }
        let vote = self.memory.lock().vote;
        match self.keepsake.save_vote(vote) {
            // The log holds the vote, in room that it reserved; reads must go on.
            Err(error) if is_full(&error) && self.patient => self.keepsake.forget(vote),
            result => result,
        }
    }

    /// Removes the oldest segments that hold nothing after `upto`; their purge is durable first.
    fn drop_segments(&mut self, upto: u64) -> io::Result<()> {
        let idle = |segment: &Segment| segment.next_index <= upto + 1;
        if self.segments.len() < 2 || !self.segments.front().is_some_and(idle) {
            return Ok(());
        }
        self.flush()?;
        while self.segments.len() > 1 && self.segments.front().is_some_and(idle) {
            let Some(segment) = self.segments.pop_front() else { break };
            self.disk.remove(&name(segment.number))?;
            self.memory.lock().segments.remove(&segment.number);
        }
        self.disk.sync_dir(DIR)
    }
}

impl Worker for Writer {
    type Job = Job;

    fn run(&mut self, jobs: Vec<Job>) {
        let mut done = Vec::with_capacity(jobs.len());
        for job in jobs {
            let (tell, result) = if self.failed.is_some() { (refuse(job), Ok(())) } else { self.take(job) };
            if let Err(error) = result {
                self.failed = Some((error.kind(), error.to_string()));
            }
            done.push(tell);
        }
        if self.failed.is_none()
            && let Err(error) = self.flush().and_then(|()| self.keep_vote())
        {
            tracing::error!(%error, "the log cannot be written; the member stops");
            self.failed = Some((error.kind(), error.to_string()));
        }
        for done in done {
            done.tell(match &self.failed {
                None => Ok(()),
                Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            });
        }
    }
}

fn refuse(job: Job) -> Done {
    match job {
        Job::Append { done, .. } => Done::Flushed(done),
        Job::Vote { done, .. } | Job::Truncate { done, .. } | Job::Purge { done, .. } => Done::Told(done),
    }
}
