//! A priority level that requests enter and leave: its [`QueueSet`] behind a lock that is never held while anybody waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::borrow::{self, Bounds, Memory, Share};
use super::queue_set::{Arrival, QueueSet, Ticket, Waiting};
use super::seats::{Queuing, Refusal, Width};

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since this process first asked.
pub fn now_ns() -> u64 {
    u64::try_from(BEGIN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// What a configuration says of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Nobody is held up.
    pub exempt: bool,
    pub queuing: Option<Queuing>,
    pub bounds: Bounds,
}

/// A priority level.
#[derive(Debug)]
pub struct Level {
    /// As its PriorityLevelConfiguration.
    pub name: String,
    nominal: AtomicU32,
    state: Mutex<State>,
    /// Wakes who frees seats that become free by themselves.
    ticks: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    set: QueueSet,
    waiting: HashMap<u64, oneshot::Sender<Ticket>>,
    setting: Setting,
    memory: Memory,
    target: f64,
}

/// A level as it is at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub setting: Setting,
    pub memory: Memory,
    pub target: f64,
    pub limit: u32,
    pub seats: u32,
    pub running: u32,
    pub waiting: u32,
}

impl Level {
    /// An idle level with its nominal seats.
    pub fn new(name: &str, setting: Setting, ticks: Arc<Notify>) -> Self {
        let limit = if setting.exempt { u32::MAX } else { setting.bounds.nominal };
        let set = QueueSet::new(setting.queuing, limit, now_ns());
        let state = State { set, waiting: HashMap::new(), setting, memory: Memory::default(), target: 0.0 };
        Self { name: name.to_owned(), nominal: AtomicU32::new(setting.bounds.nominal), state: Mutex::new(state), ticks }
    }

    /// Takes another configuration.
    pub fn configure(&self, setting: Setting) {
        let mut state = self.state.lock();
        let before = std::mem::replace(&mut state.setting, setting);
        if before == setting {
            return;
        }
        self.nominal.store(setting.bounds.nominal, Ordering::Relaxed);
        state.set.set_queuing(setting.queuing);
        let Bounds { nominal, lower, upper } = setting.bounds;
        let limit = match (setting.exempt, before.bounds == setting.bounds && !before.exempt) {
            (true, _) => u32::MAX,
            (false, true) => state.set.limit().clamp(lower, upper),
            (false, false) => nominal,
        };
        let begun = state.set.set_limit(limit, now_ns());
        state.grant(begun);
    }

    /// As it is now.
    pub fn look(&self) -> Look {
        let state = self.state.lock();
        Look {
            setting: state.setting,
            memory: state.memory,
            target: state.target,
            limit: state.set.limit(),
            seats: state.set.seats(),
            running: state.set.running(),
            waiting: state.set.waiting(),
        }
    }

    /// Seats by its shares.
    pub fn nominal(&self) -> u32 {
        self.nominal.load(Ordering::Relaxed)
    }

    /// What it asked for since the last look, as sharing seats wants it.
    pub fn learn(&self) -> borrow::Level {
        let mut state = self.state.lock();
        let seen = state.set.demand.look(now_ns());
        state.memory.learn(seen);
        borrow::Level { bounds: state.setting.bounds, memory: state.memory, exempt: state.setting.exempt }
    }

    /// Takes its share of all seats.
    pub fn take(&self, share: Share) {
        let mut state = self.state.lock();
        state.target = share.target;
        if !state.setting.exempt {
            let begun = state.set.set_limit(share.current, now_ns());
            state.grant(begun);
        }
    }

    /// Frees seats whose time is over; returns when the next are, where somebody waits for them.
    pub fn tick(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let begun = state.set.tick(now_ns());
        state.grant(begun);
        state.set.next_tick_ns()
    }

