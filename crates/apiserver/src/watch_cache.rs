//! The watch cache of one resource: its current objects and a window of changes, fed by one watch of the store.
//!
//! Lists and watches are served from it. [`feed`] fills it, [`subscription`] is what a watcher holds. A watcher that
//! does not keep up loses its place, never the others' time: its queue is bounded, and it is told why it ended.
//!
//! **Invariant:** an event reaches every watcher in the order of revisions, none twice, none left out between the
//! revision it began from and its end.

mod entry;
pub mod feed;
pub mod filter;
mod interest;
pub mod shared;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{Notify, mpsc, watch};

pub use entry::{Change, Entry, RestForm};
pub use filter::Filter;
pub use subscription::{End, Item, Subscription};

use interest::Interest;
use subscription::Watcher;

/// Changes that the window keeps at most.
const WINDOW_LEN_MAX: usize = 8192;
/// Events that may wait for one watcher.
const WATCHER_LEN_MAX: usize = 1024;

/// Why a cache cannot answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CacheError {
    /// The window begins later.
    #[error("too old resource version: {requested} ({oldest})")]
    TooOld {
        /// The revision asked for.
        requested: i64,
        /// The oldest that could be served.
        oldest: i64,
    },
    /// The cache did not get so far in time.
    #[error("Too large resource version: {requested}, current: {current}")]
    TooNew {
        /// The revision asked for.
        requested: i64,
        /// How far the cache is.
        current: i64,
    },
    /// The first list from the store has not ended.
    #[error("the watch cache is being filled")]
    NotReady,
    /// The process stops.
    #[error("the apiserver is shutting down")]
    Closed,
}

/// What became of a key.
#[derive(Debug)]
pub(crate) enum Update {
    /// It has this object.
    Put(Entry),
    /// It is gone.
    Delete,
    /// It has bytes that cannot be read: what was there before stays, so that nobody takes it for deleted.
    Unreadable,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// After this revision.
    After(i64),
    /// With the current objects as ADDED.
    Current,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Box<str>, Arc<Entry>>,
    window: VecDeque<Arc<Change>>,
    /// Every change after this revision is in the window.
    window_from: i64,
    revision: i64,
    watchers: Vec<Watcher>,
    closed: bool,
}

/// Hears of every change before any watcher does. It must be quick, and must not look into the cache.
pub trait Observer: std::fmt::Debug + Send + Sync {
    /// The cache was filled anew; these are all its objects.
    fn replaced(&self, entries: &mut dyn Iterator<Item = &Arc<Entry>>);
    /// One object changed.
    fn changed(&self, change: &Change);
}

/// The cache of one resource.
#[derive(Debug)]
pub struct WatchCache {
    state: RwLock<State>,
    /// The revision that the cache has reached; 0 until it is filled.
    reached: watch::Sender<i64>,
    /// Asks the feed to ask the store how far the watch is.
    progress_wanted: Arc<Notify>,
    observer: OnceLock<Box<dyn Observer>>,
    interest: Arc<Interest>,
    /// Objects and bytes in the cache.
    len: AtomicU64,
    bytes: AtomicU64,
}

impl Default for WatchCache {
    fn default() -> Self {
        Self::asking(Arc::default())
    }
}

