//! Every watcher gets every change once, in order, however full its outbox and wherever it begins.

use std::sync::OnceLock;

use super::*;
use crate::mvcc::Version;

fn change(revision: i64, key: &'static str) -> Change {
    let version = Version { main: revision, create: revision, version: 1, ..Default::default() };
    let event = Event {
        key: Bytes::from_static(key.as_bytes()),
        version,
        value: Bytes::new(),
        prev: None,
        prev_value: OnceLock::new(),
    };
    Change { revision, events: vec![event] }
}

fn spec(key: &'static str, range_end: &'static str) -> Spec {
    Spec {
        key: Bytes::from_static(key.as_bytes()),
        range_end: Bytes::from_static(range_end.as_bytes()),
        puts: true,
        deletes: true,
    }
}

/// What a stream's task does: empty the outbox, then fetch for those behind, until there is nothing left.
fn drain(stream: &WatchStream, got: &mut BTreeMap<i64, Vec<i64>>) {
    drain_while(stream, got, || {});
}

/// As [`drain`]; `sending` happens while what was taken is sent.
fn drain_while(stream: &WatchStream, got: &mut BTreeMap<i64, Vec<i64>>, mut sending: impl FnMut()) {
    let mut take = |items: VecDeque<Item>| {
        for item in items {
            got.entry(item.watch_id).or_default().push(item.change.revision);
        }
    };
    loop {
        let (items, behind) = stream.take();
        take(items);
        sending();
        if behind.is_empty() {
            return;
        }
        for behind in behind {
            match stream.fetch(&behind, 100) {
                Fetched::Log(items) => take(items.into()),
                Fetched::History { .. } => panic!("the log reaches back in this test"),
            }
        }
    }
}

#[test]
fn an_outbox_that_fills_up_while_it_is_sent_keeps_the_order() {
    let hub = Arc::new(Hub::new(1));
    let mut stream = hub.open();
    stream.watch(1, spec("a", ""), 0).expect("a watcher");
    hub.publish(vec![change(2, "a")]);
    let mut got = BTreeMap::new();
    let last = 2 * OUTBOX_EVENTS_MAX as i64;
    let mut next = 3;
    drain_while(&stream, &mut got, || {
        while next <= last {
            hub.publish(vec![change(next, "a")]);
            next += 1;
        }
    });
    drain(&stream, &mut got);
    assert_eq!(got[&1], (2..=last).collect::<Vec<_>>());
}

#[test]
fn a_full_outbox_loses_and_repeats_nothing() {
    let hub = Arc::new(Hub::new(1));
    let mut stream = hub.open();
    stream.watch(1, spec("a", ""), 0).expect("a watcher");
    stream.watch(2, spec("a", "c"), 0).expect("a watcher");
    let mut got = BTreeMap::new();
    let count = 3 * OUTBOX_EVENTS_MAX as i64;
    for revision in 2..count {
        hub.publish(vec![change(revision, if revision % 2 == 0 { "a" } else { "b" })]);
        if revision == count / 2 {
            drain(&stream, &mut got);
        }
    }
    drain(&stream, &mut got);
    assert_eq!(got[&1], (2..count).filter(|revision| revision % 2 == 0).collect::<Vec<_>>());
    assert_eq!(got[&2], (2..count).collect::<Vec<_>>());
}

#[test]
fn a_watcher_begins_in_the_past_now_or_in_the_future() {
    let hub = Arc::new(Hub::new(1));
    hub.publish((2..10).map(|revision| change(revision, "a")).collect());
    let mut stream = hub.open();
    stream.watch(1, spec("a", ""), 5).expect("a watcher");
    stream.watch(2, spec("a", ""), 0).expect("a watcher");
    stream.watch(3, spec("a", ""), 11).expect("a watcher");
    hub.publish((10..13).map(|revision| change(revision, "a")).collect());
    let mut got = BTreeMap::new();
    drain(&stream, &mut got);
    assert_eq!(got[&1], (5..13).collect::<Vec<_>>());
    assert_eq!(got[&2], (10..13).collect::<Vec<_>>());
    assert_eq!(got[&3], (11..13).collect::<Vec<_>>());
}

#[test]
fn progress_is_told_only_when_nobody_is_behind() {
    let hub = Arc::new(Hub::new(1));
    hub.publish(vec![change(2, "a")]);
    let mut stream = hub.open();
    stream.watch(1, spec("a", ""), 2).expect("a watcher");
    assert!(stream.progress().is_none());
    drain(&stream, &mut BTreeMap::new());
    assert_eq!(stream.progress().expect("up to date").0, 2);
}

#[test]
fn a_watch_id_is_used_once_and_free_again_after_cancel() {
    let hub = Arc::new(Hub::new(1));
    let mut stream = hub.open();
    assert_eq!(stream.watch(0, spec("a", ""), 0).expect("a watcher").0, 0);
    assert_eq!(stream.watch(7, spec("a", ""), 0).expect("a watcher").0, 7);
    assert!(stream.watch(7, spec("b", ""), 0).is_none());
    assert!(stream.cancel(7));
    assert!(!stream.cancel(7));
    assert!(stream.watch(7, spec("b", ""), 0).is_some());
    drop(stream);
    assert_eq!(hub.counts(), (0, 0, 0));
    assert!(hub.inner.lock().singles.is_empty());
}

#[test]
fn the_id_of_a_watcher_that_ended_by_itself_is_taken_until_it_is_canceled() {
    let hub = Arc::new(Hub::new(1));
    let mut stream = hub.open();
    stream.watch(1, spec("a", ""), 0).expect("a watcher");
    stream.end(1);
    assert_eq!(hub.counts(), (1, 0, 0));
    assert!(stream.watch(1, spec("a", ""), 0).is_none());
    assert_eq!(stream.watch(0, spec("a", ""), 0).expect("a watcher").0, 0);
    assert_eq!(stream.watch(0, spec("a", ""), 0).expect("a watcher").0, 2);
    assert!(stream.cancel(1));
    assert!(!stream.cancel(1));
    assert!(stream.watch(1, spec("a", ""), 0).is_some());
}
