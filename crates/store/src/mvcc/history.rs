//! The versions of one key, oldest first.

use smallvec::SmallVec;

/// Where a version's record lies: segment, offset and length of its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loc {
    pub segment: u32,
    pub offset: u32,
    pub len: u32,
}

/// One version of a key, with the numbers that etcd shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// The revision of the transaction that wrote it.
    pub main: i64,
    pub create: i64,
    /// 0: a tombstone.
    pub version: i64,
    pub lease: i64,
    /// Place among the changes of its transaction.
    pub sub: u32,
    pub loc: Loc,
}

impl Version {
    pub fn is_tombstone(&self) -> bool {
        self.version == 0
    }

    fn order(&self) -> (i64, u32) {
        (self.main, self.sub)
    }
}

#[derive(Clone, Debug, Default)]
pub struct History {
    versions: SmallVec<[Version; 1]>,
}

impl History {
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// The version that a reader at `revision` sees; none before the first, after a tombstone, or when compacted.
    pub fn at(&self, revision: i64) -> Option<&Version> {
        let found = match self.versions.last() {
            Some(last) if last.main <= revision => last,
            _ => {
                let after = self.versions.partition_point(|version| version.main <= revision);
                self.versions.get(after.checked_sub(1)?)?
            }
        };
        (!found.is_tombstone()).then_some(found)
    }

    /// The version, tombstones included, just before (main, sub).
    pub fn before(&self, main: i64, sub: u32) -> Option<&Version> {
        let at = self.versions.partition_point(|version| version.order() < (main, sub));
        self.versions.get(at.checked_sub(1)?)
    }

    /// Adds a version in its place; false when it is there already (a replay).
    pub fn insert(&mut self, version: Version) -> bool {
        let at = match self.versions.last() {
            Some(last) if last.order() < version.order() => self.versions.len(),
            _ => self.versions.partition_point(|other| other.order() < version.order()),
        };
        if self.versions.get(at).is_some_and(|other| other.order() == version.order()) {
            return false;
        }
        self.versions.insert(at, version);
        true
    }

    /// The version itself, to note where its record moved to.
    pub fn find_mut(&mut self, main: i64, sub: u32) -> Option<&mut Version> {
        let at = self.versions.partition_point(|version| version.order() < (main, sub));
        self.versions.get_mut(at).filter(|version| version.order() == (main, sub))
    }

    /// Where the versions begin that a compaction at `revision` keeps. A tombstone of `revision` itself stays: watchers may
    /// begin there.
    fn kept_from(&self, revision: i64) -> usize {
        let after = self.versions.partition_point(|version| version.main <= revision);
        let Some(newest) = after.checked_sub(1) else { return 0 };
        let newest_one = &self.versions[newest];
        let unseen = newest_one.is_tombstone() && newest_one.main < revision;
        if unseen { after } else { newest }
    }

    /// What a compaction at `revision` keeps, whether it has come by already or not.
    pub fn kept(&self, revision: i64) -> &[Version] {
        &self.versions[self.kept_from(revision)..]
    }

    /// Drops what no reader at or after `revision` can see; `dropped` is told each.
    pub fn compact(&mut self, revision: i64, mut dropped: impl FnMut(&Version)) {
        let keep_from = self.kept_from(revision);
        for version in self.versions.drain(..keep_from) {
            dropped(&version);
        }
        if keep_from > 0 && self.versions.len() <= 1 {
            self.versions.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(main: i64, version: i64) -> Version {
        Version { main, version, ..Default::default() }
    }

    fn history(versions: &[Version]) -> History {
        let mut history = History::default();
        for version in versions {
            history.insert(*version);
        }
        history
    }

    #[test]
    fn a_reader_sees_the_last_version_up_to_its_revision() {
        let history = history(&[version(2, 1), version(5, 2), version(7, 0), version(9, 1)]);
        for (revision, seen) in
            [(1, None), (2, Some(2)), (4, Some(2)), (6, Some(5)), (7, None), (8, None), (9, Some(9))]
        {
            assert_eq!(history.at(revision).map(|version| version.main), seen, "at {revision}");
        }
    }

    #[test]
    fn compaction_keeps_what_readers_at_the_revision_see() {
        for (revision, left) in [
            (1, vec![2, 5, 7, 9]),
            (2, vec![2, 5, 7, 9]),
            (6, vec![5, 7, 9]),
            (7, vec![7, 9]),
            (8, vec![9]),
            (9, vec![9]),
        ] {
            let mut history = history(&[version(2, 1), version(5, 2), version(7, 0), version(9, 1)]);
            history.compact(revision, |_| {});
            let mains: Vec<i64> = history.versions().iter().map(|version| version.main).collect();
            assert_eq!(mains, left, "compacted at {revision}");
        }
    }

    #[test]
    fn inserting_twice_or_late_changes_nothing_but_the_order() {
        let mut history = history(&[version(9, 2), version(2, 1)]);
        assert!(!history.insert(version(2, 1)));
        assert_eq!(history.versions()[0].main, 2);
    }
}
