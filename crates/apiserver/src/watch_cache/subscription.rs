//! What a watcher holds: the events it began with, a bounded queue, and why it ended.

use std::sync::{Arc, OnceLock};

use proto::keelson::api::v1::watch_event::Type;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::interest::Interested;
use super::{Change, Entry, Filter};

/// What a watcher is told.
#[derive(Debug, Clone)]
pub enum Item {
    /// A change, and what it is to this watcher.
    Change(Type, Arc<Change>),
    /// Everything up to this revision has been told.
    Bookmark(i64),
}

/// Why a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its queue was full.
    Slow,
    /// The store's history was lost; the cache was filled anew.
    Reset,
    /// The process stops.
    Shutdown,
}

/// A watch as its reader sees it.
#[derive(Debug)]
pub struct Subscription {
    /// The objects it begins with.
    pub initial: Vec<Arc<Entry>>,
    /// The changes it begins with.
    pub backlog: Vec<Item>,
    /// The revision of the beginning.
    pub revision: i64,
    pub(super) receiver: mpsc::Receiver<Item>,
    pub(super) end: Arc<OnceLock<End>>,
}

impl Subscription {
    /// The next item that has come, or why there are no more.
    pub async fn next(&mut self) -> Result<Item, End> {
        self.receiver.recv().await.ok_or_else(|| self.end.get().copied().unwrap_or(End::Shutdown))
    }

    /// The next item that is there already.
    pub fn try_next(&mut self) -> Option<Item> {
        self.receiver.try_recv().ok()
    }
}

/// A watch as the cache sees it.
#[derive(Debug)]
pub(super) struct Watcher {
    pub filter: Filter,
    pub after: i64,
    pub bookmarks: bool,
    pub sender: mpsc::Sender<Item>,
    pub end: Arc<OnceLock<End>>,
    pub _counted: Interested,
}

impl Watcher {
    /// Hands a change over where it is wanted; false: the watcher is gone.
    pub fn offer(&mut self, change: &Arc<Change>) -> bool {
        if change.rev <= self.after {
            return true;
        }
        match change.seen_by(|entry| self.filter.matches(entry)) {
            Some(kind) => self.send(Item::Change(kind, Arc::clone(change))),
            None => true,
        }
    }

    /// Hands a bookmark over where bookmarks are wanted; false: the watcher is gone.
    pub fn bookmark(&mut self, revision: i64) -> bool {
        if self.bookmarks && revision > self.after {
            self.send(Item::Bookmark(revision))
        } else {
            !self.sender.is_closed()
        }
    }

    /// Ends the watch, saying why.
    pub fn end(self, why: End) {
        let _ = self.end.set(why);
    }

    fn send(&mut self, item: Item) -> bool {
        match self.sender.try_send(item) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                let _ = self.end.set(End::Slow);
                false
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }
}
