//! `cargo xtask test`: installs what the tests need and runs all of them.
//!
//! Everything is built once, in the dev profile: the programs first, since tests of several crates start them. Every cargo
//! command here is asked for the whole workspace, so that all see the same features of libraries (decision 0005); the
//! suites of tests/e2e are built so, and then run one after the other by us.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use testkit::packages;

use crate::progress::Progress;
use crate::{build, workspace};

/// The folder of the package that holds the end-to-end tests.
const END_TO_END: &str = "tests/e2e";
/// The suite that replays recordings of a real cluster.
const BEHAVIOUR: &str = "behaviour";
/// The suite in which parts of the cluster die.
const FAULTS: &str = "faults";
/// Integration tests and modules of this name, in any crate, throw damaged input at a parser.
const FUZZ: &str = "fuzz";
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
    /// Replay the recorded behaviours of pods and Deployments, and nothing else.
    #[arg(long, conflicts_with_all = ["no_e2e", "only_e2e", "filter"])]
    behaviour: bool,
    /// Run the suite of faults (each daemon killed during a rollout, a power cut) this often, and nothing else.
    #[arg(long, value_name = "ROUNDS", conflicts_with_all = ["no_e2e", "only_e2e", "behaviour"])]
    faults: Option<u32>,
    /// Only end-to-end tests whose name contains this.
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
}

/// What `fuzz` may be told.
#[derive(Debug, Clone, clap::Args)]
pub struct FuzzOptions {
    /// How many damaged inputs each target gets; `cargo xtask test` gives them 200 to 4,000.
    #[arg(long, default_value_t = 200_000)]
    cases: u32,
    /// Only targets whose name contains this; of those within a crate (the store's), whose name begins with it.
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
    install()?;
    let programs = build::build(PROFILE)?;
    let mut sum = Sum::default();
    let filter: Vec<&str> = options.filter.iter().map(String::as_str).collect();
    if options.behaviour {
        sum.suites(&programs, &[BEHAVIOUR.to_owned()], &filter, 1)?;
    } else if let Some(rounds) = options.faults {
        sum.suites(&programs, &[FAULTS.to_owned()], &filter, rounds)?;
    } else {
        if !options.only_e2e {
            let mut tests = cargo_test(&["--no-fail-fast"])?;
            tests.env("KEELSON_PROGRAMS", &programs);
            sum.stage("unit and integration tests", &mut tests)?;
        }
        if !options.no_e2e {
            sum.suites(&programs, &suite_names()?, &filter, 1)?;
        }
    }
    sum.tell(began)
}

/// Runs the fuzz targets for long.
pub fn fuzz(options: &FuzzOptions) -> Result<()> {
    let began = Instant::now();
    install()?;
    let mut sum = Sum::default();
    let mut run = |title: &str, which: &[&str], filter: Option<&str>| {
        let mut tests = cargo_test(&["--no-fail-fast"])?;
        tests.args(which).arg("--").args(filter).env("KEELSON_FUZZ_CASES", options.cases.to_string());
        sum.stage(title, &mut tests)
    };
    let filter = options.filter.as_deref();
    run("fuzz targets", &["--test", FUZZ], filter)?;
    let within = format!("{FUZZ}::{}", filter.unwrap_or_default());
    run("fuzz targets within crates", &["--lib"], Some(&within))?;
    sum.tell(began)
}

fn install() -> Result<()> {
    let missing = packages::missing(&[packages::BUILD, packages::RUN, packages::TEST]);
    let mut progress = Progress::new();
    packages::install(&missing, &mut |text| progress.step(text))?;
    progress.finish_step();
    Ok(())
}

fn cargo_test(args: &[&str]) -> Result<Command> {
    let mut cargo = workspace::cargo();
    cargo.current_dir(workspace::root()?).args(["test", "--workspace", "--locked"]).args(args);
    Ok(cargo)
}

