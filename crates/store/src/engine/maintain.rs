//! The engine's chores, on a worker of their own: sync, trim what is compacted, checkpoint, give space back.
//!
//! None of them stops writers or readers for longer than a few thousand keys take.

use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::checkpoint::{self, Draft};
use super::{EngineError, Position};
use crate::env::Worker;
use crate::mvcc::{Loc, Version};
use crate::shared::Shared;

/// Keys walked under one lock.
const WALK_KEYS: usize = 2048;
/// Records copied under one lock.
const MOVE_RECORDS: usize = 64;
/// A segment of which less than this share is alive is copied out.
const LIVE_PERCENT_MIN: u64 = 50;

pub enum Job {
    /// Makes everything that is applied durable.
    Sync(oneshot::Sender<io::Result<()>>),
    /// Looks whether a checkpoint or a rewrite is due.
    Wake,
    /// The compaction point has moved; told when the space is free, where somebody waits.
    Trim(Option<oneshot::Sender<io::Result<()>>>),
    /// The engine was replaced by a snapshot's.
    Replaced { checkpoint: (Position, u64) },
}

pub struct Maintainer {
    shared: Arc<Shared>,
    checkpoint_at: Position,
    checkpoint_bytes: u64,
    /// Versions behind the compaction point may still be there.
    untrimmed: bool,
    failed: bool,
}

impl Maintainer {
    pub fn new(shared: Arc<Shared>, checkpoint: (Position, u64)) -> Self {
        Self { shared, checkpoint_at: checkpoint.0, checkpoint_bytes: checkpoint.1, untrimmed: true, failed: false }
    }

    fn sync(&self) -> io::Result<()> {
        let unsynced = self.shared.writer.lock().take_unsynced();
        unsynced.sync()
    }

    /// Drops versions behind the compaction point; later, if a snapshot is being read.
    fn trim(&mut self) {
        let mut after: Option<Box<[u8]>> = None;
        self.untrimmed = true;
        loop {
            let mut held = self.shared.held.write();
            if self.shared.is_pinned() {
                return;
            }
            after = held.state.index.trim(after.as_deref(), WALK_KEYS);
            if after.is_none() {
                self.untrimmed = false;
                return;
            }
        }
    }

    fn tail_bytes(&self) -> u64 {
        let now = self.shared.writer.lock().position();
        let held = self.shared.held.read();
        let sizes = held.engine.sizes.read();
        let after: u64 = sizes.range(self.checkpoint_at.segment..now.segment).map(|(_, size)| *size).sum();
        (after + now.offset).saturating_sub(self.checkpoint_at.offset)
    }

