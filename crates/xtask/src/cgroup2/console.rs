//! Reads the machine's console: which checks passed, and whether the end was reached.

use std::collections::VecDeque;

use anyhow::{Result, bail, ensure};

use super::report::{END, FAILED, PASSED, PREFIX};

/// Lines that are kept to be shown if something fails.
const TAIL_LINES: usize = 60;

/// What was read so far.
#[derive(Default)]
pub struct Console {
    tail: VecDeque<String>,
    passed: usize,
    failed: Vec<String>,
    /// The counts of the last line, once it came.
    end: Option<(usize, usize)>,
}

impl Console {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a line; gives what it says, if it is one of ours.
    pub fn take<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
        // The kernel may have left half a line of its own before ours.
        let (_, text) = line.split_once(PREFIX)?;
        if text.starts_with(PASSED) {
            self.passed += 1;
        } else if let Some(failure) = text.strip_prefix(FAILED) {
            self.failed.push(failure.to_owned());
        } else if let Some(counts) = text.strip_prefix(END) {
            let mut counts = counts.split_whitespace().map(str::parse);
            if let (Some(Ok(passed)), Some(Ok(failed))) = (counts.next(), counts.next()) {
                self.end = Some((passed, failed));
            }
        }
        Some(text)
    }

    /// How many checks passed.
    pub fn passed(&self) -> usize {
        self.passed
    }

    /// Passed only if the program inside reached its end, had checks, and says itself that none failed.
    pub fn verdict(&self) -> Result<()> {
        if !self.failed.is_empty() {
            bail!(
                "{} of {} checks failed:\n{}",
                self.failed.len(),
                self.failed.len() + self.passed,
                self.failed.join("\n")
            );
        }
        match self.end {
            None => bail!("the machine went off before every check was made; {} passed", self.passed),
            Some((passed, failed)) => {
                ensure!(failed == 0, "{failed} checks failed, and their reasons were lost");
                ensure!(passed > 0 && passed == self.passed, "{passed} checks passed and {} were told", self.passed);
            }
        }
        Ok(())
    }

    /// The last lines, of whatever kind.
    pub fn tail(&self) -> String {
        self.tail.iter().map(|line| format!("    {line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(lines: &[&str]) -> Result<()> {
        let mut console = Console::new();
        for line in lines {
            console.take(line);
        }
        console.verdict()
    }

    #[test]
    fn only_an_end_without_failures_is_success() {
        assert!(verdict(&["boot", "cgroup2: ok a", "[ 1.0] cgroup2: ok b", "cgroup2: end: 2 0"]).is_ok());
        assert!(verdict(&["cgroup2: ok a"]).is_err(), "the machine died");
        assert!(verdict(&["cgroup2: end: 0 0"]).is_err(), "nothing was checked");
        assert!(verdict(&["cgroup2: ok a", "cgroup2: end: 1 1"]).is_err(), "a failure's line was lost");
        assert!(verdict(&["cgroup2: ok a", "cgroup2: end: 2 0"]).is_err(), "a check's line was lost");
    }

    #[test]
    fn a_failure_is_told_with_its_reason() {
        let error = verdict(&["cgroup2: ok a", "cgroup2: FAILED b: 1, not 2", "cgroup2: end: 1 1"]).unwrap_err();
        assert_eq!(error.to_string(), "1 of 2 checks failed:\nb: 1, not 2");
    }
}
