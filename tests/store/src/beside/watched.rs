//! What watchers are to get, and what they got.
//!
//! One watcher of each server sees everything from the beginning; what any other watcher is to get follows from that.

use std::collections::BTreeMap;

use proto::etcdserverpb as etcd;
use proto::etcdserverpb::watch_create_request::FilterType;
use proto::mvccpb::Event;
use proto::mvccpb::event::EventType;

/// What a watcher wants, and since when.
#[derive(Clone, Debug)]
pub struct Kept {
    pub create: etcd::WatchCreateRequest,
    from: i64,
    /// It asked for what was compacted: it is told so, and gets nothing.
    pub is_compacted: bool,
    /// It got nothing yet, of what was before it either.
    is_new: bool,
    /// It began in the past, and has got nothing that proves that the server has looked at it: a compaction would end it.
    pub is_behind: bool,
    /// When it was made it waited for a revision that was not there yet.
    pub waits_until: i64,
}

impl Kept {
    pub fn new(create: &etcd::WatchCreateRequest, revision: i64, compacted: i64) -> Self {
        let start = create.start_revision;
        Self {
            create: create.clone(),
            from: if start > 0 { start } else { revision + 1 },
            is_compacted: start > 0 && start < compacted,
            is_new: true,
            is_behind: start > 0 && start <= revision && start >= compacted,
            waits_until: if start > revision + 1 { start } else { 0 },
        }
    }

    pub fn wants(&self, event: &Event) -> bool {
        let Some(kv) = &event.kv else { return false };
        let filter = if event.r#type() == EventType::Delete { FilterType::Nodelete } else { FilterType::Noput };
        let filtered = self.create.filters.contains(&(filter as i32));
        !self.is_compacted && !filtered && kv.mod_revision >= self.from && self.covers(&kv.key)
    }

    fn covers(&self, key: &[u8]) -> bool {
        let start: &[u8] = if self.create.key.is_empty() { &[0] } else { &self.create.key };
        match &self.create.range_end[..] {
            [] => key == start,
            [0] => key >= start,
            end => key >= start && key < end,
        }
    }
}

/// Watchers that there are, by stream and id.
#[derive(Clone, Debug)]
pub struct Watched {
    streams: Vec<BTreeMap<i64, Kept>>,
}

impl Watched {
    pub fn new(streams: usize) -> Self {
        Self { streams: vec![BTreeMap::new(); streams] }
    }

    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    pub fn add(&mut self, stream: usize, watch_id: i64, kept: Kept) {
        self.streams[stream].insert(watch_id, kept);
    }

    pub fn remove(&mut self, stream: usize, watch_id: i64) {
        self.streams[stream].remove(&watch_id);
    }

    pub fn ids(&self, stream: usize) -> Vec<i64> {
        self.streams[stream].keys().copied().collect()
    }

    pub fn all(&self) -> impl Iterator<Item = (usize, i64, &Kept)> {
        self.streams
            .iter()
            .enumerate()
            .flat_map(|(stream, watchers)| watchers.iter().map(move |(id, kept)| (stream, *id, kept)))
    }

    /// Everything that was to come has come: on each stream this.
    pub fn settle(&mut self, got: &[Inbox]) {
        for (watchers, got) in self.streams.iter_mut().zip(got) {
            for (id, kept) in watchers {
                kept.is_new = false;
                kept.is_behind &= got.get(id).is_none_or(Vec::is_empty);
            }
        }
    }

    /// A watcher that a compaction might end.
    pub fn behind(&self) -> Option<(usize, i64)> {
        self.all().find(|(_, _, kept)| kept.is_behind).map(|(stream, id, _)| (stream, id))
    }

    /// Whether a stream has watchers and all of them stand where the store stands.
    pub fn is_level(&self, stream: usize, revision: i64) -> bool {
        let watchers = &self.streams[stream];
        let level = |kept: &Kept| !kept.is_compacted && kept.waits_until <= revision + 1;
        !watchers.is_empty() && watchers.values().all(level)
    }
}

/// What a watcher got, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Got {
    Event(Box<Event>),
    /// It wanted what was compacted: the header's revision, and from where it can be had.
    Compacted {
        revision: i64,
        compact_revision: i64,
    },
    Odd(String),
}

/// What came for the watchers of a stream and was not looked at yet.
pub type Inbox = BTreeMap<i64, Vec<Got>>;

/// Sorts a response into an inbox. Answers to requests (created, canceled, progress) are given back.
pub fn take_in(inbox: &mut Inbox, rsp: etcd::WatchResponse) -> Option<etcd::WatchResponse> {
    let got = inbox.entry(rsp.watch_id).or_default();
    if rsp.compact_revision != 0 && rsp.canceled {
        let revision = rsp.header.map_or(0, |header| header.revision);
        got.push(Got::Compacted { revision, compact_revision: rsp.compact_revision });
        return None;
    }
    if rsp.events.is_empty() || rsp.created || rsp.canceled {
        return Some(rsp);
    }
    // A response tells of its events' revisions or later ones; etcd puts several revisions into one where it catches up.
    let last = rsp.events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.mod_revision).max();
    if rsp.header.map(|header| header.revision) < last {
        got.push(Got::Odd(format!("a header at {:?} with events up to {last:?}", rsp.header)));
    }
    got.extend(rsp.events.into_iter().map(|event| Got::Event(Box::new(event))));
    None
}

/// Every event from the beginning.
#[derive(Clone, Debug, Default)]
pub struct History {
    events: Vec<Event>,
    /// Those after the last look begin here.
    since: usize,
}

impl History {
    /// Adds what came since the last look.
    pub fn go_on(&mut self, events: Vec<Event>) {
        self.since = self.events.len();
        self.events.extend(events);
    }

    fn of(&self, kept: &Kept) -> Vec<&Event> {
        let all = if kept.is_new { &self.events[..] } else { &self.events[self.since..] };
        all.iter().filter(|event| kept.wants(event)).collect()
    }

    /// How many things a watcher is to get, events and else.
    pub fn expected(&self, kept: &Kept) -> usize {
        self.of(kept).len() + usize::from(kept.is_compacted && kept.is_new)
    }

    /// Whether a watcher's events are those that it wants; previous values aside, which only some watchers get.
    pub fn check(&self, kept: &Kept, got: &[Got]) -> Result<(), String> {
        let came = got.iter().filter_map(|got| match got {
            Got::Event(event) => Some(bare(event)),
            _ => None,
        });
        let came: Vec<Event> = came.collect();
        let wanted: Vec<Event> = self.of(kept).into_iter().map(bare).collect();
        if wanted != came {
            return Err(format!("{} events are to come: {wanted:?}\ncame: {came:?}", wanted.len()));
        }
        if !kept.create.prev_kv && got.iter().any(|got| matches!(got, Got::Event(event) if event.prev_kv.is_some())) {
            return Err(format!("previous values that nobody asked for: {got:?}"));
        }
        Ok(())
    }
}

fn bare(event: &Event) -> Event {
    Event { prev_kv: None, ..event.clone() }
}
