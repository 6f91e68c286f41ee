//! Runs a suite: as libtest does, but with one cluster around all tests, taken down at the end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::World;

/// A test: its name, and what it does.
pub type Test = (&'static str, fn(&World) -> Result<()>);

/// How the command line chooses tests: as with libtest, words select by part of the name.
#[derive(Debug, Default)]
struct Choice {
    words: Vec<String>,
    exact: bool,
    list: bool,
    skip: Vec<String>,
}

impl Choice {
    fn from_args(args: impl Iterator<Item = String>) -> Self {
        let mut choice = Self::default();
        let mut args = args.skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--exact" => choice.exact = true,
                "--list" => choice.list = true,
                "--skip" => choice.skip.extend(args.next()),
                "--test-threads" | "--format" | "--color" | "-Z" => drop(args.next()),
                other if other.starts_with('-') => {}
                word => choice.words.push(word.to_owned()),
            }
        }
        choice
    }

    fn takes(&self, name: &str) -> bool {
        let matches = |word: &String| if self.exact { name == word } else { name.contains(word) };
        (self.words.is_empty() || self.words.iter().any(matches)) && !self.skip.iter().any(|word| name.contains(word))
    }
}

/// Runs the chosen tests on one cluster that `make` starts; the last line is libtest's.
pub fn run(make: fn() -> Result<World>, tests: &[Test]) -> ExitCode {
    let choice = Choice::from_args(std::env::args());
    let chosen: Vec<&Test> = tests.iter().filter(|(name, _)| choice.takes(name)).collect();
    if choice.list {
        for (name, _) in &chosen {
            testkit::say!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let began = Instant::now();
    testkit::say!("\nrunning {} tests", chosen.len());
    let mut failed = Vec::new();
    if !chosen.is_empty() {
        match make() {
            Ok(world) => failed = run_all(&world, &chosen),
            Err(error) => {
                testkit::say!("the cluster did not start: {error:#}");
                failed = chosen.iter().map(|(name, _)| *name).collect();
            }
        }
    }
    if !failed.is_empty() {
        testkit::say!("\nfailures:\n    {}", failed.join("\n    "));
    }
    testkit::say!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        chosen.len() - failed.len(),
        failed.len(),
        tests.len() - chosen.len(),
        began.elapsed().as_secs_f32()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_all(world: &World, tests: &[&Test]) -> Vec<&'static str> {
    let mut failed = Vec::new();
    for (name, test) in tests {
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| test(world)));
        let took = began.elapsed().as_secs_f32();
        let reason = match outcome {
            Ok(Ok(())) => {
                testkit::say!("test {name} ... ok ({took:.1} s)");
                continue;
            }
            Ok(Err(error)) => format!("{error:#}"),
            Err(panic) => panic_text(&*panic),
        };
        testkit::say!("test {name} ... FAILED ({took:.1} s)\n---- {name} ----\n{reason}\n{}", world.diagnose());
        failed.push(*name);
    }
    failed
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(args: &[&str], name: &str, expect: bool) {
        let args = std::iter::once("suite").chain(args.iter().copied()).map(str::to_owned);
        assert_eq!(Choice::from_args(args).takes(name), expect);
    }

    #[test]
    fn words_choose_tests_as_with_libtest() {
        check(&[], "a_pod_runs", true);
        check(&["pod", "--test-threads=1"], "a_pod_runs", true);
        check(&["--test-threads", "1"], "a_pod_runs", true);
        check(&["pod", "--exact"], "a_pod_runs", false);
        check(&["--skip", "pod"], "a_pod_runs", false);
    }
}
