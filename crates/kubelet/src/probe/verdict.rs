//! What a row of tries amounts to: thresholds. Pure.

use proto::core::v1::Probe;

use super::attempt::Answer;

/// Which probe of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// Counts tries until a threshold is reached.
#[derive(Clone, Debug)]
pub struct Counter {
    successes: i32,
    failures: i32,
    success_threshold: i32,
    failure_threshold: i32,
    verdict: Option<bool>,
}

impl Counter {
    pub fn new(probe: &Probe) -> Self {
        Self {
            successes: 0,
            failures: 0,
            success_threshold: probe.success_threshold.max(1),
            failure_threshold: if probe.failure_threshold > 0 { probe.failure_threshold } else { 3 },
            verdict: None,
        }
    }

    /// Notes a try; returns the verdict where it is new. A probe that could not be run counts neither way.
    pub fn note(&mut self, answer: &Answer) -> Option<bool> {
        let success = match answer {
            Answer::Yes => true,
            Answer::No(_) => false,
            Answer::Unknown(_) => return None,
        };
        if success {
            (self.successes, self.failures) = (self.successes + 1, 0);
        } else {
            (self.successes, self.failures) = (0, self.failures + 1);
        }
        let reached =
            if success { self.successes >= self.success_threshold } else { self.failures >= self.failure_threshold };
        if !reached || self.verdict == Some(success) {
            return None;
        }
        self.verdict = Some(success);
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(success: i32, failure: i32, tries: &str, expect: &str) {
        let mut counter =
            Counter::new(&Probe { success_threshold: success, failure_threshold: failure, ..Probe::default() });
        let got: String = tries
            .chars()
            .map(|try_| {
                match counter.note(&match try_ {
                    '+' => Answer::Yes,
                    '?' => Answer::Unknown(String::new()),
                    _ => Answer::No(String::new()),
                }) {
                    None => '.',
                    Some(true) => '+',
                    Some(false) => '-',
                }
            })
            .collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn a_verdict_needs_its_threshold_in_a_row_and_is_told_once() {
        check(1, 3, "+--+---+", "+.....-+");
        check(2, 1, "+-++-", ".-.+-");
        check(0, 0, "---", "..-");
    }

    #[test]
    fn a_probe_that_could_not_be_run_is_no_failure() {
        check(1, 2, "+-??-+?", "+...-+.");
        check(1, 1, "+???", "+...");
    }
}
