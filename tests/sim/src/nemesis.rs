//! Does harm for a while, one fault after another, each ending by itself; then heals everything.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::dice::Dice;
use crate::keeper::Order;
use crate::net::Weather;
use crate::planted::Planted;
use crate::world::World;

mod reshape;

/// The network's usual state.
const FAIR: Weather = Weather { lost: 0, doubled: 5, delay_ms: 5 };

pub struct Nemesis {
    pub world: Arc<World>,
    pub dice: Dice,
}

impl Nemesis {
    pub async fn run(self) {
        let ends = Instant::now() + self.world.settings.faults;
        self.world.net.set_weather(FAIR);
        // Let there be a leader and something to lose.
        sleep(self.dice.millis(800, 2500)).await;
        while Instant::now() < ends {
            self.harm().await;
            sleep(self.dice.millis(20, 700)).await;
        }
        self.heal();
        if self.world.settings.reshaped {
            reshape::back(&self.world).await;
        }
    }

    fn member(&self) -> u64 {
        // Whoever leads is the more interesting victim.
        match self.world.net.leader().filter(|_| self.dice.one_in(3)) {
            Some(leader) => leader,
            None => 1 + self.dice.below(self.world.size()),
        }
    }

    fn count(&self, fault: &'static str) {
        self.world.tell(fault);
        self.world.count(fault);
    }

    async fn harm(&self) {
        if self.world.settings.reshaped && self.dice.one_in(4) {
            return reshape::change(&self.world, &self.dice);
        }
        let id = self.member();
        match self.dice.below(20) {
            0 | 1 => self.partition().await,
            2 => self.one_way(id).await,
            3 => self.isolate(id).await,
            4 | 5 => self.crash_between_writes(id),
            6 => self.order(id, Order::PowerCut, "power cut"),
            7 => self.order(id, Order::Kill, "kill"),
            8 => self.blackout(),
            9 => self.fail_sync(id),
            10 | 11 => self.pause(id).await,
            12 => self.fill(id).await,
            13 => self.storm().await,
            14 => self.transfer(id).await,
            15 => self.snapshot(id).await,
            16 | 17 => self.depose().await,
            _ => self.rot(),
        }
    }

    fn order(&self, id: u64, order: Order, name: &'static str) {
        self.count(name);
        self.world.order(id, order);
    }

    async fn partition(&self) {
        self.count("partition");
        let side: Vec<u64> = self.world.ids().filter(|_| self.dice.one_in(2)).collect();
        for from in self.world.ids() {
            for to in self.world.ids().filter(|to| side.contains(to) != side.contains(&from)) {
                self.world.net.cut(from, to);
            }
        }
        self.wait_and_reconnect().await;
    }

    async fn one_way(&self, id: u64) {
        self.count("one-way partition");
        for other in self.world.ids().filter(|other| *other != id && !self.dice.one_in(3)) {
            let (from, to) = if self.dice.one_in(2) { (id, other) } else { (other, id) };
            self.world.net.cut(from, to);
        }
        self.wait_and_reconnect().await;
    }

    async fn isolate(&self, id: u64) {
        self.count("isolation");
        for other in self.world.ids().filter(|other| *other != id) {
            self.world.net.cut(id, other);
            self.world.net.cut(other, id);
        }
        self.wait_and_reconnect().await;
    }

    /// Cuts the leader off for long enough that the others elect one, while it takes itself for one.
    async fn depose(&self) {
        let Some(leader) = self.world.net.leader() else { return };
        self.count("leader cut off");
        for other in self.world.ids().filter(|other| *other != leader) {
            self.world.net.cut(leader, other);
            self.world.net.cut(other, leader);
        }
        match self.dice.one_in(2) {
            true => self.until_another_leads(leader).await,
            false => sleep(self.dice.millis(2000, 4500)).await,
        }
        self.world.net.heal_links();
        if self.dice.one_in(3) {
            // With what it wrote in vain on its disk.
            sleep(self.dice.millis(0, 400)).await;
            self.order(leader, Order::Kill, "kill");
        }
    }

