//! The network between members: delays, loss, doubled requests, links that are cut in one direction or both.
//!
//! What a request does at its receiver is done by a task of the receiver's process: it is held and killed with it, and a
//! caller that gave up does not stop it. Requests that are doubled are those that a transport may send again after a
//! connection broke: openraft's own, which are safe to repeat; a forwarded proposal never.

mod raft;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use proto::keelson::raft::v1::Command;
use store::env::process::Process;
use store::env::sim::{SimDisk, mix};
use store::forward::Carried;
use store::member::Member;
use store::peer::Transport;
use store::propose::Unproposed;
use store::read_index;
use store::refused::Refused;

use crate::dice::Dice;
use crate::invariant::Watchdog;
use crate::planted::Planted;

/// After how long a caller takes a connection for broken.
const BROKEN_AFTER: Duration = Duration::from_millis(400);
/// As the transport's own limit for calls that are not openraft's.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// A member that runs.
#[derive(Clone)]
pub struct Live {
    pub process: Process,
    pub member: Arc<Member>,
    pub disk: SimDisk,
}

/// How bad the network is now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Of 1000 messages.
    pub lost: u64,
    pub doubled: u64,
    pub delay_ms: u64,
}

#[derive(Clone)]
pub struct Net {
    inner: Arc<Mutex<Inner>>,
    dice: Dice,
    pub watchdog: Watchdog,
    pub planted: Option<Planted>,
    began: tokio::time::Instant,
}

struct Inner {
    live: BTreeMap<u64, Live>,
    cut: BTreeSet<(u64, u64)>,
    weather: Weather,
    lost: u64,
    doubled: u64,
    snapshots: u64,
    trace: u64,
}

/// No answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The request did not arrive.
    Before,
    /// The request may have arrived.
    Maybe,
}

impl Net {
    pub fn new(dice: Dice, watchdog: Watchdog, planted: Option<Planted>) -> Self {
        let inner = Inner {
            live: BTreeMap::new(),
            cut: BTreeSet::new(),
            weather: Weather::default(),
            lost: 0,
            doubled: 0,
            snapshots: 0,
            trace: 0,
        };
        let began = tokio::time::Instant::now();
        Self { inner: Arc::new(Mutex::new(inner)), dice, watchdog, planted, began }
    }

    pub fn join(&self, id: u64, live: Live) {
        self.inner.lock().live.insert(id, live);
    }

    pub fn leave(&self, id: u64) -> Option<Live> {
        self.inner.lock().live.remove(&id)
    }

    pub fn live(&self, id: u64) -> Option<Live> {
        self.inner.lock().live.get(&id).cloned()
    }

    pub fn all(&self) -> Vec<(u64, Live)> {
        self.inner.lock().live.iter().map(|(id, live)| (*id, live.clone())).collect()
    }

    pub fn leader(&self) -> Option<u64> {
        let leading = |(_, live): &(u64, Live)| live.member.leading_term();
        self.all().iter().filter(|found| leading(found).is_some()).max_by_key(|found| leading(found)).map(|(id, _)| *id)
    }

    pub fn cut(&self, from: u64, to: u64) {
        self.inner.lock().cut.insert((from, to));
    }

    pub fn heal_links(&self) {
        self.inner.lock().cut.clear();
    }

    pub fn set_weather(&self, weather: Weather) {
        self.inner.lock().weather = weather;
    }

    /// Messages lost and doubled, and snapshots that arrived.
    pub fn counts(&self) -> (u64, u64, u64) {
        let inner = self.inner.lock();
        (inner.lost, inner.doubled, inner.snapshots)
    }

    /// Hash of every message and its fate, in order.
    pub fn trace(&self) -> u64 {
        self.inner.lock().trace
    }

    fn note(&self, from: u64, to: u64, what: u64) {
        let mut inner = self.inner.lock();
        let mut mixed = inner.trace ^ (from << 32) ^ (to << 40) ^ what;
        inner.trace = mix(&mut mixed);
    }

