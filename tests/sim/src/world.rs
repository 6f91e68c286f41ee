//! The world of one run: its members, its network, its clients' records, and what was done to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use store::engine::MEND;
use store::env::sim::SimDisk;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::history::History;
use crate::invariant::Watchdog;
use crate::invariant::lease::Leases;
use crate::invariant::watch::Watcher;
use crate::keeper::Order;
use crate::net::{Net, Weather};
use crate::planted::Planted;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub seed: u64,
    pub members: u64,
    /// One more begins with nothing, and joins; voters come and go.
    pub reshaped: bool,
    pub clients: u32,
    /// How long faults are injected, in the run's own time.
    pub faults: Duration,
    pub planted: Option<Planted>,
}

impl Settings {
    /// Three members, or for each fourth seed five; for each fifth the membership changes.
    pub fn of(seed: u64) -> Self {
        let members = if seed % 4 == 3 { 5 } else { 3 };
        Self {
            seed,
            members,
            reshaped: seed.is_multiple_of(5),
            clients: 3,
            faults: Duration::from_secs(7),
            planted: None,
        }
    }
}

pub struct World {
    pub settings: Settings,
    pub dice: Dice,
    pub net: Net,
    pub watchdog: Watchdog,
    pub history: Mutex<History>,
    pub leases: Mutex<Leases>,
    pub watchers: Mutex<Vec<Watcher>>,
    /// How often each kind of fault was injected.
    faults: Mutex<BTreeMap<&'static str, u64>>,
    rejoins: Mutex<u64>,
    /// Members whose files were damaged.
    pub rotten: Mutex<BTreeSet<u64>>,
    /// What happened, and when, for who looks at one run.
    log: Mutex<Vec<String>>,
    began: Instant,
    disks: Mutex<BTreeMap<u64, SimDisk>>,
    pub keepers: Mutex<BTreeMap<u64, mpsc::UnboundedSender<Order>>>,
    /// Set when faults are over; clients go on a little.
    pub calm: Mutex<bool>,
    /// Set when clients are to stop.
    pub over: Mutex<bool>,
}

impl World {
    pub fn new(settings: Settings) -> Arc<Self> {
        let dice = Dice::new(settings.seed);
        let watchdog = Watchdog::default();
        let net = Net::new(dice.apart(), watchdog.clone(), settings.planted);
        net.set_weather(Weather { delay_ms: 5, ..Weather::default() });
        let disk = |id| {
            let disk = SimDisk::default();
            if settings.planted == Some(Planted::AckBeforeSync) {
                disk.lie();
            }
            (id, disk)
        };
        let disks = (1..=settings.members + u64::from(settings.reshaped)).map(disk).collect();
        Arc::new(Self {
            settings,
            dice,
            net,
            watchdog,
            history: Mutex::default(),
            leases: Mutex::default(),
            watchers: Mutex::default(),
            faults: Mutex::default(),
            rejoins: Mutex::default(),
            rotten: Mutex::default(),
            log: Mutex::default(),
            began: Instant::now(),
            disks: Mutex::new(disks),
            keepers: Mutex::default(),
            calm: Mutex::default(),
            over: Mutex::default(),
        })
    }

    /// How many members there are, whether or not they vote.
    pub fn size(&self) -> u64 {
        self.settings.members + u64::from(self.settings.reshaped)
    }

    pub fn ids(&self) -> impl Iterator<Item = u64> + use<> {
        1..=self.size()
    }

    /// Those that begin the cluster.
    pub fn first_voters(&self) -> impl Iterator<Item = u64> + use<> {
        1..=self.settings.members
    }

    pub fn disk(&self, id: u64) -> SimDisk {
        self.disks.lock().get(&id).cloned().unwrap_or_default()
    }

    pub fn set_disk(&self, id: u64, disk: SimDisk) {
        self.disks.lock().insert(id, disk);
    }

    pub fn order(&self, id: u64, order: Order) {
        if let Some(keeper) = self.keepers.lock().get(&id) {
            // A keeper that has ended keeps nobody.
            let _gone = keeper.send(order);
        }
    }

    pub fn tell(&self, what: &str) {
        self.log.lock().push(format!("{:>9.3} s  {what}", self.began.elapsed().as_secs_f64()));
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    pub fn count(&self, fault: &'static str) {
        *self.faults.lock().entry(fault).or_default() += 1;
    }

    /// A member could not start. A full disk is a reason; damage that nobody did is none.
    pub fn refused_start(&self, id: u64, error: &str) {
        if error.contains(MEND) {
            self.watchdog.judge("every member comes back", Err(format!("member {id}: {error}")));
        }
    }

    /// A member came back with nothing, which only damage is a reason for.
    pub fn rejoined(&self, id: u64, why: &str) {
        *self.rejoins.lock() += 1;
        self.tell(&format!("member {id} comes back with nothing: {why}"));
        if !self.rotten.lock().contains(&id) {
            self.watchdog
                .judge("every member comes back", Err(format!("member {id} takes for damage what is none: {why}")));
        }
    }

    pub fn rejoins(&self) -> u64 {
        *self.rejoins.lock()
    }

    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.faults.lock().clone()
    }

    pub fn is_calm(&self) -> bool {
        *self.calm.lock()
    }

    pub fn is_over(&self) -> bool {
        *self.over.lock()
    }

    /// Hash of everything that was sent and written.
    pub fn trace(&self) -> u64 {
        let disks = self.disks.lock();
        disks.values().fold(self.net.trace(), |hash, disk| hash.rotate_left(7) ^ disk.trace())
    }
}
