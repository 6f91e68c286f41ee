//! A disk in memory that can crash: writes that were not synced may be lost, kept or torn, as a seed decides.
//!
//! As atomic as a real disk: a write that was synced stays; one that was not may be there wholly, in part (a prefix)
//! or not at all, each write for itself. Creations, renames and removals are durable after `sync_dir`; before that
//! they may be lost, in order from the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, File, Random, Space};

/// splitmix64: small, seeded, the same everywhere.
pub fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[derive(Default)]
struct Inode {
    /// What a reader sees.
    seen: Vec<u8>,
    /// What a crash cannot take.
    durable: Vec<u8>,
    /// Writes since the last sync, in order.
    pending: Vec<Change>,
}

enum Change {
    Write(u64, Vec<u8>),
    Size(u64),
}

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    dirs: Vec<String>,
    writes: u64,
    crash_at: Option<u64>,
    crashed: bool,
    /// The next sync of a file whose name ends so fails, once, and drops what was not synced before it.
    fail_sync: Option<&'static str>,
    /// Bytes that the files may have together.
    capacity: Option<u64>,
    /// Hash over every write and sync, in order.
    trace: u64,
}

/// The disk; clones see the same files.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// Lets the n-th change from now on fail, and everything after it, as if the machine had stopped there.
    pub fn crash_at(&self, change: u64) {
        let mut state = self.state.lock();
        state.writes = 0;
        state.crash_at = Some(change);
    }

    /// Changes counted since [`SimDisk::crash_at`] or the beginning.
    pub fn changes(&self) -> u64 {
        self.state.lock().writes
    }

    /// Whether the change of [`SimDisk::crash_at`] was met.
    pub fn crashed(&self) -> bool {
        self.state.lock().crashed
    }

    /// Hash of everything that was written so far, in order.
    pub fn trace(&self) -> u64 {
        self.state.lock().trace
    }

    /// The machine comes back: unsynced changes are kept, lost or torn as `seed` decides.
    pub fn restart(&self, seed: u64) {
        let mut random = seed;
        let mut state = self.state.lock();
        state.names = state.durable_names.clone();
        for inode in &mut state.inodes {
            let mut content = inode.durable.clone();
            for change in std::mem::take(&mut inode.pending) {
                survive(&mut content, change, &mut random);
            }
            inode.seen = content.clone();
            inode.durable = content;
        }
        state.crashed = false;
        state.crash_at = None;
    }

    /// Flips one bit of a file, for tests of checksums.
    pub fn flip(&self, path: &str, offset: usize) {
        let mut state = self.state.lock();
        let Some(inode) = state.names.get(path).copied() else { return };
        let inode = &mut state.inodes[inode];
        inode.seen[offset] ^= 1;
        inode.durable = inode.seen.clone();
    }

    /// Lets the files have so many bytes together, or any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Lets the next sync of a file whose name ends so fail, as a disk does that loses pages: it says so once.
    pub fn fail_sync(&self, suffix: &'static str) {
        self.state.lock().fail_sync = Some(suffix);
    }

    /// A disk with these files, all durable.
    pub fn with_contents(contents: &BTreeMap<String, Vec<u8>>) -> Self {
        let disk = Self::default();
        let mut state = disk.state.lock();
        for (name, bytes) in contents {
            let inode = state.inodes.len();
            state.inodes.push(Inode { seen: bytes.clone(), durable: bytes.clone(), pending: Vec::new() });
            state.names.insert(name.clone(), inode);
            state.durable_names.insert(name.clone(), inode);
        }
        drop(state);
        disk
    }

    /// The files' contents, to be compared.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state.lock();
        state.names.iter().map(|(name, inode)| (name.clone(), state.inodes[*inode].seen.clone())).collect()
    }

    /// Every file with its size, sorted.
    pub fn dump(&self) -> Vec<(String, usize)> {
        let state = self.state.lock();
        state.names.iter().map(|(name, inode)| (name.clone(), state.inodes[*inode].seen.len())).collect()
    }
}

fn survive(content: &mut Vec<u8>, change: Change, random: &mut u64) {
    let fate = mix(random) % 3;
    match change {
        Change::Write(offset, bytes) => {
            let keep = match fate {
                0 => 0,
                1 => (mix(random) as usize) % (bytes.len() + 1),
                _ => bytes.len(),
            };
            write(content, offset, &bytes[..keep]);
        }
        Change::Size(size) => {
            if fate > 0 {
                content.resize(size as usize, 0);
            }
        }
    }
}

