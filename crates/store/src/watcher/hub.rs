//! Who wants what, and what happened last.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use slab::Slab;

use super::{Change, Item, LOG_BYTES_MAX, LOG_LEN_MAX, OUTBOX_EVENTS_MAX, Picks, Signal, Spec, WatchStream};
use crate::mvcc::{Event, Interval};

/// Watchers of one stream that want the same.
pub(super) struct Group {
    pub stream: usize,
    /// Among those of its stream; never given again.
    pub id: u64,
    pub spec: Spec,
    /// Earlier changes are wanted by nobody in it.
    pub from: i64,
    /// The revision it needs next, when it is behind.
    pub behind: Option<i64>,
    pub watchers: usize,
}

/// What waits for a stream.
#[derive(Default)]
pub(super) struct Outbox {
    pub items: Vec<Item>,
    events: usize,
    bytes: usize,
    /// How many of its groups are behind.
    pub behind: usize,
    signal: Arc<Signal>,
    /// The signal is to be raised.
    pending: bool,
}

impl Outbox {
    fn is_full(&self) -> bool {
        self.events >= OUTBOX_EVENTS_MAX || self.bytes >= LOG_BYTES_MAX
    }

    /// Everything that waits, in the place of `into`, which is empty.
    pub fn take(&mut self, into: &mut Vec<Item>) {
        (self.events, self.bytes) = (0, 0);
        std::mem::swap(&mut self.items, into);
    }
}

type Hasher = BuildHasherDefault<std::hash::DefaultHasher>;
/// Where a group lies: a change looks nothing up but its keys.
pub(super) type Place = usize;

pub(super) struct Inner {
    /// The last published.
    pub revision: i64,
    pub log: VecDeque<Arc<Change>>,
    log_bytes: usize,
    /// Changes after this revision are all in the log.
    pub log_after: i64,
    pub streams: Slab<Outbox>,
    pub groups: Slab<Group>,
    /// Groups of one key, and groups of ranges by (key, range_end).
    pub singles: HashMap<Bytes, Vec<Place>, Hasher>,
    ranges: BTreeMap<(Bytes, Bytes), Vec<Place>>,
    /// Streams whose signal is to be raised.
    pending: Vec<usize>,
}

pub struct Hub {
    inner: Mutex<Inner>,
}

