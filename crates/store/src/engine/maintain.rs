//! The engine's chores, on a worker of their own: sync, trim what is compacted, checkpoint, give space back.
//!
//! None of them stops writers or readers for longer than a few thousand keys take. A snapshot may replace the engine at
//! any time between two locks: every chore remembers the engine that it began on, and ends when that is not in use any
//! more. A failed sync is never tried again: what the kernel has dropped it would not report twice, so the member ends.

use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::checkpoint::{self, Draft};
use super::{Engine, EngineError, Writer};
use crate::env::Worker;
use crate::mvcc::{Loc, Version};
use crate::shared::{Held, Shared};

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
    /// The compaction point has moved; told whether the space is free now (a snapshot that is being read keeps it),
    /// where somebody waits.
    Trim(Option<oneshot::Sender<io::Result<bool>>>),
}

pub struct Maintainer {
    shared: Arc<Shared>,
    /// Versions behind the compaction point may still be there.
    untrimmed: bool,
    /// The last look failed; said once.
    failed: bool,
}

fn is_current(held: &Held, engine: &Arc<Engine>) -> bool {
    Arc::ptr_eq(&held.engine, engine)
}

impl Maintainer {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, untrimmed: true, failed: false }
    }

    fn sync(&self) -> io::Result<()> {
        let unsynced = {
            let mut writer = self.shared.writer.lock();
            self.shared.check()?;
            written(&mut writer)?;
            writer.take_unsynced()
        };
        unsynced.sync().inspect_err(|error| self.shared.break_down(error))
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

    fn due(&mut self) -> io::Result<()> {
        self.shared.check()?;
        if self.untrimmed {
            self.trim();
        }
        let engine = {
            let mut writer = self.shared.writer.lock();
            written(&mut writer)?;
            writer.engine().clone()
        };
        if self.is_checkpoint_due(&engine) {
            self.checkpoint(&engine).inspect_err(|_| Draft::discard(&engine))?;
        }
        while let Some(segment) = self.sparse_segment(&engine) {
            if !self.copy_out(&engine, segment)? || !self.give_back(&engine, segment)? {
                break;
            }
        }
        Ok(())
    }

    fn is_checkpoint_due(&self, engine: &Arc<Engine>) -> bool {
        let now = self.shared.writer.lock().position();
        let (at, checkpoint_bytes) = engine.checkpoint();
        let after: u64 = engine.sizes.read().range(at.segment..now.segment).map(|(_, size)| *size).sum();
        let tail = (after + now.offset).saturating_sub(at.offset);
        tail > engine.limits.checkpoint_tail.max(checkpoint_bytes)
    }

    fn checkpoint(&self, engine: &Arc<Engine>) -> io::Result<()> {
        let (head, position) = {
            let writer = self.shared.writer.lock();
            let held = self.shared.held.read();
            if !is_current(&held, engine) {
                return Ok(());
            }
            let position = writer.position();
            (checkpoint::head(&held.state, position), position)
        };
        let mut draft = Draft::begin(engine.clone(), &head)?;
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let mut last = None;
            let chunk: Vec<(Box<[u8]>, crate::mvcc::history::History)> = {
                let held = self.shared.held.read();
                if !is_current(&held, engine) {
                    return Ok(());
                }
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
        // A walk that met half of an entry must not be published; nor is there a need for one of an engine that is gone.
        self.shared.check()?;
        if !is_current(&self.shared.held.read(), engine) {
            return Ok(());
        }
        let bytes = draft.publish()?;
        engine.set_checkpoint(position, bytes);
        tracing::debug!(bytes, "wrote a checkpoint");
        Ok(())
    }

    /// The sparsest segment that the checkpoint has left behind, if it is sparse enough.
    fn sparse_segment(&self, engine: &Arc<Engine>) -> Option<u32> {
        let held = self.shared.held.read();
        // A backup that is being read knows where each value lies.
        if !is_current(&held, engine) || self.shared.is_pinned() {
            return None;
        }
        let (at, _) = engine.checkpoint();
        let sizes = engine.sizes.read();
        let live = |segment: u32| held.state.index.live_bytes_of(segment);
        sizes
            .iter()
            .filter(|(segment, _)| **segment < at.segment)
            .filter(|(segment, size)| live(**segment) * 100 < **size * LIVE_PERCENT_MIN)
            .min_by_key(|(segment, size)| live(**segment) * 1000 / **size)
            .map(|(segment, _)| *segment)
    }

    /// Copies what is alive in a segment to the end of the engine; false when a backup, or another engine, stands against it.
    fn copy_out(&self, engine: &Arc<Engine>, segment: u32) -> io::Result<bool> {
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let mut last = None;
            let mut alive: Vec<(Box<[u8]>, Version)> = Vec::new();
            {
                let held = self.shared.held.read();
                if !is_current(&held, engine) {
                    return Ok(false);
                }
                for (key, history) in held.state.index.histories_after(after.as_deref(), WALK_KEYS) {
                    last = Some(key.into());
                    let here = history.versions().iter().filter(|version| version.loc.segment == segment);
                    alive.extend(here.map(|version| (key.into(), *version)));
                }
            }
            for records in alive.chunks(MOVE_RECORDS) {
                if !self.move_records(engine, records)? {
                    return Ok(false);
                }
            }
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        // The copies must be durable before the originals go.
        self.sync()?;
        Ok(true)
    }

    /// Removes a segment that was copied out; false when a backup is being read, or another engine is in use by now.
    fn give_back(&self, engine: &Arc<Engine>, segment: u32) -> io::Result<bool> {
        let mut held = self.shared.held.write();
        self.shared.check()?;
        if !is_current(&held, engine) || self.shared.is_pinned() {
            return Ok(false);
        }
        engine.remove(segment)?;
        held.state.index.forget_segment(segment);
        tracing::debug!(segment, "gave a segment's space back");
        Ok(true)
    }

    fn move_records(&self, engine: &Arc<Engine>, records: &[(Box<[u8]>, Version)]) -> io::Result<bool> {
        let view = engine.view();
        let mut values = Vec::with_capacity(records.len());
        for (_, version) in records {
            values.push(view.read(version.loc)?);
        }
        let mut writer = self.shared.writer.lock();
        let mut held = self.shared.held.write();
        self.shared.check()?;
        if !is_current(&held, engine) || self.shared.is_pinned() {
            return Ok(false);
        }
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
        Ok(true)
    }

    fn take(&mut self, job: Job) -> io::Result<()> {
        match job {
            Job::Sync(done) => {
                let result = self.sync();
                let copy = copy(&result);
                // The asker may have stopped waiting.
                drop(done.send(result));
                copy
            }
            Job::Wake => self.due(),
            Job::Trim(done) => {
                self.untrimmed = true;
                let result = self.due();
                if let Some(done) = done {
                    drop(done.send(copy(&result).map(|()| !self.untrimmed)));
                }
                result
            }
        }
    }
}

/// What is applied must be in the files before anything else is written to a disk that may be full.
fn written(writer: &mut Writer) -> io::Result<()> {
    writer.flush()?;
    if writer.waits() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

fn copy(result: &io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), crate::report(error))),
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
            match self.take(job) {
                Ok(()) => self.failed = false,
                Err(error) => {
                    if !std::mem::replace(&mut self.failed, true) {
                        let error = EngineError::Io("maintaining the engine", error);
                        tracing::error!(
                            error = %crate::report(&error),
                            "the engine's maintenance failed; space is not given back until it works"
                        );
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
