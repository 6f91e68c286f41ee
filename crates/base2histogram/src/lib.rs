//! Histograms for openraft's statistics, in place of the crate of this name (`docs/decisions/` says why).
//!
//! It has what openraft calls and nothing else: numbers are counted in ranges that grow with them, so that one histogram
//! is at most 2 KiB and a percentile is wrong by an eighth at most.

mod buckets;

use std::fmt;
use std::marker::PhantomData;

/// How often numbers were recorded. `T` is there for openraft, which writes `Histogram::<()>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    /// As many as the greatest number asked for.
    counts: Vec<u64>,
    total: u64,
    data: PhantomData<T>,
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Histogram<T> {
    /// Without numbers; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { counts: Vec::new(), total: 0, data: PhantomData }
    }

    /// Counts one number.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a number `count` times.
    pub fn record_n(&mut self, value: u64, count: u64) {
        if count == 0 {
            return;
        }
        let bucket = buckets::of(value);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] = self.counts[bucket].saturating_add(count);
        self.total = self.total.saturating_add(count);
    }

    /// The numbers that openraft shows; zeros where nothing was recorded.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.total,
            p0_1: self.permille(1),
            p1: self.permille(10),
            p5: self.permille(50),
            p10: self.permille(100),
            p50: self.permille(500),
            p90: self.permille(900),
            p99: self.permille(990),
            p99_9: self.permille(999),
        }
    }

    /// The number that so many thousandths of the recorded ones do not exceed.
    fn permille(&self, wanted: u64) -> u64 {
        let rank = (u128::from(self.total) * u128::from(wanted)).div_ceil(1000).max(1);
        let mut seen = 0_u128;
        let found = self.counts.iter().position(|count| {
            seen += u128::from(*count);
            seen >= rank
        });
        found.map_or(0, buckets::middle)
    }
}

/// What a histogram tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PercentileStats {
    /// How many numbers were recorded.
    pub samples: u64,
    /// One in a thousand is not above this.
    pub p0_1: u64,
    /// One in a hundred is not above this.
    pub p1: u64,
    /// One in twenty is not above this.
    pub p5: u64,
    /// One in ten is not above this.
    pub p10: u64,
    /// Half are not above this.
    pub p50: u64,
    /// Nine in ten are not above this.
    pub p90: u64,
    /// 99 in a hundred are not above this.
    pub p99: u64,
    /// 999 in a thousand are not above this.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "[samples: {}, P50: {}, P90: {}, P99: {}]", self.samples, self.p50, self.p90, self.p99)
    }
}

/// Histograms by name: what openraft collects for a chart. It draws one with a feature that we do not take, so this
/// draws none: that feature does not compile here.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart<T = ()> {
    series: Vec<(String, Histogram<T>)>,
}

impl<T> AsciiChart<T> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { series: Vec::new() }
    }

    /// With one more histogram.
    #[must_use]
    pub fn add(mut self, name: &str, histogram: Histogram<T>) -> Self {
        self.series.push((name.to_owned(), histogram));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_recorded_is_all_zeros() {
        let stats = Histogram::<()>::new().percentile_stats();
        assert_eq!((stats.samples, stats.p0_1, stats.p50, stats.p99_9), (0, 0, 0, 0));
    }

    #[test]
    fn percentiles_are_near_the_truth() {
        let mut histogram = Histogram::<()>::new();
        for value in 1..=100_000 {
            histogram.record(value);
        }
        let stats = histogram.percentile_stats();
        assert_eq!(stats.samples, 100_000);
        let shown = [stats.p0_1, stats.p1, stats.p5, stats.p10, stats.p50, stats.p90, stats.p99, stats.p99_9];
        for (found, truth) in shown.into_iter().zip([100, 1000, 5000, 10_000, 50_000, 90_000, 99_000, 99_900_u64]) {
            assert!(found.abs_diff(truth) * 8 <= truth, "{found} for {truth}");
        }
    }

    #[test]
    fn a_number_many_times_is_that_number() {
        let mut histogram = Histogram::<()>::new();
        histogram.record_n(7, 1000);
        histogram.record_n(u64::MAX, 0);
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p0_1, stats.p99_9), (1000, 7, 7));
    }

    #[test]
    fn counts_stop_at_their_end() {
        let mut histogram = Histogram::<()>::new();
        histogram.record_n(u64::MAX, u64::MAX);
        histogram.record(u64::MAX);
        let stats = histogram.percentile_stats();
        assert_eq!(stats.samples, u64::MAX);
        assert!(stats.p50 > u64::MAX / 8 * 7);
    }
}
