//! Versions in order of revisions, from an index that is ordered by keys.
//!
//! A window of the oldest versions that were not given yet is gathered in one walk over the index, a few thousand keys
//! under one lock. So memory is bounded by the window; the walks are few, since the window grows with the store.

use bytes::Bytes;

use super::{BackupError, Moment};
use crate::mvcc::Version;
use crate::mvcc::history::History;

/// Versions of a window, at least.
const WINDOW_LEN_MIN: usize = 64 << 10;
/// Walks over the index, about, for the whole store.
const WALKS: usize = 8;
/// Keys looked at under one lock.
const WALK_KEYS: usize = 1024;

/// One version and its key.
pub struct Row {
    pub key: Bytes,
    pub version: Version,
    /// Nothing newer of the key is there, and it is no tombstone: what a reader at the end of the walk sees.
    pub newest: bool,
}

impl Row {
    fn order(&self) -> (i64, u32) {
        (self.version.main, self.version.sub)
    }
}

/// Every version up to a revision that compaction has left, oldest first.
pub struct ByRevision<'a> {
    moment: &'a Moment,
    upto: i64,
    after: (i64, u32),
    window_len: usize,
    done: bool,
}

impl<'a> ByRevision<'a> {
    pub fn new(moment: &'a Moment, upto: i64) -> Self {
        let keys = moment.shared.held.read().state.index.len();
        let window_len = WINDOW_LEN_MIN.max(keys / WALKS);
        Self { moment, upto, after: (0, 0), window_len, done: false }
    }

    /// For tests: windows so small that there are many.
    #[cfg(test)]
    pub fn with_window(moment: &'a Moment, window_len: usize) -> Self {
        Self { window_len, ..Self::new(moment, moment.revision) }
    }

    /// The next versions; none at the end.
    pub fn next_window(&mut self) -> Result<Option<Vec<Row>>, BackupError> {
        if self.done {
            return Ok(None);
        }
        let mut window = Window { rows: Vec::new(), len: self.window_len, upto: (self.upto, u32::MAX) };
        let mut last: Option<Box<[u8]>> = None;
        loop {
            let held = self.moment.shared.held.read();
            if !std::sync::Arc::ptr_eq(&held.engine, &self.moment.engine) {
                return Err(BackupError::Replaced);
            }
            let mut next = None;
            for (key, history) in held.state.index.histories_after(last.as_deref(), WALK_KEYS) {
                next = Some(key.into());
                self.take(&mut window, key, history);
            }
            match next {
                Some(next) => last = Some(next),
                None => break,
            }
        }
        let cut = window.is_cut();
        let rows = window.sorted();
        self.done = !cut;
        match rows.last() {
            Some(last) => self.after = last.order(),
            None => return Ok(None),
        }
        Ok(Some(rows))
    }

    fn take(&self, window: &mut Window, key: &[u8], history: &History) {
        let newest = history.at(self.upto);
        let mut shared_key: Option<Bytes> = None;
        for version in history.kept(self.moment.compacted) {
            let order = (version.main, version.sub);
            if order <= self.after || order > window.upto {
                continue;
            }
            let key = shared_key.get_or_insert_with(|| Bytes::copy_from_slice(key)).clone();
            window.push(Row { key, version: *version, newest: newest == Some(version) });
        }
    }
}

/// The oldest rows of those that were pushed.
struct Window {
    rows: Vec<Row>,
    len: usize,
    /// Rows after this are not wanted: there are enough before it.
    upto: (i64, u32),
}

impl Window {
    fn push(&mut self, row: Row) {
        self.rows.push(row);
        if self.rows.len() >= 2 * self.len {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.rows.select_nth_unstable_by_key(self.len - 1, Row::order);
        self.rows.truncate(self.len);
        if let Some(last) = self.rows.last() {
            self.upto = last.order();
        }
    }

    /// Whether rows were left out, now or before.
    fn is_cut(&mut self) -> bool {
        if self.rows.len() > self.len {
            self.cut();
        }
        self.upto.1 != u32::MAX
    }

    fn sorted(mut self) -> Vec<Row> {
        self.rows.sort_unstable_by_key(Row::order);
        self.rows
    }
}