/// The names of the suites: the files in the folder.
fn suite_names() -> Result<Vec<String>> {
    let folder = workspace::root()?.join(END_TO_END).join("tests");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file() {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Builds suites of tests/e2e; gives their programs in the order of the names.
fn build_suites(names: &[String]) -> Result<Vec<PathBuf>> {
    let mut cargo = cargo_test(&["--no-run", "--message-format=json-render-diagnostics"])?;
    for name in names {
        cargo.args(["--test", name]);
    }
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("running cargo test --no-run")?;
    ensure!(output.status.success(), "cargo test --no-run: {}", output.status);
    let folder = workspace::root()?.join(END_TO_END);
    let built = executables(&String::from_utf8_lossy(&output.stdout), &folder);
    names
        .iter()
        .map(|name| {
            let found = built.iter().find(|(built, _)| built == name);
            found.map(|(_, file)| file.clone()).with_context(|| format!("cargo built no suite {name}"))
        })
        .collect()
}

/// The test programs, by name, that cargo says it made for the package in `folder`.
fn executables(messages: &str, folder: &Path) -> Vec<(String, PathBuf)> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_package = messages.filter(|message| {
        message["manifest_path"].as_str().is_some_and(|path| Path::new(path).parent() == Some(folder))
    });
    of_package
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            Some((name, PathBuf::from(message["executable"].as_str()?)))
        })
        .collect()
}

/// What came of the stages so far.
#[derive(Default)]
struct Sum {
    count: Count,
    broken: Vec<String>,
}

impl Sum {
    /// Builds suites and runs them, each `rounds` times with a new cluster each time.
    fn suites(&mut self, programs: &Path, names: &[String], filter: &[&str], rounds: u32) -> Result<()> {
        let files = build_suites(names)?;
        for round in 1..=rounds {
            for (name, file) in names.iter().zip(&files) {
                let mut suite = Command::new(file);
                // One test at a time: each uses the whole machine, and times its waits by it.
                suite.arg("--test-threads=1").args(filter);
                suite.current_dir(workspace::root()?.join(END_TO_END)).env("KEELSON_PROGRAMS", programs);
                let title = match rounds {
                    1 => format!("suite {name}"),
                    _ => format!("suite {name}, round {round} of {rounds}"),
                };
                self.stage(&title, &mut suite)?;
            }
        }
        Ok(())
    }

    /// Runs one stage, showing what it writes and counting its results.
    fn stage(&mut self, name: &str, command: &mut Command) -> Result<()> {
        testkit::say!("== {name}");
        let began = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("running {}", command.get_program().display()))?;
        let output = child.stdout.take().context("standard output is a pipe")?;
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let text = String::from_utf8_lossy(&line);
            add(&mut self.count, &text);
            let mut out = std::io::stdout().lock();
            writeln!(out, "{text}").context("nobody reads the results any more")?;
        }
        let status = child.wait()?;
        testkit::say!("== {name}: {:.0} s", began.elapsed().as_secs_f32());
        if !status.success() {
            self.broken.push(name.to_owned());
        }
        Ok(())
    }

    /// The sum of all stages, in the last line. A test program that died counted nothing, so stages are named too.
    fn tell(&self, began: Instant) -> Result<()> {
        let Count { passed, failed, ignored } = self.count;
        testkit::say!(
            "\n{passed} passed, {failed} failed, {ignored} ignored in {:.0} s",
            began.elapsed().as_secs_f32()
        );
        if failed > 0 || !self.broken.is_empty() {
            bail!("failed: {}", self.broken.join("; "));
        }
        Ok(())
    }
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
    fn suites_are_told_from_tests_of_the_same_name_elsewhere() {
        let line = |folder: &str, file: &str| {
            format!(r#"{{"manifest_path":"/w/{folder}/Cargo.toml","target":{{"name":"pods"}},"executable":{file}}}"#)
        };
        let messages = [
            line("crates/kubelet", r#""/t/kubelet""#),
            line("tests/e2e", "null"),
            line("tests/e2e", r#""/t/e2e""#),
            "warning: no message".to_owned(),
        ]
        .join("\n");
        assert_eq!(executables(&messages, Path::new("/w/tests/e2e")), [("pods".to_owned(), PathBuf::from("/t/e2e"))]);
    }

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
