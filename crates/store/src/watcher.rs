//! Watchers: one ordered log of changes, a cursor for each watcher, a bounded outbox for each stream.
//!
//! The state machine publishes each change once; the hub puts it into the outbox of every stream with a watcher that
//! wants it. A watcher whose outbox is full, or that begins in the past, is *behind*: it keeps only the revision that it
//! needs next, and its stream fetches from the log of recent changes, or from the store's history, when it has time.
//! So a slow watcher costs nothing but its own cursor. Invariant: a watcher gets every change once, in order.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use slab::Slab;
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::mvcc::{Event, Interval};

/// Bytes of recent changes that stay in memory.
const LOG_BYTES_MAX: usize = 8 << 20;
/// Recent changes that stay in memory.
const LOG_LEN_MAX: usize = 50_000;
/// Events that an outbox holds before its watchers fall behind.
const OUTBOX_EVENTS_MAX: usize = 4096;

/// The events of one revision.
#[derive(Debug)]
pub struct Change {
    pub revision: i64,
    pub events: Vec<Event>,
}

impl Change {
    fn bytes(&self) -> usize {
        self.events.iter().map(|event| 160 + 2 * (event.key.len() + event.value.len())).sum()
    }
}

/// What a watcher wants.
#[derive(Clone, Debug)]
pub struct Spec {
    pub key: Bytes,
    /// As in requests: empty for the key alone, one zero byte for all keys from `key` on.
    pub range_end: Bytes,
    pub puts: bool,
    pub deletes: bool,
}

impl Spec {
    pub fn interval(&self) -> Interval<'_> {
        Interval::new(&self.key, &self.range_end)
    }

    fn wants(&self, event: &Event) -> bool {
        if event.is_delete() { self.deletes } else { self.puts }
    }

    /// The events of a change that this watcher gets.
    pub fn pick(&self, change: &Change) -> Picks {
        let interval = self.interval();
        let mut picks = Picks::new();
        for (at, event) in change.events.iter().enumerate() {
            if interval.contains(&event.key) && self.wants(event) {
                picks.push(at as u32);
            }
        }
        picks
    }
}

/// Places in a change's events.
pub type Picks = SmallVec<[u32; 2]>;

/// A change for one watcher.
pub struct Item {
    pub watch_id: i64,
    pub change: Arc<Change>,
    pub picks: Picks,
}

/// What waits for a stream.
#[derive(Default)]
pub struct Outbox {
    items: Mutex<(VecDeque<Item>, usize)>,
    notify: Notify,
}

impl Outbox {
    /// Everything that waits.
    pub fn take(&self) -> VecDeque<Item> {
        let mut items = self.items.lock();
        items.1 = 0;
        std::mem::take(&mut items.0)
    }

    /// Returns when there is, or may be, something to take or to catch up with.
    pub async fn ready(&self) {
        self.notify.notified().await;
    }

    fn push(&self, item: Item) -> Result<(), Item> {
        let mut items = self.items.lock();
        if items.1 >= OUTBOX_EVENTS_MAX {
            return Err(item);
        }
        items.1 += item.picks.len();
        items.0.push_back(item);
        drop(items);
        self.notify.notify_one();
        Ok(())
    }
}

struct Watcher {
    stream: u64,
    watch_id: i64,
    outbox: Arc<Outbox>,
    spec: Spec,
    /// Earlier changes are not wanted.
    from: i64,
    /// The revision it needs next, when it is behind.
    behind: Option<i64>,
}

struct Stream {
    outbox: Arc<Outbox>,
    watchers: BTreeMap<i64, Place>,
    /// How many of them are behind.
    behind: usize,
}

type Hasher = BuildHasherDefault<std::hash::DefaultHasher>;
/// Where a watcher lies: a change for a thousand watchers looks nothing up.
type Place = usize;

struct Inner {
    revision: i64,
    log: VecDeque<Arc<Change>>,
    log_bytes: usize,
    /// Changes after this revision are all in the log.
    log_after: i64,
    streams: BTreeMap<u64, Stream>,
    next_stream: u64,
    watchers: Slab<Watcher>,
    /// Watchers of one key, and watchers of ranges by (key, range_end).
    singles: HashMap<Bytes, Vec<Place>, Hasher>,
    ranges: BTreeMap<(Bytes, Bytes), Vec<Place>>,
}

