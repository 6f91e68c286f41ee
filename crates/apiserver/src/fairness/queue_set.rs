//! Fair queuing of one priority level as plain data: who runs, who waits, who is next. No clock, no tasks, no locks.
//!
//! Requests occupy seats. Each belongs to a flow, and each flow to a few queues. Every queue has a place in virtual time: the
//! moment at which its next request would begin if all queues that have something were served in turn, bit by bit. The
//! queue whose next request would end first goes first. A request is charged for what it is expected to take, and the charge is
//! corrected when it ends. The meanings are those of upstream's queue sets; times are nanoseconds since any fixed moment.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::demand::Demand;
use super::seats::{Queuing, Refusal, Width, Work};
use super::shuffle;

/// What a request is charged for before it is known how long it takes, as upstream.
const EXPECTED_NS: u64 = 3_000_000;

/// A request that runs. Given back to [`QueueSet::finish`].
#[derive(Debug)]
#[must_use = "its seats are occupied until it is finished"]
pub struct Ticket {
    /// Which one, for those that waited.
    pub id: u64,
    queue: usize,
    width: Width,
    began_ns: u64,
    charged: Work,
}

/// What becomes of a request that comes.
#[derive(Debug)]
pub enum Arrival {
    /// It runs.
    Runs(Ticket),
    /// It waits; its ticket is among those that a later call returns.
    Waits(Waiting),
    /// Neither.
    Refused(Refusal),
}

/// A request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Which one.
    pub id: u64,
    queue: usize,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(u64, Width)>,
    waiting_work: Work,
    running: u32,
    seats: u32,
    /// Where in virtual time the next request begins.
    next: Work,
}

impl Queue {
    fn is_active(&self) -> bool {
        !self.waiting.is_empty() || self.running > 0 || self.seats > 0
    }
}

/// The queues of a level, and its seats.
#[derive(Debug)]
pub struct QueueSet {
    /// `None`: nobody waits.
    queuing: Option<Queuing>,
    limit: u32,
    queues: Vec<Queue>,
    /// Queues that have something.
    active: u32,
    seats: u32,
    running: u32,
    waiting: u32,
    waiting_seats: u64,
    virtual_now: Work,
    at_ns: u64,
    last_id: u64,
    /// Where the search for the next queue begins: of equals each has its turn.
    turn: usize,
    /// Seats that are occupied after their request was answered: until when, of which queue, how many.
    lingering: BinaryHeap<Reverse<(u64, usize, u32)>>,
    /// Seats asked for over time.
    pub demand: Demand,
}

impl QueueSet {
    /// An idle level with `limit` seats.
    pub fn new(queuing: Option<Queuing>, limit: u32, now_ns: u64) -> Self {
        let mut set = Self {
            queuing: None,
            limit,
            queues: Vec::new(),
            active: 0,
            seats: 0,
            running: 0,
            waiting: 0,
            waiting_seats: 0,
            virtual_now: 0,
            at_ns: now_ns,
            last_id: 0,
            turn: 0,
            lingering: BinaryHeap::new(),
            demand: Demand::new(now_ns),
        };
        set.set_queuing(queuing);
        set
    }

    /// Takes another configuration. Who waits in a queue that is no more is served from there still.
    pub fn set_queuing(&mut self, queuing: Option<Queuing>) {
        self.queuing = queuing;
        let wanted = queuing.map_or(1, |queuing| queuing.queues.max(1));
        let used = self.queues.iter().rposition(Queue::is_active).map_or(0, |last| last + 1);
        self.queues.resize_with(wanted.max(used), Queue::default);
    }

    /// Takes another limit; returns who may run now.
    pub fn set_limit(&mut self, limit: u32, now_ns: u64) -> Vec<Ticket> {
        self.advance(now_ns);
        self.limit = limit;
        self.dispatch()
    }

    /// Seats that there are.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Seats in use.
    pub fn seats(&self) -> u32 {
        self.seats
    }

    /// Requests that run.
    pub fn running(&self) -> u32 {
        self.running
    }

    /// Requests that wait.
    pub fn waiting(&self) -> u32 {
        self.waiting
    }

    /// A request of the flow with this hash comes.
    pub fn arrive(&mut self, flow: u64, width: Width, now_ns: u64) -> Arrival {
        self.advance(now_ns);
        let queue = self.choose(flow);
        if self.waiting == 0 && self.fits(width) {
            return Arrival::Runs(self.begin(queue, 0, width));
        }
        let Some(queuing) = self.queuing else { return Arrival::Refused(Refusal::ConcurrencyLimit) };
        if self.queues[queue].waiting.len() >= queuing.len_max {
            return Arrival::Refused(Refusal::QueueFull);
        }
        self.last_id += 1;
        let id = self.last_id;
        self.change(queue, |queue, now| {
            if !queue.is_active() {
                queue.next = now;
            }
            queue.waiting.push_back((id, width));
            queue.waiting_work += width.work(EXPECTED_NS);
        });
        self.waiting += 1;
        self.waiting_seats += u64::from(width.seats_max());
        self.note_demand();
        Arrival::Waits(Waiting { id, queue })
    }

    /// Who may begin now. To be called after a request came that waits: a narrow one may pass a wide one that does not fit.
    pub fn dispatch(&mut self) -> Vec<Ticket> {
        let mut begun = Vec::new();
        while self.waiting > 0 {
            let Some(at) = self.next_queue() else { break };
            let Some(&(id, width)) = self.queues[at].waiting.front() else { break };
            if !self.fits(width) {
                break;
            }
            self.turn = at + 1;
            self.leave_queue(at, 0);
            begun.push(self.begin(at, id, width));
        }
        begun
    }

