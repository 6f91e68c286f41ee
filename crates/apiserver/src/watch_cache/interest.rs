//! How many watchers are told of a change, found without asking each of them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Filter;

/// Watchers by what they watch: all (``), one namespace (`n/`), one object (`n/name`, `name`).
#[derive(Debug, Default)]
pub struct Interest {
    counts: Mutex<HashMap<String, u64>>,
}

/// A watcher that is counted until this is dropped.
#[derive(Debug)]
pub struct Interested {
    of: Arc<Interest>,
    scope: String,
}

impl Interest {
    /// Counts a watcher.
    pub fn count(self: &Arc<Self>, filter: &Filter) -> Interested {
        let scope = match (filter.namespace.as_str(), filter.name.as_str()) {
            ("", name) => name.to_owned(),
            (namespace, name) => format!("{namespace}/{name}"),
        };
        *self.counts.lock().entry(scope.clone()).or_default() += 1;
        Interested { of: Arc::clone(self), scope }
    }

    /// How many watch the object of this key.
    pub fn of(&self, key: &str) -> u64 {
        let counts = self.counts.lock();
        if counts.is_empty() {
            return 0;
        }
        let found = |scope: &str| counts.get(scope).copied().unwrap_or(0);
        match key.rfind('/') {
            Some(slash) if slash + 1 < key.len() => found("") + found(&key[..=slash]) + found(key),
            // A new object has no name yet.
            Some(_) => found("") + found(key),
            None if key.is_empty() => found(""),
            None => found("") + found(key),
        }
    }
}

impl Drop for Interested {
    fn drop(&mut self) {
        let mut counts = self.of.counts.lock();
        if let Some(count) = counts.get_mut(&self.scope) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.scope);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_count_for_what_they_watch() {
        let interest = Arc::new(Interest::default());
        let filter = |namespace: &str, name: &str| Filter {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..Filter::default()
        };
        let all = interest.count(&filter("", ""));
        let _namespace = interest.count(&filter("n", ""));
        let _object = interest.count(&filter("n", "a"));
        assert_eq!((interest.of("n/a"), interest.of("n/b"), interest.of("n/"), interest.of("m/a")), (3, 2, 2, 1));
        drop(all);
        assert_eq!((interest.of("n/a"), interest.of("x"), interest.of("")), (2, 0, 0));
    }
}
