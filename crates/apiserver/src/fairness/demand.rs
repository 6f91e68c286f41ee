//! How many seats were asked for over a while: what a level lends and borrows follows from it.

/// Seats asked for, since the last look.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    since_ns: u64,
    at_ns: u64,
    seats: f64,
    high: f64,
    sum: f64,
    squares: f64,
}

/// What a look shows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Seen {
    /// Most seats asked for at once.
    pub high: f64,
    /// On average.
    pub average: f64,
    /// Standard deviation.
    pub deviation: f64,
}

impl Demand {
    /// Nothing is asked for.
    pub fn new(now_ns: u64) -> Self {
        Self { since_ns: now_ns, at_ns: now_ns, seats: 0.0, high: 0.0, sum: 0.0, squares: 0.0 }
    }

    /// From now on so many seats are asked for.
    pub fn set(&mut self, seats: u64, now_ns: u64) {
        self.pass(now_ns);
        self.seats = seats as f64;
        self.high = self.high.max(self.seats);
    }

    /// What was asked for since the last call.
    pub fn look(&mut self, now_ns: u64) -> Seen {
        self.pass(now_ns);
        let lasted = (self.at_ns - self.since_ns) as f64;
        let (average, squares) = match lasted > 0.0 {
            true => (self.sum / lasted, self.squares / lasted),
            false => (self.seats, self.seats * self.seats),
        };
        let deviation = (squares - average * average).max(0.0).sqrt();
        let seen = Seen { high: self.high, average, deviation };
        *self = Self { since_ns: self.at_ns, high: self.seats, sum: 0.0, squares: 0.0, ..*self };
        seen
    }

    fn pass(&mut self, now_ns: u64) {
        let passed = now_ns.saturating_sub(self.at_ns) as f64;
        self.sum += self.seats * passed;
        self.squares += self.seats * self.seats * passed;
        self.at_ns = self.at_ns.max(now_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demand_is_weighed_by_time() {
        let mut demand = Demand::new(0);
        demand.set(4, 0);
        demand.set(0, 5);
        let seen = demand.look(10);
        assert_eq!(seen, Seen { high: 4.0, average: 2.0, deviation: 2.0 });
        assert_eq!(demand.look(20), Seen::default());
    }
}
