//! What a member takes from the world: disk, randomness, workers. Time is tokio's, and no wall clock is read (decision
//! 0007). Everything else is a function of these.
//!
//! Production uses [`Env::os`]; tests and simulations put a [`sim::SimDisk`], tokio's paused clock and a seed in their
//! place, on one thread, so that the same seed gives the same run. The network enters through
//! [`crate::peer::Transport`]; openraft's tasks, timers and randomness through [`runtime::Runtime`].

pub mod os;
pub mod planted;
pub mod process;
mod rot;
pub mod runtime;
pub mod sim;
mod watch;
mod worker;

use std::io;
use std::sync::Arc;

pub use rot::Rot;
pub use worker::{Worker, WorkerHandle};

/// A folder of files. Paths are relative to its root and use `/`.
pub trait Disk: Send + Sync + 'static {
    fn create_dir(&self, path: &str) -> io::Result<()>;
    /// Names in a folder, sorted.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
    /// Opens for reading and writing; creates the file where it is not there and `create` is set.
    fn open(&self, path: &str, create: bool) -> io::Result<Arc<dyn File>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Room on the file system.
    fn space(&self) -> io::Result<Space>;
    /// Makes creations, renames and removals in a folder durable.
    fn sync_dir(&self, path: &str) -> io::Result<()>;
}

/// Room on the file system of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still write.
    pub free: u64,
    pub total: u64,
}

/// Whether an error says that there is no room.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// One open file; writes are durable only after [`File::sync`].
pub trait File: Send + Sync + 'static {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Fills `buffer` as far as the file goes and says how far that was.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    fn size(&self) -> io::Result<u64>;
    /// Cuts the file, or extends it with zeros.
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Reserves room, so that later writes inside it change no metadata; reads there give zeros.
    fn allocate(&self, size: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

/// Reads exactly `buffer.len()` bytes or fails with `UnexpectedEof`.
pub fn read_exact_at(file: &dyn File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    match file.read_at(offset, buffer)? {
        n if n == buffer.len() => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Writes what is there once more, to be synced. After a sync that failed the system may hold pages that are not on the disk,
/// and count them as written: what a restart reads of them would be gone after a power cut, whatever was synced meanwhile.
pub fn write_again(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    const PIECE: u64 = 1 << 20;
    let mut at = from;
    while at < to {
        let mut piece = vec![0; (to - at).min(PIECE) as usize];
        read_exact_at(file, at, &mut piece)?;
        file.write_at(at, &piece)?;
        at += piece.len() as u64;
    }
    Ok(())
}

pub trait Random: Send + Sync + 'static {
    fn next(&self) -> u64;
}

/// The member's world.
#[derive(Clone)]
pub struct Env {
    pub disk: Arc<dyn Disk>,
    pub random: Arc<dyn Random>,
    /// Whether blocking work gets a thread of its own, or runs as a task of the simulation's one thread.
    pub threads: bool,
    pub sizes: Sizes,
    /// Damage that is met while the member runs.
    pub rot: Rot,
}

/// When files are closed and begun anew. Simulations make them small, so that a short history meets every change.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// A segment of the log is closed when the next record would pass this.
    pub wal_segment: u64,
    /// A segment of the engine is closed when it has grown past this.
    pub engine_segment: u64,
    /// Frames after the engine's checkpoint that are worth a new one, at least.
    pub checkpoint_tail: u64,
    /// Bytes of the log's entries that stay in memory.
    pub wal_cache: usize,
}

/// Segments are this part of the file system, at most.
const SEGMENT_PART: u64 = 32;
const SEGMENT_BYTES_MIN: u64 = 256 << 10;

impl Sizes {
    /// On a small file system segments are small, so that the space of dead ones comes back.
    pub fn of(space: Space) -> Self {
        let largest = Self::default();
        let segment = (space.total / SEGMENT_PART).max(SEGMENT_BYTES_MIN);
        Self {
            wal_segment: largest.wal_segment.min(segment),
            engine_segment: largest.engine_segment.min(segment),
            checkpoint_tail: largest.checkpoint_tail.min(segment / 2),
            ..largest
        }
    }
}

impl Default for Sizes {
    fn default() -> Self {
        Self { wal_segment: 64 << 20, engine_segment: 64 << 20, checkpoint_tail: 32 << 20, wal_cache: 4 << 20 }
    }
}

impl Env {
    /// The real world, with the data folder as root of the disk.
    pub fn os(data_dir: &std::path::Path) -> io::Result<Self> {
        let disk = Arc::new(os::OsDisk::new(data_dir)?);
        let sizes = Sizes::of(disk.space()?);
        Ok(Self { disk, random: Arc::new(os::OsRandom), threads: true, sizes, rot: Rot::default() })
    }

    /// A simulated world.
    pub fn sim(disk: &sim::SimDisk, random: sim::SimRandom, sizes: Sizes) -> Self {
        Self { disk: Arc::new(disk.clone()), random: Arc::new(random), threads: false, sizes, rot: Rot::default() }
    }
}
