//! One run: a phase of faults, everything healed, and then everything must agree.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Once};
use std::time::Duration;

use proto::etcdserverpb::{RangeRequest, RangeResponse};
use store::env::{planted, runtime};
use store::shared::{ReadError, Shared};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::client::lease::{LeaseClient, PREFIX, TTL_MAX};
use crate::client::watch::WatchClient;
use crate::client::{Client, KEYS, value_text};
use crate::history::key_text;
use crate::invariant::lease::Leases;
use crate::invariant::state_machine_safety::hash;
use crate::invariant::watch::Watcher;
use crate::invariant::{durability, linearizability, watch};
use crate::keeper::Keeper;
use crate::linear::Key;
use crate::nemesis::Nemesis;
use crate::net::Live;
use crate::world::{Settings, World};

/// How often the invariants look at every member, and at every log.
const LOOK: Duration = Duration::from_millis(40);
const LOOKS_PER_LOG: u32 = 12;
/// How long clients go on when everything is healed.
const CALM: Duration = Duration::from_secs(2);
/// What a lease may live longer than its time: elections and the leader's looks.
const LEASE_SLACK: Duration = Duration::from_secs(5);
/// How long members may take to agree when nothing is in their way any more.
const AGREE: Duration = Duration::from_secs(30);

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub seed: u64,
    pub trace: u64,
    /// Calls that were answered, refused, and of which nobody knows.
    pub answered: u64,
    pub refused: u64,
    pub unknown: u64,
    pub terms: u64,
    pub snapshots: u64,
    pub rejoins: u64,
    pub leases: u64,
    pub events: u64,
    pub faults: BTreeMap<&'static str, u64>,
    pub violations: Vec<String>,
    /// What happened, and when.
    pub log: Vec<String>,
}

/// Runs a seed on this thread.
pub fn run(settings: Settings) -> Report {
    run_story(settings, async |world| whole(world).await)
}

/// Runs a story of its own in a world of its own, on this thread.
pub fn run_story(settings: Settings, story: impl AsyncFnOnce(&Arc<World>)) -> Report {
    runtime::seed_thread(settings.seed);
    planted::plant(settings.planted.and_then(|bug| bug.inside()));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let world = runtime.block_on(async { World::new(settings) });
    note_panics();
    // What panicked is noted, wherever it was.
    let _panicked = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(story(&world))));
    drop(runtime);
    RUNNING.set(false);
    planted::plant(None);
    for text in PANICS.take() {
        world.watchdog.judge("no panic", Err(text));
    }
    report(&world)
}

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes panics by thread: those of tasks would end in the task's handle.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match RUNNING.get() {
            true => PANICS.with_borrow_mut(|panics| panics.push(info.to_string())),
            false => usual(info),
        }));
    });
    PANICS.take();
    RUNNING.set(true);
}

fn report(world: &World) -> Report {
    let (lost, doubled, snapshots) = world.net.counts();
    let history = world.history.lock();
    let (answered, unknown) = history.counts();
    let mut faults = world.faults();
    faults.insert("message lost", lost);
    faults.insert("message doubled", doubled);
    faults.retain(|_, count| *count > 0);
    Report {
        seed: world.settings.seed,
        trace: world.trace(),
        answered,
        refused: history.refused,
        unknown,
        terms: world.watchdog.terms(),
        snapshots,
        rejoins: world.rejoins(),
        leases: world.leases.lock().known.len() as u64,
        events: world.watchers.lock().iter().map(|watcher| watcher.told.len() as u64).sum(),
        faults,
        violations: world.watchdog.objections(),
        log: world.log(),
    }
}

/// Starts the members, and what looks at them.
pub fn begin(world: &Arc<World>) {
    for id in world.ids() {
        let (tx, orders) = mpsc::unbounded_channel();
        world.keepers.lock().insert(id, tx);
        tokio::spawn(Keeper { world: world.clone(), id, orders }.run());
    }
    tokio::spawn(look(world.clone()));
}

