//! The task that keeps one watch cache: lists once, then follows the store's watch; after a broken watch it resumes
//! from where it was, after a compaction it lists anew.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Entry, Update};
use crate::registry::Resource;
use crate::storage::watch::Fed;
use crate::storage::{Record, StorageError, Store};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How often watchers that want it are told how far they are.
pub(super) const BOOKMARK_INTERVAL: Duration = Duration::from_secs(30);

/// Feeds one resource's cache.
pub struct Feed {
    /// The store.
    pub store: Arc<Store>,
    /// Whose cache.
    pub resource: Arc<Resource>,
    /// Ends the task.
    pub stop: CancellationToken,
}

impl Feed {
    /// Runs until stopped.
    pub async fn run(self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow() => {}
        }
        self.resource.cache.close();
    }

    async fn follow(&self) {
        let mut backoff = Backoff::default();
        let mut filled = false;
        loop {
            let outcome = if filled { self.watch(&mut backoff).await } else { self.fill().await };
            match outcome {
                Ok(()) => filled = true,
                Err(error) => {
                    filled &= !matches!(error, StorageError::Compacted { .. });
                    let resource = self.resource.name();
                    tracing::warn!(resource, error = %daemon::process::chain(&error), "watch cache lost the store, trying again");
                    backoff.wait().await;
                }
            }
        }
    }

    async fn fill(&self) -> Result<(), StorageError> {
        let (entries, revision) = entries(&self.store, &self.resource).await?;
        self.resource.cache.replace(entries, revision);
        Ok(())
    }

    async fn watch(&self, backoff: &mut Backoff) -> Result<(), StorageError> {
        let cache = &self.resource.cache;
        let mut watch = self.store.watch(&self.resource.prefix, cache.revision() + 1).await?;
        let ask = watch.progress_requester();
        let mut bookmarks = tokio::time::interval(BOOKMARK_INTERVAL);
        loop {
            tokio::select! {
                fed = watch.next() => {
                    take(&self.store, &self.resource, fed?);
                    backoff.reset();
                }
                () = cache.progress_wanted.notified() => {
                    if self.store.has_ordered_progress() {
                        ask();
                    }
                }
                _ = bookmarks.tick() => {
                    cache.bookmark();
                    if self.store.has_ordered_progress() {
                        // So that the next bookmark of a quiet resource tells something new.
                        ask();
                    }
                }
            }
        }
    }
}

/// What lies between two attempts to reach the store; doubles up to its most.
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(BACKOFF_MIN)
    }
}

impl Backoff {
    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.0.mul_f64(rand::random_range(0.5..1.0))).await;
        self.0 = (self.0 * 2).min(BACKOFF_MAX);
    }

    pub(super) fn reset(&mut self) {
        self.0 = BACKOFF_MIN;
    }
}

/// The objects of a resource in the store, and the revision at which they are so.
pub(super) async fn entries(store: &Store, resource: &Resource) -> Result<(Vec<Entry>, i64), StorageError> {
    let mut entries = Vec::new();
    let take = |records: Vec<Record>| {
        let readable = records.iter().filter_map(|record| match entry(resource, record) {
            Some(Update::Put(entry)) => Some(entry),
            _ => None,
        });
        entries.extend(readable);
    };
    let revision = store.scan(&resource.prefix, 0, take).await?;
    Ok((entries, revision))
}

/// Gives a cache what the store tells of its resource.
pub(super) fn take(store: &Store, resource: &Resource, fed: Fed) {
    match fed {
        // From stores that may tell it ahead of the events it covers it is worth nothing: it would be believed, and
        // the events passed over.
        Fed::Progress(revision) if store.has_ordered_progress() => resource.cache.progress(revision),
        Fed::Progress(_) => {}
        Fed::Changes(changes) => {
            let changes = changes.into_iter().filter_map(|change| {
                let key: Box<str> = std::str::from_utf8(&change.key).ok()?.strip_prefix(&resource.prefix)?.into();
                let update = match change.value {
                    Some(value) => entry(resource, &Record { key: change.key, value, rev: change.rev }),
                    None => Some(Update::Delete),
                };
                Some((key, change.rev, update.unwrap_or(Update::Unreadable)))
            });
            resource.cache.apply(changes.collect());
        }
    }
}

fn entry(resource: &Resource, record: &Record) -> Option<Update> {
    match resource.entry(record) {
        Ok(entry) => Some(Update::Put(entry)),
        Err(error) => {
            tracing::error!(%error, "an object in the store is unreadable; what was there before is served on");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;
    use crate::storage::endpoint::EndpointConfig;

    #[tokio::test]
    async fn progress_of_old_stores_is_not_believed() {
        let config = EndpointConfig { servers: vec!["http://127.0.0.1:1".into()], identity: None };
        let store = Arc::new(Store::new(&config).expect("nothing is dialled yet"));
        let registry = Registry::new();
        let resource = Arc::clone(registry.core("configmaps").expect("a core resource"));
        resource.cache.replace(Vec::new(), 10);
        // It came ahead of an event at 15, which a cache at 20 would never see, nor its watchers.
        take(&store, &resource, Fed::Progress(20));
        assert_eq!(resource.cache.revision(), 10);
        store.trust_progress(true);
        take(&store, &resource, Fed::Progress(20));
        assert_eq!(resource.cache.revision(), 20);
    }

    #[tokio::test]
    async fn a_damaged_value_hides_neither_its_last_version_nor_others() {
        let config = EndpointConfig { servers: vec!["http://127.0.0.1:1".into()], identity: None };
        let store = Arc::new(Store::new(&config).expect("nothing is dialled yet"));
        let registry = Registry::new();
        let resource = Arc::clone(registry.core("configmaps").expect("a core resource"));
        resource.cache.replace(Vec::new(), 1);
        let change = |name: &str, rev: i64, value: Option<&[u8]>| crate::storage::watch::Change {
            key: format!("/registry/configmaps/default/{name}").into(),
            value: value.map(bytes::Bytes::copy_from_slice),
            rev,
        };
        let mut map = proto::core::v1::ConfigMap::default();
        map.metadata.name = "a".into();
        let good = proto::envelope::encode_kind(&map);
        take(&store, &resource, Fed::Changes(vec![change("a", 2, Some(&good))]));
        take(&store, &resource, Fed::Changes(vec![change("a", 3, Some(b"broken")), change("b", 4, Some(&good))]));
        assert_eq!(resource.cache.get("default/a").map(|entry| entry.rev), Some(2));
        assert_eq!(resource.cache.get("default/b").map(|entry| entry.rev), Some(4));
        take(&store, &resource, Fed::Changes(vec![change("a", 5, None)]));
        assert!(resource.cache.get("default/a").is_none());
    }
}
