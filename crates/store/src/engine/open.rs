//! Reading the engine back: the checkpoint, then the frames after it; what was torn is cut off.

use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use super::{Engine, EngineError, Position, View, Writer, checkpoint, frame};
use crate::env::{Disk, Env, File};
use crate::state::State;

/// Names the generation in use.
const CURRENT: &str = "CURRENT";

/// Where replay begins without a checkpoint: the first segment's header.
const BEGINNING: Position = Position { segment: 1, offset: 0 };

/// What was read back.
pub struct Opened {
    pub state: State,
    pub writer: Writer,
    /// Where the checkpoint stands, and its size.
    pub checkpoint: (Position, u64),
    pub generation: u64,
}

pub fn dir(generation: u64) -> String {
    format!("engine-{generation}")
}

/// Opens the generation in use; begins the first one in an empty folder.
pub fn open(env: &Env) -> Result<Opened, EngineError> {
    let io = |error| EngineError::Io("opening the engine", error);
    let generation = current(&*env.disk).map_err(io)?;
    sweep(&*env.disk, generation).map_err(io)?;
    let engine = engine(env, generation).map_err(io)?;
    let (mut state, from, size) = read_checkpoint(&engine).map_err(io)?;
    let mut writer = replay(&engine, &mut state, from).map_err(io)?;
    state.attach_leases();
    writer.take_unsynced().sync().map_err(io)?;
    Ok(Opened { state, writer, checkpoint: (from, size), generation })
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
            text.trim().parse().map_err(|_| io::Error::other("the file CURRENT holds no number"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            set_current(disk, 1)?;
            Ok(1)
        }
        Err(error) => Err(error),
    }
}

/// Removes generations that are not in use.
pub fn sweep(disk: &dyn Disk, generation: u64) -> io::Result<()> {
    for name in disk.list("")? {
        let other = name.strip_prefix("engine-").and_then(|number| number.parse::<u64>().ok());
        if other.is_some_and(|other| other != generation) {
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
    Ok(Arc::new(Engine { disk, dir, limits, view: RwLock::new(View::default()), sizes: RwLock::default() }))
}

fn read_checkpoint(engine: &Engine) -> io::Result<(State, Position, u64)> {
    let path = format!("{}/{}", engine.dir, checkpoint::NAME);
    match engine.disk.open(&path, false) {
        Ok(file) => {
            let bytes = read_whole(&*file)?;
            let (state, position) =
                checkpoint::read(&bytes).ok_or_else(|| io::Error::other("the engine's checkpoint is damaged"))?;
            Ok((state, position, bytes.len() as u64))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((State::default(), BEGINNING, 0)),
        Err(error) => Err(error),
    }
}

fn replay(engine: &Arc<Engine>, state: &mut State, from: Position) -> io::Result<Writer> {
    let mut numbers: Vec<u32> = Vec::new();
    for name in engine.disk.list(&engine.dir)? {
        if let Some(number) = name.strip_suffix(".seg").and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    let mut writer = None;
    let mut numbers = numbers.into_iter();
    for number in numbers.by_ref() {
        let file = engine.disk.open(&engine.path(number), false)?;
        let size = file.size()?;
        engine.add(number, file.clone(), size);
        if number < from.segment {
            continue;
        }
        let start = if number == from.segment { from.offset } else { 0 };
        let end = replay_segment(state, &*file, number, start)?;
        if end < size {
            tracing::warn!(segment = number, offset = end, "cut the torn tail of the engine");
            file.set_size(end)?;
            engine.add(number, file.clone(), end);
        }
        let header = frame::SEGMENT_HEADER_LEN;
        if end < header {
            file.write_at(0, &frame::segment_header(number))?;
        }
        writer = Some(Writer::new(engine.clone(), number, file, end.max(header)));
        if end < size || end < header {
            break;
        }
    }
    // What comes after a torn frame was never synced; the log has it.
    for number in numbers {
        engine.disk.remove(&engine.path(number))?;
    }
    match writer {
        Some(writer) => Ok(writer),
        None => Writer::create(engine.clone(), from.segment),
    }
}

/// Takes every whole frame from `start` on; gives where they end.
fn replay_segment(state: &mut State, file: &dyn File, number: u32, start: u64) -> io::Result<u64> {
    let bytes = read_whole(file)?;
    let mut at = start as usize;
    if start == 0 {
        if bytes.get(..frame::SEGMENT_HEADER_LEN as usize) != Some(&frame::segment_header(number)) {
            return Ok(0);
        }
        at = frame::SEGMENT_HEADER_LEN as usize;
    }
    while let Some(payload) = bytes.get(at..).and_then(|rest| frame::payload(rest, frame::seed(number, at as u64))) {
        let base = at + frame::FRAME_HEADER_LEN;
        let Some((applied, mut reader)) = frame::Reader::new(payload, number, base as u64) else { break };
        while !reader.is_empty() {
            let damaged =
                || io::Error::other(format!("segment {number} holds a frame at byte {at} that makes no sense"));
            let (effect, _) = reader.next().ok_or_else(damaged)?;
            state.restore(effect);
        }
        state.applied = state.applied.max(applied);
        at = base + payload.len();
    }
    Ok(at as u64)
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