async fn whole(world: &Arc<World>) {
    begin(world);
    let mut clients = Vec::new();
    for id in 0..world.settings.clients {
        clients.push(tokio::spawn(Client { world: world.clone(), id, dice: world.dice.apart() }.run()));
    }
    clients.push(tokio::spawn(LeaseClient { world: world.clone(), dice: world.dice.apart() }.run()));
    for (name, key, rereads) in
        [("watcher of all", "", false), ("watcher of one key", "key/1", false), ("watcher that begins again", "", true)]
    {
        let watcher = Watcher::new(name.to_owned(), key.as_bytes().to_vec());
        let client = WatchClient { world: world.clone(), dice: world.dice.apart(), watcher, rereads };
        clients.push(tokio::spawn(client.run()));
    }
    Nemesis { world: world.clone(), dice: world.dice.apart() }.run().await;
    sleep(CALM).await;
    sleep(Duration::from_secs(TTL_MAX) + LEASE_SLACK).await;
    *world.over.lock() = true;
    for client in clients {
        if timeout(AGREE, client).await.is_err() {
            world.watchdog.judge("clients end", Err("a client still waits for an answer".to_owned()));
        }
    }
    agree(world).await;
    judge(world).await;
}

/// Shows the invariants every member, again and again.
async fn look(world: Arc<World>) {
    let mut count = 0;
    loop {
        sleep(LOOK).await;
        count += 1;
        for (id, live) in world.net.all() {
            world.watchdog.look(id, &live);
            if count % LOOKS_PER_LOG == 0 {
                world.watchdog.look_at_log(id, &live);
            }
        }
    }
}

/// Every member runs, has applied the same and everything that was committed, and has the same state.
pub async fn agree(world: &World) {
    let ends = Instant::now() + AGREE;
    loop {
        let members = world.net.all();
        let stands: Vec<_> =
            members.iter().map(|(id, live)| (*id, live.member.shared.applied(), state(live))).collect();
        let committed = world.watchdog.committed().map(|(_, index)| index);
        let same = stands.iter().all(|(_, applied, state)| (*applied, *state) == (stands[0].1, stands[0].2));
        // Reading everything shows what has rotted: such a member ends, and gets it from the others.
        let readable = members.iter().all(|(_, live)| read_all(&live.member.shared).is_ok());
        let whole = readable && stands.len() as u64 == world.size();
        if whole && same && stands[0].1.map(|id| id.index) >= committed {
            return;
        }
        if Instant::now() >= ends {
            let text = format!("{committed:?} was committed; member, applied, hash of its state: {stands:?}");
            return world.watchdog.judge("all agree in the end", Err(text));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Everything that a member has, whether it has its quorum or not.
fn read_all(shared: &Shared) -> Result<RangeResponse, ReadError> {
    let everything = RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
    let (selection, view) = shared.select(None, &everything)?;
    Ok(selection.finish_all(|locs| view.read_all(locs))?)
}

fn state(live: &Live) -> u64 {
    hash(&live.member.shared.held.read().state)
}

/// The invariants that look back on the whole run.
async fn judge(world: &Arc<World>) {
    // With what every member has at the end, read as any client reads.
    let reader = Client { world: world.clone(), id: u32::MAX, dice: world.dice.apart() };
    for id in world.ids() {
        reader.read_all(id).await;
    }
    let history = world.history.lock();
    world.watchdog.judge("linearizability", linearizability::check(&history.ops));
    for (id, live) in world.net.all() {
        world.watchdog.look_at_log(id, &live);
        let shared = &live.member.shared;
        let rsp = match read_all(shared) {
            Ok(rsp) => rsp,
            Err(error) => {
                world.watchdog.judge("every value can be read", Err(format!("member {id}: {error}")));
                continue;
            }
        };
        let mut finally: BTreeMap<Key, (u64, i64)> = BTreeMap::new();
        let mut hanging = Vec::new();
        for kv in &rsp.kvs {
            if kv.key.starts_with(PREFIX.as_bytes()) {
                hanging.push((kv.key.to_vec(), kv.lease));
            } else if let Some(key) = (0..KEYS).find(|key| key_text(*key).as_bytes() == &kv.key[..]) {
                finally.insert(key, (value(&kv.value), kv.mod_revision));
            }
        }
        let revision = shared.revision();
        world.watchdog.judge("durability", durability::check(&history.ops, id, revision, &finally));
        let leases: Vec<i64> = shared.held.read().state.lessor.iter().map(|(id, _)| id).collect();
        world.watchdog.judge("leases", Leases::all_gone(id, &leases, &hanging));
    }
    let written = history.written(value_text);
    world.watchdog.judge("watch", watch::check(&world.watchers.lock(), &written));
}

fn value(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(u64::MAX)
}
