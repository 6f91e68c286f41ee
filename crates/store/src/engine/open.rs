//! Reading the engine back: the checkpoint, then the frames after it; what was torn is cut off.
//!
//! [`read`] changes nothing. [`Found::check`] refuses when what cannot be read is not in the log either, so that damage
//! ends in an error that names the file, with everything still there. [`Found::finish`] cuts and begins to write.

use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{Engine, EngineError, Position, View, Writer, checkpoint, frame};
use crate::env::{Disk, Env, File, write_again};
use crate::raft::types::LogId;
use crate::state::State;

/// Names the generation in use.
const CURRENT: &str = "CURRENT";
/// Beginning of the names of snapshots that were being received.
pub const RECEIVED: &str = "snapshot.received";

/// Where replay begins without a checkpoint: the first segment's header.
const BEGINNING: Position = Position { segment: 1, offset: 0 };
/// Keys looked at in one go.
const WALK_KEYS: usize = 4096;

/// What was read back, and a writer that goes on from there.
pub struct Opened {
    pub state: State,
    pub writer: Writer,
    pub generation: u64,
}

/// What was read back; nothing on disk has changed yet.
pub struct Found {
    pub state: State,
    engine: Arc<Engine>,
    generation: u64,
    /// Where the checkpoint stands.
    from: Position,
    tail: Tail,
}

/// Where the whole frames end.
struct Tail {
    /// The segment to go on in; none in a folder without segments.
    last: Option<Last>,
    /// Segments after it.
    later: Vec<u32>,
}

struct Last {
    number: u32,
    file: Arc<dyn File>,
    /// First byte that is not part of a whole frame.
    end: u64,
    size: u64,
}

impl Last {
    fn is_torn(&self) -> bool {
        self.end < self.size || self.end < frame::SEGMENT_HEADER_LEN
    }
}

pub fn dir(generation: u64) -> String {
    format!("engine-{generation}")
}

/// Reads the generation in use; begins the first one in an empty folder.
pub fn read(env: &Env) -> Result<Found, EngineError> {
    let io = |error| EngineError::Io("opening the engine", error);
    let generation = current(&*env.disk).map_err(io)?;
    let engine = engine(env, generation).map_err(io)?;
    let (mut state, from, size) = read_checkpoint(&engine)?;
    engine.set_checkpoint(from, size);
    let tail = replay(&engine, &mut state, from)?;
    // What was compacted may lie in segments that were given back.
    let mut after: Option<Box<[u8]>> = None;
    loop {
        after = state.index.trim(after.as_deref(), WALK_KEYS);
        if after.is_none() {
            break;
        }
    }
    Ok(Found { state, engine, generation, from, tail })
}

impl Found {
    /// Refuses when the log, whose entries up to `purged` are gone, does not hold what the engine has lost.
    pub fn check(&self, purged: Option<u64>) -> Result<(), EngineError> {
        self.check_values()?;
        let whole = self.state.applied.map(|applied| applied.index);
        let Some(log) = purged.filter(|purged| whole.is_none_or(|whole| whole < *purged)) else { return Ok(()) };
        match &self.tail.last {
            Some(last) if last.is_torn() || !self.tail.later.is_empty() => {
                let path = self.engine.path(last.number);
                Err(EngineError::Cut { path, offset: last.end, engine: whole, log })
            }
            _ => Err(EngineError::Behind { engine: whole, log }),
        }
    }

