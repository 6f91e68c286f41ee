//! Whether the first list of every followed resource is in.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Gvr;

/// Clones are the same.
#[derive(Clone)]
pub struct Lists {
    known: Arc<Mutex<Known>>,
    complete: Arc<watch::Sender<bool>>,
}

#[derive(Default)]
struct Known {
    /// None before the server said what it serves.
    expected: Option<BTreeSet<Gvr>>,
    listed: BTreeSet<Gvr>,
}

impl Default for Lists {
    fn default() -> Self {
        Self { known: Arc::default(), complete: Arc::new(watch::Sender::new(false)) }
    }
}

impl Lists {
    /// What is followed from now on.
    pub fn expect(&self, resources: BTreeSet<Gvr>) {
        self.change(|known| {
            known.listed.retain(|gvr| resources.contains(gvr));
            known.expected = Some(resources);
        });
    }

    /// A list is in.
    pub fn listed(&self, gvr: &Gvr) {
        self.change(|known| {
            known.listed.insert(gvr.clone());
        });
    }

    /// Returns once all of them are in.
    pub async fn complete(&self) {
        let mut complete = self.complete.subscribe();
        // The sender lives as long as this value.
        let _open = complete.wait_for(|complete| *complete).await;
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        let all = known.expected.as_ref().is_some_and(|expected| expected.is_subset(&known.listed));
        self.complete.send_if_modified(|complete| std::mem::replace(complete, all) != all);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn gvr(plural: &str) -> Gvr {
        (String::new(), "v1".to_owned(), plural.to_owned())
    }

    async fn is_complete(lists: &Lists) -> bool {
        tokio::time::timeout(Duration::from_secs(1), lists.complete()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_complete_before_every_list_is_in() {
        let lists = Lists::default();
        assert!(!is_complete(&lists).await, "what is served is not known");
        lists.expect(BTreeSet::from([gvr("pods"), gvr("services")]));
        lists.listed(&gvr("pods"));
        assert!(!is_complete(&lists).await);
        lists.listed(&gvr("services"));
        assert!(is_complete(&lists).await);
        lists.expect(BTreeSet::from([gvr("pods"), gvr("services"), gvr("new")]));
        assert!(!is_complete(&lists).await, "a resource that came to be served");
        lists.expect(BTreeSet::from([gvr("pods")]));
        assert!(is_complete(&lists).await, "a resource that cannot be listed and is served no more");
    }
}
