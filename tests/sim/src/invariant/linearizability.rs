//! Linearizability: what clients saw is what one store that does one call at a time could have answered.

use super::Verdict;
use crate::linear::{self, Op};

pub fn check(history: &[Op]) -> Verdict {
    linear::check(history).map_err(|error| error.to_string())
}
