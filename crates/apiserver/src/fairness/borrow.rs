//! How the seats of levels that lie idle are lent to those that need them, as plain numbers.
//!
//! Every level has a nominal number of seats by its shares; it keeps a part and lends the rest, and borrows up to a bound.
//! Now and then each gets a current number between those bounds, by what it asked for lately: as much of its target as all
//! others get of theirs.

use super::demand::Seen;

/// How slowly a demand that was high once is forgotten at each look, as upstream.
const FORGETS: f64 = 0.977;

/// The seats of a level that do not depend on what others do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// By its shares.
    pub nominal: u32,
    /// What it keeps.
    pub lower: u32,
    /// What it has at most.
    pub upper: u32,
}

/// What a configuration says about a level's seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    pub shares: u32,
    pub lendable_percent: u32,
    /// Of its nominal seats; `None`: no bound but all seats.
    pub borrowing_percent: Option<u32>,
}

impl Bounds {
    /// The bounds of levels that share `total` seats, in the order given.
    pub fn of(levels: &[Shares], total: u32) -> Vec<Self> {
        let sum: u64 = levels.iter().map(|level| u64::from(level.shares)).sum();
        levels.iter().map(|level| level.bounds(sum, total)).collect()
    }
}

impl Shares {
    fn bounds(self, sum: u64, total: u32) -> Bounds {
        let nominal = (u64::from(total) * u64::from(self.shares)).div_ceil(sum.max(1)) as u32;
        let part = |percent: u32| (f64::from(nominal) * f64::from(percent) / 100.0).round() as u32;
        let upper = match self.borrowing_percent {
            Some(percent) => nominal.saturating_add(part(percent)),
            None => nominal.max(total),
        };
        Bounds { nominal, lower: nominal.saturating_sub(part(self.lendable_percent)), upper }
    }
}

/// What is remembered of a level's demand.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Memory {
    /// What was seen last.
    pub seen: Seen,
    /// Average and deviation, falling slowly.
    pub smoothed: f64,
}

impl Memory {
    /// Takes what was seen since the last time.
    pub fn learn(&mut self, seen: Seen) {
        let envelope = seen.average + seen.deviation;
        self.smoothed = match envelope >= self.smoothed {
            true => envelope,
            false => FORGETS * self.smoothed + (1.0 - FORGETS) * envelope,
        };
        self.seen = seen;
    }
}

/// A level at one look.
#[derive(Debug, Clone, Copy)]
pub struct Level {
    pub bounds: Bounds,
    pub memory: Memory,
    /// Whether it takes what it wants without asking.
    pub exempt: bool,
}

/// What a level gets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Share {
    /// Seats from now on.
    pub current: u32,
    /// What it would like to have.
    pub target: f64,
}

/// Gives each level its current seats, in the order given, and the fraction of their targets that all get.
pub fn share(levels: &[Level]) -> (Vec<Share>, f64) {
    let total: f64 = levels.iter().map(|level| f64::from(level.bounds.nominal)).sum();
    let taken: f64 = levels.iter().filter(|level| level.exempt).map(floor_of).sum();
    let limited: Vec<&Level> = levels.iter().filter(|level| !level.exempt).collect();
    let left = (total - taken).max(0.0);
    let fraction = fraction(&limited, left);
    let given = levels.iter().map(|level| {
        let (target, floor) = (target(level), floor_of(level));
        let current = match level.exempt {
            true => floor,
            false => given(level, fraction),
        };
        Share { current: current.round() as u32, target }
    });
    (given.collect(), fraction)
}

/// What it gets whatever others want: what it keeps, and of its own seats those that it used.
fn floor_of(level: &Level) -> f64 {
    let Bounds { nominal, lower, .. } = level.bounds;
    level.memory.seen.high.min(f64::from(nominal)).max(f64::from(lower))
}

fn target(level: &Level) -> f64 {
    level.memory.smoothed.max(floor_of(level)).max(1.0)
}

fn given(level: &Level, fraction: f64) -> f64 {
    let upper = f64::from(level.bounds.upper);
    (fraction * target(level)).clamp(floor_of(level).min(upper), upper)
}

/// The fraction of their targets at which the levels take what is left, all together.
fn fraction(levels: &[&Level], left: f64) -> f64 {
    let taken = |fraction: f64| levels.iter().map(|level| given(level, fraction)).sum::<f64>();
    let (mut low, mut high) = (0.0, 1.0);
    // No level has more than all seats, and no target is below one.
    while taken(high) < left && high < left {
        high *= 2.0;
    }
    for _ in 0..48 {
        let middle = f64::midpoint(low, high);
        if taken(middle) <= left { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENDS_ALL: Shares = Shares { shares: 10, lendable_percent: 100, borrowing_percent: None };
    const KEEPS_ALL: Shares = Shares { shares: 10, lendable_percent: 0, borrowing_percent: Some(0) };

    fn looked(levels: &[(Shares, f64)], total: u32) -> Vec<u32> {
        let shares: Vec<Shares> = levels.iter().map(|(shares, _)| *shares).collect();
        let bounds = Bounds::of(&shares, total);
        let levels: Vec<Level> = levels
            .iter()
            .zip(bounds)
            .map(|((_, asked), bounds)| {
                let mut memory = Memory::default();
                memory.learn(Seen { high: *asked, average: *asked, deviation: 0.0 });
                Level { bounds, memory, exempt: false }
            })
            .collect();
        share(&levels).0.iter().map(|share| share.current).collect()
    }

    #[test]
    fn seats_are_shared_by_shares() {
        let bounds =
            Bounds::of(&[KEEPS_ALL, Shares { shares: 30, lendable_percent: 50, borrowing_percent: None }], 600);
        assert_eq!(bounds[0], Bounds { nominal: 150, lower: 150, upper: 150 });
        assert_eq!(bounds[1], Bounds { nominal: 450, lower: 225, upper: 600 });
    }

    #[test]
    fn idle_seats_go_to_who_needs_them() {
        assert_eq!(looked(&[(LENDS_ALL, 0.0), (LENDS_ALL, 100.0)], 100), [1, 99]);
        assert_eq!(looked(&[(KEEPS_ALL, 0.0), (LENDS_ALL, 100.0)], 100), [50, 50]);
    }

    #[test]
    fn who_needs_its_own_seats_has_them_back() {
        assert_eq!(looked(&[(LENDS_ALL, 50.0), (LENDS_ALL, 1000.0)], 100), [50, 50]);
    }

    #[test]
    fn high_demand_is_forgotten_slowly() {
        let mut memory = Memory::default();
        memory.learn(Seen { high: 10.0, average: 10.0, deviation: 0.0 });
        memory.learn(Seen::default());
        assert!(memory.smoothed > 9.7 && memory.smoothed < 10.0, "{memory:?}");
        memory.learn(Seen { high: 30.0, average: 20.0, deviation: 5.0 });
        assert!((memory.smoothed - 25.0).abs() < 1e-9);
    }
}
