//! What the writers saw, and whether it is good enough. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

/// The least part of the rate that must be kept.
const RATE_MIN: f64 = 0.9;
const SLOWEST_MAX: f64 = 0.5;
const DEVIATION_MAX: f64 = 0.1;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Writes that were acknowledged.
    pub count: u64,
    seconds: f64,
    squares: f64,
    slowest: f64,
    errors: BTreeMap<String, u64>,
    /// From the first write to the last answer.
    pub lasted: Duration,
}

impl Tally {
    pub fn done(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.count += 1;
        self.seconds += took;
        self.squares += took * took;
        self.slowest = self.slowest.max(took);
    }

    pub fn failed(&mut self, error: String) {
        *self.errors.entry(error).or_default() += 1;
    }

    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        self.seconds += other.seconds;
        self.squares += other.squares;
        self.slowest = self.slowest.max(other.slowest);
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
    }

    /// Lines about writes that failed; none when none did.
    pub fn failures(&self) -> Vec<String> {
        if self.errors.is_empty() {
            return Vec::new();
        }
        let each = self.errors.iter().map(|(error, count)| format!("FAIL: ERROR({error}) -> {count}"));
        std::iter::once("FAIL: too many errors".to_owned()).chain(each).collect()
    }

    fn deviation(&self) -> f64 {
        let count = self.count.max(1) as f64;
        let mean = self.seconds / count;
        (self.squares / count - mean * mean).max(0.0).sqrt()
    }

    /// etcdctl's lines, and whether all is well.
    pub fn judge(&self, writes_per_second: u64) -> (Vec<String>, bool) {
        let mut lines = self.failures();
        let mut passed = lines.is_empty();
        let mut line = |good: bool, text: String| {
            passed &= good;
            lines.push(format!("{}: {text}", if good { "PASS" } else { "FAIL" }));
        };
        let throughput = self.count as f64 / self.lasted.as_secs_f64().max(f64::MIN_POSITIVE);
        match throughput / writes_per_second as f64 > RATE_MIN {
            true => line(true, format!("Throughput is {throughput:.0} writes/s")),
            false => line(false, format!("Throughput too low: {throughput:.0} writes/s")),
        }
        match self.slowest <= SLOWEST_MAX {
            true => line(true, format!("Slowest request took {:.6}s", self.slowest)),
            false => line(false, format!("Slowest request took too long: {:.6}s", self.slowest)),
        }
        match self.deviation() <= DEVIATION_MAX {
            true => line(true, format!("Stddev is {:.6}s", self.deviation())),
            false => line(false, format!("Stddev too high: {:.6}s", self.deviation())),
        }
        lines.push(if passed { "PASS" } else { "FAIL" }.to_owned());
        (lines, passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(millis: &[u64], lasted: Duration) -> Tally {
        let mut tally = Tally { lasted, ..Tally::default() };
        millis.iter().for_each(|took| tally.done(Duration::from_millis(*took)));
        tally
    }

    #[track_caller]
    fn check(tally: &Tally, rate: u64, expect: &[&str]) {
        let (lines, passed) = tally.judge(rate);
        assert_eq!(lines, expect);
        assert_eq!(passed, expect.last() == Some(&"PASS"));
    }

    #[test]
    fn a_store_that_keeps_up_passes() {
        let tally = tally(&[10, 20, 30], Duration::from_secs(1));
        let lines =
            ["PASS: Throughput is 3 writes/s", "PASS: Slowest request took 0.030000s", "PASS: Stddev is 0.008165s"];
        check(&tally, 3, &[&lines[..], &["PASS"]].concat());
    }

    #[test]
    fn each_bound_is_judged_alone() {
        let slow = tally(&[510, 510], Duration::from_secs(1));
        check(
            &slow,
            2,
            &[
                "PASS: Throughput is 2 writes/s",
                "FAIL: Slowest request took too long: 0.510000s",
                "PASS: Stddev is 0.000000s",
                "FAIL",
            ],
        );
        let uneven = tally(&[0, 400, 0, 400], Duration::from_secs(2));
        check(
            &uneven,
            10,
            &[
                "FAIL: Throughput too low: 2 writes/s",
                "PASS: Slowest request took 0.400000s",
                "FAIL: Stddev too high: 0.200000s",
                "FAIL",
            ],
        );
    }

    #[test]
    fn writes_that_fail_are_counted_by_their_reason() {
        let mut one = tally(&[10; 20], Duration::from_secs(1));
        one.failed("no room".into());
        let mut other = Tally::default();
        other.failed("no room".into());
        other.failed("gone".into());
        one.add(other);
        let lines = one.judge(20).0;
        assert_eq!(lines[..3], ["FAIL: too many errors", "FAIL: ERROR(gone) -> 1", "FAIL: ERROR(no room) -> 2"]);
        assert_eq!(lines.last().map(String::as_str), Some("FAIL"));
    }
}
