//! One client's watchers, and what waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::hub::{Hub, Inner, Place};
use super::{Behind, Fetched, Item, Signal, Spec};
use crate::env::planted::{self, Bug};

/// One watcher, with what its session keeps of it.
pub struct Watcher<V> {
    pub watch_id: i64,
    /// Earlier changes are not for it, though others of its group get them.
    pub from: i64,
    pub view: V,
}

struct Group<V> {
    place: Place,
    spec: Spec,
    watchers: Vec<Watcher<V>>,
}

/// One client's stream of watchers; dropping it ends them.
///
/// A watcher from now on joins the group of those that want the same; one from the past begins as a group of its own, and
/// joins the others when it has caught up.
pub struct WatchStream<V = ()> {
    hub: Arc<Hub>,
    stream: usize,
    signal: Arc<Signal>,
    groups: BTreeMap<u64, Group<V>>,
    next_group: u64,
    /// The groups that others join.
    joined: BTreeMap<Spec, u64>,
    /// Groups that have caught up, to join others.
    apart: Vec<u64>,
    /// The group of each watcher.
    ids: BTreeMap<i64, u64>,
    next_watch: i64,
    /// Ids of watchers that ended by themselves: taken until they are canceled.
    ended: BTreeSet<i64>,
}

impl<V> WatchStream<V> {
    pub(super) fn new(hub: Arc<Hub>, stream: usize, signal: Arc<Signal>) -> Self {
        Self {
            hub,
            stream,
            signal,
            groups: BTreeMap::new(),
            next_group: 0,
            joined: BTreeMap::new(),
            apart: Vec::new(),
            ids: BTreeMap::new(),
            next_watch: 0,
            ended: BTreeSet::new(),
        }
    }

    /// Raised when there is, or may be, something to take or to catch up with.
    pub fn signal(&self) -> Arc<Signal> {
        self.signal.clone()
    }

    /// Adds a watcher; `start` 0 is from now on. Gives its id and the revision at which it was added; none when the
    /// wanted id is taken.
    pub fn watch(&mut self, wanted_id: i64, spec: Spec, start: i64, view: V) -> Option<(i64, i64)> {
        let watch_id = self.free_id(wanted_id)?;
        let hub = self.hub.clone();
        let mut inner = hub.lock();
        let revision = inner.revision;
        let from = if start <= 0 { revision + 1 } else { start };
        let watcher = Watcher { watch_id, from, view };
        let is_past = from <= revision;
        let others = if is_past { None } else { self.joined.get(&spec).copied() };
        let id = match others.and_then(|id| Some((id, self.groups.get_mut(&id)?))) {
            Some((id, group)) => {
                group.watchers.push(watcher);
                let shared = &mut inner.groups[group.place];
                shared.watchers += 1;
                shared.from = shared.from.min(from);
                id
            }
            None => {
                let id = self.next_group;
                self.next_group += 1;
                let place = inner.add(self.stream, id, spec.clone(), from);
                if !is_past {
                    self.joined.insert(spec.clone(), id);
                }
                self.groups.insert(id, Group { place, spec, watchers: vec![watcher] });
                id
            }
        };
        self.ids.insert(watch_id, id);
        if is_past {
            self.signal.raise();
        }
        Some((watch_id, revision))
    }

    fn free_id(&mut self, wanted_id: i64) -> Option<i64> {
        if wanted_id != 0 {
            return (!self.is_taken(wanted_id)).then_some(wanted_id);
        }
        while self.is_taken(self.next_watch) {
            self.next_watch += 1;
        }
        // An id is not given again on its own, even when its watcher is gone: answers of the old one may be on their way.
        self.next_watch += 1;
        Some(self.next_watch - 1)
    }

    fn is_taken(&self, watch_id: i64) -> bool {
        self.ids.contains_key(&watch_id) || self.ended.contains(&watch_id)
    }

    /// Gives the id of a watcher that ended by itself free; false when there is none such.
    pub fn release(&mut self, watch_id: i64) -> bool {
        self.ended.remove(&watch_id)
    }

    /// Ends a watcher without being asked: its id stays its own until its client cancels it.
    pub fn end(&mut self, watch_id: i64) -> Option<V> {
        let view = self.cancel(watch_id)?;
        self.ended.insert(watch_id);
        Some(view)
    }

    /// Ends a watcher; none when there is none such.
    pub fn cancel(&mut self, watch_id: i64) -> Option<V> {
        let id = self.ids.remove(&watch_id)?;
        let group = self.groups.get_mut(&id)?;
        let at = group.watchers.iter().position(|watcher| watcher.watch_id == watch_id)?;
        let watcher = group.watchers.remove(at);
        if group.watchers.is_empty() {
            self.cancel_group(id);
        } else {
            self.hub.lock().groups[group.place].watchers -= 1;
        }
        Some(watcher.view)
    }

    /// Ends all watchers of a group without being asked.
    pub fn end_group(&mut self, id: u64) -> Vec<Watcher<V>> {
        let watchers = self.cancel_group(id);
        self.ended.extend(watchers.iter().map(|watcher| watcher.watch_id));
        watchers
    }

