//! The local copy itself: objects by namespace and name, with indexes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use proto::Object;
use tokio::sync::watch;

/// Namespace and name of an object; the namespace of cluster-scoped ones is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl Key {
    /// A key.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// An object's key.
    pub fn of<T: Object>(object: &T) -> Self {
        let meta = object.metadata();
        Self { namespace: meta.namespace.clone(), name: meta.name.clone() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// What happened to one object: new (no `old`), changed (both), gone (no `new`).
#[derive(Debug)]
pub struct Change<T> {
    /// Whose it is.
    pub key: Key,
    /// Before.
    pub old: Option<Arc<T>>,
    /// After.
    pub new: Option<Arc<T>>,
}

impl<T> Clone for Change<T> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), old: self.old.clone(), new: self.new.clone() }
    }
}

impl<T> Change<T> {
    /// The object as it is, or as it was last.
    pub fn object(&self) -> Option<&Arc<T>> {
        self.new.as_ref().or(self.old.as_ref())
    }
}

/// Objects as an informer knows them. Clones are the same store.
pub struct Store<T> {
    inner: Arc<RwLock<Inner<T>>>,
    synced: Arc<watch::Sender<bool>>,
}

impl<T> Clone for Store<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), synced: self.synced.clone() }
    }
}

impl<T> fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

struct Inner<T> {
    namespaces: BTreeMap<String, BTreeMap<String, Arc<T>>>,
    indexes: HashMap<&'static str, Index<T>>,
    revision: i64,
    /// What handlers know of the objects of which the store has an own write that they were not told of yet.
    untold: HashMap<Key, Option<Arc<T>>>,
}

struct Index<T> {
    keys: fn(&T) -> Vec<String>,
    found: HashMap<String, BTreeSet<Key>>,
}

impl<T: Object> Store<T> {
    /// An empty store.
    pub fn new() -> Self {
        let inner = Inner { namespaces: BTreeMap::new(), indexes: HashMap::new(), revision: 0, untold: HashMap::new() };
        Self { inner: Arc::new(RwLock::new(inner)), synced: Arc::new(watch::Sender::new(false)) }
    }

    /// A store of these objects, complete: for tests and simulations.
    pub fn of(objects: impl IntoIterator<Item = T>) -> Self {
        let store = Self::new();
        for object in objects {
            store.put(object);
        }
        store.set_synced();
        store
    }