impl Hub {
    pub fn new(revision: i64) -> Self {
        Self {
            inner: Mutex::new(Inner {
                revision,
                log: VecDeque::new(),
                log_bytes: 0,
                log_after: revision,
                streams: Slab::new(),
                groups: Slab::new(),
                singles: HashMap::default(),
                ranges: BTreeMap::new(),
                pending: Vec::new(),
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// The last published revision.
    pub fn revision(&self) -> i64 {
        self.lock().revision
    }

    /// Streams, their watchers, and those of them that are behind.
    pub fn counts(&self) -> (usize, usize, usize) {
        let inner = self.lock();
        let (mut watchers, mut behind) = (0, 0);
        for (_, group) in &inner.groups {
            watchers += group.watchers;
            behind += if group.behind.is_some() { group.watchers } else { 0 };
        }
        (inner.streams.len(), watchers, behind)
    }

    /// Hands changes on, in order of revision.
    pub fn publish(&self, changes: Vec<Change>) {
        let signals = {
            let mut inner = self.lock();
            for change in changes {
                inner.publish(Arc::new(change));
            }
            inner.take_signals()
        };
        // Who is woken wants the lock.
        signals.iter().for_each(|signal| signal.raise());
    }

    /// The store was replaced by a snapshot at `revision`: what is behind it must come from the history.
    pub fn reset(&self, revision: i64) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let last = inner.revision;
        inner.log.clear();
        inner.log_bytes = 0;
        (inner.revision, inner.log_after) = (revision, revision);
        for (_, outbox) in &mut inner.streams {
            outbox.behind = 0;
        }
        for (_, group) in &mut inner.groups {
            group.behind.get_or_insert((last + 1).max(group.from));
            inner.streams[group.stream].behind += 1;
        }
        for (_, outbox) in &inner.streams {
            outbox.signal.raise();
        }
    }

    /// Begins a stream without watchers.
    pub fn open<V>(self: &Arc<Self>) -> WatchStream<V> {
        let signal = Arc::new(Signal::default());
        let stream = self.lock().streams.insert(Outbox { signal: signal.clone(), ..Default::default() });
        WatchStream::new(self.clone(), stream, signal)
    }
}

impl Inner {
    fn publish(&mut self, change: Arc<Change>) {
        self.revision = change.revision;
        let bytes = change.bytes();
        match &change.events[..] {
            [event] => self.publish_event(event, &change, bytes),
            _ => self.publish_events(&change, bytes),
        }
        self.log_bytes += bytes;
        self.log.push_back(change);
        while self.log_bytes > LOG_BYTES_MAX || self.log.len() > LOG_LEN_MAX {
            let Some(oldest) = self.log.pop_front() else { break };
            self.log_bytes -= oldest.bytes();
            self.log_after = oldest.revision;
        }
    }

    /// A change of one event, as most are: nobody gets it twice, so nothing has to be gathered first.
    fn publish_event(&mut self, event: &Event, change: &Arc<Change>, bytes: usize) {
        let lists = self.singles.get(&event.key).into_iter().chain(covering(&self.ranges, &event.key));
        let mut to = To { groups: &mut self.groups, streams: &mut self.streams, pending: &mut self.pending };
        for place in lists.flatten() {
            to.deliver(*place, smallvec::smallvec![0], change, bytes);
        }
    }

    fn publish_events(&mut self, change: &Arc<Change>, bytes: usize) {
        let mut wanted: BTreeMap<Place, Picks> = BTreeMap::new();
        for (at, event) in change.events.iter().enumerate() {
            let lists = self.singles.get(&event.key).into_iter().chain(covering(&self.ranges, &event.key));
            for place in lists.flatten() {
                wanted.entry(*place).or_default().push(at as u32);
            }
        }
        let mut to = To { groups: &mut self.groups, streams: &mut self.streams, pending: &mut self.pending };
        for (place, picks) in wanted {
            to.deliver(place, picks, change, bytes);
        }
    }

    fn take_signals(&mut self) -> Vec<Arc<Signal>> {
        let mut signals = Vec::with_capacity(self.pending.len());
        for stream in self.pending.drain(..) {
            if let Some(outbox) = self.streams.get_mut(stream) {
                outbox.pending = false;
                signals.push(outbox.signal.clone());
            }
        }
        signals
    }

    /// Adds a group of one watcher.
    pub fn add(&mut self, stream: usize, id: u64, spec: Spec, from: i64) -> Place {
        let behind = (from <= self.revision).then_some(from);
        let place = self.groups.insert(Group { stream, id, spec: spec.clone(), from, behind, watchers: 1 });
        self.streams[stream].behind += usize::from(behind.is_some());
        if spec.range_end.is_empty() {
            self.singles.entry(spec.key).or_default().push(place);
        } else {
            self.ranges.entry((spec.key, spec.range_end)).or_default().push(place);
        }
        place
    }

    /// Notes what a group needs next; none: it is up to date.
    pub fn set_behind(&mut self, place: Place, next: Option<i64>) {
        let group = &mut self.groups[place];
        let outbox = &mut self.streams[group.stream];
        outbox.behind -= usize::from(group.behind.is_some());
        outbox.behind += usize::from(next.is_some());
        group.behind = next;
    }

    /// Takes a group out of everything but its stream.
    pub fn forget(&mut self, place: Place) {
        self.set_behind(place, None);
        let Spec { key, range_end, .. } = self.groups.remove(place).spec;
        if range_end.is_empty() {
            if let Some(places) = self.singles.get_mut(&key) {
                places.retain(|other| *other != place);
                if places.is_empty() {
                    self.singles.remove(&key);
                }
            }
            return;
        }
        let range = (key, range_end);
        if let Some(places) = self.ranges.get_mut(&range) {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.ranges.remove(&range);
            }
        }
    }
}

/// The groups of the ranges that a key lies in.
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

/// The part of the hub that changes go to.
struct To<'a> {
    groups: &'a mut Slab<Group>,
    streams: &'a mut Slab<Outbox>,
    pending: &'a mut Vec<usize>,
}

impl To<'_> {
    fn deliver(&mut self, place: Place, mut picks: Picks, change: &Arc<Change>, bytes: usize) {
        let group = &mut self.groups[place];
        if group.behind.is_some() || change.revision < group.from {
            return;
        }
        picks.retain(|at| group.spec.wants(&change.events[*at as usize]));
        if picks.is_empty() {
            return;
        }
        let outbox = &mut self.streams[group.stream];
        if outbox.is_full() {
            group.behind = Some(change.revision);
            outbox.behind += 1;
            return;
        }
        outbox.events += picks.len();
        outbox.bytes += bytes;
        outbox.items.push(Item { group: group.id, change: change.clone(), picks });
        if !std::mem::replace(&mut outbox.pending, true) {
            self.pending.push(group.stream);
        }
    }
}