fn write(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let end = offset as usize + bytes.len();
    if bytes.is_empty() {
        return;
    }
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset as usize..end].copy_from_slice(bytes);
}

impl State {
    /// Counts a change; fails from the crash on.
    fn change(&mut self, what: u64) -> io::Result<()> {
        if self.crashed {
            return Err(io::Error::other("the disk has crashed"));
        }
        if self.crash_at == Some(self.writes) {
            self.crashed = true;
            return Err(io::Error::other("the disk has crashed"));
        }
        self.writes += 1;
        let mut mixed = self.trace ^ what;
        self.trace = mix(&mut mixed);
        Ok(())
    }

    fn reading(&self) -> io::Result<()> {
        if self.crashed { Err(io::Error::other("the disk has crashed")) } else { Ok(()) }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.reading()?;
        state.dirs.push(path.to_owned());
        Ok(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        state.reading()?;
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        let inside = state.names.keys().filter_map(|name| name.strip_prefix(&below));
        let names: BTreeSet<&str> = inside.map(|name| name.split('/').next().unwrap_or(name)).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn open(&self, path: &str, create: bool) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        state.reading()?;
        let inode = match state.names.get(path) {
            Some(inode) => *inode,
            None if create => {
                state.change(1)?;
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.names.insert(path.to_owned(), inode);
                inode
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(SimFile { state: self.state.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change(2)?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change(3)?;
        let below = format!("{path}/");
        let gone: Vec<String> =
            state.names.keys().filter(|name| *name == path || name.starts_with(&below)).cloned().collect();
        if gone.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        for name in gone {
            state.names.remove(&name);
        }
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let state = self.state.lock();
        state.reading()?;
        let used: u64 = state.inodes.iter().map(|inode| inode.seen.len() as u64).sum();
        let total = state.capacity.unwrap_or(1 << 40);
        Ok(Space { free: total.saturating_sub(used), total })
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change(4)?;
        state.durable_names.retain(|name, _| parent(name) != path);
        let now: Vec<(String, usize)> =
            state.names.iter().filter(|(name, _)| parent(name) == path).map(|(n, i)| (n.clone(), *i)).collect();
        state.durable_names.extend(now);
        Ok(())
    }
}

struct SimFile {
    state: Arc<Mutex<State>>,
    inode: usize,
}

impl File for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change(u64::from(crc32c::crc32c(bytes)) ^ (offset << 20))?;
        let used: u64 = state.inodes.iter().map(|inode| inode.seen.len() as u64).sum();
        let grows = (offset + bytes.len() as u64).saturating_sub(state.inodes[self.inode].seen.len() as u64);
        if state.capacity.is_some_and(|capacity| grows > 0 && used + grows > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = &mut state.inodes[self.inode];
        write(&mut inode.seen, offset, bytes);
        inode.pending.push(Change::Write(offset, bytes.to_vec()));
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.state.lock();
        state.reading()?;
        let seen = &state.inodes[self.inode].seen;
        let start = (offset as usize).min(seen.len());
        let end = (start + buffer.len()).min(seen.len());
        buffer[..end - start].copy_from_slice(&seen[start..end]);
        Ok(end - start)
    }

    fn size(&self) -> io::Result<u64> {
        let state = self.state.lock();
        state.reading()?;
        Ok(state.inodes[self.inode].seen.len() as u64)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change(5 ^ size)?;
        let inode = &mut state.inodes[self.inode];
        inode.seen.resize(size as usize, 0);
        inode.pending.push(Change::Size(size));
        Ok(())
    }

    /// Room is not modelled: a simulated file grows as it is written.
    fn allocate(&self, _size: u64) -> io::Result<()> {
        self.state.lock().reading()
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change(6)?;
        let is_named = |suffix: &str| state.names.iter().any(|(name, at)| *at == self.inode && name.ends_with(suffix));
        if state.fail_sync.is_some_and(is_named) {
            state.fail_sync = None;
            state.inodes[self.inode].pending.clear();
            return Err(io::Error::other("the disk lost a write"));
        }
        let inode = &mut state.inodes[self.inode];
        inode.durable = inode.seen.clone();
        inode.pending.clear();
        Ok(())
    }
}

pub struct SimRandom(Mutex<u64>);

impl SimRandom {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Random for SimRandom {
    fn next(&self) -> u64 {
        mix(&mut self.0.lock())
    }
}
