//! What happens to a range of keys, event by event, for the store's own services: as a client's watcher would see it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::history;
use crate::member::Member;
use crate::refused::Refused;
use crate::watcher::{Behind, Change, Fetched, Item, Picks, Signal, Spec, WatchStream};

/// Events fetched from the past at once.
const FETCH_EVENTS_MAX: usize = 1000;

pub struct Follow {
    member: Arc<Member>,
    stream: WatchStream,
    signal: Arc<Signal>,
    waiting: VecDeque<(Arc<Change>, Picks)>,
}

impl Follow {
    /// From revision `start` on.
    pub fn new(member: Arc<Member>, spec: Spec, start: i64) -> Self {
        let mut stream = member.shared.hub.open::<()>();
        // The first watcher of a stream has its id free.
        let _id = stream.watch(0, spec, start, ());
        let signal = stream.signal();
        Self { member, stream, signal, waiting: VecDeque::new() }
    }

    /// The next change that has wanted events, and which they are.
    pub async fn next(&mut self) -> Result<(Arc<Change>, Picks), Refused> {
        loop {
            if let Some(next) = self.waiting.pop_front() {
                return Ok(next);
            }
            let mut items = Vec::new();
            let behind = self.stream.take(&mut items);
            self.take(items);
            if let Some(behind) = behind.first() {
                self.catch_up(behind)?;
                continue;
            }
            if self.waiting.is_empty() {
                tokio::select! {
                    biased;
                    () = self.signal.raised() => {}
                    () = self.member.stopping.cancelled() => return Err(Refused::Stopped),
                }
            }
        }
    }

    fn take(&mut self, items: impl IntoIterator<Item = Item>) {
        let wanted = items.into_iter().filter(|item| !item.picks.is_empty());
        self.waiting.extend(wanted.map(|item| (item.change, item.picks)));
    }

    fn catch_up(&mut self, behind: &Behind) -> Result<(), Refused> {
        let upto = match self.stream.fetch(behind, FETCH_EVENTS_MAX) {
            Fetched::Log(items) => {
                self.take(items);
                return Ok(());
            }
            Fetched::History { upto } => upto,
        };
        if behind.next < self.member.shared.held.read().state.index.compacted() {
            return Err(Refused::Compacted);
        }
        match history::fetch(&self.member.shared, &behind.spec, behind.next, upto, FETCH_EVENTS_MAX) {
            Ok((changes, next)) => {
                self.stream.fetched_until(behind.group, next);
                let picked = changes.into_iter().map(|change| (behind.spec.pick(&change), change));
                self.waiting.extend(picked.map(|(picks, change)| (Arc::new(change), picks)));
                Ok(())
            }
            Err(error) => {
                tracing::error!(error = %crate::report(&error), "the history of a key cannot be read");
                Err(Refused::Corrupt)
            }
        }
    }
}
