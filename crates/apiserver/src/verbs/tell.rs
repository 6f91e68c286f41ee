//! What a watch tells, in which order: the objects it begins with, what happened since, then what happens. How it is
//! written is the front door's matter.

use std::sync::Arc;
use std::time::Duration;
use std::vec;

use bytes::Bytes;
use proto::keelson::api::v1::watch_event::Type;
use tokio::time::Instant;

use super::watch::{Beginning, Watching};
use crate::watch_cache::{Change, End, Entry, Item, Subscription};

/// Events in one piece, in bytes; one larger event is a piece of its own.
const PIECE_BYTES_MAX: usize = 128 << 10;
const PIECE_LEN_MAX: usize = 1000;
/// The last bookmark comes so long before the end, as upstream.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);

/// How events are written.
pub trait Form {
    /// An object that the watch begins with.
    fn initial(&mut self, entry: &Entry) -> Bytes;
    /// A change, which is `what` to this watcher.
    fn change(&mut self, what: Type, change: &Change) -> Bytes;
    /// Everything up to this revision has been told; `initial_end`: of what the watch begins with.
    fn bookmark(&mut self, revision: i64, initial_end: bool) -> Bytes;
}

/// What a watch tells next.
#[derive(Debug)]
pub enum Told {
    /// Events, each written.
    Events(Vec<Bytes>),
    /// It ended before its time.
    Ended(End),
}

/// Where a watch is in its life.
#[derive(Debug)]
enum State {
    /// The objects it begins with are being told.
    Beginning,
    /// What happened before it was told of is being told.
    CatchingUp,
    /// What happens is told as it happens.
    Following,
    /// Nothing follows.
    Ended,
}

/// Tells a watch.
#[derive(Debug)]
pub struct Teller<F> {
    form: F,
    state: State,
    initial: vec::IntoIter<Arc<Entry>>,
    beginning: Option<Beginning>,
    backlog: vec::IntoIter<Item>,
    /// The bookmark that closes the beginning, where one is wanted.
    initial_end: Option<i64>,
    subscription: Subscription,
    /// The revision that the watch began at.
    began: i64,
    /// The revision up to which everything has been told.
    told: i64,
    /// When a last bookmark is due, so that the next watch goes on from there; `None` where none is wanted.
    last_bookmark: Option<Instant>,
    deadline: Instant,
}

impl<F: Form> Teller<F> {
    /// Begins.
    pub fn new(form: F, mut watching: Watching) -> Self {
        let deadline = Instant::now() + watching.timeout;
        let last_bookmark = watching.bookmarks.then(|| deadline.checked_sub(BOOKMARK_BEFORE_END)).flatten();
        Self {
            form,
            state: State::Beginning,
            initial: std::mem::take(&mut watching.subscription.initial).into_iter(),
            beginning: watching.beginning.take(),
            backlog: std::mem::take(&mut watching.subscription.backlog).into_iter(),
            initial_end: watching.mark_initial_end.then_some(watching.subscription.revision),
            began: watching.subscription.revision,
            told: watching.subscription.revision,
            last_bookmark,
            deadline,
            subscription: watching.subscription,
        }
    }

    /// What comes next; `None` where the watch ends in its time, or has ended.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            match self.state {
                State::Beginning => {
                    let events = self.beginning();
                    if !events.is_empty() {
                        return Some(Told::Events(events));
                    }
                    self.state = State::CatchingUp;
                    (self.initial, self.beginning) = (Vec::new().into_iter(), None);
                }
                State::CatchingUp => {
                    let first = self.backlog.next();
                    let Some(first) = first else {
                        self.state = State::Following;
                        continue;
                    };
                    let Self { form, backlog, told, .. } = self;
                    return Some(Told::Events(gather(form, first, told, || backlog.next())));
                }
                State::Following => {
                    let until = self.last_bookmark.unwrap_or(self.deadline);
                    let next = tokio::time::timeout_at(until, self.subscription.next()).await;
                    let Self { form, subscription, told, .. } = self;
                    match next {
                        Ok(Ok(first)) => {
                            return Some(Told::Events(gather(form, first, told, || subscription.try_next())));
                        }
                        Ok(Err(end)) => {
                            self.state = State::Ended;
                            return Some(Told::Ended(end));
                        }
                        Err(_) if self.last_bookmark.take().is_some() => {
                            // One that says nothing new is left out.
                            if self.told > self.began {
                                return Some(Told::Events(vec![self.form.bookmark(self.told, false)]));
                            }
                        }
                        Err(_) => return None,
                    }
                }
                State::Ended => return None,
            }
        }
    }

    fn beginning(&mut self) -> Vec<Bytes> {
        let mut events = Vec::new();
        let mut bytes = 0;
        while bytes < PIECE_BYTES_MAX
            && events.len() < PIECE_LEN_MAX
            && let Some(entry) = self.initial.next()
        {
            bytes += entry.bytes.len();
            events.push(self.form.initial(&entry));
        }
        if self.initial.len() == 0
            && let Some(revision) = self.initial_end.take()
        {
            events.push(self.form.bookmark(revision, true));
        }
        events
    }
}

/// One piece of what is there.
fn gather(form: &mut impl Form, first: Item, told: &mut i64, mut more: impl FnMut() -> Option<Item>) -> Vec<Bytes> {
    let mut events = Vec::new();
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(item) = next {
        let event = match item {
            Item::Change(what, change) => {
                *told = change.rev.max(*told);
                form.change(what, &change)
            }
            Item::Bookmark(revision) => {
                *told = revision.max(*told);
                form.bookmark(revision, false)
            }
        };
        bytes += event.len();
        events.push(event);
        next = if bytes < PIECE_BYTES_MAX && events.len() < PIECE_LEN_MAX { more() } else { None };
    }
    events
}
