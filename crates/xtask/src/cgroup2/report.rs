//! What the checks say, a line each on the console, in the form that `console.rs` reads.

use std::fmt::Display;

use anyhow::Result;

/// Begins every line that is ours.
pub const PREFIX: &str = "cgroup2: ";
/// Begins the line of a check that passed, and of one that failed.
pub const PASSED: &str = "ok ";
pub const FAILED: &str = "FAILED ";
/// Begins the last line, with both counts.
pub const END: &str = "end: ";

/// Counts checks and prints each.
#[derive(Default)]
pub struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    /// Tells what happens.
    pub fn say(&self, text: &str) {
        for line in text.lines() {
            println!("{PREFIX}{line}");
        }
    }

    /// A check that passed, or the reason why not.
    pub fn check(&mut self, what: impl Display, result: Result<()>) {
        match result {
            Ok(()) => {
                self.passed += 1;
                self.say(&format!("{PASSED}{what}"));
            }
            Err(error) => {
                self.failed += 1;
                self.say(&format!("{FAILED}{what}: {}", format!("{error:#}").replace('\n', " | ")));
            }
        }
    }

    /// Whether a check failed so far.
    pub fn has_failures(&self) -> bool {
        self.failed > 0
    }

    /// The last line.
    pub fn end(&self) {
        self.say(&format!("{END}{} {}", self.passed, self.failed));
    }
}
