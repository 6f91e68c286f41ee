//! Bugs that the simulator's own test plants, one at a time, on its thread: a simulator that does not find them would find
//! no others. Programs do not contain them: without debug assertions [`is`] is the constant false.

use std::cell::Cell;

/// A bug that cannot be planted from outside (through the disk, the network or the clients).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A vote is remembered, but not written down.
    VoteNotPersisted,
    /// After a restart the last entry that was applied is applied once more.
    AppliedTwice,
    /// A watcher that catches up misses one change.
    WatchSkips,
    /// A value is served whatever its checksum says.
    ChecksumNotChecked,
    /// A snapshot lacks one key.
    SnapshotLacksKey,
    /// An entry that a new leader overwrote comes back after a restart.
    TruncationNotPersisted,
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a bug on this thread, or none.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether `bug` is planted on this thread.
#[inline]
pub fn is(bug: Bug) -> bool {
    cfg!(debug_assertions) && PLANTED.get() == Some(bug)
}
