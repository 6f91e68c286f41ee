//! An apiserver on a store of three members, each of which dies, stands still or is cut off in turn: requests go on, nothing
//! that was acknowledged is lost, and a watch tells every change once, in order.
//!
//! Needs `cargo build -p store -p apiserver`; cutting members off needs root (namespaces, nftables).

#![allow(clippy::unwrap_used)] // a test ends where it is wrong

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::{Api, Error, ListParams, WatchParams};
use proto::core::v1::ConfigMap;
use proto::etcdserverpb as etcd;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use test_control::eventually_or;
use test_control::process::Process;
use test_store::net::Net;
use test_store::{Member, Spec, connect_to, folders, leader, specs};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;

const WRITERS: usize = 4;
const PREFIX: &str = "/registry/configmaps/default/";
/// Every so many-th write is a new object.
const CREATE_EVERY: u64 = 5;
/// Acknowledged writes that show that requests go on.
const AT_WORK: u64 = 40;
/// Without an acknowledged write, at most, on a machine that is busy with other things.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// What all writers have been told.
#[derive(Default)]
struct Told {
    /// The value of each object that was acknowledged last.
    objects: Mutex<BTreeMap<String, u64>>,
    writes: AtomicU64,
    /// Errors, by their reason.
    errors: Mutex<BTreeMap<String, u64>>,
    /// When the last write was acknowledged, and the longest time between two.
    last: Mutex<Option<(Instant, Duration)>>,
}

impl Told {
    fn acknowledged(&self, name: &str, value: u64) {
        self.objects.lock().unwrap().insert(name.to_owned(), value);
        self.writes.fetch_add(1, Ordering::SeqCst);
        let mut last = self.last.lock().unwrap();
        let silence = last.map_or(Duration::ZERO, |(at, longest)| at.elapsed().max(longest));
        *last = Some((Instant::now(), silence));
    }

    /// The longest silence since it was last asked.
    fn silence(&self) -> Duration {
        let mut last = self.last.lock().unwrap();
        let longest = last.map_or(Duration::ZERO, |(at, longest)| at.elapsed().max(longest));
        *last = last.map(|(at, _)| (at, Duration::ZERO));
        longest
    }

    /// Counts an error that a client tries again after; others are the test's end.
    fn failed(&self, error: &Error) {
        let again = error.is_unavailable() || ["Timeout", "ServiceUnavailable"].contains(&error.reason());
        assert!(again, "not an error to try again after: {error} ({:?})", error.status());
        let reason = if error.reason().is_empty() { "no answer" } else { error.reason() };
        *self.errors.lock().unwrap().entry(reason.to_owned()).or_default() += 1;
    }
}

/// Writes until it is stopped; each object is one writer's, so that it can tell what became of a write.
struct Writer {
    maps: Api<ConfigMap>,
    told: Arc<Told>,
    name: String,
}

fn value(map: &ConfigMap) -> u64 {
    map.data["n"].parse().unwrap()
}

impl Writer {
    async fn run(mut self, number: usize, stop: Arc<AtomicBool>) {
        let mut step = 0_u64;
        while !stop.load(Ordering::SeqCst) {
            if step.is_multiple_of(CREATE_EVERY) {
                self.name = format!("w{number}-{step}");
            }
            while !self.write(step).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            self.told.acknowledged(&self.name, step);
            step += 1;
        }
    }

    /// Whether the object has the value now; else it is to be tried again.
    async fn write(&self, step: u64) -> bool {
        let result = if step.is_multiple_of(CREATE_EVERY) { self.create(step).await } else { self.update(step).await };
        match result {
            Ok(done) => done,
            Err(error) => {
                self.told.failed(&error);
                false
            }
        }
    }

    async fn create(&self, step: u64) -> Result<bool, Error> {
        let mut map = ConfigMap::default();
        map.metadata.namespace = "default".into();
        map.metadata.name = self.name.clone();
        map.data.insert("n".into(), step.to_string());
        match self.maps.create(&map).await {
            // An attempt before, whose answer was lost.
            Err(error) if error.is_already_exists() => Ok(value(&self.maps.get("default", &self.name).await?) == step),
            done => done.map(|_| true),
        }
    }

    async fn update(&self, step: u64) -> Result<bool, Error> {
        let mut map = self.maps.get("default", &self.name).await?;
        if value(&map) == step {
            return Ok(true);
        }
        assert_eq!(value(&map), step - 1, "{}: an acknowledged write is lost", self.name);
        map.data.insert("n".into(), step.to_string());
        match self.maps.update(&map).await {
            Err(error) if error.is_conflict() => Ok(false),
            done => done.map(|_| true),
        }
    }
}

