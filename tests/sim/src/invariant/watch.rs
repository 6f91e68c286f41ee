//! Watches: a watcher gets every change of what it watches from where it began, once, in order.
//!
//! What there is to get is what all watchers and all acknowledged writers know together; a watcher answers for the
//! revisions between where it began and the last one that it was told of.

use std::collections::{BTreeMap, BTreeSet};

use super::Verdict;

/// One change: a key, and its value; none when it was removed.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// What one watcher was told.
#[derive(Clone, Debug, Default)]
pub struct Watcher {
    pub name: String,
    /// The key that it watches; empty: all keys.
    pub key: Vec<u8>,
    /// Revisions that it answers for: from the first to the last of each span, both included.
    pub spans: Vec<(i64, i64)>,
    pub told: BTreeMap<i64, Vec<Change>>,
    last: i64,
}

impl Watcher {
    pub fn new(name: String, key: Vec<u8>) -> Self {
        Self { name, key, ..Self::default() }
    }

    /// It begins, or begins again, at a revision.
    pub fn begin(&mut self, from: i64) {
        self.spans.push((from, from - 1));
        self.last = from - 1;
    }

    /// Events of one response: of one revision or of several, in order. Those of one revision come together.
    pub fn take(&mut self, events: Vec<(i64, Change)>) -> Verdict {
        let (mut keys, mut at) = (BTreeSet::new(), 0);
        for (revision, change) in events {
            if revision != at {
                if revision <= self.last {
                    return Err(format!("{} got revision {revision} after revision {}", self.name, self.last));
                }
                keys.clear();
            }
            (at, self.last) = (revision, revision);
            if !keys.insert(change.0.clone()) {
                return Err(format!("{} got {:?} twice at revision {revision}", self.name, change.0));
            }
            self.told.entry(revision).or_default().push(change);
        }
        self.reach(self.last);
        Ok(())
    }

    /// It was told that there is nothing up to a revision that it has not got.
    pub fn progress(&mut self, revision: i64) -> Verdict {
        if revision < self.last {
            return Err(format!("{} is told revision {revision} after revision {}", self.name, self.last));
        }
        self.reach(revision);
        self.last = self.last.max(revision);
        Ok(())
    }

    fn reach(&mut self, revision: i64) {
        if let Some(span) = self.spans.last_mut() {
            span.1 = span.1.max(revision);
        }
    }

    /// Where it has to go on.
    pub fn next(&self) -> i64 {
        self.last + 1
    }

    fn answers_for(&self, revision: i64) -> bool {
        self.spans.iter().any(|(from, upto)| (*from..=*upto).contains(&revision))
    }
}

/// Compares what all watchers were told, and what writers know (`written`: by revision).
pub fn check(watchers: &[Watcher], written: &BTreeMap<i64, Vec<Change>>) -> Verdict {
    let mut truth: BTreeMap<i64, BTreeMap<&[u8], &Option<Vec<u8>>>> = BTreeMap::new();
    let told = watchers.iter().flat_map(|watcher| watcher.told.iter().map(|told| (watcher.name.as_str(), told)));
    let known = told.chain(written.iter().map(|written| ("a writer", written)));
    for (name, (revision, changes)) in known {
        for (key, value) in changes {
            let first = truth.entry(*revision).or_default().entry(key).or_insert(value);
            if *first != value {
                return Err(format!("{name} knows another value of {key:?} at revision {revision} than others"));
            }
        }
    }
    for watcher in watchers {
        for (revision, changes) in truth.iter().filter(|(revision, _)| watcher.answers_for(**revision)) {
            let told = watcher.told.get(revision).map_or(&[][..], Vec::as_slice);
            let wanted = |key: &[u8]| watcher.key.is_empty() || watcher.key == key;
            for key in changes.keys().filter(|key| wanted(key)) {
                if !told.iter().any(|(told, _)| told == key) {
                    return Err(format!("{} missed {key:?} at revision {revision}", watcher.name));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: i64, key: &str, value: &str) -> (i64, Change) {
        (revision, (key.into(), Some(value.into())))
    }

    fn watcher(name: &str, from: i64, events: &[(i64, Change)]) -> Watcher {
        let mut watcher = Watcher::new(name.to_owned(), Vec::new());
        watcher.begin(from);
        for event in events {
            assert_eq!(watcher.take(vec![event.clone()]), Ok(()));
        }
        watcher
    }

    #[test]
    fn order_and_doubles_are_looked_at_as_they_come() {
        let mut one = watcher("one", 2, &[event(2, "a", "1"), event(3, "a", "2")]);
        assert!(one.take(vec![event(3, "a", "2")]).is_err(), "twice");
        assert!(one.take(vec![event(2, "a", "1")]).is_err(), "back");
        assert!(one.take(vec![event(5, "a", "1"), event(5, "a", "1")]).is_err(), "twice at once");
        assert!(one.progress(2).is_err(), "a step back");
    }

    #[test]
    fn a_gap_is_objected_to() {
        let all = watcher("all", 2, &[event(2, "a", "1"), event(3, "a", "2"), event(4, "a", "3")]);
        let late = watcher("late", 4, &[event(4, "a", "3")]);
        assert_eq!(check(&[all.clone(), late], &BTreeMap::new()), Ok(()));
        let gap = watcher("gap", 2, &[event(2, "a", "1"), event(4, "a", "3")]);
        assert!(check(&[all.clone(), gap.clone()], &BTreeMap::new()).is_err());
        let written = BTreeMap::from([(3, vec![("a".into(), Some("2".into()))])]);
        assert!(check(&[gap], &written).is_err(), "a writer knows of it");
        let mut told = all.clone();
        assert_eq!(told.progress(9), Ok(()));
        let written = BTreeMap::from([(8, vec![("a".into(), None)])]);
        assert!(check(&[told], &written).is_err(), "told that there was nothing");
    }

    #[test]
    fn another_value_is_objected_to() {
        let one = watcher("one", 2, &[event(2, "a", "1")]);
        let other = watcher("other", 2, &[event(2, "a", "2")]);
        assert!(check(&[one, other], &BTreeMap::new()).is_err());
    }
}