    /// A request comes: it runs, waits until the deadline at most, or is refused. `waits` is called once before it waits.
    pub async fn enter(
        &self,
        flow: u64,
        width: Width,
        until: Instant,
        waits: impl FnOnce(),
    ) -> Result<Ticket, Refusal> {
        let (waiting, granted) = {
            let mut state = self.state.lock();
            match state.set.arrive(flow, width, now_ns()) {
                Arrival::Runs(ticket) => return Ok(ticket),
                Arrival::Refused(why) => return Err(why),
                Arrival::Waits(waiting) => {
                    let (sender, receiver) = oneshot::channel();
                    state.waiting.insert(waiting.id, sender);
                    let begun = state.set.dispatch();
                    state.grant(begun);
                    if state.set.next_tick_ns().is_some() {
                        self.ticks.notify_one();
                    }
                    (waiting, receiver)
                }
            }
        };
        waits();
        let mut waiter = Waiter { level: self, waiting, granted: Some(granted) };
        let Some(granted) = &mut waiter.granted else { return Err(Refusal::Cancelled) };
        match tokio::time::timeout_at(until.into(), granted).await {
            Ok(Ok(ticket)) => {
                waiter.granted = None;
                Ok(ticket)
            }
            // The sender is dropped only with the level, which is borrowed here.
            Ok(Err(_)) => Err(Refusal::Cancelled),
            Err(_) => Err(Refusal::TimeOut),
        }
    }

    /// A request ended.
    pub fn leave(&self, ticket: Ticket) {
        let mut state = self.state.lock();
        let begun = state.set.finish(ticket, now_ns());
        if !begun.is_empty() {
            state.grant(begun);
        }
        if state.set.next_tick_ns().is_some() {
            self.ticks.notify_one();
        }
    }
}

impl State {
    /// Tells those that may run. One that is gone meanwhile makes room for the next.
    fn grant(&mut self, mut begun: Vec<Ticket>) {
        while let Some(ticket) = begun.pop() {
            let unwanted = match self.waiting.remove(&ticket.id) {
                Some(sender) => sender.send(ticket).err(),
                None => Some(ticket),
            };
            if let Some(ticket) = unwanted {
                begun.extend(self.set.finish(ticket, now_ns()));
            }
        }
    }
}

/// Leaves the queue, or gives the seat back, when its request is dropped.
struct Waiter<'a> {
    level: &'a Level,
    waiting: Waiting,
    /// `None`: the ticket was taken.
    granted: Option<oneshot::Receiver<Ticket>>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let Some(mut granted) = self.granted.take() else { return };
        let mut state = self.level.state.lock();
        if state.set.give_up(self.waiting, now_ns()) {
            state.waiting.remove(&self.waiting.id);
            // A wide one may have been in the way of others.
            let begun = state.set.dispatch();
            state.grant(begun);
        } else if let Ok(ticket) = granted.try_recv() {
            let begun = state.set.finish(ticket, now_ns());
            state.grant(begun);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn level(seats: u32, queuing: Option<Queuing>) -> Level {
        let bounds = Bounds { nominal: seats, lower: seats, upper: seats };
        Level::new("l", Setting { exempt: false, queuing, bounds }, Arc::default())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn who_waits_is_told_and_who_gives_up_is_forgotten() {
        let level = level(1, Some(Queuing { queues: 1, hand: 1, len_max: 10 }));
        let first = level.enter(0, Width::ONE, soon(), || {}).await.expect("it runs");
        {
            let gives_up = level.enter(0, Width::ONE, soon(), || {});
            assert!(tokio::time::timeout(Duration::from_millis(5), gives_up).await.is_err());
        }
        assert_eq!(level.look().waiting, 0);
        let second = level.enter(0, Width::ONE, soon(), || {});
        let (second, ()) = tokio::join!(second, async { level.leave(first) });
        level.leave(second.expect("it runs"));
        assert_eq!((level.look().seats, level.look().running), (0, 0));
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let level = level(1, Some(Queuing { queues: 1, hand: 1, len_max: 10 }));
        let first = level.enter(0, Width::ONE, soon(), || {}).await.expect("it runs");
        let until = Instant::now() + Duration::from_millis(5);
        assert_eq!(level.enter(0, Width::ONE, until, || {}).await.expect_err("it waits"), Refusal::TimeOut);
        level.leave(first);
        assert_eq!(level.look().seats, 0);
    }
}