    fn cancel_group(&mut self, id: u64) -> Vec<Watcher<V>> {
        let Some(group) = self.groups.remove(&id) else { return Vec::new() };
        if self.joined.get(&group.spec) == Some(&id) {
            self.joined.remove(&group.spec);
        }
        for watcher in &group.watchers {
            self.ids.remove(&watcher.watch_id);
        }
        self.hub.lock().forget(group.place);
        group.watchers
    }

    /// What a group wants, and who is in it.
    pub fn group(&mut self, id: u64) -> Option<(&Spec, &mut [Watcher<V>])> {
        self.groups.get_mut(&id).map(|group| (&group.spec, &mut group.watchers[..]))
    }

    pub fn watchers(&mut self) -> impl Iterator<Item = &mut Watcher<V>> {
        self.groups.values_mut().flat_map(|group| &mut group.watchers)
    }

    /// The last published revision, when every watcher has got, or has waiting in the outbox, all up to it, and none waits
    /// for a later one: that one's client may have seen more elsewhere, and is not told of a step back. What waits is put
    /// into `into`, which is empty, so that it can be said first.
    pub fn progress(&self, into: &mut Vec<Item>) -> Option<i64> {
        let mut inner = self.hub.lock();
        let revision = inner.revision;
        let outbox = &mut inner.streams[self.stream];
        let mut watchers = self.groups.values().flat_map(|group| &group.watchers);
        if outbox.behind > 0 || watchers.any(|watcher| watcher.from > revision + 1) {
            return None;
        }
        outbox.take(into);
        Some(revision)
    }

    /// Puts what waits into `into`, which is empty, and gives the groups that are behind: taken at once, so that everything
    /// of a group that waits comes before what it has missed. What was taken before must have been said.
    pub fn take(&mut self, into: &mut Vec<Item>) -> Vec<Behind> {
        let hub = self.hub.clone();
        let mut inner = hub.lock();
        if !self.apart.is_empty() {
            self.join(&mut inner);
        }
        let outbox = &mut inner.streams[self.stream];
        outbox.take(into);
        if outbox.behind == 0 {
            return Vec::new();
        }
        let behind = |(id, group): (&u64, &Group<V>)| {
            let next = inner.groups[group.place].behind?;
            Some(Behind { group: *id, spec: group.spec.clone(), next })
        };
        self.groups.iter().filter_map(behind).collect()
    }

    /// Brings groups that have caught up, and for which nothing waits, together with others that want the same: from the
    /// next revision on they get what those get.
    fn join(&mut self, inner: &mut Inner) {
        let mut later = Vec::new();
        for id in std::mem::take(&mut self.apart) {
            let Some(group) = self.groups.get(&id).filter(|group| inner.groups[group.place].behind.is_none()) else {
                continue;
            };
            if inner.streams[self.stream].items.iter().any(|item| item.group == id) {
                later.push(id);
                continue;
            }
            let into = *self.joined.entry(group.spec.clone()).or_insert(id);
            if into != id {
                self.move_all(id, into, inner);
            }
        }
        self.apart = later;
    }

    fn move_all(&mut self, id: u64, into: u64, inner: &mut Inner) {
        let Some(mut group) = self.groups.remove(&id) else { return };
        inner.forget(group.place);
        let Some(others) = self.groups.get_mut(&into) else { return };
        let shared = &mut inner.groups[others.place];
        shared.watchers += group.watchers.len();
        shared.from = shared.from.min(inner.revision + 1);
        for watcher in &mut group.watchers {
            watcher.from = watcher.from.max(inner.revision + 1);
            self.ids.insert(watcher.watch_id, into);
        }
        others.watchers.append(&mut group.watchers);
    }

    /// What the log has for a group that is behind, at most `events_max` events; when that is all there is, the
    /// group is up to date again, and what follows comes through the outbox.
    pub fn fetch(&mut self, behind: &Behind, events_max: usize) -> Fetched {
        let hub = self.hub.clone();
        let mut inner = hub.lock();
        if behind.next <= inner.log_after {
            return Fetched::History { upto: inner.log_after };
        }
        let mut items = Vec::new();
        let mut events = 0;
        let mut next = None;
        let mut first = inner.log.partition_point(|change| change.revision < behind.next);
        if planted::is(Bug::WatchSkips) && first < inner.log.len() {
            first += 1;
        }
        for change in inner.log.range(first..) {
            if events >= events_max {
                next = Some(change.revision);
                break;
            }
            let picks = behind.spec.pick(change);
            if !picks.is_empty() {
                events += picks.len();
                items.push(Item { group: behind.group, change: change.clone(), picks });
            }
        }
        if let Some(group) = self.groups.get(&behind.group) {
            inner.set_behind(group.place, next);
            if next.is_none() {
                self.apart.push(behind.group);
            }
        }
        Fetched::Log(items)
    }

    /// Everything before `next` was fetched from the history.
    pub fn fetched_until(&self, group: u64, next: i64) {
        if let Some(group) = self.groups.get(&group) {
            self.hub.lock().set_behind(group.place, Some(next));
        }
    }
}

impl<V> Drop for WatchStream<V> {
    fn drop(&mut self) {
        let mut inner = self.hub.lock();
        for group in self.groups.values() {
            inner.forget(group.place);
        }
        inner.streams.remove(self.stream);
    }
}
