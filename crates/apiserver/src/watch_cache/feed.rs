//! The task that keeps one watch cache: lists once, then follows the store's watch; after a broken watch it resumes
//! from where it was, after a compaction it lists anew.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Update;
use crate::registry::Resource;
use crate::storage::watch::Fed;
use crate::storage::{Record, StorageError, Store};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How often watchers that want it are told how far they are.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(30);

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
        let mut backoff = BACKOFF_MIN;
        let mut filled = false;
        loop {
            let outcome = if filled { self.watch(&mut backoff).await } else { self.fill().await };
            match outcome {
                Ok(()) => filled = true,
                Err(error) => {
                    filled &= !matches!(error, StorageError::Compacted { .. });
                    let resource = self.resource.name();
                    tracing::warn!(resource, error = %daemon::process::chain(&error), "watch cache lost the store, trying again");
                    tokio::time::sleep(backoff.mul_f64(rand::random_range(0.5..1.0))).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }

    async fn fill(&self) -> Result<(), StorageError> {
        let mut entries = Vec::new();
        let revision = self
            .store
            .scan(&self.resource.prefix, 0, |records| {
                let readable = records.iter().filter_map(|record| match self.entry(record) {
                    Some(Update::Put(entry)) => Some(entry),
                    _ => None,
                });
                entries.extend(readable);
            })
            .await?;
        self.resource.cache.replace(entries, revision);
        Ok(())
    }

    async fn watch(&self, backoff: &mut Duration) -> Result<(), StorageError> {
        let cache = &self.resource.cache;
        let mut watch = self.store.watch(&self.resource.prefix, cache.revision() + 1).await?;
        let ask = watch.progress_requester();
        let mut bookmarks = tokio::time::interval(BOOKMARK_INTERVAL);
        loop {
            tokio::select! {
                fed = watch.next() => {
                    self.take(fed?);
                    *backoff = BACKOFF_MIN;
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

    fn take(&self, fed: Fed) {
        match fed {
            // From stores that may tell it ahead of the events it covers it is worth nothing: it would be believed, and
            // the events passed over.
            Fed::Progress(revision) if self.store.has_ordered_progress() => self.resource.cache.progress(revision),
            Fed::Progress(_) => {}
            Fed::Changes(changes) => {
                let changes = changes.into_iter().filter_map(|change| {
                    let key: Box<str> =
                        std::str::from_utf8(&change.key).ok()?.strip_prefix(&self.resource.prefix)?.into();
                    let update = match change.value {
                        Some(value) => self.entry(&Record { key: change.key, value, rev: change.rev }),
                        None => Some(Update::Delete),
                    };
                    Some((key, change.rev, update.unwrap_or(Update::Unreadable)))
                });
                self.resource.cache.apply(changes.collect());
            }
        }
    }

    fn entry(&self, record: &Record) -> Option<Update> {
        match self.resource.entry(record) {
            Ok(entry) => Some(Update::Put(entry)),
            Err(error) => {
                tracing::error!(%error, "an object in the store is unreadable; what was there before is served on");
                None
            }
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
        let feed = Feed { store: Arc::clone(&store), resource: Arc::clone(&resource), stop: CancellationToken::new() };
        resource.cache.replace(Vec::new(), 10);
        // It came ahead of an event at 15, which a cache at 20 would never see, nor its watchers.
        feed.take(Fed::Progress(20));
        assert_eq!(resource.cache.revision(), 10);
        store.trust_progress(true);
        feed.take(Fed::Progress(20));
        assert_eq!(resource.cache.revision(), 20);
    }

    #[tokio::test]
    async fn a_damaged_value_hides_neither_its_last_version_nor_others() {
        let config = EndpointConfig { servers: vec!["http://127.0.0.1:1".into()], identity: None };
        let store = Arc::new(Store::new(&config).expect("nothing is dialled yet"));
        let registry = Registry::new();
        let resource = Arc::clone(registry.core("configmaps").expect("a core resource"));
        let feed = Feed { store, resource: Arc::clone(&resource), stop: CancellationToken::new() };
        resource.cache.replace(Vec::new(), 1);
        let change = |name: &str, rev: i64, value: Option<&[u8]>| crate::storage::watch::Change {
            key: format!("/registry/configmaps/default/{name}").into(),
            value: value.map(bytes::Bytes::copy_from_slice),
            rev,
        };
        let mut map = proto::core::v1::ConfigMap::default();
        map.metadata.name = "a".into();
        let good = proto::envelope::encode_kind(&map);
        feed.take(Fed::Changes(vec![change("a", 2, Some(&good))]));
        feed.take(Fed::Changes(vec![change("a", 3, Some(b"broken")), change("b", 4, Some(&good))]));
        assert_eq!(resource.cache.get("default/a").map(|entry| entry.rev), Some(2));
        assert_eq!(resource.cache.get("default/b").map(|entry| entry.rev), Some(4));
        feed.take(Fed::Changes(vec![change("a", 5, None)]));
        assert!(resource.cache.get("default/a").is_none());
    }
}
