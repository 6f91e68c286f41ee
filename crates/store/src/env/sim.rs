//! A disk in memory that can crash: writes that were not synced may be lost, kept or torn, as a seed decides.
//!
//! As atomic as a real disk: a write that was synced stays; one that was not may be there wholly, in part (a prefix)
//! or not at all, each write for itself. Creations, renames and removals are durable after `sync_dir`; before that
//! they may be lost, in order from the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

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
    /// The same, but the sync says that it is done.
    lose_sync: Option<&'static str>,
    /// Bytes that the files may have together.
    capacity: Option<u64>,
    /// Syncs are said to be done, and are not.
    lies: bool,
    /// Told at the crash.
    crash: Arc<Notify>,
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

    /// Returns when the change of [`SimDisk::crash_at`] was met.
    pub async fn crash(&self) {
        let crash = self.state.lock().crash.clone();
        while !self.crashed() {
            crash.notified().await;
        }
    }

    /// The disk after a power cut: unsynced changes are kept, lost or torn as `seed` decides. Whoever still holds this one
    /// can do nothing with it any more.
    pub fn after_power_cut(&self, seed: u64) -> Self {
        let next = self.after_death();
        next.restart(seed);
        next
    }

    /// The disk after the death of the process that used it: what it wrote is there, synced or not. Whoever still holds this
    /// one can do nothing with it any more.
    pub fn after_death(&self) -> Self {
        let mut state = self.state.lock();
        let next = State {
            inodes: std::mem::take(&mut state.inodes),
            names: std::mem::take(&mut state.names),
            durable_names: std::mem::take(&mut state.durable_names),
            dirs: std::mem::take(&mut state.dirs),
            capacity: state.capacity,
            trace: state.trace,
            lies: state.lies,
            ..State::default()
        };
        state.stop();
        Self { state: Arc::new(Mutex::new(next)) }
    }

    /// Lets syncs do nothing and say that they did: a planted bug.
    pub fn lie(&self) {
        self.state.lock().lies = true;
    }

    /// Flips one bit of a file, for tests of checksums.
    pub fn flip(&self, path: &str, offset: usize) {
        self.flip_bit(path, offset, 0);
    }

    /// As bits rot: what is read changes, and nobody wrote. Nothing happens behind the file's end.
    pub fn flip_bit(&self, path: &str, offset: usize, bit: u8) {
        let mut state = self.state.lock();
        let Some(inode) = state.names.get(path).copied() else { return };
        let inode = &mut state.inodes[inode];
        for content in [&mut inode.seen, &mut inode.durable] {
            if let Some(byte) = content.get_mut(offset) {
                *byte ^= 1 << bit;
            }
        }
    }

    /// Bytes of all files together.
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// Lets the files have so many bytes together, or any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Lets the next sync of a file whose name ends so fail, as a disk does that loses pages: it says so once.
    pub fn fail_sync(&self, suffix: &'static str) {
        self.state.lock().fail_sync = Some(suffix);
    }

    /// As [`SimDisk::fail_sync`], but nobody is told: a planted bug.
    pub fn lose_sync(&self, suffix: &'static str) {
        self.state.lock().lose_sync = Some(suffix);
    }

    /// Takes back what has not happened yet: crashes, failing syncs.
    pub fn calm(&self) {
        let mut state = self.state.lock();
        (state.crash_at, state.fail_sync, state.lose_sync) = (None, None, None);
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
    fn stop(&mut self) {
        self.crashed = true;
        self.crash.notify_waiters();
    }

    /// Files that were removed take no room.
    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].seen.len() as u64).sum()
    }

    /// Counts a change; fails from the crash on.
    fn change(&mut self, what: u64) -> io::Result<()> {
        if self.crashed {
            return Err(io::Error::other("the disk has crashed"));
        }
        if self.crash_at == Some(self.writes) {
            self.stop();
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
        let used = state.used();
        let total = state.capacity.unwrap_or(1 << 40);
        Ok(Space { free: total.saturating_sub(used), total })
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change(4)?;
        if state.lies {
            return Ok(());
        }
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
        let grows = (offset + bytes.len() as u64).saturating_sub(state.inodes[self.inode].seen.len() as u64);
        if state.capacity.is_some_and(|capacity| grows > 0 && state.used() + grows > capacity) {
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
        let lost = state.lose_sync.is_some_and(is_named);
        if lost {
            state.lose_sync = None;
            state.inodes[self.inode].pending.clear();
        }
        if lost || state.lies {
            return Ok(());
        }
        let inode = &mut state.inodes[self.inode];
        for change in std::mem::take(&mut inode.pending) {
            match change {
                Change::Write(offset, bytes) => write(&mut inode.durable, offset, &bytes),
                Change::Size(size) => inode.durable.resize(size as usize, 0),
            }
        }
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