    /// Whether a message arrives, after its delay.
    async fn passes(&self, from: u64, to: u64) -> bool {
        let weather = self.inner.lock().weather;
        tokio::time::sleep(self.dice.millis(0, weather.delay_ms + 2)).await;
        let lost = self.dice.below(1000) < weather.lost;
        let mut inner = self.inner.lock();
        inner.lost += u64::from(lost);
        !lost && !inner.cut.contains(&(from, to))
    }

    fn doubles(&self) -> bool {
        let weather = self.inner.lock().weather;
        let doubled = self.dice.below(1000) < weather.doubled;
        self.inner.lock().doubled += u64::from(doubled);
        doubled
    }

    /// A request and its answer; `again`: it may be sent twice.
    pub async fn call<T, F>(
        &self,
        (from, to): (u64, u64),
        limit: Duration,
        again: bool,
        run: impl Fn(Live) -> F,
    ) -> Result<T, Lost>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        self.note(from, to, 1);
        let ends = tokio::time::Instant::now() + limit;
        let broken = tokio::time::Instant::now() + limit.min(BROKEN_AFTER);
        let receiver = if self.passes(from, to).await { self.live(to) } else { None };
        let Some(live) = receiver else {
            tokio::time::sleep_until(broken).await;
            return Err(Lost::Before);
        };
        if again && self.doubles() {
            drop(live.process.spawn(run(live.clone())));
        }
        let answer = live.process.spawn(run(live.clone()));
        let Ok(Ok(answer)) = tokio::time::timeout_at(ends, answer).await else {
            self.note(from, to, 2);
            return Err(Lost::Maybe);
        };
        if !self.passes(to, from).await {
            tokio::time::sleep_until(broken).await;
            self.note(from, to, 3);
            return Err(Lost::Maybe);
        }
        self.note(from, to, 4);
        Ok(answer)
    }

    /// The planted bug has its times: one second of three, so that the others are as always.
    fn is_lying(&self) -> bool {
        self.began.elapsed().as_secs() % 3 == 2
    }

    fn snapshot_arrived(&self) {
        self.inner.lock().snapshots += 1;
    }
}

/// The network as one member sees it.
#[derive(Clone)]
pub struct Wire {
    pub net: Net,
    pub from: u64,
}

#[async_trait]
impl Transport for Wire {
    async fn read_index(&self, leader: u64) -> Result<Option<u64>, Refused> {
        let ask = |live: Live| async move { read_index::confirm(&live.member.raft).await };
        match self.net.call((self.from, leader), CALL_TIMEOUT, false, ask).await {
            Ok(answer) => Ok(answer?.1),
            Err(_) => Err(Refused::LeaderChanged),
        }
    }

    async fn forward(&self, leader: u64, commands: Vec<Command>) -> Vec<Carried> {
        let ask = |live: Live| {
            let commands = commands.clone();
            async move { live.member.propose_forwarded(commands).await }
        };
        let outcomes = self.net.call((self.from, leader), CALL_TIMEOUT, false, ask).await;
        match outcomes.unwrap_or(Err(Unproposed::Lost)) {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(why) => vec![Err(why); commands.len()],
        }
    }

    async fn keep_alive(&self, leader: u64, lease: i64) -> Result<i64, Refused> {
        let unchecked = self.net.planted == Some(Planted::KeepAliveUnconfirmed);
        let ask = |live: Live| async move {
            match unchecked {
                true => Ok(live.member.renew(live.member.leading_term().unwrap_or_default(), lease)),
                false => live.member.renew_leading(lease).await,
            }
        };
        self.net.call((self.from, leader), CALL_TIMEOUT, false, ask).await.unwrap_or(Err(Refused::LeaderChanged))
    }

    async fn lease_left(&self, leader: u64, lease: i64) -> Result<i64, Refused> {
        let ask = |live: Live| async move { live.member.lease_left(lease) };
        self.net.call((self.from, leader), CALL_TIMEOUT, false, ask).await.map_err(|_| Refused::LeaderChanged)
    }
}