    /// The one that was cut off has then more in its log than whoever took its place.
    async fn until_another_leads(&self, leader: u64) {
        for _ in 0..100 {
            sleep(Duration::from_millis(40)).await;
            if self.world.net.leader().is_some_and(|other| other != leader) {
                return;
            }
        }
    }

    /// Other harm may come while the links are cut.
    async fn wait_and_reconnect(&self) {
        sleep(self.dice.millis(200, 2500)).await;
        if self.dice.one_in(3) {
            let id = self.member();
            self.crash_between_writes(id);
            sleep(self.dice.millis(50, 1500)).await;
        }
        self.world.net.heal_links();
    }

    fn crash_between_writes(&self, id: u64) {
        self.count("crash between writes");
        self.world.disk(id).crash_at(self.dice.below(30));
    }

    /// All lose their power at once.
    fn blackout(&self) {
        self.count("blackout");
        for id in self.world.ids() {
            self.world.order(id, Order::PowerCut);
        }
    }

    fn fail_sync(&self, id: u64) {
        self.count("fsync error");
        let disk = self.world.disk(id);
        let suffix = if self.dice.one_in(3) { ".seg" } else { ".wal" };
        match self.world.settings.planted {
            Some(Planted::SyncErrorIgnored) => disk.lose_sync(suffix),
            _ => disk.fail_sync(suffix),
        }
    }

    async fn pause(&self, id: u64) {
        let Some(live) = self.world.net.live(id) else { return };
        self.count("pause");
        live.process.hold();
        sleep(self.dice.millis(100, 3500)).await;
        live.process.release();
    }

    async fn fill(&self, id: u64) {
        self.count("full disk");
        let used = self.world.disk(id).used();
        self.world.disk(id).set_capacity(Some(used + self.dice.below(3000)));
        sleep(self.dice.millis(300, 2000)).await;
        // It may have been started anew meanwhile: the disk in use now is the one with the limit.
        self.world.disk(id).set_capacity(None);
    }

    async fn storm(&self) {
        self.count("storm");
        let weather =
            Weather { lost: self.dice.below(250), doubled: self.dice.below(200), delay_ms: 5 + self.dice.below(150) };
        self.world.net.set_weather(weather);
        sleep(self.dice.millis(500, 2500)).await;
        self.world.net.set_weather(FAIR);
    }

    async fn transfer(&self, to: u64) {
        let Some(live) = self.world.net.leader().and_then(|leader| self.world.net.live(leader)) else { return };
        self.count("leader transfer");
        let raft = live.member.raft.clone();
        drop(live.process.spawn(async move { raft.trigger().transfer_leader(to).await }));
    }

    async fn snapshot(&self, id: u64) {
        let Some(live) = self.world.net.live(id) else { return };
        self.count("snapshot asked for");
        let raft = live.member.raft.clone();
        drop(live.process.spawn(async move { raft.trigger().snapshot().await }));
        sleep(Duration::from_millis(1)).await;
    }

    /// A bit of one member's files; always the same member's: the others must have what it loses.
    fn rot(&self) {
        let id = 1 + self.world.settings.seed % self.world.settings.members;
        let disk = self.world.disk(id);
        let mut files = disk.dump();
        // Damage in the last write of the log cannot be told from a write that was torn. The vote's second copy is spared:
        // both copies at once are lost to no member that keeps one disk.
        let last = files.iter().rposition(|(name, _)| name.starts_with("wal/"));
        last.map(|last| files.remove(last));
        files.retain(|(name, size)| *size > 0 && !name.starts_with("MEMBER") && !name.starts_with("damaged-"));
        if files.is_empty() {
            return;
        }
        self.count("bit flip");
        self.world.rotten.lock().insert(id);
        let (name, size) = self.dice.pick(&files);
        disk.flip_bit(name, self.dice.below(*size as u64) as usize, self.dice.below(8) as u8);
    }

    fn heal(&self) {
        self.world.net.heal_links();
        self.world.net.set_weather(FAIR);
        for id in self.world.ids() {
            self.world.disk(id).set_capacity(None);
            self.world.disk(id).calm();
            if let Some(live) = self.world.net.live(id) {
                live.process.release();
            }
        }
        *self.world.calm.lock() = true;
    }
}
