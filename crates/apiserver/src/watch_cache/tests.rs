//! The laws of the cache, without a store.

use bytes::Bytes;
use proto::keelson::api::v1::watch_event::Type;

use super::*;

fn entry(key: &str, rev: i64) -> Entry {
    Entry::new(key, rev, Bytes::from(rev.to_string()), BTreeMap::new(), Vec::new())
}

fn filled(keys: &[&str], revision: i64) -> WatchCache {
    let cache = WatchCache::default();
    cache.replace(keys.iter().map(|key| entry(key, revision)).collect(), revision);
    cache
}

fn put(cache: &WatchCache, key: &str, rev: i64) {
    cache.apply(vec![(key.into(), rev, Update::Put(entry(key, rev)))]);
}

fn seen(subscription: &mut Subscription) -> Vec<(Type, i64)> {
    let backlog = std::mem::take(&mut subscription.backlog);
    let live = std::iter::from_fn(|| subscription.try_next());
    backlog
        .into_iter()
        .chain(live)
        .filter_map(|item| match item {
            Item::Change(kind, change) => Some((kind, change.rev)),
            Item::Bookmark(_) => None,
        })
        .collect()
}

#[test]
fn a_watch_from_a_revision_misses_nothing_and_repeats_nothing() {
    let cache = filled(&["d/a"], 10);
    for rev in 11..20 {
        put(&cache, "d/a", rev);
    }
    for from in 10..20 {
        let mut watch = cache.subscribe(Filter::default(), Start::After(from), false).expect("in the window");
        put(&cache, "d/b", 20 + from);
        let revs: Vec<i64> = seen(&mut watch).into_iter().map(|(_, rev)| rev).filter(|rev| *rev < 20).collect();
        assert_eq!(revs, (from + 1..20).collect::<Vec<_>>(), "from {from}");
    }
}

#[test]
fn a_watch_from_before_the_window_is_refused() {
    let cache = filled(&[], 10);
    let refused = cache.subscribe(Filter::default(), Start::After(9), false).expect_err("too old");
    assert_eq!(refused, CacheError::TooOld { requested: 9, oldest: 10 });
    assert_eq!(refused.to_string(), "too old resource version: 9 (10)");
    for rev in 11..=10 + WINDOW_LEN_MAX as i64 + 5 {
        put(&cache, "d/a", rev);
    }
    assert!(cache.subscribe(Filter::default(), Start::After(14), false).is_err());
    assert!(cache.subscribe(Filter::default(), Start::After(15), false).is_ok());
}

#[test]
fn a_watch_that_begins_with_the_present_sees_each_object_once() {
    let cache = filled(&["d/a", "d/b", "e/c"], 10);
    let namespace = Filter { namespace: "d".into(), ..Default::default() };
    let mut watch = cache.subscribe(namespace, Start::Current, false).expect("filled");
    let names: Vec<&str> = watch.initial.iter().map(|entry| &*entry.key).collect();
    assert_eq!(names, ["d/a", "d/b"]);
    put(&cache, "d/a", 11);
    put(&cache, "e/c", 12);
    cache.apply(vec![("d/b".into(), 13, Update::Delete)]);
    assert_eq!(seen(&mut watch), [(Type::Modified, 11), (Type::Deleted, 13)]);
}

#[test]
fn a_watch_of_the_future_is_told_nothing_before_it() {
    let cache = filled(&[], 10);
    let mut watch = cache.subscribe(Filter::default(), Start::After(12), false).expect("allowed");
    put(&cache, "d/a", 11);
    put(&cache, "d/a", 13);
    assert_eq!(seen(&mut watch), [(Type::Modified, 13)]);
}

#[tokio::test]
async fn an_unreadable_value_is_not_a_deletion() {
    let cache = filled(&["d/a"], 10);
    let mut watch = cache.subscribe(Filter::default(), Start::After(10), false).expect("filled");
    cache.apply(vec![("d/a".into(), 11, Update::Unreadable)]);
    assert_eq!((cache.get("d/a").map(|entry| entry.rev), cache.revision()), (Some(10), 11), "as it was last read");
    put(&cache, "d/a", 12);
    assert_eq!(seen(&mut watch), [(Type::Modified, 12)], "nobody is told that it was deleted");
}

#[tokio::test]
async fn a_closed_cache_ends_its_watches_and_begins_none() {
    let cache = filled(&[], 10);
    let mut watch = cache.subscribe(Filter::default(), Start::Current, false).expect("filled");
    cache.close();
    assert_eq!(watch.next().await.expect_err("ended"), End::Shutdown);
    let refused = cache.subscribe(Filter::default(), Start::Current, false).expect_err("stops");
    assert_eq!(refused, CacheError::Closed);
}

#[tokio::test]
async fn a_slow_watcher_ends_and_blocks_nobody() {
    let cache = filled(&[], 10);
    let mut slow = cache.subscribe(Filter::default(), Start::After(10), false).expect("filled");
    let mut quick = cache.subscribe(Filter::default(), Start::After(10), false).expect("filled");
    let mut got = 0;
    for rev in 11..=11 + WATCHER_LEN_MAX as i64 {
        put(&cache, "d/a", rev);
        got += seen(&mut quick).len();
    }
    assert_eq!(got, WATCHER_LEN_MAX + 1);
    let mut kept = 0;
    let end = loop {
        match slow.next().await {
            Ok(_) => kept += 1,
            Err(end) => break end,
        }
    };
    assert_eq!((kept, end), (WATCHER_LEN_MAX, End::Slow));
    assert_eq!(cache.watchers(), 1);
}

#[tokio::test]
async fn a_fresh_view_ends_the_watches_of_the_old_one() {
    let cache = filled(&[], 10);
    let mut watch = cache.subscribe(Filter::default(), Start::After(10), false).expect("filled");
    cache.replace(vec![entry("d/a", 30)], 40);
    assert_eq!(watch.next().await.expect_err("ended"), End::Reset);
    assert!(cache.subscribe(Filter::default(), Start::After(20), false).is_err());
}

#[tokio::test]
async fn bookmarks_come_after_what_they_cover() {
    let cache = filled(&[], 10);
    let mut watch = cache.subscribe(Filter::default(), Start::After(10), true).expect("filled");
    put(&cache, "d/a", 11);
    cache.progress(15);
    cache.bookmark();
    assert!(matches!(watch.next().await, Ok(Item::Change(Type::Added, _))));
    assert!(matches!(watch.next().await, Ok(Item::Bookmark(15))));
}

#[tokio::test(start_paused = true)]
async fn a_reader_waits_for_the_revision_it_needs() {
    let cache = Arc::new(filled(&[], 10));
    let waiting = {
        let cache = Arc::clone(&cache);
        tokio::spawn(async move { cache.wait_for(12, Duration::from_secs(3)).await })
    };
    tokio::task::yield_now().await;
    put(&cache, "d/a", 12);
    assert_eq!(waiting.await.expect("no panic"), Ok(()));
    let late = cache.wait_for(20, Duration::from_secs(3)).await.expect_err("never comes");
    assert_eq!(late, CacheError::TooNew { requested: 20, current: 12 });
    let empty = WatchCache::default().wait_for(0, Duration::from_secs(3)).await;
    assert_eq!(empty, Err(CacheError::NotReady));
}
