use std::sync::{Arc, Mutex};

use proto::core::v1::ConfigMap;
use tokio::task::JoinHandle;

use super::*;
use crate::fake::Fake;

fn config_map(name: &str, value: &str) -> ConfigMap {
    let mut object = ConfigMap::default();
    object.metadata.namespace = "n".into();
    object.metadata.name = name.into();
    object.data.insert("value".into(), value.into());
    object
}

/// An object of a revision, which is its value too.
fn at(name: &str, revision: i64) -> ConfigMap {
    let mut object = config_map(name, &revision.to_string());
    object.metadata.resource_version = revision.to_string();
    object
}

struct Followed {
    store: Store<ConfigMap>,
    log: Arc<Mutex<Vec<String>>>,
    changes: mpsc::Receiver<Change<ConfigMap>>,
    task: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(client: &crate::Client) -> Followed {
    let mut informer = Informer::new(client.api::<ConfigMap>(), ListParams::default())
        .index("value", |object| object.data.get("value").cloned().into_iter().collect());
    let store = informer.store();
    let log = Arc::new(Mutex::new(Vec::new()));
    let written = log.clone();
    informer.on_change(move |change| {
        let sign = match (&change.old, &change.new) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        written.lock().expect("lock").push(format!("{sign}{}", change.key));
    });
    let changes = informer.changes();
    let task = tokio::spawn(informer.run());
    let waited = tokio::time::timeout(Duration::from_secs(10), store.wait_synced()).await;
    waited.expect("synced");
    Followed { store, log, changes, task }
}

impl Followed {
    async fn next(&mut self) -> Change<ConfigMap> {
        let next = tokio::time::timeout(Duration::from_secs(10), self.changes.recv()).await;
        next.expect("in time").expect("open")
    }
}

#[tokio::test]
async fn store_follows_the_server_and_handlers_hear_each_change() {
    let (fake, client) = Fake::start().await;
    for name in ["a", "b", "c"] {
        fake.put(&config_map(name, "1"));
    }
    let mut followed = follow(&client).await;
    assert_eq!(followed.store.len(), 3);
    for _ in 0..3 {
        followed.next().await;
    }
    fake.put(&config_map("a", "2"));
    let change = followed.next().await;
    assert_eq!(change.old.expect("old").data["value"], "1");
    let new = change.new.expect("new");
    assert_eq!(new.data["value"], "2");
    assert_eq!(new.metadata.resource_version, "4");
    fake.remove("n", "b");
    assert!(followed.next().await.new.is_none());
    assert_eq!(followed.store.revision(), 5);
    assert_eq!(*followed.log.lock().expect("lock"), ["+n/a", "+n/b", "+n/c", "~n/a", "-n/b"]);
    let found: Vec<_> =
        followed.store.by_index("value", "1").iter().map(|object| object.metadata.name.clone()).collect();
    assert_eq!(found, ["c"]);
}

#[tokio::test]
async fn ended_watch_resumes_from_the_last_revision_without_a_list() {
    let (fake, client) = Fake::start().await;
    fake.put(&config_map("a", "1"));
    let mut followed = follow(&client).await;
    followed.next().await;
    fake.put(&config_map("b", "1"));
    followed.next().await;
    fake.cut();
    fake.put(&config_map("c", "1"));
    assert_eq!(followed.next().await.key, Key::new("n", "c"));
    assert_eq!(fake.lists(), 1);
    assert_eq!(fake.watches().last().map(String::as_str), Some("2"));
}

#[tokio::test]
async fn revision_that_is_too_old_causes_a_new_list_and_lost_deletions_are_told() {
    let (fake, client) = Fake::start().await;
    fake.put(&config_map("a", "1"));
    fake.put(&config_map("b", "1"));
    let mut followed = follow(&client).await;
    followed.next().await;
    followed.next().await;
    // A resumed watch must find its revision compacted: write, compact and cut before it can resume.
    {
        fake.remove("n", "a");
        fake.put(&config_map("c", "1"));
        fake.compact();
        fake.cut();
    }
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..2 {
        let change = followed.next().await;
        seen.push(format!("{}{}", if change.new.is_some() { '+' } else { '-' }, change.key.name));
    }
    seen.sort();
    assert_eq!(seen, ["+c", "-a"]);
    let names: Vec<_> = followed.store.list().iter().map(|object| object.metadata.name.clone()).collect();
    assert_eq!(names, ["b", "c"]);
}

#[tokio::test]
async fn verbs_carry_versions_beside_the_object() {
    let (_fake, client) = Fake::start().await;
    let api = client.api::<ConfigMap>();
    let created = api.create(&config_map("a", "1")).await.expect("created");
    assert_eq!(created.metadata.resource_version, "1");
    assert!(api.create(&config_map("a", "1")).await.expect_err("exists").is_already_exists());
    let updated = api.update(&created).await.expect("updated");
    assert!(api.update(&created).await.expect_err("stale").is_conflict());
    assert_eq!(api.get("n", "a").await.expect("found"), updated);
    assert!(api.delete("n", "a", &Default::default()).await.expect("deleted"));
    assert!(api.get_opt("n", "a").await.expect("answered").is_none());
}

#[tokio::test]
async fn missing_server_is_named() {
    let client = crate::Client::new(crate::Config::plain("http://127.0.0.1:1")).expect("a client");
    let error = client.api::<ConfigMap>().get("n", "a").await.expect_err("nobody listens");
    assert!(error.is_unavailable());
    assert!(error.to_string().contains("127.0.0.1:1") && error.to_string().contains("refused"), "{error}");
}

#[test]
fn overtaken_answers_do_not_turn_the_store_back() {
    let store = Store::new();
    let mut newer = config_map("a", "2");
    newer.metadata.resource_version = "5".into();
    store.put(newer);
    let mut older = config_map("a", "1");
    older.metadata.resource_version = "4".into();
    assert!(store.put(older).is_none());
    assert_eq!(store.get("n", "a").expect("there").data["value"], "2");
}

#[test]
fn own_writes_are_seen_at_once_and_do_not_bring_back_the_dead() {
    let store = Store::new();
    store.put(at("a", 5));
    store.observe(at("b", 7));
    assert!(store.get("n", "b").is_some());
    assert_eq!(store.revision(), 5, "the watch resumes from what it has seen");
    assert!(store.put(at("b", 7)).is_some(), "the watch's event still tells the handlers");
    store.remove(at("b", 8));
    store.observe(at("b", 7));
    assert!(store.get("n", "b").is_none());
    store.observe(at("a", 4));
    assert_eq!(store.get("n", "a").expect("there").data["value"], "5");
}

#[test]
fn own_writes_are_told_once_and_from_what_was_told_before() {
    let store = Store::new();
    let told = |change: &Change<ConfigMap>| {
        let value = |object: &Option<Arc<ConfigMap>>| object.as_ref().map(|object| object.data["value"].clone());
        (value(&change.old).unwrap_or_default(), value(&change.new).unwrap_or_default())
    };
    let pair = |old: &str, new: &str| (old.to_owned(), new.to_owned());
    store.put(at("a", 1));
    // By the watch, though the write was seen first, and twice.
    store.observe(at("a", 2));
    store.observe(at("a", 3));
    assert!(store.put(at("a", 2)).is_none());
    assert_eq!(told(&store.put(at("a", 3)).expect("told")), pair("1", "3"));
    // By a list, where the watch broke before it told.
    store.observe(at("a", 5));
    store.observe(at("own", 6));
    let changes = store.replace(vec![at("a", 5), at("own", 6)], 6);
    assert_eq!(changes.iter().map(told).collect::<Vec<_>>(), [pair("3", "5"), pair("", "6")]);
    assert!(store.replace(vec![at("a", 5), at("own", 6)], 7).is_empty(), "they know it");
    // Gone before it was told.
    store.observe(at("a", 8));
    assert_eq!(told(&store.remove(at("a", 9)).expect("told")), pair("5", ""));
    assert_eq!(told(&store.put(at("a", 10)).expect("told")), pair("", "10"));
}

#[test]
fn list_does_not_undo_own_writes_unless_the_server_was_restored() {
    let store = Store::new();
    let names = |store: &Store<ConfigMap>| -> Vec<String> {
        store.list().iter().map(|object| format!("{} {}", object.metadata.name, object.data["value"])).collect()
    };
    store.replace(vec![at("a", 3), at("gone", 2)], 5);
    store.observe(at("a", 7));
    store.observe(at("own", 8));
    store.replace(vec![at("a", 3)], 6);
    assert_eq!(names(&store), ["a 7", "own 8"]);
    store.replace(vec![at("a", 3)], 4);
    assert_eq!(names(&store), ["a 3"], "the server went back in time");
}