/// One change: its revision, and the object's name.
type Seen = (i64, String);

/// Follows the objects from a revision on, and goes on where it was when a watch ends.
async fn follow(maps: Api<ConfigMap>, from: i64, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut at = from;
    loop {
        let params =
            WatchParams { namespace: "default".into(), resource_version: at.to_string(), ..Default::default() };
        let Ok(events) = maps.watch(&params).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            let object = match event {
                Ok(client::Event::Added(object) | client::Event::Modified(object) | client::Event::Deleted(object)) => {
                    object
                }
                Ok(client::Event::Bookmark { .. }) => continue,
                Err(error) => {
                    assert!(!error.is_expired(), "the watch lost its place: {error}");
                    break;
                }
            };
            at = object.metadata.resource_version.parse().unwrap();
            seen.lock().unwrap().push((at, object.metadata.name));
        }
    }
}

/// All changes after `from`, up to `upto`, as the store itself tells them.
async fn history(url: &str, from: i64, upto: i64) -> Vec<Seen> {
    let create = etcd::WatchCreateRequest {
        key: PREFIX.into(),
        range_end: PREFIX.replace("default/", "default0").into(),
        start_revision: from + 1,
        ..Default::default()
    };
    let create = etcd::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let requests = tokio_stream::once(create).chain(tokio_stream::pending());
    let mut answers = WatchClient::new(connect_to(url).await.unwrap()).watch(requests).await.unwrap().into_inner();
    let mut all = Vec::new();
    while all.last().is_none_or(|(rev, _)| *rev < upto) {
        for event in answers.message().await.unwrap().unwrap().events {
            let kv = event.kv.unwrap();
            let name = String::from_utf8_lossy(&kv.key).replace(PREFIX, "");
            all.push((kv.mod_revision, name));
        }
    }
    all
}

