//! What requests need, how they may wait, why they are refused: the words that queues and levels share.

/// Seats times nanoseconds.
pub type Work = u128;

/// How a level lets requests wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queuing {
    /// How many queues there are.
    pub queues: usize,
    /// How many of them one flow uses.
    pub hand: usize,
    /// How many requests may wait in one.
    pub len_max: usize,
}

/// What a request occupies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width {
    /// Seats while it runs.
    pub seats: u32,
    /// Seats after its answer, while others are told of what it did.
    pub final_seats: u32,
    /// For so long.
    pub lingers_ns: u64,
}

impl Width {
    /// One seat, nothing afterwards.
    pub const ONE: Self = Self::seats(1);

    /// So many seats, nothing afterwards.
    pub const fn seats(seats: u32) -> Self {
        Self { seats, final_seats: 0, lingers_ns: 0 }
    }

    /// What must be free for it to begin.
    pub fn seats_max(self) -> u32 {
        if self.lingers_ns == 0 { self.seats } else { self.seats.max(self.final_seats) }
    }

    /// Seats times nanoseconds, where it runs for so long.
    pub fn work(self, lasts_ns: u64) -> Work {
        let running = Work::from(self.seats) * Work::from(lasts_ns);
        running + Work::from(self.final_seats) * Work::from(self.lingers_ns)
    }
}

/// Why a request neither runs nor waits; in upstream's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its queue has as many as it may.
    QueueFull,
    /// The level has no queues and no seat is free.
    ConcurrencyLimit,
    /// It waited as long as a request may.
    TimeOut,
    /// Its client gave up.
    Cancelled,
}

impl Refusal {
    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::ConcurrencyLimit => "concurrency-limit",
            Self::TimeOut => "time-out",
            Self::Cancelled => "cancelled",
        }
    }
}
