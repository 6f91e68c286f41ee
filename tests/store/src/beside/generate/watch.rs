//! Watchers: made, asked, canceled.

use proto::etcdserverpb as etcd;

use super::{ENDS, Generator, NO_SUCH, STARTS};
use crate::beside::case::Case;

/// Watchers of a stream.
const WATCHERS_MAX: usize = 8;
/// Ids that clients choose.
const IDS: &[i64] = &[0, 0, 0, 0, 1, 5, 9, 40, -3, i64::MAX];

impl Generator {
    pub(super) fn watch(&mut self) -> Case {
        let stream = self.random.below(self.world.watched.streams() as u64) as usize;
        let ids = self.world.watched.ids(stream);
        match self.random.below(6) {
            0..4 if ids.len() < WATCHERS_MAX => Case::Watch { stream, create: self.create() },
            4 if self.world.watched.is_level(stream, self.world.revision) => Case::WatchProgress { stream },
            _ if !ids.is_empty() && !self.random.once_in(6) => {
                Case::WatchCancel { stream, watch_id: self.random.pick(&ids), known: true }
            }
            // etcd answers nothing on a stream that never had a watcher, not even that it heard.
            _ if ids.is_empty() => Case::Watch { stream, create: self.create() },
            _ => Case::WatchCancel { stream, watch_id: 1234, known: false },
        }
    }

    fn create(&mut self) -> etcd::WatchCreateRequest {
        let start_revision = match self.random.below(10) {
            0..4 => 0,
            4 => self.world.revision + self.random.between(1, 20),
            5 => self.random.pick(&[-1, i64::MIN, i64::MAX]),
            _ => self.odd_revision().max(0),
        };
        // Older etcds do not have the event any more.
        let start_revision = match start_revision == self.world.compacted && self.world.compacted_a_deletion() {
            true => start_revision + 1,
            false => start_revision,
        };
        let mut create = etcd::WatchCreateRequest {
            key: if self.random.once_in(20) { Default::default() } else { self.random.bytes(STARTS) },
            range_end: self.random.bytes(ENDS),
            start_revision,
            progress_notify: self.random.once_in(4),
            prev_kv: self.random.coin(),
            watch_id: self.random.pick(IDS),
            fragment: self.random.coin(),
            ..Default::default()
        };
        if self.random.once_in(3) {
            create.filters = (0..=self.random.below(2)).map(|_| self.random.pick(&[0, 1, NO_SUCH])).collect();
        }
        create
    }
}
