//! Every watcher gets every change once, in order, however full its outbox and wherever it begins.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::mvcc::Version;

fn change(revision: i64, key: &'static str) -> Change {
    let version = Version { main: revision, create: revision, version: 1, ..Default::default() };
    let event = Event::new(Bytes::from_static(key.as_bytes()), version, Bytes::new(), None);
    Change { revision, events: vec![event] }
}

fn spec(key: &'static str, range_end: &'static str) -> Spec {
    Spec {
        key: Bytes::from_static(key.as_bytes()),
        range_end: Bytes::from_static(range_end.as_bytes()),
        puts: true,
        deletes: true,
        prev_kv: false,
    }
}

/// What a stream's session does: empty the outbox, then fetch for those behind, until there is nothing left.
fn drain(stream: &mut WatchStream, got: &mut BTreeMap<i64, Vec<i64>>) {
    drain_while(stream, got, || {});
}

/// As [`drain`]; `sending` happens while what was taken is sent.
fn drain_while(stream: &mut WatchStream, got: &mut BTreeMap<i64, Vec<i64>>, mut sending: impl FnMut()) {
    loop {
        let mut items = Vec::new();
        let behind = stream.take(&mut items);
        tell(stream, items, got);
        sending();
        if behind.is_empty() {
            return;
        }
        for behind in behind {
            match stream.fetch(&behind, 100) {
                Fetched::Log(items) => tell(stream, items, got),
                Fetched::History { .. } => panic!("the log reaches back in this test"),
            }
        }
    }
}

fn tell(stream: &mut WatchStream, items: Vec<Item>, got: &mut BTreeMap<i64, Vec<i64>>) {
    for item in items {
        let Some((_, watchers)) = stream.group(item.group) else { continue };
        for watcher in watchers.iter().filter(|watcher| watcher.from <= item.change.revision) {
            got.entry(watcher.watch_id).or_default().push(item.change.revision);
        }
    }
}

#[test]
fn an_outbox_that_fills_up_while_it_is_sent_keeps_the_order() {
    let hub = Arc::new(Hub::new(1));
    let mut stream = hub.open();
    stream.watch(1, spec("a", ""), 0, ()).expect("a watcher");
    hub.publish(vec![change(2, "a")]);
    let mut got = BTreeMap::new();
    let last = 2 * OUTBOX_EVENTS_MAX as i64;
    let mut next = 3;
    drain_while(&mut stream, &mut got, || {
        while next <= last {
            hub.publish(vec![change(next, "a")]);
            next += 1;
        }
    });
    drain(&mut stream, &mut got);
    assert_eq!(got[&1], (2..=last).collect::<Vec<_>>());
}

#[test]
fn a_full_outbox_loses_and_repeats_nothing() {
    let hub = Arc::new(Hub::new(1));
    let mut stream = hub.open();
    stream.watch(1, spec("a", ""), 0, ()).expect("a watcher");
    stream.watch(2, spec("a", "c"), 0, ()).expect("a watcher");
    let mut got = BTreeMap::new();
    let count = 3 * OUTBOX_EVENTS_MAX as i64;
    for revision in 2..count {
        hub.publish(vec![change(revision, if revision % 2 == 0 { "a" } else { "b" })]);
        if revision == count / 2 {
            drain(&mut stream, &mut got);
        }
    }
    drain(&mut stream, &mut got);
    assert_eq!(got[&1], (2..count).filter(|revision| revision % 2 == 0).collect::<Vec<_>>());
    assert_eq!(got[&2], (2..count).collect::<Vec<_>>());
}

#[test]
fn a_watcher_begins_in_the_past_now_or_in_the_future() {
    let hub = Arc::new(Hub::new(1));
    hub.publish((2..10).map(|revision| change(revision, "a")).collect());
    let mut stream = hub.open();
    stream.watch(1, spec("a", ""), 5, ()).expect("a watcher");
    stream.watch(2, spec("a", ""), 0, ()).expect("a watcher");
    stream.watch(3, spec("a", ""), 11, ()).expect("a watcher");
    hub.publish((10..13).map(|revision| change(revision, "a")).collect());
    let mut got = BTreeMap::new();
    drain(&mut stream, &mut got);
    assert_eq!(got[&1], (5..13).collect::<Vec<_>>());
    assert_eq!(got[&2], (10..13).collect::<Vec<_>>());
    assert_eq!(got[&3], (11..13).collect::<Vec<_>>());
}