pub struct Hub {
    inner: Mutex<Inner>,
}

/// A watcher that is behind, and what it needs.
pub struct Behind {
    pub watch_id: i64,
    pub spec: Spec,
    pub next: i64,
}

/// What a watcher that is behind gets next.
pub enum Fetched {
    /// Changes up to `upto`, all of them.
    Log(Vec<Item>),
    /// The log does not reach back: the store's history up to this revision is needed first.
    History { upto: i64 },
}

impl Hub {
    pub fn new(revision: i64) -> Self {
        Self {
            inner: Mutex::new(Inner {
                revision,
                log: VecDeque::new(),
                log_bytes: 0,
                log_after: revision,
                streams: BTreeMap::new(),
                next_stream: 0,
                watchers: Slab::new(),
                singles: HashMap::default(),
                ranges: BTreeMap::new(),
            }),
        }
    }

    /// The last published revision.
    pub fn revision(&self) -> i64 {
        self.inner.lock().revision
    }

    /// Streams, their watchers, and those of them that are behind.
    pub fn counts(&self) -> (usize, usize, usize) {
        let inner = self.inner.lock();
        let behind = inner.streams.values().map(|stream| stream.behind).sum();
        (inner.streams.len(), inner.watchers.len(), behind)
    }

    /// Hands changes on, in order of revision.
    pub fn publish(&self, changes: Vec<Change>) {
        let mut inner = self.inner.lock();
        for change in changes {
            inner.publish(Arc::new(change));
        }
    }

    /// The store was replaced by a snapshot at `revision`: what is behind it must come from the history.
    pub fn reset(&self, revision: i64) {
        let mut inner = self.inner.lock();
        let last = inner.revision;
        inner.log.clear();
        inner.log_bytes = 0;
        (inner.revision, inner.log_after) = (revision, revision);
        for (_, watcher) in &mut inner.watchers {
            watcher.behind.get_or_insert((last + 1).max(watcher.from));
        }
        for stream in inner.streams.values_mut() {
            stream.behind = stream.watchers.len();
            stream.outbox.notify.notify_one();
        }
    }

    /// Begins a stream without watchers.
    pub fn open(self: &Arc<Self>) -> WatchStream {
        let mut inner = self.inner.lock();
        let id = inner.next_stream;
        inner.next_stream += 1;
        let outbox = Arc::new(Outbox::default());
        inner.streams.insert(id, Stream { outbox: outbox.clone(), watchers: BTreeMap::new(), behind: 0 });
        WatchStream { hub: self.clone(), id, outbox, next_watch: 0, ended: BTreeSet::new() }
    }
}

impl Inner {
    fn publish(&mut self, change: Arc<Change>) {
        self.revision = change.revision;
        match &change.events[..] {
            [event] => self.publish_event(event, &change),
            _ => self.publish_events(&change),
        }
        self.log_bytes += change.bytes();
        self.log.push_back(change);
        while self.log_bytes > LOG_BYTES_MAX || self.log.len() > LOG_LEN_MAX {
            let Some(oldest) = self.log.pop_front() else { break };
            self.log_bytes -= oldest.bytes();
            self.log_after = oldest.revision;
        }
    }

    /// A change of one event, as most are: nobody gets it twice, so nothing has to be gathered first.
    fn publish_event(&mut self, event: &Event, change: &Arc<Change>) {
        let lists = self.singles.get(&event.key).into_iter().chain(covering(&self.ranges, &event.key));
        for place in lists.flatten() {
            deliver(&mut self.watchers, &mut self.streams, *place, smallvec::smallvec![0], change);
        }
    }

    fn publish_events(&mut self, change: &Arc<Change>) {
        let mut wanted: BTreeMap<Place, Picks> = BTreeMap::new();
        for (at, event) in change.events.iter().enumerate() {
            let lists = self.singles.get(&event.key).into_iter().chain(covering(&self.ranges, &event.key));
            for place in lists.flatten() {
                wanted.entry(*place).or_default().push(at as u32);
            }
        }
        for (place, picks) in wanted {
            deliver(&mut self.watchers, &mut self.streams, place, picks, change);
        }
    }

