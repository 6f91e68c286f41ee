//! Chance that follows from a seed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use store::env::sim::mix;

/// Clones go on in one sequence; [`Dice::apart`] begins another.
#[derive(Clone)]
pub struct Dice(Arc<Mutex<u64>>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    pub fn draw(&self) -> u64 {
        mix(&mut self.0.lock())
    }

    /// Dice of their own, which follow from these.
    pub fn apart(&self) -> Self {
        Self::new(self.draw())
    }

    pub fn below(&self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    pub fn one_in(&self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    pub fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}