    fn due(&mut self) -> io::Result<()> {
        if self.untrimmed {
            self.trim();
        }
        let tail_min = self.shared.held.read().engine.limits.checkpoint_tail;
        if self.tail_bytes() > tail_min.max(self.checkpoint_bytes) {
            self.checkpoint()?;
        }
        while let Some(segment) = self.sparse_segment() {
            self.rewrite(segment)?;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<()> {
        let (engine, head, position) = {
            let writer = self.shared.writer.lock();
            let held = self.shared.held.read();
            let position = writer.position();
            (writer.engine().clone(), checkpoint::head(&held.state, position), position)
        };
        let mut draft = Draft::begin(engine, &head)?;
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let mut last = None;
            let chunk: Vec<(Box<[u8]>, crate::mvcc::history::History)> = {
                let held = self.shared.held.read();
                let keys = held.state.index.histories_after(after.as_deref(), WALK_KEYS);
                keys.map(|(key, history)| (key.into(), history.clone())).collect()
            };
            for (key, history) in chunk {
                draft.key(&key, &history)?;
                last = Some(key);
            }
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        self.sync()?;
        self.checkpoint_bytes = draft.publish()?;
        self.checkpoint_at = position;
        tracing::debug!(bytes = self.checkpoint_bytes, "wrote a checkpoint");
        Ok(())
    }

    /// The sparsest segment that the checkpoint has left behind, if it is sparse enough.
    fn sparse_segment(&self) -> Option<u32> {
        let held = self.shared.held.read();
        let sizes = held.engine.sizes.read();
        let live = |segment: u32| held.state.index.live_bytes_of(segment);
        sizes
            .iter()
            .filter(|(segment, _)| **segment < self.checkpoint_at.segment)
            .filter(|(segment, size)| live(**segment) * 100 < **size * LIVE_PERCENT_MIN)
            .min_by_key(|(segment, size)| live(**segment) * 1000 / **size)
            .map(|(segment, _)| *segment)
    }

    /// Copies what is alive in a segment to the end of the log, then removes it.
    fn rewrite(&self, segment: u32) -> io::Result<()> {
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let mut last = None;
            let mut alive: Vec<(Box<[u8]>, Version)> = Vec::new();
            {
                let held = self.shared.held.read();
                for (key, history) in held.state.index.histories_after(after.as_deref(), WALK_KEYS) {
                    last = Some(key.into());
                    let here = history.versions().iter().filter(|version| version.loc.segment == segment);
                    alive.extend(here.map(|version| (key.into(), *version)));
                }
            }
            for records in alive.chunks(MOVE_RECORDS) {
                self.move_records(records)?;
            }
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        // The copies must be durable before the originals go.
        self.sync()?;
        let mut held = self.shared.held.write();
        held.engine.remove(segment)?;
        held.state.index.forget_segment(segment);
        tracing::debug!(segment, "gave a segment's space back");
        Ok(())
    }

    fn move_records(&self, records: &[(Box<[u8]>, Version)]) -> io::Result<()> {
        let view = self.shared.held.read().engine.view();
        let mut values = Vec::with_capacity(records.len());
        for (_, version) in records {
            values.push(view.read(version.loc)?);
        }
        let mut writer = self.shared.writer.lock();
        let mut held = self.shared.held.write();
        writer.begin(held.state.applied)?;
        let mut moved: Vec<(&[u8], Version, Loc)> = Vec::new();
        for ((key, version), value) in records.iter().zip(&values) {
            let still = held.state.index.history(key).is_some_and(|history| history.versions().contains(version));
            if still {
                let loc = writer.moved(key, version, value);
                moved.push((key, *version, loc));
            }
        }
        writer.finish();
        writer.flush()?;
        for (key, version, loc) in moved {
            held.state.index.relocate(key, version.main, version.sub, loc);
        }
        Ok(())
    }

    fn take(&mut self, job: Job) -> io::Result<()> {
        match job {
            Job::Sync(done) => {
                let result = self.sync();
                let copy =
                    result.as_ref().map(|()| ()).map_err(|error| io::Error::new(error.kind(), error.to_string()));
                // The asker may have stopped waiting.
                drop(done.send(result));
                copy
            }
            Job::Wake => self.due(),
            Job::Trim(done) => {
                self.untrimmed = true;
                let result = self.due();
                if let Some(done) = done {
                    drop(done.send(Ok(())));
                }
                result
            }
            Job::Replaced { checkpoint } => {
                (self.checkpoint_at, self.checkpoint_bytes) = checkpoint;
                Ok(())
            }
        }
    }
}

impl Worker for Maintainer {
    type Job = Job;

    fn run(&mut self, jobs: Vec<Job>) {
        let mut woken = false;
        for job in jobs {
            // One look is enough for any number of wake-ups.
            if matches!(job, Job::Wake) && std::mem::replace(&mut woken, true) {
                continue;
            }
            if let Err(error) = self.take(job)
                && !std::mem::replace(&mut self.failed, true)
            {
                let error = EngineError::Io("maintaining the engine", error);
                tracing::error!(error = %crate::report(&error), "the engine's maintenance failed; space is not given back until it works");
            } else {
                self.failed = false;
            }
        }
    }
}
