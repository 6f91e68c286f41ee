//! A local copy of a resource that follows the server.
//!
//! An [`Informer`] lists, then watches from the list's revision. When a watch ends it resumes from the last revision it
//! saw; when that is too old it lists again; when the server is away it tries again with growing, jittered pauses.
//! Readers look into the [`Store`]; handlers hear of each change with the object before and after.

mod store;

use std::time::Duration;

use futures::StreamExt;
use proto::Object;
use tokio::sync::mpsc;

pub use store::{Change, Key, Store};

use crate::api::Api;
use crate::backoff::Backoff;
use crate::error::Error;
use crate::params::{ListParams, WatchParams};
use crate::watch::Event;

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A watch that ends sooner than this counts as a failure: the next one waits.
const WATCH_LEAST: Duration = Duration::from_secs(1);
/// A watch is opened again after between this and twice this, so that load spreads over servers.
const WATCH_TIMEOUT_S: i64 = 300;
/// Changes that wait for a subscriber; a slower one slows the informer.
const CHANGES_MAX: usize = 1024;

type Handler<T> = Box<dyn Fn(&Change<T>) + Send + Sync>;

/// Follows one resource.
pub struct Informer<T: Object> {
    api: Api<T>,
    which: ListParams,
    store: Store<T>,
    handlers: Vec<Handler<T>>,
    subscribers: Vec<mpsc::Sender<Change<T>>>,
    strip: Option<fn(&mut T)>,
}

/// Where the informer is.
enum State {
    /// Nothing is known, or what is known is too old to continue from.
    List,
    /// The store is as of this revision.
    Watch(i64),
}

impl<T: Object> Informer<T> {
    /// Follows what a list with these parameters gives.
    pub fn new(api: Api<T>, which: ListParams) -> Self {
        Self::into_store(api, which, Store::new())
    }

    /// The same, into a store that others hold already.
    pub fn into_store(api: Api<T>, which: ListParams, store: Store<T>) -> Self {
        Self { api, which, store, handlers: Vec::new(), subscribers: Vec::new(), strip: None }
    }

    /// The local copy; readable at once, complete when [`Store::wait_synced`] returns.
    pub fn store(&self) -> Store<T> {
        self.store.clone()
    }

    /// Keeps objects findable by what `keys` gives for each.
    pub fn index(self, name: &'static str, keys: fn(&T) -> Vec<String>) -> Self {
        self.store.add_index(name, keys);
        self
    }

    /// Drops what nobody reads (managed fields, ...) before an object is kept.
    pub fn strip(mut self, strip: fn(&mut T)) -> Self {
        self.strip = Some(strip);
        self
    }

    /// Calls `handler` at every change, after the store has it. It must not block.
    pub fn on_change(&mut self, handler: impl Fn(&Change<T>) + Send + Sync + 'static) {
        self.handlers.push(Box::new(handler));
    }

    /// Every change, in order, from the first list on. Must be read, or the informer waits.
    pub fn changes(&mut self) -> mpsc::Receiver<Change<T>> {
        let (tx, rx) = mpsc::channel(CHANGES_MAX);
        self.subscribers.push(tx);
        rx
    }

    /// Follows forever; drop the future to stop.
    pub async fn run(self) {
        let mut state = State::List;
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        let mut failures = 0_u32;
        loop {
            let started = tokio::time::Instant::now();
            let next = match state {
                State::List => self.list().await.map(State::Watch),
                State::Watch(revision) => self.watch(revision).await,
            };
            state = match next {
                Ok(next) => {
                    failures = 0;
                    let listed = matches!(state, State::List);
                    if listed || started.elapsed() >= WATCH_LEAST {
                        backoff.reset();
                    } else {
                        tokio::time::sleep(backoff.pause()).await;
                    }
                    next
                }
                Err(error) => {
                    let plural = &self.api.resource().plural;
                    if error.is_expired() {
                        tracing::debug!("{plural}: the revision is too old, listing again");
                    } else if failures == 0 {
                        tracing::warn!("{plural} are not followed, trying again: {error}");
                    } else {
                        tracing::debug!(failures, "{plural}: {error}");
                    }
                    failures = failures.saturating_add(1);
                    tokio::time::sleep(backoff.pause()).await;
                    match state {
                        State::Watch(_) if !error.is_expired() => State::Watch(self.store.revision()),
                        _ => State::List,
                    }
                }
            };
        }
    }

    /// Reads everything and makes the store equal to it. Gives the revision.
    async fn list(&self) -> Result<i64, Error> {
        let list = self.api.list(&self.which).await?;
        let items = list.items.into_iter().map(|object| self.prepared(object)).collect();
        for change in self.store.replace(items, list.resource_version) {
            self.tell(change).await;
        }
        self.store.set_synced();
        Ok(list.resource_version)
    }

    /// Follows until the watch ends in order; gives where to go on.
    async fn watch(&self, revision: i64) -> Result<State, Error> {
        let params = WatchParams {
            namespace: self.which.namespace.clone(),
            labels: self.which.labels.clone(),
            fields: self.which.fields.clone(),
            resource_version: revision.to_string(),
            bookmarks: true,
            send_initial_events: false,
            timeout_s: WATCH_TIMEOUT_S + rand::Rng::random_range(&mut rand::rng(), 0..WATCH_TIMEOUT_S),
        };
        let mut events = std::pin::pin!(self.api.watch(&params).await?);
        while let Some(event) = events.next().await {
            let change = match event? {
                Event::Added(object) | Event::Modified(object) => self.store.put(self.prepared(object)),
                Event::Deleted(object) => self.store.remove(object),
                Event::Bookmark { resource_version, .. } => {
                    self.store.advance(resource_version);
                    continue;
                }
            };
            if let Some(change) = change {
                self.tell(change).await;
            }
        }
        Ok(State::Watch(self.store.revision()))
    }

    fn prepared(&self, mut object: T) -> T {
        object.metadata_mut().managed_fields = Vec::new();
        if let Some(strip) = self.strip {
            strip(&mut object);
        }
        object
    }

    async fn tell(&self, change: Change<T>) {
        for handler in &self.handlers {
            handler(&change);
        }
        for subscriber in &self.subscribers {
            // A subscriber that went away no longer cares.
            let _gone = subscriber.send(change.clone()).await;
        }
    }
}

#[cfg(test)]
mod tests;