    /// Takes a watcher out of everything but its stream.
    fn forget(&mut self, place: Place) {
        let watcher = self.watchers.remove(place);
        let spec = watcher.spec;
        if watcher.behind.is_some()
            && let Some(stream) = self.streams.get_mut(&watcher.stream)
        {
            stream.behind -= 1;
        }
        if spec.range_end.is_empty() {
            if let Some(places) = self.singles.get_mut(&spec.key) {
                places.retain(|other| *other != place);
                if places.is_empty() {
                    self.singles.remove(&spec.key);
                }
            }
            return;
        }
        let range = (spec.key, spec.range_end);
        if let Some(places) = self.ranges.get_mut(&range) {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.ranges.remove(&range);
            }
        }
    }
}

/// The watchers of the ranges that a key lies in.
fn covering<'a>(
    ranges: &'a BTreeMap<(Bytes, Bytes), Vec<Place>>,
    key: &'a [u8],
) -> impl Iterator<Item = &'a Vec<Place>> {
    ranges
        .iter()
        .take_while(move |((start, _), _)| **start <= *key)
        .filter(move |((start, end), _)| Interval::new(start, end).contains(key))
        .map(|(_, places)| places)
}

fn deliver(
    watchers: &mut Slab<Watcher>,
    streams: &mut BTreeMap<u64, Stream>,
    place: Place,
    mut picks: Picks,
    change: &Arc<Change>,
) {
    let Some(watcher) = watchers.get_mut(place) else { return };
    if watcher.behind.is_some() || change.revision < watcher.from {
        return;
    }
    picks.retain(|at| watcher.spec.wants(&change.events[*at as usize]));
    if picks.is_empty() {
        return;
    }
    if watcher.outbox.push(Item { watch_id: watcher.watch_id, change: change.clone(), picks }).is_err() {
        watcher.behind = Some(change.revision);
        if let Some(stream) = streams.get_mut(&watcher.stream) {
            stream.behind += 1;
        }
    }
}

/// One client's stream of watchers; dropping it ends them.
pub struct WatchStream {
    hub: Arc<Hub>,
    id: u64,
    pub outbox: Arc<Outbox>,
    next_watch: i64,
    /// Ids of watchers that ended by themselves: taken until they are canceled.
    ended: BTreeSet<i64>,
}

impl WatchStream {
    /// Adds a watcher; `start` 0 is from now on. Gives its id and the revision at which it was added; none when the
    /// wanted id is taken.
    pub fn watch(&mut self, wanted_id: i64, spec: Spec, start: i64) -> Option<(i64, i64)> {
        let mut inner = self.hub.inner.lock();
        let inner = &mut *inner;
        let revision = inner.revision;
        let stream = inner.streams.get_mut(&self.id)?;
        let watch_id = if wanted_id != 0 {
            wanted_id
        } else {
            while stream.watchers.contains_key(&self.next_watch) || self.ended.contains(&self.next_watch) {
                self.next_watch += 1;
            }
            // An id is not given again on its own, even when its watcher is gone: answers of the old one may be on their way.
            self.next_watch += 1;
            self.next_watch - 1
        };
        if stream.watchers.contains_key(&watch_id) || self.ended.contains(&watch_id) {
            return None;
        }
        let from = if start <= 0 { revision + 1 } else { start };
        let behind = (from <= revision).then_some(from);
        let watcher =
            Watcher { stream: self.id, watch_id, outbox: self.outbox.clone(), spec: spec.clone(), from, behind };
        let place = inner.watchers.insert(watcher);
        stream.watchers.insert(watch_id, place);
        stream.behind += usize::from(behind.is_some());
        if spec.range_end.is_empty() {
            inner.singles.entry(spec.key).or_default().push(place);
        } else {
            inner.ranges.entry((spec.key, spec.range_end)).or_default().push(place);
        }
        if behind.is_some() {
            self.outbox.notify.notify_one();
        }
        Some((watch_id, revision))
    }

