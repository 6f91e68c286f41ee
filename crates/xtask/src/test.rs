//! `cargo xtask test`: installs what the tests need and runs all of them.
//!
//! Everything is built once, in the dev profile: the programs first, since tests of several crates start them.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use testkit::packages;
use testkit::settings::Daemon;

use crate::progress::Progress;
use crate::{build, workspace};

/// The package that holds the end-to-end tests.
const END_TO_END: &str = "test-e2e";
/// One profile for all, so that nothing is compiled twice.
const PROFILE: &str = "dev";

/// What `test` may be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Leave the end-to-end tests out.
    #[arg(long)]
    no_e2e: bool,
    /// Run the end-to-end tests alone.
    #[arg(long, conflicts_with = "no_e2e")]
    only_e2e: bool,
    /// Replay the recorded behaviours of pods and Deployments instead.
    #[arg(long, conflicts_with_all = ["no_e2e", "only_e2e", "filter"])]
    behaviour: bool,
    /// Only end-to-end tests whose name contains this.
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
}

/// What cargo's test programs counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Runs the command; every stage runs, and the last line is the sum.
pub fn run(options: &Options) -> Result<()> {
    let began = Instant::now();
    let missing = packages::missing(&[packages::BUILD, packages::RUN, packages::TEST]);
    {
        let mut progress = Progress::new();
        packages::install(&missing, &mut |text| progress.step(text))?;
        progress.finish_step();
    }
    let mut count = Count::default();
    let mut broken = Vec::new();
    let programs = build::build(&Daemon::ALL, PROFILE)?;
    if options.behaviour {
        let mut cargo = workspace::cargo();
        cargo.current_dir(workspace::root()?).env("KEELSON_PROGRAMS", &programs);
        cargo.args(["test", "--locked", "--package", END_TO_END, "--test", "behaviour"]);
        stage("recorded behaviours", &mut cargo, &mut count, &mut broken)?;
        return tell(began, count, &broken);
    }
    if !options.only_e2e {
        let mut tests = workspace_tests()?;
        tests.env("KEELSON_PROGRAMS", &programs);
        stage("unit and integration tests", &mut tests, &mut count, &mut broken)?;
    }
    if !options.no_e2e {
        let mut cargo = workspace::cargo();
        cargo.current_dir(workspace::root()?).env("KEELSON_PROGRAMS", &programs);
        // One test at a time: each uses the whole machine, and times its waits by it.
        cargo.args(["test", "--locked", "--no-fail-fast", "--package", END_TO_END, "--", "--test-threads=1"]);
        cargo.args(options.filter.iter());
        stage("end-to-end tests", &mut cargo, &mut count, &mut broken)?;
    }
    tell(began, count, &broken)
}

/// The sum of all stages, in the last line.
fn tell(began: Instant, count: Count, broken: &[&str]) -> Result<()> {
    println!(
        "\n{} passed, {} failed, {} ignored in {:.0} s",
        count.passed,
        count.failed,
        count.ignored,
        began.elapsed().as_secs_f32()
    );
    if count.failed > 0 || !broken.is_empty() {
        bail!("failed: {}", broken.join(", "));
    }
    Ok(())
}

fn workspace_tests() -> Result<Command> {
    let mut cargo = workspace::cargo();
    cargo.current_dir(workspace::root()?);
    cargo.args(["test", "--workspace", "--locked", "--no-fail-fast", "--exclude", END_TO_END]);
    Ok(cargo)
}

/// Runs one stage, showing what it writes and counting its results.
fn stage(name: &'static str, command: &mut Command, count: &mut Count, broken: &mut Vec<&'static str>) -> Result<()> {
    println!("== {name}");
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("running cargo test")?;
    let output = child.stdout.take().context("standard output is a pipe")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let text = String::from_utf8_lossy(&line);
        add(count, &text);
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")?;
    }
    let status = child.wait()?;
    println!("== {name}: {:.0} s", began.elapsed().as_secs_f32());
    if !status.success() {
        broken.push(name);
    }
    Ok(())
}

/// Adds a line `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn add(count: &mut Count, line: &str) {
    let Some((_, results)) = line.trim().strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
        return;
    };
    for part in results.split(';') {
        let mut words = part.split_whitespace();
        let (Some(Ok(number)), Some(what)) = (words.next().map(str::parse::<u64>), words.next()) else { continue };
        match what {
            "passed" => count.passed += number,
            "failed" => count.failed += number,
            "ignored" => count.ignored += number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_programs_are_added_up() {
        let mut count = Count::default();
        add(
            &mut count,
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        );
        add(&mut count, "test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 7 filtered out");
        add(&mut count, "running 3 tests");
        assert_eq!(count, Count { passed: 5, failed: 4, ignored: 1 });
    }
}