#[test]
fn progress_is_told_only_when_nobody_is_behind() {
    let hub = Arc::new(Hub::new(1));
    hub.publish(vec![change(2, "a")]);
    let mut stream = hub.open();
    stream.watch(1, spec("a", ""), 2, ()).expect("a watcher");
    assert!(stream.progress(&mut Vec::new()).is_none());
    drain(&mut stream, &mut BTreeMap::new());
    assert_eq!(stream.progress(&mut Vec::new()), Some(2));
}

#[test]
fn a_watch_id_is_used_once_and_free_again_after_cancel() {
    let hub = Arc::new(Hub::new(1));
    let mut stream = hub.open();
    assert_eq!(stream.watch(0, spec("a", ""), 0, ()).expect("a watcher").0, 0);
    assert_eq!(stream.watch(7, spec("a", ""), 0, ()).expect("a watcher").0, 7);
    assert!(stream.watch(7, spec("b", ""), 0, ()).is_none());
    assert!(stream.cancel(7).is_some());
    assert!(stream.cancel(7).is_none());
    assert!(stream.watch(7, spec("b", ""), 0, ()).is_some());
    drop(stream);
    assert_eq!(hub.counts(), (0, 0, 0));
    assert!(hub.lock().singles.is_empty());
}

#[test]
fn watchers_that_want_the_same_become_one_group() {
    let hub = Arc::new(Hub::new(1));
    hub.publish((2..500).map(|revision| change(revision, "a")).collect());
    let mut stream = hub.open();
    for (watch_id, start) in [(1, 0), (2, 2), (3, 2)] {
        stream.watch(watch_id, spec("a", "c"), start, ()).expect("a watcher");
    }
    assert_eq!((hub.counts(), hub.lock().groups.len()), ((1, 3, 2), 3));
    let mut got = BTreeMap::new();
    drain(&mut stream, &mut got);
    hub.publish(vec![change(500, "a")]);
    drain(&mut stream, &mut got);
    drain(&mut stream, &mut got);
    hub.publish(vec![change(501, "a")]);
    assert_eq!((hub.counts(), hub.lock().groups.len()), ((1, 3, 0), 1));
    drain(&mut stream, &mut got);
    assert_eq!((&got[&1][..], &got[&3][..]), (&[500, 501][..], &(2..502).collect::<Vec<_>>()[..]));
    assert_eq!(got[&2], got[&3]);
}

#[derive(Clone, Debug)]
enum Step {
    /// A watcher of one of the specs, so many revisions back; or on.
    Watch(usize, i64),
    /// Of those that there were.
    Cancel(prop::sample::Index),
    /// So many changes of a key.
    Publish(&'static str, i64),
    /// What waits is said, all of it or only what is taken at once.
    Drain,
    Take,
    Progress,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_usize, -60..10_i64).prop_map(|(spec, back)| Step::Watch(spec, back)),
        1 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        6 => (prop::sample::select(vec!["a", "b", "x"]), 1..5_i64).prop_map(|(key, count)| Step::Publish(key, count)),
        1 => Just(Step::Publish("a", OUTBOX_EVENTS_MAX as i64 + 10)),
        3 => Just(Step::Drain),
        3 => Just(Step::Take),
        1 => Just(Step::Progress),
    ]
}