impl WatchCache {
    /// A cache that asks for progress by `progress_wanted`.
    pub fn asking(progress_wanted: Arc<Notify>) -> Self {
        Self {
            state: RwLock::default(),
            reached: watch::Sender::new(0),
            progress_wanted,
            observer: OnceLock::new(),
            interest: Arc::default(),
            len: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// How far the cache is; 0 until it is filled.
    pub fn revision(&self) -> i64 {
        *self.reached.borrow()
    }

    /// Lets `observer` hear of everything. The first one stays; it must be there before the cache is filled.
    pub fn observe(&self, observer: Box<dyn Observer>) {
        _ = self.observer.set(observer);
    }

    /// Waits until the cache is filled and has reached `rev`; asks for progress meanwhile.
    pub async fn wait_for(&self, rev: i64, timeout: Duration) -> Result<(), CacheError> {
        let mut reached = self.reached.subscribe();
        let rev = rev.max(1);
        if *reached.borrow() >= rev {
            return Ok(());
        }
        let wait = async {
            let mut ask = tokio::time::interval(Duration::from_millis(100));
            loop {
                tokio::select! {
                    ok = reached.wait_for(|at| *at >= rev) => return ok.is_ok(),
                    _ = ask.tick() => self.progress_wanted.notify_one(),
                }
            }
        };
        match tokio::time::timeout(timeout, wait).await {
            Ok(true) => Ok(()),
            _ if self.revision() == 0 => Err(CacheError::NotReady),
            _ => Err(CacheError::TooNew { requested: rev, current: self.revision() }),
        }
    }

    /// One object.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.state.read().objects.get(key).cloned()
    }

    /// The objects that pass, in key order after `after`, and the revision of this view.
    pub fn list(&self, filter: &Filter) -> (Vec<Arc<Entry>>, i64) {
        let state = self.state.read();
        (select(&state, filter), state.revision)
    }

    /// Begins a watch.
    pub fn subscribe(&self, filter: Filter, start: Start, bookmarks: bool) -> Result<Subscription, CacheError> {
        let mut state = self.state.write();
        if state.closed {
            return Err(CacheError::Closed);
        }
        if state.revision == 0 {
            return Err(CacheError::NotReady);
        }
        let (initial, backlog) = match start {
            Start::Current => (select(&state, &filter), Vec::new()),
            Start::After(rev) if rev < state.window_from => {
                return Err(CacheError::TooOld { requested: rev, oldest: state.window_from });
            }
            Start::After(rev) => (Vec::new(), backlog(&state, rev, &filter)),
        };
        let (sender, receiver) = mpsc::channel(WATCHER_LEN_MAX);
        let end = Arc::default();
        // A watch of the future must not be told of what happens before.
        let after = if let Start::After(rev) = start { rev.max(state.revision) } else { state.revision };
        let counted = self.interest.count(&filter);
        state.watchers.push(Watcher { filter, after, bookmarks, sender, end: Arc::clone(&end), _counted: counted });
        Ok(Subscription { initial, backlog, revision: after, receiver, end })
    }

    /// How many watchers there are.
    pub fn watchers(&self) -> usize {
        self.state.read().watchers.len()
    }

    /// How many watchers are told of a change of the object of this key.
    pub fn watchers_of(&self, key: &str) -> u64 {
        self.interest.of(key)
    }

    /// How many objects there are, and how many bytes they have in protobuf.
    pub fn size(&self) -> (u64, u64) {
        (self.len.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Takes a fresh view from the store: watchers of the old one end.
    fn replace(&self, entries: Vec<Entry>, revision: i64) {
        let mut state = self.state.write();
        state.objects = entries.into_iter().map(|entry| (entry.key.clone(), Arc::new(entry))).collect();
        if let Some(observer) = self.observer.get() {
            observer.replaced(&mut state.objects.values());
        }
        self.len.store(state.objects.len() as u64, Ordering::Relaxed);
        let bytes = state.objects.values().map(|entry| entry.bytes.len() as u64).sum();
        self.bytes.store(bytes, Ordering::Relaxed);
        state.window.clear();
        state.window_from = revision;
        state.revision = revision;
        for watcher in state.watchers.drain(..) {
            watcher.end(End::Reset);
        }
        drop(state);
        self.reached.send_replace(revision);
    }

    /// Takes changes in order.
    fn apply(&self, changes: Vec<(Box<str>, i64, Update)>) {
        let mut state = self.state.write();
        let state = &mut *state;
        for (key, rev, update) in changes {
            state.revision = state.revision.max(rev);
            let (old, new) = match update {
                Update::Put(entry) => {
                    let entry = Arc::new(entry);
                    (state.objects.insert(key, Arc::clone(&entry)), Some(entry))
                }
                Update::Delete => (state.objects.remove(&key), None),
                Update::Unreadable => continue,
            };
            if old.is_none() && new.is_none() {
                continue;
            }
            let bytes = |entry: &Option<Arc<Entry>>| entry.as_ref().map_or(0, |entry| entry.bytes.len() as u64);
            self.bytes.fetch_add(bytes(&new), Ordering::Relaxed);
            self.bytes.fetch_sub(bytes(&old), Ordering::Relaxed);
            let change = Arc::new(Change::new(rev, old, new));
            if let Some(observer) = self.observer.get() {
                observer.changed(&change);
            }
            state.watchers.retain_mut(|watcher| watcher.offer(&change));
            state.window.push_back(change);
        }
        self.len.store(state.objects.len() as u64, Ordering::Relaxed);
        trim(state);
        let revision = state.revision;
        self.reached.send_replace(revision);
    }

    /// Everything up to `revision` has been applied.
    fn progress(&self, revision: i64) {
        let mut state = self.state.write();
        if revision > state.revision {
            state.revision = revision;
            drop(state);
            self.reached.send_replace(revision);
        }
    }

    /// Tells every watcher that wants it how far it is.
    fn bookmark(&self) {
        let mut state = self.state.write();
        let revision = state.revision;
        state.watchers.retain_mut(|watcher| watcher.bookmark(revision));
    }

    /// Ends every watcher, and begins no new one: the process stops.
    pub fn close(&self) {
        let mut state = self.state.write();
        state.closed = true;
        for watcher in state.watchers.drain(..) {
            watcher.end(End::Shutdown);
        }
    }
}

fn trim(state: &mut State) {
    while state.window.len() > WINDOW_LEN_MAX {
        let Some(first) = state.window.pop_front() else { return };
        state.window_from = first.rev;
    }
}

fn select(state: &State, filter: &Filter) -> Vec<Arc<Entry>> {
    let wanted = |entry: &&Arc<Entry>| filter.matches(entry);
    match filter.exact_key() {
        Some(key) => state.objects.get(key.as_str()).filter(wanted).cloned().into_iter().collect(),
        None if filter.namespace.is_empty() => state.objects.values().filter(wanted).cloned().collect(),
        None => {
            let from = format!("{}/", filter.namespace);
            let range = (Bound::Included(from.as_str()), Bound::<&str>::Unbounded);
            state
                .objects
                .range::<str, _>(range)
                .take_while(|(key, _)| key.starts_with(&from))
                .map(|(_, entry)| entry)
                .filter(wanted)
                .cloned()
                .collect()
        }
    }
}

fn backlog(state: &State, after: i64, filter: &Filter) -> Vec<Item> {
    let begin = state.window.partition_point(|change| change.rev <= after);
    state
        .window
        .range(begin..)
        .filter_map(|change| {
            let kind = change.seen_by(|entry| filter.matches(entry))?;
            Some(Item::Change(kind, Arc::clone(change)))
        })
        .collect()
}