    /// Every value that the index knows must lie in a whole part of a file that is there.
    fn check_values(&self) -> Result<(), EngineError> {
        let mut sizes = self.engine.sizes.read().clone();
        for number in &self.tail.later {
            sizes.remove(number);
        }
        if let Some(last) = &self.tail.last {
            sizes.insert(last.number, last.end);
        }
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let mut last = None;
            for (key, history) in self.state.index.histories_after(after.as_deref(), WALK_KEYS) {
                last = Some(key.into());
                for version in history.versions().iter().filter(|version| version.loc.len > 0) {
                    let loc = version.loc;
                    let end = u64::from(loc.offset) + frame::VALUE_HEADER_LEN as u64 + u64::from(loc.len);
                    if sizes.get(&loc.segment).is_none_or(|size| *size < end) {
                        let path = self.engine.path(loc.segment);
                        return Err(EngineError::Lost { path, offset: loc.offset.into() });
                    }
                }
            }
            match last {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// Cuts what is torn and goes on behind it. Only after [`Found::check`].
    pub fn finish(mut self, env: &Env) -> Result<Opened, EngineError> {
        let io = |error| EngineError::Io("opening the engine", error);
        sweep(&*env.disk, self.generation).map_err(io)?;
        sweep_received(&*env.disk).map_err(io)?;
        let mut writer = self.cut().map_err(io)?;
        self.state.attach_leases();
        self.write_tail_again().map_err(io)?;
        writer.take_unsynced().sync().map_err(io)?;
        Ok(Opened { state: self.state, writer, generation: self.generation })
    }

    /// What lies behind the checkpoint may never have been synced.
    fn write_tail_again(&self) -> io::Result<()> {
        let (files, sizes) = (self.engine.view.read().files.clone(), self.engine.sizes.read().clone());
        for (number, file) in files.range(self.from.segment..) {
            let from = if *number == self.from.segment { self.from.offset } else { 0 };
            write_again(&**file, from, sizes.get(number).copied().unwrap_or_default())?;
            file.sync()?;
        }
        self.engine.disk.sync_dir(&self.engine.dir)
    }

    fn cut(&mut self) -> io::Result<Writer> {
        let engine = &self.engine;
        for number in &self.tail.later {
            tracing::warn!(file = engine.path(*number), "removed: it follows a torn write, and the log holds it");
            engine.remove(*number)?;
        }
        let Some(Last { number, file, end, size }) = self.tail.last.take() else {
            return Writer::create(engine.clone(), self.from.segment);
        };
        if end < size {
            tracing::warn!(file = engine.path(number), offset = end, "cut the torn tail; the log holds it");
            file.set_size(end)?;
            engine.add(number, file.clone(), end);
        }
        let header = frame::SEGMENT_HEADER_LEN;
        if end < header {
            file.write_at(0, &frame::segment_header(number))?;
            engine.add(number, file.clone(), header);
        }
        Ok(Writer::new(engine.clone(), number, file, end.max(header)))
    }
}

/// An empty generation, to be filled from a snapshot.
pub fn create(env: &Env, generation: u64) -> io::Result<Writer> {
    // Leftovers of an attempt that did not finish.
    if let Err(error) = env.disk.remove(&dir(generation))
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    Writer::create(engine(env, generation)?, 1)
}

/// Makes `generation` the one in use, durably.
pub fn set_current(disk: &dyn Disk, generation: u64) -> io::Result<()> {
    let file = disk.open("CURRENT.tmp", true)?;
    file.set_size(0)?;
    file.write_at(0, generation.to_string().as_bytes())?;
    file.sync()?;
    disk.rename("CURRENT.tmp", CURRENT)?;
    disk.sync_dir("")
}

fn current(disk: &dyn Disk) -> io::Result<u64> {
    match disk.open(CURRENT, false) {
        Ok(file) => {
            let bytes = read_whole(&*file)?;
            let text = String::from_utf8_lossy(&bytes);
            text.trim().parse().map_err(|_| damage("the file CURRENT is damaged: it holds no number"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if disk.list("")?.iter().any(|name| generation_of(name).is_some()) {
                return Err(damage("the file CURRENT is missing, but there is an engine's folder"));
            }
            set_current(disk, 1)?;
            Ok(1)
        }
        Err(error) => Err(error),
    }
}

fn damage(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn generation_of(name: &str) -> Option<u64> {
    name.strip_prefix("engine-")?.parse().ok()
}

/// Removes generations that are not in use.
pub fn sweep(disk: &dyn Disk, generation: u64) -> io::Result<()> {
    for name in disk.list("")? {
        if generation_of(&name).is_some_and(|other| other != generation) {
            disk.remove(&name)?;
        }
    }
    Ok(())
}

/// Removes snapshots whose transfer or installation did not finish.
fn sweep_received(disk: &dyn Disk) -> io::Result<()> {
    for name in disk.list("")? {
        if name.starts_with(RECEIVED) {
            disk.remove(&name)?;
        }
    }
    Ok(())
}

fn engine(env: &Env, generation: u64) -> io::Result<Arc<Engine>> {
    let (disk, limits) = (env.disk.clone(), env.sizes);
    let dir = dir(generation);
    disk.create_dir(&dir)?;
    disk.sync_dir("")?;
    let view = View { rot: env.rot.clone(), ..View::default() };
    let (view, sizes) = (RwLock::new(view), RwLock::default());
    Ok(Arc::new(Engine { disk, dir, limits, view, sizes, checkpoint: Mutex::new((BEGINNING, 0)) }))
}

fn read_checkpoint(engine: &Engine) -> Result<(State, Position, u64), EngineError> {
    let io = |error| EngineError::Io("reading the engine's checkpoint", error);
    let path = format!("{}/{}", engine.dir, checkpoint::NAME);
    match engine.disk.open(&path, false) {
        Ok(file) => {
            let bytes = read_whole(&*file).map_err(io)?;
            let (state, position) = checkpoint::read(&bytes).ok_or(EngineError::Checkpoint { path })?;
            Ok((state, position, bytes.len() as u64))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((State::default(), BEGINNING, 0)),
        Err(error) => Err(io(error)),
    }
}

fn replay(engine: &Arc<Engine>, state: &mut State, from: Position) -> Result<Tail, EngineError> {
    let io = |error| EngineError::Io("reading the engine", error);
    let mut numbers: Vec<u32> = Vec::new();
    for name in engine.disk.list(&engine.dir).map_err(io)? {
        if let Some(number) = name.strip_suffix(".seg").and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    let mut tail = Tail { last: None, later: Vec::new() };
    for number in numbers {
        let file = engine.disk.open(&engine.path(number), false).map_err(io)?;
        let size = file.size().map_err(io)?;
        engine.add(number, file.clone(), size);
        if number < from.segment {
            continue;
        }
        let next = tail.last.as_ref().map_or(from.segment, |last| last.number + 1);
        if number != next || tail.last.as_ref().is_some_and(Last::is_torn) {
            tail.later.push(number);
            continue;
        }
        let start = if number == from.segment { from.offset } else { 0 };
        if start > size {
            return Err(EngineError::Lost { path: engine.path(number), offset: size });
        }
        let end = replay_segment(engine, state, &*file, number, start)?;
        tail.last = Some(Last { number, file, end, size });
    }
    if tail.last.is_none() && from != BEGINNING {
        return Err(EngineError::Lost { path: engine.path(from.segment), offset: 0 });
    }
    Ok(tail)
}

/// Takes every whole frame from `start` on; gives where they end.
fn replay_segment(
    engine: &Engine,
    state: &mut State,
    file: &dyn File,
    number: u32,
    start: u64,
) -> Result<u64, EngineError> {
    let bytes = read_whole(file).map_err(|error| EngineError::Io("reading an engine segment", error))?;
    let mut at = start as usize;
    if start == 0 {
        if bytes.get(..frame::SEGMENT_HEADER_LEN as usize) != Some(&frame::segment_header(number)) {
            return Ok(0);
        }
        at = frame::SEGMENT_HEADER_LEN as usize;
    }
    while let Some(payload) = bytes.get(at..).and_then(|rest| frame::payload(rest, frame::seed(number, at as u64))) {
        let base = at + frame::FRAME_HEADER_LEN;
        let senseless = || EngineError::Senseless { path: engine.path(number), offset: at as u64 };
        let (applied, mut reader) = frame::Reader::new(payload, number, base as u64).ok_or_else(senseless)?;
        if !follows(state.applied, applied) {
            break;
        }
        while !reader.is_empty() {
            let (effect, _) = reader.next_effect().ok_or_else(senseless)?;
            state.restore(effect);
        }
        state.applied = state.applied.max(applied);
        at = base + payload.len();
    }
    Ok(at as u64)
}

/// Whether a frame comes next. Segments are synced one by one: of two that were not, the second may be there without the end
/// of the first. What it holds counts as torn; the log has it.
fn follows(applied: Option<LogId>, next: Option<LogId>) -> bool {
    match (applied, next) {
        (Some(applied), Some(next)) => next.index <= applied.index + 1,
        _ => true,
    }
}

pub fn read_whole(file: &dyn File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.size()? as usize];
    let len = file.read_at(0, &mut bytes)?;
    bytes.truncate(len);
    Ok(bytes)
}

/// The number for a generation that follows the one in use.
pub fn next_generation(disk: &dyn Disk) -> io::Result<u64> {
    Ok(current(disk)? + 1)
}