/// A stream, what it told, and what it has to tell.
struct Model {
    hub: Arc<Hub>,
    stream: WatchStream,
    told: BTreeMap<i64, Vec<i64>>,
    changes: Vec<(i64, &'static str)>,
    /// Spec, first revision, and the last, once it is canceled.
    watchers: BTreeMap<i64, (Spec, i64, Option<i64>)>,
}

impl Model {
    fn run(&mut self, step: Step) {
        let specs = [spec("a", ""), spec("a", "c"), Spec { deletes: false, ..spec("a", "c") }];
        let revision = self.hub.revision();
        match step {
            Step::Watch(at, back) => {
                let start = if back == 0 { 0 } else { (revision + back).max(2) };
                let (id, _) = self.stream.watch(0, specs[at].clone(), start, ()).expect("a free id");
                let from = if start == 0 { revision + 1 } else { start };
                self.watchers.insert(id, (specs[at].clone(), from, None));
            }
            Step::Cancel(_) if self.watchers.is_empty() => {}
            Step::Cancel(at) => {
                let id = *at.get(&self.watchers.keys().copied().collect::<Vec<_>>());
                if self.stream.cancel(id).is_some() {
                    self.watchers.get_mut(&id).expect("it was there").2 = Some(revision);
                }
            }
            // The log is to reach back, in this test.
            Step::Publish(_, count) if revision + count > 20_000 => {}
            Step::Publish(key, count) => {
                let revisions = revision + 1..revision + 1 + count;
                self.changes.extend(revisions.clone().map(|revision| (revision, key)));
                self.hub.publish(revisions.map(|revision| change(revision, key)).collect());
            }
            Step::Drain => drain(&mut self.stream, &mut self.told),
            Step::Take => {
                let mut items = Vec::new();
                let behind = self.stream.take(&mut items);
                tell(&mut self.stream, items, &mut self.told);
                if let Some(behind) = behind.first()
                    && let Fetched::Log(items) = self.stream.fetch(behind, 10)
                {
                    tell(&mut self.stream, items, &mut self.told);
                }
            }
            Step::Progress => {
                let mut items = Vec::new();
                if let Some(revision) = self.stream.progress(&mut items) {
                    tell(&mut self.stream, items, &mut self.told);
                    self.check(revision);
                }
            }
        }
    }

    /// Every watcher has been told everything up to `revision`, and nothing twice.
    #[track_caller]
    fn check(&self, revision: i64) {
        for (id, (spec, from, ended)) in &self.watchers {
            let wanted = |(at, key): &(i64, &str)| at >= from && spec.interval().contains(key.as_bytes());
            let expect: Vec<i64> = self.changes.iter().filter(|change| wanted(change)).map(|(at, _)| *at).collect();
            let told = self.told.get(id).map_or(&[][..], |told| &told[..]);
            if let Some(ended) = ended {
                assert!(
                    expect.starts_with(told) && told.iter().all(|at| at <= ended),
                    "{id}: {told:?}, not {expect:?}"
                );
            } else {
                let upto = expect.partition_point(|at| *at <= revision);
                assert_eq!(told, &expect[..upto], "watcher {id}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_happens_everybody_gets_everything_once_in_order(steps in prop::collection::vec(step(), 1..60)) {
        let hub = Arc::new(Hub::new(1));
        let stream = hub.open();
        let mut model =
            Model { hub, stream, told: BTreeMap::new(), changes: Vec::new(), watchers: BTreeMap::new() };
        steps.into_iter().for_each(|step| model.run(step));
        drain(&mut model.stream, &mut model.told);
        model.check(model.hub.revision());
        let alive = model.watchers.values().filter(|watcher| watcher.2.is_none()).count();
        prop_assert_eq!(model.hub.counts(), (1, alive, 0));
        drop(model.stream);
        prop_assert_eq!(model.hub.counts(), (0, 0, 0));
    }
}

#[test]
fn the_id_of_a_watcher_that_ended_by_itself_is_taken_until_it_is_canceled() {
    let hub = Arc::new(Hub::new(1));
    let mut stream = hub.open();
    stream.watch(1, spec("a", ""), 0, ()).expect("a watcher");
    assert!(stream.end(1).is_some());
    assert_eq!(hub.counts(), (1, 0, 0));
    assert!(stream.watch(1, spec("a", ""), 0, ()).is_none());
    assert_eq!(stream.watch(0, spec("a", ""), 0, ()).expect("a watcher").0, 0);
    assert_eq!(stream.watch(0, spec("a", ""), 0, ()).expect("a watcher").0, 2);
    assert!(stream.cancel(1).is_none());
    assert!(stream.release(1));
    assert!(!stream.release(1));
    assert!(stream.watch(1, spec("a", ""), 0, ()).is_some());
}
