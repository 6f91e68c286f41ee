//! Replays recorded requests over REST, as they were sent, against the apiserver on keelson-store, and compares the answers.
//!
//! Needs `cargo build -p store`, or `KEELSON_PROGRAMS`. What does not pass is printed by name; the counts have floors.

#[allow(dead_code, reason = "the apiserver's tests use more of it")]
#[path = "../../../../crates/apiserver/tests/api/harness.rs"]
mod harness;

#[path = "../replay/compare.rs"]
mod compare;

mod cases;
mod cells;
mod door;
mod forms;
mod printed;
mod protobuf;
mod tables;
mod watches;

use std::collections::BTreeMap;

/// What came of the cases of one kind.
#[derive(Default)]
struct Tally {
    passed: usize,
    failures: BTreeMap<String, String>,
}

impl Tally {
    fn add(&mut self, name: &str, difference: Option<String>) {
        match difference {
            None => self.passed += 1,
            Some(difference) => drop(self.failures.insert(name.to_owned(), difference)),
        }
    }

    /// Prints the count and what differs; fails when fewer than `floor` passed.
    #[track_caller]
    fn report(&self, what: &str, floor: usize) {
        for (name, difference) in &self.failures {
            println!("{what}: {name}: {difference}");
        }
        let all = self.passed + self.failures.len();
        println!("{what}: {} of {all}", self.passed);
        assert!(self.passed >= floor, "{what}: {} of {all} passed, there were {floor}", self.passed);
    }
}