struct World {
    members: Vec<Member>,
    apiserver: Process,
    maps: Api<ConfigMap>,
    told: Arc<Told>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
    watcher: JoinHandle<()>,
    from: i64,
    seen: Arc<Mutex<Vec<Seen>>>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        Self::start_on(|folder| specs(folder, 3).unwrap()).await
    }

    async fn start_on(specs: impl FnOnce(&Path) -> Vec<Spec>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let specs = specs(folder.path());
        let members: Vec<Member> = specs.iter().map(|spec| Member::start(spec).unwrap()).collect();
        for member in &members {
            member.ready().await.unwrap();
        }
        let stores: Vec<String> = specs.iter().map(Spec::client_url).collect();
        let apiserver = Process::start(folder.path(), &stores).await;
        let maps = apiserver.client("admin").api::<ConfigMap>();
        let from = maps.list(&ListParams::in_namespace("default")).await.unwrap().resource_version;
        let (told, stop, seen) =
            (Arc::<Told>::default(), Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<Seen>>>::default());
        let watcher = tokio::spawn(follow(apiserver.client("admin").api(), from, seen.clone()));
        let writers = (0..WRITERS).map(|number| {
            let maps = apiserver.client("admin").api();
            let writer = Writer { maps, told: told.clone(), name: String::new() };
            tokio::spawn(writer.run(number, stop.clone()))
        });
        let writers = writers.collect();
        let world = Self { members, apiserver, maps, told, stop, writers, watcher, from, seen, _folder: folder };
        world.goes_on("at the beginning").await;
        world
    }

    /// Writes are acknowledged, the watch tells of them, and a list has them all.
    async fn goes_on(&self, when: &str) {
        let wanted = self.told.writes.load(Ordering::SeqCst) + AT_WORK;
        eventually_or(&format!("writes go on {when}"), async || {
            let writes = self.told.writes.load(Ordering::SeqCst);
            if writes >= wanted { Ok(()) } else { Err((writes, self.tail())) }
        })
        .await;
        let acknowledged = self.told.objects.lock().unwrap().clone();
        let list = eventually_or(&format!("lists go on {when}"), async || {
            self.maps.list(&ListParams::in_namespace("default")).await.map_err(|error| error.to_string())
        })
        .await;
        let listed: BTreeMap<String, u64> = list
            .items
            .iter()
            .filter(|map| map.data.contains_key("n"))
            .map(|map| (map.metadata.name.clone(), value(map)))
            .collect();
        for (name, value) in &acknowledged {
            assert!(
                listed.get(name).is_some_and(|listed| listed >= value),
                "{when}: {name} is listed as {:?}, acknowledged was {value}",
                listed.get(name)
            );
        }
        eventually_or(&format!("the watch goes on {when}"), async || {
            let told = self.seen.lock().unwrap().last().map(|(rev, _)| *rev);
            // Other kinds have revisions of their own: the last one of these is meant.
            let newest = list.items.iter().filter_map(|map| map.metadata.resource_version.parse().ok()).max();
            if told >= newest { Ok(()) } else { Err((told, newest, self.tail())) }
        })
        .await;
        let silence = self.told.silence();
        println!("{when}: no write was acknowledged for {silence:?} at most");
        assert!(silence < SILENCE_MAX, "{when}: no write was acknowledged for {silence:?}");
    }

    fn tail(&self) -> String {
        let log = self.apiserver.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    async fn finish(self) {
        self.stop.store(true, Ordering::SeqCst);
        for writer in self.writers {
            writer.await.unwrap();
        }
        // Every object is as it was acknowledged last.
        let acknowledged = self.told.objects.lock().unwrap().clone();
        let list = self.maps.list(&ListParams::in_namespace("default")).await.unwrap();
        let listed = list.items.iter().filter(|map| map.data.contains_key("n"));
        let listed: BTreeMap<String, u64> = listed.map(|map| (map.metadata.name.clone(), value(map))).collect();
        assert_eq!(listed, acknowledged);
        let newest = list.items.iter().map(|map| map.metadata.resource_version.parse::<i64>().unwrap()).max().unwrap();
        eventually_or("the watch has told everything", async || {
            let told = self.seen.lock().unwrap().last().map(|(rev, _)| *rev);
            if told >= Some(newest) { Ok(()) } else { Err(told) }
        })
        .await;
        self.watcher.abort();
        let truth = history(&self.members[0].spec.client_url(), self.from, newest).await;
        assert_eq!(*self.seen.lock().unwrap(), truth, "the watch has no gap and tells nothing twice");
        let (writes, errors) = (self.told.writes.load(Ordering::SeqCst), self.told.errors.lock().unwrap());
        println!("{writes} writes, {} changes, errors that were tried again: {errors:?}", truth.len());
        assert!(truth.len() as u64 >= writes, "every write is a change");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apiserver_survives_the_death_of_any_member_of_its_store() {
    let mut world = World::start().await;
    let mut led = 0;
    for round in 0..4 {
        // Each in turn; at last, whoever leads.
        let leader = leader(&world.members).await.unwrap();
        let at = if round < 3 { 0 } else { leader };
        led += u32::from(at == leader);
        let member = world.members.remove(at);
        let name = member.spec.name.clone();
        let spec = member.kill().unwrap();
        world.goes_on(&format!("while {name} is dead (it {})", if at == leader { "led" } else { "followed" })).await;
        let back = Member::start(&spec).unwrap();
        back.ready().await.unwrap();
        world.members.push(back);
        world.goes_on(&format!("after {name} came back")).await;
    }
    assert!(led > 0, "a leader was killed");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apiserver_survives_a_member_of_its_store_that_stands_still() {
    let world = World::start().await;
    for at in 0..3 {
        let leads = leader(&world.members).await.unwrap() == at;
        let member = &world.members[at];
        member.signal("STOP").unwrap();
        let role = if leads { "led" } else { "followed" };
        world.goes_on(&format!("while {} stands still (it {role})", member.spec.name)).await;
        member.signal("CONT").unwrap();
        member.ready().await.unwrap();
        world.goes_on(&format!("after {} goes on", member.spec.name)).await;
    }
    world.finish().await;
}

#[test]
fn an_apiserver_survives_a_member_of_its_store_that_is_cut_off_from_the_others() {
    let net = Net::new("api", 3).unwrap();
    testkit::namespace::inside(Some(&net.hub()), || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let world = World::start_on(|folder| folders::three(folder, &net).unwrap()).await;
            for at in 0..3 {
                let leads = leader(&world.members).await? == at;
                // The apiserver still reaches all of them.
                for other in [(at + 1) % 3, (at + 2) % 3] {
                    net.part(at, other)?;
                }
                let role = if leads { "led" } else { "followed" };
                world.goes_on(&format!("while m{at} is cut off (it {role})")).await;
                net.heal()?;
                world.members[at].ready().await?;
                world.goes_on(&format!("after m{at} is heard again")).await;
            }
            world.finish().await;
            Ok(())
        })
    })
    .unwrap();
}