    /// Keeps objects findable by what `keys` gives for each.
    pub fn add_index(&self, name: &'static str, keys: fn(&T) -> Vec<String>) {
        let mut inner = self.write();
        let mut index = Index { keys, found: HashMap::new() };
        for object in inner.namespaces.values().flat_map(BTreeMap::values) {
            index.add(object);
        }
        inner.indexes.insert(name, index);
    }

    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.read().namespaces.get(namespace)?.get(name).cloned()
    }

    /// One object by its key.
    pub fn get_key(&self, key: &Key) -> Option<Arc<T>> {
        self.get(&key.namespace, &key.name)
    }

    /// All objects, by namespace and name.
    pub fn list(&self) -> Vec<Arc<T>> {
        self.read().namespaces.values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// The objects of one namespace, by name.
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<T>> {
        self.read().namespaces.get(namespace).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// The objects that an index gave this value for.
    pub fn by_index(&self, index: &str, value: &str) -> Vec<Arc<T>> {
        let inner = self.read();
        let keys = inner.indexes.get(index).and_then(|index| index.found.get(value));
        keys.into_iter()
            .flatten()
            .filter_map(|key| inner.namespaces.get(&key.namespace)?.get(&key.name).cloned())
            .collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read().namespaces.values().map(BTreeMap::len).sum()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The last revision that the store knows of.
    pub fn revision(&self) -> i64 {
        self.read().revision
    }

    /// Whether the first list is in.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Returns once the first list is in.
    pub async fn wait_synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives as long as this store.
        let _open = synced.wait_for(|synced| *synced).await;
    }

    /// Takes in what the caller itself just wrote, so that its next look sees it before the watch brings it.
    ///
    /// The watch stays the authority: its revision does not move, a newer object stays, and an object whose deletion the
    /// watch has already brought does not come back. The handlers hear of the write when the watch, or a list in its
    /// place, brings it: as a change from what they were told last.
    pub fn observe(&self, written: T) {
        let key = Key::of(&written);
        let revision = revision_of(&written);
        let mut inner = self.write();
        let old = inner.namespaces.get(&key.namespace).and_then(|names| names.get(&key.name)).cloned();
        match &old {
            Some(old) if revision_of(&**old) >= revision => return,
            None if revision <= inner.revision => return,
            _ => {}
        }
        let new = Arc::new(written);
        inner.namespaces.entry(key.namespace.clone()).or_default().insert(key.name.clone(), new.clone());
        inner.reindex(old.as_deref(), Some(&new));
        inner.untold.entry(key).or_insert(old);
    }

    /// Takes an object in that the watch brought. None: what is there is newer.
    pub fn put(&self, object: T) -> Option<Change<T>> {
        let key = Key::of(&object);
        let revision = revision_of(&object);
        let new = Arc::new(object);
        let mut inner = self.write();
        inner.revision = inner.revision.max(revision);
        let old = inner.namespaces.get(&key.namespace).and_then(|names| names.get(&key.name)).cloned();
        if old.as_ref().is_some_and(|old| revision_of(&**old) > revision) {
            return None;
        }
        inner.namespaces.entry(key.namespace.clone()).or_default().insert(key.name.clone(), new.clone());
        inner.reindex(old.as_deref(), Some(&new));
        let told = inner.untold.remove(&key).unwrap_or(old);
        Some(Change { key, old: told, new: Some(new) })
    }

    /// Takes an object out; its metadata has the revision of its deletion.
    pub fn remove(&self, last: T) -> Option<Change<T>> {
        let key = Key::of(&last);
        let mut inner = self.write();
        inner.revision = inner.revision.max(revision_of(&last));
        inner.lose(key)
    }

    /// Makes the store equal to a list; gives what that changed.
    pub fn replace(&self, objects: Vec<T>, revision: i64) -> Vec<Change<T>> {
        let listed: BTreeSet<Key> = objects.iter().map(Key::of).collect();
        let mut changes = Vec::new();
        {
            let mut inner = self.write();
            // A list after a restore of the server's store may be older than what was known: then all of it counts.
            // Otherwise, what is newer than the list is an own write that the watch will bring.
            let restored = revision < inner.revision;
            for key in inner.keys().into_iter().filter(|key| !listed.contains(key)).collect::<Vec<_>>() {
                if !restored && inner.revision_at(&key).is_some_and(|known| known > revision) {
                    continue;
                }
                changes.extend(inner.lose(key));
            }
            inner.revision = revision;
            for object in objects {
                let key = Key::of(&object);
                let old = inner.namespaces.get(&key.namespace).and_then(|names| names.get(&key.name)).cloned();
                if let Some(old) = &old {
                    let same = revision_of(&**old) == revision_of(&object) && same_uid(&**old, &object);
                    let newer = !restored && revision_of(&**old) > revision;
                    // An own write that the watch did not get to tell of is told now.
                    if newer || (same && !inner.untold.contains_key(&key)) {
                        continue;
                    }
                }
                let new = Arc::new(object);
                inner.namespaces.entry(key.namespace.clone()).or_default().insert(key.name.clone(), new.clone());
                inner.reindex(old.as_deref(), Some(&new));
                let told = inner.untold.remove(&key).unwrap_or(old);
                changes.push(Change { key, old: told, new: Some(new) });
            }
        }
        changes
    }

    /// Nothing happened up to this revision.
    pub fn advance(&self, revision: i64) {
        let mut inner = self.write();
        inner.revision = inner.revision.max(revision);
    }

    /// The first list is in.
    pub fn set_synced(&self) {
        self.synced.send_replace(true);
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner<T>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<T>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Object> Default for Store<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Object> Inner<T> {
    fn keys(&self) -> Vec<Key> {
        let namespaces = self.namespaces.iter();
        namespaces.flat_map(|(namespace, names)| names.keys().map(move |name| Key::new(namespace, name))).collect()
    }

    fn revision_at(&self, key: &Key) -> Option<i64> {
        Some(revision_of(&**self.namespaces.get(&key.namespace)?.get(&key.name)?))
    }

    fn take(&mut self, key: &Key) -> Option<Arc<T>> {
        let names = self.namespaces.get_mut(&key.namespace)?;
        let old = names.remove(&key.name);
        if names.is_empty() {
            self.namespaces.remove(&key.namespace);
        }
        old
    }

    /// Takes an object out and says so: it is gone from what the handlers knew, where they knew it.
    fn lose(&mut self, key: Key) -> Option<Change<T>> {
        let last = self.take(&key)?;
        self.reindex(Some(&last), None);
        let told = self.untold.remove(&key).flatten();
        Some(Change { key, old: Some(told.unwrap_or(last)), new: None })
    }

    fn reindex(&mut self, old: Option<&T>, new: Option<&T>) {
        for index in self.indexes.values_mut() {
            if let Some(old) = old {
                index.remove(old);
            }
            if let Some(new) = new {
                index.add(new);
            }
        }
    }
}

impl<T: Object> Index<T> {
    fn add(&mut self, object: &T) {
        for value in (self.keys)(object) {
            self.found.entry(value).or_default().insert(Key::of(object));
        }
    }

    fn remove(&mut self, object: &T) {
        for value in (self.keys)(object) {
            if let Some(keys) = self.found.get_mut(&value) {
                keys.remove(&Key::of(object));
                if keys.is_empty() {
                    self.found.remove(&value);
                }
            }
        }
    }
}

fn revision_of<T: Object>(object: &T) -> i64 {
    object.metadata().resource_version.parse().unwrap_or(0)
}

fn same_uid<T: Object>(a: &T, b: &T) -> bool {
    a.metadata().uid == b.metadata().uid
}
