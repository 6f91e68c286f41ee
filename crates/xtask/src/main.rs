//! cargo xtask up | down | status | test | fuzz | verify: a cluster on this machine, and the proofs that it works.

mod bench;
mod build;
mod cgroup2;
mod down;
mod fetch;
mod fresh;
mod progress;
mod schema;
mod sim;
mod status;
mod test;
mod up;
mod verify;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keelson's own tasks: run a cluster, test it, measure it.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster on this machine, run hello on it and fetch its page.
    Up(up::Options),
    /// Stop the cluster and remove everything of it.
    Down(down::Options),
    /// Tell what runs.
    Status(status::Options),
    /// Install what the tests need and run all of them.
    Test(test::Options),
    /// Check requests and limits on cgroup version 2, in a virtual machine with Debian's kernel.
    TestCgroup2(cgroup2::Options),
    /// Run `up` on a fresh Debian in a folder: packages are really missing, and apt really installs them.
    TestFresh(fresh::Options),
    /// Throw damaged input at every parser of outside bytes, for long.
    Fuzz(test::FuzzOptions),
    /// Measure a running cluster (podstart, idle) or a daemon's core alone (scheduler, proxy).
    Bench(bench::Options),
    /// Run the store in a simulated world, from seeds; ends with the counts, and fails where an invariant was violated.
    Sim(sim::Options),
    /// Check format, lints, documentation and the crates' arrows; writes nothing.
    Verify,
    /// Write proto/k8s anew from a folder of Kubernetes API facts (for a new Kubernetes release).
    ImportSchema {
        /// The folder that holds fields.tsv and resources.tsv.
        #[arg(long, default_value = "../shared/kubernetes-api")]
        facts: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Causes, one a line; a backtrace of this program would tell its user nothing.
            testkit::complain!("error: {error}");
            for cause in error.chain().skip(1) {
                testkit::complain!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up(options) => up::run(&options),
        Command::Down(options) => down::run(&options),
        Command::Status(options) => status::run(&options),
        Command::Test(options) => test::run(&options),
        Command::TestCgroup2(options) => cgroup2::run(&options),
        Command::TestFresh(options) => fresh::run(&options),
        Command::Fuzz(options) => test::fuzz(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Verify => verify::run(),
        Command::ImportSchema { facts } => schema::import(&facts, &PathBuf::from("proto/k8s")),
    }
}