    /// A request ended; returns who may run now.
    pub fn finish(&mut self, ticket: Ticket, now_ns: u64) -> Vec<Ticket> {
        self.advance(now_ns);
        let Ticket { queue, width, began_ns, charged, .. } = ticket;
        let took = width.work(now_ns.saturating_sub(began_ns));
        let lingers = width.lingers_ns > 0 && width.final_seats > 0;
        let freed = width.seats_max() - if lingers { width.final_seats } else { 0 };
        self.running -= 1;
        self.seats -= freed;
        self.change(queue, |queue, _| {
            queue.next = (queue.next + took).saturating_sub(charged);
            queue.running -= 1;
            queue.seats -= freed;
        });
        if lingers {
            self.lingering.push(Reverse((now_ns + width.lingers_ns, queue, width.final_seats)));
        }
        self.note_demand();
        self.dispatch()
    }

    /// A request that waits gives up. False: it does not wait any more.
    pub fn give_up(&mut self, waiting: Waiting, now_ns: u64) -> bool {
        self.advance(now_ns);
        let found = self.queues[waiting.queue].waiting.iter().position(|(id, _)| *id == waiting.id);
        if let Some(at) = found {
            self.leave_queue(waiting.queue, at);
            self.note_demand();
        }
        found.is_some()
    }

    /// Time passed; returns who may run now.
    pub fn tick(&mut self, now_ns: u64) -> Vec<Ticket> {
        self.advance(now_ns);
        self.dispatch()
    }

    /// When seats become free by themselves and somebody waits for them.
    pub fn next_tick_ns(&self) -> Option<u64> {
        let Reverse((end, ..)) = self.lingering.peek()?;
        (self.waiting > 0).then_some(*end)
    }

    /// The queue of the flow's hand that has the least before it.
    fn choose(&self, flow: u64) -> usize {
        let Some(Queuing { queues, hand, .. }) = self.queuing else { return 0 };
        let mut best = (Work::MAX, 0);
        shuffle::deal(flow, queues, hand, |at| {
            let queue = &self.queues[at];
            let before = queue.waiting_work + Work::from(queue.seats) * Work::from(EXPECTED_NS);
            if before < best.0 {
                best = (before, at);
            }
        });
        best.1
    }

    /// Whether so many seats are free. What is wider than the whole level runs alone.
    fn fits(&self, width: Width) -> bool {
        self.limit > 0 && (self.seats == 0 || self.seats + width.seats_max() <= self.limit)
    }

    /// The queue whose next request would end first.
    fn next_queue(&self) -> Option<usize> {
        let len = self.queues.len();
        let in_turn = (0..len).map(|step| (self.turn + step) % len);
        let ends = in_turn.filter_map(|at| {
            let queue = &self.queues[at];
            let (_, width) = queue.waiting.front()?;
            Some((queue.next + width.work(EXPECTED_NS), at))
        });
        // Of equals the first: it has its turn.
        ends.min_by_key(|(end, _)| *end).map(|(_, at)| at)
    }

    fn begin(&mut self, at: usize, id: u64, width: Width) -> Ticket {
        let charged = width.work(EXPECTED_NS);
        let seats = width.seats_max();
        self.change(at, |queue, now| {
            // Who waited keeps its place in virtual time.
            if id == 0 && !queue.is_active() {
                queue.next = now;
            }
            queue.next += charged;
            queue.running += 1;
            queue.seats += seats;
        });
        self.running += 1;
        self.seats += seats;
        self.note_demand();
        Ticket { id, queue: at, width, began_ns: self.at_ns, charged }
    }

    fn leave_queue(&mut self, at: usize, place: usize) {
        let Some((_, width)) = self.queues[at].waiting.get(place).copied() else { return };
        self.change(at, |queue, _| {
            queue.waiting.remove(place);
            queue.waiting_work -= width.work(EXPECTED_NS);
        });
        self.waiting -= 1;
        self.waiting_seats -= u64::from(width.seats_max());
    }

    /// Changes a queue, and keeps count of those that are active.
    fn change(&mut self, at: usize, change: impl FnOnce(&mut Queue, Work)) {
        let queue = &mut self.queues[at];
        let before = queue.is_active();
        change(queue, self.virtual_now);
        match (before, queue.is_active()) {
            (false, true) => self.active += 1,
            (true, false) => self.active -= 1,
            _ => {}
        }
    }

    fn asked(&self) -> u64 {
        u64::from(self.seats) + self.waiting_seats
    }

    fn note_demand(&mut self) {
        self.demand.set(self.asked(), self.at_ns);
    }

    /// Lets time pass: virtual time goes as fast as an active queue is served, and lingering seats become free.
    fn advance(&mut self, now_ns: u64) {
        while let Some(&Reverse((end, queue, seats))) = self.lingering.peek()
            && end <= now_ns
        {
            self.lingering.pop();
            self.pass(end);
            self.seats -= seats;
            self.change(queue, |queue, _| queue.seats -= seats);
            self.note_demand();
        }
        self.pass(now_ns);
    }

    fn pass(&mut self, now_ns: u64) {
        let passed = now_ns.saturating_sub(self.at_ns);
        if passed == 0 {
            return;
        }
        self.at_ns = now_ns;
        if self.active > 0 {
            let served = self.asked().min(u64::from(self.limit));
            self.virtual_now += Work::from(passed) * Work::from(served) / Work::from(self.active);
        }
    }
}

#[cfg(test)]
#[path = "queue_set/tests.rs"]
mod tests;