    /// Ends a watcher; false when there is none.
    pub fn cancel(&mut self, watch_id: i64) -> bool {
        self.forget(watch_id) || self.ended.remove(&watch_id)
    }

    /// Ends a watcher without being asked: its id stays its own until its client cancels it.
    pub fn end(&mut self, watch_id: i64) {
        if self.forget(watch_id) {
            self.ended.insert(watch_id);
        }
    }

    fn forget(&self, watch_id: i64) -> bool {
        let mut inner = self.hub.inner.lock();
        let Some(stream) = inner.streams.get_mut(&self.id) else { return false };
        let Some(place) = stream.watchers.remove(&watch_id) else { return false };
        inner.forget(place);
        true
    }

    /// The last published revision, when every watcher has got, or has waiting in the outbox, all up to it, and none waits
    /// for a later one: that one's client may have seen more elsewhere, and is not told of a step back. What waits is taken
    /// with it, so that it can be sent first.
    pub fn progress(&self) -> Option<(i64, VecDeque<Item>)> {
        let inner = self.hub.inner.lock();
        let stream = inner.streams.get(&self.id)?;
        let ahead = |place: &Place| inner.watchers.get(*place).is_some_and(|watcher| watcher.from > inner.revision + 1);
        if stream.behind > 0 || stream.watchers.values().any(ahead) {
            return None;
        }
        Some((inner.revision, self.outbox.take()))
    }

    /// What waits, and the watchers that are behind: taken at once, so that everything of a watcher that waits comes
    /// before what it has missed.
    pub fn take(&self) -> (VecDeque<Item>, Vec<Behind>) {
        let inner = self.hub.inner.lock();
        (self.outbox.take(), self.behind(&inner))
    }

    fn behind(&self, inner: &Inner) -> Vec<Behind> {
        let Some(stream) = inner.streams.get(&self.id).filter(|stream| stream.behind > 0) else { return Vec::new() };
        let behind = |(id, place): (&i64, &Place)| {
            let watcher = inner.watchers.get(*place)?;
            Some(Behind { watch_id: *id, spec: watcher.spec.clone(), next: watcher.behind? })
        };
        stream.watchers.iter().filter_map(behind).collect()
    }

    /// What the log has for a watcher that is behind, at most `events_max` events; when that is all there is, the
    /// watcher is up to date again, and what follows comes through the outbox.
    pub fn fetch(&self, behind: &Behind, events_max: usize) -> Fetched {
        let mut inner = self.hub.inner.lock();
        let inner = &mut *inner;
        if behind.next <= inner.log_after {
            return Fetched::History { upto: inner.log_after };
        }
        let mut items = Vec::new();
        let mut events = 0;
        let mut next = None;
        let first = inner.log.partition_point(|change| change.revision < behind.next);
        for change in inner.log.range(first..) {
            if events >= events_max {
                next = Some(change.revision);
                break;
            }
            let picks = behind.spec.pick(change);
            if !picks.is_empty() {
                events += picks.len();
                items.push(Item { watch_id: behind.watch_id, change: change.clone(), picks });
            }
        }
        self.set_behind(inner, behind.watch_id, next);
        Fetched::Log(items)
    }

    /// Everything before `next` was fetched from the history.
    pub fn fetched_until(&self, watch_id: i64, next: i64) {
        let mut inner = self.hub.inner.lock();
        self.set_behind(&mut inner, watch_id, Some(next));
    }

    fn set_behind(&self, inner: &mut Inner, watch_id: i64, next: Option<i64>) {
        let Some(stream) = inner.streams.get_mut(&self.id) else { return };
        let Some(watcher) = stream.watchers.get(&watch_id).and_then(|place| inner.watchers.get_mut(*place)) else {
            return;
        };
        stream.behind -= usize::from(watcher.behind.is_some());
        stream.behind += usize::from(next.is_some());
        watcher.behind = next;
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        let mut inner = self.hub.inner.lock();
        if let Some(stream) = inner.streams.remove(&self.id) {
            for place in stream.watchers.into_values() {
                inner.forget(place);
            }
        }
    }
}

#[cfg(test)]
mod tests;
