//! Room on the disk, looked at before writes are taken: a write that is refused costs nothing, one that fails half-way does.
//!
//! The last bytes are kept for what must go on: deletions, compactions, the log of consensus itself.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::env::{Disk, Space};

/// Bytes that puts leave free, at most, and the part of a small file system that they leave.
const RESERVE_BYTES_MAX: u64 = 16 << 20;
const RESERVE_PART: u64 = 10;
/// The file system is asked at most so often.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

pub struct Room {
    disk: Arc<dyn Disk>,
    /// When it was looked last, and whether there was too little.
    looked: Mutex<Option<(Instant, bool)>>,
}

/// Whether so little is free that no more data is taken.
pub fn is_low(space: Space) -> bool {
    space.free < RESERVE_BYTES_MAX.min(space.total / RESERVE_PART)
}

impl Room {
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, looked: Mutex::new(None) }
    }

    /// Whether there is too little room for more data.
    pub fn is_low(&self) -> bool {
        let now = Instant::now();
        let mut looked = self.looked.lock();
        if let Some((_, low)) = looked.filter(|(at, _)| now - *at < LOOK_INTERVAL) {
            return low;
        }
        // A file system that does not tell is not in the way: writes will.
        let low = self.disk.space().is_ok_and(is_low);
        *looked = Some((now, low));
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_bounded_and_small_on_small_disks() {
        let mib = |free: u64, total: u64| Space { free: free << 20, total: total << 20 };
        assert!(!is_low(mib(17, 100_000)) && is_low(mib(15, 100_000)));
        assert!(!is_low(mib(2, 16)) && is_low(mib(1, 16)));
    }
}
